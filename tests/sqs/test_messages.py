"""Messages of standard queues through boto3: sending, receiving, deleting, hiding, and every limit of theirs."""
import hashlib
import json
import uuid

import pytest
from sqs_kit import *


def receive(sqs, queue, **parameters):
    return sqs.receive_message(QueueUrl=queue, **parameters).get("Messages", [])


def send(sqs, queue, body="x", **parameters):
    return sqs.send_message(QueueUrl=queue, MessageBody=body, **parameters)


def text(value, kind="String"):
    return {"DataType": kind, "StringValue": value}


def binary(value, kind="Binary"):
    return {"DataType": kind, "BinaryValue": value}


def test_a_message_goes_in_and_out(sqs, queue):
    url = queue()
    sent = send(sqs, url, "hello ü")
    assert sent["MD5OfMessageBody"] == hashlib.md5("hello ü".encode()).hexdigest()
    assert "SequenceNumber" not in sent and "MD5OfMessageAttributes" not in sent
    [message] = receive(sqs, url)
    assert message["Body"] == "hello ü"
    assert message["MessageId"] == sent["MessageId"] == str(uuid.UUID(sent["MessageId"]))
    assert "Attributes" not in message and "MessageAttributes" not in message
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert receive(sqs, url) == []


def test_counts_are_true(sqs, queue, attributes):
    url = queue()
    names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
    counts = lambda: [int(attributes(url, *names)[name]) for name in names]
    for _ in range(5):
        send(sqs, url)
    send(sqs, url, DelaySeconds=900)
    assert counts() == [5, 0, 1]
    [first, _] = receive(sqs, url, MaxNumberOfMessages=2)
    assert counts() == [3, 2, 1]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert counts() == [3, 1, 1]
    sqs.purge_queue(QueueUrl=url)
    assert counts() == [0, 0, 0]


def test_attributes_come_back_as_they_were_sent(sqs, queue):
    url = queue()
    given = {
        "text": text("ü"), "number": text("-1.5e3", "Number"), "bytes": binary(b"\x00\xff"),
        "foo.one": text("1", "String.custom"), "foo.two": text("2", "Number.int"), "fo": binary(b"x", "Binary.png"),
    }
    # boto3 checks the digests of messages and the CRT-free SDKs those of attributes: both are here.
    sent = send(sqs, url, MessageAttributes=given)
    assert len(sent["MD5OfMessageAttributes"]) == 32
    wants = [(["All"], set(given)), ([".*"], set(given)), (["foo.*"], {"foo.one", "foo.two"}), (["text", "nope"], {"text"})]
    for names, expected in wants:
        [message] = receive(sqs, url, MessageAttributeNames=names, VisibilityTimeout=0)
        assert message["MessageAttributes"] == {name: given[name] for name in expected}
        assert (message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]) == (expected == set(given))


def test_the_digest_of_attributes_is_that_of_the_documentation(sqs, queue):
    def digest(attributes):
        data = b""
        part = lambda value: len(value).to_bytes(4, "big") + value
        for name in sorted(attributes):
            value = attributes[name]
            data += part(name.encode()) + part(value["DataType"].encode())
            data += b"\x01" + part(value["StringValue"].encode()) if "StringValue" in value else b"\x02" + part(value["BinaryValue"])
        return hashlib.md5(data).hexdigest()

    given = {"b": text("ü"), "a": binary(b"\x00"), "c.d": text("5", "Number")}
    trace = {"AWSTraceHeader": text("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")}
    sent = send(sqs, queue(), MessageAttributes=given, MessageSystemAttributes=trace)
    assert sent["MD5OfMessageAttributes"] == digest(given)
    assert sent["MD5OfMessageSystemAttributes"] == digest(trace)


