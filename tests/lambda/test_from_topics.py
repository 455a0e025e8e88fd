"""Functions that are subscribed to topics: invoked in the topic's name, if their policy lets it."""
import json

import pytest
from conftest import REGION
from targets import fresh, queue, received, set_policy, topic
from test_async import runs, until
from test_box import slim_sdk
from test_destinations import CATCH, arn_of

ACCOUNT = "000000000000"


def permit(aws, name, sid="sns", **conditions):
    aws.add_permission(
        FunctionName=name, StatementId=sid, Action="lambda:InvokeFunction", Principal="sns.amazonaws.com", **conditions)


def subscribed(server, name, topic_arn, **attributes):
    function = arn_of(server.client("lambda"), name)
    return server.client("sns").subscribe(
        TopicArn=topic_arn, Protocol="lambda", Endpoint=function, Attributes=attributes)["SubscriptionArn"]


def undelivered(server):
    """A queue that topics may leave in it what they cannot deliver: its URL and the attribute that names it."""
    url, arn = queue(server)
    set_policy(server, url, {
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn})
    return url, json.dumps({"deadLetterTargetArn": arn})


def test_the_event_is_as_aws_documents_it(server, aws, make):
    name, topic_arn = make(CATCH), topic(server)
    permit(aws, name, SourceArn=topic_arn)
    subscription = subscribed(server, name, topic_arn)
    message_id = server.client("sns").publish(
        TopicArn=topic_arn, Subject="news", Message="hello é",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "a"}})["MessageId"]
    event, _ = until(lambda: runs(server, name))[0]
    record, = event["Records"]
    sns = record.pop("Sns")
    assert record == {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription}
    assert (sns["Type"], sns["MessageId"], sns["TopicArn"]) == ("Notification", message_id, topic_arn)
    assert (sns["Subject"], sns["Message"]) == ("news", "hello é")
    assert sns["MessageAttributes"] == {"kind": {"Type": "String", "Value": "a"}}


def test_the_invoke_is_asynchronous(server, aws, make):
    """The function's own retries and dead letters apply: for the topic the message is delivered."""
    dead, dead_arn = queue(server)
    left, redrive = undelivered(server)
    name, topic_arn = make("def handler(e, c): raise ValueError('boom')", DeadLetterConfig={"TargetArn": dead_arn}), topic(server)
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    permit(aws, name)
    subscribed(server, name, topic_arn, RedrivePolicy=redrive)
    server.client("sns").publish(TopicArn=topic_arn, Message="x")
    message, = received(server, dead)
    assert json.loads(message["Body"])["Records"][0]["Sns"]["Message"] == "x"
    assert message["MessageAttributes"]["ErrorMessage"]["StringValue"] == "boom"
    sqs = server.client("sqs")
    assert "Messages" not in sqs.receive_message(QueueUrl=left)


@pytest.mark.parametrize("conditions", [
    None,
    {"SourceArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:another"},
    {"SourceAccount": "111122223333"},
])
def test_without_permission_nothing_is_delivered(server, aws, make, conditions):
    left, redrive = undelivered(server)
    name, topic_arn = make(CATCH), topic(server)
    if conditions:
        permit(aws, name, **conditions)
    subscribed(server, name, topic_arn, RedrivePolicy=redrive)
    server.client("sns").publish(TopicArn=topic_arn, Message="x")
    message, = received(server, left)
    assert '"x"' in message["Body"] or json.loads(message["Body"]).get("Message") == "x" or message["Body"] == "x"
    assert runs(server, name) == []
    # A permission helps what comes after.
    permit(aws, name, "in", SourceArn=topic_arn, SourceAccount=ACCOUNT)
    server.client("sns").publish(TopicArn=topic_arn, Message="y")
    event, _ = until(lambda: runs(server, name))[0]
    assert event["Records"][0]["Sns"]["Message"] == "y"


def test_a_function_that_is_gone_leaves_the_message(server, aws, make):
    left, redrive = undelivered(server)
    name, topic_arn = make(CATCH), topic(server)
    permit(aws, name)
    subscribed(server, name, topic_arn, RedrivePolicy=redrive)
    aws.delete_function(FunctionName=name)
    server.client("sns").publish(TopicArn=topic_arn, Message="x")
    received(server, left)


def test_a_topic_of_another_account(server, aws, make):
    other = "111122223333"
    sns = server.client("sns", other)
    topic_arn = sns.create_topic(Name=fresh("t"))["TopicArn"]
    name = make(CATCH)
    statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sns:Subscribe", "Resource": topic_arn}
    sns.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    permit(aws, name, SourceArn=topic_arn, SourceAccount=other)
    subscribed(server, name, topic_arn)
    sns.publish(TopicArn=topic_arn, Message="x")
    until(lambda: runs(server, name))


def test_a_loop_through_a_topic_ends_after_sixteen_passes(server, aws, make):
    source = """import boto3, json, os
client = boto3.client("sns")
def handler(event, context):
    sns = event["Records"][0]["Sns"]
    n = int(sns["Message"])
    print(json.dumps(["ran", n, os.environ["_X_AMZN_TRACE_ID"]]))
    if n < 40:
        client.publish(TopicArn=sns["TopicArn"], Message=str(n + 1))
"""
    dead, dead_arn = queue(server)
    name = make({**slim_sdk("sns"), "app.py": source}, MemorySize=512, Timeout=30, DeadLetterConfig={"TargetArn": dead_arn})
    topic_arn = topic(server)
    permit(aws, name)
    subscribed(server, name, topic_arn)
    server.client("sns").publish(TopicArn=topic_arn, Message="1")
    until(lambda: len(runs(server, name)) == 16, seconds=90)
    message, = received(server, dead)
    assert json.loads(message["Body"])["Records"][0]["Sns"]["Message"] == "17"
    assert len(runs(server, name)) == 16
    assert len({header.split(";")[0] for _, header in runs(server, name)}) == 1, "one trace"
