"""Functions fed by queues: what they get, what becomes of messages, in which order, how many at a time, after a crash."""
import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import botocore
import pytest
from conftest import PYTHON, ROLE, zipped
from test_async import advance, create, runs, until
from test_box import slim_sdk

ACCOUNT = "000000000000"
CATCH = """import json
def handler(event, context):
    print(json.dumps(["ran", event, context.aws_request_id]))
"""
# What a body asks for: `fail` is an error, `bad` a message that is reported, `sleep` takes a while.
WORK = """import json, os, time
def handler(event, context):
    records = event["Records"]
    bodies = [json.loads(record["body"]) for record in records]
    counts = [int(record["attributes"]["ApproximateReceiveCount"]) for record in records]
    print(json.dumps(["ran", bodies, counts, context.aws_request_id, os.environ["_X_AMZN_TRACE_ID"]]), flush=True)
    time.sleep(max(body.get("sleep", 0) for body in bodies))
    if any(body.get("fail") for body in bodies):
        raise ValueError("no such order")
    bad = [record["messageId"] for record, body in zip(records, bodies) if body.get("bad")]
    return {"batchItemFailures": [{"itemIdentifier": id} for id in bad]}
"""


class Fed:
    """A queue and a function that is fed from it."""

    def __init__(self, server, unique, source=WORK, attributes=None, **mapping):
        self.server, self.aws, self.sqs = server, server.client("lambda"), server.client("sqs")
        attributes = dict(attributes or {})
        self.name = unique()
        name = self.name + (".fifo" if attributes.get("FifoQueue") else "")
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        self.aws.create_function(
            FunctionName=self.name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=10, MemorySize=512,
            Code={"ZipFile": zipped({"app.py": source} if isinstance(source, str) else source)})
        self.uuid = None
        self.mapping = mapping

    def start(self):
        answer = self.aws.create_event_source_mapping(
            FunctionName=self.name, EventSourceArn=self.arn, **self.mapping)
        self.uuid = answer["UUID"]
        return self

    def send(self, *bodies, group=None):
        ids = []
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(n), "MessageBody": json.dumps(body)} for n, body in enumerate(bodies[start:start + 10])
            ]
            if group:
                for n, entry in enumerate(entries):
                    entry["MessageGroupId"] = group
                    entry["MessageDeduplicationId"] = f"{group}-{start + n}"
            answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed")
            ids += [each["MessageId"] for each in answer["Successful"]]
        return ids

    def runs(self):
        return runs(self.server, self.name)

    def bodies(self):
        return [body for run in self.runs() for body in run[0]]

    def left(self, url=None):
        """Visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)

    def is_empty(self):
        return self.left() == (0, 0)


@pytest.fixture
def feed(server, unique):
    made = []

    def make(*arguments, **options):
        made.append(Fed(server, unique, *arguments, **options))
        return made[-1]

    yield make
    for fed in made:
        if fed.uuid:
            fed.aws.delete_event_source_mapping(UUID=fed.uuid)
        fed.aws.delete_function(FunctionName=fed.name)
        fed.sqs.delete_queue(QueueUrl=fed.url)


def ask(server, path):
    """The private API of the command line."""
    request = urllib.request.Request(f"{server.endpoint}/_lamplighter/{path}", headers={"x-lamplighter": "1"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def failures(server, *ids):
    query = "&".join(f"id={id}" for id in ids)
    return ask(server, f"failures?{query}")["failures"]


def test_the_event_is_aws_s(feed):
    fed = feed(CATCH).start()
    sent = fed.sqs.send_message(
        QueueUrl=fed.url, MessageBody="hé\u2028llo",
        MessageAttributes={
            "kind": {"DataType": "String", "StringValue": "order"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            "n": {"DataType": "Number.int", "StringValue": "7"},
        },
    )
    (event, _), = until(fed.runs)
    (record,) = event["Records"]
    attributes = record.pop("attributes")
    assert record.pop("receiptHandle")
    assert record == {
        "messageId": sent["MessageId"],
        "body": "hé\u2028llo",
        "messageAttributes": {
            "kind": {"stringValue": "order", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "raw": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
            "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number.int"},
        },
        "md5OfBody": hashlib.md5("hé\u2028llo".encode()).hexdigest(),
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "eventSource": "aws:sqs",
        "eventSourceARN": fed.arn,
        "awsRegion": "us-east-1",
    }
    assert attributes["ApproximateReceiveCount"] == "1"
    assert {"SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"} <= attributes.keys()
    until(fed.is_empty)


def test_messages_that_wait_come_together_and_the_trace_goes_on(feed):
    fed = feed(WORK, BatchSize=5)
    root = "Root=1-5759e988-bd862e3fe1be46a994272793"
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": f"{root};Sampled=1"}}
    fed.sqs.send_message(QueueUrl=fed.url, MessageBody='{"n": 0}', MessageSystemAttributes=trace)
    fed.send(*({"n": n} for n in range(1, 12)))
    fed.start()
    until(fed.is_empty)
    until(lambda: len(fed.bodies()) == 12)
    assert sorted(body["n"] for body in fed.bodies()) == list(range(12))
    assert max(len(run[0]) for run in fed.runs()) == 5
    first = next(run for run in fed.runs() if {"n": 0} in run[0])
    assert first[3].startswith(root)


def test_a_batch_that_fails_comes_again_and_ends_in_the_dead_letter_queue(own_server, unique):
    server = own_server()
    sqs = server.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead", "maxReceiveCount": 3}
    fed = Fed(server, unique, attributes={"RedrivePolicy": json.dumps(redrive)}).start()
    bad, = fed.send({"fail": True})
    for count in (1, 2, 3):
        until(lambda: len(fed.runs()) == count)
        why = until(lambda: [f for f in failures(server, bad) if f["attempts"] == count])[0]
        assert fed.left() == (0, 1), "it stays in flight until its visibility timeout is over"
        advance(server, 30)
    until(lambda: fed.left(dead) == (1, 0))
    assert fed.is_empty() and len(fed.runs()) == 3
    assert (why["error_type"], why["error_message"], why["source_arn"]) == ("ValueError", "no such order", fed.arn)
    assert why["request_ids"] == [run[2] for run in fed.runs()]
    assert why["function_arn"].endswith(f":function:{fed.name}")
    (message,) = sqs.receive_message(QueueUrl=dead)["Messages"]
    assert message["MessageId"] == bad
    # What is known survives the server.
    server.kill()
    server.restart()
    assert failures(server, bad, "unknown") == [why]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(server, f"failures?message={bad}")


def test_a_function_reports_what_failed(own_server, unique):
    server = own_server()
    fed = Fed(server, unique, FunctionResponseTypes=["ReportBatchItemFailures"])
    ids = fed.send({"n": 0}, {"n": 1, "bad": True}, {"n": 2})
    fed.start()
    until(lambda: fed.left() == (0, 1))
    assert [failure["message_id"] for failure in until(lambda: failures(server, *ids))] == [ids[1]]
    advance(server, 30)
    until(lambda: len(fed.runs()) == 2)
    assert fed.runs()[1][:2] == [[{"n": 1, "bad": True}], [2]]


@pytest.mark.parametrize("answer", ['{"batchItemFailures": [{"itemIdentifier": ""}]}', '"done"', "[1]",
                                    '{"batchItemFailures": [{"itemIdentifier": "nobody"}]}'])
def test_an_answer_that_is_no_report_fails_the_batch(feed, answer):
    source = CATCH + f"    return json.loads({answer!r})\n"
    fed = feed(source, FunctionResponseTypes=["ReportBatchItemFailures"])
    ids = fed.send({"n": 0}, {"n": 1})
    fed.start()
    until(lambda: len(failures(fed.server, *ids)) == 2)
    assert fed.left() == (0, 2)


def test_groups_keep_their_order(feed):
    fed = feed(attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"}, BatchSize=3)
    groups = [f"g{n}" for n in range(6)]
    for group in groups:
        fed.send(*({"group": group, "n": n, "sleep": 0.02} for n in range(10)), group=group)
    fed.start()
    until(fed.is_empty, seconds=60)
    until(lambda: len(fed.bodies()) == 60)
    # Of one group never two run at a time, so the log has the order in which they ran.
    for group in groups:
        assert [body["n"] for body in fed.bodies() if body["group"] == group] == list(range(10)), group


def test_a_group_waits_behind_its_failure(own_server, unique):
    server = own_server()
    fed = Fed(server, unique, attributes={"FifoQueue": "true"}, BatchSize=1)
    fed.send({"n": 0, "fail": True}, {"n": 1}, group="a")
    fed.send({"n": 0}, {"n": 1}, group="b")
    fed.start()
    until(lambda: len(fed.runs()) == 3)
    time.sleep(0.3)
    assert sorted(str(run[0][0]) for run in fed.runs()) == sorted(
        map(str, [{"n": 0, "fail": True}, {"n": 0}, {"n": 1}]))
    advance(server, 30)
    until(lambda: len(fed.runs()) == 4)
    assert fed.runs()[3][0] == [{"n": 0, "fail": True}]




def test_no_more_run_than_the_mapping_allows(feed):
    marks = WORK.replace("time.sleep(", 'print("MARK +", flush=True); time.sleep(').replace(
        "    if any(", '    print("MARK -", flush=True)\n    if any(', 1)
    fed = feed(marks, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    fed.send(*({"n": n, "sleep": 0.1} for n in range(12)))
    fed.start()
    seen = set()
    deadline = time.monotonic() + 60
    while not fed.is_empty():
        seen.add(fed.left()[1])
        assert time.monotonic() < deadline
    assert max(seen) <= 2, "what may not run stays visible"
    until(lambda: len(fed.bodies()) == 12)


def test_throttles_count_no_receive(feed):
    fed = feed(BatchSize=1)
    fed.aws.put_function_concurrency(FunctionName=fed.name, ReservedConcurrentExecutions=1)
    fed.send(*({"n": n, "sleep": 0.05} for n in range(25)))
    fed.start()
    until(fed.is_empty, seconds=60)
    until(lambda: len(fed.bodies()) == 25)
    assert all(run[1] == [1] for run in fed.runs())


def test_filters(feed):
    pattern = json.dumps({"body": {"n": [{"numeric": [">=", 3]}]}})
    fed = feed(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    fed.send(*({"n": n} for n in range(6)))
    fed.sqs.send_message(QueueUrl=fed.url, MessageBody="no JSON")
    fed.start()
    until(fed.is_empty)
    until(lambda: len(fed.bodies()) == 3)
    assert sorted(body["n"] for body in fed.bodies()) == [3, 4, 5]


def test_a_batching_window(own_server, unique):
    server = own_server()
    fed = Fed(server, unique, BatchSize=100, MaximumBatchingWindowInSeconds=300).start()
    for n in range(30):
        fed.send({"n": n})
    until(lambda: fed.left() == (0, 30))
    assert fed.runs() == []
    advance(server, 300)
    until(fed.is_empty)
    assert [len(run[0]) for run in until(fed.runs)] == [30]


def test_large_events_have_six_megabytes(feed):
    fed = feed("def handler(event, context):\n    print('[\"ran\", %d]' % len(event['Records']))\n", BatchSize=10)
    for _ in range(8):
        fed.sqs.send_message(QueueUrl=fed.url, MessageBody="x" * 1_000_000)
    fed.start()
    until(fed.is_empty)
    assert sum(run[0] for run in until(lambda: [r for r in [fed.runs()] if sum(x[0] for x in r) == 8])[0]) == 8
    assert max(run[0] for run in fed.runs()) <= 6


def test_versions_and_switching_off(feed):
    fed = feed(WORK)
    version = fed.aws.publish_version(FunctionName=fed.name)["Version"]
    fed.aws.create_alias(FunctionName=fed.name, Name="live", FunctionVersion=version)
    fed.name, plain = f"{fed.name}:live", fed.name
    fed.start()
    fed.name = plain
    fed.send({"n": 1})
    until(fed.is_empty)
    fed.aws.update_event_source_mapping(UUID=fed.uuid, Enabled=False)
    until(lambda: fed.aws.get_event_source_mapping(UUID=fed.uuid)["State"] == "Disabled")
    fed.send({"n": 2})
    time.sleep(0.3)
    assert fed.left() == (1, 0)
    fed.aws.update_event_source_mapping(UUID=fed.uuid, Enabled=True)
    until(fed.is_empty)


def test_a_function_that_is_gone_is_waited_for(feed):
    fed = feed(WORK).start()
    fed.aws.delete_function(FunctionName=fed.name)
    fed.send({"n": 1})
    until(lambda: fed.left() == (1, 0))
    create(fed.server, fed.name, WORK)
    until(fed.is_empty)
    assert until(fed.bodies) == [{"n": 1}]


# What it handled it says in a queue, because log lines of the last moment go with a killed server.
TELL = """import boto3
sqs = boto3.client("sqs")
url = sqs.get_queue_url(QueueName="seen")["QueueUrl"]
def handler(event, context):
    entries = [{"Id": str(i), "MessageBody": record["body"]} for i, record in enumerate(event["Records"])]
    assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")
