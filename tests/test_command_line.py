"""The binary's own commands, and what it refuses."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import BINARY, PYTHON, Server, clean_environment, lamplighter


def one_line_of_error(outcome):
    assert outcome.returncode != 0
    lines = outcome.stderr.strip().splitlines()
    assert len(lines) == 1, outcome.stderr
    return lines[0]


def test_invoke_logs_and_clock(server, make):
    name = make("def handler(e, c):\n    print('seen by logs')\n    return e\n")
    outcome = lamplighter("invoke", name, "--payload", '{"a": 1}', "--endpoint", server.endpoint)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout) == {"a": 1}
    assert "REPORT RequestId" in outcome.stderr

    failing = make("def handler(e, c): raise ValueError('x')\n")
    outcome = lamplighter("invoke", failing, "--endpoint", server.endpoint)
    assert outcome.returncode == 2
    assert json.loads(outcome.stdout)["errorType"] == "ValueError"

    outcome = lamplighter("invoke", "no-such-function", "--endpoint", server.endpoint)
    assert "ResourceNotFoundException: Function not found" in one_line_of_error(outcome)

    follower = subprocess.Popen(
        [BINARY, "logs", name, "--follow", "--endpoint", server.endpoint],
        stdout=subprocess.PIPE, text=True, env=clean_environment(),
    )
    try:
        assert any("seen by logs" in line for line in follower.stdout)
    finally:
        follower.kill()

    assert "ahead" in lamplighter("clock", "--endpoint", server.endpoint).stdout


def test_the_clock_moves(own_server):
    server = own_server()
    outcome = lamplighter("clock", "advance", "2h", "--endpoint", server.endpoint)
    assert "7200" in outcome.stdout, outcome.stderr
    # Requests stay good, the command line's own among them.
    assert server.client("lambda").list_functions()["Functions"] == []
    outcome = lamplighter("invoke", "nothing", "--endpoint", server.endpoint)
    assert "ResourceNotFoundException" in one_line_of_error(outcome)
    outcome = lamplighter("clock", "advance", "soon", "--endpoint", server.endpoint)
    assert outcome.returncode != 0 and "not a duration" in outcome.stderr


def test_doctor(server):
    outcome = lamplighter("doctor", "--runtime-map", "python3.14=python3.11")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    for word in ["seccomp", "cgroup", "egress", PYTHON, "python3.14"]:
        assert word in outcome.stdout


def test_help_names_every_setting():
    text = lamplighter("start", "--help").stdout
    for word in ["--listen", "LAMPLIGHTER_LISTEN", "--data", "--auth", "--store", "--runtime-map", "127.0.0.1:4566"]:
        assert word in text


def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = one_line_of_error(lamplighter("start", "--listen", address, "--data", tmp_path / "d"))
    assert address in message and "--listen" in message


def test_a_second_server_on_the_same_data_is_one_clear_line(own_server):
    server = own_server()
    message = one_line_of_error(lamplighter("start", "--listen", "127.0.0.1:0", "--data", server.data))
    assert str(server.data) in message and "in use" in message


def test_an_unusable_data_directory_is_one_clear_line(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    message = one_line_of_error(lamplighter("start", "--listen", "127.0.0.1:0", "--data", file))
    assert str(file) in message


def test_beyond_loopback_authentication_must_be_enforced(tmp_path):
    message = one_line_of_error(lamplighter("start", "--listen", "0.0.0.0:0", "--data", tmp_path / "d"))
    assert "--auth enforce" in message
    server = Server(tmp_path / "e", "--auth", "enforce", listen="0.0.0.0:0")
    server.stop()


def test_settings_from_file_and_environment(tmp_path, own_server):
    config = tmp_path / "settings.toml"
    config.write_text("account-concurrency = 5\n")
    server = own_server("--config", str(config))
    assert server.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 5
    server = own_server("--config", str(config), environment={"LAMPLIGHTER_ACCOUNT_CONCURRENCY": "6"})
    assert server.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_rootless(make):
    """The same server as an ordinary user: functions run, isolated, their memory watched."""
    with tempfile.TemporaryDirectory(prefix="lamplighter-rootless-") as home:
        os.chmod(home, 0o777)
        binary = Path(home) / "lamplighter"
        shutil.copy(BINARY, binary)
        server = Server(
            Path(home) / "data", binary=binary, environment={"HOME": home},
            wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        )
        try:
            client = server.client("lambda")
            name = make("import os\ndef handler(e, c): return [os.getpid() > 1, os.listdir('/tmp')]\n", client=client)
            assert json.loads(client.invoke(FunctionName=name)["Payload"].read()) == [True, []]
            hungry = make("def handler(e, c): return len(bytearray(600 * 1024 * 1024))\n", client=client)
            body = json.loads(client.invoke(FunctionName=hungry)["Payload"].read())
            assert body["errorType"] == "Runtime.OutOfMemory"
            for function in [name, hungry]:
                client.delete_function(FunctionName=function)
        finally:
            server.kill()
