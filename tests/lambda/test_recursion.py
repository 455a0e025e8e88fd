"""Recursive loops: a function that invokes itself through an SDK is stopped after 16 passes."""
import json
import os
from pathlib import Path

import pytest
from conftest import PYTHON, ROLE, zipped
from targets import queue
from test_async import advance, refusal, runs, until
from test_box import slim_sdk
from test_destinations import CATCH, arn_of

# Invokes itself asynchronously, as long as it is let.
ASYNC = """import boto3, json, os
client = boto3.client("lambda")
def handler(event, context):
    print(json.dumps(["ran", event, os.environ["_X_AMZN_TRACE_ID"]]))
    if event["n"] < event["most"]:
        client.invoke(FunctionName=context.function_name, InvocationType="Event",
                      Payload=json.dumps({**event, "n": event["n"] + 1}))
"""
# Invokes itself and waits; gives back how deep it came and what stopped it.
SYNC = """import boto3, botocore, json
client = boto3.client("lambda", config=botocore.config.Config(read_timeout=60, retries={"total_max_attempts": 1}))
def handler(event, context):
    try:
        answer = client.invoke(FunctionName=context.function_name, Payload=json.dumps({"n": event["n"] + 1}))
        return json.loads(answer["Payload"].read())
    except client.exceptions.RecursiveInvocationException as error:
        return [event["n"], error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]]
"""


@pytest.fixture(scope="module")
def sdk():
    return slim_sdk()


def test_an_asynchronous_loop_ends_after_sixteen_passes(server, aws, make, sdk):
    name, audit = make({**sdk, "app.py": ASYNC}, MemorySize=512, Timeout=30), make(CATCH)
    aws.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn_of(aws, audit)}}
    )
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1, "most": 40}')
    record, _ = until(lambda: runs(server, audit), seconds=90)[0]
    assert record["requestContext"]["condition"] == "RecursiveInvocation"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["requestPayload"]["n"] == 17
    until(lambda: len(runs(server, name)) == 16)
    headers = [header for _, header in runs(server, name)]
    assert len({header.split(";")[0] for header in headers}) == 1, "one trace"
    lineages = [header.split("Lineage=")[1].split(":") for header in headers]
    assert [(int(length), int(count)) for length, _, count in lineages] == [(n + 1, n) for n in range(16)]


def test_a_synchronous_loop_is_refused(server, make, sdk):
    client = server.client("lambda", read_timeout=120)
    name = make({**sdk, "app.py": SYNC}, MemorySize=512, Timeout=60)
    answer = client.invoke(FunctionName=name, Payload=b'{"n": 1}')
    assert "FunctionError" not in answer
    depth, error, status = json.loads(answer["Payload"].read())
    assert (depth, error["Code"], status) == (16, "RecursiveInvocationException", 400)
    assert error["Message"].startswith("Lambda has detected your function being invoked in a recursive loop")


def test_a_loop_that_is_allowed_goes_on(server, aws, make, sdk):
    name = make({**sdk, "app.py": ASYNC}, MemorySize=512, Timeout=30)
    assert aws.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    assert aws.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")["RecursiveLoop"] == "Allow"
    assert aws.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1, "most": 20}')
    until(lambda: len(runs(server, name)) == 20, seconds=90)


def javascript_sdk():
    """The AWS SDK for JavaScript as the tests have it, if they have it."""
    root = next((Path(path) for path in os.environ.get("NODE_PATH", "").split(":") if (Path(path) / "@aws-sdk/client-lambda").exists()), None)
    if root is None:
        pytest.skip("there is no AWS SDK for JavaScript on this host")
    files, seen, wanted = {}, set(), ["@aws-sdk/client-lambda"]
    while wanted:
        package = wanted.pop()
        if package in seen or not (root / package / "package.json").exists():
            continue
        seen.add(package)
        manifest = json.loads((root / package / "package.json").read_text())
        wanted += manifest.get("dependencies", {})
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.suffix in (".js", ".cjs", ".mjs", ".json") and "dist-types" not in path.parts:
                files[f"node_modules/{path.relative_to(root)}"] = path.read_bytes()
    return files


def test_the_javascript_sdk_carries_the_chain(server, aws, make):
    source = """import { LambdaClient, InvokeCommand } from "@aws-sdk/client-lambda";
const client = new LambdaClient();
export const handler = async (event, context) => {
  console.log(JSON.stringify(["ran", event, process.env._X_AMZN_TRACE_ID]));
  await client.send(new InvokeCommand({ FunctionName: context.functionName, InvocationType: "Event",
                                        Payload: JSON.stringify({ n: event.n + 1 }) }));
};
"""
    name = make({**javascript_sdk(), "index.mjs": source}, runtime="nodejs22.x", MemorySize=512, Timeout=30,
                LoggingConfig={"LogFormat": "JSON"})
    audit = make(CATCH)
    aws.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn_of(aws, audit)}}
    )
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    record, _ = until(lambda: runs(server, audit), seconds=120)[0]
    assert record["requestContext"]["condition"] == "RecursiveInvocation"
    assert record["requestPayload"]["n"] == 17


def test_the_configuration_is_the_functions_own(server, aws, make, unique):
    name = make(CATCH)
    assert refusal(aws.get_function_recursion_config, FunctionName=unique())[0] == "ResourceNotFoundException"
    client = server.client("lambda", parameter_validation=False)
    assert refusal(client.put_function_recursion_config, FunctionName=name, RecursiveLoop="Sometimes")[0] == "ValidationException"
    assert aws.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"


def test_a_loop_through_a_queue_ends_after_sixteen_passes(own_server):
    server = own_server()
    client = server.client("lambda")
    source = """import boto3, json, os
client = boto3.client("sqs")
def handler(event, context):
    for record in event["Records"]:
        n = int(record["body"])
        print(json.dumps(["ran", n, os.environ["_X_AMZN_TRACE_ID"]]))
        if n < 40:
            client.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=str(n + 1))
"""
    dead, dead_arn = queue(server)
    url, arn = queue(server, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1}),
                     VisibilityTimeout="60")
    client.create_function(
        FunctionName="f", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=30, MemorySize=512,
        Environment={"Variables": {"QUEUE": url}}, Code={"ZipFile": zipped({**slim_sdk("sqs"), "app.py": source})})
    client.create_event_source_mapping(FunctionName="f", EventSourceArn=arn, BatchSize=1)
    server.client("sqs").send_message(QueueUrl=url, MessageBody="1")
    until(lambda: len(runs(server, "f")) == 16, seconds=120)
    # The last one stays in the queue until it has been received too often.
    sqs = server.client("sqs")

    def is_dead():
        advance(server, 61)
        return sqs.receive_message(QueueUrl=dead).get("Messages")

    message, = until(is_dead, seconds=60)
    assert message["Body"] == "17" and len(runs(server, "f")) == 16
