"""Functions that attack their box, the Runtime API, the platform's port, or their neighbours."""
import json
import os
import stat
import subprocess
import threading
import time

import pytest
from conftest import PYTHON, ROLE, zipped

TOOLS = """
import ctypes, json, os, resource, signal, socket, threading, time

libc = ctypes.CDLL(None, use_errno=True)
PORT = int(os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])

def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return result if result >= 0 else -ctypes.get_errno()

def attempt(action):
    try:
        action()
        return "done"
    except OSError as error:
        return error.errno

def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(1)
        try:
            connection.sendall(request)
            return connection.recv(200)[:12].decode("latin1")
        except OSError as error:
            return "closed"

def hold(port, count, seconds, request=b""):
    held = []
    for _ in range(count):
        connection = socket.socket()
        connection.setblocking(False)
        try:
            connection.connect(("127.0.0.1", port))
        except BlockingIOError:
            pass
        held.append(connection)
    end = time.time() + seconds
    while request and time.time() < end:
        for connection in held:
            try:
                connection.send(request)
            except OSError:
                pass
    time.sleep(max(0, end - time.time()))
    return len(held)
"""
NEIGHBOUR = "def handler(event, context): return 'fine'\n"


def deploy(server, source, name, **settings):
    parameters = {"Runtime": PYTHON, "Role": ROLE, "Handler": "app.handler", "Timeout": 20, "MemorySize": 512}
    code = {"ZipFile": zipped({"app.py": source})}
    server.client("lambda").create_function(FunctionName=name, Code=code, **{**parameters, **settings})
    return name


def invoke(server, name, event=None):
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


@pytest.fixture
def unprivileged(own_server, tmp_path_factory):
    """A server of an ordinary user, where this session has the right to become one."""
    if os.geteuid() != 0 or subprocess.run(["which", "setpriv"], capture_output=True).returncode:
        pytest.skip("needs root, and setpriv")
    import shutil
    import tempfile
    from pathlib import Path

    from conftest import BINARY

    home = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chmod(home, 0o755)
    shutil.copy(BINARY, home / "lamplighter")
    (home / "own").mkdir()
    os.chown(home / "own", 65534, 65534)
    wrapper = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    yield own_server(data=home / "own/data", wrapper=wrapper, binary=home / "lamplighter")
    shutil.rmtree(home, ignore_errors=True)


BOX = TOOLS + """
def handler(event, context):
    refused, missing = {}, {}
    for name, number in {"ptrace": 101, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "bpf": 321,
                         "perf_event_open": 298, "keyctl": 250, "add_key": 248, "userfaultfd": 323, "kcmp": 312,
                         "process_vm_readv": 310, "open_by_handle_at": 304, "name_to_handle_at": 303, "fsopen": 430,
                         "open_tree": 428, "move_mount": 429, "mount_setattr": 442, "io_uring_setup": 425,
                         "clock_settime": 227, "mount": 165}.items():
        refused[name] = call(number, 0, 0, 0, 0, 0)
    for name, number in {"clone3": 435, "x32 getpid": 0x40000000 | 39, "x32 mount": 0x40000000 | 165,
                         "memfd_secret": 447, "open_tree_attr": 467}.items():
        missing[name] = call(number, 0, 0, 0, 0, 0)
    refused["clone into a user namespace"] = call(56, 0x10000000 | 17, 0, 0, 0, 0)
    init = {
        "memory": attempt(lambda: open("/proc/1/mem")),
        "environment": attempt(lambda: open("/proc/1/environ").read()),
        "descriptors": attempt(lambda: os.listdir("/proc/1/fd")),
        "program": attempt(lambda: os.readlink("/proc/1/exe")),
        "limit": attempt(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))),
        "priority": attempt(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19)),
        "user's priority": attempt(lambda: os.setpriority(os.PRIO_USER, 0, 19)),
        "scheduler": attempt(lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))),
        "processors": attempt(lambda: os.sched_setaffinity(1, {0})),
    }
    own = [attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, 5)),
           attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))),
           attempt(lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)))]
    os.kill(1, signal.SIGKILL), os.kill(1, signal.SIGSTOP)  # an init does not hear its own
    sockets = [attempt(lambda a=a: socket.socket(*a)) for a in
               [(40, 1), (17, 3), (38, 5), (16, 3, 9), (16, 3, 12), (2, 3, 1), (2, 1, 132), (2, 1, 262)]]
    kernel = [attempt(lambda p=p: open(p, "w").write("1")) for p in
              ["/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger"]]
    links = {int(f): os.readlink("/proc/self/fd/" + f) for f in os.listdir("/proc/self/fd")
             if os.path.lexists("/proc/self/fd/" + f)}
    return dict(refused=refused, missing=missing, init=init, own=own, sockets=sockets, kernel=kernel, links=links,
                devices=sorted(os.listdir("/dev")), keys=open("/proc/keys").read() if os.path.exists("/proc/keys") else "")
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
@pytest.mark.parametrize("kind", ["root", "unprivileged"])
def test_the_kernel_refuses_what_a_box_needs_not(request, server, unique, kind):
    server = server if kind == "root" else request.getfixturevalue("unprivileged")
    found, error = invoke(server, deploy(server, BOX, unique()))
    assert error is None, found
    assert set(found["refused"].values()) == {-1}, found["refused"]
    assert set(found["missing"].values()) == {-38}, found["missing"]
    assert set(found["init"].values()) <= {1, 13}, found["init"]
    assert found["own"] == ["done"] * 3
    assert "done" not in found["sockets"] + found["kernel"], found
    assert found["devices"] == sorted(
        ["fd", "full", "null", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]
    )
    assert found["keys"] == ""
    kinds = {link.split(":")[0] for number, link in found["links"].items() if int(number) > 0}
    assert kinds <= {"pipe", "socket"}, found["links"]
    assert invoke(server, deploy(server, NEIGHBOUR, unique())) == ("fine", None)


MEMORY = TOOLS + """
import mmap
def handler(event, context):
    attempt(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3)))
    kept = []
    for _ in range(60):
        kept.append(mmap.mmap(-1, 16 << 20, flags=event["flags"]))
        kept[-1].write(b"x" * (16 << 20))
        time.sleep(0.01)
    return "960 MiB in a function of 128 MiB"
