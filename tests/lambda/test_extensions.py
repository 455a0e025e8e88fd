"""Extensions: processes of their own from layers, and threads of the runtime, through all phases of an environment."""
import base64
import json
import re
import time

import pytest
from conftest import PYTHON, zipped

EXTENSION = '''#!/usr/bin/env python3
import json, os, sys, time, urllib.request
API = "http://%s/2020-01-01/extension/" % os.environ["AWS_LAMBDA_RUNTIME_API"]
NAME = os.path.basename(sys.argv[0])
def call(method, path, headers, body=None):
    request = urllib.request.Request(API + path, method=method, headers=headers, data=body)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.loads(answer.read() or b"null")
if os.environ.get("MODE") == "crash":
    print("about to crash", flush=True)
    sys.exit(3)
head, about = call("POST", "register",
                   {"Lambda-Extension-Name": NAME, "Lambda-Extension-Accept-Feature": "accountId"},
                   json.dumps({"events": ["INVOKE", "SHUTDOWN"]}).encode())
me = {"Lambda-Extension-Identifier": head["Lambda-Extension-Identifier"]}
seen = [name for name in ("_HANDLER", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_REGION", "STAGE") if name in os.environ]
print("REGISTERED", json.dumps(about), json.dumps(seen), flush=True)
if os.environ.get("MODE") in ("init/error", "exit/error"):
    call("POST", os.environ["MODE"], {**me, "Lambda-Extension-Function-Error-Type": "My.Reason"}, b"{}")
while True:
    _, event = call("GET", "event/next", me)
    print("EVENT", json.dumps(event), flush=True)
    if event["eventType"] == "SHUTDOWN":
        break
    if os.environ.get("MODE") == "crash in invoke":
        os._exit(4)
    time.sleep(float(os.environ.get("SLEEP", 0)))
'''

FUNCTION = """
import os, signal, sys, time
import urllib.request
def bye(*_):
    print("SIGTERM seen", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
print("function init", flush=True)
def handler(event, context):
    if event.get("sleep"):
        time.sleep(event["sleep"])
    if event.get("exit"):
        os._exit(5)
    print("in handler", flush=True)
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
"""


