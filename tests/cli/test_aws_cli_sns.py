"""Topics through the AWS CLI."""
import json
import uuid


def test_a_life_of_a_topic(cli, server):
    # This CLI has an address of its own for SQS, which the variable does not change.
    sqs = lambda *arguments: cli("--endpoint-url", server.endpoint, "sqs", *arguments)
    name = f"cli-{uuid.uuid4().hex[:10]}"
    arn = cli("sns", "create-topic", "--name", name, "--attributes", "DisplayName=Orders", "--tags", "Key=a,Value=b")["TopicArn"]
    url = sqs("create-queue", "--queue-name", name)["QueueUrl"]
    endpoint = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": endpoint,
                 "Condition": {"ArnEquals": {"aws:SourceArn": arn}}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs("set-queue-attributes", "--queue-url", url, "--attributes", json.dumps({"Policy": policy}))
    subscription = cli("sns", "subscribe", "--topic-arn", arn, "--protocol", "sqs", "--notification-endpoint", endpoint,
                       "--attributes", json.dumps({"FilterPolicy": '{"kind":["order"]}'}))["SubscriptionArn"]
    attributes = json.dumps({"kind": {"DataType": "String", "StringValue": "order"}})
    sent = cli("sns", "publish", "--topic-arn", arn, "--message", "hello", "--message-attributes", attributes)
    cli("sns", "publish", "--topic-arn", arn, "--message", "unwanted")
    [message] = sqs("receive-message", "--queue-url", url, "--wait-time-seconds", "10")["Messages"]
    assert json.loads(message["Body"])["MessageId"] == sent["MessageId"]
    assert cli("sns", "get-topic-attributes", "--topic-arn", arn)["Attributes"]["DisplayName"] == "Orders"
    assert cli("sns", "list-tags-for-resource", "--resource-arn", arn) == {"Tags": [{"Key": "a", "Value": "b"}]}
    listed = cli("sns", "list-subscriptions-by-topic", "--topic-arn", arn)["Subscriptions"]
    assert [one["SubscriptionArn"] for one in listed] == [subscription]
    assert arn in [topic["TopicArn"] for topic in cli("sns", "list-topics")["Topics"]]
    cli("sns", "unsubscribe", "--subscription-arn", subscription)
    cli("sns", "delete-topic", "--topic-arn", arn)
    sqs("delete-queue", "--queue-url", url)
