"""Provisioned concurrency through boto3: states, limits, no cold start, spill-over, replacement, restarts."""
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import PYTHON, ROLE, lamplighter, zipped
from test_concurrency import error_of, kill_9, read, records_of, runtimes, wait_for

HELLO = """
import os, time
BORN = time.time()

def handler(event, context):
    time.sleep(event or 0)
    return {"kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "stream": context.log_stream_name,
            "version": context.function_version, "born": BORN}
"""


def provision(aws, name, qualifier, count):
    return aws.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )


def state(aws, name, qualifier):
    answer = aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
    return answer["Status"], answer["AvailableProvisionedConcurrentExecutions"]


def ready(aws, name, qualifier, count):
    wait_for(lambda: state(aws, name, qualifier) == ("READY", count), 30)


def burst(aws, name, qualifier, count, seconds=0.5):
    """So many invokes at once; their answers."""
    barrier = threading.Barrier(count)

    def one(_):
        barrier.wait()
        answer = aws.invoke(FunctionName=name, Qualifier=qualifier, Payload=json.dumps(seconds), LogType="Tail")
        assert "FunctionError" not in answer
        return json.load(answer["Payload"])

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def published(server, make):
    """A function and its version 1; the client takes many connections."""
    aws = server.client("lambda", max_pool_connections=50, parameter_validation=False)

    def create(source=HELLO, **settings):
        name = make(source, **settings)
        return aws, name, aws.publish_version(FunctionName=name)["Version"]

    return create


def test_it_is_put_becomes_ready_is_listed_and_deleted(published):
    aws, name, version = published()
    put = provision(aws, name, version, 3)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (put["Status"], put["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 3)
    assert put["AllocatedProvisionedConcurrentExecutions"] == 0 and "StatusReason" not in put
    assert put["LastModified"].endswith("+0000") and "." not in put["LastModified"]
    ready(aws, name, version, 3)
    got = aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
    assert got["AllocatedProvisionedConcurrentExecutions"] == got["RequestedProvisionedConcurrentExecutions"] == 3
    second = json.loads(json.dumps(aws.update_function_configuration(FunctionName=name, Description="2"), default=str))
    assert second["Description"] == "2"
    other = aws.publish_version(FunctionName=name)["Version"]
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion=other)
    provision(aws, name, "live", 1)
    pages = aws.get_paginator("list_provisioned_concurrency_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 1}
    )
    listed = [one for page in pages for one in page["ProvisionedConcurrencyConfigs"]]
    assert [one["FunctionArn"].rsplit(":", 1)[1] for one in listed] == [version, "live"]
    assert [one["RequestedProvisionedConcurrentExecutions"] for one in listed] == [3, 1]
    for qualifier in (version, "live"):
        deleted = aws.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
        gone = error_of(aws.get_provisioned_concurrency_config, FunctionName=name, Qualifier=qualifier)
        assert gone["Error"]["Code"] == "ProvisionedConcurrencyConfigNotFoundException"
        assert gone["Error"]["Message"] == "No Provisioned Concurrency Config found for this function"
    aws.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
    assert aws.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_a_burst_has_no_cold_start(server, published):
    aws, name, version = published()
    provision(aws, name, version, 20)
    ready(aws, name, version, 20)
    invoked = time.time()
    answers = burst(aws, name, version, 20)
    assert {answer["kind"] for answer in answers} == {"provisioned-concurrency"}
    assert len({answer["stream"] for answer in answers}) == 20
    assert all(answer["born"] < invoked for answer in answers), "initialised before the first invoke"
    found = wait_for(lambda: len(records_of(server, name)) == 20 and records_of(server, name))
    assert not any(record["cold"] or record["init_ms"] for record in found)
    assert all(record["billed_ms"] < 2000 for record in found)
    logs = server.client("logs")

    def reports():
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="REPORT")["events"]
        return len(events) == 20 and events

    assert not any("Init Duration" in event["message"] for event in wait_for(reports))


