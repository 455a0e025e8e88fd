"""Messages of standard queues through boto3: sending, receiving, deleting, hiding."""
import hashlib

from sqs_kit import *


def receive(sqs, queue, **parameters):
    return sqs.receive_message(QueueUrl=queue, **parameters).get("Messages", [])


def test_a_message_goes_in_and_out(sqs, queue):
    queue = queue()
    sent = sqs.send_message(QueueUrl=queue, MessageBody="hello ü")
    assert sent["MD5OfMessageBody"] == hashlib.md5("hello ü".encode()).hexdigest()
    [message] = receive(sqs, queue)
    assert message["Body"] == "hello ü"
    assert message["MessageId"] == sent["MessageId"]
    assert "Attributes" not in message and "MessageAttributes" not in message
    assert receive(sqs, queue) == []
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert receive(sqs, queue) == []


def test_ten_messages_in_a_batch(sqs, queue):
    queue = queue()
    entries = [{"Id": str(n), "MessageBody": f"body {n}"} for n in range(10)]
    answer = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == [str(n) for n in range(10)]
    assert not answer.get("Failed")
    messages = receive(sqs, queue, MaxNumberOfMessages=10)
    assert [message["Body"] for message in messages] == [f"body {n}" for n in range(10)]
    entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
    answer = sqs.delete_message_batch(QueueUrl=queue, Entries=entries)
    assert len(answer["Successful"]) == 10 and not answer.get("Failed")


def test_a_long_poll_gets_what_arrives(server, sqs, queue):
    queue = queue()
    import threading
    import time

    got = []

    def poll():
        got.extend(receive(server.client("sqs"), queue, WaitTimeSeconds=20))
        got.append(time.monotonic())

    poller = threading.Thread(target=poll)
    poller.start()
    time.sleep(0.5)
    assert not got
    sqs.send_message(QueueUrl=queue, MessageBody="now")
    poller.join(10)
    assert got[0]["Body"] == "now"


def test_a_message_of_the_largest_size(sqs, queue, refused):
    queue = queue()
    body = "x" * 1_048_576
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    [message] = receive(sqs, queue)
    assert message["Body"] == body
    code, text = refused(sqs.send_message, QueueUrl=queue, MessageBody=body + "x")
    assert (code, text) == (
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    )
