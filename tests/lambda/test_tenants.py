"""Tenant isolation: environments are never shared between tenants."""
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import NODE
from test_concurrency import error_of, records_of, wait_for

PER_TENANT = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}
COUNTER = """
import os
SEEN = []

def handler(event, context):
    SEEN.append(context.tenant_id)
    return {"tenant": context.tenant_id, "seen": sorted(set(SEEN)), "stream": context.log_stream_name}
"""


def call(aws, name, tenant, **arguments):
    answer = aws.invoke(FunctionName=name, TenantId=tenant, **arguments)
    assert "FunctionError" not in answer
    return json.load(answer["Payload"])


def test_the_mode_is_shown_and_stays(aws, make):
    name = make(COUNTER, **PER_TENANT)
    shown = {"TenantIsolationMode": "PER_TENANT"}
    assert aws.get_function_configuration(FunctionName=name)["TenancyConfig"] == shown
    aws.update_function_configuration(FunctionName=name, Timeout=5)
    assert aws.get_function(FunctionName=name)["Configuration"]["TenancyConfig"] == shown
    version = aws.publish_version(FunctionName=name)
    assert version["TenancyConfig"] == shown
    assert "TenancyConfig" not in aws.get_function_configuration(FunctionName=make(COUNTER))
    assert call(aws, name, "blue", Qualifier=version["Version"])["tenant"] == "blue"


def test_tenants_do_not_share(aws, make):
    name = make(COUNTER, **PER_TENANT)
    streams = {}
    for _ in range(3):
        for tenant in ("blue", "green", "a.b_c:d/e=f+g-h@i j"):
            answer = call(aws, name, tenant)
            assert answer["seen"] == [tenant]
            streams.setdefault(tenant, set()).add(answer["stream"])
    assert [len(of_tenant) for of_tenant in streams.values()] == [1, 1, 1]
    assert len(set.union(*streams.values())) == 3


def test_many_tenants_at_once(server, make):
    aws = server.client("lambda", max_pool_connections=16)
    name = make(COUNTER, **PER_TENANT)
    tenants = [f"tenant-{n % 12}" for n in range(120)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda tenant: call(aws, name, tenant), tenants))
    assert all(answer["seen"] == [tenant] for answer, tenant in zip(answers, tenants))
    found = wait_for(lambda: len(records_of(server, name)) == 120 and records_of(server, name))
    assert {record["tenant_id"] for record in found} == set(tenants)


def test_node_sees_the_tenant_too(aws, make):
    source = "export const handler = async (event, context) => context.tenantId ?? 'none';\n"
    assert call(aws, make(source, runtime=NODE, **PER_TENANT), "blue") == "blue"
    plain = aws.invoke(FunctionName=make(source, runtime=NODE))
    assert json.load(plain["Payload"]) == "none"


def test_a_tenant_is_named_where_there_are_some_and_only_there(aws, make):
    isolated, plain = make(COUNTER, **PER_TENANT), make(COUNTER)
    for kind in ("RequestResponse", "DryRun"):
        missing = error_of(aws.invoke, FunctionName=isolated, InvocationType=kind)
        assert missing["Error"] == {
            "Code": "InvalidParameterValueException",
            "Message": "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request "
            "and try again.",
        }
        surplus = error_of(aws.invoke, FunctionName=plain, TenantId="blue", InvocationType=kind)
        assert surplus["Error"]["Code"] == "InvalidParameterValueException"


@pytest.mark.parametrize("tenant, allowed", [("x" * 256, True), ("x" * 257, False), ("a#b", False), ("a,b", False)])
def test_tenant_ids_have_a_form(server, make, tenant, allowed):
    aws = server.client("lambda", parameter_validation=False)
    name = make(COUNTER, **PER_TENANT)
    if allowed:
        assert call(aws, name, tenant)["tenant"] == tenant
    else:
        refused = error_of(aws.invoke, FunctionName=name, TenantId=tenant)
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_tenants_have_so_many_environments(aws, make):
    """2,500 for every 1,000 of the function's concurrency: 5 for a reservation of 2."""
    name = make(COUNTER, **PER_TENANT)
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    for tenant in range(5):
        call(aws, name, str(tenant))
    refused = error_of(aws.invoke, FunctionName=name, TenantId="one-more")
    assert refused["Error"]["Code"] == "TooManyRequestsException"
    assert call(aws, name, "3")["seen"] == ["3"]


def test_what_does_not_go_with_it(aws, make):
    name = make(COUNTER, **PER_TENANT)
    version = aws.publish_version(FunctionName=name)["Version"]
    refused = error_of(
        aws.put_provisioned_concurrency_config,
        FunctionName=name,
        Qualifier=version,
        ProvisionedConcurrentExecutions=1,
    )
    assert refused["Error"]["Code"] == "InvalidParameterValueException"
    bad = error_of(make, source=COUNTER, TenancyConfig={"TenantIsolationMode": "SHARED"})
    assert bad["ResponseMetadata"]["HTTPStatusCode"] == 400