"""


def sdk_with_queues():
    data = Path(botocore.__file__).parent / "data"
    files = [path for path in (data / "sqs").rglob("*") if path.is_file()]
    return {**slim_sdk(), **{f"botocore/data/{path.relative_to(data)}": path.read_bytes() for path in files}}


def test_nothing_is_lost_when_the_server_is_killed(own_server, unique):
    server = own_server()
    server.client("sqs").create_queue(QueueName="seen")
    fed = Fed(server, unique, {**sdk_with_queues(), "app.py": TELL}, BatchSize=5).start()
    sent, stop = set(), threading.Event()

    def send(base):
        for start in range(base, base + 100_000, 10):
            if stop.is_set():
                return
            try:
                fed.send(*({"n": start + i} for i in range(10)))
            except Exception:  # the server was killed: nobody said yes
                return
            sent.update(range(start, start + 10))

    for turn in range(3):
        stop.clear()
        before = len(sent)
        sender = threading.Thread(target=send, args=[turn * 100_000])
        sender.start()
        until(lambda: len(sent) >= before + 50 * (turn + 1), seconds=60)
        server.kill()
        stop.set()
        sender.join()
        server.restart()
        fed.sqs, fed.aws = server.client("sqs"), server.client("lambda")
        fed.url = fed.sqs.get_queue_url(QueueName=fed.name)["QueueUrl"]
    advance(server, 31)
    until(fed.is_empty, seconds=90)
    seen = set()
    seen_url = fed.sqs.get_queue_url(QueueName="seen")["QueueUrl"]
    while messages := fed.sqs.receive_message(QueueUrl=seen_url, MaxNumberOfMessages=10).get("Messages"):
        seen.update(json.loads(message["Body"])["n"] for message in messages)
    assert sent <= seen


def test_batches_that_run_end_before_the_server_stops(own_server, unique):
    server = own_server()
    fed = Fed(server, unique).start()
    fed.send({"n": 1, "sleep": 1})
    until(lambda: fed.left() == (0, 1))
    until(fed.runs)
    assert server.stop() == 0
    server.restart()
    fed.sqs = server.client("sqs")
    fed.url = fed.sqs.get_queue_url(QueueName=fed.name)["QueueUrl"]
    assert fed.is_empty()


LOOP = """import json
import boto3
sqs = boto3.client("sqs")
def handler(event, context):
    for record in event["Records"]:
        body = json.loads(record["body"])
        print(json.dumps(["ran", body["n"], 0]), flush=True)
        sqs.send_message(QueueUrl=body["url"], MessageBody=json.dumps({**body, "n": body["n"] + 1}))
"""


def test_a_function_that_feeds_itself_is_stopped(feed):
    fed = feed({**sdk_with_queues(), "app.py": LOOP})
    fed.url = fed.url.replace("127.0.0.1", "localhost")
    fed.start()
    fed.send({"n": 1, "url": fed.url})
    until(lambda: len(fed.runs()) == 16, seconds=90)
    # The one after that stays in its queue.
    until(lambda: fed.left() == (0, 1))
    time.sleep(0.5)
    assert [run[0] for run in fed.runs()] == list(range(1, 17))
