"""Function URLs: their configuration, and what a client sees of a function behind one."""
import base64
import http.client
import json
import subprocess
import threading
import time
import urllib.parse

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest import NODE, PYTHON, REGION, ROLE, zipped

ACCOUNT = "000000000000"
OTHER = "111122223333"
ECHO = "def handler(event, context): return event\n"
# Answers with what the request's body says.
GIVEN = """
import json
def handler(event, context):
    if event.get("body") == "fail": raise ValueError("no")
    return json.loads(event["body"])
"""
JSON = {"content-type": "application/json"}


def error(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    found = caught.value.response
    return found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"], found["Error"]["Message"]


def open_to_all(aws, name, **qualifier):
    """The two permissions that a public URL needs."""
    aws.add_permission(
        FunctionName=name, StatementId="url", Principal="*", Action="lambda:InvokeFunctionUrl",
        FunctionUrlAuthType="NONE", **qualifier)
    aws.add_permission(
        FunctionName=name, StatementId="invoke", Principal="*", Action="lambda:InvokeFunction",
        InvokedViaFunctionUrl=True, **qualifier)


def public(aws, name, **settings):
    """The address of a new URL that anyone may call."""
    qualifier = {key: settings[key] for key in ["Qualifier"] if key in settings}
    open_to_all(aws, name, **qualifier)
    return aws.create_function_url_config(FunctionName=name, AuthType="NONE", **settings)["FunctionUrl"]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.msg
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


def ask(server, url, path="/", method="GET", headers=None, body=None, read=Answer):
    """As a client that resolves the URL's host to the platform."""
    host = urllib.parse.urlsplit(url).netloc
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host)
    if isinstance(body, str):
        body = body.encode()
    for name, value in (headers.items() if isinstance(headers, dict) else headers or []):
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    return read(connection.getresponse())


def signed(server, url, path="/", key="test", service="lambda", body=b"", secret="test", method="POST"):
    """The same, signed with an access key."""
    host = urllib.parse.urlsplit(url).netloc
    request = AWSRequest(method, f"http://{host}{path}", data=body, headers={"Host": host})
    SigV4Auth(Credentials(key, secret), service, REGION).add_auth(request)
    headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
    return ask(server, url, path, method, headers, body)


def url_id(url):
    return urllib.parse.urlsplit(url).hostname.split(".")[0]


# The configuration.

