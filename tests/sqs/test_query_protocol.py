"""SQS in the query protocol: an SDK that still speaks it, and requests written by hand."""
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from conftest import clean_environment
from sqs_kit import *

SPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"
VERSION = "2012-11-05"
OLD_SDK = os.environ.get("LAMPLIGHTER_QUERY_PYTHON")


def fetch(url, data=None, headers=(), sign=True):
    """Status, body and headers of a request."""
    request = botocore.awsrequest.AWSRequest("GET" if data is None else "POST", url, data=data, headers=dict(headers))
    if sign:
        keys = botocore.credentials.Credentials("test", "test")
        botocore.auth.SigV4Auth(keys, "sqs", "us-east-1").add_auth(request)
    ready = urllib.request.Request(url, data=data, headers=dict(request.headers))
    try:
        with urllib.request.urlopen(ready) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def ask(url, method="POST", headers=(), sign=True, **parameters):
    """Status and XML of a request, as scripts send it."""
    form = urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)
    if method == "GET":
        status, body, _ = fetch(f"{url}?{form}", sign=sign)
    else:
        headers = {"content-type": "application/x-www-form-urlencoded", **dict(headers)}
        status, body, _ = fetch(url, form.encode(), headers, sign)
    return status, ElementTree.fromstring(body)


def texts(answer, path):
    return [found.text for found in answer.findall(".//" + "/".join(SPACE + part for part in path.split("/")))]


def failure(answer):
    status, body = answer
    assert body.tag == f"{SPACE}ErrorResponse"
    return status, texts(body, "Error/Code")[0], texts(body, "Error/Message")[0]


# The SDK