def test_beyond_it_environments_start_on_demand(published):
    aws, name, version = published()
    provision(aws, name, version, 2)
    ready(aws, name, version, 2)
    kinds = sorted(answer["kind"] for answer in burst(aws, name, version, 3, 1.5))
    assert kinds == ["on-demand", "provisioned-concurrency", "provisioned-concurrency"]
    latest = json.load(aws.invoke(FunctionName=name)["Payload"])
    assert latest["kind"] == "on-demand"


def test_what_cannot_be_provisioned(published):
    aws, name, version = published()
    put = aws.put_provisioned_concurrency_config

    def refusal(qualifier, count=1, function=name):
        answer = error_of(put, FunctionName=function, Qualifier=qualifier, ProvisionedConcurrentExecutions=count)
        return answer["Error"]["Code"], answer["Error"]["Message"]

    invalid = "InvalidParameterValueException"
    unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    assert refusal("$LATEST") == (invalid, unpublished)
    aws.create_alias(FunctionName=name, Name="tip", FunctionVersion="$LATEST")
    assert refusal("tip") == (invalid, unpublished)
    assert refusal("99")[0] == refusal("none")[0] == "ResourceNotFoundException"
    assert refusal("none")[1].startswith("Cannot find alias arn: arn:aws:lambda:")
    assert refusal(version, function="no-function")[0] == "ResourceNotFoundException"
    assert "greater than or equal to 1" in refusal(version, 0)[1]
    assert refusal(version, 1001) == (
        invalid,
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000].",
    )
    assert refusal(version, 1000) == (
        invalid,
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum "
        "value of [100].",
    )
    for call in (aws.get_provisioned_concurrency_config, aws.delete_provisioned_concurrency_config):
        latest = error_of(call, FunctionName=name, Qualifier="$LATEST")
        assert latest["Error"]["Message"] == "The function resource provided must be an alias or a published version."
        assert error_of(call, FunctionName=name, Qualifier="none")["Error"]["Code"] == "ResourceNotFoundException"
    assert aws.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_a_version_is_provisioned_by_one_name_only(published):
    aws, name, version = published()
    for alias in ("blue", "green"):
        aws.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
    provision(aws, name, "blue", 1)

    def conflict(qualifier):
        answer = error_of(provision, aws=aws, name=name, qualifier=qualifier, count=1)
        return answer["Error"]["Code"], answer["Error"]["Message"]

    assert conflict(version) == ("ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias")
    already = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    assert conflict("green") == ("ResourceConflictException", already)
    aws.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="blue")
    provision(aws, name, version, 1)
    assert conflict("blue") == ("ResourceConflictException", already)
    # An alias that is provisioned cannot be led to a version that is, too.
    aws.update_function_configuration(FunctionName=name, Description="next")
    second = aws.publish_version(FunctionName=name)["Version"]
    aws.update_alias(FunctionName=name, Name="green", FunctionVersion=second)
    provision(aws, name, "green", 1)
    led = error_of(aws.update_alias, FunctionName=name, Name="green", FunctionVersion=version)
    assert led["Error"]["Message"] == already
    assert aws.get_alias(FunctionName=name, Name="green")["FunctionVersion"] == second


def test_it_is_a_part_of_what_is_reserved(published):
    aws, name, version = published()
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    beyond = error_of(provision, aws=aws, name=name, qualifier=version, count=3)
    assert beyond["Error"]["Message"] == (
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    )
    provision(aws, name, version, 2)
    ready(aws, name, version, 2)
    below = error_of(aws.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=1)
    assert below["Error"]["Message"] == (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    )
    # All of it is provisioned: nothing is left for $LATEST.
    throttled = error_of(aws.invoke, FunctionName=name)
    assert throttled["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert len(burst(aws, name, version, 2)) == 2


def test_it_counts_against_the_account(server, published):
    aws, name, version = published()
    before = aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    provision(aws, name, version, 4)
    assert aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == before - 4
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=10)
    assert aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == before - 10


