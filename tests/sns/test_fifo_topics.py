"""FIFO topics through boto3: order, deduplication, and what they survive."""
import json

import pytest
from sns_kit import *


def publish(sns, arn, message, group="g", **more):
    return sns.publish(TopicArn=arn, Message=message, MessageGroupId=group, **more)


def test_order_within_a_group_and_ids_handed_on(sns, topic, subscribed, inbox):
    arn = topic(fifo=True, ContentBasedDeduplication="true")
    url, _ = subscribed(arn, fifo=True)
    numbers = [publish(sns, arn, f"m{number}", group=f"g{number % 3}")["SequenceNumber"] for number in range(30)]
    assert numbers == sorted(numbers) and len(set(numbers)) == 30 and {len(number) for number in numbers} == {20}
    got = inbox(url, 30)
    for group in range(3):
        own = [json.loads(m["Body"]) for m in got if m["Attributes"]["MessageGroupId"] == f"g{group}"]
        assert [body["Message"] for body in own] == [f"m{number}" for number in range(group, 30, 3)]
        assert [body["SequenceNumber"] for body in own] == numbers[group::3]


def test_a_standard_queue_gets_them_too(sns, topic, subscribed, inbox):
    arn = topic(fifo=True, ContentBasedDeduplication="true")
    url, _ = subscribed(arn, RawMessageDelivery="true")
    publish(sns, arn, "x")
    assert [message["Body"] for message in inbox(url)] == ["x"]


def test_a_repetition_is_taken_and_not_delivered(own_server, refused):
    server = own_server()
    sns, sqs = server.client("sns"), server.client("sqs")
    arn = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    open_queue(sqs, url)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:000000000000:q", Attributes={"RawMessageDelivery": "true"})
    first = publish(sns, arn, "one", MessageDeduplicationId="d")
    again = publish(sns, arn, "two", MessageDeduplicationId="d", group="other")
    assert again["SequenceNumber"] == first["SequenceNumber"]
    advance(server, 5 * 60 - 10)
    assert publish(sns, arn, "three", MessageDeduplicationId="d")["SequenceNumber"] == first["SequenceNumber"]
    advance(server, 20)
    assert publish(sns, arn, "four", MessageDeduplicationId="d")["SequenceNumber"] > first["SequenceNumber"]
    assert sorted(bodies(sqs, url, 2)) == ["four", "one"]


def open_queue(sqs, url):
    endpoint = "arn:aws:sqs:us-east-1:000000000000:" + url.rsplit("/", 1)[1]
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": endpoint}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
    return endpoint


def bodies(sqs, url, count):
    found = []

    def more():
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
            found.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(found) >= count

    eventually(more)
    assert len(found) == count, found
    return found


def test_deduplication_can_be_within_a_group(sns, topic):
    arn = topic(fifo=True, ContentBasedDeduplication="true", FifoThroughputScope="MessageGroup")
    numbers = {publish(sns, arn, "same", group=group)["SequenceNumber"] for group in ("a", "b", "a")}
    assert len(numbers) == 2


@pytest.mark.parametrize("given, message", [
    ({}, "The MessageGroupId parameter is required for FIFO topics"),
    ({"MessageGroupId": "g"},
     "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"),
    ({"MessageGroupId": "g" * 129, "MessageDeduplicationId": "d"},
     "MessageGroupId Reason: can only include alphanumeric and punctuation characters. 1 to 128 in length"),
    ({"MessageGroupId": "g", "MessageDeduplicationId": "d d"},
     "MessageDeduplicationId Reason: can only include alphanumeric and punctuation characters. 1 to 128 in length"),
])
def test_ids_outside_the_rules(sns, topic, refused, given, message):
    answer = refused(sns.publish, TopicArn=topic(fifo=True), Message="x", **given)
    assert answer == ("InvalidParameter", f"Invalid parameter: {message}")


def test_ids_just_inside(sns, topic):
    assert publish(sns, topic(fifo=True), "x", group="g" * 128, MessageDeduplicationId="d" * 128)["SequenceNumber"]


def test_a_batch_keeps_its_order(sns, topic, subscribed, inbox):
    arn = topic(fifo=True, ContentBasedDeduplication="true")
    url, _ = subscribed(arn, fifo=True)
    entries = [{"Id": str(n), "Message": f"m{n}", "MessageGroupId": "g"} for n in range(10)]
    answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
    numbers = [one["SequenceNumber"] for one in answer["Successful"]]
    assert numbers == sorted(numbers)
    assert lines(inbox(url, 10)) == [f"m{n}" for n in range(10)]
    del entries[0]["MessageGroupId"]
    import botocore.exceptions
    with pytest.raises(botocore.exceptions.ClientError):
        sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)


def test_one_that_is_gone_holds_up_nobody(sns, sqs, topic, queue, subscribed, inbox):
    arn = topic(fifo=True, ContentBasedDeduplication="true")
    dead, dead_arn = queue(fifo=True)
    gone, _ = subscribed(arn, fifo=True, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}))
    url, _ = subscribed(arn, fifo=True)
    sqs.delete_queue(QueueUrl=gone)
    for number in range(5):
        publish(sns, arn, f"m{number}")
    assert lines(inbox(url, 5)) == [f"m{number}" for number in range(5)]
    assert lines(inbox(dead, 5)) == [f"m{number}" for number in range(5)]


def test_dead_letters_of_a_fifo_subscription_need_a_fifo_queue(sns, topic, refused):
    arn, queues = topic(fifo=True), "arn:aws:sqs:us-east-1:000000000000:"
    answer = refused(sns.subscribe, TopicArn=arn, Protocol="sqs", Endpoint=queues + "q.fifo",
                     Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": queues + "dead"})})
    assert answer[1].endswith("must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")


def test_nothing_answered_is_lost_and_order_is_kept_by_a_crash(own_server):
    server = own_server()
    sns, sqs = server.client("sns"), server.client("sqs")
    arn = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"})["TopicArn"]
    url = sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    endpoint = open_queue(sqs, url)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": "true"})
    for round in range(3):
        for number in range(10):
            publish(sns, arn, f"m{round}{number}")
        server.kill()  # right after the answer
        server.restart()
        sns, sqs = server.client("sns"), server.client("sqs")
    url = sqs.get_queue_url(QueueName="q.fifo")["QueueUrl"]
    assert bodies(sqs, url, 30) == [f"m{round}{number}" for round in range(3) for number in range(10)]
