"""SnapStart: versions that start from a snapshot of their initialised process."""
import base64
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.conftest import ROLE, Server, advance, zipped

ON = {"ApplyOn": "PublishedVersions"}
PYTHONS = ("python3.12", "python3.13", "python3.14")


@pytest.fixture(scope="module")
def snap_server(tmp_path_factory):
    running = Server(
        tmp_path_factory.mktemp("snapstart") / "data", environment={"LAMPLIGHTER_IMAGES": "on"}
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def snap(snap_server):
    return snap_server.client("lambda")


@pytest.fixture
def logs(snap_server):
    return snap_server.client("logs")


def create(client, name, files, **settings):
    """A function with SnapStart on the first Python of this host that goes with it."""
    files = {"app.py": files} if isinstance(files, str) else files
    for runtime in PYTHONS:
        try:
            client.create_function(
                FunctionName=name, Runtime=runtime, Role=ROLE, Handler="app.handler",
                Code={"ZipFile": zipped(files)}, **{"Timeout": 10, "MemorySize": 512, "SnapStart": ON, **settings},
            )
            return name
        except ClientError as missing:
            if "is not supported for SnapStart" in str(missing):
                raise
    pytest.skip("this host has no Python from 3.12 on")


@pytest.fixture
def make_snap(snap, unique):
    created = []

    def make(files, **settings):
        created.append(create(snap, unique(), files, **settings))
        return created[-1]

    yield make
    for name in created:
        try:
            snap.delete_function(FunctionName=name)
        except snap.exceptions.ResourceNotFoundException:
            pass


def settled(client, name, version="1", limit=60):
    """The version's configuration, once it is not pending any more."""
    deadline = time.monotonic() + limit
    while True:
        config = client.get_function_configuration(FunctionName=name, Qualifier=version)
        if config["State"] != "Pending":
            return config
        assert time.monotonic() < deadline, config
        time.sleep(0.05)


def publish(client, name):
    version = client.publish_version(FunctionName=name)["Version"]
    config = settled(client, name, version)
    assert config["State"] == "Active", config
    assert config["SnapStart"]["OptimizationStatus"] == "On", config
    return version


def call(client, name, version="1", event=None):
    answer = client.invoke(FunctionName=name, Qualifier=version, Payload=json.dumps(event or {}))
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


def call_logged(client, name, version="1"):
    answer = client.invoke(FunctionName=name, Qualifier=version, LogType="Tail")
    return json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode()


def apart(client, name, count, version="1", event=None):
    """Answers of so many environments, all busy at the same time."""
    event = {"sleep": 1.5, **(event or {})}
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: call(client, name, version, event), range(count)))


def refusal(operation, **parameters):
    with pytest.raises(ClientError) as refused:
        operation(**parameters)
    error = refused.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def messages(logs, name):
    """All lines of the function's log, by stream."""
    group = f"/aws/lambda/{name}"
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    read = lambda stream: logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    return {one["logStreamName"]: [event["message"] for event in read(one["logStreamName"])] for one in streams}


SLEEPY = "import time\ndef rest(event): time.sleep(event.get('sleep', 0))\n"


