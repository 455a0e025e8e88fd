"""Aliases: names for versions, weights between two of them, and their conditions."""
import json
import uuid
from collections import Counter

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from conftest import zipped

WHO = """
import os
def handler(event, context):
    return {"version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "arn": context.invoked_function_arn}
"""


def refusal(call, **parameters):
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


@pytest.fixture
def three(aws, make):
    """A function with the versions 1, 2 and 3."""
    name = make(WHO)
    for timeout in (5, 6, 7):
        aws.update_function_configuration(FunctionName=name, Timeout=timeout)
        aws.publish_version(FunctionName=name)
    return name


def invoke(aws, name, **more):
    answer = aws.invoke(FunctionName=name, **more)
    return answer["ExecutedVersion"], json.loads(answer["Payload"].read())


def test_the_life_of_an_alias(aws, three):
    created = aws.create_alias(FunctionName=three, Name="live", FunctionVersion="1", Description="d")
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    arn = created["AliasArn"]
    assert arn.endswith(f":function:{three}:live")
    assert (created["FunctionVersion"], created["Description"], created["Name"]) == ("1", "d", "live")
    assert uuid.UUID(created["RevisionId"]) and "RoutingConfig" not in created
    got = aws.get_alias(FunctionName=three, Name="live")
    assert {k: v for k, v in got.items() if k != "ResponseMetadata"} == {
        k: v for k, v in created.items() if k != "ResponseMetadata"
    }
    executed, body = invoke(aws, three, Qualifier="live")
    assert (executed, body["version"]) == ("1", "1")
    # The ARN is the one that the caller named.
    assert body["arn"] == arn
    assert invoke(aws, arn)[0] == "1"

    config = aws.get_function_configuration(FunctionName=three, Qualifier="live")
    assert (config["FunctionArn"], config["Version"], config["Timeout"]) == (arn, "1", 5)

    updated = aws.update_alias(FunctionName=three, Name="live", FunctionVersion="2", RevisionId=created["RevisionId"])
    assert (updated["FunctionVersion"], updated["Description"]) == ("2", "d")
    assert updated["RevisionId"] != created["RevisionId"]
    assert invoke(aws, three, Qualifier="live")[0] == "2"
    code, status, _ = refusal(
        aws.update_alias, FunctionName=three, Name="live", Description="x", RevisionId=created["RevisionId"]
    )
    assert (code, status) == ("PreconditionFailedException", 412)
    assert aws.update_alias(FunctionName=three, Name="live", Description="")["Description"] == ""

    for _ in range(2):  # one that is not there is no error
        assert aws.delete_alias(FunctionName=three, Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(aws.invoke, FunctionName=three, Qualifier="live")[1] == 404
    assert refusal(aws.get_alias, FunctionName=three, Name="live") == (
        "ResourceNotFoundException",
        404,
        f"Cannot find alias arn: {arn}",
    )
    assert refusal(aws.update_alias, FunctionName=three, Name="live")[2] == f"Alias not found: {arn}"


def test_an_alias_of_latest_follows_it(aws, three):
    aws.create_alias(FunctionName=three, Name="newest", FunctionVersion="$LATEST")
    assert invoke(aws, three, Qualifier="newest")[0] == "$LATEST"
    aws.update_function_code(FunctionName=three, ZipFile=zipped({"app.py": "def handler(e, c): return {'version': 'new'}"}))
    assert invoke(aws, three, Qualifier="newest")[1]["version"] == "new"


def test_weights(aws, three):
    aws.create_alias(
        FunctionName=three,
        Name="canary",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.3}},
    )
    got = aws.get_alias(FunctionName=three, Name="canary")
    assert got["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.3}}
    assert aws.get_function_configuration(FunctionName=three, Qualifier="canary")["Version"] == "1"

    def spread(invokes):
        drawn = Counter()
        for _ in range(invokes):
            executed, body = invoke(aws, three, Qualifier="canary")
            assert executed == body["version"]
            assert body["arn"].endswith(":canary")
            drawn[executed] += 1
        return drawn

    # 400 draws: 120 expected, standard deviation 9.2. Six of them: one wrong alarm in 500 million runs.
    drawn = spread(400)
    assert set(drawn) == {"1", "2"} and 65 <= drawn["2"] <= 175, drawn
    for weight, only in ((0.0, "1"), (1.0, "2")):
        aws.update_alias(
            FunctionName=three, Name="canary", RoutingConfig={"AdditionalVersionWeights": {"2": weight}}
        )
        assert set(spread(30)) == {only}
    # Without RoutingConfig it stays, with an empty one it goes.
    kept = aws.update_alias(FunctionName=three, Name="canary", Description="x")
    assert kept["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 1.0}}
    gone = aws.update_alias(FunctionName=three, Name="canary", RoutingConfig={})
    assert "RoutingConfig" not in gone
    assert set(spread(30)) == {"1"}


def test_weights_that_cannot_be(aws, three, server):
    unchecked = server.client("lambda", parameter_validation=False)

    def create(version, weights):
        return refusal(
            unchecked.create_alias,
            FunctionName=three,
            Name="bad",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": weights},
        )

    invalid = "InvalidParameterValueException"
    assert create("1", {"2": 0.1, "3": 0.1}) == (
        invalid,
        400,
        "Number of items in AdditionalVersionWeights cannot be greater than 1",
    )
    assert create("1", {"1": 0.1}) == (
        invalid,
        400,
        "Invalid function version 1. Function version 1 is already included in routing configuration.",
    )
    assert create("$LATEST", {"1": 0.1}) == (
        invalid,
        400,
        "$LATEST is not supported for an alias pointing to more than 1 version",
    )
    for weights in ({"2": 1.1}, {"2": -0.1}, {"$LATEST": 0.5}):
        code, status, message = create("1", weights)
        assert (code, status) == ("ValidationException", 400), message
    code, status, message = create("1", {"10": 0.1})
    assert (code, status) == ("ResourceNotFoundException", 404) and message.endswith(f":{three}:10")
    code, status, message = create("10", {})
    assert (code, status) == ("ResourceNotFoundException", 404) and message.endswith(f":{three}:10")

    aws.update_function_configuration(FunctionName=three, Role="arn:aws:iam::000000000000:role/another")
    aws.publish_version(FunctionName=three)
    assert create("1", {"4": 0.1})[0] == invalid
    assert aws.list_aliases(FunctionName=three)["Aliases"] == []


def test_names(aws, three):
    for bad in ("7", "a b", "a.b", "x" * 129):
        assert refusal(aws.create_alias, FunctionName=three, Name=bad, FunctionVersion="1")[:2] == (
            "ValidationException",
            400,
        ), bad
    for good in ("x" * 128, "7a", "_", "A-b_C"):
        aws.create_alias(FunctionName=three, Name=good, FunctionVersion="1")
        assert invoke(aws, three, Qualifier=good)[0] == "1"
    arn = aws.get_alias(FunctionName=three, Name="7a")["AliasArn"]
    assert refusal(aws.create_alias, FunctionName=three, Name="7a", FunctionVersion="2") == (
        "ResourceConflictException",
        409,
        f"Alias already exists: {arn}",
    )
    with pytest.raises(ParamValidationError):
        aws.create_alias(FunctionName=three, Name="", FunctionVersion="1")
    code, status, message = refusal(aws.create_alias, FunctionName="nope", Name="a", FunctionVersion="1")
    assert (code, status) == ("ResourceNotFoundException", 404) and message.endswith(":function:nope:1")
    assert refusal(aws.create_alias, FunctionName=three, Name="long", FunctionVersion="1", Description="x" * 257)[1] == 400


def test_listings(aws, three):
    for name, version in (("c", "1"), ("a", "1"), ("b", "2")):
        aws.create_alias(FunctionName=three, Name=name, FunctionVersion=version)
    aws.create_alias(
        FunctionName=three,
        Name="d",
        FunctionVersion="3",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )

    def names(**more):
        pages = aws.get_paginator("list_aliases").paginate(
            FunctionName=three, PaginationConfig={"PageSize": 2}, **more
        )
        return [alias["Name"] for page in pages for alias in page["Aliases"]]

    assert names() == ["a", "b", "c", "d"]
    assert names(FunctionVersion="1") == ["a", "c"]
    assert names(FunctionVersion="2") == ["b", "d"]
    assert names(FunctionVersion="9") == []
    assert refusal(aws.list_aliases, FunctionName="nope")[1] == 404
