"""`lamplighter queue`: ls, peek, redrive and replay."""
import json
import re
import time

import pytest
from conftest import lamplighter


@pytest.fixture
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def queue(server):
    """The command against the session's server."""
    def command(*arguments):
        return lamplighter("queue", *arguments, "--endpoint", server.endpoint)
    return command


@pytest.fixture
def pair(sqs, unique):
    """A queue and its dead-letter queue: names and URLs."""
    def make(suffix="", receives=1):
        name = unique("jobs")
        fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if suffix else {}
        dead = sqs.create_queue(QueueName=f"{name}-dead{suffix}", Attributes=fifo)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        live = sqs.create_queue(
            QueueName=f"{name}{suffix}", Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0", **fifo})["QueueUrl"]
        return f"{name}{suffix}", live, f"{name}-dead{suffix}", dead
    return make


def waiting(sqs, url):
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def fail(sqs, live, dead, bodies, **extra):
    """Sends messages and lets them fail; the ids they have in the dead-letter queue."""
    for body in bodies:
        sqs.send_message(QueueUrl=live, MessageBody=body, **extra)
    deadline = time.monotonic() + 30
    while waiting(sqs, dead) < len(bodies):
        assert time.monotonic() < deadline
        sqs.receive_message(QueueUrl=live, MaxNumberOfMessages=10, VisibilityTimeout=0)


def peeked(queue, name, *arguments):
    outcome = queue("peek", name, "--json", *arguments)
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout) if outcome.stdout else []


def test_ls_counts_and_ties(sqs, queue, pair):
    name, live, dead_name, dead = pair()
    sqs.send_message(QueueUrl=live, MessageBody="one")
    sqs.send_message(QueueUrl=live, MessageBody="later", DelaySeconds=600)
    sqs.receive_message(QueueUrl=live, VisibilityTimeout=600)
    sqs.send_message(QueueUrl=live, MessageBody="two")
    outcome = queue("ls", name)
    assert outcome.returncode == 0, outcome.stderr
    lines = {line.split()[0]: line.split(maxsplit=4) for line in outcome.stdout.splitlines()}
    assert lines[name][1:] == ["1", "1", "1", f"failures go to {dead_name}"]
    assert lines[dead_name][1:] == ["0", "0", "0", f"failures of {name}"]
    assert "there are no queues" in queue("ls", "no-such-prefix").stderr


def test_peek_looks_and_takes_nothing(sqs, queue, pair):
    name, live, _, _ = pair(receives=5)
    sqs.send_message(
        QueueUrl=live, MessageBody="seen\nand seen again",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "goods"},
                           "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}})
    sqs.send_message(QueueUrl=live, MessageBody="late", DelaySeconds=600)
    for _ in range(3):
        outcome = queue("peek", name)
        assert outcome.returncode == 0, outcome.stderr
        assert "never received" in outcome.stdout and "kind = goods (String)" in outcome.stdout
        assert re.search(r"body +seen and seen again", outcome.stdout)
        assert re.search(r"delayed for \d+ (s|min)", outcome.stdout)
    taken = sqs.receive_message(QueueUrl=live, VisibilityTimeout=600)["Messages"][0]
    assert taken["Body"] == "seen\nand seen again"
    messages = {message["body"]: message for message in peeked(queue, live)}
    seen = messages["seen\nand seen again"]
    assert (seen["state"], seen["receiveCount"], seen["messageId"]) == ("inFlight", 1, taken["MessageId"])
    assert {"name": "raw", "dataType": "Binary", "binaryValue": "AAE="} in seen["attributes"]
    assert messages["late"]["state"] == "delayed"
    assert len(peeked(queue, name, "--limit", "1")) == 1
    missing = queue("peek", "no-such-queue")
    assert missing.returncode == 1 and "there is no queue 'no-such-queue'" in missing.stderr


def test_redrive_moves_back(sqs, queue, pair):
    name, live, dead_name, dead = pair(receives=1)
    fail(sqs, live, dead, [f"message {n}" for n in range(25)])
    messages = peeked(queue, dead_name, "--limit", "100")
    assert len(messages) == 25 and all(m["deadLetterSourceArn"].endswith(f":{name}") for m in messages)
    assert f"came from  {name}" in queue("peek", dead_name).stdout
    outcome = queue("redrive", dead_name, "--max-rate", "500")
    assert outcome.returncode == 0, outcome.stderr
    assert f"25 moved from {dead_name}" in outcome.stdout
    assert (waiting(sqs, live), waiting(sqs, dead)) == (25, 0)


def test_redrive_to_another_queue_and_what_is_refused(sqs, queue, pair, unique):
    name, live, dead_name, dead = pair()
    fail(sqs, live, dead, ["a"])
    other = sqs.create_queue(QueueName=unique("other"))["QueueUrl"]
    outcome = queue("redrive", dead_name, "--to", other)
    assert outcome.returncode == 0, outcome.stderr
    assert waiting(sqs, other) == 1
    outcome = queue("redrive", name)
    assert outcome.returncode == 1 and "dead" in outcome.stderr.lower(), "it is nobody's dead-letter queue"


