"""Functions that start from images of their interpreter: nothing of one is in another, nothing of the host is in an
image, and where there is no image all is as ever."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from conftest import PYTHON, zipped

CANARY = "canary-7d1f0c2e"


def canary(name):
    """At least 32 letters, told in no other test; the last 24 are a digest's."""
    return f"canary-{name}-" + hashlib.sha256(name.encode()).hexdigest()[:24]


PROBE = """
import hashlib, json, os, socket, sys
FROM = os.readlink("/proc/self/exe")
ID = os.environ.get("CANARY", "")

def search(head, rest):
    # The rest of what is looked for is known by its digest only, so that the search never finds itself.
    found, length = [], 24
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(at, 16) for at in span.split("-"))
            memory.seek(start)
            content = memory.read(end - start)
            at = content.find(head)
            while at >= 0:
                after = at + len(head)
                if hashlib.sha256(content[after : after + length]).hexdigest() == rest:
                    found.append(line)
                at = content.find(head, at + 1)
    return found

def handler(event, context):
    if "plant" in event:
        secret = event["plant"]
        globals()["kept"] = [secret * 3, secret.encode() * 3]
        open("/tmp/" + secret, "w").write(secret)
        globals()["listener"] = socket.create_server(("127.0.0.1", 7007))
        globals()["file"] = open("/tmp/" + secret)
        os.environ["PLANTED"] = secret
        return FROM
    if "look" in event:
        try:
            socket.create_connection(("127.0.0.1", 7007), 1)
            connected = True
        except OSError:
            connected = False
        files = {name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + name)}
        return {
            "from": FROM, "memory": search(event["look"].encode(), event["rest"]), "tmp": os.listdir("/tmp"), "connected": connected,
            "environ": sorted(set(os.environ) & {"PLANTED"}), "files": files,
        }
    return {"from": FROM, "boto3": "boto3" in sys.modules, "boto3_file": getattr(sys.modules.get("boto3"), "__file__", None)}
"""
RESTORED = "/var/lib/lamplighter/restore"


@pytest.fixture
def images(own_server):
    """A server of its own whose image is made, and a maker of functions on it."""
    server = own_server("--images", "on", environment={"SECRET_OF_THE_SERVER": CANARY})
    return Images(server)


class Images:
    def __init__(self, server):
        self.server = server
        self.aws = server.client("lambda")

    def files(self):
        return sorted(self.server.data.glob("images/*.image"))

    def wait(self, count=1):
        deadline = time.monotonic() + 120
        while len(self.files()) < count:
            assert time.monotonic() < deadline, "no image was made: " + Path(self.server.log.name).read_text()
            time.sleep(0.05)

    def make(self, name, files, handler="probe.handler", runtime=PYTHON, **settings):
        files = files if isinstance(files, dict) else {"probe.py": files}
        self.aws.create_function(
            FunctionName=name, Runtime=runtime, Handler=handler, Role="arn:aws:iam::000000000000:role/r",
            Code={"ZipFile": zipped(files)}, Timeout=60, MemorySize=512, **settings,
        )

    def call(self, name, event=None):
        answer = self.aws.invoke(FunctionName=name, Payload=json.dumps(event or {}))
        body = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, body
        return body


def test_an_image_is_made_for_the_first_function_and_used(images):
    images.make("one", PROBE)
    # The first start does not wait for it.
    assert images.call("one")["from"] != RESTORED
    images.wait()
    images.make("two", PROBE)
    assert images.call("two")["from"] == RESTORED
    images.aws.update_function_configuration(FunctionName="one", Description="a new generation")
    assert images.call("one")["from"] == RESTORED
    # It outlives the server.
    before = [(path, path.stat().st_mtime_ns) for path in images.files()]
    images.server.kill()
    images.server.start()
    again = Images(images.server)
    again.make("three", PROBE)
    assert again.call("three")["from"] == RESTORED
    assert [(path, path.stat().st_mtime_ns) for path in again.files()] == before


def test_without_a_python_function_nothing_is_made(images):
    images.make("native", {"bootstrap": ("#!/bin/sh\n", 0o755)}, runtime="provided.al2023", handler="x")
    assert not images.server.data.joinpath("images").exists()


def test_images_can_be_switched_off(own_server):
    off = Images(own_server("--images", "off"))
    off.make("one", PROBE)
    assert off.call("one")["from"] != RESTORED
    assert not off.server.data.joinpath("images").exists()


