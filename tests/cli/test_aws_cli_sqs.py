"""A queue's life through the AWS CLI, command by command as its documentation shows them."""
import json


def test_a_queues_life(cli, unique):
    name = unique("cli")
    url = cli("sqs", "create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=30,DelaySeconds=0",
              "--tags", "team=a,stage=test")["QueueUrl"]
    assert cli("sqs", "get-queue-url", "--queue-name", name)["QueueUrl"] == url
    assert cli("sqs", "list-queues", "--queue-name-prefix", name)["QueueUrls"] == [url]
    dead = cli("sqs", "create-queue", "--queue-name", f"{name}-dead")["QueueUrl"]
    dead_arn = cli("sqs", "get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "1"})
    cli("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", json.dumps({"RedrivePolicy": redrive}))
    assert cli("sqs", "list-dead-letter-source-queues", "--queue-url", dead)["queueUrls"] == [url]
    cli("sqs", "tag-queue", "--queue-url", url, "--tags", "more=1")
    cli("sqs", "untag-queue", "--queue-url", url, "--tag-keys", "stage")
    assert cli("sqs", "list-queue-tags", "--queue-url", url)["Tags"] == {"team": "a", "more": "1"}
    cli("sqs", "add-permission", "--queue-url", url, "--label", "l", "--aws-account-ids", "111111111111", "--actions", "SendMessage")
    cli("sqs", "remove-permission", "--queue-url", url, "--label", "l")

    sent = cli("sqs", "send-message", "--queue-url", url, "--message-body", "hello", "--message-attributes",
               json.dumps({"colour": {"DataType": "String", "StringValue": "red"}}))
    message = cli("sqs", "receive-message", "--queue-url", url, "--message-attribute-names", "All",
                  "--attribute-names", "All", "--visibility-timeout", "0")["Messages"][0]
    assert (message["Body"], message["MessageId"]) == ("hello", sent["MessageId"])
    assert message["MessageAttributes"]["colour"]["StringValue"] == "red"
    # Received once more than it may be: it goes to the dead-letter queue.
    assert cli("sqs", "receive-message", "--queue-url", url) is None
    cli("sqs", "start-message-move-task", "--source-arn", dead_arn)
    task = cli("sqs", "list-message-move-tasks", "--source-arn", dead_arn)["Results"][0]
    assert task["SourceArn"] == dead_arn
    message = cli("sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "10")["Messages"][0]
    handle = message["ReceiptHandle"]
    cli("sqs", "change-message-visibility", "--queue-url", url, "--receipt-handle", handle, "--visibility-timeout", "60")
    cli("sqs", "delete-message", "--queue-url", url, "--receipt-handle", handle)

    batch = cli("sqs", "send-message-batch", "--queue-url", url, "--entries", json.dumps(
        [{"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "2", "DelaySeconds": 1}]))
    assert sorted(entry["Id"] for entry in batch["Successful"]) == ["a", "b"]
    cli("sqs", "purge-queue", "--queue-url", url)
    cli("sqs", "delete-queue", "--queue-url", url)
    cli("sqs", "delete-queue", "--queue-url", dead)
    assert cli("sqs", "list-queues", "--queue-name-prefix", name) is None