def test_system_attributes(sqs, queue):
    url = queue()
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    send(sqs, url, MessageGroupId="tenant", MessageSystemAttributes={"AWSTraceHeader": text(header)})
    for count in (1, 2):
        [message] = receive(sqs, url, VisibilityTimeout=0, MessageSystemAttributeNames=["All"])
        got = message["Attributes"]
        assert got.pop("ApproximateFirstReceiveTimestamp") >= got.pop("SentTimestamp")
        assert got == {
            "SenderId": "000000000000", "ApproximateReceiveCount": str(count), "MessageGroupId": "tenant", "AWSTraceHeader": header}
    [message] = receive(sqs, url, AttributeNames=["SenderId"], MessageSystemAttributeNames=["SentTimestamp"])
    assert set(message["Attributes"]) == {"SenderId", "SentTimestamp"}


def test_sizes_inside_and_outside_of_the_limit(sqs, queue, refused):
    url = queue()
    body = "x" * (1_048_576 - 20)
    value = {"name": text("1234567890")}  # 4 + 6 + 10
    send(sqs, url, body, MessageAttributes=value)
    [message] = receive(sqs, url, MessageAttributeNames=["All"])
    assert message["Body"] == body and message["MessageAttributes"] == value
    long = ("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.")
    assert refused(sqs.send_message, QueueUrl=url, MessageBody=body + "y", MessageAttributes=value) == long
    small = queue(MaximumMessageSize="1024")
    send(sqs, small, "ü" * 512)
    code, message = refused(sqs.send_message, QueueUrl=small, MessageBody="x" * 1025)
    assert (code, message) == (long[0], long[1].replace("1048576", "1024"))


