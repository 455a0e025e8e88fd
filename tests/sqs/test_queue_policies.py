"""Who may use a queue: its account, whom its policy lets in, and whom it shuts out."""
import json
import urllib.parse
import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import REGION
from sqs_kit import *

ACCOUNT, OTHER = "000000000000", "111122223333"
ROOT = f"arn:aws:iam::{OTHER}:root"


@pytest.fixture
def allow(sqs, arn):
    """Gives a queue a policy of these statements; `Resource` is the queue's unless given."""

    def put(url, *statements, version="2012-10-17", client=sqs):
        def whole(statement):
            own = {"Effect": "Allow", "Action": "sqs:*", "Resource": arn(url)}
            who = {} if "NotPrincipal" in statement else {"Principal": "*"}
            return {**own, **who, **statement}

        policy = {"Version": version, "Statement": [whole(statement) for statement in statements]}
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})

    return put


@pytest.fixture
def stranger(server):
    return server.client("sqs", OTHER)


def session(server, account, name="visitor", of="s-1"):
    """A client of SQS as a session of a role, and the role's ARN."""
    iam, sts = server.client("iam", account), server.client("sts", account)
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}]}
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    except iam.exceptions.EntityAlreadyExistsException:
        pass
    role = f"arn:aws:iam::{account}:role/{name}"
    keys = sts.assume_role(RoleArn=role, RoleSessionName=of)["Credentials"]
    client = boto3.client(
        "sqs", endpoint_url=server.endpoint, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    return client, role


def may(client, url, body="hello"):
    """Whether a message may be sent."""
    try:
        client.send_message(QueueUrl=url, MessageBody=body)
    except ClientError as error:
        assert (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]) == (
            "AccessDenied", 403)
        return False
    return True


def test_another_account_is_refused_in_awss_words(server, sqs, stranger, queue, arn, refused):
    url = queue()
    assert refused(stranger.send_message, QueueUrl=url, MessageBody="x") == (
        "AccessDenied",
        f"User: {ROOT} is not authorized to perform: sqs:sendmessage on resource: {arn(url)} because no resource-based "
        "policy allows the sqs:sendmessage action")
    client, _ = session(server, OTHER)
    code, message = refused(client.get_queue_attributes, QueueUrl=url, AttributeNames=["All"])
    assert code == "AccessDenied"
    assert message.startswith(
        f"User: arn:aws:sts::{OTHER}:assumed-role/visitor/s-1 is not authorized to perform: sqs:getqueueattributes on ")


def test_the_query_protocol_says_the_same(server, stranger, queue):
    url = queue()
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    body = urllib.parse.urlencode({"Action": "SendMessage", "QueueUrl": url, "MessageBody": "x", "Version": "2012-11-05"})
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    SigV4Auth(Credentials(OTHER, "test"), "sqs", REGION).add_auth(request)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(urllib.request.Request(url, body.encode(), dict(request.headers)))
    answer = raised.value.read().decode()
    assert raised.value.code == 403
    assert "<Code>AccessDenied</Code>" in answer and "is not authorized to perform: sqs:sendmessage" in answer


def test_a_policy_lets_another_account_in(server, stranger, sqs, queue, allow):
    url = queue()
    allow(url, {"Principal": {"AWS": OTHER}, "Action": ["sqs:SendMessage", "sqs:ReceiveMessage"]})
    assert may(stranger, url)
    sent = stranger.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "b"}])
    assert len(sent["Successful"]) == 1, "a batch needs the permission of the single operation"
    client, _ = session(server, OTHER)
    assert may(client, url)
    message = stranger.receive_message(QueueUrl=url)["Messages"][0]
    with pytest.raises(ClientError, match="sqs:deletemessage"):
        stranger.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with pytest.raises(ClientError, match="sqs:deletemessage"):
        entry = {"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}
        stranger.delete_message_batch(QueueUrl=url, Entries=[entry])
    allow(url, {"Principal": {"AWS": ROOT}, "Action": "SQS:DeleteMessage"})
    stranger.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert not may(stranger, url)
    third = server.client("sqs", "444455556666")
    assert not may(third, url)


def test_a_policy_for_a_role_or_one_of_its_sessions(server, stranger, queue, allow):
    url = queue()
    client, role = session(server, OTHER)
    allow(url, {"Principal": {"AWS": role}})
    assert may(client, url) and not may(stranger, url)
    allow(url, {"Principal": {"AWS": f"arn:aws:sts::{OTHER}:assumed-role/visitor/s-2"}})
    second, _ = session(server, OTHER, of="s-2")
    assert may(second, url) and not may(client, url)


def test_everyone_is_everyone(server, stranger, queue, allow):
    url = queue()
    allow(url, {"Principal": "*"})
    assert may(stranger, url)
    allow(url, {"Principal": {"AWS": "*"}, "Condition": {"StringEquals": {"aws:PrincipalAccount": "444455556666"}}})
    assert not may(stranger, url) and may(server.client("sqs", "444455556666"), url)


def test_the_owner_may_unless_it_is_denied(server, sqs, queue, allow):
    url = queue()
    allow(url, {"Effect": "Deny", "Principal": {"AWS": ACCOUNT}, "Action": "sqs:SendMessage"})
    with pytest.raises(ClientError, match="sqs:sendmessage on resource: .* with an explicit deny in a resource-based policy"):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    client, role = session(server, ACCOUNT, "inmate")
    allow(url, {"Effect": "Deny", "Principal": {"AWS": role}, "Action": "sqs:SendMessage"})
    assert may(sqs, url) and not may(client, url)
    allow(url, {"Effect": "Deny", "NotPrincipal": {"AWS": role}, "Action": "sqs:SendMessage"})
    assert may(client, url) and not may(sqs, url)
    allow(url, {"Effect": "Deny", "Action": "sqs:SendMessage"}, {"Action": "sqs:SendMessage"})
    assert not may(sqs, url), "a denial wins"
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert may(sqs, url)


@pytest.mark.parametrize("condition, expected", [
    ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
    ({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}}, False),
    ({"NotIpAddress": {"aws:SourceIp": "127.0.0.1"}}, False),
    ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
    ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ({"NumericGreaterThan": {"aws:EpochTime": 1577836800}}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, True),
    ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:*"}}, True),
    ({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}, False),
    ({"ArnLikeIfExists": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}, True),
    ({"Null": {"aws:SourceArn": "true"}}, True),
    ({"StringEquals": {"aws:RequestedRegion": [REGION, "eu-west-1"]}}, True),
    ({"StringLike": {"aws:PrincipalAccount": "1111*"}, "StringEquals": {"aws:PrincipalType": "User"}}, False),
    ({"ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": "o-1/*"}}, False),
    ({"StringEquals": {"aws:PrincipalAccount": "${aws:PrincipalAccount}"}}, True),
])
def test_conditions(stranger, queue, allow, condition, expected):
    url = queue()
    allow(url, {"Condition": condition})
    assert may(stranger, url) is expected