def test_nothing_of_one_function_is_in_another(images):
    images.make("first", PROBE)
    images.wait()
    for name in ("planter", "looker"):
        images.make(name, PROBE, Environment={"Variables": {"CANARY": canary(name)}})
    planted = canary("planted")
    assert images.call("planter", {"plant": planted}) == RESTORED

    def look(name, secret):
        head, rest = secret[:-24], secret[-24:]
        return images.call(name, {"look": head, "rest": hashlib.sha256(rest.encode()).hexdigest()})

    # The search finds what is there.
    assert look("planter", planted)["memory"] and look("looker", canary("looker"))["memory"]
    for secret in (planted, canary("planter")):
        seen = look("looker", secret)
        assert seen["from"] == RESTORED
        assert (seen["memory"], seen["tmp"], seen["connected"], seen["environ"]) == ([], [], False, [])
    assert look("planter", canary("looker"))["memory"] == []
    kinds = {re.sub(r"\d+", "N", target) for target in seen["files"].values()}
    assert kinds <= {"/null", "/dev/null", "pipe:[N]", "socket:[N]", "/proc/N/fd"}, seen["files"]


def test_nothing_of_the_host_is_in_an_image(images):
    images.make("first", PROBE, Environment={"Variables": {"CANARY": "function-environment-canary"}})
    images.call("first")
    images.wait()
    [path] = images.files()
    assert path.stat().st_mode & 0o222 == 0 and path.parent.stat().st_mode & 0o077 == 0
    content = path.read_bytes()
    for secret in [
        CANARY, "SECRET_OF_THE_SERVER", "function-environment-canary", str(images.server.data), "AWS_SESSION_TOKEN=",
        "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "_HANDLER=", "AWS_LAMBDA_FUNCTION_NAME=", "/probe.py",
    ]:
        assert secret.encode() not in content, secret
    for name, value in os.environ.items():
        if len(value) > 10 and name != "PATH":
            assert f"{name}={value}".encode() not in content, name


OWN_SDK = {"probe.py": "import boto3\n" + PROBE, "boto3/__init__.py": "OWN = True\n"}


def test_a_function_with_its_own_sdk_gets_it(images):
    images.make("first", PROBE)
    images.wait()
    images.make("own", OWN_SDK)
    assert images.call("own")["boto3_file"] == "/var/task/boto3/__init__.py"
    if json.loads(images.files()[0].with_suffix(".json").read_text())["about"].startswith('{"sdk":null'):
        assert images.call("own")["from"] == RESTORED


HERE = "python%d.%d" % sys.version_info[:2]


@pytest.mark.skipif(HERE != PYTHON, reason="the SDK of the tests is another Python's")
def test_the_sdk_comes_from_a_folder_of_the_host(own_server, tmp_path):
    (tmp_path / "sdk" / PYTHON).mkdir(parents=True)
    (tmp_path / "sdk" / PYTHON / "site-packages").symlink_to(Path(boto3.__file__).parent.parent)
    folders = ":".join([str(tmp_path / "sdk"), *filter(None, [os.environ.get("LAMPLIGHTER_RUNTIMES")])])
    images = Images(own_server("--images", "on", environment={"LAMPLIGHTER_RUNTIMES": folders}))
    code = PROBE + """
import boto3
BEFORE = repr(boto3.DEFAULT_SESSION)
client = boto3.client("lambda")
def call(event, context):
    names = [each["FunctionName"] for each in client.list_functions()["Functions"]]
    frozen = boto3.DEFAULT_SESSION.get_credentials().get_frozen_credentials()
    mine = frozen.access_key == os.environ["AWS_ACCESS_KEY_ID"] and frozen.token == os.environ["AWS_SESSION_TOKEN"]
    return [FROM, boto3.__file__.split("boto3")[0], BEFORE, mine, client.meta.region_name, "uses" in names]
"""
    images.make("uses", {"probe.py": code}, handler="probe.call")
    place = f"/var/lang/lib/{PYTHON}/site-packages/"
    plain = images.call("uses")
    assert plain[0] != RESTORED and plain[1:] == [place, "None", True, "us-east-1", True]
    images.wait()
    images.aws.update_function_configuration(FunctionName="uses", Description="again")
    assert images.call("uses") == [RESTORED, *plain[1:]]
    # The function's own goes before it, and has an image without the SDK, made when it is first wanted.
    images.make("own", OWN_SDK)
    assert images.call("own")["boto3_file"] == "/var/task/boto3/__init__.py"
    images.wait(2)
    images.aws.update_function_configuration(FunctionName="own", Description="again")
    again = images.call("own")
    assert again["boto3_file"] == "/var/task/boto3/__init__.py" and again["from"] == RESTORED


@pytest.mark.parametrize(
    "files, settings",
    [
        ({"json.py": "OWN = True\n", "probe.py": PROBE}, {}),
        (PROBE, {"Environment": {"Variables": {"PYTHONHASHSEED": "1"}}}),
        (PROBE, {"Environment": {"Variables": {"LC_ALL": "C"}}}),
        (PROBE, {"Environment": {"Variables": {"PYTHONPATH": "/tmp"}}}),
    ],
    ids=["own json", "hash seed", "locale", "search path"],
)
def test_what_is_unusual_starts_plainly(images, files, settings):
    images.make("first", PROBE)
    images.wait()
    images.make("unusual", files, **settings)
    assert images.call("unusual")["from"] != RESTORED


