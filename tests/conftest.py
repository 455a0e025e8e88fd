"""One server per test session, started as a user starts it, and clients for it.

Tests share the server and so name their functions uniquely (`unique`). A test that stops or moves its server
(`own_server`) gets one of its own.
"""
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
import zipfile
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
import pytest

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("LAMPLIGHTER_BIN", str(ROOT / "target/debug/lamplighter"))
REGION = "us-east-1"
ROLE = "arn:aws:iam::000000000000:role/test-role"
PYTHON = "python3.11"
NODE = "nodejs20.x"


def clean_environment(**extra):
    """The environment without anything that would steer an AWS client or the server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "LAMPLIGHTER_DATA"}
    return {**kept, **extra}


class Server:
    """A `lamplighter start` process."""

    def __init__(self, data, *arguments, listen="127.0.0.1:0", wrapper=(), environment=None, binary=BINARY):
        self.data = Path(data)
        self.arguments = arguments
        self.listen = listen
        self.wrapper = list(wrapper)
        self.binary = str(binary)
        self.environment = environment or {}
        self.start()

    def start(self):
        self.log = open(self.data.with_suffix(".log"), "ab")
        self.process = subprocess.Popen(
            [*self.wrapper, self.binary, "start", "--listen", self.listen, "--data", str(self.data), *self.arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=clean_environment(**self.environment),
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            raise RuntimeError(f"the server did not start: {line!r} {Path(self.log.name).read_text()}")
        self.endpoint = found.group(0)
        self.port = int(self.endpoint.rsplit(":", 1)[1])

    def client(self, service, account="test", region=REGION, **config):
        settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 120, **config}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=botocore.config.Config(**settings),
        )

    def kill(self):
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self):
        """As Ctrl-C does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.log.close()
        return code

    def restart(self, *arguments):
        self.arguments = arguments or self.arguments
        self.start()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server") / "data")
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path):
    """A factory of servers that belong to one test."""
    started = []

    def start(*arguments, **options):
        started.append(Server(options.pop("data", tmp_path / f"data{len(started)}"), *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture(scope="session")
def aws(server):
    return server.client("lambda")


@pytest.fixture
def unique():
    return lambda stem="fn": f"{stem}-{uuid.uuid4().hex[:10]}"


def zipped(files):
    """A deployment package. A value may be text, bytes, or (content, mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            content, mode = content if isinstance(content, tuple) else (content, 0o644)
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (0o100000 | mode) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


@pytest.fixture
def make(aws, unique):
    """Creates functions and deletes them after the test."""
    created = []

    def create(source, runtime=PYTHON, client=aws, **settings):
        name = settings.pop("FunctionName", None) or unique()
        if isinstance(source, str):
            source = {"app.py" if runtime.startswith("python") else "index.mjs": source}
        handler = {"p": "app.handler", "n": "index.handler"}
        parameters = {
            "FunctionName": name,
            "Runtime": runtime,
            "Role": ROLE,
            "Handler": handler.get(runtime[0], "bootstrap") if runtime[0:3] != "pro" else "bootstrap",
            "Code": {"ZipFile": zipped(source)},
            "Timeout": 10,
            **settings,
        }
        client.create_function(**parameters)
        created.append((client, name))
        return name

    yield create
    for client, name in created:
        try:
            client.delete_function(FunctionName=name)
        except (client.exceptions.ResourceNotFoundException, botocore.exceptions.EndpointConnectionError):
            pass  # the test deleted it, or ended its server


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lamplighter(*arguments, timeout=300, **options):
    """Runs the command line to its end."""
    environment = clean_environment(**options.pop("environment", {}))
    return subprocess.run(
        [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, env=environment, **options
    )


def advance(server, seconds):
    """Moves the server's clock forward."""
    request = urllib.request.Request(
        f"{server.endpoint}/_lamplighter/clock", data=json.dumps({"advance_ms": int(seconds * 1000)}).encode(),
        headers={"x-lamplighter": "1", "content-type": "application/json"})
    urllib.request.urlopen(request).read()


@pytest.fixture
def refused():
    """Runs a call that must fail; gives the error's code and message."""

    def error(call, **parameters):
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            call(**parameters)
        answer = raised.value.response
        return answer["Error"]["Code"], answer["Error"]["Message"]

    return error


# The venv's own scripts, such as `aws`.
SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def cli(server, tmp_path):
    """Runs the AWS CLI in the test's folder; gives what it prints, read as JSON."""
    environment = clean_environment(
        AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION=REGION,
        AWS_ENDPOINT_URL=server.endpoint, AWS_PAGER="", AWS_CONFIG_FILE=os.devnull,
    )

    def aws(*arguments):
        outcome = subprocess.run(
            [SCRIPTS / "aws", *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120
        )
        assert outcome.returncode == 0, f"aws {' '.join(arguments)}: {outcome.stderr}"
        return json.loads(outcome.stdout) if outcome.stdout.strip() else None

    return aws
