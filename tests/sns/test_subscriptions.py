"""Subscriptions through boto3."""
import json

import pytest
from sns_kit import *

ACCOUNT = "000000000000"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"


def test_a_queue_of_ones_own_is_confirmed_at_once(sns, topic):
    arn = topic()
    subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)["SubscriptionArn"]
    assert subscription.startswith(arn + ":")
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert shown == {
        "SubscriptionArn": subscription, "TopicArn": arn, "Owner": ACCOUNT, "Protocol": "sqs", "Endpoint": QUEUE,
        "PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true", "RawMessageDelivery": "false",
        "SubscriptionPrincipal": f"arn:aws:iam::{ACCOUNT}:root",
    }
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsConfirmed"] == "1"


def test_subscribing_again_finds_it(sns, topic, refused):
    arn = topic()
    ask = dict(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)
    first = sns.subscribe(**ask, Attributes={"RawMessageDelivery": "true"})
    assert sns.subscribe(**ask)["SubscriptionArn"] == first["SubscriptionArn"]
    assert sns.subscribe(**ask, Attributes={"RawMessageDelivery": "true"})["SubscriptionArn"] == first["SubscriptionArn"]
    assert refused(sns.subscribe, **ask, Attributes={"RawMessageDelivery": "false"}) == (
        "InvalidParameter", "Invalid parameter: Attributes Reason: Subscription already exists with different attributes")


@pytest.mark.parametrize("protocol, endpoint, message", [
    ("smoke", "x", "Amazon SNS does not support this protocol string: smoke"),
    ("http", "https://example.com", "Endpoint must match the specified protocol"),
    ("https", "http://example.com", "Endpoint must match the specified protocol"),
    ("sqs", "http://localhost/q", "SQS endpoint ARN"),
    ("lambda", "f", "Lambda endpoint ARN"),
    ("application", "x", "ApplicationEndpoint ARN"),
    ("sms", "abc", "Invalid SMS endpoint: abc"),
    ("email", "nobody", "Email address"),
    ("sqs", QUEUE + ".fifo",
     "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"),
])
def test_endpoints_that_do_not_fit(sns, topic, refused, protocol, endpoint, message):
    answer = refused(sns.subscribe, TopicArn=topic(), Protocol=protocol, Endpoint=endpoint)
    assert answer == ("InvalidParameter", f"Invalid parameter: {message}")


def test_firehose_is_refused_by_name(sns, topic, refused):
    stream = f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/s"
    code, message = refused(sns.subscribe, TopicArn=topic(), Protocol="firehose", Endpoint=stream)
    assert code == "InvalidParameter" and "firehose" in message


def test_a_fifo_topic_takes_queues_only(sns, topic, refused):
    arn = topic(fifo=True)
    code, message = refused(sns.subscribe, TopicArn=arn, Protocol="email", Endpoint="a@example.com")
    assert code == "InvalidParameter" and "email" in message
    for endpoint in (QUEUE, QUEUE + ".fifo"):
        assert sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint)["SubscriptionArn"].startswith(arn)


def test_a_fifo_topic_has_a_hundred_subscriptions(sns, topic, refused):
    arn = topic(fifo=True)
    for number in range(100):
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}{number}.fifo")
    code, _ = refused(sns.subscribe, TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}100.fifo")
    assert code == "SubscriptionLimitExceeded"


def test_attributes_are_set_and_taken_back(sns, topic):
    subscription = sns.subscribe(TopicArn=topic(), Protocol="sqs", Endpoint=QUEUE)["SubscriptionArn"]
    given = {
        "RawMessageDelivery": "true",
        "FilterPolicy": '{"kind": ["a"]}',
        "FilterPolicyScope": "MessageBody",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": QUEUE + "-dead"}),
    }
    for name, value in given.items():
        sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName=name, AttributeValue=value)
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert given.items() <= shown.items()
    for name, value in [("FilterPolicy", ""), ("RedrivePolicy", "{}"), ("RawMessageDelivery", "false")]:
        sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName=name, AttributeValue=value)
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert shown["RawMessageDelivery"] == "false"
    assert not {"FilterPolicy", "FilterPolicyScope", "RedrivePolicy"} & shown.keys()


@pytest.mark.parametrize("name, value, message", [
    ("Nonsense", "x", "AttributeName"),
    ("RawMessageDelivery", "maybe", "RawMessageDelivery: Invalid value [maybe]. Must be true or false."),
    ("FilterPolicyScope", "Subject",
     "FilterPolicyScope: Invalid value [Subject]. Please use either MessageBody or MessageAttributes"),
    ("RedrivePolicy", "{", "RedrivePolicy: failed to parse JSON."),
    ("RedrivePolicy", '{"deadLetterTargetArn": "x"}', "RedrivePolicy: deadLetterTargetArn is an invalid arn"),
])
def test_values_that_do_not_fit(sns, topic, refused, name, value, message):
    arn = topic()
    answer = refused(sns.subscribe, TopicArn=arn, Protocol="sqs", Endpoint=QUEUE, Attributes={name: value})
    assert answer == ("InvalidParameter", f"Invalid parameter: Attributes Reason: {message}")
    subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)["SubscriptionArn"]
    answer = refused(
        sns.set_subscription_attributes, SubscriptionArn=subscription, AttributeName=name, AttributeValue=value)
    assert answer == ("InvalidParameter", f"Invalid parameter: {message}")


