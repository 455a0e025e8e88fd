"""Attributes of queues: defaults, bounds, policies, redrive policies, encryption, permissions."""
import json
import time

import pytest
from sqs_kit import *

ACCOUNT = "000000000000"
STATEMENT = {"Sid": "s", "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}


def policy_of(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def redrive(target, count=3):
    return json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": count})


def test_a_standard_queue_has_awss_defaults(sqs, queue, attributes):
    before = int(time.time())
    url = queue()
    found = attributes(url)
    assert before - 2 <= int(found.pop("CreatedTimestamp")) <= time.time() + 2
    assert before - 2 <= int(found.pop("LastModifiedTimestamp")) <= time.time() + 2
    assert found == {
        "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{url.rsplit('/', 1)[1]}",
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "VisibilityTimeout": "30",
        "SqsManagedSseEnabled": "true",
    }


def test_a_fifo_queue_has_some_more(sqs, queue, attributes):
    found = attributes(queue(fifo=True))
    assert {name: found[name] for name in (
        "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")} == {
        "FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue",
        "FifoThroughputLimit": "perQueue"}


def test_only_what_was_asked_for_is_told(sqs, queue, attributes, refused):
    url = queue()
    assert attributes(url, "DelaySeconds", "VisibilityTimeout") == {"DelaySeconds": "0", "VisibilityTimeout": "30"}
    assert attributes(url, "Policy", "RedrivePolicy", "FifoQueue") == {}
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url)
    assert refused(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["Nonsense"]) == (
        "InvalidAttributeName", "Unknown Attribute Nonsense.")


BOUNDS = [
    ("DelaySeconds", 0, 900),
    ("MaximumMessageSize", 1024, 1048576),
    ("MessageRetentionPeriod", 60, 1209600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20),
    ("VisibilityTimeout", 0, 43200),
    ("KmsDataKeyReusePeriodSeconds", 60, 86400),
]


@pytest.mark.parametrize("name, least, most", BOUNDS)
def test_numbers_within_and_without_their_bounds(sqs, queue, attributes, refused, name, least, most):
    url = queue(KmsMasterKeyId="alias/aws/sqs")
    for value in [least, most]:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(value)})
        assert attributes(url, name) == {name: str(value)}
        assert attributes(queue(**{name: str(value), "KmsMasterKeyId": "k"}), name) == {name: str(value)}
    for value in [least - 1, most + 1, "", "x", "1e3", " 100", "100.0"]:
        wrong = ("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
        assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={name: str(value)}) == wrong
        assert refused(sqs.create_queue, QueueName="never-made", Attributes={name: str(value)}) == wrong
    assert attributes(url, name) == {name: str(most)}


def test_a_request_changes_all_or_nothing(sqs, queue, attributes, refused):
    url = queue()
    before = attributes(url)
    refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"DelaySeconds": "5", "VisibilityTimeout": "-1"})
    refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"DelaySeconds": "5", "Nonsense": "1"})
    assert attributes(url) == before


def test_what_cannot_be_set(sqs, queue, refused):
    url, fifo = queue(), queue(fifo=True)
    for name in ["Nonsense", "QueueArn", "CreatedTimestamp", "ApproximateNumberOfMessages", "All", "FifoQueue",
                 "ContentBasedDeduplication"]:
        unknown = ("InvalidAttributeName", f"Unknown Attribute {name}.")
        assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={name: "true"}) == unknown
        if name != "FifoQueue":
            assert refused(sqs.create_queue, QueueName="never-made", Attributes={name: "true"}) == unknown
    assert refused(sqs.create_queue, QueueName="never-made", Attributes={"FifoQueue": "false"}) == (
        "InvalidAttributeName", "Unknown Attribute FifoQueue.")
    for name in ["DeduplicationScope", "FifoThroughputLimit"]:
        assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={name: "queue"}) == (
            "InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true.")
    assert refused(sqs.set_queue_attributes, QueueUrl=fifo, Attributes={"FifoQueue": "false"})[0] == "InvalidAttributeValue"
    assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={}) == (
        "MissingParameter", "The request must contain the parameter Attribute.Name.")


