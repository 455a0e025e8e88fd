"""AWS's own runtime clients, packaged with a function as `provided.al2023`: they know nothing of this platform.

Python: PyPI `awslambdaric`, with its native part. Rust: the crate `lambda_runtime`. Node.js: npm `aws-lambda-ric`; its
native part needs cmake and autotools to build, so its three calls are made by runtimes/tests/official_node.cjs instead.

All three functions do what their event asks for, and answer the same.
"""
import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

# Build results and downloads, kept from session to session.
CACHE = Path(os.environ.get("LAMPLIGHTER_TEST_CACHE") or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "peers")

PYTHON_HANDLER = """
import os, time
calls = 0
class PeerError(Exception): pass
def handler(event, context):
    global calls
    calls += 1
    print(f"asked for {event['op']}, call {calls}")
    if event['op'] == 'fail':
        raise PeerError('no luck')
    time.sleep(event.get('sleep_ms', 0) / 1000)
    return {'value': event.get('value'), 'calls': calls, 'environment': os.environ['AWS_LAMBDA_LOG_STREAM_NAME'],
            'request_id': context.aws_request_id, 'function_arn': context.invoked_function_arn,
            'remaining_ms': context.get_remaining_time_in_millis()}
"""

NODE_HANDLER = """
let calls = 0;
class PeerError extends Error { constructor(m) { super(m); this.name = 'PeerError'; } }
exports.handler = async (event, context) => {
  calls += 1;
  console.log(`asked for ${event.op}, call ${calls}`);
  if (event.op === 'fail') throw new PeerError('no luck');
  await new Promise((done) => setTimeout(done, event.sleep_ms ?? 0));
  return { value: event.value ?? null, calls, environment: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
           request_id: context.awsRequestId, function_arn: context.invokedFunctionArn,
           remaining_ms: context.getRemainingTimeInMillis() };
};
"""


def folder(path, prefix=""):
    """The files of a folder, for a package."""
    return {
        f"{prefix}{file.relative_to(path)}": file.read_bytes()
        for file in sorted(Path(path).rglob("*")) if file.is_file() and "__pycache__" not in file.parts
    }


def script(command):
    return (f"#!/bin/sh\nset -e\n{command}\n", 0o755)


def python_package():
    version = f"python3.{sys.version_info.minor}"
    interpreter = Path("/usr/bin") / version
    if not interpreter.exists():
        pytest.skip(f"the tests run with {version}; a box has only what is in /usr, and {interpreter} is not there")
    found = importlib.util.find_spec("awslambdaric")
    if not found:
        pytest.skip("awslambdaric is not installed: pip install -r tests/requirements.txt")
    site = Path(found.origin).parent.parent
    files = {"app.py": PYTHON_HANDLER, "bootstrap": script(f"export PYTHONPATH=/var/task\nexec {interpreter} -m awslambdaric app.handler")}
    for name in ["awslambdaric", "simplejson"]:
        files |= folder(site / name, f"{name}/")
    for file in [*site.glob("runtime_client*.so"), *site.glob("snapshot_restore_py.py")]:
        files[file.name] = file.read_bytes()
    return files


def node_package():
    node = Path("/usr/bin/node")
    if not node.exists():
        pytest.skip("a box has only what is in /usr, and there is no /usr/bin/node")
    major = int(re.match(r"v(\d+)", subprocess.run([node, "--version"], capture_output=True, text=True).stdout).group(1))
    version = "4.0.2" if major >= 22 else "3.3.0"  # version 4 wants Node.js 22
    client = CACHE / f"aws-lambda-ric-{version}"
    if not client.exists():
        scratch = CACHE / "npm"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        # Without its install scripts: they build the native part.
        install = ["npm", "install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--prefix", str(scratch)]
        subprocess.run([*install, f"aws-lambda-ric@{version}"], check=True, capture_output=True, timeout=300)
        (scratch / "node_modules").rename(client)
    files = {
        name: content for name, content in folder(client, "node_modules/").items()
        if "/deps/" not in name and "/.bin/" not in name and not name.endswith((".tar.gz", ".tar.xz", ".map"))
    }
    files["app.js"] = NODE_HANDLER
    files["official_node.cjs"] = (ROOT / "runtimes/tests/official_node.cjs").read_bytes()
    files["bootstrap"] = script(f"exec {node} official_node.cjs /var/task/node_modules/aws-lambda-ric app.handler")
    return files


def rust_package():
    if not shutil.which("cargo"):
        pytest.skip("cargo is not installed")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(CACHE)}
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet"],
        cwd=ROOT / "tests/peers/rust", check=True, env=environment, timeout=600,
    )
    return {"bootstrap": ((CACHE / "release/peer").read_bytes(), 0o755)}


PACKAGES = {"python": python_package, "node": node_package, "rust": rust_package}


@pytest.fixture(scope="session", params=PACKAGES)
def package(request):
    """The client's name and a function with it."""
    return request.param, PACKAGES[request.param]()


