"""Interpreters that wait for their function: a function cannot tell that it was bound to one, and two functions see nothing
of each other. Each server of these tests keeps its workers to itself; `--stock off` is the other side of comparisons."""
import base64
import concurrent.futures
import json
import os
import re
import signal
import time
import urllib.request

import pytest

from conftest import NODE, ROLE, ROOT, zipped
from test_runtimes import JAR, JAVA, RUBY

HANDLERS = ROOT / "runtimes/tests/handlers"
# What a function is and brings, by the name of its language.
LANGUAGES = {"node": {"Runtime": NODE, "Handler": "introspect.handler"}}
PACKAGES = {"node": {"introspect.js": (HANDLERS / "node/introspect.js").read_text()}}
if RUBY:
    LANGUAGES["ruby"] = {"Runtime": "ruby3.3", "Handler": "introspect.handler"}
    PACKAGES["ruby"] = {"introspect.rb": (HANDLERS / "ruby/introspect.rb").read_text()}
if JAVA:
    LANGUAGES["java"] = {"Runtime": "java17", "Handler": "example.Introspect::handle", "Timeout": 20}
ECHO = {
    "node": {"app.js": "exports.handler = async (event) => ({ event, pid: process.pid });"},
    "ruby": {"app.rb": "def handler(event:, context:)\n  { event: event, pid: Process.pid }\nend\n"},
}


@pytest.fixture
def start(own_server):
    options = ["--runtime-map", f"ruby3.3=ruby{RUBY}"] if RUBY and RUBY != "3.3" else []
    if JAVA and JAVA.split(".")[0] != "17":
        options += ["--runtime-map", f"java17=java{JAVA.split('.')[0]}"]

    def start(stock="on", **settings):
        return own_server("--stock", stock, *options, **settings)

    return start


def create(server, name, language, package=None, **settings):
    code = JAR.read_bytes() if language == "java" and package is None else zipped(package or PACKAGES[language])
    settings = {**LANGUAGES[language], "Timeout": 20, "MemorySize": 256, **settings}
    server.client("lambda").create_function(FunctionName=name, Role=ROLE, Code={"ZipFile": code}, **settings)
    return name


def invoke(server, name, event=None):
    """(answer, log); the function must not fail."""
    reply = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
    answer, log = json.loads(reply["Payload"].read()), base64.b64decode(reply["LogResult"]).decode()
    assert "FunctionError" not in reply, answer
    return answer, log


