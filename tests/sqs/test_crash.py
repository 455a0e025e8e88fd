"""Servers killed at random instants under load: what was acknowledged about messages stays true.

Each test kills its server a few times, as `kill -9` does, and starts it again on the same data. How often can be set
with LAMPLIGHTER_CRASH_RUNS (2 without it); what is drawn at random can be repeated with LAMPLIGHTER_CRASH_SEED.
"""
import collections
import http.client
import itertools
import json
import os
import random
import threading
import time

import pytest
from conftest import PYTHON, ROLE, lamplighter, zipped

RUNS = int(os.environ.get("LAMPLIGHTER_CRASH_RUNS", "2"))
SEED = int(os.environ.get("LAMPLIGHTER_CRASH_SEED", "11"))
ALLOW_SNS = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                   "Resource": "*"}],
})


class Gone(Exception):
    """The server went while it was asked, so that nobody knows what came of it."""


class Sqs:
    """A client with one connection that costs little; boto3 is too slow to bring a server under load."""

    def __init__(self, server):
        self.server, self.connection = server, None

    def call(self, operation, **request):
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, "
                             "SignedHeaders=host, Signature=0",
        }
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            self.connection.request("POST", "/", json.dumps(request), headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except (http.client.HTTPException, OSError) as error:
            self.connection = None
            raise Gone(operation) from error
        if answer.status != 200:
            raise RuntimeError(f"{operation}: {answer.status} {body}")
        return json.loads(body) if body else {}


class Load:
    """Workers that go on over the deaths of their server, until they are told to stop."""

    def __init__(self, server):
        self.server, self.stopped, self.errors = server, threading.Event(), []
        self.threads = []

    def start(self, work, *arguments):
        def run():
            try:
                client = Sqs(self.server)
                while not self.stopped.is_set():
                    try:
                        work(client, *arguments)
                    except Gone:
                        time.sleep(0.02)
            except Exception as error:
                self.errors.append(error)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def stop(self):
        self.stopped.set()
        [thread.join() for thread in self.threads]
        assert not self.errors, self.errors[0]


@pytest.fixture
def crashing(own_server):
    """A server on a port that stays its own, to be killed."""
    server = own_server("--auth", "off")
    server.listen = f"127.0.0.1:{server.port}"
    return server


def crash(server, load, count, step, most):
    """Kills and starts the server again and again, each time a moment after `count()` grew by `step`."""
    draw = random.Random(SEED)
    for _ in range(RUNS):
        wanted, deadline = count() + step, time.monotonic() + 60
        while count() < wanted:
            assert not load.errors, load.errors[0]
            assert time.monotonic() < deadline, "nothing is acknowledged"
            time.sleep(0.01)
        time.sleep(draw.uniform(0, most))
        assert not load.errors, load.errors[0]
        server.kill()
        time.sleep(draw.uniform(0, 0.1))
        server.restart()


def create(server, name, **attributes):
    return Sqs(server).call("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]


def drain(server, url):
    """All that is left in a queue, also what is still in somebody's hands."""
    assert lamplighter("clock", "advance", "60s", "--endpoint", server.endpoint).returncode == 0
    client, left = Sqs(server), []
    while True:
        messages = client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        if not messages.get("Messages"):
            return left
        left += [message["Body"] for message in messages["Messages"]]
        delete_all(client, url, messages["Messages"])


def delete_all(client, url, messages):
    entries = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(messages)]
    assert not client.call("DeleteMessageBatch", QueueUrl=url, Entries=entries).get("Failed")


def test_no_message_is_lost_and_none_deleted_comes_back(crashing):
    url = create(crashing, "plain", VisibilityTimeout="30")
    numbers = itertools.count()
    acknowledged, received, to_delete, deleted = set(), set(), set(), set()

    def send(client):
        body = str(next(numbers))
        # Now and then one that is large.
        client.call("SendMessage", QueueUrl=url, MessageBody=body + " " * {0: 200_000, 1: 5000}.get(int(body) % 50, 10))
        acknowledged.add(body)

    def send_batch(client):
        bodies = [str(next(numbers)) for _ in range(10)]
        entries = [{"Id": body, "MessageBody": body} for body in bodies]
        answer = client.call("SendMessageBatch", QueueUrl=url, Entries=entries)
        acknowledged.update(entry["Id"] for entry in answer["Successful"])

    def consume(client):
        answer = client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            body = message["Body"].strip()
            received.add(body)
            to_delete.add(body)
            client.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            deleted.add(body)

    load = Load(crashing)
    [load.start(send) for _ in range(4)]
    load.start(send_batch)
    [load.start(consume) for _ in range(3)]
    crash(crashing, load, lambda: len(acknowledged), 30, 0.8)
    load.stop()
    left = [body.strip() for body in drain(crashing, url)]

    lost = acknowledged - received - set(left)
    assert not lost, f"{len(lost)} of {len(acknowledged)} messages are lost"
    gone = acknowledged - to_delete - set(left)
    assert not gone, f"{len(gone)} messages went away although nobody deleted them"
    assert not deleted & set(left), "what was deleted stays so"
    assert len(left) == len(set(left)), "no message became two"
    assert crashing.stop() == 0


def test_groups_keep_their_order(crashing):
    url = create(crashing, "ordered.fifo", FifoQueue="true", VisibilityTimeout="2")
    groups = [f"group-{number}" for number in range(6)]
    acknowledged = collections.Counter()
    wanted = collections.Counter()
    lock, seen, faults, finished = threading.Lock(), collections.defaultdict(int), [], collections.defaultdict(set)

    def send(client, group):
        # The same number again until it is acknowledged: its deduplication id makes it one message.
        number = wanted[group]
        client.call("SendMessage", QueueUrl=url, MessageBody=str(number), MessageGroupId=group,
                    MessageDeduplicationId=f"{group}-{number}")
        wanted[group] += 1
        acknowledged[group] += 1

    def take(messages):
        """Looks at messages in the order in which they came; all before each must have been handled."""
        with lock:
            for message in messages:
                group, number = message["Attributes"]["MessageGroupId"], int(message["Body"])
                if number > seen[group]:
                    faults.append(f"{group}: {number} came before {seen[group]}")
                if number not in finished[group]:
                    seen[group] = max(seen[group], number + 1)

    def consume(client, count):
        answer = client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=count, WaitTimeSeconds=1,
                             MessageSystemAttributeNames=["MessageGroupId"])
        messages = answer.get("Messages", [])
        take(messages)
        for message in messages:
            with lock:
                finished[message["Attributes"]["MessageGroupId"]].add(int(message["Body"]))
            try:
                client.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            except RuntimeError as error:
                # Its time was over before it was deleted: it comes again.
                assert "expired" in str(error) or "ReceiptHandleIsInvalid" in str(error), error

    load = Load(crashing)
    [load.start(send, group) for group in groups]
    [load.start(consume, count) for count in (1, 3, 10)]
    crash(crashing, load, lambda: sum(acknowledged.values()), 15, 0.8)
    load.stop()
    # What is left is the end of each group, in order.
    client, empty = Sqs(crashing), 0
    while empty < 2:
        messages = client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60,
                               MessageSystemAttributeNames=["MessageGroupId"]).get("Messages", [])
        take(messages)
        if messages:
            empty = 0
            delete_all(client, url, messages)
        else:
            empty += 1
            assert lamplighter("clock", "advance", "5s", "--endpoint", crashing.endpoint).returncode == 0

    assert not faults, faults[:5]
    for group in groups:
        assert seen[group] >= acknowledged[group], f"{group}: {acknowledged[group]} were acknowledged, {seen[group]} came"
    assert crashing.stop() == 0