def test_a_url_is_made_shown_changed_and_deleted(server, aws, make):
    name = make(ECHO)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    cors = {
        "AllowCredentials": True, "AllowHeaders": ["x-a"], "AllowMethods": ["GET", "POST"],
        "AllowOrigins": ["https://example.com"], "ExposeHeaders": ["date"], "MaxAge": 86400}
    made = aws.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["FunctionArn"], made["AuthType"], made["Cors"], made["InvokeMode"]) == (arn, "NONE", cors, "BUFFERED")
    assert "LastModifiedTime" not in made
    parts = urllib.parse.urlsplit(made["FunctionUrl"])
    identity, rest = parts.netloc.split(".", 1)
    assert rest == f"lambda-url.{REGION}.localhost:{server.port}" and parts.path == "/" and parts.scheme == "http"
    assert len(identity) == 32 and identity.isalnum() and identity == identity.lower()
    got = aws.get_function_url_config(FunctionName=name)
    assert got["LastModifiedTime"] == got["CreationTime"] == made["CreationTime"]
    assert error(aws.create_function_url_config, FunctionName=name, AuthType="AWS_IAM") == (
        "ResourceConflictException", 409,
        f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists "
        "for this Lambda function")
    changed = aws.update_function_url_config(FunctionName=name, AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM")
    assert changed["FunctionUrl"] == made["FunctionUrl"] and changed["Cors"] == cors
    assert (changed["AuthType"], changed["InvokeMode"]) == ("AWS_IAM", "RESPONSE_STREAM")
    assert aws.update_function_url_config(FunctionName=name, Cors={})["Cors"] == {}
    aws.delete_function_url_config(FunctionName=name)
    for call in (aws.get_function_url_config, aws.delete_function_url_config, aws.update_function_url_config):
        assert error(call, FunctionName=name) == (
            "ResourceNotFoundException", 404, "The resource you requested does not exist.")
    assert ask(server, made["FunctionUrl"]).status == 404
    again = aws.create_function_url_config(FunctionName=name, AuthType="NONE")
    assert again["FunctionUrl"] != made["FunctionUrl"]


def test_each_alias_has_a_url_of_its_own(server, aws, make):
    name = make("def handler(event, context): return {'arn': context.invoked_function_arn, 'v': context.function_version}\n")
    one = aws.publish_version(FunctionName=name)["Version"]
    aws.update_function_configuration(FunctionName=name, Description="second")
    two = aws.publish_version(FunctionName=name)["Version"]
    aws.create_alias(FunctionName=name, Name="blue", FunctionVersion=one)
    aws.create_alias(FunctionName=name, Name="green", FunctionVersion=two)
    urls = {alias: public(aws, name, Qualifier=alias) for alias in ("blue", "green")}
    own = public(aws, name)
    for alias, version in (("blue", one), ("green", two)):
        answer = ask(server, urls[alias]).json
        assert answer["v"] == version and answer["arn"].endswith(f":{name}:{alias}")
    assert ask(server, own).json["v"] == "$LATEST"
    assert len({own, *urls.values()}) == 3
    listed = aws.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert {c["FunctionUrl"] for c in listed} == {own, *urls.values()}
    assert {c["FunctionArn"].split(":", 6)[6] for c in listed} == {name, f"{name}:blue", f"{name}:green"}
    seen, marker = [], {}
    while True:
        page = aws.list_function_url_configs(FunctionName=name, MaxItems=1, **marker)
        assert len(page["FunctionUrlConfigs"]) == 1
        seen += page["FunctionUrlConfigs"]
        if "NextMarker" not in page:
            break
        marker = {"Marker": page["NextMarker"]}
    assert seen == listed
    aws.delete_alias(FunctionName=name, Name="blue")
    assert ask(server, urls["blue"]).status == 404
    assert ask(server, urls["green"]).status == 200
    aws.delete_function(FunctionName=name)
    assert ask(server, own).status == 404


@pytest.mark.parametrize("parameters, code, part", [
    ({"Qualifier": "1"}, "ValidationException", "'qualifier' failed to satisfy constraint"),
    ({"Qualifier": "$LATEST"}, "ValidationException", "'qualifier' failed to satisfy constraint"),
    ({"Qualifier": "nope"}, "ResourceNotFoundException", "Function does not exist"),
    ({"FunctionName": "nobody-knows-it"}, "ResourceNotFoundException", "Function does not exist"),
    ({"AuthType": "BASIC"}, "ValidationException", "'authType' failed to satisfy constraint"),
    ({"InvokeMode": "FAST"}, "ValidationException", "'invokeMode' failed to satisfy constraint"),
    ({"Cors": {"MaxAge": 86401}}, "ValidationException", "less than or equal to 86400"),
    ({"Cors": {"MaxAge": -1}}, "ValidationException", "greater than or equal to 0"),
    ({"Cors": {"AllowMethods": ["GET"] * 7}}, "ValidationException", "less than or equal to 6"),
    ({"Cors": {"AllowMethods": ["OPTIONS"]}}, "ValidationException", "less than or equal to 6"),
    ({"Cors": {"AllowOrigins": ["x" * 254]}}, "ValidationException", "less than or equal to 253"),
    ({"Cors": {"AllowOrigins": ["x"] * 101}}, "ValidationException", "less than or equal to 100"),
    ({"Cors": {"AllowHeaders": ["x" * 1025]}}, "ValidationException", "less than or equal to 1024"),
    ({"Cors": {"ExposeHeaders": ["x"] * 101}}, "ValidationException", "less than or equal to 100"),
])
def test_bad_configurations_are_refused(server, make, parameters, code, part):
    aws = server.client("lambda", parameter_validation=False)
    name = make(ECHO)
    found = error(aws.create_function_url_config, **{"FunctionName": name, "AuthType": "NONE", **parameters})
    assert found[0] == code and part in found[2]
    assert error(aws.get_function_url_config, FunctionName=name)[0] == "ResourceNotFoundException"


def test_the_largest_configuration_is_taken(aws, make):
    cors = {
        "AllowMethods": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], "AllowOrigins": ["x" * 253] * 100,
        "AllowHeaders": ["x" * 1024] * 100, "ExposeHeaders": ["x" * 1024] * 100, "MaxAge": 86400}
    name = make(ECHO)
    assert aws.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)["Cors"] == cors
    assert aws.update_function_url_config(FunctionName=name, Cors={"MaxAge": 0})["Cors"] == {"MaxAge": 0}


