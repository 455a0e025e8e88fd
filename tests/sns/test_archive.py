"""Archive and replay of FIFO topics through boto3, by the clock."""
import datetime
import json

import pytest
from sns_kit import *
from test_fifo_topics import bodies, open_queue

DAY = 24 * 3600


@pytest.fixture
def house(own_server):
    """A server with a topic that has an archive."""
    server = own_server()
    sns, sqs = server.client("sns"), server.client("sqs")
    arn = sns.create_topic(Name="t.fifo", Attributes={
        "FifoTopic": "true", "ContentBasedDeduplication": "true", "ArchivePolicy": '{"MessageRetentionPeriod":"2"}'})["TopicArn"]
    return server, sns, sqs, arn


def subscribe(sns, sqs, arn, name, **attributes):
    url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    subscription = sns.subscribe(
        TopicArn=arn, Protocol="sqs", Endpoint=open_queue(sqs, url), Attributes={"RawMessageDelivery": "true", **attributes})
    return url, subscription["SubscriptionArn"]


def publish(sns, arn, *messages):
    for message in messages:
        sns.publish(TopicArn=arn, Message=message, MessageGroupId="g")


def since(sns, arn, seconds=0):
    begun = sns.get_topic_attributes(TopicArn=arn)["Attributes"]["BeginningArchiveTime"]
    moment = datetime.datetime.fromisoformat(begun.replace("Z", "+00:00")) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def policy(start, end=None):
    given = {"PointType": "Timestamp", "StartingPoint": start}
    if end:
        given["EndingPoint"] = end
    return json.dumps(given)


def replay(sns, subscription, text):
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="ReplayPolicy", AttributeValue=text)


def status(sns, subscription):
    return sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"].get("ReplayStatus")


def test_a_replay_brings_everything_once_more_and_then_what_is_new(house):
    server, sns, sqs, arn = house
    url, subscription = subscribe(sns, sqs, arn, "q.fifo")
    publish(sns, arn, "one", "two", "three")
    assert bodies(sqs, url, 3) == ["one", "two", "three"]
    replay(sns, subscription, policy(since(sns, arn)))
    publish(sns, arn, "four")
    assert bodies(sqs, url, 4) == ["one", "two", "three", "four"]
    eventually(lambda: status(sns, subscription) == "Completed")


def test_a_replay_of_a_part(house):
    server, sns, sqs, arn = house
    publish(sns, arn, "early")
    advance(server, 3600)
    publish(sns, arn, "middle")
    advance(server, 3600)
    publish(sns, arn, "late")
    text = policy(since(sns, arn, 1800), since(sns, arn, 5400))
    url, subscription = subscribe(sns, sqs, arn, "q.fifo", ReplayPolicy=text)
    assert bodies(sqs, url, 1) == ["middle"]
    eventually(lambda: status(sns, subscription) == "Completed")
    publish(sns, arn, "new")
    assert bodies(sqs, url, 1) == ["new"]
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert shown["ReplayPolicy"] == text


def test_a_replayed_message_says_so(house):
    server, sns, sqs, arn = house
    publish(sns, arn, "one")
    url, _ = subscribe(sns, sqs, arn, "q.fifo", RawMessageDelivery="false", ReplayPolicy=policy(since(sns, arn)))
    body = json.loads(bodies(sqs, url, 1)[0])
    assert body["Message"] == "one" and body["Replayed"] == "true"


def test_what_is_too_old_is_gone(house):
    server, sns, sqs, arn = house
    publish(sns, arn, "old")
    begun = since(sns, arn)
    advance(server, DAY + 3600)
    publish(sns, arn, "young")
    advance(server, DAY)
    publish(sns, arn, "newest")
    assert since(sns, arn) > begun
    url, _ = subscribe(sns, sqs, arn, "q.fifo", ReplayPolicy=policy(since(sns, arn)))
    assert bodies(sqs, url, 2) == ["young", "newest"]


def test_a_replay_survives_a_crash(house):
    server, sns, sqs, arn = house
    publish(sns, arn, *[f"m{number:02}" for number in range(20)])
    url, subscription = subscribe(sns, sqs, arn, "q.fifo", ReplayPolicy=policy(since(sns, arn)))
    server.kill()
    server.restart()
    sns, sqs = server.client("sns"), server.client("sqs")
    url = sqs.get_queue_url(QueueName="q.fifo")["QueueUrl"]
    assert bodies(sqs, url, 20) == [f"m{number:02}" for number in range(20)]
    eventually(lambda: status(sns, subscription) == "Completed")


def test_the_archive_must_end_before_its_topic(house, refused):
    server, sns, sqs, arn = house
    assert refused(sns.delete_topic, TopicArn=arn)[0] == "InvalidState"
    sns.set_topic_attributes(TopicArn=arn, AttributeName="ArchivePolicy", AttributeValue="{}")
    assert "BeginningArchiveTime" not in sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    sns.delete_topic(TopicArn=arn)


@pytest.mark.parametrize("days", ["0", "366", "x"])
def test_retention_outside_the_rules(sns, topic, refused, days):
    value = json.dumps({"MessageRetentionPeriod": days})
    code, _ = refused(sns.set_topic_attributes, TopicArn=topic(fifo=True), AttributeName="ArchivePolicy", AttributeValue=value)
    assert code == "InvalidParameter"


@pytest.mark.parametrize("days", ["1", "365"])
def test_retention_just_inside(sns, topic, days):
    arn, value = topic(fifo=True), json.dumps({"MessageRetentionPeriod": days})
    sns.set_topic_attributes(TopicArn=arn, AttributeName="ArchivePolicy", AttributeValue=value)
    assert json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["ArchivePolicy"])["MessageRetentionPeriod"] == days


def test_replays_outside_the_rules(sns, topic, refused, subscribed):
    arn = topic(fifo=True)
    _, subscription = subscribed(arn, fifo=True)
    set_it = lambda text: refused(
        sns.set_subscription_attributes, SubscriptionArn=subscription, AttributeName="ReplayPolicy", AttributeValue=text)
    assert "no ArchivePolicy" in set_it(policy("2026-01-01T00:00:00Z"))[1]
    sns.set_topic_attributes(TopicArn=arn, AttributeName="ArchivePolicy", AttributeValue='{"MessageRetentionPeriod":"1"}')
    for text in ["{", policy("yesterday"), policy("2000-01-01T00:00:00Z"), policy(since(sns, arn), since(sns, arn)),
                 json.dumps({"PointType": "Number", "StartingPoint": since(sns, arn)})]:
        assert set_it(text)[0] == "InvalidParameter"