def test_a_search_path_of_the_functions_own_is_taken_over(images):
    images.make("first", PROBE)
    images.wait()
    files = {"lib/helper.py": "VALUE = 'from lib'\n", "probe.py": PROBE, "app.py": (
        "import helper, probe, sys\ndef handler(event, context): return [probe.FROM, helper.VALUE, sys.path[:2]]\n"
    )}
    images.make("path", files, handler="app.handler", Environment={"Variables": {"PYTHONPATH": "/var/task/lib"}})
    assert images.call("path") == [RESTORED, "from lib", ["/var/task", "/var/task/lib"]]


def test_an_image_that_cannot_be_restored_is_left_and_the_start_is_plain(images):
    images.make("first", PROBE)
    images.wait()
    [path] = images.files()
    # Whole by its head, broken in its pages.
    content = bytearray(path.read_bytes())
    content[len(content) // 3 :] = bytes(len(content) - len(content) // 3)
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o444)
    images.make("second", PROBE)
    assert images.call("second")["from"] != RESTORED
    deadline = time.monotonic() + 60
    while images.files():
        assert time.monotonic() < deadline, "the broken image is still there"
        time.sleep(0.05)
    assert images.call("second")["from"] != RESTORED


def test_a_function_that_breaks_its_own_process_does_not_cost_others_their_image(images):
    images.make("first", PROBE)
    images.wait()
    images.make("crashes", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    answer = images.aws.invoke(FunctionName="crashes")
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "Runtime.ExitError"
    images.make("second", PROBE)
    assert images.call("second")["from"] == RESTORED


OWN_VARIABLES = (
    "AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_LOG_STREAM_NAME AWS_ENDPOINT_URL"
    " _X_AMZN_TRACE_ID"
).split()


@pytest.mark.parametrize(
    "variables", [{}, {"TZ": "Asia/Tokyo", "PYTHONPATH": "/var/task/lib:/var/task/none"}, {"HOME": "/tmp"}],
    ids=["usual", "variables", "home"],
)
def test_a_function_cannot_tell_the_difference(images, own_server, variables):
    """All that a process can see of itself, from the image and plainly."""
    source = Path(__file__).resolve().parents[2] / "runtimes/tests/handlers/python/surroundings.py"
    more = (
        "import os, pwd, sys, surroundings\n"
        "def handler(event, context):\n"
        "    seen = surroundings.handler(event, context)\n"
        "    seen.update(home=os.path.expanduser('~'), user=os.getuid(), groups=os.getgroups(), host=os.uname().nodename)\n"
        "    seen.update(pid=os.getpid(), tmp=os.listdir('/tmp'), task=sorted(os.listdir('/var/task')))\n"
        "    return [os.readlink('/proc/self/exe'), seen]\n"
    )
    files = {"surroundings.py": source.read_text(), "more.py": more, "pkg/__init__.py": "", "lib/own.py": ""}
    images.make("first", PROBE)
    images.wait()
    if "HOME" in variables:
        # Without the SDK, which looks for it as it is loaded.
        images.make("home", PROBE, Environment={"Variables": variables})
        images.wait(2)
    seen = []
    for where in (images, Images(own_server("--images", "off"))):
        where.make("look", files, handler="more.handler", Environment={"Variables": variables})
        program, told = where.call("look")
        for name in OWN_VARIABLES:
            told["environ"].pop(name)
        for name in ("of_children", "of_kernel"):
            told.pop(name)
        seen.append((program, told))
    assert seen[0][0] == RESTORED and seen[1][0] != RESTORED
    one, other = seen[0][1], seen[1][1]
    assert {name: (one[name], other[name]) for name in other if one[name] != other[name]} == {}


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_libraries_of_the_function_and_its_layers_are_found(images, tmp_path):
    """The linker has seen these folders empty when the image was made."""
    libraries = {}
    for name in ("mine", "layered"):
        source = tmp_path / f"{name}.c"
        source.write_text(f"int {name}(void) {{ return {len(name)}; }}\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / f"lib{name}.so"), str(source)], check=True)
        libraries[name] = (tmp_path / f"lib{name}.so").read_bytes()
    images.make("first", PROBE)
    images.wait()
    layer = images.aws.publish_layer_version(
        LayerName="libs", Content={"ZipFile": zipped({"lib/liblayered.so": libraries["layered"]})}
    )["LayerVersionArn"]
    code = (
        "import ctypes, probe\n"
        "def handler(event, context):\n"
        "    return [probe.FROM, ctypes.CDLL('libmine.so').mine(), ctypes.CDLL('liblayered.so').layered()]\n"
    )
    files = {"app.py": code, "probe.py": PROBE, "lib/libmine.so": libraries["mine"]}
    images.make("native", files, handler="app.handler", Layers=[layer])
    assert images.call("native") == [RESTORED, 4, 7]