@pytest.fixture
def peer(make, package):
    def create(**settings):
        return make(package[1], "provided.al2023", Handler="app.handler", **{"MemorySize": 512, **settings})

    return create


def ask(client, name, op="echo", **event):
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"op": op, **event}), LogType="Tail")
    assert answer["StatusCode"] == 200
    tail = base64.b64decode(answer["LogResult"]).decode().splitlines()
    return answer, json.loads(answer["Payload"].read()), tail


def test_answers_warm_and_in_the_log(aws, peer):
    name = peer()
    environments = set()
    for call in range(1, 6):
        value = {"n": call, "text": "grüße 😀", "list": [1, 2.5, None, True]}
        answer, body, tail = ask(aws, name, value=value)
        assert "FunctionError" not in answer, body
        assert body["value"] == value
        assert body["calls"] == call, "the environment stays warm"
        assert body["request_id"] == answer["ResponseMetadata"]["RequestId"]
        assert body["function_arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        assert 0 < body["remaining_ms"] <= 10_000
        assert any(line.endswith(f"asked for echo, call {call}") for line in tail), tail
        assert any(line.startswith(f"REPORT RequestId: {body['request_id']}\t") for line in tail)
        assert any("Init Duration" in line for line in tail) == (call == 1)
        environments.add(body["environment"])
    assert len(environments) == 1


def test_error_and_what_comes_after_it(aws, peer):
    name = peer()
    assert ask(aws, name)[1]["calls"] == 1
    answer, body, tail = ask(aws, name, "fail")
    assert answer["FunctionError"] == "Unhandled"
    assert (body["errorType"], body["errorMessage"]) == ("PeerError", "no luck")
    assert any("asked for fail, call 2" in line for line in tail)
    assert ask(aws, name)[1]["calls"] == 3, "an error of the handler does not end the environment"


def test_timeout_and_a_fresh_environment_after_it(aws, peer):
    name = peer(Timeout=2)
    before = ask(aws, name)[1]
    answer, body, tail = ask(aws, name, "sleep", sleep_ms=60_000)
    assert answer["FunctionError"] == "Unhandled"
    assert body["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: \S+ Error: Task timed out after 2.00 seconds", body["errorMessage"])
    assert any("asked for sleep, call 2" in line for line in tail)
    after = ask(aws, name)[1]
    assert after["calls"] == 1 and after["environment"] != before["environment"]


def test_five_megabytes_in_and_out(aws, peer):
    name = peer(MemorySize=1769, Timeout=60)
    value = "0123456789abcdef" * (5 * 1024 * 1024 // 16)
    for call in (1, 2):
        answer, body, _ = ask(aws, name, value=value)
        assert "FunctionError" not in answer, str(body)[:300]
        assert body["value"] == value and body["calls"] == call


def test_calls_at_once_have_environments_of_their_own(server, peer):
    name = peer(Timeout=60)
    together = threading.Barrier(3)

    def call(number):
        client = server.client("lambda")
        together.wait()
        return ask(client, name, value=number, sleep_ms=2_000)[1]

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(call, range(3)))
    assert [answer["value"] for answer in answers] == [0, 1, 2]
    assert [answer["calls"] for answer in answers] == [1, 1, 1]
    assert len({answer["environment"] for answer in answers}) == 3


def test_a_rust_function_streams_its_answer(aws, make):
    """Through AWS's own crate, which puts HTTP metadata before every stream; a plain Invoke gets all of it at once."""
    name = make(rust_package(), "provided.al2023", MemorySize=512)
    words = ["one, ", "two, ", "x" * 100_000]
    event = json.dumps({"op": "stream", "value": words})
    events = list(aws.invoke_with_response_stream(FunctionName=name, Payload=event)["EventStream"])
    assert events.pop() == {"InvokeComplete": {}}
    body = b"".join(event["PayloadChunk"]["Payload"] for event in events)
    metadata, text = body.split(bytes(8))
    assert json.loads(metadata)["statusCode"] == 200
    assert text.decode() == "".join(words)
    answer = aws.invoke(FunctionName=name, Payload=event)
    assert "FunctionError" not in answer
    assert answer["Payload"].read() == body
    assert ask(aws, name)[1]["calls"] == 3


@pytest.mark.parametrize("client, file, source, kind", [
    ("python", "app.py", "import nothing_like_it\n", "Runtime.ImportModuleError"),
    ("python", "app.py", "other = 1\n", "Runtime.HandlerNotFound"),
    ("node", "app.js", "require('nothing-like-it');\n", "Runtime.ImportModuleError"),
    ("node", "app.js", "exports.other = 1;\n", "Runtime.HandlerNotFound"),
])
def test_an_error_before_the_first_call(aws, make, client, file, source, kind):
    """The client posts it to /init/error and ends; the caller is told, and so is the next one."""
    name = make({**PACKAGES[client](), file: source}, "provided.al2023", Handler="app.handler", MemorySize=512)
    for _ in range(2):
        answer, body, tail = ask(aws, name)
        assert answer["FunctionError"] == "Unhandled"
        assert body["errorType"] == kind, (body, tail)
        assert body["errorMessage"]
