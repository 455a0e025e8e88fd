"""What goes wrong inside a function, and what its caller is told."""
import base64
import json
import re

import pytest
from conftest import NODE


def fail(aws, name, payload=b"{}"):
    answer = aws.invoke(FunctionName=name, Payload=payload, LogType="Tail")
    assert answer["StatusCode"] == 200
    tail = base64.b64decode(answer["LogResult"]).decode()
    return answer.get("FunctionError"), json.loads(answer["Payload"].read()), tail


def test_python_exception(aws, make):
    name = make("def handler(e, c):\n    raise ValueError('broken')\n")
    kind, body, tail = fail(aws, name)
    assert kind == "Unhandled"
    assert (body["errorType"], body["errorMessage"]) == ("ValueError", "broken")
    assert body["stackTrace"] == ['  File "/var/task/app.py", line 2, in handler\n    raise ValueError(\'broken\')\n']
    assert "[ERROR] ValueError: broken\nTraceback (most recent call last):" in tail.replace("\r", "\n")


def test_node_exception(aws, make):
    name = make("export const handler = async () => { throw new TypeError('broken'); };\n", NODE)
    kind, body, _ = fail(aws, name)
    assert kind == "Unhandled"
    assert (body["errorType"], body["errorMessage"]) == ("TypeError", "broken")
    assert body["trace"][0] == "TypeError: broken"
    assert "/var/task/index.mjs:1" in body["trace"][1]


def test_missing_module_and_missing_handler(aws, make):
    _, body, _ = fail(aws, make("import nothing_like_it\n"))
    assert body["errorType"] == "Runtime.ImportModuleError"
    assert body["errorMessage"] == "Unable to import module 'app': No module named 'nothing_like_it'"
    _, body, _ = fail(aws, make("x = 1\n"))
    assert body["errorType"] == "Runtime.HandlerNotFound"
    assert body["errorMessage"] == "Handler 'handler' missing on module 'app'"
    _, body, _ = fail(aws, make("export const other = 1;\n", NODE))
    assert body["errorType"] == "Runtime.HandlerNotFound"
    assert body["errorMessage"] == "index.handler is undefined or not exported"


def test_timeout_and_a_fresh_environment_after_it(aws, make):
    name = make(
        "import time\nn = 0\ndef handler(e, c):\n    global n\n    n += 1\n    if e.get('hang'): time.sleep(60)\n    return n\n",
        Timeout=1,
    )
    assert json.loads(aws.invoke(FunctionName=name)["Payload"].read()) == 1
    kind, body, tail = fail(aws, name, b'{"hang": 1}')
    assert kind == "Unhandled"
    assert body["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: \S+ Error: Task timed out after 1.00 seconds", body["errorMessage"])
    assert "Status: timeout" in tail
    assert json.loads(aws.invoke(FunctionName=name)["Payload"].read()) == 1, "the environment was replaced"


def test_out_of_memory(aws, make):
    name = make("def handler(e, c):\n    hog = bytearray(400 * 1024 * 1024)\n    return len(hog)\n", MemorySize=128)
    kind, body, tail = fail(aws, name)
    assert kind == "Unhandled"
    assert body["errorType"] == "Runtime.OutOfMemory"
    assert re.fullmatch(r"RequestId: \S+ Error: Runtime exited with error: signal: killed", body["errorMessage"])
    assert "Max Memory Used: 128 MB" in tail


def test_exit_during_a_call(aws, make):
    name = make("import os\ndef handler(e, c): os._exit(7)\n")
    kind, body, _ = fail(aws, name)
    assert kind == "Unhandled"
    assert body["errorType"] == "Runtime.ExitError"
    assert re.fullmatch(r"RequestId: \S+ Error: Runtime exited with error: exit status 7", body["errorMessage"])


def test_answer_that_is_no_json(aws, make):
    _, body, _ = fail(aws, make("def handler(e, c): return object()\n"))
    assert body["errorType"] == "Runtime.MarshalError"
    assert body["errorMessage"].startswith("Unable to marshal response: ")


def test_oversize_answer(aws, make):
    _, body, _ = fail(aws, make("def handler(e, c): return 'x' * (6 * 1024 * 1024 + 200)\n", MemorySize=512))
    assert body["errorType"] == "Function.ResponseSizeTooLarge"
    assert "6291556" in body["errorMessage"]


def test_oversize_request(aws, make):
    name = make("def handler(e, c): return len(e)\n", MemorySize=512)
    at_limit = b'"' + b"x" * (6 * 1024 * 1024 - 2) + b'"'
    assert json.loads(aws.invoke(FunctionName=name, Payload=at_limit)["Payload"].read()) == 6 * 1024 * 1024 - 2
    with pytest.raises(aws.exceptions.ClientError) as refused:
        aws.invoke(FunctionName=name, Payload=at_limit + b" ")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert refused.value.response["Error"]["Message"] == (
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    )


def test_init_failure_is_told_and_tried_again(aws, make):
    name = make("raise RuntimeError('at import')\n")
    for _ in range(2):
        _, body, _ = fail(aws, name)
        assert (body["errorType"], body["errorMessage"]) == ("RuntimeError", "at import")


def test_native_without_bootstrap(aws, make):
    name = make({"readme.txt": "no bootstrap here"}, "provided.al2023")
    _, body, _ = fail(aws, name)
    assert body["errorType"] == "Runtime.InvalidEntrypoint"
    assert "Couldn't find valid bootstrap(s)" in body["errorMessage"]


def test_malformed_event_is_refused(aws, make):
    name = make("def handler(e, c): return e\n")
    with pytest.raises(aws.exceptions.InvalidRequestContentException) as refused:
        aws.invoke(FunctionName=name, Payload=b"{not json")
    assert "Could not parse request body into json" in refused.value.response["Error"]["Message"]