def test_a_batch_of_the_largest_size(sqs, queue, refused):
    url = queue()
    entries = [{"Id": str(n), "MessageBody": "x" * 104_857} for n in range(10)]  # 6 bytes short
    entries[0]["MessageBody"] += "x" * 6
    assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 10
    messages = receive(sqs, url, MaxNumberOfMessages=10)
    assert [message["Body"] for message in messages] == [entry["MessageBody"] for entry in entries]
    entries[1]["MessageBody"] += "x"
    assert refused(sqs.send_message_batch, QueueUrl=url, Entries=entries) == (
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.")


def test_what_a_message_may_hold(sqs, queue, refused):
    url = queue()
    good = "\t\n\r \u0085\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    send(sqs, url, good)
    assert receive(sqs, url)[0]["Body"] == good
    for bad in ("a\x00", "\x0b", "\ufffe", "\uffff"):
        code, message = refused(sqs.send_message, QueueUrl=url, MessageBody=bad)
        assert code == "InvalidMessageContents" and message.startswith("Invalid characters found."), message
    assert refused(sqs.send_message, QueueUrl=url, MessageBody="") == (
        "MissingParameter", "The request must contain the parameter MessageBody.")
    with_attributes = lambda given: refused(sqs.send_message, QueueUrl=url, MessageBody="x", MessageAttributes=given)
    ten = {f"a{n}": text("x") for n in range(10)}
    send(sqs, url, MessageAttributes=ten)
    assert with_attributes({**ten, "a10": text("x")}) == (
        "InvalidParameterValue", "Number of message attributes [11] exceeds the allowed maximum [10].")
    send(sqs, url, MessageAttributes={"n" * 256: text("x", "String." + "t" * 249)})
    for name, value in {
        "n" * 257: text("x"), "AWS.x": text("x"), "a b": text("x"), ".a": text("x"), "a..b": text("x"),
        "type": text("x", "Text"), "long": text("x", "String." + "t" * 250), "empty": text(""), "number": text("x", "Number"),
        "mixed": binary(b"x", "String"), "missing": {"DataType": "String"}, "char": text("\x00"),
    }.items():
        assert with_attributes({name: value})[0] == "InvalidParameterValue", name
    code, message = refused(sqs.send_message, QueueUrl=url, MessageBody="x", MessageSystemAttributes={
        "AWSTraceHeader": binary(b"x")})
    assert code == "InvalidParameterValue", message


def test_numbers_inside_and_outside_of_their_limits(sqs, queue, refused):
    url = queue()
    prefix = "Value {} for parameter {} is invalid. Reason: "
    for name, call, inside, outside in [
        ("MaxNumberOfMessages", sqs.receive_message, [1, 10], [0, 11]),
        ("VisibilityTimeout", sqs.receive_message, [0, 43_200], [-1, 43_201]),
        ("WaitTimeSeconds", sqs.receive_message, [0], [-1, 21]),
        ("DelaySeconds", sqs.send_message, [0, 900], [-1, 901]),
    ]:
        extra = {"MessageBody": "x"} if name == "DelaySeconds" else {}
        for value in inside:
            call(QueueUrl=url, **extra, **{name: value})
        for value in outside:
            code, message = refused(call, QueueUrl=url, **extra, **{name: value})
            assert code == "InvalidParameterValue" and message.startswith(prefix.format(value, name)), message
    code, message = refused(sqs.receive_message, QueueUrl=url, ReceiveRequestAttemptId="x")
    assert code == "InvalidParameterValue", message
    code, message = refused(sqs.send_message, QueueUrl=url, MessageBody="x", MessageDeduplicationId="x")
    assert code == "InvalidParameterValue" and "not valid for this queue type" in message


@pytest.mark.parametrize("operation", ["send_message_batch", "delete_message_batch", "change_message_visibility_batch"])
def test_batches_have_rules(sqs, queue, refused, operation):
    url = queue()
    call = getattr(sqs, operation)
    body = {"MessageBody": "x"} if operation == "send_message_batch" else {"ReceiptHandle": "x"}
    if operation.startswith("change"):
        body["VisibilityTimeout"] = 1
    batch = lambda *ids: refused(call, QueueUrl=url, Entries=[{"Id": name, **body} for name in ids])
    code = lambda *ids: batch(*ids)[0].rsplit(".", 1)[-1]
    assert code() == "EmptyBatchRequest"
    assert code(*map(str, range(11))) == "TooManyEntriesInBatchRequest"
    assert batch("a", "b", "a") == ("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id a repeated.")
    for bad in ("a b", "x" * 81, "ü"):
        assert code(bad) == "InvalidBatchEntryId"
    answer = call(QueueUrl=url, Entries=[{"Id": "x" * 80, **body}, {"Id": "-_", **body}])
    if operation == "send_message_batch":
        assert len(answer["Successful"]) == 2
    else:
        assert {entry["Code"] for entry in answer["Failed"]} == {"ReceiptHandleIsInvalid"}
        assert all(entry["SenderFault"] for entry in answer["Failed"])


def test_a_batch_fails_in_part(sqs, queue):
    url = queue()
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": "good", "MessageBody": "x"},
        {"Id": "delay", "MessageBody": "x", "DelaySeconds": 901},
        {"Id": "empty", "MessageBody": ""},
        {"Id": "attribute", "MessageBody": "x", "MessageAttributes": {"a": text("x", "Number")}},
    ])
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]} == {
        "delay": ("InvalidParameterValue", True), "empty": ("MissingParameter", True),
        "attribute": ("InvalidParameterValue", True)}
    [message] = receive(sqs, url, MaxNumberOfMessages=10)
    handle = message["ReceiptHandle"]
    answer = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        {"Id": "good", "ReceiptHandle": handle, "VisibilityTimeout": 50},
        {"Id": "long", "ReceiptHandle": handle, "VisibilityTimeout": 43_201}])
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [entry["Id"] for entry in answer["Failed"]] == ["long"]
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": "good", "ReceiptHandle": handle}, {"Id": "bad", "ReceiptHandle": "nonsense"}])
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert answer["Failed"] == [{
        "Id": "bad", "SenderFault": True, "Code": "ReceiptHandleIsInvalid",
        "Message": 'The input receipt handle "nonsense" is not a valid receipt handle.'}]


def test_visibility_is_changed_by_the_last_handle_only(sqs, queue, refused):
    url = queue()
    send(sqs, url)
    [first] = receive(sqs, url, VisibilityTimeout=0)
    [second] = receive(sqs, url)
    change = lambda message, timeout: dict(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=timeout)
    gone = "Message does not exist or is not available for visibility timeout change."
    code, message = refused(sqs.change_message_visibility, **change(first, 10))
    assert code == "InvalidParameterValue" and message.endswith(gone)
    code, message = refused(sqs.change_message_visibility, **change(second, 43_201))
    assert code == "InvalidParameterValue" and "VisibilityTimeout" in message
    sqs.change_message_visibility(**change(second, 0))
    code, _ = refused(sqs.change_message_visibility, **change(second, 10))
    assert code == "AWS.SimpleQueueService.MessageNotInflight"
    # The older handle deletes nothing, the last one does, though its lease is over.
    for message in (first, second):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert receive(sqs, url) == []
    code, message = refused(sqs.change_message_visibility, **change(second, 10))
    assert code == "InvalidParameterValue" and message.endswith(gone)
    code, _ = refused(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle="x", VisibilityTimeout=1)
    assert code == "ReceiptHandleIsInvalid"


