"""Queues and topics that tests of Lambda's destinations and dead letters send to."""
import json
import urllib.request
import uuid

from conftest import ROLE
from test_async import until


def fresh(stem):
    return f"{stem}-{uuid.uuid4().hex[:10]}"


def queue(server, name=None, account="test", **attributes):
    """A queue's URL and ARN."""
    sqs = server.client("sqs", account)
    url = sqs.create_queue(QueueName=name or fresh("q"), Attributes=attributes)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def topic(server, name=None, **attributes):
    return server.client("sns").create_topic(Name=name or fresh("t"), Attributes=attributes)["TopicArn"]


def allow_topic(server, url, queue_arn, topic_arn):
    """Lets a topic send to a queue."""
    statement = {
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue_arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    set_policy(server, url, statement)


def set_policy(server, url, *statements, account="test"):
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}) if statements else ""
    server.client("sqs", account).set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def deny(principal=ROLE, action="sqs:SendMessage"):
    return {"Effect": "Deny", "Principal": {"AWS": principal}, "Action": action, "Resource": "*"}


def received(server, url, many=1, account="test"):
    """So many messages of the queue, deleted from it."""
    sqs, found = server.client("sqs", account), []

    def take():
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"])
        for message in answer.get("Messages", []):
            found.append(message)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(found) >= many

    until(take, f"message {many} in {url}")
    assert len(found) == many
    return found


def is_empty(server, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    found = server.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return all(count == "0" for count in found.values())


def counts(server, function_arn):
    """What became of a function's asynchronous events."""
    request = urllib.request.Request(f"{server.endpoint}/_lamplighter/events", headers={"x-lamplighter": "1"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer).get(function_arn, {})
