"""Asynchronous invokes through boto3: accepted, run, retried, limited, configured."""
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from conftest import PYTHON, ROLE, zipped

MEBIBYTE = 1_048_576
# Every run leaves a line that the tests find: the event, and the id that the function saw.
NOTE = """import json
def handler(event, context):
    print(json.dumps(["ran", event, context.aws_request_id]))
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError("boom")
    return event
"""


def until(condition, what="it", seconds=30):
    """Waits for what another process does; fails loudly when it never happens."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.03)
    return result


def runs(server, name):
    """What each run of the function noted, in the order of the log."""
    logs = server.client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}", filterPattern="ran")
        lines = [event["message"] for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [json.loads(line)[1:] for line in lines if line.startswith('["ran"')]


def advance(server, seconds):
    from conftest import lamplighter

    done = lamplighter("clock", "advance", f"{seconds}s", "--endpoint", server.endpoint)
    assert done.returncode == 0, done.stderr


def create(server, name, source=NOTE, **settings):
    server.client("lambda").create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=10,
        Code={"ZipFile": zipped({"app.py": source})}, **settings,
    )


def refusal(call, **parameters):
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    response = refused.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_event_is_answered_202_and_then_runs(server, aws, make):
    name = make(NOTE)
    answer = aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b""
    until(lambda: runs(server, name))
    assert runs(server, name) == [[{"n": 1}, answer["ResponseMetadata"]["RequestId"]]]
    old = aws.invoke_async(FunctionName=name, InvokeArgs=b'{"n": 2}')
    assert old["Status"] == 202
    until(lambda: len(runs(server, name)) == 2)
    assert runs(server, name)[1][0] == {"n": 2}


def test_an_event_may_have_one_mebibyte_and_no_more(server, aws, make):
    name = make("def handler(e, c):\n    print('[\"ran\",', len(e), ', 0]')\n")
    largest = b'"' + b"x" * (MEBIBYTE - 2) + b'"'
    assert aws.invoke(FunctionName=name, InvocationType="Event", Payload=largest)["StatusCode"] == 202
    until(lambda: runs(server, name) == [[MEBIBYTE - 2, 0]])
    code, message, status = refusal(aws.invoke, FunctionName=name, InvocationType="Event", Payload=largest + b" ")
    assert (code, status) == ("RequestEntityTooLargeException", 413)
    assert message == "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    assert refusal(aws.invoke_async, FunctionName=name, InvokeArgs=largest + b" ")[2] == 413


def test_bad_events_are_refused_at_once(aws, make, unique):
    name = make(NOTE)
    code, _, status = refusal(aws.invoke, FunctionName=name, InvocationType="Event", Payload=b"no json")
    assert (code, status) == ("InvalidRequestContentException", 400)
    assert refusal(aws.invoke, FunctionName=unique(), InvocationType="Event")[0] == "ResourceNotFoundException"
    assert refusal(aws.invoke, FunctionName=name, Qualifier="gone", InvocationType="Event")[0] == "ResourceNotFoundException"


def test_a_failed_event_is_retried_after_one_and_two_minutes(own_server):
    server = own_server()
    create(server, "f")
    client = server.client("lambda")
    request_id = client.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"fail": 1}')["ResponseMetadata"]["RequestId"]
    until(lambda: len(runs(server, "f")) == 1)
    advance(server, 50)
    time.sleep(0.3)
    assert len(runs(server, "f")) == 1
    advance(server, 20)
    until(lambda: len(runs(server, "f")) == 2, "the second attempt")
    advance(server, 110)
    time.sleep(0.3)
    assert len(runs(server, "f")) == 2
    advance(server, 30)
    until(lambda: len(runs(server, "f")) == 3, "the third attempt")
    assert {seen for _, seen in runs(server, "f")} == {request_id}
    advance(server, 3600)
    time.sleep(0.5)
    assert len(runs(server, "f")) == 3


def test_retries_and_age_can_be_set(own_server):
    server = own_server()
    create(server, "f")
    client = server.client("lambda")
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
    client.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"fail": 1}')
    until(lambda: len(runs(server, "f")) == 1)
    advance(server, 300)
    time.sleep(0.5)
    assert len(runs(server, "f")) == 1
    # An event that would be too old by its second attempt has none.
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=2, MaximumEventAgeInSeconds=60)
    client.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"fail": 2}')
    until(lambda: len(runs(server, "f")) == 2)
    advance(server, 300)
    time.sleep(0.5)
    assert len(runs(server, "f")) == 2


def test_throttled_events_run_later(own_server):
    server = own_server("--account-concurrency", "2")
    create(server, "f", NOTE.replace("import json", "import json, time").replace("    return event", "    time.sleep(0.2)"))
    client = server.client("lambda")
    for n in range(12):
        client.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"n": n}))
    until(lambda: len(runs(server, "f")) == 12, seconds=60)
    assert sorted(event["n"] for event, _ in runs(server, "f")) == list(range(12))


def test_a_slow_function_does_not_hold_up_another(server, aws, make):
    slow = make("import time\ndef handler(e, c): time.sleep(8)\n", Timeout=20)
    quick = make(NOTE)
    for _ in range(12):
        aws.invoke(FunctionName=slow, InvocationType="Event")
    for n in range(20):
        aws.invoke(FunctionName=quick, InvocationType="Event", Payload=json.dumps({"n": n}))
    until(lambda: len(runs(server, quick)) == 20, seconds=15)


def test_many_events_from_many_clients_all_run_once(server, aws, make):
    name = make(NOTE)
    client = server.client("lambda", max_pool_connections=8)

    def send(n):
        return client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps({"n": n}))["StatusCode"]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(400))) == {202}
    until(lambda: len(runs(server, name)) >= 400, seconds=60)
    assert sorted(event["n"] for event, _ in runs(server, name)) == list(range(400))


def test_duplicates_and_delays_can_be_asked_for(own_server):
    server = own_server()
    tags = {"lamplighter:async-duplicates": "1", "lamplighter:async-delay-ms": "60000"}
    create(server, "f", Tags=tags)
    server.client("lambda").invoke(FunctionName="f", InvocationType="Event")
    time.sleep(0.5)
    assert runs(server, "f") == []
    advance(server, 61)
    until(lambda: len(runs(server, "f")) == 2)
    first, second = runs(server, "f")
    assert first == second, "the same event with the same request id"


def test_the_configuration_is_kept_per_qualifier(aws, make, unique):
    name = make(NOTE)
    version = aws.publish_version(FunctionName=name)["Version"]
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    arn = aws.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    put = aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
    assert put["FunctionArn"] == f"{arn}:$LATEST"
    assert (put["MaximumRetryAttempts"], put["MaximumEventAgeInSeconds"]) == (1, 60)
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    aws.put_function_event_invoke_config(FunctionName=name, Qualifier=version, MaximumRetryAttempts=0)
    aws.put_function_event_invoke_config(FunctionName=f"{name}:live", MaximumEventAgeInSeconds=21600)
    got = aws.get_function_event_invoke_config(FunctionName=name, Qualifier="live")
    assert got["MaximumEventAgeInSeconds"] == 21600 and "MaximumRetryAttempts" not in got
    assert got["FunctionArn"] == f"{arn}:live"
    assert abs(got["LastModified"].timestamp() - time.time()) < 24 * 3600

    changed = aws.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=120)
    assert (changed["MaximumRetryAttempts"], changed["MaximumEventAgeInSeconds"]) == (1, 120)
    replaced = aws.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=61)
    assert "MaximumRetryAttempts" not in replaced, "Put resets what it does not name"

    listed = aws.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert {config["FunctionArn"].rsplit(":", 1)[1] for config in listed} == {"$LATEST", version, "live"}
    pages = [aws.list_function_event_invoke_configs(FunctionName=name, MaxItems=2)]
    pages.append(aws.list_function_event_invoke_configs(FunctionName=name, MaxItems=2, Marker=pages[0]["NextMarker"]))
    assert [len(page["FunctionEventInvokeConfigs"]) for page in pages] == [2, 1] and "NextMarker" not in pages[1]

    aws.delete_function_event_invoke_config(FunctionName=name)
    code, message, _ = refusal(aws.get_function_event_invoke_config, FunctionName=name)
    assert (code, message) == ("ResourceNotFoundException", f"The function {arn}:$LATEST doesn't have an EventInvokeConfig")
    for call in (aws.delete_function_event_invoke_config, aws.get_function_event_invoke_config):
        assert refusal(call, FunctionName=name)[0] == "ResourceNotFoundException"
    assert refusal(aws.update_function_event_invoke_config, FunctionName=name, MaximumRetryAttempts=1)[0] == "ResourceNotFoundException"
    code, message, _ = refusal(aws.put_function_event_invoke_config, FunctionName=unique(), MaximumRetryAttempts=1)
    assert (code, message) == ("ResourceNotFoundException", "The function doesn't exist.")
    assert refusal(aws.put_function_event_invoke_config, FunctionName=name, Qualifier="gone", MaximumRetryAttempts=1)[1] == "The function doesn't exist."
    assert refusal(aws.list_function_event_invoke_configs, FunctionName=unique())[1] == "The function doesn't exist."
    code, message, _ = refusal(aws.put_function_event_invoke_config, FunctionName=name)
    assert code == "InvalidParameterValueException"
    assert message == "You must specify at least one of error handling or destination setting."


@pytest.mark.parametrize("inside, outside", [
    ({"MaximumRetryAttempts": 0}, {"MaximumRetryAttempts": -1}),
    ({"MaximumRetryAttempts": 2}, {"MaximumRetryAttempts": 3}),
    ({"MaximumEventAgeInSeconds": 60}, {"MaximumEventAgeInSeconds": 59}),
    ({"MaximumEventAgeInSeconds": 21600}, {"MaximumEventAgeInSeconds": 21601}),
])
def test_limits_of_the_configuration(server, make, inside, outside):
    client = server.client("lambda", parameter_validation=False)
    name = make(NOTE)
    client.put_function_event_invoke_config(FunctionName=name, **inside)
    code, message, status = refusal(client.put_function_event_invoke_config, FunctionName=name, **outside)
    assert status == 400 and list(outside)[0].lower() in message.lower(), (code, message)
    got = client.get_function_event_invoke_config(FunctionName=name)
    assert {key: got[key] for key in inside} == inside


def test_events_of_a_deleted_function_go_with_it(own_server):
    server = own_server()
    client = server.client("lambda")
    create(server, "f", Tags={"lamplighter:async-delay-ms": "60000"})
    for _ in range(5):
        client.invoke(FunctionName="f", InvocationType="Event", Payload=b'"old"')
    client.delete_function(FunctionName="f")
    create(server, "f")
    client.invoke(FunctionName="f", InvocationType="Event", Payload=b'"new"')
    until(lambda: runs(server, "f"))
    advance(server, 120)
    time.sleep(0.5)
    assert [event for event, _ in runs(server, "f")] == ["new"]


def test_reserved_concurrency_of_one_runs_events_one_by_one(server, aws, make):
    name = make(NOTE)
    try:
        aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    except ClientError as error:
        if "not supported" in str(error):
            pytest.skip("reserved concurrency is not here yet")
        raise
    for n in range(30):
        aws.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps({"n": n}))
    until(lambda: len(runs(server, name)) == 30, seconds=60)


def test_a_request_id_is_a_uuid(aws, make):
    answer = aws.invoke(FunctionName=make(NOTE), InvocationType="Event")
    uuid.UUID(answer["ResponseMetadata"]["RequestId"])