def test_a_function_takes_no_raw_delivery(sns, topic, refused):
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
    answer = refused(
        sns.subscribe, TopicArn=topic(), Protocol="lambda", Endpoint=function, Attributes={"RawMessageDelivery": "true"})
    assert answer[1].endswith("Delivery protocol [lambda] does not support raw message delivery.")


def test_filter_policies_have_a_limit_per_topic(sns, topic, refused):
    arn = topic()
    policy = {"FilterPolicy": '{"a": ["b"]}'}
    for number in range(200):
        last = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}{number}", Attributes=policy)
    more = dict(TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}200")
    assert refused(sns.subscribe, **more, Attributes=policy)[0] == "FilterPolicyLimitExceeded"
    sns.subscribe(**more)
    sns.unsubscribe(SubscriptionArn=last["SubscriptionArn"])
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}201", Attributes=policy)


def test_unsubscribing_is_idempotent(sns, topic, refused):
    arn = topic()
    subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)["SubscriptionArn"]
    sns.unsubscribe(SubscriptionArn=subscription)
    sns.unsubscribe(SubscriptionArn=subscription)
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (shown["SubscriptionsConfirmed"], shown["SubscriptionsDeleted"]) == ("0", "1")
    assert refused(sns.get_subscription_attributes, SubscriptionArn=subscription) == (
        "NotFound", "Subscription does not exist")
    assert refused(sns.unsubscribe, SubscriptionArn="x") == (
        "InvalidParameter", "Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not 1")
    assert refused(sns.unsubscribe, SubscriptionArn=arn) == ("InvalidParameter", "Invalid parameter: SubscriptionId")


def test_lists_have_a_hundred_a_page(server):
    client = server.client("sns", account="123456789013")
    arn = client.create_topic(Name="many")["TopicArn"]
    own = "arn:aws:sqs:us-east-1:123456789013:q"
    made = {
        client.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"{own}{number}")["SubscriptionArn"] for number in range(101)
    }
    for listing, more in [(client.list_subscriptions, {}), (client.list_subscriptions_by_topic, {"TopicArn": arn})]:
        first = listing(**more)
        assert len(first["Subscriptions"]) == 100
        second = listing(**more, NextToken=first["NextToken"])
        assert "NextToken" not in second
        both = first["Subscriptions"] + second["Subscriptions"]
        assert {one["SubscriptionArn"] for one in both} == made
    assert both[0].keys() == {"SubscriptionArn", "Owner", "Protocol", "Endpoint", "TopicArn"}


def test_an_email_waits_for_its_confirmation(server, sns, topic, refused):
    arn = topic()
    ask = dict(TopicArn=arn, Protocol="email", Endpoint="a@example.com")
    assert sns.subscribe(**ask)["SubscriptionArn"] == "pending confirmation"
    subscription = sns.subscribe(**ask, ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert subscription.startswith(arn + ":")
    listed = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert [one["SubscriptionArn"] for one in listed] == ["PendingConfirmation"]
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (shown["SubscriptionsPending"], shown["SubscriptionsConfirmed"]) == ("1", "0")
    assert refused(sns.confirm_subscription, TopicArn=arn, Token="0" * 288) == (
        "InvalidParameter", "Invalid parameter: Token")


def test_a_queue_of_another_account_confirms(server, sns, sqs, topic, inbox, refused):
    arn = topic()
    other = server.client("sqs", account="111111111111")
    url = other.create_queue(QueueName=new_name(stem="q"))["QueueUrl"]
    endpoint = other.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": endpoint}
    other.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
    assert sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint)["SubscriptionArn"] == "pending confirmation"
    sns.publish(TopicArn=arn, Message="too early")
    [message] = inbox(url, client=other)
    asked = json.loads(message["Body"])
    assert asked["Type"] == "SubscriptionConfirmation" and asked["TopicArn"] == arn
    confirmed = server.client("sns", account="111111111111").confirm_subscription(
        TopicArn=arn, Token=asked["Token"], AuthenticateOnUnsubscribe="true")
    again = sns.confirm_subscription(TopicArn=arn, Token=asked["Token"])
    assert confirmed["SubscriptionArn"] == again["SubscriptionArn"]
    sns.publish(TopicArn=arn, Message="now")
    assert lines(inbox(url, client=other)) == ["now"]


def test_what_nobody_confirms_goes_after_two_days(own_server):
    server = own_server()
    client = server.client("sns")
    arn = client.create_topic(Name="t")["TopicArn"]
    client.subscribe(TopicArn=arn, Protocol="email", Endpoint="a@example.com")
    advance(server, 2 * 24 * 3600 - 60)
    assert client.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsPending"] == "1"
    advance(server, 120)
    eventually(lambda: client.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsPending"] == "0")
    assert client.list_subscriptions()["Subscriptions"] == []


def test_a_topic_for_large_messages_has_few_subscriptions(sns, topic, refused):
    arn = topic(MaximumMessageSize="262145")
    code, message = refused(sns.subscribe, TopicArn=arn, Protocol="sms", Endpoint="+4912345678")
    assert code == "InvalidParameter" and "sms" in message
    for number in range(100):
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}{number}")
    assert refused(sns.subscribe, TopicArn=arn, Protocol="sqs", Endpoint=f"{QUEUE}100")[0] == "InvalidParameter"