def test_dead_letters_are_in_one_queue_only(crashing):
    dead = create(crashing, "dead")
    redrive = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 2}
    url = create(crashing, "failing", VisibilityTimeout="0", RedrivePolicy=json.dumps(redrive))
    numbers, acknowledged = itertools.count(), set()

    def send(client):
        bodies = [str(next(numbers)) for _ in range(5)]
        entries = [{"Id": body, "MessageBody": body} for body in bodies]
        client.call("SendMessageBatch", QueueUrl=url, Entries=entries)
        acknowledged.update(bodies)

    def fail(client):
        client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)

    load = Load(crashing)
    [load.start(send) for _ in range(2)]
    [load.start(fail) for _ in range(4)]
    crash(crashing, load, lambda: len(acknowledged), 30, 0.6)
    load.stop()
    left, buried = drain(crashing, url), drain(crashing, dead)
    assert not acknowledged - set(left) - set(buried), "a message is lost"
    assert len(left) + len(buried) == len({*left, *buried}), "a message is in two places"
    assert buried, "the test would show nothing"
    assert crashing.stop() == 0


def test_what_a_topic_accepted_arrives_in_every_queue(crashing):
    sns = crashing.client("sns", retries={"total_max_attempts": 1}, read_timeout=30)
    topic = sns.create_topic(Name="news")["TopicArn"]
    urls = [create(crashing, f"reader-{number}", Policy=ALLOW_SNS) for number in range(3)]
    for number in range(3):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:000000000000:reader-{number}",
                      Attributes={"RawMessageDelivery": "true"})
    numbers, acknowledged = itertools.count(), set()

    def publish(client):
        body = str(next(numbers))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sns/aws4_request, "
                             "SignedHeaders=host, Signature=0",
        }
        form = f"Action=Publish&Version=2010-03-31&TopicArn={topic.replace(':', '%3A')}&Message={body}"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", crashing.port, timeout=30)
            connection.request("POST", "/", form, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, OSError) as error:
            raise Gone("Publish") from error
        assert answer.status == 200, text
        acknowledged.add(body)

    load = Load(crashing)
    [load.start(publish) for _ in range(6)]
    crash(crashing, load, lambda: len(acknowledged), 10, 0.6)
    load.stop()
    deadline = time.monotonic() + 60
    arrived = [set() for _ in urls]
    while True:
        for url, bodies in zip(urls, arrived):
            bodies.update(drain(crashing, url))
        missing = [len(acknowledged - bodies) for bodies in arrived]
        if not any(missing):
            break
        assert time.monotonic() < deadline, f"{missing} of {len(acknowledged)} messages did not arrive"
        time.sleep(0.5)
    assert crashing.stop() == 0


