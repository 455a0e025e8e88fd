"""Dead-letter queues through boto3: messages that are received too often, and their way back."""
import json
import time

from sqs_kit import *


def receive(sqs, url, **parameters):
    wanted = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 0, "MessageSystemAttributeNames": ["All"], **parameters}
    return sqs.receive_message(QueueUrl=url, **wanted).get("Messages", [])


def pair(queue, arn, count, **given):
    dead = queue(**given)
    policy = json.dumps({"deadLetterTargetArn": arn(dead), "maxReceiveCount": count})
    return queue(RedrivePolicy=policy, **given), dead


def test_a_message_is_buried_on_the_receive_after_the_last(sqs, queue, arn):
    source, dead = pair(queue, arn, 3)
    sent = sqs.send_message(QueueUrl=source, MessageBody="x" * 100_000)
    for count in "123":
        [message] = receive(sqs, source)
        assert message["Attributes"]["ApproximateReceiveCount"] == count
        assert receive(sqs, dead) == []
    assert receive(sqs, source) == []
    [buried] = receive(sqs, dead)
    assert buried["Body"] == "x" * 100_000 and buried["MessageId"] == sent["MessageId"]
    assert buried["Attributes"]["DeadLetterQueueSourceArn"] == arn(source)
    assert buried["Attributes"]["SentTimestamp"] == message["Attributes"]["SentTimestamp"]
    # The receive count goes over all queues.
    assert buried["Attributes"]["ApproximateReceiveCount"] == "4"


def test_a_fifo_group_goes_on(sqs, queue, arn):
    source, dead = pair(queue, arn, 1, fifo=True, ContentBasedDeduplication="true")
    for body in "ab":
        sent = sqs.send_message(QueueUrl=source, MessageBody=body, MessageGroupId="g")
    assert [m["Body"] for m in receive(sqs, source, MaxNumberOfMessages=1)] == ["a"]
    assert [m["Body"] for m in receive(sqs, source)] == ["b"]
    [buried] = receive(sqs, dead, VisibilityTimeout=30)
    assert buried["Body"] == "a" and buried["Attributes"]["MessageGroupId"] == "g"
    assert buried["Attributes"]["MessageDeduplicationId"] == buried["MessageId"] != sent["MessageId"]


def test_without_the_dead_letter_queue_the_message_stays(sqs, queue, arn):
    source, dead = pair(queue, arn, 1)
    sqs.send_message(QueueUrl=source, MessageBody="x")
    sqs.delete_queue(QueueUrl=dead)
    for count in "1234":
        [message] = receive(sqs, source)
        assert message["Attributes"]["ApproximateReceiveCount"] == count


def test_messages_go_back_as_new_ones(sqs, queue, arn, attributes):
    source, dead = pair(queue, arn, 1)
    sent = [sqs.send_message(QueueUrl=source, MessageBody=str(n))["MessageId"] for n in range(20)]
    while receive(sqs, source, VisibilityTimeout=0):
        pass
    assert attributes(dead, "ApproximateNumberOfMessages") == {"ApproximateNumberOfMessages": "20"}
    sqs.start_message_move_task(SourceArn=arn(dead))
    deadline = time.monotonic() + 20
    while attributes(source, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"] != "20":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    got = []
    while messages := receive(sqs, source, VisibilityTimeout=30):
        got += messages
    assert [int(m["Body"]) for m in got] == list(range(20))
    assert all(m["Attributes"]["ApproximateReceiveCount"] == "1" for m in got)
    assert not {m["MessageId"] for m in got} & set(sent)


def test_a_dead_letter_wakes_who_waits_there(server, sqs, queue, arn):
    from concurrent.futures import ThreadPoolExecutor

    source, dead = pair(queue, arn, 1)
    sqs.send_message(QueueUrl=source, MessageBody="x")
    receive(sqs, source)
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(receive, server.client("sqs"), dead, WaitTimeSeconds=20)
        time.sleep(0.3)
        started = time.monotonic()
        assert receive(sqs, source) == []
        assert [m["Body"] for m in poll.result(20)] == ["x"]
    assert time.monotonic() - started < 5
