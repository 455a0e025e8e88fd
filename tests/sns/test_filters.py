"""Filter policies through boto3: which subscribers get a message."""
import json

import pytest
from sns_kit import *


def attributes(**given):
    kinds = {str: "String", int: "Number", float: "Number", list: "String.Array"}
    text = lambda value: json.dumps(value) if isinstance(value, list) else str(value)
    return {name: {"DataType": kinds[type(value)], "StringValue": text(value)} for name, value in given.items()}


@pytest.mark.parametrize("policy, wanted, unwanted", [
    ({"kind": ["a", "b"]}, attributes(kind="a"), attributes(kind="c")),
    ({"kind": [{"prefix": "or"}]}, attributes(kind="order"), attributes(kind="x")),
    ({"kind": [{"suffix": "er"}]}, attributes(kind="order"), attributes(kind="x")),
    ({"kind": [{"anything-but": ["a"]}]}, attributes(kind="b"), attributes(kind="a")),
    ({"kind": [{"equals-ignore-case": "A"}]}, attributes(kind="a"), attributes(kind="b")),
    ({"kind": [{"exists": False}]}, {}, attributes(kind="a")),
    ({"price": [{"numeric": [">=", 10, "<", 20]}]}, attributes(price=10), attributes(price=20)),
    ({"price": [5]}, attributes(price=5), attributes(price="5")),
    ({"many": ["b"]}, attributes(many=["a", "b"]), attributes(many=["c"])),
    ({"a": ["1"], "b": ["2"]}, attributes(a="1", b="2"), attributes(a="1")),
    ({"$or": [{"a": ["1"]}, {"b": ["2"]}]}, attributes(b="2"), attributes(a="2")),
    ({"ip": [{"cidr": "10.0.0.0/24"}]}, attributes(ip="10.0.0.9"), attributes(ip="10.0.1.9")),
])
def test_policies_on_attributes(sns, topic, subscribed, inbox, policy, wanted, unwanted):
    arn = topic()
    url, _ = subscribed(arn, FilterPolicy=json.dumps(policy))
    sns.publish(TopicArn=arn, Message="unwanted", MessageAttributes=unwanted)
    sns.publish(TopicArn=arn, Message="wanted", MessageAttributes=wanted)
    assert lines(inbox(url)) == ["wanted"]


@pytest.mark.parametrize("policy, wanted, unwanted", [
    ({"order": {"kind": ["a"]}}, {"order": {"kind": "a"}}, {"order": {"kind": "b"}}),
    ({"items": {"id": [1]}}, {"items": [{"id": 2}, {"id": 1}]}, {"items": [{"id": 2}]}),
    ({"note": [None]}, {"note": None}, {"note": "x"}),
])
def test_policies_on_the_body(sns, topic, subscribed, inbox, policy, wanted, unwanted):
    arn = topic()
    url, _ = subscribed(arn, FilterPolicy=json.dumps(policy), FilterPolicyScope="MessageBody")
    sns.publish(TopicArn=arn, Message="no JSON at all")
    sns.publish(TopicArn=arn, Message=json.dumps(unwanted))
    sns.publish(TopicArn=arn, Message=json.dumps(wanted))
    assert [json.loads(line) for line in lines(inbox(url))] == [wanted]


def test_a_policy_counts_from_the_answer_on(sns, topic, subscribed, inbox):
    arn = topic()
    url, subscription = subscribed(arn)
    setting = dict(SubscriptionArn=subscription, AttributeName="FilterPolicy")
    for number in range(5):
        sns.set_subscription_attributes(**setting, AttributeValue='{"a": ["never"]}')
        sns.publish(TopicArn=arn, Message="unwanted")
        sns.set_subscription_attributes(**setting, AttributeValue="{}")
        sns.publish(TopicArn=arn, Message=f"m{number}")
    assert sorted(lines(inbox(url, 5))) == [f"m{number}" for number in range(5)]


@pytest.mark.parametrize("policy", [
    "{", "[]", '{"a": "b"}', '{"a": [{"smells": "b"}]}', json.dumps({f"k{n}": ["v"] for n in range(6)}),
    json.dumps({"a": [str(n) for n in range(11)], "b": [str(n) for n in range(14)]}),
])
def test_policies_outside_the_rules(sns, topic, refused, policy):
    endpoint = "arn:aws:sqs:us-east-1:000000000000:q"
    code, message = refused(sns.subscribe, TopicArn=topic(), Protocol="sqs", Endpoint=endpoint, Attributes={"FilterPolicy": policy})
    assert code == "InvalidParameter" and message.startswith("Invalid parameter: Attributes Reason: "), message


@pytest.mark.parametrize("policy", [
    json.dumps({f"k{n}": ["v"] for n in range(5)}),
    json.dumps({"a": [str(n) for n in range(10)], "b": [str(n) for n in range(15)]}),
])
def test_policies_just_inside(sns, topic, policy):
    endpoint = "arn:aws:sqs:us-east-1:000000000000:q"
    assert sns.subscribe(TopicArn=topic(), Protocol="sqs", Endpoint=endpoint, Attributes={"FilterPolicy": policy})


def test_a_fifo_subscription_filters_too(sns, topic, subscribed, inbox):
    arn = topic(fifo=True, ContentBasedDeduplication="true")
    url, _ = subscribed(arn, fifo=True, FilterPolicy='{"kind": ["a"]}')
    for number in range(6):
        sns.publish(TopicArn=arn, Message=f"m{number}", MessageGroupId="g", MessageAttributes=attributes(kind="ab"[number % 2]))
    assert lines(inbox(url, 3)) == ["m0", "m2", "m4"]