# Each record leaves a mark that is on disk before the function ends: a log stream of its number.
MARK = """import json, os, urllib.error, urllib.request
HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "Logs_20140328.CreateLogStream",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/logs/aws4_request, "
                     "SignedHeaders=host, Signature=0",
}
def handler(event, context):
    for record in event["Records"]:
        body = json.dumps({"logGroupName": "marks", "logStreamName": record["body"]}).encode()
        try:
            urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], body, HEADERS)).read()
        except urllib.error.HTTPError as error:
            if b"ResourceAlreadyExists" not in error.read():
                raise
"""


def marks(server):
    pages = server.client("logs").get_paginator("describe_log_streams").paginate(logGroupName="marks")
    return {stream["logStreamName"] for page in pages for stream in page["logStreams"]}


def test_every_message_reaches_its_function(crashing):
    crashing.client("logs").create_log_group(logGroupName="marks")
    client = crashing.client("lambda")
    client.create_function(FunctionName="marker", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=10,
                           Code={"ZipFile": zipped({"app.py": MARK})})
    client.get_waiter("function_active_v2").wait(FunctionName="marker")
    url = create(crashing, "work", VisibilityTimeout="60")
    client.create_event_source_mapping(
        EventSourceArn="arn:aws:sqs:us-east-1:000000000000:work", FunctionName="marker", BatchSize=10
    )
    numbers, acknowledged = itertools.count(), set()

    def send(client):
        bodies = [str(next(numbers)) for _ in range(5)]
        entries = [{"Id": body, "MessageBody": body} for body in bodies]
        client.call("SendMessageBatch", QueueUrl=url, Entries=entries)
        acknowledged.update(bodies)
        time.sleep(0.01)

    load = Load(crashing)
    [load.start(send) for _ in range(3)]
    crash(crashing, load, lambda: len(acknowledged), 20, 0.8)
    load.stop()
    # What was in a function's hands when its server went comes again when its time is over.
    deadline = time.monotonic() + 120
    while acknowledged - marks(crashing):
        missing = len(acknowledged - marks(crashing))
        assert time.monotonic() < deadline, f"{missing} of {len(acknowledged)} messages were not handled"
        assert lamplighter("clock", "advance", "10s", "--endpoint", crashing.endpoint).returncode == 0
        time.sleep(0.3)
    assert crashing.stop() == 0