@pytest.mark.skipif(not OLD_SDK, reason="the environment of the old SDK is not there")
def test_a_queues_life_through_an_sdk_of_the_query_days(server, unique):
    name = unique("old")
    outcome = subprocess.run(
        [OLD_SDK, Path(__file__).with_name("old_sdk.py"), server.endpoint, name], capture_output=True, text=True,
        timeout=120, env=clean_environment())
    assert outcome.returncode == 0, outcome.stderr
    seen = json.loads(outcome.stdout)
    arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    assert seen["url"] == seen["found"] == f"{server.endpoint}/000000000000/{name}"
    assert seen["listed"] == [seen["url"], seen["url"] + "-dead"]
    assert seen["page"]["QueueUrls"] == [seen["url"]] and seen["page"]["NextToken"]
    attributes = seen["attributes"]
    assert attributes["MaximumMessageSize"] == "2048" and attributes["QueueArn"] == arn
    assert json.loads(attributes["RedrivePolicy"]) == {"deadLetterTargetArn": f"{arn}-dead", "maxReceiveCount": 2}
    assert seen["tags"] == {"team": "a", "more": "=+ ü"}
    assert seen["sources"] == {"queueUrls": [seen["url"]]}
    assert seen["policy"]["Statement"][0]["Action"] == ["SQS:SendMessage", "SQS:GetQueueUrl"]
    assert seen["modelled"].endswith("The specified queue does not exist.")

    assert seen["sent"] == ["MD5OfMessageAttributes", "MD5OfMessageBody", "MD5OfMessageSystemAttributes", "MessageId"]
    assert seen["body"] == 'one <&>\r\n"ü"'
    assert {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "AWSTraceHeader"
            } <= set(seen["system"])
    assert seen["empty"]
    assert seen["batch"]["ok"] == ["0", "1", "2"]
    assert seen["batch"]["failed"] == [["large", "InvalidParameterValue", True]]
    assert seen["changed"]["ok"] == ["a"] and seen["changed"]["failed"][0][0] == "b"
    assert seen["deleted"] == ["m0", "m1", "m2"]
    assert seen["left"] == {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
    assert seen["task"] == ["TaskHandle"] and seen["tasks"] == [[f"{arn}-dead", True]]

    simple = "AWS.SimpleQueueService."
    errors = {name: [code, status] for name, (code, _, status) in seen["errors"].items()}
    assert errors == {
        "nowhere": [f"{simple}NonExistentQueue", 400],
        "exists": ["QueueAlreadyExists", 400],
        "name": ["InvalidParameterValue", 400],
        "attribute": ["InvalidAttributeValue", 400],
        "unknown": ["InvalidAttributeName", 400],
        "permission": ["OverLimit", 403],
        "task": ["InvalidParameterValue", 400],
        "handle": ["ReceiptHandleIsInvalid", 404],
        "empty": [f"{simple}EmptyBatchRequest", 400],
        "purge": [f"{simple}PurgeQueueInProgress", 403],
        "recently": [f"{simple}QueueDeletedRecently", 400],
    }


# By hand


def test_a_form_to_the_bare_address(server, unique):
    name = unique("form")
    status, answer = ask(server.endpoint + "/", Action="CreateQueue", Version=VERSION, QueueName=name, **{
        "Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "5", "Attribute.2.Name": "VisibilityTimeout",
        "Attribute.2.Value": "40", "Tag.1.Key": "a", "Tag.1.Value": "b"})
    assert status == 200 and answer.tag == f"{SPACE}CreateQueueResponse"
    url = texts(answer, "CreateQueueResult/QueueUrl")[0]
    assert url == f"{server.endpoint}/000000000000/{name}"
    assert re.fullmatch(r"[0-9a-f-]{36}", texts(answer, "ResponseMetadata/RequestId")[0])
    status, answer = ask(server.endpoint + "/", Action="GetQueueAttributes", Version=VERSION, QueueUrl=url, **{
        "AttributeName.1": "DelaySeconds", "AttributeName.2": "VisibilityTimeout"})
    assert dict(zip(texts(answer, "Attribute/Name"), texts(answer, "Attribute/Value"))) == {
        "DelaySeconds": "5", "VisibilityTimeout": "40"}
    status, answer = ask(server.endpoint + "/", Action="ListQueueTags", Version=VERSION, QueueUrl=url)
    assert (texts(answer, "Tag/Key"), texts(answer, "Tag/Value")) == (["a"], ["b"])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("version", [{"Version": VERSION}, {}], ids=["version", "no-version"])
def test_requests_to_the_queues_own_url_name_the_queue(queue, method, version):
    url = queue()
    ask_it = lambda action, **more: ask(url, method, Action=action, **version, **more)
    status, answer = ask_it("SetQueueAttributes", **{"Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "9"})
    assert status == 200 and answer.tag == f"{SPACE}SetQueueAttributesResponse"
    status, answer = ask_it("GetQueueAttributes", **{"AttributeName.1": "DelaySeconds"})
    assert texts(answer, "Attribute/Value") == ["9"]
    for name in ["Tag", "Tags"]:
        assert ask_it("TagQueue", **{f"{name}.1.Key": "k", f"{name}.1.Value": "v"})[0] == 200
    assert ask_it("UntagQueue", **{"TagKey.1": "k"})[0] == 200
    assert ask_it("AddPermission", Label="l", **{"AWSAccountId.1": "111111111111", "ActionName.1": "SendMessage",
                                                 "ActionName.2": "GetQueueUrl"})[0] == 200
    assert ask_it("RemovePermission", Label="l")[0] == 200
    assert texts(ask_it("ListDeadLetterSourceQueues")[1], "QueueUrl") == []
    assert ask_it("PurgeQueue")[0] == 200
    assert failure(ask_it("PurgeQueue"))[:2] == (403, "AWS.SimpleQueueService.PurgeQueueInProgress")
    assert ask_it("DeleteQueue")[0] == 200
    assert failure(ask_it("GetQueueAttributes")) == (400, *GONE)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_messages_through_the_queues_own_url(queue, method):
    url = queue(VisibilityTimeout="30")
    ask_it = lambda action, **more: ask(url, method, Action=action, Version=VERSION, **more)
    status, sent = ask_it("SendMessage", MessageBody="hello <&>", **{
        "MessageAttribute.1.Name": "colour", "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "red", "MessageAttribute.2.Name": "raw",
        "MessageAttribute.2.Value.DataType": "Binary", "MessageAttribute.2.Value.BinaryValue": "AAE="})
    assert status == 200
    status, batch = ask_it("SendMessageBatch", **{
        "SendMessageBatchRequestEntry.1.Id": "a", "SendMessageBatchRequestEntry.1.MessageBody": "1",
        "SendMessageBatchRequestEntry.2.Id": "b", "SendMessageBatchRequestEntry.2.MessageBody": "2",
        "SendMessageBatchRequestEntry.2.DelaySeconds": "901"})
    assert texts(batch, "SendMessageBatchResultEntry/Id") == ["a"]
    assert texts(batch, "BatchResultErrorEntry/Id") == ["b"]
    assert texts(batch, "BatchResultErrorEntry/SenderFault") == ["true"]
    handles = {}
    while len(handles) < 2:
        status, answer = ask_it("ReceiveMessage", MaxNumberOfMessages=10, WaitTimeSeconds=1, **{
            "MessageAttributeName.1": "All", "AttributeName.1": "SentTimestamp"})
        for message in answer.findall(f".//{SPACE}Message"):
            handles[message.find(f"{SPACE}Body").text] = message.find(f"{SPACE}ReceiptHandle").text
            if message.find(f"{SPACE}Body").text == "hello <&>":
                assert texts(sent, "SendMessageResult/MessageId") == [message.find(f"{SPACE}MessageId").text]
                assert texts(sent, "MD5OfMessageAttributes") == [message.find(f"{SPACE}MD5OfMessageAttributes").text]
                values = {found.find(f"{SPACE}Name").text: found.find(f"{SPACE}Value") for found in
                          message.findall(f"{SPACE}MessageAttribute")}
                assert values["colour"].find(f"{SPACE}StringValue").text == "red"
                assert values["raw"].find(f"{SPACE}BinaryValue").text == "AAE="
                assert message.find(f"{SPACE}Attribute/{SPACE}Name").text == "SentTimestamp"
    first, second = handles.values()
    assert ask_it("ChangeMessageVisibility", ReceiptHandle=first, VisibilityTimeout=60)[0] == 200
    status, answer = ask_it("ChangeMessageVisibilityBatch", **{
        "ChangeMessageVisibilityBatchRequestEntry.1.Id": "x", "ChangeMessageVisibilityBatchRequestEntry.1.ReceiptHandle": second,
        "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout": "50"})
    assert texts(answer, "ChangeMessageVisibilityBatchResultEntry/Id") == ["x"]
    assert ask_it("DeleteMessage", ReceiptHandle=first)[0] == 200
    status, answer = ask_it("DeleteMessageBatch", **{
        "DeleteMessageBatchRequestEntry.1.Id": "y", "DeleteMessageBatchRequestEntry.1.ReceiptHandle": second})
    assert texts(answer, "DeleteMessageBatchResultEntry/Id") == ["y"]
    assert failure(ask_it("DeleteMessage", ReceiptHandle="x"))[:2] == (404, "ReceiptHandleIsInvalid")
    assert failure(ask_it("SendMessage")) == (
        400, "MissingParameter", "The request must contain the parameter MessageBody.")


def test_requests_without_signature_where_none_is_asked_for(own_server):
    """As people type them: curl "http://localhost:4566/000000000000/q?Action=GetQueueAttributes&AttributeName.1=All"."""
    server = own_server("--auth", "off")
    server.client("sqs").create_queue(QueueName="q")
    url = f"{server.endpoint}/000000000000/q"
    for method in ["GET", "POST"]:
        status, answer = ask(url, method, sign=False, Action="GetQueueAttributes", **{"AttributeName.1": "QueueArn"})
        assert texts(answer, "Attribute/Value") == ["arn:aws:sqs:us-east-1:000000000000:q"]
    assert failure(ask(f"{url}x", "GET", sign=False, Action="PurgeQueue")) == (400, *GONE)


def test_other_forms_of_the_queues_own_url(server, queue):
    name = queue().rsplit("/", 1)[1]
    for path, host in [
        (f"/000000000000/{name}/", None),
        (f"/queue/us-east-1/000000000000/{name}", None),
        (f"/000000000000/{name}", "sqs.us-east-1.localhost.localstack.cloud:4566"),
        (f"/000000000000/{name}", "us-east-1.queue.amazonaws.com"),
    ]:
        status, answer = ask(
            server.endpoint + path, headers={"host": host}.items() if host else (), Action="GetQueueAttributes",
            Version=VERSION, **{"AttributeName.1": "QueueArn"})
        assert texts(answer, "Attribute/Value") == [f"arn:aws:sqs:us-east-1:000000000000:{name}"], (path, host)


def test_errors_in_both_protocols(server, sqs, refused):
    nowhere = f"{server.endpoint}/000000000000/nowhere"
    by_form = lambda **more: failure(ask(server.endpoint + "/", Version=VERSION, **more))
    assert by_form(Action="GetQueueUrl", QueueName="nowhere") == (400, *GONE)
    assert by_form(Action="DeleteQueue") == (400, "MissingParameter", "The request must contain the parameter QueueUrl.")
    assert by_form(Action="Nonsense", QueueUrl=nowhere)[:2] == (400, "InvalidAction")
    assert by_form(Action="GetQueueAttributes", QueueUrl="x")[:2] == (404, "InvalidAddress")
    arn = "arn:aws:sqs:us-east-1:000000000000:nowhere"
    assert by_form(Action="StartMessageMoveTask", SourceArn=arn)[:2] == (404, "ResourceNotFoundException")

    def by_json(operation, body, query_mode=True):
        status, answer, headers = fetch(server.endpoint + "/", json.dumps(body).encode(), {
            "content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{operation}",
            **({"x-amzn-query-mode": "true"} if query_mode else {})})
        return status, json.loads(answer)["__type"], headers.get("x-amzn-query-error")

    assert by_json("GetQueueUrl", {"QueueName": "nowhere"}) == (
        400, "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue;Sender")
    assert by_json("GetQueueUrl", {"QueueName": "nowhere"}, query_mode=False) == (
        400, "com.amazonaws.sqs#QueueDoesNotExist", None)
    assert by_json("CreateQueue", {"QueueName": "a b"}) == (
        400, "com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue;Sender")
    assert by_json("DeleteQueue", {}) == (
        400, "com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter;Sender")
    assert by_json("CreateQueue", {"QueueName": "q", "Attributes": {"DelaySeconds": "-1"}})[:2] == (
        400, "com.amazonaws.sqs#InvalidAttributeValue")
    assert by_json("GetQueueAttributes", {"QueueUrl": "x"})[:2] == (400, "com.amazonaws.sqs#InvalidAddress")