"""


@pytest.mark.parametrize("flags", [0x22, 0x21], ids=["private", "shared"])
def test_no_more_memory_than_allowed_without_control_groups(unprivileged, unique, flags):
    name = deploy(unprivileged, MEMORY, unique(), MemorySize=128)
    found, error = invoke(unprivileged, name, {"flags": flags})
    assert error == "Unhandled" and found["errorType"] in ("Runtime.OutOfMemory", "Runtime.ExitError"), found


SCARCE = TOOLS + """
def handler(event, context):
    watches = 0
    while libc.inotify_init1(0) >= 0:
        watches += 1
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    waiting = 0
    while libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None) == 0:
        waiting += 1
    with socket.create_connection(("127.0.0.1", PORT)):
        time.sleep(1.5)
    return [watches, waiting]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="without root rights the limits are the user's own")
def test_what_the_kernel_counts_per_user_is_counted_for_the_function(server, unique):
    import ctypes

    name, results = deploy(server, SCARCE, unique()), []
    thread = threading.Thread(target=lambda: results.append(invoke(server, name)))
    libc, lowest = ctypes.CDLL(None), None
    thread.start()
    while thread.is_alive():
        watch = libc.inotify_init1(0)
        assert watch >= 0, "a function has used up root's file watches"
        os.close(watch)
        queued = next(line for line in open("/proc/self/status") if line.startswith("SigQ"))
        lowest = max(lowest or 0, int(queued.split()[1].split("/")[0]))
        time.sleep(0.05)
    (watches, waiting), error = results[0]
    assert error is None and watches > 0 and waiting <= 1024
    assert lowest < 1024, "a function's signals were counted for root"


GARBAGE = TOOLS + r"""
POST = b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nHost: localhost\r\n"
REQUESTS = [
    b"\0" * 100 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1000000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    POST + b"Content-Length: 18446744073709551615\r\n\r\n",
    POST + b"Content-Length: -1\r\n\r\n",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
    POST + b"Content-Length: 2\r\n\r\n{}",
    b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
]
ADMIN = [
    b"GET /_lamplighter/health HTTP/1.1\r\nHost: localhost\r\nx-lamplighter: 1\r\n\r\n",
    b"GET http://localhost/_lamplighter/health HTTP/1.1\r\nHost: localhost\r\nx-lamplighter: 1\r\n\r\n",
    b"GET /%5flamplighter/health HTTP/1.1\r\nHost: localhost\r\nx-lamplighter: 1\r\n\r\n",
    b"GET /./_lamplighter/health HTTP/1.1\r\nHost: localhost\r\nx-lamplighter: 1\r\n\r\n",
    b"POST /_lamplighter/clock HTTP/1.1\r\nHost: localhost\r\nx-lamplighter: 1\r\nContent-Length: 17\r\n\r\n{\"advance_ms\": 1}",
    b"GET /_download/packages/x?expires=9999999999999&token=00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
]
def handler(event, context):
    return [[ask(port, r) for port in (9001, PORT) for r in REQUESTS], [ask(PORT, r) for r in ADMIN]]
"""


