"""What was answered survives `kill -9`; nothing of a killed server is left behind."""
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PYTHON, ROLE, zipped


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