def test_a_version_starts_from_its_snapshot(snap, make_snap, logs):
    name = make_snap(
        """
import os, time, uuid
from snapshot_restore_py import register_after_restore, register_before_snapshot
MADE = str(uuid.uuid4())
seen = []
register_before_snapshot(seen.append, "before: registered first, runs last")
register_before_snapshot(seen.append, "before: registered last, runs first")
@register_after_restore
def first(): seen.append("after 1 " + os.environ["AWS_LAMBDA_LOG_STREAM_NAME"])
register_after_restore(lambda *words, end: seen.append(" ".join(words) + end), "after", "2", end="!")
os.environ["CHANGED"] = "by the function"
print("initialised")
def handler(event, context):
    return {"made": MADE, "seen": seen, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
            "stream": context.log_stream_name, "version": context.function_version,
            "env": os.environ["CHANGED"], "own": os.environ["OWN"],
            "ours": [name for name in os.environ if name.startswith(("LAMPLIGHTER", "_LAMBDA"))]}
""",
        Environment={"Variables": {"OWN": "value", "LAMPLIGHTER_IMAGE": "mine"}},
    )
    published = snap.publish_version(FunctionName=name)
    assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
    config = settled(snap, name)
    assert config["State"] == "Active" and "StateReasonCode" not in config
    assert config["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    listed = snap.list_versions_by_function(FunctionName=name)["Versions"]
    assert [one["SnapStart"]["OptimizationStatus"] for one in listed] == ["Off", "On"]
    first, log = call_logged(snap, name)
    assert first["seen"] == [
        "before: registered last, runs first", "before: registered first, runs last",
        f"after 1 {first['stream']}", "after 2!",
    ]
    assert (first["type"], first["version"], first["ours"]) == ("snap-start", "1", [])
    assert (first["env"], first["own"]) == ("by the function", "value")
    report = re.search(
        r"REPORT RequestId: \S+\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\tMemory Size: 512 MB\t"
        r"Max Memory Used: \d+ MB\tRestore Duration: ([\d.]+) ms\tBilled Restore Duration: (\d+) ms\t\n",
        log,
    )
    assert report, log
    assert re.search(r"^RESTORE_REPORT Restore Duration: [\d.]+ ms$", log, re.M), log
    assert "Init Duration" not in log and "initialised" not in log
    warm, log = call_logged(snap, name)
    assert "Restore" not in log and warm["made"] == first["made"]
    # Where it was initialised it says so once, in a stream of its own.
    deadline = time.monotonic() + 20
    while True:
        streams = messages(logs, name)
        templates = [lines for lines in streams.values() if "initialised\n" in lines or "initialised" in lines]
        if templates and len(streams) == 2:
            break
        assert time.monotonic() < deadline, streams
        time.sleep(0.2)
    assert re.match(r"INIT_START Runtime Version: python:3.1\d.v1\tRuntime Version ARN: arn:", templates[0][0])
    assert re.match(r"INIT_REPORT Init Duration: [\d.]+ ms\n?$", templates[0][-1])
    restored = streams[first["stream"]]
    assert restored[0].startswith("RESTORE_START Runtime Version: python:3.1")


def test_latest_is_not_restored(snap, make_snap):
    name = make_snap("import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], 'AWS_ACCESS_KEY_ID' in os.environ")
    assert call(snap, name, "$LATEST") == ["on-demand", True]


def test_aliases_lead_to_snapshots(snap, make_snap):
    name = make_snap("import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], c.invoked_function_arn[-5:]")
    version = publish(snap, name)
    snap.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    body, log = call_logged(snap, name, "live")
    assert body == ["snap-start", ":live"] and "Restore Duration" in log


def test_what_was_unique_is_so_again(snap, make_snap):
    """Random numbers, ids, names of temporary files: none of them twice, though all come from one memory."""
    name = make_snap(
        SLEEPY
        + """
import hashlib, multiprocessing, random, secrets, ssl, tempfile, uuid
random.random(), secrets.token_hex(), ssl.RAND_bytes(4), uuid.uuid1(), uuid.uuid4(), tempfile.mktemp()
authkey = multiprocessing.current_process().authkey
def handler(event, context):
    rest(event)
    drawn = {"random": random.random(), "shuffled": random.sample(range(10**6), 4), "secrets": secrets.token_hex(),
             "uuid1": str(uuid.uuid1()), "node": uuid.getnode(), "uuid4": str(uuid.uuid4()),
             "ssl": ssl.RAND_bytes(16).hex(), "tempfile": tempfile.mktemp(),
             "authkey": hashlib.sha256(bytes(multiprocessing.current_process().authkey)).hexdigest()}
    with tempfile.NamedTemporaryFile() as file:
        drawn["named"] = file.name
    return drawn
"""
    )
    publish(snap, name)
    drawn = apart(snap, name, 6)
    for what in drawn[0]:
        assert len({str(one[what]) for one in drawn}) == 6, (what, [one[what] for one in drawn])


def test_a_hook_can_renew_what_the_runtime_does_not_know(snap, make_snap):
    name = make_snap(
        SLEEPY
        + """
import random
from snapshot_restore_py import register_after_restore
chosen, own = random.Random(7), random.Random(7)
register_after_restore(own.seed)
def handler(event, context):
    rest(event)
    return chosen.random(), own.random(), hash("text")
"""
    )
    publish(snap, name)
    drawn = apart(snap, name, 4)
    assert len({one[0] for one in drawn}) == 1, "a seed that the function chose stays"
    assert len({one[1] for one in drawn}) == 4
    assert len({one[2] for one in drawn}) == 1, "strings hash alike in all: documented"


def test_open_files_and_connections(snap, make_snap):
    name = make_snap(
        {
            "app.py": SLEEPY
            + """
import http.client, os, socket, time, urllib.request
data = open("/var/task/data.txt")
data.readline()
url = os.environ["AWS_ENDPOINT_URL"]
host, port = url.removeprefix("http://").split(":")
pooled = http.client.HTTPConnection(host, int(port))
pooled.request("GET", "/")
pooled.getresponse().read()
kept = pooled.sock
began, wall = time.monotonic(), time.time()
def handler(event, context):
    rest(event)
    position, line = data.tell(), data.readline()
    try:
        peer = kept.recv(1) if kept else b""
    except OSError as error:
        peer = b""
    pooled.close()
    pooled.request("GET", "/")
    status = pooled.getresponse().status
    return {"position": position, "line": line, "peer": len(peer), "status": status > 0,
            "forward": time.monotonic() >= began and time.time() >= wall, "now": time.time()}
""",
            "data.txt": "first line\nsecond line\n",
        }
    )
    publish(snap, name)
    for one in apart(snap, name, 2):
        assert (one["position"], one["line"]) == (11, "second line\n")
        assert one["peer"] == 0 and one["status"] and one["forward"]
        assert abs(one["now"] - time.time()) < 60


def test_tmp_is_carried_and_private(snap, make_snap):
    name = make_snap(
        SLEEPY
        + """
import os, stat
os.makedirs("/tmp/a/b")
with open("/tmp/a/b/data.bin", "wb") as file: file.write(os.urandom(3 << 20))
with open("/tmp/script.sh", "w") as file: file.write("echo hi")
os.chmod("/tmp/script.sh", 0o750)
os.symlink("a/b/data.bin", "/tmp/link")
os.utime("/tmp/script.sh", (1e9, 1e9))
import hashlib
DIGEST = hashlib.sha256(open("/tmp/link", "rb").read()).hexdigest()
def handler(event, context):
    same = hashlib.sha256(open("/tmp/link", "rb").read()).hexdigest() == DIGEST
    found = os.path.exists("/tmp/mine")
    with open("/tmp/a/b/data.bin", "wb") as file: file.write(b"changed")
    open("/tmp/mine", "w").close()
    rest(event)
    about = os.stat("/tmp/script.sh")
    return same, found, oct(about.st_mode), about.st_mtime, os.readlink("/tmp/link")
"""
    )
    publish(snap, name)
    for one in apart(snap, name, 3):
        assert one == [True, False, "0o100750", 1e9, "a/b/data.bin"]


CREDENTIALS = (
    SLEEPY
    + """
import json, os, urllib.request
def fetch():
    token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token})
    return json.load(urllib.request.urlopen(request))
MADE = fetch()
def handler(event, context):
    now = fetch()
    try:
        request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": "x"})
        stolen = urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        stolen = error.code
    return {"made": MADE, "now": now, "keys": [name for name in os.environ if "KEY" in name or "SESSION" in name],
            "stolen": stolen}
"""
)


def test_credentials_come_from_the_endpoint(snap, make_snap):
    name = make_snap(CREDENTIALS)
    publish(snap, name)
    body = call(snap, name)
    assert body["keys"] == [] and body["stolen"] == 403
    assert set(body["now"]) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    seconds = lambda document: time.mktime(time.strptime(document["Expiration"][:19], "%Y-%m-%dT%H:%M:%S"))
    now = time.mktime(time.gmtime())
    assert seconds(body["made"]) - now < 6 * 60, "whoever got them for the snapshot asks again soon"
    assert seconds(body["now"]) - now > 15 * 60


def test_a_client_of_the_sdk_is_kept_in_the_snapshot(snap, make_snap):
    name = make_snap({**boto3_files(), "app.py": SLEEPY + """
import os, boto3
sts = boto3.client("sts")
FIRST = sts.get_caller_identity()["Arn"]
KEY = sts._get_credentials().access_key
def handler(event, context):
    rest(event)
    return {"first": FIRST, "now": sts.get_caller_identity()["Arn"], "made": sts.meta.region_name}
"""}, MemorySize=1024)
    publish(snap, name)
    body, log = call_logged(snap, name)
    assert body["now"] == body["first"] and ":assumed-role/test-role/" in body["now"]
    assert "Restore Duration" in log


def boto3_files():
    """The SDK of the tests themselves, as a function would bring it along: with few services."""
    import boto3

    site = os.path.dirname(os.path.dirname(boto3.__file__))
    files = {}
    for package in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py"):
        place = os.path.join(site, package)
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if name != "__pycache__"]
            if "/data/" in folder + "/" and not re.search(r"/data($|/(sts|s3|lambda)(/|$))", folder):
                continue
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    files[os.path.relpath(path, site)] = file.read()
        if os.path.isfile(place):
            with open(place, "rb") as file:
                files[package] = file.read()
    return files


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True, name='worker').start()", "threads: worker"),
        ("import os\npipe = os.pipe()", "pipe"),
        ("import mmap\nshared = mmap.mmap(-1, 4096)\nshared[0] = 1", "shared"),
        ("kept = open('/tmp/kept', 'w')", "writing"),
        ("import asyncio\nloop = asyncio.new_event_loop()", "event loop"),
    ],
)
def test_what_cannot_be_kept_starts_plainly(snap, make_snap, snap_server, source, why):
    name = make_snap(
        source + """
import os
from snapshot_restore_py import *
seen = []
register_before_snapshot(seen.append, "before")
register_after_restore(seen.append, "after")
def handler(event, context): return seen, os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""
    )
    snap.publish_version(FunctionName=name)
    config = settled(snap, name)
    assert config["State"] == "Active"
    assert config["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    body, log = call_logged(snap, name)
    assert body == [["before", "after"], "snap-start"], "the hooks run all the same"
    assert "Restore Duration" not in log and "Init Duration" in log
    text = snap_server.data.with_suffix(".log").read_text()
    said = [line for line in text.splitlines() if f":{name}:1" in line and "no snapshot" in line]
    assert len(said) == 1 and why in said[0], said


def test_a_failed_initialisation_fails_the_version(snap, make_snap):
    name = make_snap("raise ValueError('no database')\ndef handler(e, c): pass")
    snap.publish_version(FunctionName=name)
    config = settled(snap, name)
    assert config["State"] == "Failed" and config["StateReasonCode"] == "FunctionError.RuntimeInitError"
    assert config["StateReason"] == "ValueError: no database"
    assert refusal(snap.invoke, FunctionName=name, Qualifier="1") == (
        "ResourceConflictException", 409,
        "The operation cannot be performed at this time. The function is currently in the following state: Failed",
    )
    snap.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": "def handler(e, c): return 2"}))
    assert call(snap, name, publish(snap, name)) == 2


def test_a_failed_hook_before_the_snapshot_fails_the_version(snap, make_snap):
    name = make_snap(
        "from snapshot_restore_py import *\n@register_before_snapshot\ndef drain(): raise RuntimeError('not drained')\n"
        "def handler(e, c): pass"
    )
    snap.publish_version(FunctionName=name)
    config = settled(snap, name)
    assert (config["State"], config["StateReason"]) == ("Failed", "RuntimeError: not drained")


def test_a_process_that_ends_fails_the_version(snap, make_snap):
    name = make_snap("import os\nos._exit(3)")
    snap.publish_version(FunctionName=name)
    config = settled(snap, name)
    assert (config["State"], config["StateReason"]) == (
        "Failed", "Runtime.ExitError: Runtime exited with error: exit status 3",
    )


def test_nobody_is_let_in_before_the_snapshot_is_there(snap, make_snap):
    name = make_snap("import time\ntime.sleep(2)\ndef handler(e, c): return 1")
    snap.publish_version(FunctionName=name)
    assert refusal(snap.invoke, FunctionName=name, Qualifier="1") == (
        "ResourceConflictException", 409,
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )
    assert settled(snap, name)["State"] == "Active"
    assert call(snap, name) == 1


def test_a_failed_hook_after_the_restore(snap, make_snap):
    name = make_snap(
        "from snapshot_restore_py import *\n@register_after_restore\ndef connect(): raise RuntimeError('no way')\n"
        "def handler(e, c): pass"
    )
    publish(snap, name)
    code, status, message = refusal(snap.invoke, FunctionName=name, Qualifier="1")
    assert (code, status) == ("SnapStartException", 400) and message.startswith("The afterRestore() runtime hook")


def test_a_restore_has_ten_seconds(snap, make_snap):
    name = make_snap(
        "import time\nfrom snapshot_restore_py import *\n@register_after_restore\ndef connect(): time.sleep(30)\n"
        "def handler(e, c): pass",
        Timeout=60,
    )
    publish(snap, name)
    began = time.monotonic()
    code, status, message = refusal(snap.invoke, FunctionName=name, Qualifier="1")
    assert (code, status) == ("SnapStartTimeoutException", 408)
    assert message == "Lambda couldn't restore the snapshot within the timeout limit."
    assert 9 < time.monotonic() - began < 20


def test_limits_hold_in_restored_processes(snap, make_snap):
    name = make_snap(
        """
import time
def handler(event, context):
    if event.get("eat"): bytes(bytearray(b"x" * (300 << 20)))
    if event.get("sleep"): time.sleep(event["sleep"])
    return "fine"
""",
        MemorySize=192, Timeout=2,
    )
    publish(snap, name)
    assert call(snap, name) == "fine"
    answer = snap.invoke(FunctionName=name, Qualifier="1", Payload=b'{"eat": true}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "Runtime.OutOfMemory"
    answer = snap.invoke(FunctionName=name, Qualifier="1", Payload=b'{"sleep": 9}')
    assert json.loads(answer["Payload"].read())["errorType"] == "Sandbox.Timedout"
    assert call(snap, name) == "fine"


def test_many_are_restored_at_once(snap, make_snap):
    name = make_snap(SLEEPY + "import os, random\nDATA = list(range(200000))\ndef handler(e, c):\n rest(e); return random.random(), sum(DATA)")
    publish(snap, name)
    answers = apart(snap, name, 20, event={"sleep": 4})
    assert len({one[0] for one in answers}) == 20
    assert {one[1] for one in answers} == {sum(range(200000))}


HOSTILE = {
    "writes garbage": "os.write(3, os.urandom(1 << 16))",
    "writes for ever": "\nwhile True: os.write(3, b'x' * 65536)",
    "closes the pipe": "os.close(3)",
    "ends in the middle": "os.write(3, b'LMPIMAGE' + bytes(5000)); os._exit(0)",
    "kills itself": "os.kill(os.getpid(), signal.SIGKILL)",
    "leaves children that hold the pipe": "os.fork() or time.sleep(99)",
    "never comes to an end": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nif os.fork() == 0: time.sleep(99)",
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_template_harms_nobody_else(snap, make_snap, how):
    """What it writes, or does not write, makes its own version fail or start plainly, and is nobody else's business."""
    name = make_snap(
        "import os, signal, time\nfrom snapshot_restore_py import *\n"
        "@register_before_snapshot\ndef strike():\n    if 'child' in globals(): return\n"
        + "".join(f"    {line}\n" for line in HOSTILE[how].strip().splitlines())
        + "def handler(e, c): return 'served'\n",
        MemorySize=128, Timeout=3,
    )
    other = make_snap("def handler(e, c): return 'untouched'")
    snap.publish_version(FunctionName=name)
    publish(snap, other)
    config = settled(snap, name, limit=200)
    assert config["State"] in ("Active", "Failed"), config
    assert call(snap, other) == "untouched"
    if config["State"] == "Active" and config["SnapStart"]["OptimizationStatus"] == "On":
        assert call(snap, name) == "served"
    snap.delete_function(FunctionName=name)
    assert call(snap, other) == "untouched"


def test_an_image_that_lies_is_the_functions_own_business(snap, make_snap, snap_server):
    """A whole image with nonsense in it, written in the client's place: tried out, and never used."""
    lie = """
import os, struct
from snapshot_restore_py import *
@register_before_snapshot
def lie():
    head = bytearray(8192)
    struct.pack_into("<QQQQ", head, 0, 0x454741_4d49504d4c, %d, 4096, 8192)
    os.write(3, head)
    import lamplighter_runtime.http as http
    api = http.RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.restore_next()
    os._exit(0)
def handler(e, c): return "served"
"""
    name = make_snap(lie % 1)
    snap.publish_version(FunctionName=name)
    config = settled(snap, name)
    assert (config["State"], config["SnapStart"]["OptimizationStatus"]) == ("Active", "Off")
    assert not [file for file in (snap_server.data / "images").glob("draft-*")]


def test_a_template_sees_no_images(snap, make_snap):
    name = make_snap(
        """
import glob, os
def look():
    seen = []
    for folder, folders, names in os.walk("/var/lib"):
        seen += [os.path.join(folder, name) for name in names]
    return [path for path in seen if "lamplighter" in path]
IN_TEMPLATE = look()
def handler(event, context):
    try:
        with open("/var/lib/lamplighter/image", "r+b") as file: written = True
    except OSError as error:
        written = False
    return IN_TEMPLATE, sorted(look()), written, os.path.exists("/proc/1/root/var/lib/lamplighter/images")
"""
    )
    publish(snap, name)
    template, instance, written, outside = call(snap, name)
    assert template == [] and not written and not outside
    assert instance == ["/var/lib/lamplighter/image", "/var/lib/lamplighter/restore"]


def images_of(server):
    return sorted(path.name for path in (server.data / "images").glob("*snap-*.image"))


def test_images_go_with_their_versions(snap, make_snap, snap_server):
    before = images_of(snap_server)
    name = make_snap("def handler(e, c): return 1")
    publish(snap, name)
    snap.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": "def handler(e, c): return 2"}))
    publish(snap, name)
    assert len(images_of(snap_server)) == len(before) + 2
    snap.delete_function(FunctionName=name, Qualifier="1")
    assert len(images_of(snap_server)) == len(before) + 1
    assert call(snap, name, "2") == 2
    snap.delete_function(FunctionName=name)
    assert images_of(snap_server) == before


def test_a_server_that_is_killed_goes_on(own_server, unique):
    """While it publishes: the next one makes the snapshot. After that: the next one finds it."""
    server = own_server(environment={"LAMPLIGHTER_IMAGES": "on"})
    client = server.client("lambda")
    slow = create(client, unique(), "import time, uuid\ntime.sleep(3)\nID = str(uuid.uuid4())\ndef handler(e, c): return ID")
    fast = create(client, unique(), "import uuid\nID = str(uuid.uuid4())\ndef handler(e, c): return ID")
    publish(client, fast)
    made = call(client, fast)
    client.publish_version(FunctionName=slow)
    server.kill()
    server.restart()
    client = server.client("lambda")
    config = client.get_function_configuration(FunctionName=slow, Qualifier="1")
    assert config["State"] == "Pending"
    body, log = call_logged(client, fast)
    assert body == made and "Restore Duration" in log
    assert settled(client, slow)["State"] == "Active"
    assert call(client, slow)
    # A server that is stopped in an orderly way has not finished either.
    client.update_function_configuration(FunctionName=slow, Description="again")
    client.publish_version(FunctionName=slow)
    time.sleep(0.5)
    assert server.stop() == 0
    server.restart()
    client = server.client("lambda")
    config = settled(client, slow, "2")
    assert (config["State"], config["SnapStart"]["OptimizationStatus"]) == ("Active", "On")
    # A lost image is made again, and meanwhile the version starts plainly.
    server.stop()
    for image in (server.data / "images").glob("*snap-*.image"):
        image.unlink()
    server.restart()
    client = server.client("lambda")
    assert client.get_function_configuration(FunctionName=fast, Qualifier="1")["State"] == "Active"
    assert call(client, fast) != made
    deadline = time.monotonic() + 60
    while len(images_of(server)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_version_that_nobody_invokes_becomes_inactive(own_server, unique):
    server = own_server(environment={"LAMPLIGHTER_IMAGES": "on"})
    client = server.client("lambda")
    name = create(client, unique(), "def handler(e, c): return 'here'")
    publish(client, name)
    day = 24 * 3600
    for _ in range(2):
        advance(server, 13 * day)
        time.sleep(0.5)
        assert client.get_function_configuration(FunctionName=name, Qualifier="1")["State"] == "Active"
        assert call(client, name) == "here"
    advance(server, 14 * day + 7 * 3600)
    deadline = time.monotonic() + 20
    while (config := client.get_function_configuration(FunctionName=name, Qualifier="1"))["State"] != "Inactive":
        assert time.monotonic() < deadline, config
        time.sleep(0.1)
    assert config["StateReasonCode"] == "Idle" and images_of(server) == []
    code, status, message = refusal(client.invoke, FunctionName=name, Qualifier="1")
    assert (code, status) == ("SnapStartNotReadyException", 409)
    assert message == "Lambda is initializing your function. It will be ready to invoke once your function state becomes ACTIVE."
    assert settled(client, name)["State"] == "Active"
    assert call(client, name) == "here"


def test_records_tell_of_restores(snap, make_snap, snap_server):
    import urllib.request

    name = make_snap("def handler(e, c): return 1")
    publish(snap, name)
    call(snap, name)
    request = urllib.request.Request(snap_server.endpoint + "/_lamplighter/invocations?limit=4096", headers={"x-lamplighter": "1"})
    text = urllib.request.urlopen(request).read().decode()
    mine = [record for record in json.loads(text)["invocations"] if record["function_arn"].endswith(f":{name}")]
    assert mine[-1]["cold"] and mine[-1]["restore_ms"] > 0 and mine[-1]["init_ms"] is None


def test_json_logs_tell_of_restores(snap, make_snap):
    name = make_snap("def handler(e, c): return 1", LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "DEBUG"})
    publish(snap, name)
    _, log = call_logged(snap, name)
    told = [json.loads(line) for line in log.splitlines() if line]
    by_type = {one["type"]: one["record"] for one in told}
    assert by_type["platform.restoreRuntimeDone"]["status"] == "success"
    report = by_type["platform.restoreReport"]
    assert report["status"] == "success" and report["metrics"]["durationMs"] > 0
    metrics = by_type["platform.report"]["metrics"]
    assert metrics["restoreDurationMs"] > 0 and metrics["billedRestoreDurationMs"] >= 1
    assert metrics["billedDurationMs"] >= metrics["billedRestoreDurationMs"]


def test_a_switched_off_server_starts_plainly(own_server, unique):
    server = own_server(environment={"LAMPLIGHTER_IMAGES": "off"})
    client = server.client("lambda")
    name = create(client, unique(), "import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']")
    client.publish_version(FunctionName=name)
    config = settled(client, name)
    assert (config["State"], config["SnapStart"]["OptimizationStatus"]) == ("Active", "Off")
    body, log = call_logged(client, name)
    assert body == "snap-start" and "Init Duration" in log


def numpy_folder():
    """Where a numpy is, and for which Python; none is fetched."""
    try:
        import numpy

        site = os.path.dirname(os.path.dirname(numpy.__file__))
    except ImportError:
        site = os.path.join(os.environ.get("LAMPLIGHTER_TEST_CACHE", "/nonexistent"), "bench-pandas/content")
    for name in os.listdir(os.path.join(site, "numpy/_core")) if os.path.isdir(os.path.join(site, "numpy/_core")) else ():
        if found := re.search(r"cpython-3(\d+)-", name):
            return site, f"python3.{found.group(1)}"
    pytest.skip("there is no numpy")


def test_numpys_generators_and_threads(own_server, unique):
    """Its native threads are no obstacle; what it seeded itself is renewed, what the function seeded is not."""
    site, python = numpy_folder()
    mapped = () if python == "python3.12" else ("--runtime-map", f"python3.12={python}")
    server = own_server(*mapped, environment={"LAMPLIGHTER_IMAGES": "on"})
    client = server.client("lambda")
    files = {}
    for package in ("numpy", "numpy.libs"):
        for folder, folders, names in os.walk(os.path.join(site, package)):
            folders[:] = [name for name in folders if name not in ("__pycache__", "tests")]
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    files[os.path.relpath(path, site)] = file.read()
    files["app.py"] = SLEEPY + """
import numpy
generator, chosen, legacy = numpy.random.default_rng(), numpy.random.default_rng(7), numpy.random.RandomState()
numpy.random.random(), generator.random()
square = numpy.random.random((300, 300))
product = square @ square
def handler(event, context):
    rest(event)
    same = bool(numpy.allclose(square @ square, product))
    return (generator.random(), numpy.random.random(), legacy.random_sample(), numpy.random.default_rng().random(),
            chosen.random(), same)
"""
    name = unique()
    client.create_function(
        FunctionName=name, Runtime="python3.12", Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped(files)},
        Timeout=20, MemorySize=1024, SnapStart=ON,
    )
    publish(client, name)
    drawn = apart(client, name, 3)
    for at in range(4):
        assert len({one[at] for one in drawn}) == 3, at
    assert len({one[4] for one in drawn}) == 1
    assert all(one[5] for one in drawn)


