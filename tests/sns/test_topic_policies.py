"""Who may use a topic: its account, whom its policy lets in, and whom it shuts out."""
import json
import uuid

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import REGION

ACCOUNT, OTHER = "000000000000", "111122223333"
ROOT = f"arn:aws:iam::{OTHER}:root"


@pytest.fixture
def owner(server):
    return server.client("sns")


@pytest.fixture
def stranger(server):
    return server.client("sns", OTHER)


@pytest.fixture
def topic(owner):
    arn = owner.create_topic(Name=f"t-{uuid.uuid4().hex[:12]}")["TopicArn"]
    yield arn
    try:
        owner.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue="")
        owner.delete_topic(TopicArn=arn)
    except ClientError:
        pass  # a test shut its owner out


def allow(client, arn, *statements):
    own = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": arn}
    policy = {"Version": "2012-10-17", "Statement": [{**own, **statement} for statement in statements]}
    client.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(policy))


def denied(call, **parameters):
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    answer = raised.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("AuthorizationError", 403)
    return answer["Error"]["Message"]


def may(client, arn):
    """Whether a message may be published."""
    try:
        client.publish(TopicArn=arn, Message="hello")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AuthorizationError", error
        return False
    return True


def test_a_new_topic_is_its_accounts_alone(owner, stranger, topic):
    assert may(owner, topic)
    assert denied(stranger.publish, TopicArn=topic, Message="x") == (
        f"User: {ROOT} is not authorized to perform: SNS:Publish on resource: {topic} because no resource-based policy "
        "allows the SNS:Publish action")
    assert "SNS:GetTopicAttributes" in denied(stranger.get_topic_attributes, TopicArn=topic)
    # The default policy says the same when it is set by hand.
    default = owner.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    assert json.loads(default)["Statement"][0]["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    owner.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=default)
    assert may(owner, topic) and not may(stranger, topic)


def test_a_policy_lets_another_account_in(server, owner, stranger, topic):
    allow(owner, topic, {"Principal": {"AWS": OTHER}})
    assert may(stranger, topic) and not may(server.client("sns", "444455556666"), topic)
    batch = stranger.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "a", "Message": "b"}])
    assert len(batch["Successful"]) == 1, "a batch needs the permission of the single operation"
    assert "SNS:Subscribe" in denied(stranger.subscribe, TopicArn=topic, Protocol="sms", Endpoint="+15555550100")
    owner.add_permission(TopicArn=topic, Label="in", AWSAccountId=["444455556666"], ActionName=["Publish"])
    assert may(server.client("sns", "444455556666"), topic)


def test_a_session_of_a_role(server, owner, topic):
    iam, sts = server.client("iam", OTHER), server.client("sts", OTHER)
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole"}]}
    name = f"r-{uuid.uuid4().hex[:8]}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    role = f"arn:aws:iam::{OTHER}:role/{name}"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="s-1")["Credentials"]
    session = boto3.client(
        "sns", endpoint_url=server.endpoint, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    assert f"assumed-role/{name}/s-1 is not authorized" in denied(session.publish, TopicArn=topic, Message="x")
    allow(owner, topic, {"Principal": {"AWS": role}})
    assert may(session, topic) and not may(server.client("sns", OTHER), topic)


def test_the_owner_may_unless_it_is_denied(owner, topic):
    allow(owner, topic, {"Effect": "Deny", "Principal": {"AWS": ACCOUNT}})
    assert denied(owner.publish, TopicArn=topic, Message="x").endswith(
        "with an explicit deny in a resource-based policy")
    owner.get_topic_attributes(TopicArn=topic)
    allow(owner, topic, {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    assert may(owner, topic), "what does not leave the machine counts as secure"


def test_protocol_and_endpoint_are_looked_at(stranger, owner, topic):
    queue = f"arn:aws:sqs:{REGION}:{OTHER}:q"
    condition = {"StringEquals": {"sns:Protocol": "sqs"}, "ArnLike": {"sns:Endpoint": f"arn:aws:sqs:*:{OTHER}:*"}}
    allow(owner, topic, {"Principal": {"AWS": OTHER}, "Action": "sns:Subscribe", "Condition": condition})
    assert stranger.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, ReturnSubscriptionArn=True)
    denied(stranger.subscribe, TopicArn=topic, Protocol="lambda",
           Endpoint=f"arn:aws:lambda:{REGION}:{OTHER}:function:f")
    denied(stranger.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=queue.replace(OTHER, "444455556666"))
    allow(owner, topic, {
        "Effect": "Deny", "Action": "sns:Subscribe", "Condition": {"StringNotEquals": {"sns:Protocol": ["sqs", "lambda"]}}})
    denied(owner.subscribe, TopicArn=topic, Protocol="sms", Endpoint="+15555550100")
    owner.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.replace(OTHER, ACCOUNT))


@pytest.mark.parametrize("policy, reason", [
    ("nonsense", "Policy Error: null"),
    ({"Statement": []}, "Policy Error: null"),
    ({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sns:Publish"}}, "Policy Error: null"),
    ({"Action": "sns:CreateTopic"}, "Policy statement action out of service scope!"),
    ({"Action": ["sns:Publish", "sqs:SendMessage"]}, "Policy statement action out of service scope!"),
    ({"Principal": {"AWS": "nobody"}}, "Policy Error: PrincipalNotFound"),
    ({"Resource": f"arn:aws:sns:{REGION}:{ACCOUNT}:another-one"}, "Policy Error: null"),
    ({"Condition": {"StringIs": {"aws:SourceArn": "x"}}}, "Policy Error: null"),
])
def test_what_is_no_policy_is_refused_and_changes_nothing(owner, topic, policy, reason):
    before = owner.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    if isinstance(policy, dict) and "Statement" not in policy:
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": topic, **policy}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
    text = policy if isinstance(policy, str) else json.dumps(policy)
    with pytest.raises(ClientError) as raised:
        owner.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)
    error = raised.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("InvalidParameter", f"Invalid parameter: {reason}")
    assert owner.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"] == before


def test_a_policy_has_thirty_kilobytes(owner, topic):
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": topic}
    length = len(json.dumps({"Version": "2012-10-17", "Statement": [statement], "Id": ""}))

    def put(size):
        policy = {"Version": "2012-10-17", "Statement": [statement], "Id": "i" * (size - length)}
        owner.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))

    put(30_720)
    with pytest.raises(ClientError, match="Policy Error"):
        put(30_721)
