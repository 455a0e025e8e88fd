"""What a function finds in its box, and what it cannot reach."""
import base64
import json
import os
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore
import pytest
from conftest import NODE, PYTHON, zipped


def run(aws, name, event=None):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(event or {}), LogType="Tail")
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


PROBE = """
import os, socket, subprocess
def attempt(f):
    try:
        return repr(f())
    except BaseException as error:
        return type(error).__name__
def handler(event, context):
    return {key: attempt(lambda: eval(text, {'os': os, 'socket': socket, 'subprocess': subprocess})) for key, text in event.items()}
"""


def test_host_files_are_out_of_reach(aws, make, server, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("host secret")
    os.chmod(secret, 0o644)
    name = make(PROBE)
    found = run(aws, name, {
        "secret": f"open({str(secret)!r}).read()",
        "shadow": "open('/etc/shadow').read()",
        "data": f"os.listdir({str(server.data)!r})",
        "root": "os.listdir('/root')",
        "home": "os.listdir('/home')",
        "task": "open('/var/task/new', 'w')",
        "etc": "open('/etc/new', 'w')",
        "usr": "open('/usr/new', 'w')",
    })
    refused = {"FileNotFoundError", "PermissionError", "OSError", "[]"}
    assert set(found.values()) <= refused, found


def test_own_uid_no_capabilities_and_few_processes(aws, make):
    name = make(PROBE)
    found = run(aws, name, {
        "uid": "os.getuid()",
        "status": "open('/proc/self/status').read()",
        "pids": "[p for p in os.listdir('/proc') if p.isdigit()]",
        "mount": "subprocess.run(['mount', '-t', 'tmpfs', 'x', '/tmp'], capture_output=True).returncode",
        "unshare": "subprocess.run(['unshare', '-U', 'true'], capture_output=True).returncode",
    })
    assert found["uid"] != "0"
    status = dict(line.split(":\\t", 1) for line in eval(found["status"]).replace(":\t", ":\\t").splitlines())
    assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    assert len(eval(found["pids"])) <= 3
    assert found["mount"] != "0" and found["unshare"] != "0"


def test_tmp_is_private_sized_and_kept_while_warm(aws, make):
    source = """
import os
def handler(event, context):
    before = sorted(os.listdir('/tmp'))
    open('/tmp/kept', 'w').write('x')
    error = None
    try:
        with open('/tmp/big', 'wb') as out:
            for _ in range(600): out.write(bytes(1024 * 1024))
    except OSError as e:
        error = e.errno
    finally:
        os.unlink('/tmp/big')
    return [before, error]
"""
    first, second = make(source, MemorySize=1024, Timeout=60), make(source, MemorySize=1024, Timeout=60)
    assert run(aws, first) == [[], 28]
    assert run(aws, first) == [["kept"], 28]
    assert run(aws, second) == [[], 28]


def loop_devices():
    """How many loop devices hold a file, in the whole machine."""
    return sum(int((device / "size").read_text()) > 0 for device in Path("/sys/block").glob("loop*"))


TMP_ON_DISK = os.geteuid() == 0 and os.path.exists("/dev/loop-control") and bool(shutil.which("mkfs.ext4"))
FILL = """
import os
def handler(event, context):
    before, done = sorted(os.listdir('/tmp')), 0
    with open('/tmp/' + event['name'], 'wb', buffering=0) as out:
        try:
            while done < event['mib']:
                out.write(bytes(1024 * 1024))
                done += 1
        except OSError as error:
            return [before, error.errno, done]
    return [before, None, done]
"""


@pytest.mark.skipif(not TMP_ON_DISK, reason="/tmp is in memory here")
def test_tmp_is_a_disk_and_no_memory(aws, make):
    name = make(FILL, MemorySize=128, Timeout=60)
    assert run(aws, name, {"name": "a", "mib": 400}) == [[], None, 400]
    before, error, done = run(aws, name, {"name": "b", "mib": 200})
    assert (before, error) == (["a"], 28) and 110 <= done <= 120
    larger = make(FILL, MemorySize=128, Timeout=60, EphemeralStorage={"Size": 1024})
    assert run(aws, larger, {"name": "a", "mib": 900}) == [[], None, 900]


@pytest.mark.skipif(not TMP_ON_DISK, reason="/tmp is in memory here")
def test_disks_are_gone_with_their_server(own_server, make):
    before = loop_devices()
    server = own_server()
    aws = server.client("lambda")
    for size in (512, 600):
        assert run(aws, make(FILL, client=aws, EphemeralStorage={"Size": size}), {"name": "a", "mib": 1})[1] is None
    assert loop_devices() > before
    server.kill()
    deadline = time.monotonic() + 20
    while loop_devices() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert loop_devices() <= before
    server.restart()
    name = make(FILL, client=server.client("lambda"))
    assert run(server.client("lambda"), name, {"name": "b", "mib": 1}) == [[], None, 1]


def test_network_reaches_the_platform_and_nothing_else_of_the_host(aws, make, server):
    listener = socket.create_server(("127.0.0.1", 0))
    name = make(PROBE)
    found = run(aws, name, {
        "platform": f"socket.create_connection(('localhost', {server.port}), 3).close()",
        "host": f"socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 3)",
        "world": "socket.create_connection(('192.0.2.1', 80), 3)",
    })
    listener.close()
    assert found["platform"] == "None"
    assert found["host"] == "ConnectionRefusedError"
    assert found["world"] in ("OSError", "TimeoutError")


def test_functions_do_not_see_each_other(aws, make):
    one = make("def handler(e, c):\n    open('/tmp/mine', 'w').write('secret')\n    return open('/proc/self/status').read()\n")
    two = make(PROBE)
    run(aws, one)
    found = run(aws, two, {"tmp": "os.listdir('/tmp')", "uid": "os.getuid()", "kill": "os.kill(1, 9)"})
    assert found["tmp"] == "[]"


def test_environment_is_as_in_aws(aws, make, server):
    name = make("import os\ndef handler(e, c): return dict(os.environ)\n", Environment={"Variables": {"MINE": "1"}})
    found = run(aws, name)
    expected = {
        "_HANDLER": "app.handler",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "TZ": ":UTC",
        "MINE": "1",
        "AWS_ENDPOINT_URL": f"http://localhost:{server.port}",
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["AWS_ACCESS_KEY_ID"].startswith("ASIA") and found["AWS_SESSION_TOKEN"]
    host_only = {"PATH", "LANG", "HOME", "PWD"}
    leaked = {key for key in os.environ if key in found and found[key] == os.environ[key]} - host_only - set(expected)
    assert not {key for key in leaked if not key.startswith(("LC_", "LD_", "PYTHON"))}, leaked


def slim_sdk(*services):
    """boto3 with the data of the few services that a test uses (and STS and Lambda): as a user would package it."""
    services = ("sts", "lambda", *services)
    site = Path(botocore.__file__).parent.parent
    files = {}
    for package in ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3"]:
        for path in sorted((site / package).rglob("*")):
            relative = path.relative_to(site)
            data = relative.parts[:2] == ("botocore", "data") and len(relative.parts) > 3
            if path.is_file() and path.suffix != ".pyc" and not (data and relative.parts[2] not in services):
                files[str(relative)] = path.read_bytes()
    files["six.py"] = (site / "six.py").read_bytes()
    return files


def test_an_sdk_inside_reaches_the_platform_with_the_roles_credentials(aws, make):
    source = "import boto3\ndef handler(e, c):\n    me = boto3.client('sts').get_caller_identity()\n    return [me['Account'], me['Arn'], len(boto3.client('lambda').list_functions()['Functions'])]\n"
    name = make({**slim_sdk(), "app.py": source}, MemorySize=512, Timeout=30)
    account, arn, count = run(aws, name)
    assert account == "000000000000"
    assert arn == f"arn:aws:sts::000000000000:assumed-role/test-role/{name}"
    assert count >= 1


def test_concurrent_calls_run_side_by_side(aws, make, server):
    name = make(
        "import time, os, uuid\nME = str(uuid.uuid4())\ndef handler(e, c):\n    start = time.time()\n    time.sleep(1.5)\n    return [ME, start, time.time()]\n",
    )
    client = server.client("lambda", max_pool_connections=20)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: json.loads(client.invoke(FunctionName=name)["Payload"].read()), range(8)))
    assert len({me for me, _, _ in results}) == 8, "each concurrent call has an environment of its own"
    assert max(start for _, start, _ in results) < min(end for _, _, end in results), "all ran at the same time"


