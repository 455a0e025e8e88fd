"""IAM roles and policies, and STS sessions, through boto3."""
import datetime
import json
import re

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import lamplighter

ACCOUNT = "000000000000"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def trust(principal="lambda.amazonaws.com"):
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}]}


def allow(action):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}


@pytest.fixture(scope="session")
def iam(server):
    return server.client("iam", parameter_validation=False)  # what is wrong shall reach the server


@pytest.fixture(scope="session")
def sts(server):
    return server.client("sts", parameter_validation=False)  # what is wrong shall reach the server


@pytest.fixture
def role(iam, unique):
    name = unique("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust()))
    return name


def refusal(call, code, status, **parameters):
    """What a refused call is told."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    answer = refused.value.response
    assert answer["Error"]["Code"] == code, answer["Error"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    return answer["Error"]["Message"]


# Roles


def test_a_role_comes_and_goes(iam, unique):
    name = unique("role")
    made = iam.create_role(
        RoleName=name, Path="/team/a/", AssumeRolePolicyDocument=json.dumps(trust()), Description="what it is for",
        MaxSessionDuration=7200, Tags=[{"Key": "team", "Value": "a"}])["Role"]
    expected = {
        "RoleName": name, "Path": "/team/a/", "Arn": f"arn:aws:iam::{ACCOUNT}:role/team/a/{name}",
        "Description": "what it is for", "MaxSessionDuration": 7200, "AssumeRolePolicyDocument": trust(),
        "Tags": [{"Key": "team", "Value": "a"}],
    }
    assert {key: made.get(key) for key in expected} == expected
    assert re.fullmatch(r"AROA[A-Z0-9]{17}", made["RoleId"])
    age = datetime.datetime.now(datetime.timezone.utc) - made["CreateDate"]
    assert abs(age.total_seconds()) < 60
    found = iam.get_role(RoleName=name)["Role"]
    assert {key: found.get(key) for key in [*expected, "RoleId", "CreateDate"]} == {
        **expected, "RoleId": made["RoleId"], "CreateDate": made["CreateDate"]}

    iam.update_role(RoleName=name, Description="something else", MaxSessionDuration=3600)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust("ec2.amazonaws.com")))
    found = iam.get_role(RoleName=name)["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("something else", 3600)
    assert found["AssumeRolePolicyDocument"] == trust("ec2.amazonaws.com")

    iam.delete_role(RoleName=name)
    message = refusal(iam.get_role, "NoSuchEntity", 404, RoleName=name)
    assert message == f"The role with name {name} cannot be found."
    refusal(iam.delete_role, "NoSuchEntity", 404, RoleName=name)
    refusal(iam.update_role, "NoSuchEntity", 404, RoleName=name)


def test_a_role_exists_once(iam, role):
    message = refusal(iam.create_role, "EntityAlreadyExists", 409,
                      RoleName=role, AssumeRolePolicyDocument=json.dumps(trust()))
    assert message == f"Role with name {role} already exists."
    message = refusal(iam.create_role, "EntityAlreadyExists", 409, Path="/elsewhere/",
                      RoleName=role, AssumeRolePolicyDocument=json.dumps(trust()))
    assert iam.get_role(RoleName=role)["Role"]["Path"] == "/"


def test_waiter(iam, role):
    iam.get_waiter("role_exists").wait(RoleName=role, WaiterConfig={"Delay": 1, "MaxAttempts": 2})


@pytest.mark.parametrize("document, why", [
    ("not json", "invalid Json"),
    ("{}", "Syntax"),
    ('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}', "Principal"),
    ('{"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps", "Principal": "*", "Action": "sts:AssumeRole"}]}', "Syntax"),
    ('{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}', "STS AssumeRole"),
])
def test_malformed_trust_policies(iam, role, unique, document, why):
    name = unique("never")
    message = refusal(iam.create_role, "MalformedPolicyDocument", 400,
                      RoleName=name, AssumeRolePolicyDocument=document)
    assert why.lower() in message.lower()
    refusal(iam.get_role, "NoSuchEntity", 404, RoleName=name)
    refusal(iam.update_assume_role_policy, "MalformedPolicyDocument", 400, RoleName=role, PolicyDocument=document)
    assert iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"] == trust()


@pytest.mark.parametrize("settings", [
    {"RoleName": "no spaces please"}, {"RoleName": "x" * 65}, {"Path": "no-slashes"}, {"MaxSessionDuration": 3599},
    {"MaxSessionDuration": 43201}, {"Tags": [{"Key": "aws:x" * 60, "Value": ""}]},
])
def test_bad_settings_of_a_role(iam, unique, settings):
    parameters = {"RoleName": unique("never"), "AssumeRolePolicyDocument": json.dumps(trust()), **settings}
    refusal(iam.create_role, "ValidationError", 400, **parameters)
    if settings.keys() != {"RoleName"}:
        refusal(iam.get_role, "NoSuchEntity", 404, RoleName=parameters["RoleName"])


def test_roles_are_listed_in_pages(iam, unique):
    stem = unique("listed")
    names = [f"{stem}-{number}" for number in range(5)]
    for name in reversed(names):
        iam.create_role(RoleName=name, Path=f"/{stem}/", AssumeRolePolicyDocument=json.dumps(trust()))
    pages = list(iam.get_paginator("list_roles").paginate(PathPrefix=f"/{stem}/", PaginationConfig={"PageSize": 2}))
    assert [len(page["Roles"]) for page in pages] == [2, 2, 1]
    assert [page["IsTruncated"] for page in pages] == [True, True, False]
    listed = [one for page in pages for one in page["Roles"]]
    assert [one["RoleName"] for one in listed] == names
    assert listed[0]["AssumeRolePolicyDocument"] == trust()
    assert iam.list_roles(PathPrefix=f"/{stem}/none/")["Roles"] == []
    refusal(iam.list_roles, "ValidationError", 400, Marker="%%%")


def test_role_tags(iam, role):
    iam.tag_role(RoleName=role, Tags=[{"Key": key, "Value": key} for key in "cab"])
    iam.tag_role(RoleName=role, Tags=[{"Key": "a", "Value": "new"}])
    pages = iam.get_paginator("list_role_tags").paginate(RoleName=role, PaginationConfig={"PageSize": 2})
    tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    assert tags == {"a": "new", "b": "b", "c": "c"}
    iam.untag_role(RoleName=role, TagKeys=["a", "c", "not-there"])
    assert iam.list_role_tags(RoleName=role)["Tags"] == [{"Key": "b", "Value": "b"}]
    refusal(iam.tag_role, "InvalidInput", 400, RoleName=role,
            Tags=[{"Key": "d", "Value": "1"}, {"Key": "d", "Value": "2"}])
    iam.tag_role(RoleName=role, Tags=[{"Key": f"k{number}", "Value": ""} for number in range(49)])
    refusal(iam.tag_role, "LimitExceeded", 409, RoleName=role, Tags=[{"Key": "one-more", "Value": ""}])
    refusal(iam.tag_role, "NoSuchEntity", 404, RoleName="none-such", Tags=[{"Key": "a", "Value": ""}])


# Policies


def test_inline_policies(iam, role):
    iam.put_role_policy(RoleName=role, PolicyName="p1", PolicyDocument=json.dumps(allow("logs:*")))
    iam.put_role_policy(RoleName=role, PolicyName="p2", PolicyDocument=json.dumps(allow("s3:GetObject")))
    iam.put_role_policy(RoleName=role, PolicyName="p1", PolicyDocument=json.dumps(allow("sqs:*")))
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["p1", "p2"]
    found = iam.get_role_policy(RoleName=role, PolicyName="p1")
    assert (found["RoleName"], found["PolicyName"]) == (role, "p1")
    assert found["PolicyDocument"] == allow("sqs:*")
    refusal(iam.put_role_policy, "MalformedPolicyDocument", 400, RoleName=role, PolicyName="p3", PolicyDocument="{}")
    message = refusal(iam.delete_role, "DeleteConflict", 409, RoleName=role)
    assert message == "Cannot delete entity, must delete policies first."
    for name in ["p1", "p2"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    message = refusal(iam.get_role_policy, "NoSuchEntity", 404, RoleName=role, PolicyName="p1")
    assert message == "The role policy with name p1 cannot be found."
    refusal(iam.delete_role_policy, "NoSuchEntity", 404, RoleName=role, PolicyName="p1")
    iam.delete_role(RoleName=role)


def test_managed_policies(iam, role, unique):
    name = unique("policy")
    made = iam.create_policy(
        PolicyName=name, Path="/team/", PolicyDocument=json.dumps(allow("logs:*")), Description="d")["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/team/{name}"
    assert (made["AttachmentCount"], made["DefaultVersionId"], made["IsAttachable"]) == (0, "v1", True)
    assert re.fullmatch(r"ANPA[A-Z0-9]{17}", made["PolicyId"])
    message = refusal(iam.create_policy, "EntityAlreadyExists", 409, PolicyName=name, PolicyDocument=json.dumps(allow("*")))
    assert message == f"A policy called {name} already exists. Duplicate names are not allowed."
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == allow("logs:*") and version["IsDefaultVersion"]
    refusal(iam.get_policy_version, "NoSuchEntity", 404, PolicyArn=arn, VersionId="v2")

    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    iam.attach_role_policy(RoleName=role, PolicyArn=BASIC)
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert sorted((one["PolicyName"], one["PolicyArn"]) for one in attached) == sorted([
        ("AWSLambdaBasicExecutionRole", BASIC), (name, arn)])
    pages = list(iam.get_paginator("list_attached_role_policies").paginate(
        RoleName=role, PaginationConfig={"PageSize": 1}))
    assert [len(page["AttachedPolicies"]) for page in pages] == [1, 1]
    found = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (found["AttachmentCount"], found["Description"]) == (1, "d")
    listed = iam.list_policies(Scope="Local", PathPrefix="/team/", OnlyAttached=True)["Policies"]
    assert arn in [one["Arn"] for one in listed]

    message = refusal(iam.delete_policy, "DeleteConflict", 409, PolicyArn=arn)
    assert message == "Cannot delete a policy attached to entities."
    message = refusal(iam.delete_role, "DeleteConflict", 409, RoleName=role)
    assert message == "Cannot delete entity, must detach all policies first."
    missing = f"arn:aws:iam::{ACCOUNT}:policy/none-such"
    refusal(iam.attach_role_policy, "NoSuchEntity", 404, RoleName=role, PolicyArn=missing)
    refusal(iam.detach_role_policy, "NoSuchEntity", 404, RoleName=role, PolicyArn=missing)
    for one in [arn, BASIC]:
        iam.detach_role_policy(RoleName=role, PolicyArn=one)
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    iam.delete_policy(PolicyArn=arn)
    refusal(iam.get_policy, "NoSuchEntity", 404, PolicyArn=arn)
    iam.delete_role(RoleName=role)


@pytest.mark.parametrize("document, why", [
    (allow("GetObject"), "vendor"),
    ({**allow("s3:*"), "Version": "2008-10-17"}, "2012-10-17"),
    (trust(), "principal"),
    ({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*"}]}, "resources"),
])
def test_malformed_policies(iam, role, unique, document, why):
    text = json.dumps(document)
    message = refusal(iam.create_policy, "MalformedPolicyDocument", 400, PolicyName=unique("never"), PolicyDocument=text)
    assert why in message
    refusal(iam.put_role_policy, "MalformedPolicyDocument", 400, RoleName=role, PolicyName="p", PolicyDocument=text)
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == []


def test_accounts_are_apart_and_regions_are_not(server, role):
    other = server.client("iam", account="111111111111")
    refusal(other.get_role, "NoSuchEntity", 404, RoleName=role)
    made = other.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust()))["Role"]
    assert made["Arn"] == f"arn:aws:iam::111111111111:role/{role}"
    elsewhere = server.client("iam", region="eu-west-1")
    assert elsewhere.get_role(RoleName=role)["Role"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{role}"


# Sessions


def session(server, keys, service="sts"):
    return boto3.client(
        service, endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])


def test_assume_role(server, sts, role):
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="me@work", DurationSeconds=900)
    keys, user = answer["Credentials"], answer["AssumedRoleUser"]
    assert user["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/me@work"
    assert re.fullmatch(r"AROA[A-Z0-9]{17}:me@work", user["AssumedRoleId"])
    assert re.fullmatch(r"ASIA[A-Z0-9]{16}", keys["AccessKeyId"])
    left = keys["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 800 < left.total_seconds() <= 901
    identity = session(server, keys).get_caller_identity()
    assert (identity["Account"], identity["Arn"], identity["UserId"]) == (ACCOUNT, user["Arn"], user["AssumedRoleId"])
    # The session works with every service.
    assert "Functions" in session(server, keys, "lambda").list_functions()
    assert "logGroups" in session(server, keys, "logs").describe_log_groups()
    assert session(server, keys, "iam").get_role(RoleName=role)["Role"]["Arn"] == arn
    # A session that is made from a session lasts an hour at most.
    refusal(session(server, keys).assume_role, "ValidationError", 400,
            RoleArn=arn, RoleSessionName="longer", DurationSeconds=3601)


def test_a_role_of_another_account_gives_a_session_there(server, sts):
    keys = sts.assume_role(RoleArn="arn:aws:iam::333333333333:role/there", RoleSessionName="visit")["Credentials"]
    assert session(server, keys).get_caller_identity()["Account"] == "333333333333"


@pytest.mark.parametrize("settings", [
    {"RoleArn": "arn:aws:iam::000000000000:user/somebody"}, {"RoleArn": "just-the-name-of-a-role"},
    {"RoleSessionName": "no spaces please"}, {"RoleSessionName": "x"}, {"DurationSeconds": 899},
    {"DurationSeconds": 43201},
])
def test_bad_requests_for_a_session(sts, settings):
    parameters = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r", "RoleSessionName": "session", **settings}
    refusal(sts.assume_role, "ValidationError", 400, **parameters)


def test_a_session_needs_its_own_token_and_secret(server, sts):
    arn = f"arn:aws:iam::{ACCOUNT}:role/r"
    one, two = (sts.assume_role(RoleArn=arn, RoleSessionName="s" + n)["Credentials"] for n in "12")
    mixed = session(server, {**one, "SessionToken": two["SessionToken"]})
    refusal(mixed.get_caller_identity, "InvalidClientTokenId", 403)
    mixed = session(server, {**one, "SecretAccessKey": two["SecretAccessKey"]})
    refusal(mixed.get_caller_identity, "SignatureDoesNotMatch", 403)
    bare = boto3.client("sts", endpoint_url=server.endpoint, region_name="us-east-1",
                        aws_access_key_id=one["AccessKeyId"], aws_secret_access_key=one["SecretAccessKey"])
    refusal(bare.get_caller_identity, "InvalidClientTokenId", 403)


def test_get_session_token(server, sts):
    keys = sts.get_session_token(DurationSeconds=900)["Credentials"]
    assert session(server, keys).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    role = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", RoleSessionName="s1")["Credentials"]
    refusal(session(server, role).get_session_token, "AccessDenied", 403)


def test_a_session_ends_when_its_time_has_come(own_server):
    server = own_server()
    sts = server.client("sts")
    arn = f"arn:aws:iam::{ACCOUNT}:role/r"
    short = sts.assume_role(RoleArn=arn, RoleSessionName="short", DurationSeconds=900)["Credentials"]
    long = sts.assume_role(RoleArn=arn, RoleSessionName="long", DurationSeconds=3600)["Credentials"]
    advance = lambda time: lamplighter("clock", "advance", time, "--endpoint", server.endpoint)  # noqa: E731
    assert advance("14m").returncode == 0
    session(server, short).get_caller_identity()
    assert advance("2m").returncode == 0
    message = refusal(session(server, short).get_caller_identity, "ExpiredToken", 403)
    assert message == "The security token included in the request is expired"
    refusal(session(server, short, "lambda").list_functions, "ExpiredTokenException", 403)
    refusal(session(server, short, "logs").describe_log_groups, "ExpiredTokenException", 400)
    session(server, long).get_caller_identity()
    # A session outlives the server.
    server.kill()
    server.restart()
    session(server, long).get_caller_identity()
    # What is signed with the well-known key is not touched by the clock.
    assert server.client("sts").get_caller_identity()["Account"] == ACCOUNT


# What a function is


def test_a_function_is_its_role(server, aws, make, iam, role):
    """Inside a function the SDK finds the session of the function's role."""
    source = """
import os
def handler(event, context):
    return {key: os.environ.get(key, '') for key in
            ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_REGION', 'AWS_DEFAULT_REGION']}
"""
    arn = iam.get_role(RoleName=role)["Role"]["Arn"]
    name = make(source, Role=arn)
    found = json.loads(aws.invoke(FunctionName=name)["Payload"].read())
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    keys = {"AccessKeyId": found["AWS_ACCESS_KEY_ID"], "SecretAccessKey": found["AWS_SECRET_ACCESS_KEY"],
            "SessionToken": found["AWS_SESSION_TOKEN"]}
    identity = session(server, keys).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"