def test_garbage_gets_an_error_and_the_private_api_is_closed(server, unique):
    name = deploy(server, GARBAGE, unique())
    (garbage, private), error = invoke(server, name)
    assert error is None
    assert not [answer for answer in garbage + private if answer[9:10] in ("1", "2", "3", "5")], (garbage, private)
    assert set(private) <= {"HTTP/1.1 403", "HTTP/1.1 404", "HTTP/1.1 400"}
    assert invoke(server, name)[1] is None, "its own environment goes on"


FLOOD = TOOLS + """
def handler(event, context):
    return hold(event["port"] or PORT, 700, 2, b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\\r\\n"
                b"Content-Length: 6000000\\r\\n\\r\\n" + b"z" * 60000)
"""


@pytest.mark.parametrize("port", [9001, 0], ids=["runtime-api", "gateway"])
def test_a_flood_of_connections_stays_small(own_server, unique, port):
    server = own_server()
    name, other = deploy(server, FLOOD, unique()), deploy(server, NEIGHBOUR, unique())
    invoke(server, other)
    results = []
    thread = threading.Thread(target=lambda: results.append(invoke(server, name, {"port": port})))
    thread.start()
    slowest = 0
    while thread.is_alive():
        began = time.monotonic()
        assert invoke(server, other) == ("fine", None)
        slowest = max(slowest, time.monotonic() - began)
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 300
        time.sleep(0.05)
    assert results[0] == (700, None), results
    assert slowest < 3
    status = open(f"/proc/{server.process.pid}/status").read()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib < 500 * 1024


OUTPUT = TOOLS + """
def handler(event, context):
    block = {"no line": b"x" * 65536, "lines": b"\\n" * 65536}[event["what"]]
    end = time.time() + 1.5
    while time.time() < end:
        os.write(1, block)
"""


@pytest.mark.parametrize("what", ["no line", "lines"])
def test_a_flood_of_output_is_bounded(own_server, unique, what):
    server = own_server()
    name, other = deploy(server, OUTPUT, unique()), deploy(server, NEIGHBOUR, unique())
    thread = threading.Thread(target=invoke, args=(server, name, {"what": what}))
    thread.start()
    while thread.is_alive():
        assert invoke(server, other) == ("fine", None)
        time.sleep(0.1)
    status = open(f"/proc/{server.process.pid}/status").read()
    assert int(status.split("VmHWM:")[1].split()[0]) < 1024 * 1024


LEFTOVER = TOOLS + """
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                if number not in (9, 19):
                    signal.signal(number, signal.SIG_IGN)
            os.execv("/bin/sleep", [event["mark"], "1000"])
        os._exit(0)
    os.wait()
    time.sleep(1000)
"""


def is_running(mark):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if line.read().startswith(mark.encode()):
                    return True
        except OSError:
            pass
    return False


def test_nothing_outlives_a_timeout(server, unique):
    name, mark = deploy(server, LEFTOVER, unique(), Timeout=2), unique("leftover")
    thread = threading.Thread(target=invoke, args=(server, name, {"mark": mark}))
    thread.start()
    seen = False
    while thread.is_alive():
        seen |= is_running(mark)
        time.sleep(0.05)
    assert seen
    deadline = time.monotonic() + 5
    while is_running(mark):
        assert time.monotonic() < deadline, "a child of the function lives on"
        time.sleep(0.05)


FORKS = TOOLS + """
def handler(event, context):
    count = 0
    try:
        while True:
            if os.fork() == 0:
                time.sleep(100)
            count += 1
    except OSError as error:
        os._exit(count % 7)
"""


def test_a_fork_bomb_hurts_only_itself(server, unique):
    name, other = deploy(server, FORKS, unique(), Timeout=3, MemorySize=1769), deploy(server, NEIGHBOUR, unique())
    found, error = invoke(server, name)
    assert error == "Unhandled", found
    assert invoke(server, other) == ("fine", None)


def test_the_data_directory_is_for_the_server_alone(server, make):
    make(NEIGHBOUR)
    for part in ["", "store", "blobs", "packages", "boxes"]:
        mode = stat.S_IMODE((server.data / part).stat().st_mode)
        assert mode & 0o077 == 0, f"{part or 'data'} is {mode:o}"
