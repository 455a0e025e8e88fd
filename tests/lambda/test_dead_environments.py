"""Environments that die while they are idle: the next request must not notice."""
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

from test_concurrency import kill_9, read, records_of, runtimes, wait_for

STREAM = "import os\n\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_LOG_STREAM_NAME']\n"


def test_environments_killed_between_invokes_cost_no_request(server, make):
    """Four functions at once, each of whose boxes is killed again and again while it is idle."""
    aws = server.client("lambda", max_pool_connections=4)
    names = [make(STREAM) for _ in range(4)]

    def kill_and_invoke(name):
        streams, chance = set(), random.Random(name)
        for _ in range(25):
            # Idle for so long that it may, or may not, be frozen; then killed; then needed at once, or soon.
            time.sleep(chance.choice([0, 0.005, 0.02, 0.05]))
            for pid in boxes(server, name):
                kill_9(pid)
                # It has ended, but the server may not have heard of it. (A process that was killed and has not ended yet
                # may still take an event out of its socket; then nobody can tell whether it ran.)
                wait_for(lambda pid=pid: has_ended(pid))
            time.sleep(chance.choice([0, 0, 0.0005, 0.002, 0.01]))
            answer = aws.invoke(FunctionName=name)
            payload = json.load(answer["Payload"])
            assert "FunctionError" not in answer, payload
            assert payload not in streams, "an environment that was killed answered"
            streams.add(payload)
        return len(streams)

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(kill_and_invoke, names)) == [25] * 4
    for name in names:
        found = wait_for(lambda name=name: len(records_of(server, name)) == 25 and records_of(server, name))
        assert all(record["cold"] and record["error"] is None for record in found)


def has_ended(pid):
    status = read(f"/proc/{pid}/stat")
    return not status or status.rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")


def boxes(server, name):
    """The first processes of the function's boxes."""
    mark = f"AWS_LAMBDA_FUNCTION_NAME={name}".encode()
    return [pid for pid in runtimes(server) if mark in read(f"/proc/{pid}/environ").split(b"\0")]
