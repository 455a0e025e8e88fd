"""A queue's life through boto3 1.26, which speaks the query protocol; prints what it saw as JSON. Run by its test."""
import json
import sys

import boto3
from botocore.exceptions import ClientError

endpoint, name = sys.argv[1:3]
sqs = boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test",
                   aws_secret_access_key="test")
assert sqs.meta.service_model.metadata["protocol"] == "query"
seen = {}


def error(call, **parameters):
    try:
        call(**parameters)
    except ClientError as problem:
        answer = problem.response
        return [answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]]
    return None


def plain(answer):
    answer.pop("ResponseMetadata")
    return answer


# Queues
dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
url = sqs.create_queue(
    QueueName=name, Attributes={"VisibilityTimeout": "0", "RedrivePolicy": policy}, tags={"team": "a", "b": "c"})["QueueUrl"]
seen["url"] = url
seen["found"] = sqs.get_queue_url(QueueName=name)["QueueUrl"]
seen["listed"] = sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
seen["page"] = plain(sqs.list_queues(QueueNamePrefix=name, MaxResults=1))
sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0", "MaximumMessageSize": "2048"})
seen["attributes"] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
sqs.tag_queue(QueueUrl=url, Tags={"more": "=+ ü"})
sqs.untag_queue(QueueUrl=url, TagKeys=["b"])
seen["tags"] = sqs.list_queue_tags(QueueUrl=url)["Tags"]
seen["sources"] = plain(sqs.list_dead_letter_source_queues(QueueUrl=dead))
sqs.add_permission(QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage", "GetQueueUrl"])
seen["policy"] = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])
sqs.remove_permission(QueueUrl=url, Label="l")

# Errors
nowhere = url + "-nowhere"
seen["errors"] = {
    "nowhere": error(sqs.get_queue_attributes, QueueUrl=nowhere),
    "exists": error(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "1"}),
    "name": error(sqs.create_queue, QueueName="a b"),
    "attribute": error(sqs.set_queue_attributes, QueueUrl=url, Attributes={"DelaySeconds": "901"}),
    "unknown": error(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["Nonsense"]),
    "permission": error(sqs.add_permission, QueueUrl=url, Label="x", AWSAccountIds=["1" * 12], Actions=["*"] * 8),
    "task": error(sqs.cancel_message_move_task, TaskHandle="x"),
}
try:
    sqs.get_queue_url(QueueName=f"{name}-nowhere")
except sqs.exceptions.QueueDoesNotExist as problem:
    seen["modelled"] = str(problem)

# Messages
if "--queues-only" not in sys.argv:
    attributes = {
        "text": {"DataType": "String", "StringValue": "ü <&>"},
        "number": {"DataType": "Number.int", "StringValue": "7"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = plain(sqs.send_message(
        QueueUrl=url, MessageBody="one <&>\r\n\"ü\"", MessageAttributes=attributes, MessageSystemAttributes=trace))
    seen["sent"] = sorted(sent)
    got = sqs.receive_message(
        QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"], MaxNumberOfMessages=10, VisibilityTimeout=30,
        WaitTimeSeconds=1)["Messages"]
    message = got[0]
    assert message["MessageAttributes"] == attributes, message
    assert message["MessageId"] == sent["MessageId"] and message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    seen["body"] = message["Body"]
    seen["system"] = sorted(message["Attributes"])
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    seen["empty"] = "Messages" not in sqs.receive_message(QueueUrl=url)

    entries = [{"Id": str(n), "MessageBody": f"m{n}", "MessageAttributes": {"n": {"DataType": "Number", "StringValue": str(n)}}}
               for n in range(3)] + [{"Id": "large", "MessageBody": "x" * 3000}]
    batch = plain(sqs.send_message_batch(QueueUrl=url, Entries=entries))
    seen["batch"] = {"ok": sorted(one["Id"] for one in batch["Successful"]),
                     "failed": [[one["Id"], one["Code"], one["SenderFault"]] for one in batch.get("Failed", [])]}
    handles = {}
    while len(handles) < 3:
        for one in sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30, WaitTimeSeconds=1,
                MessageAttributeNames=["n"]).get("Messages", []):
            handles[one["Body"]] = one["ReceiptHandle"]
            assert one["MessageAttributes"]["n"]["StringValue"] == one["Body"][1:]
    changed = plain(sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        {"Id": "a", "ReceiptHandle": handles["m0"], "VisibilityTimeout": 40},
        {"Id": "b", "ReceiptHandle": "nonsense", "VisibilityTimeout": 40}]))
    seen["changed"] = {"ok": [one["Id"] for one in changed["Successful"]],
                       "failed": [[one["Id"], one["Code"]] for one in changed["Failed"]]}
    deleted = plain(sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": body, "ReceiptHandle": handle} for body, handle in handles.items()]))
    seen["deleted"] = sorted(one["Id"] for one in deleted["Successful"])
    numbers = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    seen["left"] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=numbers)["Attributes"]
    seen["errors"]["handle"] = error(sqs.delete_message, QueueUrl=url, ReceiptHandle="nonsense")
    seen["errors"]["empty"] = error(sqs.send_message_batch, QueueUrl=url, Entries=[])

# Move tasks
task = plain(sqs.start_message_move_task(SourceArn=dead_arn))
seen["task"] = sorted(task)
results = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"]
seen["tasks"] = [[one["SourceArn"], one["Status"] in ("RUNNING", "COMPLETED")] for one in results]

sqs.purge_queue(QueueUrl=url)
seen["errors"]["purge"] = error(sqs.purge_queue, QueueUrl=url)
sqs.delete_queue(QueueUrl=url)
sqs.delete_queue(QueueUrl=dead)
seen["errors"]["recently"] = error(sqs.create_queue, QueueName=name)
print(json.dumps(seen))
