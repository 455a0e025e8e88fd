"""A queue's life through the AWS CLI, command by command as its documentation shows them."""
import json


def test_a_queues_life(server, cli, unique):
    # Version 1 of the CLI has an address of its own for SQS, which only this option sets aside.
    aws = lambda *arguments: cli("--endpoint-url", server.endpoint, *arguments)
    name = unique("cli")
    url = aws("sqs", "create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=30,DelaySeconds=0",
              "--tags", "team=a,stage=test")["QueueUrl"]
    assert aws("sqs", "get-queue-url", "--queue-name", name)["QueueUrl"] == url
    assert aws("sqs", "list-queues", "--queue-name-prefix", name)["QueueUrls"] == [url]
    dead = aws("sqs", "create-queue", "--queue-name", f"{name}-dead")["QueueUrl"]
    dead_arn = aws("sqs", "get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "1"})
    aws("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", json.dumps({"RedrivePolicy": redrive}))
    assert aws("sqs", "list-dead-letter-source-queues", "--queue-url", dead)["queueUrls"] == [url]
    aws("sqs", "tag-queue", "--queue-url", url, "--tags", "more=1")
    aws("sqs", "untag-queue", "--queue-url", url, "--tag-keys", "stage")
    assert aws("sqs", "list-queue-tags", "--queue-url", url)["Tags"] == {"team": "a", "more": "1"}
    aws("sqs", "add-permission", "--queue-url", url, "--label", "l", "--aws-account-ids", "111111111111", "--actions", "SendMessage")
    aws("sqs", "remove-permission", "--queue-url", url, "--label", "l")

    sent = aws("sqs", "send-message", "--queue-url", url, "--message-body", "hello", "--message-attributes",
               json.dumps({"colour": {"DataType": "String", "StringValue": "red"}}))
    message = aws("sqs", "receive-message", "--queue-url", url, "--message-attribute-names", "All",
                  "--attribute-names", "All", "--visibility-timeout", "0")["Messages"][0]
    assert (message["Body"], message["MessageId"]) == ("hello", sent["MessageId"])
    assert message["MessageAttributes"]["colour"]["StringValue"] == "red"
    # Received once more than it may be: it goes to the dead-letter queue.
    assert aws("sqs", "receive-message", "--queue-url", url) is None
    aws("sqs", "start-message-move-task", "--source-arn", dead_arn)
    task = aws("sqs", "list-message-move-tasks", "--source-arn", dead_arn)["Results"][0]
    assert task["SourceArn"] == dead_arn
    message = aws("sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "10")["Messages"][0]
    handle = message["ReceiptHandle"]
    aws("sqs", "change-message-visibility", "--queue-url", url, "--receipt-handle", handle, "--visibility-timeout", "60")
    aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", handle)

    batch = aws("sqs", "send-message-batch", "--queue-url", url, "--entries", json.dumps(
        [{"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "2", "DelaySeconds": 1}]))
    assert sorted(entry["Id"] for entry in batch["Successful"]) == ["a", "b"]
    aws("sqs", "purge-queue", "--queue-url", url)
    aws("sqs", "delete-queue", "--queue-url", url)
    aws("sqs", "delete-queue", "--queue-url", dead)
    assert aws("sqs", "list-queues", "--queue-name-prefix", name) is None