def test_account_limit_throttles(own_server):
    from conftest import ROLE

    server = own_server("--account-concurrency", "2")
    client = server.client("lambda", max_pool_connections=20)
    client.create_function(
        FunctionName="slow", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=30,
        Code={"ZipFile": zipped({"app.py": "import time\ndef handler(e, c): time.sleep(2)\n"})},
    )
    barrier, outcomes = threading.Barrier(4), []

    def call():
        barrier.wait()
        try:
            outcomes.append(client.invoke(FunctionName="slow")["StatusCode"])
        except client.exceptions.TooManyRequestsException as error:
            outcomes.append(error.response)

    threads = [threading.Thread(target=call) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    throttled = [outcome for outcome in outcomes if outcome != 200]
    assert len(throttled) == 2 and outcomes.count(200) == 2
    for response in throttled:
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert response["Reason"] == "ConcurrentInvocationLimitExceeded"


@pytest.mark.parametrize("runtime", ["python3.10", "python3.12", "python3.13", "python3.14", "nodejs22.x", "nodejs24.x"])
def test_other_runtimes_run_or_say_what_is_missing(aws, make, runtime):
    python = "import sys\ndef handler(e, c): return '%d.%d' % sys.version_info[:2]\n"
    node = "export const handler = async () => process.versions.node.split('.')[0];\n"
    try:
        name = make(python if runtime.startswith("python") else node, runtime)
    except aws.exceptions.InvalidParameterValueException as error:
        message = error.response["Error"]["Message"]
        assert f"runtime '{runtime}' needs" in message and "--runtime-map" in message
        return
    version = run(aws, name)
    assert runtime in (f"python{version}", f"nodejs{version}.x")


@pytest.mark.parametrize("runtime", [PYTHON, NODE])
def test_a_wrapper_script_starts_the_runtime(aws, make, runtime):
    files = {
        "app.py": "import os\ndef handler(e, c): return os.environ.get('WRAPPED')\n",
        "index.mjs": "export const handler = async () => process.env.WRAPPED;\n",
        "wrap.sh": ("#!/bin/sh\nexport WRAPPED=yes\nexec \"$@\"\n", 0o755),
    }
    settings = {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap.sh"}}}
    assert run(aws, make(files, runtime, **settings)) == "yes"
    settings["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"] = "/var/task/missing.sh"
    answer = aws.invoke(FunctionName=make(files, runtime, **settings), LogType="Tail")
    assert json.loads(answer["Payload"].read())["errorType"] == "Runtime.ExitError"
    assert "missing.sh" in base64.b64decode(answer["LogResult"]).decode()


def test_node_forms(aws, make):
    forms = {
        "index.js": "exports.handler = (event, context, callback) => callback(null, 'callback');\n",
        "index.mjs": "await Promise.resolve();\nexport const handler = async () => 'esm with top-level await';\n",
    }
    for file, source in forms.items():
        name = make({file: source}, NODE)
        assert run(aws, name) in ("callback", "esm with top-level await")
    name = make({"lib/deep.cjs": "exports.a = {b: async () => 'nested'};\n"}, NODE, Handler="lib/deep.a.b")
    assert run(aws, name) == "nested"