def test_time_goes_by_the_servers_clock(own_server):
    server = own_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="q", Attributes={"MessageRetentionPeriod": "3600", "VisibilityTimeout": "600"})["QueueUrl"]
    send(sqs, url, "late", DelaySeconds=900)
    send(sqs, url, "now")
    assert [message["Body"] for message in receive(sqs, url, MaxNumberOfMessages=10)] == ["now"]
    advance(server, 600)
    assert [message["Body"] for message in receive(sqs, url, MaxNumberOfMessages=10)] == ["now"]
    advance(server, 300)
    assert [message["Body"] for message in receive(sqs, url, MaxNumberOfMessages=10)] == ["late"]
    advance(server, 2701)
    assert receive(sqs, url, MaxNumberOfMessages=10) == []
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
        "Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_both_protocols_reach_the_same_messages(server, sqs, queue):
    """The query protocol, as SDKs of the time before JSON speak it."""
    import urllib.parse
    import urllib.request

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    def query(url, **parameters):
        data = urllib.parse.urlencode({"Version": "2012-11-05", **parameters})
        request = AWSRequest("POST", url, data=data, headers={"Content-Type": "application/x-www-form-urlencoded"})
        SigV4Auth(Credentials("test", "test"), "sqs", "us-east-1").add_auth(request)
        prepared = urllib.request.Request(url, data=data.encode(), headers=dict(request.headers))
        return urllib.request.urlopen(prepared).read().decode()

    url = queue()
    answer = query(url, Action="SendMessage", MessageBody="<a> & ü", **{
        "MessageAttribute.1.Name": "n", "MessageAttribute.1.Value.DataType": "Number",
        "MessageAttribute.1.Value.StringValue": "7"})
    assert "<MD5OfMessageBody>" in answer and "<MD5OfMessageAttributes>" in answer
    [message] = receive(sqs, url, MessageAttributeNames=["n"], VisibilityTimeout=0)
    assert message["Body"] == "<a> & ü" and message["MessageAttributes"] == {"n": text("7", "Number")}
    answer = query(url, Action="ReceiveMessage", **{"AttributeName.1": "All", "MessageAttributeName.1": "All"})
    assert "<Body>&lt;a&gt; &amp; ü</Body>" in answer and "<Name>ApproximateReceiveCount</Name><Value>2</Value>" in answer
    handle = answer.split("<ReceiptHandle>")[1].split("<")[0]
    assert "DeleteMessageResponse" in query(url, Action="DeleteMessage", ReceiptHandle=handle)
    assert "<Message>" not in query(url, Action="ReceiveMessage")


def test_the_sender_is_who_sent_it(server, sqs, queue):
    url = queue()
    token = server.client("sts").assume_role(RoleArn="arn:aws:iam::000000000000:role/test-role", RoleSessionName="me")
    import boto3

    keys = token["Credentials"]
    client = boto3.client(
        "sqs", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    client.send_message(QueueUrl=url, MessageBody="x")
    [message] = receive(sqs, url, MessageSystemAttributeNames=["SenderId"])
    assert message["Attributes"]["SenderId"] == token["AssumedRoleUser"]["AssumedRoleId"]


def test_what_was_accepted_survives_a_kill(own_server):
    server = own_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    large = json.dumps(["x" * 200_000])
    for body in ("deleted", "kept", large):
        send(sqs, url, body)
    [message] = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    server.kill()
    server.restart()
    sqs = server.client("sqs")
    messages = receive(sqs, f"{server.endpoint}/000000000000/q", MaxNumberOfMessages=10)
    assert [message["Body"] for message in messages] == ["kept", large]
