"""Resource policies: what AddPermission and PutResourcePolicy take, give and mean."""
import json

import pytest
from botocore.exceptions import ClientError
from conftest import REGION

ACCOUNT = "000000000000"
OTHER = "111122223333"
SOURCE = "def handler(event, context): return context.invoked_function_arn\n"


def error(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    found = caught.value.response
    return found["Error"]["Code"], found["ResponseMetadata"]["HTTPStatusCode"], found["Error"]["Message"]


def arn_of(name, account=ACCOUNT):
    return f"arn:aws:lambda:{REGION}:{account}:function:{name}"


def policy_of(aws, name, **qualifier):
    answer = aws.get_policy(FunctionName=name, **qualifier)
    return json.loads(answer["Policy"]), answer["RevisionId"]


def permit(aws, name, sid="s1", principal="sns.amazonaws.com", action="lambda:InvokeFunction", **more):
    answer = aws.add_permission(FunctionName=name, StatementId=sid, Principal=principal, Action=action, **more)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    return answer["Statement"]


def test_a_statement_has_awss_form(aws, make):
    name = make(SOURCE)
    text = permit(
        aws, name, "s3", "s3.amazonaws.com", SourceArn="arn:aws:s3:::bucket", SourceAccount=OTHER)
    assert text == (
        '{"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction",'
        f'"Resource":"{arn_of(name)}","Condition":{{"StringEquals":{{"AWS:SourceAccount":"{OTHER}"}},'
        '"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}')
    conditions = {
        "org": ({"principal": "*", "PrincipalOrgID": "o-a1b2c3d4e5"}, {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}),
        "token": ({"principal": "alexa-appkit.amazon.com", "EventSourceToken": "skill-1"},
                  {"StringEquals": {"lambda:EventSourceToken": "skill-1"}}),
        "url": ({"principal": "*", "action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
                {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        "via": ({"principal": "*", "InvokedViaFunctionUrl": True}, {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    }
    for sid, (members, condition) in conditions.items():
        assert json.loads(permit(aws, name, sid, **members))["Condition"] == condition
    account = json.loads(permit(aws, name, "account", OTHER))
    assert account["Principal"] == {"AWS": f"arn:aws:iam::{OTHER}:root"} and "Condition" not in account
    document, _ = policy_of(aws, name)
    assert document["Version"] == "2012-10-17" and document["Id"] == "default"
    assert [s["Sid"] for s in document["Statement"]] == ["s3", "org", "token", "url", "via", "account"]
    assert json.loads(text) == document["Statement"][0]


def test_statements_come_and_go_by_id_and_revision(aws, make):
    name = make(SOURCE)
    assert error(aws.get_policy, FunctionName=name) == (
        "ResourceNotFoundException", 404, "The resource you requested does not exist.")
    permit(aws, name, "one")
    _, first = policy_of(aws, name)
    code, status, message = error(
        aws.add_permission, FunctionName=name, StatementId="one", Principal="*", Action="lambda:*")
    assert (code, status) == ("ResourceConflictException", 409) and "(one) provided already exists" in message
    permit(aws, name, "two", RevisionId=first)
    _, second = policy_of(aws, name)
    assert second != first
    code, status, _ = error(
        aws.add_permission, FunctionName=name, StatementId="three", Principal="*", Action="lambda:*", RevisionId=first)
    assert (code, status) == ("PreconditionFailedException", 412)
    assert error(aws.remove_permission, FunctionName=name, StatementId="one", RevisionId=first)[0] == (
        "PreconditionFailedException")
    aws.remove_permission(FunctionName=name, StatementId="one", RevisionId=second)
    code, _, message = error(aws.remove_permission, FunctionName=name, StatementId="one")
    assert (code, message) == ("ResourceNotFoundException", "Statement one is not found in resource policy.")
    aws.remove_permission(FunctionName=name, StatementId="two")
    assert error(aws.get_policy, FunctionName=name)[0] == "ResourceNotFoundException"
    code, _, message = error(aws.remove_permission, FunctionName=name, StatementId="two")
    assert (code, message) == ("ResourceNotFoundException", "No policy is associated with the given resource.")


@pytest.mark.parametrize("parameters, code, part", [
    ({"Principal": "me"}, "InvalidParameterValueException", "The provided principal was invalid"),
    ({"Principal": "s3.example.com"}, "InvalidParameterValueException", "The provided principal was invalid"),
    ({"Action": "s3:GetObject"}, "ValidationException", "'action' failed to satisfy constraint"),
    ({"StatementId": "no spaces"}, "ValidationException", "'statementId' failed to satisfy constraint"),
    ({"SourceArn": "bucket"}, "ValidationException", "'sourceArn' failed to satisfy constraint"),
    ({"SourceAccount": "1"}, "ValidationException", "'sourceAccount' failed to satisfy constraint"),
    ({"FunctionUrlAuthType": "NONE"}, "InvalidParameterValueException", "FunctionUrlAuthType is only supported"),
    ({"FunctionName": "nobody-knows-it"}, "ResourceNotFoundException", "Function not found"),
    ({"Qualifier": "nope"}, "ResourceNotFoundException", "Function not found"),
    ({"Qualifier": "$LATEST"}, "InvalidParameterValueException", "do not support adding policies for $LATEST"),
])
def test_bad_permissions_are_refused_and_change_nothing(aws, make, parameters, code, part):
    name = make(SOURCE)
    good = {"FunctionName": name, "StatementId": "s", "Principal": "sns.amazonaws.com", "Action": "lambda:InvokeFunction"}
    found = error(aws.add_permission, **{**good, **parameters})
    assert found[0] == code and part in found[2]
    assert error(aws.get_policy, FunctionName=name)[0] == "ResourceNotFoundException"


def test_a_policy_has_20_kilobytes(aws, make):
    name = make(SOURCE)
    empty = len('{"Version":"2012-10-17","Id":"default","Statement":[]}')
    permit(aws, name, "s1", SourceArn="arn:aws:s3:::b")
    first = len(aws.get_policy(FunctionName=name)["Policy"])
    # A second statement of the same form has the same length but for its ARN, and a comma.
    room = 20480 - first - (first - empty) - 1 + len("arn:aws:s3:::b")
    just = "arn:aws:s3:::" + "x" * (min(room, 10000) - len("arn:aws:s3:::"))
    permit(aws, name, "s2", SourceArn=just)
    left = 20480 - len(aws.get_policy(FunctionName=name)["Policy"])
    fits = "arn:aws:s3:::" + "x" * (left - (first - empty) - 1 + len("b"))
    found = error(
        aws.add_permission, FunctionName=name, StatementId="s3", Principal="sns.amazonaws.com",
        Action="lambda:InvokeFunction", SourceArn=fits + "x")
    assert found == (
        "PolicyLengthExceededException", 400, "The final policy size (20481) is bigger than the limit (20480).")
    permit(aws, name, "s3", SourceArn=fits)
    assert len(aws.get_policy(FunctionName=name)["Policy"]) == 20480


def test_another_account_needs_a_permission(server, aws, make):
    name = make(SOURCE)
    stranger = server.client("lambda", OTHER)
    arn = arn_of(name)
    denied = (
        "AccessDeniedException", 403,
        f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: lambda:InvokeFunction on resource: {arn} "
        "because no resource-based policy allows the lambda:InvokeFunction action")
    assert error(stranger.invoke, FunctionName=arn) == denied
    # Whether it exists is nobody's business.
    assert error(stranger.invoke, FunctionName=arn_of("nobody-knows-it"))[0] == "AccessDeniedException"
    assert error(stranger.invoke, FunctionName=name)[0] == "ResourceNotFoundException"
    permit(aws, name, "s1", "444455556666")
    assert error(stranger.invoke, FunctionName=arn) == denied
    permit(aws, name, "s2", OTHER)
    assert json.loads(stranger.invoke(FunctionName=arn)["Payload"].read()) == arn
    assert stranger.invoke(FunctionName=arn, InvocationType="DryRun")["StatusCode"] == 204
    # The permission is for this action, and for the function as such.
    assert error(stranger.get_function, FunctionName=arn)[0] == "AccessDeniedException"
    assert error(stranger.add_permission, FunctionName=arn, StatementId="x", Principal="*", Action="*")[0] == (
        "AccessDeniedException")
    aws.remove_permission(FunctionName=name, StatementId="s2")
    assert error(stranger.invoke, FunctionName=arn) == denied


def test_versions_and_aliases_have_policies_of_their_own(server, aws, make):
    name = make(SOURCE)
    version = aws.publish_version(FunctionName=name)["Version"]
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    stranger = server.client("lambda", OTHER)
    permit(aws, name, "function", OTHER)
    qualified = f"{arn_of(name)}:live"
    assert error(stranger.invoke, FunctionName=qualified)[0] == "AccessDeniedException"
    statement = json.loads(permit(aws, name, "alias", OTHER, Qualifier="live"))
    assert statement["Resource"] == qualified
    assert json.loads(stranger.invoke(FunctionName=qualified)["Payload"].read()) == qualified
    assert error(stranger.invoke, FunctionName=f"{arn_of(name)}:{version}")[0] == "AccessDeniedException"
    document, _ = policy_of(aws, name, Qualifier="live")
    assert [s["Sid"] for s in document["Statement"]] == ["alias"]
    aws.delete_alias(FunctionName=name, Name="live")
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    assert error(aws.get_policy, FunctionName=name, Qualifier="live")[0] == "ResourceNotFoundException"


def whole(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_document_replaces_what_was_added(server, aws, make):
    name = make(SOURCE)
    arn = arn_of(name)
    stranger = server.client("lambda", OTHER)
    permit(aws, name, "old", OTHER)
    allow = {"Sid": "allow", "Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "lambda:InvokeFunction", "Resource": f"{arn}*"}
    deny = {"Sid": "deny", "Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": arn}
    put = aws.put_resource_policy(ResourceArn=arn, Policy=whole(allow))
    got = aws.get_resource_policy(ResourceArn=arn)
    assert got["RevisionId"] == put["RevisionId"] and json.loads(got["Policy"])["Statement"] == [allow]
    assert stranger.invoke(FunctionName=arn)["StatusCode"] == 200
    stale = put["RevisionId"]
    put = aws.put_resource_policy(ResourceArn=arn, Policy=whole(allow, deny), RevisionId=stale)
    for client in (stranger, aws):
        code, _, message = error(client.invoke, FunctionName=arn)
        assert code == "AccessDeniedException" and message.endswith("with an explicit deny in a resource-based policy")
    assert error(aws.put_resource_policy, ResourceArn=arn, Policy=whole(allow), RevisionId=stale)[0] == (
        "PreconditionFailedException")
    assert error(aws.delete_resource_policy, ResourceArn=arn, RevisionId=stale)[0] == "PreconditionFailedException"
    aws.delete_resource_policy(ResourceArn=arn, RevisionId=put["RevisionId"])
    assert error(aws.get_resource_policy, ResourceArn=arn)[:2] == ("ResourceNotFoundException", 404)
    assert error(aws.delete_resource_policy, ResourceArn=arn)[0] == "ResourceNotFoundException"
    assert aws.invoke(FunctionName=arn)["StatusCode"] == 200


@pytest.mark.parametrize("change, code, part", [
    (lambda s: s.pop("Principal"), "InvalidParameterValueException", "either Principal or NotPrincipal"),
    (lambda s: s.update(Action="s3:GetObject"), "InvalidParameterValueException", "none of Lambda's"),
    (lambda s: s.update(Effect="Perhaps"), "InvalidParameterValueException", "Perhaps"),
    (lambda s: s.update(Resource="arn:aws:lambda:us-east-1:000000000000:function:other"),
     "InvalidParameterValueException", "which is not"),
    (lambda s: s.update(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}),
     "InvalidParameterValueException", "the condition IpAddress with the value '10.0.0.0/33'"),
    (lambda s: s.update(Condition={"StringEquals": {"aws:UserAgent": "x"}}),
     "UnsupportedParameterException", "condition key aws:UserAgent"),
])
def test_a_document_that_cannot_be_kept_is_refused(aws, make, change, code, part):
    name = make(SOURCE)
    arn = arn_of(name)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": arn}
    change(statement)
    found = error(aws.put_resource_policy, ResourceArn=arn, Policy=whole(statement))
    assert found[0] == code and part in found[2]
    assert error(aws.put_resource_policy, ResourceArn=arn, Policy="{")[0] == "InvalidParameterValueException"
    assert error(aws.get_resource_policy, ResourceArn=arn)[0] == "ResourceNotFoundException"


def test_a_policy_survives_a_kill_and_goes_with_its_function(own_server):
    from conftest import ROLE, PYTHON, zipped
    server = own_server()
    aws = server.client("lambda")
    create = dict(FunctionName="kept", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped({"app.py": SOURCE})})
    aws.create_function(**create)
    statement = permit(aws, "kept")
    server.kill()
    server.restart()
    aws = server.client("lambda")
    document, _ = policy_of(aws, "kept")
    assert document["Statement"] == [json.loads(statement)]
    aws.delete_function(FunctionName="kept")
    aws.create_function(**create)
    assert error(aws.get_policy, FunctionName="kept")[0] == "ResourceNotFoundException"


@pytest.mark.parametrize("member, inside, outside", [
    ("StatementId", "s" * 100, "s" * 101),
    ("EventSourceToken", "t" * 256, "t" * 257),
    ("PrincipalOrgID", "o-" + "a" * 32, "o-" + "a" * 33),
    ("PrincipalOrgID", "o-" + "a" * 10, "o-" + "a" * 9),
    ("SourceArn", "arn:aws:s3:::" + "b" * 9987, "arn:aws:s3:::" + "b" * 9988),
    ("SourceAccount", OTHER, OTHER + "4"),
])
def test_members_have_awss_limits(server, make, member, inside, outside):
    aws = server.client("lambda", parameter_validation=False)
    name = make(SOURCE)
    base = {"FunctionName": name, "StatementId": "s", "Principal": "*", "Action": "lambda:InvokeFunction"}
    assert error(aws.add_permission, **{**base, member: outside})[0] == "ValidationException"
    aws.add_permission(**{**base, member: inside})


def test_a_document_has_20_kilobytes(server, make):
    aws = server.client("lambda", parameter_validation=False)
    name = make(SOURCE)
    arn = arn_of(name)

    def document(size):
        statement = {"Sid": "", "Effect": "Allow", "Principal": "*", "Action": "lambda:*", "Resource": arn}
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
        return text.replace('"Sid":""', f'"Sid":"{"s" * (size - len(text))}"')

    code, _, message = error(aws.put_resource_policy, ResourceArn=arn, Policy=document(20481))
    assert code == "ValidationException" and "less than or equal to 20480" in message
    text = document(20480)
    assert aws.put_resource_policy(ResourceArn=arn, Policy=text)["Policy"] == text
    assert aws.get_policy(FunctionName=name)["Policy"] == text
