"""Publishing to standard topics through boto3: what a message may be, and what subscribers get."""
import json

import pytest
from sns_kit import *

ACCOUNT = "000000000000"
LIMIT = 262_144


def test_a_queue_gets_the_envelope(sns, topic, subscribed, inbox):
    arn = topic()
    url, subscription = subscribed(arn)
    attributes = {
        "text": {"DataType": "String", "StringValue": "x"}, "list": {"DataType": "String.Array", "StringValue": '["a"]'},
        "number": {"DataType": "Number", "StringValue": "1.5"}, "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    answer = sns.publish(TopicArn=arn, Message='say "hi" ü', Subject="greeting", MessageAttributes=attributes)
    [message] = inbox(url)
    body = json.loads(message["Body"])
    assert body.pop("Timestamp").endswith("Z")
    assert body.pop("UnsubscribeURL").endswith(f"/?Action=Unsubscribe&SubscriptionArn={subscription}")
    assert body.pop("SignatureVersion") == "1" and body.pop("Signature") and body.pop("SigningCertURL").endswith(".pem")
    assert body == {
        "Type": "Notification", "MessageId": answer["MessageId"], "TopicArn": arn, "Subject": "greeting", "Message": 'say "hi" ü',
        "MessageAttributes": {
            "text": {"Type": "String", "Value": "x"}, "list": {"Type": "String.Array", "Value": '["a"]'},
            "number": {"Type": "Number", "Value": "1.5"}, "bytes": {"Type": "Binary", "Value": "AAE="},
        },
    }
    assert message["Body"].startswith('{\n  "Type" : "Notification",\n  "MessageId" : "')
    assert "MessageAttributes" not in message


def test_raw_delivery_maps_attributes(sns, topic, subscribed, inbox):
    arn = topic()
    url, _ = subscribed(arn, RawMessageDelivery="true")
    attributes = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(9)}
    attributes["bytes"] = {"DataType": "Binary", "BinaryValue": b"\x00"}
    sns.publish(TopicArn=arn, Message="plain", MessageAttributes=attributes)
    [message] = inbox(url)
    assert message["Body"] == "plain"
    assert message["MessageAttributes"]["a0"] == {"DataType": "String", "StringValue": "x"}
    assert message["MessageAttributes"]["bytes"]["BinaryValue"] == b"\x00" and len(message["MessageAttributes"]) == 10


def test_raw_delivery_of_eleven_attributes_goes_to_the_dead_letters(sns, topic, queue, subscribed, inbox):
    arn = topic()
    dead, dead_arn = queue()
    url, _ = subscribed(arn, RawMessageDelivery="true", RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}))
    attributes = {f"a{number:02}": {"DataType": "String", "StringValue": "x"} for number in range(11)}
    sns.publish(TopicArn=arn, Message="too many", MessageAttributes=attributes)
    [message] = inbox(dead)
    assert message["Body"] == "too many"
    inbox(url, 0)


def test_a_queue_that_is_gone_sends_to_the_dead_letters_at_once(sns, sqs, topic, queue, subscribed, inbox):
    arn = topic()
    dead, dead_arn = queue()
    url, subscription = subscribed(arn, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}))
    sqs.delete_queue(QueueUrl=url)
    answer = sns.publish(TopicArn=arn, Message="lost?")
    [message] = inbox(dead)
    assert json.loads(message["Body"])["MessageId"] == answer["MessageId"]
    assert "does not exist" in message["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert {"ErrorCode", "RequestID"} <= message["MessageAttributes"].keys()


def test_a_queue_that_lets_nobody_in_sends_to_the_dead_letters(server, sns, topic, queue, inbox):
    arn = topic()
    url, endpoint = queue(opened=False)
    dead, dead_arn = queue()
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint,
                  Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn})})
    sns.publish(TopicArn=arn, Message="no entry")
    assert lines(inbox(dead)) == ["no entry"]
    inbox(url, 0)


def test_without_a_dead_letter_queue_it_is_dropped(sns, topic, subscribed, sqs, inbox):
    arn = topic()
    gone, _ = subscribed(arn)
    url, _ = subscribed(arn)
    sqs.delete_queue(QueueUrl=gone)
    sns.publish(TopicArn=arn, Message="one of two")
    assert lines(inbox(url)) == ["one of two"]