def test_pools_of_urllib3_open_new_connections(snap, make_snap):
    """What boto3 and requests keep their connections in."""
    files = {name: data for name, data in boto3_files().items() if name.startswith("urllib3/")}
    name = make_snap({**files, "app.py": SLEEPY + """
import os, urllib3
pool = urllib3.PoolManager()
URL = os.environ["AWS_ENDPOINT_URL"] + "/"
FIRST = pool.request("GET", URL).status
def handler(event, context):
    rest(event)
    return FIRST, pool.request("GET", URL, retries=False).status, pool.request("GET", URL, retries=False).status
"""})
    publish(snap, name)
    for one in apart(snap, name, 2):
        assert len(set(one)) == 1


def test_a_server_that_is_killed_while_it_restores(own_server, unique):
    server = own_server(environment={"LAMPLIGHTER_IMAGES": "on"})
    client = server.client("lambda")
    name = create(client, unique(), SLEEPY + "DATA = bytearray(8 << 20)\ndef handler(e, c):\n rest(e); return len(DATA)")
    publish(client, name)
    images = images_of(server)

    def attempt(_):
        try:
            return call(client, name, event={"sleep": 1})
        except Exception:
            return None

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(attempt, at) for at in range(8)]
        time.sleep(0.15)
        server.kill()
        assert None in [one.result() for one in running]
    server.restart()
    client = server.client("lambda")
    assert images_of(server) == images
    body, log = call_logged(client, name)
    assert body == 8 << 20 and "Restore Duration" in log


def test_objects_that_fail_when_they_are_asked_are_left_alone(snap, make_snap):
    """A web framework's proxies, for example: nothing looks at them on the way through a snapshot."""
    name = make_snap(
        "class Proxy:\n"
        "    @property\n    def __class__(self): raise RuntimeError('outside of a request')\n"
        "    def __getattr__(self, name): raise RuntimeError('outside of a request')\n"
        "proxies = [Proxy() for _ in range(3)]\ndef handler(e, c): return len(proxies)"
    )
    publish(snap, name)
    assert call(snap, name) == 3
