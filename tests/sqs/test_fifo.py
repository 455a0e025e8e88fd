"""FIFO queues through boto3: order, groups, deduplication, repeated receives."""
import pytest
from sqs_kit import *


@pytest.fixture
def fifo(queue):
    return lambda **given: queue(fifo=True, **{"ContentBasedDeduplication": "true", **given})


def send(sqs, url, body, group="g", **parameters):
    return sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, **parameters)


def receive(sqs, url, **parameters):
    return sqs.receive_message(QueueUrl=url, **{"MaxNumberOfMessages": 10, **parameters}).get("Messages", [])


def bodies(sqs, url, **parameters):
    return [message["Body"] for message in receive(sqs, url, **parameters)]


def test_groups_keep_their_order(sqs, fifo):
    url = fifo()
    numbers = [int(send(sqs, url, f"{group}{n}", group)["SequenceNumber"]) for n in range(3) for group in "ab"]
    assert numbers == sorted(set(numbers))
    first = receive(sqs, url, MaxNumberOfMessages=1, MessageSystemAttributeNames=["All"])[0]
    assert first["Body"] == "a0"
    assert first["Attributes"]["MessageGroupId"] == "a"
    assert first["Attributes"]["SequenceNumber"] == f"{numbers[0]:020}"
    assert len(first["Attributes"]["MessageDeduplicationId"]) == 64
    assert bodies(sqs, url) == ["b0", "b1", "b2"]
    assert bodies(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(sqs, url) == ["a0", "a1", "a2"]


def test_duplicates_are_answered_as_the_first(sqs, fifo, queue, refused):
    url = fifo()
    first = send(sqs, url, "x")
    again = send(sqs, url, "x")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    own = send(sqs, url, "x", MessageDeduplicationId="own")
    assert own["MessageId"] != first["MessageId"]
    other = send(sqs, url, "another body", MessageDeduplicationId="own")
    assert other["MessageId"] == own["MessageId"]
    assert bodies(sqs, url) == ["x", "x"]
    plain = queue(fifo=True)
    assert refused(sqs.send_message, QueueUrl=plain, MessageBody="x", MessageGroupId="g") == (
        "InvalidParameterValue",
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
    per_group = fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    assert send(sqs, per_group, "x", "a")["MessageId"] != send(sqs, per_group, "x", "b")["MessageId"]


def test_ids_inside_and_outside_of_their_limits(sqs, fifo, refused):
    url = fifo()
    send(sqs, url, "1", "g" * 128, MessageDeduplicationId="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    send(sqs, url, "2", "g", MessageDeduplicationId="d" * 128)
    assert refused(sqs.send_message, QueueUrl=url, MessageBody="x") == (
        "MissingParameter", "The request must contain the parameter MessageGroupId.")
    for parameters in (
        {"MessageGroupId": "g" * 129}, {"MessageGroupId": "a b"}, {"MessageGroupId": "ü"},
        {"MessageGroupId": "g", "MessageDeduplicationId": "d" * 129},
        {"MessageGroupId": "g", "MessageDeduplicationId": ""},
        {"MessageGroupId": "g", "DelaySeconds": 1},
    ):
        code, message = refused(sqs.send_message, QueueUrl=url, MessageBody="x", **parameters)
        assert code == "InvalidParameterValue", message


def test_an_expired_handle_is_refused(sqs, fifo, refused):
    url = fifo()
    send(sqs, url, "x")
    [message] = receive(sqs, url, VisibilityTimeout=0)
    code, text = refused(sqs.delete_message, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert code == "InvalidParameterValue"
    assert text == (
        f"Value {message['ReceiptHandle']} for parameter ReceiptHandle is invalid. "
        "Reason: The receipt handle has expired.")


def test_a_receive_is_repeated_by_its_attempt(sqs, fifo):
    url = fifo()
    for n in range(4):
        send(sqs, url, str(n), f"g{n}")
    first = receive(sqs, url, MaxNumberOfMessages=2, ReceiveRequestAttemptId="one")
    again = receive(sqs, url, MaxNumberOfMessages=2, ReceiveRequestAttemptId="one")
    assert [m["ReceiptHandle"] for m in first] == [m["ReceiptHandle"] for m in again]
    assert bodies(sqs, url, ReceiveRequestAttemptId="two") == ["2", "3"]


def test_order_survives_a_kill(own_server):
    server = own_server()
    sqs = server.client("sqs")
    make = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="q.fifo", Attributes=make)["QueueUrl"]
    for n in range(30):
        send(sqs, url, str(n), f"g{n % 2}")
    for message in receive(sqs, url, MaxNumberOfMessages=3):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    receive(sqs, url, MaxNumberOfMessages=2)
    server.kill()
    server.restart()
    sqs = server.client("sqs")
    url = f"{server.endpoint}/000000000000/q.fifo"
    again = send(sqs, url, "29", "g1")
    seen = []
    advance(server, 31)
    while messages := receive(sqs, url):
        for message in messages:
            seen.append(int(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    for parity in (0, 1):
        expected = [n for n in range(30) if n % 2 == parity]
        of_group = [n for n in seen if n % 2 == parity]
        assert of_group == expected[-len(of_group):]
    assert len(seen) == 27 and again["SequenceNumber"]
