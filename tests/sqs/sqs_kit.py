"""Fixtures and helpers for the tests of SQS: `from sqs_kit import *` brings them in."""
import uuid

import botocore.exceptions
import pytest

from conftest import advance

__all__ = ["GONE", "advance", "arn", "attributes", "queue", "sqs"]

GONE = ("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")


@pytest.fixture(scope="session")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def queue(sqs):
    """Makes queues with names of their own, and deletes them after the test; gives their URLs."""
    made = []

    def make(name=None, fifo=False, client=sqs, tags=None, **given):
        name = name or f"q-{uuid.uuid4().hex[:12]}" + (".fifo" if fifo else "")
        if fifo:
            given["FifoQueue"] = "true"
        url = client.create_queue(QueueName=name, Attributes=given, tags=tags or {})["QueueUrl"]
        made.append((client, url))
        return url

    yield make
    for client, url in made:
        try:
            client.delete_queue(QueueUrl=url)
        except (client.exceptions.QueueDoesNotExist, botocore.exceptions.EndpointConnectionError):
            pass  # the test deleted it, or ended its server


@pytest.fixture
def attributes(sqs):
    """A queue's attributes: those named, or all."""

    def of(url, *names, client=sqs):
        return client.get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"]).get("Attributes", {})

    return of


@pytest.fixture
def arn(attributes):
    return lambda url: attributes(url, "QueueArn")["QueueArn"]
