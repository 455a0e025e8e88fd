"""What was answered survives `kill -9`; nothing of a killed server is left behind."""
import http.client
import itertools
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import PYTHON, ROLE, lamplighter, zipped


def create(client, name, source):
    client.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped({"app.py": source})}
    )


def until(condition, seconds=10):
    """Waits for something that another process does; fails loudly when it never happens."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def messages(server, name):
    logs = server.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"].rstrip("\n") for event in events]


@pytest.mark.parametrize("engine", ["fjall", "sqlite"])
def test_functions_roles_and_logs_survive_kill_9(own_server, engine):
    server = own_server("--store", engine)
    client = server.client("lambda")
    create(client, "kept", "def handler(e, c):\n    print('before the kill')\n    return 'still here'\n")
    server.client("iam").create_role(RoleName="kept-role", AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }))
    client.invoke(FunctionName="kept")
    until(lambda: "before the kill" in messages(server, "kept"))
    revision = client.get_function_configuration(FunctionName="kept")["RevisionId"]
    server.kill()

    server.restart()
    client = server.client("lambda")
    assert client.get_function_configuration(FunctionName="kept")["RevisionId"] == revision
    assert json.loads(client.invoke(FunctionName="kept")["Payload"].read()) == "still here"
    assert "before the kill" in messages(server, "kept")
    assert server.client("iam").get_role(RoleName="kept-role")["Role"]["RoleName"] == "kept-role"


def processes_of(marker):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker in (entry / "environ").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def cgroups():
    """Every control group of ours on the host."""
    listed = subprocess.run(
        ["find", "/sys/fs/cgroup", "-type", "d", "-path", "*lamplighter*"], capture_output=True, text=True
    )
    return set(listed.stdout.split())


def test_nothing_is_left_of_a_killed_server(own_server, tmp_path):
    before, mounts = cgroups(), Path("/proc/mounts").read_text()
    server = own_server()
    client = server.client("lambda")
    client.create_function(
        FunctionName="orphan", Runtime=PYTHON, Role=ROLE, Handler="app.handler",
        Environment={"Variables": {"MARKER": str(tmp_path)}},
        Code={"ZipFile": zipped({"app.py": "def handler(e, c): return 1\n"})},
    )
    client.invoke(FunctionName="orphan")
    if os.geteuid() == 0:
        assert processes_of(str(tmp_path)), "the environment is there, frozen"
    server.kill()
    until(lambda: not processes_of(f"MARKER={tmp_path}"))
    server.restart()
    assert json.loads(server.client("lambda").invoke(FunctionName="orphan")["Payload"].read()) == 1
    assert server.stop() == 0
    assert cgroups() <= before
    assert Path("/proc/mounts").read_text() == mounts
    boxes = server.data / "boxes"
    assert not boxes.exists() or not [path for path in boxes.rglob("*") if path.is_dir() and "box-" in path.name]


def test_a_stop_is_clean_and_ends_within_seconds(own_server):
    server = own_server()
    create(server.client("lambda"), "f", "def handler(e, c): print('last words')\n")
    server.client("lambda").invoke(FunctionName="f")
    assert server.stop() == 0
    server.restart()
    assert "last words" in messages(server, "f"), "logs are written before the end"


# Each run leaves a mark that is on disk before the run ends: a log stream of the event's number.
MARK = """import json, os, urllib.error, urllib.request
HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "Logs_20140328.CreateLogStream",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/logs/aws4_request, "
                     "SignedHeaders=host, Signature=0",
}
def handler(event, context):
    body = json.dumps({"logGroupName": "marks", "logStreamName": str(event["n"])}).encode()
    try:
        urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], body, HEADERS)).read()
    except urllib.error.HTTPError as error:
        if b"ResourceAlreadyExists" not in error.read():
            raise
"""


def marks(server):
    pages = server.client("logs").get_paginator("describe_log_streams").paginate(logGroupName="marks")
    return {int(stream["logStreamName"]) for page in pages for stream in page["logStreams"]}


def send_until_killed(server, numbers, accepted):
    """Sends events, and notes the numbers of those that were answered 202, until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {
        "X-Amz-Invocation-Type": "Event",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, "
                         "SignedHeaders=host, Signature=0",
    }
    try:
        while True:
            n = next(numbers)
            # Now and then one that is too large for a row, or even for a transaction.
            filler = "x" * {0: 100_000, 1: 1_000_000}.get(n % 50, 10)
            connection.request("POST", "/2015-03-31/functions/f/invocations", json.dumps({"n": n, "x": filler}), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202, answer.status
            accepted.append(n)
    except (http.client.HTTPException, OSError):
        return


@pytest.mark.parametrize("engine", ["fjall", "sqlite"])
def test_no_accepted_event_is_lost_in_twenty_kills(own_server, engine):
    server = own_server("--auth", "off", "--store", engine)
    server.client("logs").create_log_group(logGroupName="marks")
    client = server.client("lambda")
    create(client, "f", MARK)
    client.update_function_configuration(FunctionName="f", Timeout=30, MemorySize=512)
    numbers, accepted, draw = itertools.count(), [], random.Random(7)
    for _ in range(20):
        senders = [
            threading.Thread(target=send_until_killed, args=(server, numbers, accepted)) for _ in range(8)
        ]
        [sender.start() for sender in senders]
        time.sleep(draw.uniform(0.05, 0.6))
        server.kill()
        [sender.join() for sender in senders]
        server.restart()
    assert len(accepted) > 100, "the test would show nothing"
    # A run whose mark met the server's end failed, and is tried again a minute later.
    deadline = time.monotonic() + 120
    while set(accepted) - marks(server):
        assert time.monotonic() < deadline, f"{len(set(accepted) - marks(server))} of {len(accepted)} events never ran"
        time.sleep(1)
        assert lamplighter("clock", "advance", "20s", "--endpoint", server.endpoint).returncode == 0
    assert server.stop() == 0