def test_a_failing_initialisation_is_told(server, published):
    aws, name, version = published("raise RuntimeError('no database')\n")
    provision(aws, name, version, 2)
    wait_for(lambda: state(aws, name, version)[0] == "FAILED")
    got = aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
    assert got["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert got["AllocatedProvisionedConcurrentExecutions"] == 0
    logs = server.client("logs")
    group = f"/aws/lambda/{name}"

    def told():
        groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        events = logs.filter_log_events(logGroupName=group)["events"] if groups else []
        text = "".join(event["message"] for event in events)
        return "no database" in text and "INIT_REPORT Init Duration:" in text and "Phase: init\tStatus: error" in text

    wait_for(told)


def test_an_alias_takes_it_to_its_new_version(published):
    aws, name, first = published()
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion=first)
    provision(aws, name, "live", 2)
    ready(aws, name, "live", 2)
    assert {answer["version"] for answer in burst(aws, name, "live", 2)} == {first}
    aws.update_function_configuration(FunctionName=name, Description="next")
    second = aws.publish_version(FunctionName=name)["Version"]
    aws.update_alias(FunctionName=name, Name="live", FunctionVersion=second)
    ready(aws, name, "live", 2)
    answers = burst(aws, name, "live", 2)
    assert {(answer["version"], answer["kind"]) for answer in answers} == {(second, "provisioned-concurrency")}
    assert json.load(aws.invoke(FunctionName=name, Qualifier=first)["Payload"])["kind"] == "on-demand"
    # With two versions it is shared as the invokes are.
    aws.update_alias(
        FunctionName=name, Name="live", FunctionVersion=second, RoutingConfig={"AdditionalVersionWeights": {first: 0.5}}
    )
    ready(aws, name, "live", 2)
    kinds = {json.load(aws.invoke(FunctionName=name, Qualifier=q)["Payload"])["kind"] for q in (first, second)}
    assert kinds == {"provisioned-concurrency"}
    shared = error_of(provision, aws=aws, name=name, qualifier="live", count=3)
    assert shared["Error"]["Message"] == "Invalid alias configuration for Provisioned Concurrency"
    aws.delete_alias(FunctionName=name, Name="live")
    wait_for(lambda: json.load(aws.invoke(FunctionName=name, Qualifier=second)["Payload"])["kind"] == "on-demand")


def test_environments_that_die_are_replaced(server, published):
    aws, name, version = published()
    provision(aws, name, version, 3)
    ready(aws, name, version, 3)
    born = {answer["stream"] for answer in burst(aws, name, version, 3)}
    for pid in runtimes(server):
        if name.encode() in read(f"/proc/{pid}/environ"):
            kill_9(pid)

    def replaced():
        answers = burst(aws, name, version, 3, 0.2)
        streams = {answer["stream"] for answer in answers}
        return not streams & born and {answer["kind"] for answer in answers} == {"provisioned-concurrency"}

    wait_for(replaced, 20)


def test_it_outlives_idleness_credentials_and_kill_9(own_server, unique):
    server = own_server()
    aws = server.client("lambda", max_pool_connections=20)
    name = unique()
    aws.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=10,
        Code={"ZipFile": zipped({"app.py": HELLO})},
    )
    version = aws.publish_version(FunctionName=name)["Version"]
    provision(aws, name, version, 3)
    ready(aws, name, version, 3)
    streams = {answer["stream"] for answer in burst(aws, name, version, 3)}
    lamplighter("clock", "advance", "30m", "--endpoint", server.endpoint)
    again = {answer["stream"] for answer in burst(aws, name, version, 3)}
    assert again == streams, "idle for longer than any other environment may be"
    # Two minutes before their credentials are too old for new requests they are replaced.
    lamplighter("clock", "advance", "24m", "--endpoint", server.endpoint)

    def replaced():
        answers = burst(aws, name, version, 3, 0.2)
        assert {answer["kind"] for answer in answers} == {"provisioned-concurrency"}
        return not {answer["stream"] for answer in answers} & streams

    wait_for(replaced, 20)
    server.kill()
    server.restart()
    aws = server.client("lambda", max_pool_connections=20)
    ready(aws, name, version, 3)
    assert {answer["kind"] for answer in burst(aws, name, version, 3)} == {"provisioned-concurrency"}
    aws.delete_function(FunctionName=name)
    with pytest.raises(ClientError):
        aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
