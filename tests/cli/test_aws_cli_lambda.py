"""The whole of Lambda through the AWS CLI: every feature once, as people type it."""
import json
import time
import urllib.parse
import urllib.request

import pytest
from conftest import PYTHON, zipped

ROLE = "arn:aws:iam::000000000000:role/cli"
CODE = """import json, os
try:
    from shared import GREETING
except ImportError:
    GREETING = "hello"
def handler(event, context):
    if isinstance(event, dict) and "boom" in event:
        raise ValueError("boom")
    return {"greeting": GREETING, "version": context.function_version, "stage": os.environ.get("STAGE")}
"""


@pytest.fixture
def function(cli, unique, tmp_path):
    name = unique("whole")
    (tmp_path / "code.zip").write_bytes(zipped({"app.py": CODE}))
    cli("lambda", "create-function", "--function-name", name, "--runtime", PYTHON, "--role", ROLE,
        "--handler", "app.handler", "--zip-file", "fileb://code.zip", "--environment", "Variables={STAGE=one}")
    cli("lambda", "wait", "function-active-v2", "--function-name", name)
    yield name
    cli("lambda", "delete-function", "--function-name", name)


@pytest.fixture
def call(cli, tmp_path):
    def call(name, *arguments):
        answer = cli("lambda", "invoke", "--function-name", name, *arguments, "out.json")
        return answer, json.loads((tmp_path / "out.json").read_text() or "null")

    return call


def eventually(look, seconds=30):
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


def test_versions_and_aliases(cli, call, function):
    one = cli("lambda", "publish-version", "--function-name", function, "--description", "first")
    assert one["Version"] == "1" and one["Description"] == "first"
    cli("lambda", "update-function-configuration", "--function-name", function, "--environment", "Variables={STAGE=two}")
    cli("lambda", "wait", "function-updated-v2", "--function-name", function)
    assert cli("lambda", "publish-version", "--function-name", function)["Version"] == "2"
    listed = cli("lambda", "list-versions-by-function", "--function-name", function)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]

    alias = cli("lambda", "create-alias", "--function-name", function, "--name", "live", "--function-version", "1")
    assert alias["AliasArn"].endswith(f":{function}:live")
    answer, payload = call(function, "--qualifier", "live")
    assert answer["ExecutedVersion"] == "1" and payload == {"greeting": "hello", "version": "1", "stage": "one"}
    cli("lambda", "update-alias", "--function-name", function, "--name", "live", "--routing-config",
        "AdditionalVersionWeights={2=1.0}")
    assert call(f"{function}:live")[1]["stage"] == "two"
    cli("lambda", "update-alias", "--function-name", function, "--name", "live", "--function-version", "2",
        "--routing-config", "AdditionalVersionWeights={}")
    assert cli("lambda", "get-alias", "--function-name", function, "--name", "live")["FunctionVersion"] == "2"
    assert len(cli("lambda", "list-aliases", "--function-name", function)["Aliases"]) == 1
    cli("lambda", "delete-function", "--function-name", function, "--qualifier", "1")
    cli("lambda", "delete-alias", "--function-name", function, "--name", "live")


def test_layers(cli, call, function, unique, tmp_path):
    layer = unique("shared")
    (tmp_path / "layer.zip").write_bytes(zipped({"python/shared.py": "GREETING = 'from the layer'\n"}))
    made = cli("lambda", "publish-layer-version", "--layer-name", layer, "--zip-file", "fileb://layer.zip",
               "--compatible-runtimes", PYTHON)
    assert made["Version"] == 1
    cli("lambda", "update-function-configuration", "--function-name", function, "--layers", made["LayerVersionArn"])
    cli("lambda", "wait", "function-updated-v2", "--function-name", function)
    assert call(function)[1]["greeting"] == "from the layer"
    cli("lambda", "add-layer-version-permission", "--layer-name", layer, "--version-number", "1", "--statement-id",
        "all", "--action", "lambda:GetLayerVersion", "--principal", "*")
    policy = cli("lambda", "get-layer-version-policy", "--layer-name", layer, "--version-number", "1")["Policy"]
    assert json.loads(policy)["Statement"][0]["Sid"] == "all"
    assert layer in [each["LayerName"] for each in cli("lambda", "list-layers")["Layers"]]
    cli("lambda", "delete-layer-version", "--layer-name", layer, "--version-number", "1")
    assert call(function)[1]["greeting"] == "from the layer"