def test_high_throughput_of_fifo_queues(sqs, queue, attributes, refused):
    url = queue(fifo=True)
    per_group = {"FifoThroughputLimit": "perMessageGroupId"}
    assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes=per_group)[0] == "InvalidAttributeValue"
    sqs.set_queue_attributes(QueueUrl=url, Attributes={**per_group, "DeduplicationScope": "messageGroup"})
    assert attributes(url, "FifoThroughputLimit") == per_group
    assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"DeduplicationScope": "queue"})[0] == "InvalidAttributeValue"
    for name in ["DeduplicationScope", "FifoThroughputLimit", "ContentBasedDeduplication"]:
        assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={name: "x"}) == (
            "InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"ContentBasedDeduplication": "true"})
    assert attributes(url, "ContentBasedDeduplication") == {"ContentBasedDeduplication": "true"}


def test_encryption_is_recorded_one_kind_at_a_time(sqs, queue, attributes, refused):
    url = queue(KmsMasterKeyId="alias/aws/sqs")
    names = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"]
    assert attributes(url, *names) == {
        "KmsMasterKeyId": "alias/aws/sqs", "KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "false"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"SqsManagedSseEnabled": "true"})
    assert attributes(url, *names) == {"SqsManagedSseEnabled": "true"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"SqsManagedSseEnabled": "false"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "k"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": ""})
    assert attributes(url, *names) == {"SqsManagedSseEnabled": "false"}
    code, message = refused(
        sqs.set_queue_attributes, QueueUrl=url, Attributes={"SqsManagedSseEnabled": "true", "KmsMasterKeyId": "k"})
    assert code == "InvalidAttributeName" and message.startswith("You can use one type of server-side encryption")
    assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"SqsManagedSseEnabled": "yes"})[0] == "InvalidAttributeValue"


# Redrive policies


def test_a_redrive_policy(sqs, queue, attributes, arn):
    dead = arn(queue())
    for count, shown in [(1, 1), (1000, 1000), ("7", 7)]:
        url = queue(RedrivePolicy=redrive(dead, count))
        assert json.loads(attributes(url)["RedrivePolicy"]) == {"deadLetterTargetArn": dead, "maxReceiveCount": shown}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": redrive(dead, 4)})
    assert json.loads(attributes(url)["RedrivePolicy"])["maxReceiveCount"] == 4
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert "RedrivePolicy" not in attributes(url)


def test_redrive_policies_that_are_refused(sqs, queue, attributes, arn, refused):
    dead, fifo = arn(queue()), arn(queue(fifo=True))
    url = queue()
    set_to = lambda text: refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"RedrivePolicy": text})
    for text, reason in [
        (redrive(dead, 0), "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive."),
        (redrive(dead, 1001), "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000 both inclusive."),
        ("{}", "Redrive policy does not contain mandatory attribute: maxReceiveCount."),
        ('{"maxReceiveCount":1}', "Redrive policy does not contain mandatory attribute: deadLetterTargetArn."),
        (redrive(dead + "x"), "Dead letter target does not exist."),
        (redrive(fifo), "Dead-letter queue must be same type of queue as the source."),
        (redrive(dead.replace("sqs", "sns")), "Only SQS queues are valid resources for deadLetterTargetArn."),
        (redrive(dead.replace(ACCOUNT, "111111111111")), "Dead-letter target owner should be same as the source."),
        (redrive(dead.replace("us-east-1", "eu-west-1")), "Dead-letter target must be in same region as the source."),
        (redrive("dead"), "Dead-letter target ARN should be fully qualified ARN."),
        (json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1, "x": 1}),
         "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn]."),
    ]:
        assert set_to(text) == (
            "InvalidParameterValue", f"Value {text} for parameter RedrivePolicy is invalid. Reason: {reason}")
    for text in ["x", "[]", "1", " "]:
        assert set_to(text) == (
            "InvalidAttributeValue",
            "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map.")
    assert "RedrivePolicy" not in attributes(url)


def test_a_dead_letter_queue_says_whom_it_takes(sqs, queue, attributes, arn, refused):
    dead, friend, stranger = queue(), queue(), queue()
    let = lambda **policy: sqs.set_queue_attributes(
        QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(policy) if policy else ""})
    join = lambda url: sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": redrive(arn(dead))})
    let(redrivePermission="denyAll")
    assert refused(lambda: join(friend))[0] == "InvalidParameterValue"
    let(redrivePermission="byQueue", sourceQueueArns=[arn(friend)])
    join(friend)
    assert refused(lambda: join(stranger))[0] == "InvalidParameterValue"
    assert refused(sqs.create_queue, QueueName="never-made", Attributes={"RedrivePolicy": redrive(arn(dead))})[0] == "InvalidParameterValue"
    assert json.loads(attributes(dead)["RedriveAllowPolicy"]) == {
        "redrivePermission": "byQueue", "sourceQueueArns": [arn(friend)]}
    let(redrivePermission="allowAll")
    join(stranger)
    let()
    assert "RedriveAllowPolicy" not in attributes(dead)
    join(friend)


