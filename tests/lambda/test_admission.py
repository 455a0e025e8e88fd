"""A host that is full: who waits, who goes, who is throttled, and that memory is never used beyond its budget."""
import json
import os
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import PYTHON, ROLE, zipped

BUDGET_MIB = 300
HELLO = "def handler(event, context):\n    return event\n"
# Its environments keep what they have used.
LARGE = """
import time
held = []
def handler(event, context):
    if not held:
        held.append(b"x" * (70 << 20))
    time.sleep(event)
    return "slept"
"""


def get(server, what):
    request = urllib.request.Request(f"{server.endpoint}/_lamplighter/{what}", headers={"x-lamplighter": "1"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def status(server):
    return get(server, "fleet")


def records_of(server, name):
    records = get(server, "invocations?since=0")["invocations"]
    return [record for record in records if record["function_arn"].endswith(f":{name}")]


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return found


def create(client, name, source, **settings):
    settings = {"Timeout": 20, "MemorySize": 256, **settings}
    client.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped({"app.py": source})}, **settings,
    )


def invoke(client, name, event=0.0):
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def refused(client, name, **arguments):
    with pytest.raises(ClientError) as caught:
        client.invoke(FunctionName=name, Payload="0", **arguments)
    return caught.value.response


def box_memory_mib(server):
    """What the processes in the server's boxes have of their own: what they share with the one that forked them is not."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
        parents[int(entry.name)] = int(fields["PPid"])

    def depth(pid):
        found = 0
        while pid in parents and pid != server.process.pid:
            pid, found = parents[pid], found + 1
        return found if pid == server.process.pid else 0

    def own_kib(pid):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))

    # The server's child starts boxes; what is below it is in them.
    return sum(own_kib(pid) for pid in parents if depth(pid) >= 2) / 1024


class Watch:
    """Looks at the memory in use for as long as it lasts."""

    def __init__(self, server):
        self.server, self.highest, self.ends = server, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.ends.wait(0.02):
            self.highest = max(self.highest, box_memory_mib(self.server))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


@pytest.fixture
def small(own_server):
    """A server with little memory for environments, and a function whose needs it knows."""
    # What is made ahead lies in boxes that are no function's, and is not in the budget.
    off = {"LAMPLIGHTER_IMAGES": "off", "LAMPLIGHTER_STOCK": "off"}
    server = own_server("--memory-budget-mib", str(BUDGET_MIB), "--wait-limit-ms", "8000", environment=off)
    client = server.client("lambda", max_pool_connections=32)
    create(client, "large", LARGE)
    create(client, "hello", HELLO)
    invoke(client, "large")
    wait_for(lambda: status(server)["memory_held_bytes"] == status(server)["memory_used_bytes"] > 60 << 20)
    return server, client


def test_requests_wait_for_memory_and_then_run(small):
    server, client = small
    most = BUDGET_MIB // (status(server)["memory_used_bytes"] >> 20)
    with Watch(server) as watch, ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(invoke, client, "large", 0.7) for _ in range(8)]
        wait_for(lambda: status(server)["waiting"] > 0)
        assert [call.result() for call in calls] == ["slept"] * 8
    assert watch.highest <= BUDGET_MIB
    assert 0 < status(server)["environments"] <= most
    waited = [record["waited_ms"] for record in records_of(server, "large")]
    assert len(waited) == 9 and max(waited) >= 500 and min(waited) == 0
    assert status(server)["waiting"] == 0
    assert "requests wait" in server.data.with_suffix(".log").read_text()


def test_what_is_idle_goes_for_others(small):
    server, client = small
    others = [f"other{number}" for number in range(6)]
    for name in others:
        create(client, name, LARGE)
    with Watch(server) as watch:
        for name in others * 2:
            assert invoke(client, name) == "slept"
            wait_for(lambda: status(server)["memory_held_bytes"] == status(server)["memory_used_bytes"])
    assert watch.highest <= BUDGET_MIB
    # The one that was used last has stayed.
    count = len(records_of(server, others[-1]))
    invoke(client, others[-1])
    assert not wait_for(lambda: records_of(server, others[-1])[count:])[0]["cold"]


def test_who_waits_too_long_is_throttled_and_told_why(small):
    server, client = small
    most = BUDGET_MIB // (status(server)["memory_used_bytes"] >> 20)
    create(client, "hasty", LARGE, Timeout=3)
    with Watch(server) as watch, ThreadPoolExecutor(most) as threads:
        calls = [threads.submit(invoke, client, "large", 10) for _ in range(most)]
        wait_for(lambda: status(server)["environments"] == most and status(server)["idle"] == 0)
        event = client.invoke(FunctionName="hasty", InvocationType="Event", Payload="0")
        assert event["StatusCode"] == 202
        began = time.monotonic()
        error = refused(client, "hasty")
        assert 2.9 <= time.monotonic() - began < 6
        assert error["Error"]["Code"] == "TooManyRequestsException"
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert error["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert error["Error"]["Message"].startswith("Rate Exceeded. This host's memory is in use: ")
        assert f"of {BUDGET_MIB} MiB" in error["Error"]["Message"]
        assert [call.result() for call in calls] == ["slept"] * most
        # The event has waited in its own queue, and runs when there is room.
        ran = wait_for(lambda: [r for r in records_of(server, "hasty") if r["throttle"] is None])
        assert ran[0]["origin"] == "event" and ran[0]["error"] is None
    assert watch.highest <= BUDGET_MIB


def test_what_is_provisioned_says_what_it_lacks(small):
    server, client = small
    client.put_function_concurrency(FunctionName="large", ReservedConcurrentExecutions=20)
    version = client.publish_version(FunctionName="large")["Version"]
    client.invoke(FunctionName="large", Qualifier=version, Payload="0")
    settled = lambda: status(server)["memory_held_bytes"] == status(server)["memory_used_bytes"]
    wait_for(settled)
    target = {"FunctionName": "large", "Qualifier": version}
    client.put_provisioned_concurrency_config(**target, ProvisionedConcurrentExecutions=9)
    state = lambda: client.get_provisioned_concurrency_config(**target)
    found = wait_for(lambda: (now := state())["Status"] == "FAILED" and now)
    assert found["StatusReason"].startswith("This host's memory is in use: ")
    wait_for(lambda: 0 < state()["AvailableProvisionedConcurrentExecutions"] < 9)
    assert box_memory_mib(server) <= BUDGET_MIB
    client.put_provisioned_concurrency_config(**target, ProvisionedConcurrentExecutions=1)
    wait_for(lambda: state()["Status"] == "READY")


def test_a_host_with_few_environments_shares_them_out(own_server):
    server = own_server("--max-environments", "1", "--wait-limit-ms", "10000")
    client = server.client("lambda", max_pool_connections=32)
    for name in ("greedy", "modest"):
        create(client, name, "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return 'ran'\n")
    with ThreadPoolExecutor(10) as threads:
        greedy = [threads.submit(invoke, client, "greedy") for _ in range(9)]
        wait_for(lambda: status(server)["waiting"] == 8)
        modest = threads.submit(invoke, client, "modest")
        assert modest.result() == "ran"
        assert sum(one.done() for one in greedy) < 9
        assert [one.result() for one in greedy] == ["ran"] * 9


def test_a_host_where_nobody_waits_throttles_at_once(own_server):
    server = own_server("--max-environments", "1", "--wait-limit-ms", "0")
    client = server.client("lambda")
    create(client, "large", LARGE)
    create(client, "hello", HELLO)
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(invoke, client, "large", 2)
        wait_for(lambda: status(server)["environments"] == 1)
        began = time.monotonic()
        message = refused(client, "hello")["Error"]["Message"]
        assert time.monotonic() - began < 1
        assert message == "Rate Exceeded. Every environment that this host may run is in use."
        busy.result()


def test_a_short_request_does_not_wait_for_its_own_environment(own_server, tmp_path):
    """An environment that is slow to start is overtaken by one that becomes idle."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(shared, 12345, 12345)
    access_point = "fsap-0123456789abcdef0"
    server = own_server("--access-point", f"{access_point}={shared}")
    client = server.client("lambda", max_pool_connections=32)
    # The second environment starts when it may; a request is answered when it may.
    source = """
import os, time, uuid
def wait(name):
    while not os.path.exists(f"/mnt/shared/{name}"):
        time.sleep(0.01)
me = uuid.uuid4().hex
number = len(os.listdir("/mnt/shared"))
open(f"/mnt/shared/{me}", "w").close()
if number > 0:
    wait("start")
def handler(event, context):
    wait("answer")
    time.sleep(event)
    return me
"""
    point = f"arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/{access_point}"
    create(client, "slow", source, FileSystemConfigs=[{"Arn": point, "LocalMountPath": "/mnt/shared"}])
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(invoke, client, "slow", 0)
        wait_for(lambda: len(list(shared.iterdir())) == 1)
        second = threads.submit(invoke, client, "slow", 0)
        wait_for(lambda: len(list(shared.iterdir())) == 2)
        (shared / "answer").touch(0o644)
        assert first.result() == second.result()
    (shared / "start").touch(0o644)
    # The one that nobody waited for has joined the others.
    wait_for(lambda: status(server)["idle"] == 2)
    with ThreadPoolExecutor(2) as threads:
        both = {call.result() for call in [threads.submit(invoke, client, "slow", 0.5) for _ in range(2)]}
    assert len(both) == 2
    assert [record["cold"] for record in records_of(server, "slow")] == [True, False, False, False]