def eventually(check, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found or time.monotonic() > deadline:
            assert found
            return found
        time.sleep(0.05)


def log_of(server, name):
    logs = server.client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [event["message"] for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


def events(lines, kind):
    found = [json.loads(line[len("EVENT "):]) for line in lines if line.startswith("EVENT ")]
    return [event for event in found if event["eventType"] == kind]


@pytest.fixture
def make_with(aws, make, unique):
    """Functions with a layer of extensions: file names and contents, or (content, mode)."""

    def create(extensions, source=FUNCTION, client=aws, **settings):
        files = {f"extensions/{name}": content if isinstance(content, tuple) else (content, 0o755)
                 for name, content in extensions.items()}
        layer = client.publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": zipped(files)})
        return make(source, client=client, Layers=[layer["LayerVersionArn"]], **settings)

    return create


def invoke(aws, name, payload=None, **options):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(payload or {}), **options)
    return answer, json.loads(answer["Payload"].read() or b"null")


def test_an_external_extension_lives_with_its_function(server, aws, make_with):
    name = make_with({"watch.py": EXTENSION}, Environment={"Variables": {"STAGE": "x"}})
    answer, _ = invoke(aws, name)
    assert "FunctionError" not in answer
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = eventually(lambda: (got := log_of(server, name)) and any("REPORT" in line for line in got) and got)
    text = "".join(lines)
    registered = next(line for line in lines if line.startswith("REGISTERED"))
    about = {"functionName": name, "functionVersion": "$LATEST", "handler": "app.handler",
             "accountId": "000000000000"}
    assert json.dumps(about) in registered and '["AWS_REGION", "STAGE"]' in registered
    assert "EXTENSION\tName: watch.py\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n" in text
    order = [text.index(word) for word in ("REGISTERED", "function init", "EXTENSION", "START RequestId", "in handler", "REPORT")]
    assert order == sorted(order), text
    [told] = events(lines, "INVOKE")
    assert told["requestId"] == request_id
    assert told["invokedFunctionArn"].endswith(f":function:{name}")
    assert told["tracing"]["type"] == "X-Amzn-Trace-Id" and told["tracing"]["value"].startswith("Root=1-")
    assert abs(told["deadlineMs"] / 1000 - time.time() - 10) < 10
    assert not events(lines, "SHUTDOWN")

    aws.update_function_configuration(FunctionName=name, Description="new")
    lines = eventually(lambda: events(got := log_of(server, name), "SHUTDOWN") and got)
    [told] = events(lines, "SHUTDOWN")
    assert told["shutdownReason"] == "spindown" and told["deadlineMs"] > 0
    assert "SIGTERM seen\n" in lines


def test_a_stopping_server_tells_extensions(own_server, make_with, unique):
    server = own_server()
    client = server.client("lambda")
    name = make_with({"watch.py": EXTENSION}, client=client)
    invoke(client, name)
    assert server.stop() == 0
    server.restart()
    assert [event["shutdownReason"] for event in events(log_of(server, name), "SHUTDOWN")] == ["spindown"]


@pytest.mark.parametrize("payload,reason,error", [({"sleep": 5}, "timeout", "Sandbox.Timedout"),
                                                  ({"exit": True}, "failure", "Runtime.ExitError")])
def test_the_reason_of_a_failure_is_told(server, aws, make_with, payload, reason, error):
    name = make_with({"watch.py": EXTENSION}, Timeout=1)
    answer, body = invoke(aws, name, payload)
    assert answer["FunctionError"] == "Unhandled" and body["errorType"] == error
    lines = eventually(lambda: events(got := log_of(server, name), "SHUTDOWN") and got)
    assert events(lines, "SHUTDOWN")[0]["shutdownReason"] == reason
    answer, _ = invoke(aws, name)
    assert "FunctionError" not in answer, "a new environment serves the next request"


def test_a_slow_extension_keeps_its_environment_and_not_the_caller(server, aws, make_with):
    name = make_with({"slow": EXTENSION}, Environment={"Variables": {"SLEEP": "0.7"}})
    invoke(aws, name)
    began = time.monotonic()
    _, first = invoke(aws, name)
    assert time.monotonic() - began < 3
    _, second = invoke(aws, name)
    assert first != second, "the environment of the first was busy with its extension"
    tail, third = invoke(aws, name, LogType="Tail")
    tail = base64.b64decode(tail["LogResult"]).decode()
    duration = float(re.search(r"\tDuration: ([\d.]+) ms", tail).group(1))
    assert duration >= 700, tail


@pytest.mark.parametrize("mode,error,cause,state", [
    ("crash", "Extension.Crash", "exit status 3", "Exited"),
    ("init/error", "Extension.InitError", "My.Reason", "InitError"),
    ("exit/error", "Extension.ExitError", "My.Reason", "ExitError"),
    ("crash in invoke", "Extension.Crash", "exit status 4", "Ready"),
])
def test_an_extension_that_fails_fails_the_function(server, aws, make_with, mode, error, cause, state):
    source = FUNCTION if mode != "crash in invoke" else FUNCTION.replace("in handler", "in handler").replace(
        "    print(", "    time.sleep(3)\n    print(")
    name = make_with({"bad.py": EXTENSION}, source, Environment={"Variables": {"MODE": mode}})
    answer, body = invoke(aws, name)
    assert answer["FunctionError"] == "Unhandled"
    assert body["errorType"] == error and cause in body["errorMessage"], body
    lines = eventually(lambda: (got := log_of(server, name)) and any("REPORT" in line for line in got) and got)
    text = "".join(lines)
    assert f"EXTENSION\tName: bad.py\tState: {state}" in text, text
    assert f"Error Type: {error}" in text


def test_an_extension_that_cannot_be_run(server, aws, make_with):
    name = make_with({"bad.sh": ("#!/bin/sh\n", 0o644)})
    answer, body = invoke(aws, name)
    assert body["errorType"] == "Extension.LaunchError"
    assert body["errorMessage"].endswith("Error: fork/exec /opt/extensions/bad.sh: permission denied")


def test_ten_extensions_are_the_most(aws, make_with):
    ten = {f"e{n}.py": EXTENSION for n in range(10)}
    answer, body = invoke(aws, make_with(ten, MemorySize=1024))
    assert "FunctionError" not in answer, body
    answer, body = invoke(aws, make_with({**ten, "one-more.py": EXTENSION}, MemorySize=1024))
    assert body["errorType"] == "Extension.LaunchError" and "Extension limit (10) reached" in body["errorMessage"]


INTERNAL = '''
import json, os, threading, urllib.error, urllib.request
API = "http://%s/2020-01-01/extension/" % os.environ["AWS_LAMBDA_RUNTIME_API"]
def call(method, path, headers, body=None):
    request = urllib.request.Request(API + path, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.headers, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return None, json.loads(error.read())
def register(events):
    return call("POST", "register", {"Lambda-Extension-Name": "inside"}, json.dumps({"events": events}).encode())
refused = register(["INVOKE", "SHUTDOWN"])[1]
head, _ = register(["INVOKE"])
told = []
def listen():
    while True:
        _, event = call("GET", "event/next", {"Lambda-Extension-Identifier": head["Lambda-Extension-Identifier"]})
        told.append(event["requestId"])
threading.Thread(target=listen, daemon=True).start()
def handler(event, context):
    return {"refused": refused, "told": told, "late": register(["INVOKE"])[1]}
'''


def test_an_internal_extension_hears_of_invokes(server, aws, make):
    name = make(INTERNAL)
    first, body = invoke(aws, name)
    assert body["refused"] == {"errorType": "Extension.InvalidEventType",
                               "errorMessage": "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"}
    assert body["late"]["errorType"] == "Extension.RegistrationClosed"
    second, body = invoke(aws, name)
    assert body["told"][0] == first["ResponseMetadata"]["RequestId"]
    eventually(lambda: any("EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]" in line
                           for line in log_of(server, name)))
