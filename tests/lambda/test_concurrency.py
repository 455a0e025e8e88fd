"""Reserved concurrency, the limits of an account, throttles, and the records of invocations."""
import json
import os
import signal
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, PYTHON, lamplighter, zipped

HELLO = "def handler(event, context):\n    return event\n"
# Runs until the file that the event names is there: /tmp is the environment's own, so the event tells how long.
SLEEPER = "import time\n\ndef handler(event, context):\n    time.sleep(event)\n    return 'slept'\n"


def error_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def records(server):
    """All that are kept, page by page."""
    found, since = [], 0
    while True:
        request = urllib.request.Request(
            f"{server.endpoint}/_lamplighter/invocations?since={since}", headers={"x-lamplighter": "1"}
        )
        with urllib.request.urlopen(request) as answer:
            page = json.load(answer)
        if not page["invocations"]:
            return found
        found += page["invocations"]
        since = page["last"]


def records_of(server, name):
    """Records are written when the answer leaves, so a client may be a moment earlier."""
    return [record for record in records(server) if record["function_arn"].endswith(f":{name}")]


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)
    return found


class Busy:
    """Invokes that are under way: sleepers, in threads."""

    def __init__(self, client, name, count, seconds=1.5, **arguments):
        def invoke():
            # Who probes for the throttle may have taken the place for a moment.
            while True:
                try:
                    return client.invoke(FunctionName=name, Payload=json.dumps(seconds), **arguments)
                except client.exceptions.TooManyRequestsException:
                    time.sleep(0.05)

        self.pool = ThreadPoolExecutor(count)
        self.all = [self.pool.submit(invoke) for _ in range(count)]

    def end(self):
        answers = [json.load(one.result()["Payload"]) for one in self.all]
        assert answers == ["slept"] * len(answers)
        self.pool.shutdown()


def test_reserved_concurrency_is_put_shown_and_deleted(aws, make):
    name = make(HELLO)
    assert aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions") is None
    assert "Concurrency" not in aws.get_function(FunctionName=name)
    before = aws.get_account_settings()["AccountLimit"]
    put = aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
    assert put["ReservedConcurrentExecutions"] == 7
    assert aws.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 7
    assert aws.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    after = aws.get_account_settings()["AccountLimit"]
    assert after["ConcurrentExecutions"] == before["ConcurrentExecutions"] == 1000
    assert after["UnreservedConcurrentExecutions"] == before["UnreservedConcurrentExecutions"] - 7
    deleted = aws.delete_function_concurrency(FunctionName=name)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    aws.delete_function_concurrency(FunctionName=name)
    assert aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions") is None
    assert aws.get_account_settings()["AccountLimit"] == before


def test_a_hundred_stay_unreserved(server, unique):
    aws = server.client("lambda", account="000000001001")
    name, other = unique(), unique()
    for function in (name, other):
        aws.create_function(
            FunctionName=function, Runtime=PYTHON, Role="arn:aws:iam::000000001001:role/r", Handler="app.handler",
            Code={"ZipFile": zipped({"app.py": HELLO})},
        )
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=900)
    refused = error_of(aws.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=901)
    assert refused["Error"]["Code"] == "InvalidParameterValueException"
    assert refused["Error"]["Message"] == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    assert aws.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 900
    assert aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 100
    aws.put_function_concurrency(FunctionName=other, ReservedConcurrentExecutions=0)
    error_of(aws.put_function_concurrency, FunctionName=other, ReservedConcurrentExecutions=1)
    aws.delete_function(FunctionName=name)
    aws.put_function_concurrency(FunctionName=other, ReservedConcurrentExecutions=900)
    aws.delete_function(FunctionName=other)


