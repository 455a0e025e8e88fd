"""Code signing configurations: who has them, and what they do to packages that nobody signed."""
import re

import pytest
from botocore.exceptions import ClientError

from conftest import PYTHON, ROLE, zipped

SOURCE = "def handler(event, context): return 'hi'"
ZIP = zipped({"app.py": SOURCE})
PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/mine/abcdefgh"
NOWHERE = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-00000000000000000"


def refusal(call, **parameters):
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


@pytest.fixture
def config(aws):
    """Makes configurations, and deletes them with their functions."""
    made = []

    def create(policy=None, **more):
        policies = {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": policy}} if policy else {}
        answer = aws.create_code_signing_config(
            AllowedPublishers={"SigningProfileVersionArns": [PROFILE]}, **policies, **more
        )
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
        made.append(answer["CodeSigningConfig"]["CodeSigningConfigArn"])
        return answer["CodeSigningConfig"]

    yield create
    for arn in made:
        try:
            for function in aws.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]:
                aws.delete_function(FunctionName=function)
            aws.delete_code_signing_config(CodeSigningConfigArn=arn)
        except aws.exceptions.ResourceNotFoundException:
            pass


def test_the_life_of_a_configuration(aws, config):
    made = config(Description="d")
    arn = made["CodeSigningConfigArn"]
    assert re.fullmatch(r"csc-[a-z0-9]{17}", made["CodeSigningConfigId"])
    assert arn.endswith(":code-signing-config:" + made["CodeSigningConfigId"])
    assert made["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert made["AllowedPublishers"] == {"SigningProfileVersionArns": [PROFILE]}
    assert aws.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"] == made
    updated = aws.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"}
    )["CodeSigningConfig"]
    assert updated["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    assert updated["Description"] == "d"
    pages = aws.get_paginator("list_code_signing_configs").paginate(PaginationConfig={"PageSize": 1})
    config()
    assert arn in [one["CodeSigningConfigArn"] for page in pages for one in page["CodeSigningConfigs"]]
    assert aws.delete_code_signing_config(CodeSigningConfigArn=arn)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (
        aws.get_code_signing_config,
        aws.delete_code_signing_config,
        aws.update_code_signing_config,
        aws.list_functions_by_code_signing_config,
    ):
        assert refusal(call, CodeSigningConfigArn=arn) == (
            "ResourceNotFoundException",
            404,
            f"The Lambda code signing configuration {arn} can not be found.",
        )


def test_limits_of_a_configuration(aws, config, server):
    profiles = [f"{PROFILE}{n}" for n in range(21)]
    with_profiles = lambda arns: {"AllowedPublishers": {"SigningProfileVersionArns": arns}}
    twenty = aws.create_code_signing_config(**with_profiles(profiles[:20]))["CodeSigningConfig"]
    aws.delete_code_signing_config(CodeSigningConfigArn=twenty["CodeSigningConfigArn"])
    unchecked = server.client("lambda", parameter_validation=False)
    for arns in ([], profiles, ["arn:aws:s3:::bucket"], ["x"]):
        assert refusal(unchecked.create_code_signing_config, **with_profiles(arns))[1] == 400, arns
    assert refusal(aws.create_code_signing_config, **with_profiles([PROFILE]), Description="x" * 257)[1] == 400
    assert refusal(
        aws.create_code_signing_config,
        **with_profiles([PROFILE]),
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Maybe"},
    )[1] == 400


def test_enforce_refuses_what_nobody_signed(aws, config, make, unique):
    arn = config("Enforce")["CodeSigningConfigArn"]
    name = unique()
    new = dict(FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": ZIP})
    code, status, message = refusal(aws.create_function, **new, CodeSigningConfigArn=arn)
    assert (code, status) == ("CodeVerificationFailedException", 400)
    assert message.startswith("Lambda cannot deploy the function. The function or layer might be signed using")
    assert refusal(aws.get_function, FunctionName=name)[1] == 404

    name = make(SOURCE)
    aws.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=arn)
    # What it has goes on.
    assert aws.invoke(FunctionName=name)["Payload"].read() == b'"hi"'
    before = aws.get_function_configuration(FunctionName=name)["RevisionId"]
    assert refusal(aws.update_function_code, FunctionName=name, ZipFile=ZIP)[0] == "CodeVerificationFailedException"
    # A layer is code, too.
    layer = aws.publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": zipped({"python/more.py": "x = 1"})})
    layers = {"FunctionName": name, "Layers": [layer["LayerVersionArn"]]}
    assert refusal(aws.update_function_configuration, **layers)[0] == "CodeVerificationFailedException"
    assert aws.get_function_configuration(FunctionName=name)["RevisionId"] == before
    aws.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )
    aws.update_function_code(FunctionName=name, ZipFile=ZIP)
    aws.update_function_configuration(**layers)


def test_warn_takes_it(aws, config, make):
    arn = config("Warn")["CodeSigningConfigArn"]
    name = make(SOURCE, CodeSigningConfigArn=arn)
    aws.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": SOURCE + "\n"}))
    got = aws.get_function_code_signing_config(FunctionName=name)
    assert (got["CodeSigningConfigArn"], got["FunctionName"]) == (arn, name)


def test_functions_and_their_configuration(aws, config, make):
    one, other = (config()["CodeSigningConfigArn"] for _ in range(2))
    names = sorted(make(SOURCE) for _ in range(3))
    assert not aws.get_function_code_signing_config(FunctionName=names[0])["CodeSigningConfigArn"]
    for name in names:
        put = aws.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=one)
        assert (put["CodeSigningConfigArn"], put["FunctionName"]) == (one, name)

    def users(arn):
        pages = aws.get_paginator("list_functions_by_code_signing_config").paginate(
            CodeSigningConfigArn=arn, PaginationConfig={"PageSize": 2}
        )
        return [function.rsplit(":", 1)[1] for page in pages for function in page["FunctionArns"]]

    assert users(one) == names
    assert refusal(aws.delete_code_signing_config, CodeSigningConfigArn=one)[:2] == ("ResourceConflictException", 409)
    aws.put_function_code_signing_config(FunctionName=names[0], CodeSigningConfigArn=other)
    aws.delete_function_code_signing_config(FunctionName=names[1])
    assert (users(one), users(other)) == ([names[2]], [names[0]])
    aws.delete_function(FunctionName=names[2])
    assert users(one) == []
    aws.delete_code_signing_config(CodeSigningConfigArn=one)

    code, status, message = refusal(
        aws.put_function_code_signing_config, FunctionName=names[0], CodeSigningConfigArn=NOWHERE
    )
    assert (code, status) == ("CodeSigningConfigNotFoundException", 404)
    assert message == (
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
        f"{NOWHERE}."
    )
    code, status, message = refusal(
        aws.put_function_code_signing_config, FunctionName="nope", CodeSigningConfigArn=other
    )
    assert (code, status) == ("ResourceNotFoundException", 404) and message.endswith(":function:nope")
    for call in (aws.get_function_code_signing_config, aws.delete_function_code_signing_config):
        assert refusal(call, FunctionName="nope")[1] == 404
    assert users(other) == [names[0]]