def test_replay_sends_chosen_messages_back(sqs, queue, pair):
    name, live, dead_name, dead = pair()
    attribute = {"kind": {"DataType": "String", "StringValue": "goods"}}
    fail(sqs, live, dead, ["a", "b", "c"], MessageAttributes=attribute)
    chosen = next(m["messageId"] for m in peeked(queue, dead_name) if m["body"] == "b")
    outcome = queue("replay", dead_name, "--id", chosen)
    assert outcome.returncode == 0, outcome.stderr
    assert f"{chosen}  sent to {name}" in outcome.stdout
    assert (waiting(sqs, live), waiting(sqs, dead)) == (1, 2), "the others are there at once"
    back = sqs.receive_message(QueueUrl=live, MessageAttributeNames=["All"])["Messages"][0]
    assert (back["Body"], back["MessageAttributes"]["kind"]["StringValue"]) == ("b", "goods")
    outcome = queue("replay", dead_name, "--id", chosen)
    assert outcome.returncode == 1 and chosen in outcome.stderr
    assert "2 replayed" in queue("replay", dead_name).stderr
    assert waiting(sqs, dead) == 0


def test_replay_of_a_fifo_queue_is_no_duplicate(sqs, queue, pair):
    name, live, dead_name, dead = pair(".fifo")
    fail(sqs, live, dead, ["a"], MessageGroupId="g")
    assert queue("replay", dead_name).returncode == 0
    [message] = peeked(queue, name)
    assert (message["body"], message["groupId"]) == ("a", "g")


def test_replay_into_a_function(sqs, queue, pair, make):
    name, live, dead_name, dead = pair()
    fail(sqs, live, dead, ["good", "bad", "reported"], MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
    function = make("""
def handler(event, context):
    [record] = event["Records"]
    assert record["messageAttributes"]["n"] == {
        "stringValue": "1", "stringListValues": [], "binaryListValues": [], "dataType": "Number"}, record
    if record["body"] == "bad":
        raise ValueError("still bad")
    failures = [{"itemIdentifier": record["messageId"]}] if record["body"] == "reported" else []
    return {"source": record["eventSourceARN"], "batchItemFailures": failures}
""")
    outcome = queue("replay", dead_name, "--function", function)
    assert outcome.returncode == 2, outcome.stderr
    assert "1 replayed, 2 failed" in outcome.stderr
    assert "still bad" in outcome.stdout and f":{name}\"" in outcome.stdout
    assert {m["body"] for m in peeked(queue, dead_name)} == {"bad", "reported"}
    assert waiting(sqs, dead) == 2, "what failed again is there at once"


def test_peek_tells_why_a_function_failed(server, sqs, queue, pair, make):
    name, live, dead_name, dead = pair(receives=2)
    sqs.set_queue_attributes(QueueUrl=live, Attributes={"VisibilityTimeout": "10"})
    function = make("def handler(event, context):\n    raise KeyError('snuffer')\n")
    aws = server.client("lambda")
    arn = sqs.get_queue_attributes(QueueUrl=live, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = aws.create_event_source_mapping(EventSourceArn=arn, FunctionName=function)["UUID"]
    sqs.send_message(QueueUrl=live, MessageBody="poison")
    deadline = time.monotonic() + 60
    while waiting(sqs, dead) == 0:
        assert time.monotonic() < deadline
        lamplighter("clock", "advance", "11s", "--endpoint", server.endpoint)
        time.sleep(0.2)
    aws.delete_event_source_mapping(UUID=mapping)
    [message] = peeked(queue, dead_name)
    failure = message["failure"]
    assert (failure["attempts"], failure["error_type"]) == (2, "KeyError")
    assert "snuffer" in failure["error_message"] and len(failure["request_ids"]) == 2
    shown = queue("peek", dead_name).stdout
    assert f"KeyError in {function} after 2 attempts" in shown and failure["request_ids"][1] in shown


def test_peek_tells_why_an_asynchronous_invoke_failed(server, sqs, queue, make, unique):
    name = unique("letters")
    letters = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    function = make("def handler(event, context):\n    raise ValueError('no')\n", DeadLetterConfig={"TargetArn": arn})
    aws = server.client("lambda")
    aws.put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}})
    aws.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"n": 1}')
    deadline = time.monotonic() + 60
    while waiting(sqs, letters) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shown = queue("peek", name).stdout
    assert re.search(r"failed +asynchronous invoke [0-9a-f-]{36}, status 200: .*no", shown), shown
    assert re.search(rf"failed +RetriesExhausted of {function}:\$LATEST after 1 invokes, request [0-9a-f-]{{36}}: no", shown), shown
