"""SnapStart's states, and when a version's runtime may be replaced."""
import json
import os

import pytest
from botocore.exceptions import ClientError

SOURCE = "def handler(event, context): return context.function_version"
OTHER = "arn:aws:lambda:us-east-1::runtime:" + "0" * 64


def refusal(call, **parameters):
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response
    return error["Error"]["Code"], error["Error"]["Message"]


@pytest.fixture
def newest_python(aws, make):
    """A Python of this host that SnapStart goes with."""

    def create(**more):
        for runtime in ("python3.13", "python3.12", "python3.14"):
            try:
                return make(SOURCE, runtime=runtime, **more)
            except ClientError as missing:
                if "is not supported for SnapStart" in str(missing):
                    raise
        pytest.skip("this host has no Python from 3.12 on")

    return create


def test_snap_start_is_on_for_published_versions(aws, newest_python):
    name = newest_python(SnapStart={"ApplyOn": "PublishedVersions"})
    config = aws.get_function_configuration(FunctionName=name)
    assert config["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    published = aws.publish_version(FunctionName=name)
    assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
    aws.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    config = aws.get_function_configuration(FunctionName=name, Qualifier="1")
    # Without images there is nothing to start from, and a version says so.
    status = "Off" if os.environ.get("LAMPLIGHTER_IMAGES") == "off" else "On"
    assert config["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": status}
    assert json.loads(aws.invoke(FunctionName=name, Qualifier="1")["Payload"].read()) == "1"
    invalid = "InvalidParameterValueException"
    update = aws.update_function_configuration
    assert refusal(update, FunctionName=name, EphemeralStorage={"Size": 513})[0] == invalid
    assert refusal(update, FunctionName=name, Runtime="nodejs20.x") == (
        invalid,
        "nodejs20.x is not supported for SnapStart enabled functions.",
    )
    update(FunctionName=name, SnapStart={"ApplyOn": "None"}, EphemeralStorage={"Size": 513})
    assert aws.publish_version(FunctionName=name)["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    # The version that has it keeps it.
    config = aws.get_function_configuration(FunctionName=name, Qualifier="1")
    assert config["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": status}


def test_snap_start_goes_with_few_runtimes(aws, make):
    with_it = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
    for runtime in ("python3.11", "nodejs20.x"):
        with pytest.raises(ClientError, match=f"{runtime} is not supported for SnapStart enabled functions."):
            make(SOURCE, runtime=runtime, **with_it)
    with pytest.raises(ClientError) as refused:
        make(SOURCE, SnapStart={"ApplyOn": "Always"})
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_when_runtimes_may_be_replaced(aws, make):
    name = make(SOURCE)
    arn = aws.get_function_configuration(FunctionName=name)["RuntimeVersionConfig"]["RuntimeVersionArn"]
    get, put = aws.get_runtime_management_config, aws.put_runtime_management_config
    default = get(FunctionName=name)
    assert default["UpdateRuntimeOn"] == "Auto" and "RuntimeVersionArn" not in default
    assert default["FunctionArn"].endswith(f":function:{name}")
    aws.publish_version(FunctionName=name)
    manual = put(FunctionName=name, UpdateRuntimeOn="Manual", RuntimeVersionArn=arn)
    assert (manual["UpdateRuntimeOn"], manual["RuntimeVersionArn"]) == ("Manual", arn)
    assert get(FunctionName=name, Qualifier="$LATEST")["UpdateRuntimeOn"] == "Manual"
    # A version has its own, from $LATEST as it was when it was published.
    assert get(FunctionName=name, Qualifier="1")["UpdateRuntimeOn"] == "Auto"
    aws.update_function_configuration(FunctionName=name, Timeout=9)
    aws.publish_version(FunctionName=name)
    second = get(FunctionName=name, Qualifier="2")
    assert (second["UpdateRuntimeOn"], second["RuntimeVersionArn"]) == ("Manual", arn)
    assert second["FunctionArn"].endswith(f":function:{name}:2")
    assert put(FunctionName=name, Qualifier="1", UpdateRuntimeOn="FunctionUpdate")["UpdateRuntimeOn"] == "FunctionUpdate"
    assert put(FunctionName=name, UpdateRuntimeOn="Auto")["UpdateRuntimeOn"] == "Auto"
    assert [get(FunctionName=name, Qualifier=q)["UpdateRuntimeOn"] for q in ("$LATEST", "1", "2")] == [
        "Auto",
        "FunctionUpdate",
        "Manual",
    ]
    invalid, missing = "InvalidParameterValueException", "ResourceNotFoundException"
    assert refusal(put, FunctionName=name, UpdateRuntimeOn="Manual")[0] == invalid
    assert refusal(put, FunctionName=name, UpdateRuntimeOn="Manual", RuntimeVersionArn=OTHER)[0] == invalid
    assert refusal(put, FunctionName=name, UpdateRuntimeOn="Auto", RuntimeVersionArn=arn)[0] == invalid
    assert refusal(put, FunctionName=name, UpdateRuntimeOn="Sometimes")[0] == "ValidationException"
    assert refusal(put, FunctionName=name, Qualifier="7", UpdateRuntimeOn="Auto")[0] == missing
    assert refusal(get, FunctionName=name, Qualifier="7")[0] == missing
    assert refusal(get, FunctionName="nope")[0] == missing
    assert aws.invoke(FunctionName=name, Qualifier="2")["StatusCode"] == 200
    # It goes with its version.
    aws.delete_function(FunctionName=name, Qualifier="2")
    assert refusal(get, FunctionName=name, Qualifier="2")[0] == missing
