"""Powertools for AWS Lambda inside functions, in Python and TypeScript: logger, metrics, tracer, batch, idempotency.
They come to a function as a layer.

Their store for idempotency is DynamoDB, which is not there yet: these tests use a persistence layer of their own, as
the documentation of Powertools describes it.
"""
import importlib.util
import io
import json
import os
import time
import zipfile
from pathlib import Path

import pytest

from conftest import PYTHON, ROLE, zipped

HERE = Path(__file__).parent
# boto3 is imported by Powertools; of botocore's tables it needs those of all services, and one service.
PYTHON_PACKAGES = ["aws_lambda_powertools", "aws_xray_sdk", "boto3", "botocore", "s3transfer", "dateutil", "urllib3",
                   "jmespath", "wrapt", "typing_extensions", "six"]
BOTOCORE_TABLES = tuple(f"python/botocore/data/{name}" for name in
                        ("dynamodb/", "endpoints", "partitions", "sdk-default", "_retry"))
NODE_PACKAGES = [f"@aws-lambda-powertools/{part}" for part in ("batch", "idempotency", "logger", "metrics", "tracer")]


def add_folder(archive, folder, name, wanted=lambda name: True):
    for directory, _, files in os.walk(folder):
        for file in files:
            path = Path(directory, file)
            inside = f"{name}/{path.relative_to(folder)}"
            if "__pycache__" not in inside and not inside.endswith((".d.ts", ".map")) and wanted(inside):
                archive.write(path, inside)


def python_layer():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for package in PYTHON_PACKAGES:
            origin = Path(importlib.util.find_spec(package).origin)
            if origin.name != "__init__.py":
                archive.write(origin, f"python/{origin.name}")
                continue
            add_folder(archive, origin.parent, f"python/{package}",
                       lambda name: "botocore/data/" not in name or name.startswith(BOTOCORE_TABLES))
    return buffer.getvalue()


def node_layer():
    """The packages and all they depend on, found as Node.js would."""
    modules = Path(os.environ["NODE_PATH"])
    buffer = io.BytesIO()
    seen, waiting = set(), [modules / name for name in NODE_PACKAGES]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        while waiting:
            folder = waiting.pop()
            if folder in seen:
                continue
            seen.add(folder)
            nested = str(folder / "node_modules")
            for directory, _, files in os.walk(folder):
                if directory.startswith(nested):
                    continue
                for file in files:
                    path = Path(directory, file)
                    if not file.endswith((".d.ts", ".map")):
                        archive.write(path, f"nodejs/node_modules/{path.relative_to(modules)}")
            manifest = json.loads((folder / "package.json").read_text())
            for name in manifest.get("dependencies", {}):
                places = [folder / "node_modules" / name] + [
                    parent / "node_modules" / name for parent in folder.parents if parent.is_relative_to(modules)]
                waiting.append(next((p for p in places if p.exists()), modules / name))
    return buffer.getvalue()


@pytest.fixture(scope="module", params=["python", "typescript"])
def shop(request, server):
    """A function in each language; invokes it, and gives the answer."""
    client = server.client("lambda")
    name = f"powertools-{request.param}"
    is_python = request.param == "python"
    layer = client.publish_layer_version(
        LayerName=name, Content={"ZipFile": python_layer() if is_python else node_layer()})
    source = HERE / ("app.py" if is_python else "app.cjs")
    client.create_function(
        FunctionName=name, Runtime=PYTHON if is_python else "nodejs22.x", Role=ROLE, Handler="app.handler", Timeout=30,
        MemorySize=512, Layers=[layer["LayerVersionArn"]], Code={"ZipFile": zipped({source.name: source.read_text()})})

    def invoke(**event):
        event = {"requestContext": {"requestId": "correlation-1"}, **event}
        reply = client.invoke(FunctionName=name, Payload=json.dumps(event))
        answer = json.loads(reply["Payload"].read())
        assert "FunctionError" not in reply, answer
        return answer

    invoke.name, invoke.server = name, server
    yield invoke
    client.delete_function(FunctionName=name)


def lines(shop, wanted):
    """The JSON lines of the function's log, once `wanted` is true of one."""
    logs = shop.server.client("logs")
    deadline = time.monotonic() + 20
    while True:
        messages = []
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{shop.name}")
            messages = [event["message"] for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            pass
        found = [json.loads(message) for message in messages if message.startswith("{")]
        if any(wanted(line) for line in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_logger(shop):
    assert [shop(do="log"), shop(do="log")] == ["logged", "logged"]
    found = lines(shop, lambda line: line.get("message") == "failed" and line.get("cold_start") is False)
    paid = [line for line in found if line.get("message") == "paid"]
    assert [line["cold_start"] for line in paid] == [True, False]
    first = paid[0]
    assert first["level"] == "INFO" and first["service"] == "shop" and first["amount"] == 5 and first["order"] == "o1"
    assert first["correlation_id"] == "correlation-1" and first["function_name"] == shop.name
    assert first["function_arn"].endswith(f":function:{shop.name}")
    assert len(first["function_request_id"]) == 36 and first["xray_trace_id"].startswith("1-")
    # MemorySize: a number in TypeScript, text in Python, as the context objects have it.
    assert int(first["function_memory_size"]) == 512
    failed = next(line for line in found if line.get("message") == "failed")
    assert failed["level"] == "ERROR"
    assert failed.get("exception_name", failed.get("error", {}).get("name")) in ("KeyError", "RangeError")


def test_metrics(shop):
    assert shop(do="metric") == "counted"
    found = lines(shop, lambda line: "Paid" in line)
    metric = next(line for line in found if "Paid" in line)
    embedded = metric["_aws"]["CloudWatchMetrics"][0]
    assert embedded["Namespace"] == "Shop" and {"Name": "Paid", "Unit": "Count"} in embedded["Metrics"]
    assert metric["service"] == "shop" and metric["shop"] == "corner" and metric["Paid"] in (2, [2.0])
    assert {"service", "shop"} <= set(embedded["Dimensions"][0])


def test_tracer_neither_fails_nor_waits_without_a_daemon(shop):
    shop(do="trace")
    started = time.monotonic()
    answers = [shop(do="trace") for _ in range(5)]
    assert time.monotonic() - started < 5
    for answer in answers:
        assert answer["item"] == "book" and answer["disabled"] is False
        assert answer["trace"].startswith("Root=1-") and "Sampled=" in answer["trace"]


def test_batch_with_partial_failures(shop):
    def record(number, body):
        return {"messageId": f"m{number}", "receiptHandle": "r", "body": json.dumps(body), "attributes": {},
                "messageAttributes": {}, "md5OfBody": "x", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders"}

    records = [record(1, {"id": 1}), record(2, {"bad": True}), record(3, {"id": 3})]
    assert shop(do="batch", Records=records) == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert shop(do="batch", Records=records[:1]) == {"batchItemFailures": []}


def test_idempotency(shop):
    first = shop(do="pay", order={"id": "a", "note": 1})
    assert shop(do="pay", order={"id": "a", "note": 2}) == first
    other = shop(do="pay", order={"id": "b"})
    assert other == {"paid": "b", "run": first["run"] + 1}