def test_messages_by_protocol(sns, topic, subscribed, inbox, refused):
    arn = topic()
    url, _ = subscribed(arn)
    said = {"default": "for all", "sqs": "for queues", "http": "for web", "odd": {"not": "text"}}
    sns.publish(TopicArn=arn, MessageStructure="json", Message=json.dumps(said))
    sns.publish(TopicArn=arn, MessageStructure="json", Message=json.dumps({"default": "for all"}))
    assert sorted(lines(inbox(url, 2))) == ["for all", "for queues"]
    assert refused(sns.publish, TopicArn=arn, MessageStructure="json", Message="{") == (
        "InvalidParameter", "Invalid parameter: Message Structure - JSON message body failed to parse")
    assert refused(sns.publish, TopicArn=arn, MessageStructure="json", Message='{"sqs": "x"}') == (
        "InvalidParameter", "Invalid parameter: Message Structure - No default entry in JSON message body")


def test_a_topic_as_target(sns, topic, subscribed, inbox):
    arn = topic()
    url, _ = subscribed(arn)
    sns.publish(TargetArn=arn, Message="x")
    inbox(url)


@pytest.mark.parametrize("given, code, message", [
    (dict(Message=""), "InvalidParameter", "Invalid parameter: Empty message"),
    (dict(Message="x", Subject=""), "InvalidParameter", "Invalid parameter: Subject"),
    (dict(Message="x", Subject="s" * 101), "InvalidParameter", "Invalid parameter: Subject"),
    (dict(Message="x", Subject="a\nb"), "InvalidParameter", "Invalid parameter: Subject"),
    (dict(Message="x", MessageDeduplicationId="d"), "InvalidParameter",
     "Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not "
     "valid for this topic type"),
    (dict(Message="x" * (LIMIT + 1)), "InvalidParameter", "Invalid parameter: Message too long"),
    (dict(Message="x", MessageAttributes={"a": {"DataType": "Text", "StringValue": "x"}}), "ParameterValueInvalid",
     "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is Binary, "
     "Number, and String."),
    (dict(Message="x", MessageAttributes={"a": {"DataType": "String"}}), "ParameterValueInvalid",
     "The message attribute 'a' must contain non-empty message attribute value for message attribute type 'String'."),
    (dict(Message="x", MessageAttributes={"a": {"DataType": "Binary", "StringValue": "x"}}), "ParameterValueInvalid",
     "The message attribute 'a' with type 'Binary' must use field 'Binary'."),
    (dict(Message="x", MessageAttributes={"a:b": {"DataType": "String", "StringValue": "x"}}), "ParameterValueInvalid",
     "Invalid non-alphanumeric character '#x3A' was found in the message attribute name. Can only include alphanumeric "
     "characters, hyphens, underscores, or dots."),
    (dict(Message="x", MessageAttributes={".a": {"DataType": "String", "StringValue": "x"}}), "ParameterValueInvalid",
     "Invalid message attribute name starting with character '.' was found."),
    (dict(Message="x", MessageAttributes={"a" * 257: {"DataType": "String", "StringValue": "x"}}), "ParameterValueInvalid",
     "Length of message attribute name must be less than 256 bytes."),
])
def test_messages_outside_the_rules(sns, topic, refused, given, code, message):
    assert refused(sns.publish, TopicArn=topic(), **given) == (code, message)


def test_messages_just_inside(sns, topic, subscribed, inbox):
    arn = topic()
    url, _ = subscribed(arn, RawMessageDelivery="true")
    attribute = {"a" * 256: {"DataType": "String", "StringValue": "x"}}
    sns.publish(TopicArn=arn, Message="m" * (LIMIT - 256 - 6 - 1), Subject="s" * 100, MessageAttributes=attribute)
    [message] = inbox(url)
    assert len(message["Body"]) == LIMIT - 263


def test_a_large_message_needs_the_attribute(sns, topic, subscribed, inbox, refused):
    arn = topic(MaximumMessageSize="400000")
    url, _ = subscribed(arn, RawMessageDelivery="true")
    assert refused(sns.publish, TopicArn=arn, Message="x" * 400_001)[1] == "Invalid parameter: Message too long"
    sns.publish(TopicArn=arn, Message="x" * 400_000)
    assert len(inbox(url)[0]["Body"]) == 400_000


def test_who_is_published_to(sns, refused):
    assert refused(sns.publish, Message="x") == (
        "InvalidParameter", "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter")
    missing = f"arn:aws:sns:us-east-1:{ACCOUNT}:{new_name()}"
    assert refused(sns.publish, TopicArn=missing, Message="x") == ("NotFound", "Topic does not exist")
    assert refused(sns.publish, TargetArn="x", Message="x") == (
        "InvalidParameter", "Invalid parameter: TargetArn Reason: An ARN must have at least 6 elements, not 1")


def test_a_group_of_a_standard_topic_goes_on_to_the_queue(sns, topic, subscribed, inbox):
    arn = topic()
    url, _ = subscribed(arn)
    sns.publish(TopicArn=arn, Message="x", MessageGroupId="tenant-1")
    [message] = inbox(url)
    assert message["Attributes"]["MessageGroupId"] == "tenant-1"


