"""Fixtures and helpers for the tests of SNS: `from sns_kit import *` brings them in."""
import json
import time
import uuid

import botocore.exceptions
import pytest

from conftest import advance

__all__ = ["advance", "eventually", "inbox", "lines", "new_name", "queue", "sns", "sqs", "subscribed", "topic"]


def new_name(fifo=False, stem="t"):
    return f"{stem}-{uuid.uuid4().hex[:12]}" + (".fifo" if fifo else "")


@pytest.fixture(scope="session")
def sns(server):
    return server.client("sns")


@pytest.fixture(scope="session")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def topic(sns):
    """Makes topics with names of their own, and deletes them after the test; gives their ARNs."""
    made = []

    def make(name=None, fifo=False, client=sns, tags=None, **attributes):
        name = name or new_name(fifo)
        if fifo:
            attributes["FifoTopic"] = "true"
        arn = client.create_topic(Name=name, Attributes=attributes, Tags=tags or [])["TopicArn"]
        made.append((client, arn))
        return arn

    yield make
    for client, arn in made:
        try:
            if arn.endswith(".fifo"):
                client.set_topic_attributes(TopicArn=arn, AttributeName="ArchivePolicy", AttributeValue="")
            client.delete_topic(TopicArn=arn)
        except (botocore.exceptions.ClientError, botocore.exceptions.EndpointConnectionError):
            pass  # the test deleted it, or ended its server


def open_to_sns(client, url):
    """Lets topics send to a queue."""
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    return arn


@pytest.fixture
def queue(sqs):
    """Makes queues that topics may send to, and deletes them after the test; gives (URL, ARN)."""
    made = []

    def make(fifo=False, client=sqs, opened=True, **attributes):
        if fifo:
            attributes["FifoQueue"] = "true"
        url = client.create_queue(QueueName=new_name(fifo, "q"), Attributes=attributes)["QueueUrl"]
        made.append((client, url))
        if opened:
            return url, open_to_sns(client, url)
        arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    yield make
    for client, url in made:
        try:
            client.delete_queue(QueueUrl=url)
        except (client.exceptions.QueueDoesNotExist, botocore.exceptions.EndpointConnectionError):
            pass


@pytest.fixture
def subscribed(sns, queue):
    """Subscribes a new queue to a topic; gives (the queue's URL, the subscription's ARN)."""

    def make(topic_arn, fifo=False, client=sns, **attributes):
        url, arn = queue(fifo=fifo)
        answer = client.subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, Attributes=attributes, ReturnSubscriptionArn=True)
        return url, answer["SubscriptionArn"]

    return make


@pytest.fixture
def inbox(sqs):
    """Takes `count` messages out of a queue, in the order they come; with 0, makes sure that there are none."""

    def take(url, count=1, client=sqs, within=20):
        messages, deadline = [], time.monotonic() + within
        while len(messages) < count and time.monotonic() < deadline:
            answer = client.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2, MessageAttributeNames=["All"], AttributeNames=["All"])
            for message in answer.get("Messages", []):
                messages.append(message)
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        rest = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        assert len(messages) == count and not rest, [m["Body"] for m in messages + rest]
        return messages

    return take


def lines(messages):
    """What notifications in envelopes say."""
    return [json.loads(message["Body"])["Message"] for message in messages]


def eventually(check, within=20):
    """Waits until `check` gives something true, and gives that."""
    deadline = time.monotonic() + within
    while True:
        found = check()
        if found or time.monotonic() > deadline:
            assert found
            return found
        time.sleep(0.05)