def test_a_url_survives_a_kill(own_server):
    server = own_server()
    aws = server.client("lambda")
    aws.create_function(
        FunctionName="kept", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped({"app.py": ECHO})})
    url = public(aws, "kept")
    assert ask(server, url).status == 200
    server.listen = f"127.0.0.1:{server.port}"
    server.kill()
    server.restart()
    aws = server.client("lambda")
    assert aws.get_function_url_config(FunctionName="kept")["FunctionUrl"] == url
    assert ask(server, url).status == 200


# Requests.

def test_a_request_becomes_an_event(server, aws, make):
    url = public(aws, make(ECHO))
    headers = [
        ("X-Two", "1"), ("X-Two", "2"), ("Cookie", "a=1; b=2"), ("User-Agent", "agent"),
        ("Content-Type", "text/plain"), ("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793")]
    answer = ask(server, url, "/my/p%20th?a=1&b=2&a=%C3%A4", "POST", headers, "grüße")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    event = answer.json
    identity = url_id(url)
    assert (event["version"], event["routeKey"]) == ("2.0", "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/my/p%20th", "a=1&b=2&a=%C3%A4")
    assert event["queryStringParameters"] == {"a": "1,ä", "b": "2"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-two"] == "1,2" and event["headers"]["host"] == urllib.parse.urlsplit(url).netloc
    assert event["headers"]["x-forwarded-proto"] == "http" and event["headers"]["x-forwarded-port"] == str(server.port)
    assert (event["body"], event["isBase64Encoded"]) == ("grüße", False)
    context = event["requestContext"]
    assert context["accountId"] == "anonymous" and context["authentication"] is None
    assert context["apiId"] == context["domainPrefix"] == identity
    assert context["domainName"] == f"{identity}.lambda-url.{REGION}.localhost"
    assert context["http"] == {
        "method": "POST", "path": "/my/p%20th", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "agent"}
    assert context["stage"] == context["routeKey"] == "$default"
    assert context["requestId"] == answer.headers["x-amzn-requestid"]
    at = time.strptime(context["time"], "%d/%b/%Y:%H:%M:%S +0000")
    assert time.strftime("%s", at) and abs(context["timeEpoch"] / 1000 - time.time()) < 60


@pytest.mark.parametrize("kind, body, text", [
    ("application/json", b'{"a":1}', True),
    ("application/vnd.api+json; charset=utf-8", b"{}", True),
    ("image/svg+xml", b"<svg/>", True),
    ("application/javascript", b"1", True),
    ("text/csv", b"a,b", True),
    ("text/plain", b"\xff\xfe", False),
    ("application/x-www-form-urlencoded", b"a=b", False),
    ("application/octet-stream", b"abc", False),
    (None, b"abc", False),
])
def test_a_body_is_text_or_base64(server, aws, make, kind, body, text):
    url = public(aws, make(ECHO))
    event = ask(server, url, method="PUT", headers={"Content-Type": kind} if kind else {}, body=body).json
    assert event["isBase64Encoded"] is not text
    assert (event["body"].encode() if text else base64.b64decode(event["body"])) == body


def test_every_method_comes_through(server, aws, make):
    url = public(aws, make("def handler(e, c): return {'statusCode': 200, 'headers': {'x-method': e['requestContext']['http']['method']}}\n"))
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert ask(server, url, method=method).headers["x-method"] == method


def test_the_path_form_and_awss_host_reach_the_same_function(server, aws, make):
    url = public(aws, make(ECHO))
    here = f"http://127.0.0.1:{server.port}/"
    event = ask(server, here, f"/_url/{url_id(url)}/a/b?c=d").json
    assert (event["rawPath"], event["requestContext"]["http"]["path"], event["rawQueryString"]) == ("/a/b", "/a/b", "c=d")
    assert ask(server, here, f"/_url/{url_id(url)}").json["rawPath"] == "/"
    assert ask(server, f"http://{url_id(url)}.lambda-url.{REGION}.on.aws/", "/x").json["rawPath"] == "/x"
    assert ask(server, f"http://{url_id(url)}.lambda-url.eu-west-1.localhost/").status == 404
    assert ask(server, here, f"/_url/{'x' * 32}/").status == 404


def test_a_function_calls_anothers_url_from_its_box(server, aws, make):
    url = public(aws, make(ECHO))
    caller = make("""
import json, os, urllib.request
def handler(event, context):
    request = urllib.request.Request(event["url"], headers=event["headers"])
    return json.loads(urllib.request.urlopen(request, timeout=9).read())["rawPath"]
""")
    for headers, address in [
        ({}, f"http://localhost:{server.port}/_url/{url_id(url)}/inside"),
        ({"Host": urllib.parse.urlsplit(url).netloc}, f"http://localhost:{server.port}/inside"),
    ]:
        answer = aws.invoke(FunctionName=caller, Payload=json.dumps({"url": address, "headers": headers}))
        assert json.loads(answer["Payload"].read()) == "/inside"


def test_a_request_has_six_megabytes(server, aws, make):
    url = public(aws, make("def handler(event, context): return len(event['body'])\n"))
    over = len(json.dumps(ask(server, public(aws, make(ECHO)), method="POST", headers={"Content-Type": "text/plain"}, body="x").json,
                          separators=(",", ":")))
    # Events differ in a few digits (the port's are the same): search the edge from both sides.
    inside, outside = 6291456 - over - 64, 6291456 - over + 64
    small = ask(server, url, method="POST", headers={"Content-Type": "text/plain"}, body="x" * inside)
    assert small.status == 200 and small.json == inside
    large = ask(server, url, method="POST", headers={"Content-Type": "text/plain"}, body="x" * outside)
    assert large.status == 413
    assert large.json == {"Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"}
    huge = ask(server, url, method="POST", headers={"Content-Type": "text/plain"}, body="x" * 6291457)
    assert huge.status == 413


# Answers.

@pytest.mark.parametrize("given", ['"Hello, world!"', '{"message":"hi"}', "[1,2]", "7", "null"])
def test_json_without_a_status_is_a_200(server, aws, make, given):
    url = public(aws, make(GIVEN))
    answer = ask(server, url, method="POST", headers=JSON, body=given)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads(given)


def test_a_described_response_is_made(server, aws, make):
    url = public(aws, make(GIVEN))
    give = lambda answer: ask(server, url, method="POST", headers=JSON, body=json.dumps(answer))
    answer = give({
        "statusCode": 201, "headers": {"Content-Type": "text/plain", "My-Header": "Custom Value", "X-N": 1},
        "body": "hi", "cookies": ["a=1; Max-Age=5", "b=2"], "isBase64Encoded": False})
    assert (answer.status, answer.body, answer.headers["content-type"]) == (201, b"hi", "text/plain")
    assert (answer.headers["my-header"], answer.headers["x-n"]) == ("Custom Value", "1")
    assert answer.headers.get_all("set-cookie") == ["a=1; Max-Age=5", "b=2"]
    assert answer.headers["content-length"] == "2"
    binary = give({"statusCode": 200, "headers": {"content-type": "image/png"}, "isBase64Encoded": True,
                   "body": base64.b64encode(bytes(range(256))).decode()})
    assert binary.body == bytes(range(256)) and binary.headers["content-type"] == "image/png"
    assert give({"statusCode": 302, "headers": {"Location": "/x"}}).status == 302
    empty = give({"statusCode": 204})
    assert (empty.status, empty.body) == (204, b"")


@pytest.mark.parametrize("given", [
    {"statusCode": "two"}, {"statusCode": 99}, {"statusCode": 600}, {"statusCode": 200, "headers": "x"},
    {"statusCode": 200, "headers": {"a b": "c"}}, {"statusCode": 200, "body": "%", "isBase64Encoded": True},
])
def test_an_answer_that_is_no_response_is_a_502(server, aws, make, given):
    url = public(aws, make(GIVEN))
    answer = ask(server, url, method="POST", headers=JSON, body=json.dumps(given))
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert answer.headers["content-type"] == "application/json"


def test_a_function_that_fails_is_a_502(server, aws, make):
    url = public(aws, make(GIVEN))
    answer = ask(server, url, method="POST", headers=JSON, body="fail")
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    slow = public(aws, make("import time\ndef handler(e, c): time.sleep(5)\n", Timeout=1))
    assert ask(server, slow).status == 502
    large = public(aws, make("def handler(e, c): return 'x' * int(e['rawQueryString'])\n"))
    assert len(ask(server, large, "/?6291000").body) == 6291002
    assert ask(server, large, "/?6300000").status == 502


def test_an_answer_is_left_by_a_client_that_goes(server, aws, make):
    name = make("import time\ndef handler(e, c):\n  print('begun')\n  time.sleep(2)\n  print('ended', e['rawPath'])\n")
    host = urllib.parse.urlsplit(public(aws, name)).netloc
    logs, group = server.client("logs"), f"/aws/lambda/{name}"

    def wait_for(word):
        deadline = time.time() + 20
        while time.time() < deadline:
            if logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
                if logs.filter_log_events(logGroupName=group, filterPattern=word)["events"]:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the function did not print '{word}'")

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/gone", headers={"Host": host})
    # A client that goes before its request was accepted is owed nothing: so it goes after the function began.
    wait_for("begun")
    connection.sock.close()
    wait_for("ended")


# Who may.

def test_a_public_url_needs_both_permissions(server, aws, make):
    name = make(ECHO)
    url = aws.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    denied = ask(server, url)
    assert denied.status == 403 and denied.json["Message"].startswith("Forbidden. For troubleshooting Function URL")
    assert denied.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert "lambda:InvokeFunctionUrl" in denied.headers["x-lamplighter-reason"]
    url_permission = dict(FunctionName=name, Principal="*", Action="lambda:InvokeFunctionUrl")
    aws.add_permission(StatementId="iam", FunctionUrlAuthType="AWS_IAM", **url_permission)
    assert ask(server, url).status == 403
    aws.add_permission(StatementId="none", FunctionUrlAuthType="NONE", **url_permission)
    half = ask(server, url)
    assert half.status == 403 and "InvokedViaFunctionUrl" in half.headers["x-lamplighter-reason"]
    aws.add_permission(
        FunctionName=name, StatementId="invoke", Principal="*", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    assert ask(server, url).status == 200
    # The permission is for the URL only.
    stranger = server.client("lambda", OTHER)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    assert error(stranger.invoke, FunctionName=arn)[0] == "AccessDeniedException"
    # A bearer token is the function's business.
    assert ask(server, url, headers={"Authorization": "Bearer x"}).json["headers"]["authorization"] == "Bearer x"
    aws.remove_permission(FunctionName=name, StatementId="none")
    assert ask(server, url).status == 403


def test_iam_urls_take_signed_requests(server, aws, make):
    name = make(ECHO)
    url = aws.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"]
    unsigned = ask(server, url)
    assert (unsigned.status, unsigned.json) == (403, {"Message": "Forbidden"})
    answer = signed(server, url, "/a/b?c=d", body=b"hi")
    assert answer.status == 200, answer.body
    context = answer.json["requestContext"]
    assert context["accountId"] == ACCOUNT
    iam = context["authorizer"]["iam"]
    assert (iam["accessKey"], iam["accountId"], iam["userArn"]) == ("test", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    assert iam["callerId"] == iam["userId"] and iam["cognitoIdentity"] is None
    for wrong in ({"secret": "wrong"}, {"service": "s3"}, {"key": "nobody"}):
        assert signed(server, url, **wrong).status == 403, wrong
    # By the path form the signature is that of the path as it is sent.
    here = f"http://127.0.0.1:{server.port}/"
    assert signed(server, here, f"/_url/{url_id(url)}/x").json["rawPath"] == "/x"


def test_iam_urls_of_other_accounts_need_permissions(server, aws, make):
    name = make(ECHO)
    url = aws.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"]
    assert signed(server, url, key=OTHER).status == 403
    aws.add_permission(
        FunctionName=name, StatementId="a", Principal=OTHER, Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="AWS_IAM")
    assert signed(server, url, key=OTHER).status == 403
    aws.add_permission(
        FunctionName=name, StatementId="b", Principal=OTHER, Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    assert signed(server, url, key=OTHER).json["requestContext"]["authorizer"]["iam"]["accountId"] == OTHER
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunctionUrl", "Resource": arn}
    aws.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    assert signed(server, url).status == 403


def test_the_aws_api_keeps_its_guards(server, aws, make):
    url = public(aws, make(ECHO))
    page = {"Origin": "https://evil.example"}
    assert ask(server, url, headers=page).status == 200
    here = f"http://127.0.0.1:{server.port}/"
    assert ask(server, here, "/2015-03-31/functions/", headers=page).status == 403
    assert ask(server, "http://evil.example/", f"/_url/{url_id(url)}/").status == 403
    assert ask(server, f"http://{url_id(url)}.lambda-url.{REGION}.evil.example/").status == 403


# Pages.

def preflight(server, url, origin, method="POST", asked="content-type"):
    return ask(server, url, method="OPTIONS", headers={
        "Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked})


def test_a_page_asks_as_the_configuration_allows(server, aws, make):
    source = """
def handler(event, context):
    print("ran")
    return {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*", "access-control-max-age": "1", "x-own": "1"}, "body": "hi"}
"""
    name = make(source)
    page, other = "https://app.example.com", "https://evil.example"
    url = public(aws, name, Cors={
        "AllowOrigins": [page, "http://localhost:3000"], "AllowMethods": ["GET", "POST"], "AllowHeaders": ["content-type"],
        "ExposeHeaders": ["x-own"], "AllowCredentials": True, "MaxAge": 300})
    asked = preflight(server, url, page)
    cors = {k.lower(): v for k, v in asked.headers.items() if k.lower().startswith("access-control")}
    assert (asked.status, asked.body) == (200, b"")
    assert cors == {
        "access-control-allow-origin": page, "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "content-type", "access-control-allow-credentials": "true",
        "access-control-max-age": "300"}
    assert "access-control-allow-origin" not in preflight(server, url, other).headers
    read = ask(server, url, headers={"Origin": page})
    assert read.headers.get_all("access-control-allow-origin") == [page]
    assert read.headers["access-control-expose-headers"] == "x-own"
    assert "access-control-max-age" not in read.headers and read.headers["vary"] == "Origin"
    foreign = ask(server, url, headers={"Origin": other})
    assert foreign.status == 200 and "access-control-allow-origin" not in foreign.headers
    # Errors can be read by the page too, and a preflight needs no permission.
    aws.remove_permission(FunctionName=name, StatementId="url")
    refused = ask(server, url, headers={"Origin": page})
    assert refused.status == 403 and refused.headers["access-control-allow-origin"] == page
    assert preflight(server, url, page).headers["access-control-allow-origin"] == page


def test_without_a_configuration_the_function_answers_pages(server, aws, make):
    url = public(aws, make("""
def handler(event, context):
    return {"statusCode": 204, "headers": {"access-control-allow-origin": "https://mine.example", "x-m": event["requestContext"]["http"]["method"]}}
"""))
    asked = preflight(server, url, "https://a.example")
    assert (asked.status, asked.headers["x-m"]) == (204, "OPTIONS")
    assert asked.headers["access-control-allow-origin"] == "https://mine.example"


def test_a_wildcard_allows_every_page(server, aws, make):
    url = public(aws, make(ECHO), Cors={"AllowOrigins": ["*"], "AllowMethods": ["*"], "AllowHeaders": ["*"]})
    asked = preflight(server, url, "https://a.example", "DELETE", "x-a,x-b")
    assert asked.headers["access-control-allow-origin"] == "*"
    assert asked.headers["access-control-allow-methods"] == "DELETE"
    assert asked.headers["access-control-allow-headers"] == "x-a,x-b"
    assert ask(server, url, headers={"Origin": "null"}).headers["access-control-allow-origin"] == "*"


def test_nodes_fetch_reads_a_url(server, aws, make):
    url = public(aws, make(GIVEN))
    script = """
    const [url] = process.argv.slice(1);
    const body = JSON.stringify({ statusCode: 418, headers: { "x-a": "b" }, cookies: ["c=d", "e=f"], body: "tea" });
    const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
    console.log(JSON.stringify([answer.status, answer.headers.get("x-a"), answer.headers.getSetCookie(), await answer.text()]));
    """
    address = f"http://127.0.0.1:{server.port}/_url/{url_id(url)}/"
    outcome = subprocess.run(
        ["node", "--input-type=module", "-e", script, address], capture_output=True, text=True, timeout=60)
    assert json.loads(outcome.stdout) == [418, "b", ["c=d", "e=f"], "tea"], outcome.stderr


def test_a_function_without_room_is_a_429(own_server):
    server = own_server("--account-concurrency", "1")
    aws = server.client("lambda")
    aws.create_function(
        FunctionName="busy", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=30,
        Code={"ZipFile": zipped({"app.py": "import time\ndef handler(e, c): time.sleep(float(e['rawQueryString'] or 0))\n"})})
    url = public(aws, "busy")
    ask(server, url)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(server, url, "/?3").status)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 429, 429]


# Streams.

STREAM = """
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const path = event.rawPath;
  if (path === '/head') {
    stream = awslambda.HttpResponseStream.from(stream, {
      statusCode: 418, headers: { 'content-type': 'text/html', 'x-own': 'yes' }, cookies: ['a=1', 'b=2'] });
    stream.write('<p>tea');
    await later(Number(event.queryStringParameters?.wait ?? 0));
    stream.write('</p>');
  } else if (path === '/plain') {
    stream.setContentType('text/plain');
    for (const word of ['one ', 'two ', 'three']) { stream.write(word); await later(1); }
  } else if (path === '/json') {
    stream.write(JSON.stringify({ statusCode: 202, headers: { 'x-a': 'b' }, body: 'inferred' }));
  } else if (path === '/large') {
    for (let i = 0; i < 20; i++) if (!stream.write('x'.repeat(1024 * 1024))) await new Promise((r) => stream.once('drain', r));
  } else if (path === '/empty') {
  } else if (path === '/fail') {
    throw new Error('before');
  } else if (path === '/middle') {
    stream.setContentType('text/plain');
    stream.write('begun');
    await later(200);
    throw new Error('in the middle');
  }
  stream.end();
});
"""


def test_a_stream_begins_with_its_head(server, aws, make):
    url = public(aws, make(STREAM, NODE), InvokeMode="RESPONSE_STREAM",
                 Cors={"AllowOrigins": ["https://a.example"], "ExposeHeaders": ["x-own"]})
    answer = ask(server, url, "/head", headers={"Origin": "https://a.example"})
    assert (answer.status, answer.body, answer.headers["content-type"]) == (418, b"<p>tea</p>", "text/html")
    assert answer.headers["x-own"] == "yes" and answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    plain = ask(server, url, "/plain")
    assert (plain.status, plain.body, plain.headers["content-type"]) == (200, b"one two three", "text/plain")
    assert ask(server, url, "/empty").body == b""
    assert len(ask(server, url, "/large").body) == 20 * 1024 * 1024


def test_the_first_bytes_leave_before_the_handler_ends(server, aws, make):
    url = public(aws, make(STREAM, NODE), InvokeMode="RESPONSE_STREAM")
    ask(server, url, "/plain")

    def read(response):
        began = time.monotonic()
        first = response.read1(100)
        at = time.monotonic() - began
        return response.status, first, at, response.read(), time.monotonic() - began

    status, first, first_s, rest, whole_s = ask(server, url, "/head?wait=2000", read=read)
    assert (status, first, rest) == (418, b"<p>tea", b"</p>")
    assert first_s < 1 and whole_s >= 1.5


def test_a_stream_that_fails_is_a_502_or_has_no_end(server, aws, make):
    url = public(aws, make(STREAM, NODE), InvokeMode="RESPONSE_STREAM")
    early = ask(server, url, "/fail")
    assert (early.status, early.body) == (502, b"Internal Server Error")
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(server, url, "/middle")
    assert broken.value.partial == b"begun"
    assert ask(server, url, "/plain").status == 200


def test_a_buffered_url_waits_for_the_stream(server, aws, make):
    url = public(aws, make(STREAM, NODE))
    answer = ask(server, url, "/head")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (418, b"<p>tea</p>", "10")
    described = ask(server, url, "/json")
    assert (described.status, described.body, described.headers["x-a"]) == (202, b"inferred", "b")
    for path in ("/fail", "/middle", "/plain", "/large"):
        failed = ask(server, url, path)
        assert (failed.status, failed.body) == (502, b"Internal Server Error"), path


def test_a_whole_answer_of_a_streaming_url_is_its_bytes(server, aws, make):
    url = public(aws, make(GIVEN), InvokeMode="RESPONSE_STREAM")
    answer = ask(server, url, method="POST", headers=JSON, body='{"statusCode":201,"body":"x"}')
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"statusCode": 201, "body": "x"}
    assert ask(server, url, method="POST", headers=JSON, body="fail").status == 502


def test_http2_reaches_a_url(server, aws, make):
    url = public(aws, make(ECHO))
    script = """
    const http2 = require('node:http2');
    const [port, host] = process.argv.slice(1);
    const session = http2.connect('http://127.0.0.1:' + port);
    const request = session.request({ ':path': '/two?a=b', ':authority': host });
    let text = '';
    request.setEncoding('utf8').on('data', (more) => text += more).on('end', () => { console.log(text); session.close(); });
    request.end();
    """
    outcome = subprocess.run(
        ["node", "-e", script, str(server.port), urllib.parse.urlsplit(url).netloc], capture_output=True, text=True, timeout=60)
    event = json.loads(outcome.stdout or outcome.stderr)
    assert (event["rawPath"], event["queryStringParameters"]) == ("/two", {"a": "b"})
    assert event["headers"]["host"] == urllib.parse.urlsplit(url).netloc


def test_without_authentication_nobody_signs(own_server):
    server = own_server("--auth", "off")
    aws = server.client("lambda")
    aws.create_function(
        FunctionName="open", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped({"app.py": ECHO})})
    url = aws.create_function_url_config(FunctionName="open", AuthType="AWS_IAM")["FunctionUrl"]
    iam = ask(server, url).json["requestContext"]["authorizer"]["iam"]
    assert (iam["userArn"], iam["accessKey"]) == (f"arn:aws:iam::{ACCOUNT}:root", None)
    aws.update_function_url_config(FunctionName="open", AuthType="NONE")
    assert ask(server, url).status == 403