def test_bad_requests_change_nothing(server, make):
    aws = server.client("lambda", parameter_validation=False)
    name = make(HELLO)
    put = aws.put_function_concurrency
    negative = error_of(put, FunctionName=name, ReservedConcurrentExecutions=-1)
    assert negative["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "greater than or equal to 0" in negative["Error"]["Message"]
    huge = error_of(put, FunctionName=name, ReservedConcurrentExecutions=2**31 - 1)
    assert huge["Error"]["Code"] == "InvalidParameterValueException"
    assert error_of(put, FunctionName="none", ReservedConcurrentExecutions=1)["Error"]["Code"] == "ResourceNotFoundException"
    for call in (aws.get_function_concurrency, aws.delete_function_concurrency):
        assert error_of(call, FunctionName="none")["Error"]["Code"] == "ResourceNotFoundException"
    version = aws.publish_version(FunctionName=name)["Version"]
    qualified = error_of(put, FunctionName=f"{name}:{version}", ReservedConcurrentExecutions=1)
    assert qualified["Error"]["Code"] == "InvalidParameterValueException"
    assert qualified["Error"]["Message"].startswith("This operation is permitted on Lambda functions only.")
    assert aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions") is None


def test_a_reservation_of_zero_closes_the_function(aws, make):
    name = make(HELLO)
    aws.invoke(FunctionName=name)
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    closed = error_of(aws.invoke, FunctionName=name)
    assert closed["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert closed["Error"] == {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}
    assert closed["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert closed["Type"] == "User"
    aws.delete_function_concurrency(FunctionName=name)
    assert json.load(aws.invoke(FunctionName=name, Payload="1")["Payload"]) == 1


def test_a_reservation_is_a_limit_for_all_versions_together(server, aws, make):
    name = make(SLEEPER)
    version = aws.publish_version(FunctionName=name)["Version"]
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    latest, published = Busy(aws, name, 1), Busy(aws, name, 1, Qualifier=version)
    # The first throttle comes when both are under way, and from then on until one has ended.
    def throttle():
        try:
            aws.invoke(FunctionName=name, Payload="0")
        except ClientError as error:
            return error.response
    refused = wait_for(throttle)
    assert refused["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    latest.end()
    published.end()
    assert json.load(aws.invoke(FunctionName=name, Payload="0")["Payload"]) == "slept"


def test_an_account_without_concurrency_left_throttles(own_server, unique):
    server = own_server("--account-concurrency", "2")
    aws = server.client("lambda")
    name = unique()
    aws.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=10,
        Code={"ZipFile": zipped({"app.py": SLEEPER})},
    )
    aws.invoke(FunctionName=name, Payload="0")
    assert aws.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 2
    busy = Busy(aws, name, 2)

    def throttle():
        try:
            aws.invoke(FunctionName=name, Payload="0")
        except ClientError as error:
            return error.response

    refused = wait_for(throttle)
    assert refused["Reason"] in ("ConcurrentInvocationLimitExceeded", "FunctionInvocationRateLimitExceeded")
    busy.end()
    wait_for(lambda: throttle() is None)
    refused = error_of(aws.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=1)
    assert refused["Error"]["Message"].endswith("below its minimum value of [2].")


def test_ten_requests_a_second_for_each_unit_of_concurrency(server, own_server, unique):
    server = own_server()
    aws = server.client("lambda")
    name = unique()
    aws.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=10,
        Code={"ZipFile": zipped({"app.py": HELLO})},
    )
    aws.invoke(FunctionName=name)
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    good, refused, began = 0, None, time.monotonic()
    while refused is None:
        try:
            aws.invoke(FunctionName=name)
            good += 1
        except ClientError as error:
            refused = error.response
    assert 10 <= good <= 11 + 10 * (time.monotonic() - began)
    assert refused["Reason"] == "ReservedFunctionInvocationRateLimitExceeded"
    assert refused["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    lamplighter("clock", "advance", "1s", "--endpoint", server.endpoint)
    assert aws.invoke(FunctionName=name)["StatusCode"] == 200


def test_a_reservation_survives_kill_9(own_server, unique):
    server = own_server()
    aws = server.client("lambda")
    name = unique()
    aws.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped({"app.py": HELLO})},
    )
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    server.kill()
    server.restart()
    aws = server.client("lambda")
    assert aws.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
    assert error_of(aws.invoke, FunctionName=name)["Error"]["Code"] == "TooManyRequestsException"
    aws.delete_function(FunctionName=name)
    aws.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped({"app.py": HELLO})},
    )
    assert aws.invoke(FunctionName=name)["StatusCode"] == 200, "a new function of the name has nothing of the old one"


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def runtimes(server):
    """The processes of functions below the server."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (status := read(f"/proc/{entry}/stat")):
            parents[int(entry)] = int(status.rsplit(b")", 1)[1].split()[1])
    below, found = {server.process.pid}, set()
    while found := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= found
    return [pid for pid in below if b"/var/runtime" in read(f"/proc/{pid}/cmdline")]


def kill_9(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it went by itself


def test_every_invocation_leaves_one_record(server, aws, make):
    name = make(
        "import os, time\n\ndef handler(event, context):\n    if event == 'raise': raise ValueError('no')\n"
        "    if event == 'exit': os._exit(3)\n    if event == 'sleep': time.sleep(9)\n    return 1\n",
        Timeout=1,
        MemorySize=256,
    )
    version = aws.publish_version(FunctionName=name)["Version"]
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    ids = []
    for event in ("ok", "ok", "raise", "exit", "sleep"):
        answer = aws.invoke(FunctionName=name, Payload=json.dumps(event))
        ids.append(answer["ResponseMetadata"]["RequestId"])
    aws.invoke(FunctionName=name, Qualifier="live", Payload='"ok"')
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    error_of(aws.invoke, FunctionName=name)
    found = wait_for(lambda: len(records_of(server, name)) == 7 and records_of(server, name))
    assert [record["error"] for record in found] == [None, None, "handler", "runtime", "timeout", None, None]
    assert [record["request_id"] for record in found[:5]] == ids
    assert [record["cold"] for record in found[:4]] == [True, False, False, False]
    assert found[0]["init_ms"] > 0 and found[1]["init_ms"] is None
    assert found[4]["duration_ms"] == 1000 and found[4]["billed_ms"] >= 1000
    assert all(record["memory_mib"] == 256 and record["origin"] == "request" for record in found)
    assert 0 < found[0]["max_memory_mib"] <= 256
    assert (found[5]["version"], found[5]["alias"], found[0]["version"], found[0]["alias"]) == (version, "live", "$LATEST", None)
    assert found[6]["throttle"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    shown = lamplighter("invocations", name, "--endpoint", server.endpoint)
    lines = shown.stdout.splitlines()
    assert shown.returncode == 0 and len(lines) == 7
    assert "cold start" in lines[0] and "failed: timeout" in lines[4] and "throttled: Reserved" in lines[6]
    assert f"live ({version})" in lines[5]
