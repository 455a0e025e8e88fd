"""A Python function that starts from an image, beside one that starts plainly: nobody can tell them apart.

Without boxes: `restore` and `libcheckpoint.so` are those that cargo built last (`LAMPLIGHTER_IMAGE_TOOLS`, or the newest
below the target directory)."""

import glob
import json
import os
import shutil
import subprocess
import sys

import pytest

import compare
from fake_runtime_api import ROOT, Event, run_client
from test_python import HANDLERS, LOGS, TABLE, clean_body, clean_log, interpreters

TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(ROOT), "target"))
LOCALE = "C.UTF-8"


def tools():
    folders = glob.glob(os.path.join(TARGET, "*", "build", "lamplighter-sandbox-*", "out"))
    folders = [folder for folder in folders if os.path.exists(os.path.join(folder, "restore"))]
    return os.environ.get("LAMPLIGHTER_IMAGE_TOOLS") or max(folders, key=os.path.getmtime, default=None)


pytestmark = pytest.mark.skipif(tools() is None, reason="restore and libcheckpoint.so are not built")


class Runtime:
    """A runtime client with its library, and the images of an interpreter."""

    def __init__(self, folder, python):
        self.folder, self.python = folder, python
        self.client = os.path.join(folder, "client")
        shutil.copytree(os.path.join(ROOT, "python"), self.client, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(os.path.join(tools(), "checkpoint"), os.path.join(self.client, "libcheckpoint.so"))
        self.restore = os.path.join(folder, "restore")
        shutil.copy(os.path.join(tools(), "restore"), self.restore)
        os.chmod(self.restore, 0o755)
        self.plain = [python, "-u", os.path.join(self.client, "bootstrap.py")]
        self.images = {}

    def image(self, purpose="generic"):
        if purpose not in self.images:
            path = os.path.join(self.folder, purpose + ".image")
            env = {"PATH": "/usr/bin:/bin", "LANG": LOCALE, "TZ": ":UTC", "PYTHONPATH": self.client}
            env["LAMPLIGHTER_IMAGE"] = purpose
            # Only the standard descriptors and the image may be open.
            run = 'exec 3> "$0"; for f in /proc/self/fd/*; do n=${f##*/}; [ "$n" -gt 3 ] && eval "exec $n>&-"; done; exec "$@"'
            command = ["/bin/bash", "-c", run, path, *self.plain]
            made = subprocess.run(command, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True)
            assert made.returncode == 0, made.stderr
            self.images[purpose] = [self.restore, path], json.loads(made.stdout)
        return self.images[purpose]

    def run(self, from_image, handler, events, task_root=HANDLERS, env=None, **options):
        command = self.image()[0] if from_image else self.plain
        env = {"PYTHONPATH": self.client, "LANG": LOCALE, **(env or {})}
        return run_client(command, task_root, handler, events, env=env, **options)


@pytest.fixture(scope="module", params=interpreters().values(), ids=list(interpreters()))
def runtime(request, tmp_path_factory):
    return Runtime(str(tmp_path_factory.mktemp("runtime")), request.param)


def both(runtime, handler, event=1, **options):
    plain, restored = (runtime.run(way, handler, [Event(event)], **options) for way in (False, True))
    plain, restored = plain.answers[0].json(), restored.answers[0].json()
    for body in (plain, restored):
        assert not isinstance(body, dict) or "errorMessage" not in body, body
    return plain, restored


@pytest.mark.parametrize("log", ["text", "json"])
def test_the_whole_table(runtime, log):
    """Every handler of the table: the same answers, the same log to the last byte (but for its times)."""
    for handler, events in TABLE:
        outcomes = []
        for way in (False, True):
            outcome = runtime.run(way, handler, events, env=LOGS[log], framed=True)
            frames = [(kind, compare.text(message)) for kind, message in outcome.frames]
            answers = compare.answers(outcome, clean_body)
            outcomes.append((answers, compare.text(outcome.output), frames, outcome.status))
        assert outcomes[1] == outcomes[0], handler


SETTINGS = {
    "usual": {},
    "variables": {"A": "1", "EMPTY": "", "ODD": "a=b=c", "ÜMLAUT": "ß", "HOME": "/tmp"},
    "time_zone": {"TZ": "America/New_York"},
    "path": {"PYTHONPATH": "/mine:/opt/too/../too:/mine"},
    "json": LOGS["json"],
}


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_surroundings(runtime, setting):
    plain, restored = both(runtime, "surroundings.handler", env=SETTINGS[setting])
    own = plain["environ"]["AWS_LAMBDA_RUNTIME_API"], restored["environ"]["AWS_LAMBDA_RUNTIME_API"]
    restored = json.loads(json.dumps(restored).replace(own[1], own[0]))
    assert {name: restored[name] for name in plain if restored[name] != plain[name]} == {
        name: plain[name] for name in plain if restored[name] != plain[name]
    }


def test_nothing_random_is_shared(runtime):
    outcomes = [runtime.run(True, "surroundings.randomness", [Event(1)]).answers[0].json() for _ in range(3)]
    for name in outcomes[0]:
        assert len({outcome[name] for outcome in outcomes}) == 3, name


def test_what_is_told_of_an_image(runtime):
    about = runtime.image()[1]
    assert {"json", "asyncio", "logging", "sys"} <= set(about["names"])
    assert "sys" in about["early"] and "asyncio" not in about["early"]
    assert os.path.realpath(runtime.python) in [os.path.realpath(path) for path in about["always"]]
    assert bool(about["sdk"]) == ("boto3" in about["names"])
    assert runtime.image("generic-bare")[1]["sdk"] is None
    assert "boto3" not in runtime.image("generic-bare")[1]["names"]


def test_no_environment_is_in_an_image(runtime, monkeypatch):
    """What the process had as its environment is nothing but the platform's generic one; nothing of ours."""
    path = runtime.image()[0][1]
    with open(path, "rb") as file:
        content = file.read()
    for name, value in os.environ.items():
        if len(value) > 12 and name not in ("PATH", "LANG") and value not in runtime.python:
            assert f"{name}={value}".encode() not in content, name


def test_modules_of_the_function_are_found(runtime, tmp_path):
    """A package of the function's, next to one of its own name in a layer; a directory that was not there before."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("from .inner import value")
    (tmp_path / "mine" / "inner.py").write_text("value = 'inner'")
    (tmp_path / "app.py").write_text(
        "import mine, sys, json\ndef handler(event, context): return [mine.value, mine.__file__, json.__file__]"
    )
    plain, restored = both(runtime, "app.handler", task_root=str(tmp_path))
    assert plain == restored


def test_a_client_of_the_sdk(runtime):
    """Its credentials, region and endpoint are those of the function; a second session reads everything anew."""
    if not runtime.image()[1]["sdk"]:
        pytest.skip("this interpreter has no boto3")
    env = {
        "AWS_ACCESS_KEY_ID": "AKIDFUNCTION",
        "AWS_SECRET_ACCESS_KEY": "of the function",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "http://localhost:4566",
    }
    plain, restored = both(runtime, "uses_sdk.handler", env=env)
    assert plain == restored
    assert restored["default_session"] is None and restored["keys"] == ["AKIDFUNCTION", "of the function", "token"]