def workers(server):
    request = urllib.request.Request(f"{server.endpoint}/_lamplighter/fleet", headers={"x-lamplighter": "1"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["workers"]


def wait_for(server, count):
    """Until so many wait, all of them in their read."""
    deadline = time.monotonic() + 30
    while True:
        waiting = [pid for pid in processes(server) if waits(pid)]
        if workers(server)["waiting"] == len(waiting) >= count:
            return waiting
        assert time.monotonic() < deadline, (workers(server), waiting)
        time.sleep(0.05)


def processes(server):
    """The workers among the descendants of the server."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue

    def belongs(pid):
        while pid in parents and pid != server.process.pid:
            pid = parents[pid]
        return pid == server.process.pid

    found = []
    for pid in filter(belongs, list(parents)):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if environ.read(19) == b"LAMPLIGHTER_BIND_FD":
                    found.append(pid)
        except OSError:
            continue
    return found


def waits(pid):
    """Whether a thread of it is in a read of its descriptor 4."""
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/syscall") as file:
                if file.read().split()[:2] == ["0", "0x4"]:
                    return True
    except OSError:
        pass
    return False


def surroundings(answer):
    """What a function says of its process, without what differs between any two."""
    text = json.dumps(answer, sort_keys=True)
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", "ADDRESS", text)
    text = re.sub(r"\d{4}/\d\d/\d\d/\[[^\]]*\][0-9a-f]{32}", "STREAM", text)
    for name in ("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        text = re.sub(rf'({name}(": "|=))[^"]*', r"\1SECRET", text)
    value = json.loads(text)
    if "descriptors" in value:
        # Java keeps one open from its first on, with which it closes others.
        value["descriptors"] = [link for link in value["descriptors"] if link != "socket"]
    return value


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_function_cannot_tell(start, language):
    variables = {"MINE": "grüße", "TZ": "Asia/Tokyo", "HOME": "/tmp"}
    told = []
    for stock in ("on", "off"):
        server = start(stock)
        name = create(server, "look", language, Environment={"Variables": variables})
        if stock == "on":
            wait_for(server, 1)
        answer, log = invoke(server, name)
        assert "Init Duration" in log
        told.append(surroundings(answer))
        if stock == "on":
            assert workers(server)["bound"] == 1
        else:
            assert workers(server) is None and processes(server) == []
    bound, plain = told
    assert {key: (plain[key], bound[key]) for key in plain if plain[key] != bound[key]} == {}
    assert plain["env"]["MINE"] == "grüße"


CANARY = "canary-" + "x7q" * 5
LOOK = """
const fs = require('fs');
// The whole word must not be in this process but for what is looked for.
const piece = Buffer.from('x7qx');
const isWord = (part, at) => Array.from({ length: 15 }, (_, index) => part[at + index] === piece[index % 3]).every(Boolean);
exports.handler = async () => {
  const found = [];
  const memory = fs.openSync('/proc/self/mem', 'r');
  for (const line of fs.readFileSync('/proc/self/maps', 'utf8').split('\\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line);
    if (!match || /vvar|vsyscall/.test(line)) continue;
    const [start, end] = [parseInt(match[1], 16), parseInt(match[2], 16)];
    for (let at = start; at < end; at += 1 << 20) {
      const part = Buffer.alloc(Math.min(1 << 20, end - at));
      try { fs.readSync(memory, part, 0, part.length, at); } catch { continue; }
      for (let index = part.indexOf(piece); index >= 0; index = part.indexOf(piece, index + 1)) {
        if (isWord(part, index)) found.push(line);
      }
    }
  }
  return {
    found: found.length, tmp: fs.readdirSync('/tmp'), task: fs.readdirSync('/var/task'), opt: fs.readdirSync('/opt'),
    names: Object.keys(process.env).filter((name) => /LAMPLIGHTER|SECRET_OF/.test(name)), global: globalThis.left,
    processes: fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).length,
  };
};
"""


def test_two_functions_see_nothing_of_each_other(start):
    server = start()
    leave = """
        const fs = require('fs');
        globalThis.left = process.env.SECRET_OF_A;
        fs.writeFileSync('/tmp/left', process.env.SECRET_OF_A);
        exports.handler = async () => fs.readdirSync('/tmp');
    """
    names = [
        create(server, "a", "node", {"app.js": leave}, Handler="app.handler",
               Environment={"Variables": {"SECRET_OF_A": CANARY}}),
        create(server, "b", "node", {"app.js": LOOK}, Handler="app.handler"),
    ]
    wait_for(server, 1)
    assert invoke(server, names[0])[0] == ["left"]
    wait_for(server, 1)
    seen = invoke(server, names[1])[0]
    assert workers(server)["bound"] == 2
    assert seen == {"found": 0, "tmp": [], "task": ["app.js"], "opt": [], "names": [], "processes": 2}, seen


def test_a_worker_that_is_killed_costs_no_call(start):
    server = start()
    name = create(server, "hello", "node", ECHO["node"], Handler="app.handler")
    for pid in wait_for(server, 1):
        os.kill(pid, signal.SIGKILL)
    assert invoke(server, name, 1)[0]["event"] == 1
    # And while one is bound: whatever comes of it, the call is answered.
    for round in range(5):
        waiting = wait_for(server, 1)
        server.client("lambda").update_function_configuration(FunctionName=name, Description=str(round))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(invoke, server, name, round)
            time.sleep(round * 0.0005)
            for pid in waiting:
                try:
                    if pid in processes(server):
                        os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            assert call.result()[0]["event"] == round


def test_what_is_unusual_starts_plainly(start):
    server = start()
    create(server, "usual", "node", ECHO["node"], Handler="app.handler")
    wait_for(server, 1)
    source = {
        "app.js": "exports.handler = async () => [process.execArgv, process.env.NODE_OPTIONS, process.env.WRAPPED, "
                  "require('http').maxHeaderSize];",
        "wrap": ("#!/bin/sh\nexport WRAPPED=yes\nexec \"$@\"\n", 0o755),
    }
    for number, variables in enumerate([
        {"NODE_OPTIONS": "--max-http-header-size=9999"}, {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"},
        {"LD_LIBRARY_PATH": "/var/task/lib"}, {"UV_THREADPOOL_SIZE": "8"},
    ]):
        name = create(server, f"unusual-{number}", "node", source, Handler="app.handler",
                      Environment={"Variables": variables})
        answer = invoke(server, name)[0]
        assert (answer[1] or "") == variables.get("NODE_OPTIONS", "")
        assert (answer[3] == 9999) == (number == 0) and (answer[2] == "yes") == (number == 1)
    assert workers(server)["unusual"] == 4 and workers(server)["bound"] == 0
    # What only looks unusual is not.
    name = create(server, "late", "node", source, Handler="app.handler",
                  Environment={"Variables": {"NODE_ENV": "production", "NODE_PATH": "/var/task"}})
    invoke(server, name)
    assert workers(server)["bound"] == 1


@pytest.mark.parametrize("stock", ["on", "off"])
@pytest.mark.parametrize("language", ECHO)
def test_bursts_and_provisioned_environments(start, stock, language):
    if language not in LANGUAGES:
        pytest.skip("not on this host")
    server = start(stock)
    client = server.client("lambda", max_pool_connections=20)
    name = create(server, "burst", language, ECHO[language], Handler="app.handler")
    if stock == "on":
        wait_for(server, 1)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: invoke(server, name, number)[0]["event"], range(24)))
    assert answers == list(range(24))
    version = client.publish_version(FunctionName=name)["Version"]
    if stock == "on":
        wait_for(server, 2)
        assert workers(server)["bound"] >= 1
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=2)
    deadline = time.monotonic() + 30
    while client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=version)["Status"] != "READY":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if stock == "on":
        assert workers(server)["bound"] >= 3


def test_layers_and_sizes_of_tmp_are_bound_in(start, unique):
    server = start()
    client = server.client("lambda")
    layer = client.publish_layer_version(
        LayerName="shared", Content={"ZipFile": zipped({
            "nodejs/node_modules/shared/index.js": "module.exports = 'from the layer';", "lib/a.txt": "b"})})
    source = {"app.js": "const fs = require('fs'); exports.handler = async () => [require('shared'), "
                        "fs.readFileSync('/opt/lib/a.txt', 'utf8'), fs.statfsSync('/tmp').blocks > 250000, "
                        "fs.writeFileSync('/tmp/mine', 'x')];"}
    name = create(server, "layered", "node", source, Handler="app.handler",
                  Layers=[layer["LayerVersionArn"]], EphemeralStorage={"Size": 2048}, MemorySize=512)
    wait_for(server, 1)
    assert invoke(server, name)[0] == ["from the layer", "b", True, None]
    assert workers(server)["bound"] == 1


def test_workers_go_when_nobody_needs_them(start):
    server = start()
    create(server, "hello", "node", ECHO["node"], Handler="app.handler")
    wait_for(server, 1)
    request = urllib.request.Request(
        f"{server.endpoint}/_lamplighter/clock", data=b'{"advance_ms": 700000}', headers={"x-lamplighter": "1"})
    urllib.request.urlopen(request).close()
    deadline = time.monotonic() + 20
    while workers(server)["waiting"] or processes(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert invoke(server, "hello", 1)[0]["event"] == 1