def test_only_tls_shuts_nobody_of_this_machine_out(sqs, queue, allow):
    url = queue()
    allow(url, {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    assert may(sqs, url)


def test_time_passes(own_server):
    server = own_server()
    sqs, stranger = server.client("sqs"), server.client("sqs", OTHER)
    now = server.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"Service": "sqs.amazonaws.com"}, "Action": "sts:AssumeRole"}}))["Role"]["CreateDate"]
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    statement = {
        "Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sqs:SendMessage", "Resource": "*",
        "Condition": {"DateLessThan": {"aws:EpochTime": int(now.timestamp()) + 3600}}}
    policy = {"Version": "2012-10-17", "Statement": statement}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    assert may(stranger, url)
    advance(server, 3601)
    stranger = server.client("sqs", OTHER)
    try:
        stranger.send_message(QueueUrl=url, MessageBody="x")
    except ClientError as error:
        # Signatures go by the platform's clock, too: either way the message is not there.
        assert error.response["Error"]["Code"] in ("AccessDenied", "SignatureDoesNotMatch", "InvalidSignatureException")
    else:
        raise AssertionError("the permission has run out")


def test_what_no_policy_opens_to_others(stranger, queue, allow):
    url = queue()
    allow(url, {"Principal": {"AWS": OTHER}})
    assert may(stranger, url)
    for call, parameters in [
        (stranger.delete_queue, {}),
        (stranger.set_queue_attributes, {"Attributes": {"DelaySeconds": "1"}}),
        (stranger.tag_queue, {"Tags": {"a": "b"}}),
        (stranger.add_permission, {"Label": "l", "AWSAccountIds": [OTHER], "Actions": ["*"]}),
    ]:
        with pytest.raises(ClientError) as raised:
            call(QueueUrl=url, **parameters)
        assert raised.value.response["Error"]["Code"] == "AccessDenied"


def test_add_permission_opens_a_queue(sqs, stranger, queue):
    url = queue()
    sqs.add_permission(QueueUrl=url, Label="let-in", AWSAccountIds=[OTHER], Actions=["SendMessage"])
    assert may(stranger, url)
    sqs.remove_permission(QueueUrl=url, Label="let-in")
    assert not may(stranger, url)


@pytest.mark.parametrize("policy", [
    "nonsense",
    "{}",
    '{"Statement":[]}',
    '{"Version":"2012-10-18","Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Action":"sqs:*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":{"AWS":"nobody"},"Action":"sqs:*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}}',
    '{"Statement":{"Effect":"Maybe","Principal":"*","Action":"sqs:*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"StringIs":{"aws:x":"y"}}}}',
])
def test_what_is_no_policy_is_refused_and_changes_nothing(sqs, queue, attributes, refused, policy):
    url = queue()
    assert refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": policy}) == (
        "InvalidAttributeValue", "Invalid value for the parameter Policy.")
    assert "Policy" not in attributes(url)


def test_the_limits_of_policies(sqs, queue, arn, refused):
    url = queue()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn(url)}

    def put(*statements, **more):
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})
        return refused(sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": policy})

    def take(*statements, **more):
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    take(*[statement] * 20)
    assert put(*[statement] * 21)[0] == "OverLimit"
    seven = ["ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "ReceiveMessage",
             "SendMessage", "PurgeQueue"]
    take({**statement, "Action": [f"sqs:{action}" for action in seven]})
    assert put({**statement, "Action": [f"sqs:{action}" for action in [*seven, "DeleteQueue"]]}) == (
        "OverLimit", "8 Actions were found, maximum allowed is 7.")
    accounts = [f"{number:012}" for number in range(51)]
    take({**statement, "Principal": {"AWS": accounts[:50]}})
    assert put({**statement, "Principal": {"AWS": accounts}})[0] == "OverLimit"
    length = len(json.dumps({"Version": "2012-10-17", "Statement": [statement], "Id": ""}))
    take(statement, Id="i" * (8192 - length))
    assert put(statement, Id="i" * (8193 - length)) == (
        "InvalidAttributeValue", "Invalid value for the parameter Policy.")