def test_redrive_allow_policies_that_are_refused(sqs, queue, arn, refused):
    url = queue()
    own = arn(url)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={
        "RedriveAllowPolicy": json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [own] * 10})})
    for policy, code in [
        ({"redrivePermission": "byQueue", "sourceQueueArns": [own] * 11}, "InvalidParameterValue"),
        ({"redrivePermission": "byQueue", "sourceQueueArns": []}, "InvalidParameterValue"),
        ({"redrivePermission": "byQueue"}, "InvalidParameterValue"),
        ({"redrivePermission": "allowAll", "sourceQueueArns": [own]}, "InvalidParameterValue"),
        ({"redrivePermission": "ALL"}, "InvalidAttributeValue"),
        ({}, "InvalidAttributeValue"),
        ({"redrivePermission": "allowAll", "x": 1}, "InvalidAttributeValue"),
    ]:
        assert refused(
            sqs.set_queue_attributes, QueueUrl=url, Attributes={"RedriveAllowPolicy": json.dumps(policy)})[0] == code, policy


# Policies and permissions


def test_a_policy_is_kept_as_it_was_given_and_cleared_by_nothing(sqs, queue, attributes):
    url = queue(Policy=policy_of(STATEMENT))
    assert attributes(url, "Policy")["Policy"] == policy_of(STATEMENT)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert attributes(url, "Policy") == {}


def test_policies_that_are_refused(sqs, queue, attributes, refused):
    url = queue()
    for text in ["x", "[]", "{}", policy_of(), '{"Version":"2012-10-17","Statement":"x"}']:
        code, message = refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": text})
        assert code == "InvalidAttributeValue" and message.startswith("Invalid value for the parameter Policy."), text
    twenty = [{**STATEMENT, "Sid": str(n)} for n in range(21)]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy_of(*twenty[:20])})
    assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": policy_of(*twenty)}) == (
        "OverLimit", "21 statements were found in the submitted policy, max allowed is 20")


def test_permissions(server, sqs, queue, attributes, arn, refused):
    url = queue()
    add = lambda label, accounts, actions: sqs.add_permission(
        QueueUrl=url, Label=label, AWSAccountIds=accounts, Actions=actions)
    add("one", ["111111111111"], ["GetQueueAttributes"])
    add("two", ["111111111111", "222222222222"], ["SendMessage", "GetQueueUrl"])
    policy = json.loads(attributes(url, "Policy")["Policy"])
    assert policy["Version"] == "2008-10-17" and policy["Id"] == f"{arn(url)}/SQSDefaultPolicy"
    assert policy["Statement"][0] == {
        "Sid": "one", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": "SQS:GetQueueAttributes", "Resource": arn(url)}
    assert policy["Statement"][1]["Action"] == ["SQS:SendMessage", "SQS:GetQueueUrl"]
    with pytest.raises(Exception, match="Value one for parameter Label is invalid. Reason: Already exists."):
        add("one", ["111111111111"], ["*"])
    sqs.remove_permission(QueueUrl=url, Label="two")
    assert refused(sqs.remove_permission, QueueUrl=url, Label="two")[0] == "InvalidParameterValue"
    sqs.remove_permission(QueueUrl=url, Label="one")
    assert attributes(url, "Policy") == {}


def test_limits_of_permissions(sqs, queue, refused):
    url = queue()
    add = lambda **given: refused(sqs.add_permission, **{
        "QueueUrl": url, "Label": "x", "AWSAccountIds": ["111111111111"], "Actions": ["*"], **given})
    sqs.add_permission(QueueUrl=url, Label="l" * 80, AWSAccountIds=["1" * 12] * 50, Actions=["SendMessage"] * 7)
    assert add(Actions=["SendMessage"] * 8) == ("OverLimit", "8 Actions were found, maximum allowed is 7.")
    assert add(AWSAccountIds=["1" * 12] * 51)[0] == "OverLimit"
    assert add(Label="l" * 81)[0] == "InvalidParameterValue"
    assert add(Label="a b")[0] == "InvalidParameterValue"
    assert add(Actions=["DeleteQueue"])[1] == (
        "Value SQS:DeleteQueue for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.")
    assert add(Actions=["Nonsense"])[0] == "InvalidParameterValue"
    assert add(AWSAccountIds=["12"])[0] == "InvalidParameterValue"
    assert add(AWSAccountIds=["2" * 12])[0] == "OverLimit"  # fifty in all of the policy
    url = queue()
    for n in range(20):
        sqs.add_permission(QueueUrl=url, Label=f"l{n}", AWSAccountIds=["111111111111"], Actions=["*"])
    assert add(Label="one-more")[0] == "OverLimit"


def test_a_change_holds_for_whoever_asks_after_it(sqs, queue, attributes):
    """The record is remembered in memory; it must never be older than the last answer."""
    url = queue()
    for n in range(200):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": str(n)})
        assert attributes(url, "DelaySeconds") == {"DelaySeconds": str(n)}