def entry(number, **more):
    return {"Id": str(number), "Message": f"m{number}", **more}


def test_a_batch(sns, topic, subscribed, inbox):
    arn = topic()
    url, _ = subscribed(arn)
    answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=[entry(number) for number in range(10)])
    assert {one["Id"] for one in answer["Successful"]} == {str(number) for number in range(10)} and not answer.get("Failed")
    got = inbox(url, 10)
    assert {json.loads(message["Body"])["MessageId"] for message in got} == {one["MessageId"] for one in answer["Successful"]}


@pytest.mark.parametrize("entries, code", [
    ([], "EmptyBatchRequest"),
    ([entry(number) for number in range(11)], "TooManyEntriesInBatchRequest"),
    ([entry(1), entry(1)], "BatchEntryIdsNotDistinct"),
    ([entry("a b")], "InvalidBatchEntryId"),
    ([entry("x" * 81)], "InvalidBatchEntryId"),
    ([{"Id": str(n), "Message": "x" * (LIMIT // 2 + 1)} for n in range(2)], "BatchRequestTooLong"),
    ([{"Id": "1", "Message": ""}], "InvalidParameter"),
])
def test_batches_outside_the_rules(sns, topic, refused, entries, code):
    answer, _ = refused(sns.publish_batch, TopicArn=topic(), PublishBatchRequestEntries=entries)
    assert answer == code


def test_batches_just_inside(sns, topic):
    entries = [{"Id": "x" * 79 + str(n), "Message": "x" * (LIMIT // 2)} for n in range(2)]
    assert len(sns.publish_batch(TopicArn=topic(), PublishBatchRequestEntries=entries)["Successful"]) == 2


def test_a_function_gets_a_record(server, sns, topic, make, queue, inbox):
    code = """
import json, os, urllib.request
def handler(event, context):
    print("GOT " + json.dumps(event))
"""
    name = make(code)
    aws = server.client("lambda")
    function = aws.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    arn = topic()
    aws.add_permission(FunctionName=name, StatementId="sns", Action="lambda:InvokeFunction", Principal="sns.amazonaws.com", SourceArn=arn)
    subscription = sns.subscribe(TopicArn=arn, Protocol="lambda", Endpoint=function)["SubscriptionArn"]
    answer = sns.publish(TopicArn=arn, Message="hello", MessageAttributes={"a": {"DataType": "String", "StringValue": "b"}})
    logs = server.client("logs")

    def got():
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="GOT")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        return [json.loads(event["message"].split("GOT ", 1)[1]) for event in events]

    [event] = eventually(got)
    [record] = event["Records"]
    assert (record["EventSource"], record["EventVersion"], record["EventSubscriptionArn"]) == ("aws:sns", "1.0", subscription)
    told = record["Sns"]
    assert told["MessageId"] == answer["MessageId"] and told["Message"] == "hello" and told["Subject"] is None
    assert told["MessageAttributes"] == {"a": {"Type": "String", "Value": "b"}} and told["Type"] == "Notification"
    assert {"SignatureVersion", "Signature", "SigningCertUrl", "UnsubscribeUrl", "Timestamp", "TopicArn"} <= told.keys()


def test_a_function_that_lets_nobody_in(server, sns, topic, make, queue, inbox):
    name = make("def handler(event, context):\n    return 1\n")
    function = server.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    arn = topic()
    dead, dead_arn = queue()
    sns.subscribe(TopicArn=arn, Protocol="lambda", Endpoint=function,
                  Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn})})
    sns.publish(TopicArn=arn, Message="no entry")
    [message] = inbox(dead)
    assert "no entry" in message["Body"] and "not authorized" in message["MessageAttributes"]["ErrorMessage"]["StringValue"]


def test_a_hundred_queues_get_one_message(own_server):
    server = own_server()
    sns, sqs = server.client("sns"), server.client("sqs")
    arn = sns.create_topic(Name="fan")["TopicArn"]
    urls = []
    for number in range(100):
        url = sqs.create_queue(QueueName=f"fan-{number}")["QueueUrl"]
        endpoint = f"arn:aws:sqs:us-east-1:{ACCOUNT}:fan-{number}"
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": endpoint}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": "true"})
        urls.append(url)
    sns.publish(TopicArn=arn, Message="to all")
    server.kill()  # right after the answer
    server.restart()
    sqs = server.client("sqs")
    for url in urls:
        url = f"{server.endpoint}/{ACCOUNT}/{url.rsplit('/', 1)[1]}"
        [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        assert message["Body"] == "to all"