def test_concurrency(cli, call, function):
    cli("lambda", "publish-version", "--function-name", function)
    cli("lambda", "put-function-concurrency", "--function-name", function, "--reserved-concurrent-executions", "3")
    got = cli("lambda", "get-function-concurrency", "--function-name", function)
    assert got == {"ReservedConcurrentExecutions": 3}
    cli("lambda", "put-provisioned-concurrency-config", "--function-name", function, "--qualifier", "1",
        "--provisioned-concurrent-executions", "2")

    def ready():
        got = cli("lambda", "get-provisioned-concurrency-config", "--function-name", function, "--qualifier", "1")
        return got if got["Status"] == "READY" else None

    assert eventually(ready)["AvailableProvisionedConcurrentExecutions"] == 2
    assert call(function, "--qualifier", "1")[1]["version"] == "1"
    cli("lambda", "delete-provisioned-concurrency-config", "--function-name", function, "--qualifier", "1")
    cli("lambda", "delete-function-concurrency", "--function-name", function)


def test_events_and_destinations(cli, call, function, unique, tmp_path):
    target = unique("target")
    (tmp_path / "target.zip").write_bytes(zipped({"app.py": "def handler(e, c): print('GOT', __import__('json').dumps(e))\n"}))
    made = cli("lambda", "create-function", "--function-name", target, "--runtime", PYTHON, "--role", ROLE,
               "--handler", "app.handler", "--zip-file", "fileb://target.zip")
    cli("lambda", "put-function-event-invoke-config", "--function-name", function, "--maximum-retry-attempts", "0",
        "--destination-config", json.dumps({"OnFailure": {"Destination": made["FunctionArn"]}}))
    answer, _ = call(function, "--invocation-type", "Event", "--payload", '{"boom": 1}')
    assert answer["StatusCode"] == 202

    def arrived():
        events = cli("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{target}")["events"]
        return [event["message"] for event in events if event["message"].startswith("GOT")]

    eventually(lambda: [g for g in cli("logs", "describe-log-groups")["logGroups"]
                        if g["logGroupName"] == f"/aws/lambda/{target}"])
    record = json.loads(eventually(arrived)[0].removeprefix("GOT "))
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestPayload"] == {"boom": 1} and record["responsePayload"]["errorMessage"] == "boom"
    cli("lambda", "delete-function", "--function-name", target)


def test_policies_and_urls(cli, function, server):
    for action, extra in [
        ("lambda:InvokeFunctionUrl", ["--function-url-auth-type", "NONE"]),
        ("lambda:InvokeFunction", ["--invoked-via-function-url"]),
    ]:
        cli("lambda", "add-permission", "--function-name", function, "--statement-id", action.split(":")[1],
            "--action", action, "--principal", "*", *extra)
    policy = json.loads(cli("lambda", "get-policy", "--function-name", function)["Policy"])
    assert len(policy["Statement"]) == 2
    url = cli("lambda", "create-function-url-config", "--function-name", function, "--auth-type", "NONE")["FunctionUrl"]
    # Names below `localhost` lead nowhere on hosts without a resolver for them, so the name goes into the header.
    host = urllib.parse.urlsplit(url).netloc
    request = urllib.request.Request(f"{server.endpoint}/path?a=1", headers={"Host": host})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["greeting"] == "hello"
    cli("lambda", "delete-function-url-config", "--function-name", function)
    cli("lambda", "remove-permission", "--function-name", function, "--statement-id", "InvokeFunctionUrl")


def test_smaller_settings(cli, function):
    cli("lambda", "put-runtime-management-config", "--function-name", function, "--update-runtime-on", "FunctionUpdate")
    got = cli("lambda", "get-runtime-management-config", "--function-name", function)
    assert got["UpdateRuntimeOn"] == "FunctionUpdate"
    cli("lambda", "put-function-recursion-config", "--function-name", function, "--recursive-loop", "Allow")
    got = cli("lambda", "get-function-recursion-config", "--function-name", function)
    assert got == {"RecursiveLoop": "Allow"}
    signing = cli("lambda", "create-code-signing-config", "--allowed-publishers",
                  "SigningProfileVersionArns=arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/abcdefghij")
    arn = signing["CodeSigningConfig"]["CodeSigningConfigArn"]
    cli("lambda", "put-function-code-signing-config", "--function-name", function, "--code-signing-config-arn", arn)
    got = cli("lambda", "list-functions-by-code-signing-config", "--code-signing-config-arn", arn)
    assert [each.rsplit(":", 1)[1] for each in got["FunctionArns"]] == [function]
    cli("lambda", "delete-function-code-signing-config", "--function-name", function)
    cli("lambda", "delete-code-signing-config", "--code-signing-config-arn", arn)
    changed = cli("lambda", "update-function-configuration", "--function-name", function, "--logging-config",
                  "LogFormat=JSON,SystemLogLevel=DEBUG", "--ephemeral-storage", "Size=1024")
    assert changed["LoggingConfig"]["LogFormat"] == "JSON" and changed["EphemeralStorage"] == {"Size": 1024}
    assert cli("lambda", "get-account-settings")["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert cli("lambda", "list-event-source-mappings")["EventSourceMappings"] == []
