"""The wire itself, through clients that are not boto3's usual way: presigned URLs, curl, HTTP/2, other protocols."""
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import PYTHON, clean_environment

STS = "{https://sts.amazonaws.com/doc/2011-06-15/}"
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


def fetch(url, **headers):
    """Status, headers and text of a plain GET."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


# The query protocol


def test_a_presigned_identity(server):
    """What proves an identity to others, as `aws eks get-token` and Vault do it."""
    url = server.client("sts").generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    status, headers, text = fetch(url)
    assert status == 200, text
    assert headers["content-type"] == "text/xml"
    answer = ElementTree.fromstring(text)
    assert answer.tag == f"{STS}GetCallerIdentityResponse"
    result = answer.find(f"{STS}GetCallerIdentityResult")
    assert result.find(f"{STS}Account").text == "000000000000"
    assert result.find(f"{STS}Arn").text == "arn:aws:iam::000000000000:root"
    request_id = answer.find(f"{STS}ResponseMetadata/{STS}RequestId").text
    assert request_id == headers["x-amzn-requestid"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id)

    status, _, text = fetch(url.replace("GetCallerIdentity", "GetSessionToken"))
    error = ElementTree.fromstring(text)
    assert status == 403 and error.tag == f"{STS}ErrorResponse"
    assert error.find(f"{STS}Error/{STS}Code").text == "SignatureDoesNotMatch"
    assert error.find(f"{STS}Error/{STS}Type").text == "Sender"


def test_a_presigned_identity_of_a_role(server):
    keys = server.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="presigned")["Credentials"]
    client = boto3.client(
        "sts", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    status, _, text = fetch(client.generate_presigned_url("get_caller_identity", HttpMethod="GET"))
    assert status == 200 and "assumed-role/r/presigned" in text, text


def test_a_header_that_was_signed_must_come_along(server):
    sts = server.client("sts")
    sts.meta.events.register(
        "before-sign.sts.GetCallerIdentity", lambda request, **_: request.headers.add_header("x-cluster", "mine"))
    url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert "x-cluster" in url
    assert fetch(url, **{"x-cluster": "mine"})[0] == 200
    assert fetch(url, **{"x-cluster": "yours"})[0] == 403
    assert fetch(url)[0] == 403


# curl signs by itself, and speaks HTTP/1.1 and HTTP/2


def curl(server, path, service, *arguments, key="test:test"):
    """Status, HTTP version and body of a request that curl signed."""
    outcome = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "60", "--aws-sigv4", f"aws:amz:us-east-1:{service}",
         "--user", key, "--write-out", "\n%{http_code} %{http_version}", *arguments, server.endpoint + path],
        capture_output=True, text=True, env=clean_environment(),
    )
    assert outcome.returncode == 0, outcome.stderr
    body, _, end = outcome.stdout.rpartition("\n")
    status, version = end.split()
    return int(status), version, body


HTTP = [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")]


@needs_curl
@pytest.mark.parametrize("option, version", HTTP)
def test_curl(server, make, option, version):
    name = make("def handler(e, c): return e\n")
    assert curl(server, "/", "sts", option, "--data", "Action=GetCallerIdentity&Version=2011-06-15")[:2] == (200, version)
    status, _, body = curl(server, f"/2015-03-31/functions/{name}/configuration", "lambda", option)
    assert status == 200 and json.loads(body)["FunctionName"] == name
    status, _, body = curl(
        server, f"/2015-03-31/functions/{name}/invocations", "lambda", option, "--data-binary", '{"by": "curl"}')
    assert (status, json.loads(body)) == (200, {"by": "curl"})
    status, _, body = curl(
        server, "/", "logs", option, "--header", "x-amz-target: Logs_20140328.DescribeLogGroups",
        "--header", "content-type: application/x-amz-json-1.1", "--data", "{}")
    assert status == 200 and "logGroups" in json.loads(body)
    status, _, body = curl(server, "/2015-03-31/functions/", "lambda", option, key="test:wrong")
    assert status == 403 and "signature" in body


@needs_curl
@pytest.mark.parametrize("option, version", HTTP)
def test_curl_with_a_large_body(server, make, option, version, tmp_path):
    """Over HTTP/1.1 curl asks first (Expect: 100-continue); over HTTP/2 the body is larger than the flow window."""
    name = make("def handler(e, c): return len(e)\n", MemorySize=512)
    (tmp_path / "event.json").write_text('"' + "x" * 3_000_000 + '"')
    status, got, body = curl(
        server, f"/2015-03-31/functions/{name}/invocations", "lambda", option, "--header", "Expect: 100-continue",
        "--data-binary", f"@{tmp_path / 'event.json'}")
    assert (status, got, body) == (200, version, "3000000")
    (tmp_path / "event.json").write_text('"' + "x" * 7_000_000 + '"')
    status, got, body = curl(
        server, f"/2015-03-31/functions/{name}/invocations", "lambda", option, "--data-binary", f"@{tmp_path / 'event.json'}")
    assert (status, got) == (413, version) and "6291456" in body


HTTP2 = """
const http2 = require('node:http2');
const [origin, count, ...paths] = process.argv.slice(1);
const session = http2.connect(origin);
const ask = (path) => new Promise((resolve, reject) => {
  const stream = session.request({ ':path': path });
  let status, body = '';
  stream.on('response', (headers) => { status = headers[':status']; });
  stream.setEncoding('utf8').on('data', (text) => { body += text; });
  stream.on('end', () => resolve([status, body])).on('error', reject);
  stream.end();
});
Promise.all(Array.from({ length: Number(count) }, (_, n) => ask(paths[n % paths.length]))).then((answers) => {
  console.log(JSON.stringify(answers));
  session.close();
});
"""


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
def test_many_calls_on_one_http2_connection(server):
    sts = server.client("sts")
    paths = [sts.generate_presigned_url("get_caller_identity", HttpMethod="GET").removeprefix(server.endpoint), "/2015-03-31/functions/"]
    outcome = subprocess.run(
        ["node", "-e", HTTP2, server.endpoint, "60", *paths], capture_output=True, text=True, timeout=60,
        env=clean_environment())
    answers = json.loads(outcome.stdout or outcome.stderr)
    assert len(answers) == 60
    for number, (status, body) in enumerate(answers):
        if number % 2 == 0:
            assert status == 200 and "arn:aws:iam::000000000000:root" in body
        else:
            assert status == 403 and "Missing Authentication Token" in body


# JSON, and the headers that every answer has


def answered(client, operation, **parameters):
    """The HTTP answer behind a call, whether it was refused or not."""
    seen = []
    client.meta.events.register("after-call", lambda http_response, **_: seen.append(http_response))
    try:
        getattr(client, operation)(**parameters)
    except ClientError:
        pass
    return seen[-1]


def test_json_1_1(server):
    logs = server.client("logs")
    answer = answered(logs, "describe_log_groups", limit=1)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]
    answer = answered(logs, "describe_log_streams", logGroupName="none-such")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert json.loads(answer.content) == {
        "__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}


def test_rest_json(server):
    client = server.client("lambda")
    answer = answered(client, "list_functions")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-amzn-requestid"]
    answer = answered(client, "get_function", FunctionName="none-such")
    assert answer.status_code == 404
    assert answer.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    body = json.loads(answer.content)
    assert body["Type"] == "User" and body["Message"].endswith("function:none-such")


def test_every_call_has_a_request_id_of_its_own(server):
    client = server.client("sts")
    seen = {client.get_caller_identity()["ResponseMetadata"]["RequestId"] for _ in range(20)}
    assert len(seen) == 20


# What is not served says so, in the protocol that was asked


@pytest.mark.parametrize("service, operation", [
    ("dynamodb", "list_tables"),  # JSON 1.0
    ("cloudwatch", "list_metrics"),  # CBOR
    ("cloudformation", "list_stacks"),  # query
    ("s3", "list_buckets"),  # REST-XML
    ("apigatewayv2", "get_apis"),  # REST-JSON
])
def test_a_service_that_is_not_served(server, service, operation):
    with pytest.raises(ClientError) as refused:
        getattr(server.client(service), operation)()
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 501), answer
    assert answer["Error"]["Message"], answer
    assert answer["Error"]["Code"] not in ("", "Unknown") and not answer["Error"]["Code"].isdigit(), answer


def test_an_operation_that_is_not_served_is_named(server):
    for service, operation, parameters in [
        ("lambda", "list_capacity_providers", {}),
        ("logs", "describe_metric_filters", {}),
        ("iam", "list_users", {}),
        ("sts", "get_access_key_info", {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}),
    ]:
        client = server.client(service)
        with pytest.raises(ClientError) as refused:
            getattr(client, operation)(**parameters)
        name = client.meta.method_to_api_mapping[operation]
        assert name in refused.value.response["Error"]["Message"]


def test_a_parameter_that_is_not_served_is_named(server, unique):
    client = server.client("lambda")
    with pytest.raises(ClientError) as refused:
        client.create_function(
            FunctionName=unique(), Runtime=PYTHON, Role="arn:aws:iam::000000000000:role/r", Handler="a.b",
            Code={"ZipFile": b"PK"}, VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})
    assert "VpcConfig" in refused.value.response["Error"]["Message"]
