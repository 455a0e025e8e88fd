"""A function's life through boto3: create, read, invoke, update, delete."""
import base64
import hashlib
import json
import re
import urllib.request

import pytest
from botocore.exceptions import ClientError
from conftest import NODE, PYTHON, ROLE, zipped

ECHO = {
    PYTHON: "def handler(event, context):\n    return {'event': event, 'name': context.function_name}\n",
    NODE: "export const handler = async (event, context) => ({event, name: context.functionName});\n",
}


def invoke(aws, name, payload=None, **options):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(payload if payload is not None else {}), **options)
    return answer, json.loads(answer["Payload"].read() or "null")


@pytest.mark.parametrize("runtime", [PYTHON, NODE])
def test_create_invoke_update_delete(aws, make, runtime):
    name = make(ECHO[runtime], runtime)
    aws.get_waiter("function_active_v2").wait(FunctionName=name)

    answer, body = invoke(aws, name, {"a": [1, "ü", None]})
    assert answer["StatusCode"] == 200 and "FunctionError" not in answer
    assert answer["ExecutedVersion"] == "$LATEST"
    assert body == {"event": {"a": [1, "ü", None]}, "name": name}

    changed = {"app.py": "def handler(e, c): return 'new'\n", "index.mjs": "export const handler = async () => 'new';\n"}
    aws.update_function_code(FunctionName=name, ZipFile=zipped(changed))
    aws.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert invoke(aws, name)[1] == "new"

    aws.delete_function(FunctionName=name)
    with pytest.raises(aws.exceptions.ResourceNotFoundException) as gone:
        aws.invoke(FunctionName=name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert gone.value.response["Error"]["Message"] == f"Function not found: {arn}"
    assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_configuration_reads_as_in_aws(aws, make):
    package = zipped({"app.py": ECHO[PYTHON]})
    name = make({"app.py": ECHO[PYTHON]}, Description="d", Environment={"Variables": {"AA": "1"}}, Tags={"team": "x"})
    aws.get_waiter("function_active_v2").wait(FunctionName=name)
    found = aws.get_function(FunctionName=name)
    configuration = found["Configuration"]
    expected = {
        "FunctionName": name,
        "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "Runtime": PYTHON,
        "Role": ROLE,
        "Handler": "app.handler",
        "Description": "d",
        "Timeout": 10,
        "MemorySize": 128,
        "Version": "$LATEST",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "Environment": {"Variables": {"AA": "1"}},
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "CodeSize": len(package),
        "CodeSha256": base64.b64encode(hashlib.sha256(package).digest()).decode(),
    }
    assert {key: configuration.get(key) for key in expected} == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", configuration["LastModified"])
    assert configuration["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    assert found["Tags"] == {"team": "x"}
    assert found["Code"]["RepositoryType"] == "S3"
    with urllib.request.urlopen(found["Code"]["Location"]) as download:
        assert download.read() == package


def test_every_update_gives_a_new_revision_and_checks_the_old_one(aws, make):
    name = make(ECHO[PYTHON])
    first = aws.get_function_configuration(FunctionName=name)["RevisionId"]
    updated = aws.update_function_configuration(FunctionName=name, MemorySize=256, RevisionId=first)
    assert updated["MemorySize"] == 256
    with pytest.raises(aws.exceptions.PreconditionFailedException):
        aws.update_function_configuration(FunctionName=name, MemorySize=512, RevisionId=first)
    assert aws.get_function_configuration(FunctionName=name)["MemorySize"] == 256


def test_no_invoke_sees_the_old_code_or_environment_after_an_update(aws, make):
    source = "import os\ndef handler(e, c): return [{n}, os.environ['VV']]\n"
    name = make(source.format(n=0), Environment={"Variables": {"VV": "0"}})
    assert invoke(aws, name)[1] == [0, "0"]
    for n in range(1, 8):
        aws.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": source.format(n=n)}))
        aws.get_waiter("function_updated_v2").wait(FunctionName=name)
        assert invoke(aws, name)[1] == [n, str(n - 1)]
        aws.update_function_configuration(FunctionName=name, Environment={"Variables": {"VV": str(n)}})
        aws.get_waiter("function_updated_v2").wait(FunctionName=name)
        assert invoke(aws, name)[1] == [n, str(n)]


def test_dry_run_and_event(aws, make):
    name = make(ECHO[PYTHON])
    assert aws.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    accepted = aws.invoke(FunctionName=name, InvocationType="Event")
    assert accepted["StatusCode"] == 202
    assert accepted["Payload"].read() == b"" and "ExecutedVersion" not in accepted


def test_log_tail_and_report(aws, make):
    name = make("def handler(e, c):\n    print('to the log')\n    return c.aws_request_id\n")
    answer, request_id = invoke(aws, name, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    lines = tail.splitlines()
    assert request_id == answer["ResponseMetadata"]["RequestId"]
    assert f"START RequestId: {request_id} Version: $LATEST" in lines
    assert "to the log" in lines
    assert f"END RequestId: {request_id}" in lines
    report = next(line for line in lines if line.startswith("REPORT"))
    shape = (
        rf"REPORT RequestId: {request_id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: (\d+) MB\tInit Duration: [\d.]+ ms\t\s*"
    )
    assert 1 <= int(re.fullmatch(shape, report).group(1)) <= 128
    warm = base64.b64decode(invoke(aws, name, LogType="Tail")[0]["LogResult"]).decode()
    assert "Init Duration" not in warm


def test_client_context_reaches_the_function(aws, make):
    name = make("def handler(e, c): return c.client_context.custom\n")
    context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    assert invoke(aws, name, ClientContext=context)[1] == {"k": "v"}


def test_list_functions_pages_in_order(own_server):
    client = own_server().client("lambda")
    names = [f"page-{n:02}" for n in range(7)]
    for name in reversed(names):
        client.create_function(
            FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped({"app.py": ""})}
        )
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Functions"]) for page in pages] == [3, 3, 1]
    assert [function["FunctionName"] for page in pages for function in page["Functions"]] == names


def test_tags(aws, make):
    name = make(ECHO[PYTHON], Tags={"a": "1"})
    arn = aws.get_function_configuration(FunctionName=name)["FunctionArn"]
    aws.tag_resource(Resource=arn, Tags={"b": "2", "a": "3"})
    assert aws.list_tags(Resource=arn)["Tags"] == {"a": "3", "b": "2"}
    aws.untag_resource(Resource=arn, TagKeys=["a"])
    assert aws.list_tags(Resource=arn)["Tags"] == {"b": "2"}


def test_account_settings_count(own_server):
    client = own_server("--account-concurrency", "17").client("lambda")
    assert client.get_account_settings()["AccountUsage"]["FunctionCount"] == 0
    package = zipped({"app.py": ""})
    client.create_function(
        FunctionName="f", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": package}
    )
    settings = client.get_account_settings()
    assert settings["AccountUsage"] == {"FunctionCount": 1, "TotalCodeSize": len(package)}
    assert settings["AccountLimit"]["ConcurrentExecutions"] == 17


def test_accounts_and_regions_are_apart(server, make):
    one = server.client("lambda", account="111111111111")
    name = make(ECHO[PYTHON], client=one, Role="arn:aws:iam::111111111111:role/r")
    arn = one.get_function_configuration(FunctionName=name)["FunctionArn"]
    assert arn == f"arn:aws:lambda:us-east-1:111111111111:function:{name}"
    for other in [server.client("lambda"), server.client("lambda", account="111111111111", region="eu-west-1")]:
        with pytest.raises(other.exceptions.ResourceNotFoundException):
            other.get_function(FunctionName=name)
