"""Dead letters of asynchronous events: what reaches queues and topics, and what does not."""
import json

import pytest
from conftest import ROLE
from targets import allow_topic, counts, deny, is_empty, queue, received, set_policy, topic
from test_async import NOTE, advance, create, refusal, runs, until

FAIL = {"fail": 1, "order": [1, "é"]}


def invoke(client, name, event=FAIL, **more):
    answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event), **more)
    return answer["ResponseMetadata"]["RequestId"]


def attributes_of(message):
    found = message["MessageAttributes"]
    return {name: (value["DataType"], value["StringValue"]) for name, value in found.items()}


def latest(client, name):
    return f"{client.get_function(FunctionName=name)['Configuration']['FunctionArn']}:$LATEST"


def test_an_event_that_failed_lies_in_the_queue_as_it_came(server, aws, make):
    url, arn = queue(server)
    name = make(NOTE, DeadLetterConfig={"TargetArn": arn})
    assert aws.get_function_configuration(FunctionName=name)["DeadLetterConfig"] == {"TargetArn": arn}
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    request_id = invoke(aws, name)
    message, = received(server, url)
    assert json.loads(message["Body"]) == FAIL
    assert attributes_of(message) == {
        "RequestID": ("String", request_id), "ErrorCode": ("Number", "200"), "ErrorMessage": ("String", "boom"),
    }
    assert message["Attributes"]["SenderId"].endswith(f":{name}")
    invoke(aws, name, {"fine": 1})
    until(lambda: len(runs(server, name)) == 2)
    assert is_empty(server, url), "what was handled is no dead letter"
    until(lambda: counts(server, latest(aws, name)).get("handled") == 1)
    found = counts(server, latest(aws, name))
    assert (found["dropped"], found["dead_letters_delivered"], found["dead_letter_errors"]) == (1, 1, 0)


def test_all_attempts_are_made_before(own_server):
    server = own_server()
    client = server.client("lambda")
    url, arn = queue(server)
    create(server, "f", DeadLetterConfig={"TargetArn": arn})
    invoke(client, "f")
    for attempt, wait in [(1, 70), (2, 140)]:
        until(lambda: len(runs(server, "f")) == attempt)
        assert is_empty(server, url)
        advance(server, wait)
    received(server, url)
    until(lambda: len(runs(server, "f")) == 3)


def test_an_event_that_grew_too_old_is_a_dead_letter(own_server):
    server = own_server()
    client = server.client("lambda")
    url, arn = queue(server)
    create(server, "f", DeadLetterConfig={"TargetArn": arn})
    client.put_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=60)
    invoke(client, "f")
    until(lambda: len(runs(server, "f")) == 1)
    advance(server, 61)
    message, = received(server, url)
    assert json.loads(message["Body"]) == FAIL and len(runs(server, "f")) == 1
    assert attributes_of(message)["ErrorCode"] == ("Number", "200")


def test_a_topic_hands_dead_letters_on(server, aws, make):
    topic_arn = topic(server)
    url, arn = queue(server)
    allow_topic(server, url, arn, topic_arn)
    server.client("sns").subscribe(
        TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    name = make(NOTE, DeadLetterConfig={"TargetArn": topic_arn})
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    request_id = invoke(aws, name)
    message, = received(server, url)
    assert json.loads(message["Body"]) == FAIL
    assert attributes_of(message)["RequestID"] == ("String", request_id)


def test_a_dead_letter_and_a_record_go_both(server, aws, make):
    dead, dead_arn = queue(server)
    told, told_arn = queue(server)
    name = make(NOTE, DeadLetterConfig={"TargetArn": dead_arn})
    aws.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": told_arn}})
    invoke(aws, name)
    assert json.loads(received(server, dead)[0]["Body"]) == FAIL
    record = json.loads(received(server, told)[0]["Body"])
    assert record["requestPayload"] == FAIL and record["requestContext"]["condition"] == "RetriesExhausted"


def test_a_closed_function_gives_its_events_away_at_once(server, aws, make):
    url, arn = queue(server)
    name = make(NOTE, DeadLetterConfig={"TargetArn": arn})
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    invoke(aws, name)
    message, = received(server, url)
    found = attributes_of(message)
    assert "zero reserved concurrent" in found["ErrorMessage"][1] and runs(server, name) == []


def test_a_queue_that_is_gone_is_counted(server, aws, make):
    url, arn = queue(server)
    name = make(NOTE, DeadLetterConfig={"TargetArn": arn})
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    server.client("sqs").delete_queue(QueueUrl=url)
    invoke(aws, name)
    until(lambda: counts(server, latest(aws, name)).get("dead_letter_errors") == 1)
    # The queue of events goes on.
    invoke(aws, name, {"fine": 1})
    until(lambda: counts(server, latest(aws, name)).get("handled") == 1)


def test_a_queue_that_was_closed_since_is_counted(server, aws, make):
    url, arn = queue(server)
    name = make(NOTE, DeadLetterConfig={"TargetArn": arn})
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    set_policy(server, url, deny())
    invoke(aws, name)
    until(lambda: counts(server, latest(aws, name)).get("dead_letter_errors") == 1)
    assert is_empty(server, url)


def test_targets_are_looked_at_when_they_are_set(server, aws, make, unique):
    name = make(NOTE)

    def put(arn):
        return refusal(aws.update_function_configuration, FunctionName=name, DeadLetterConfig={"TargetArn": arn})

    missing = f"arn:aws:sqs:us-east-1:000000000000:{unique('gone')}"
    assert put(missing)[:2] == (
        "InvalidParameterValueException", f"The provided dead letter target {missing} is invalid: it does not exist.")
    missing = missing.replace(":sqs:", ":sns:")
    assert "does not exist" in put(missing)[1]
    _, fifo = queue(server, unique("q") + ".fifo", FifoQueue="true")
    assert put(fifo)[0] == "InvalidParameterValueException" and "not FIFO" in put(fifo)[1]
    assert "not FIFO" in put(topic(server, unique("t") + ".fifo", FifoTopic="true"))[1]
    for arn in ["arn:aws:s3:::b", "arn:aws:lambda:us-east-1:000000000000:function:f"]:
        assert put(arn)[0] == "InvalidParameterValueException"
        assert "Amazon SQS queue or an Amazon SNS topic" in put(arn)[1]
    url, closed = queue(server)
    set_policy(server, url, deny())
    assert put(closed)[:2] == (
        "InvalidParameterValueException",
        "The provided execution role does not have permissions to call SendMessage on SQS")
    closed = topic(server)
    statement = {**deny(action="sns:Publish"), "Resource": closed}
    server.client("sns").set_topic_attributes(
        TopicArn=closed, AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert put(closed)[1] == "The provided execution role does not have permissions to call Publish on SNS"
    assert "DeadLetterConfig" not in aws.get_function_configuration(FunctionName=name)
    cleared = aws.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in cleared


def test_another_accounts_queue_must_let_the_role_in(server, aws, make):
    other = "111122223333"
    url, arn = queue(server, account=other)
    name = make(NOTE)
    code, message, _ = refusal(
        aws.update_function_configuration, FunctionName=name, DeadLetterConfig={"TargetArn": arn})
    assert (code, message) == (
        "InvalidParameterValueException",
        "The provided execution role does not have permissions to call SendMessage on SQS")
    statement = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "sqs:SendMessage", "Resource": arn}
    set_policy(server, url, statement, account=other)
    aws.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": arn})
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    invoke(aws, name)
    assert json.loads(received(server, url, account=other)[0]["Body"]) == FAIL


@pytest.mark.parametrize("kill", [False, True])
def test_a_dead_letter_survives_a_restart(own_server, kill):
    server = own_server()
    client = server.client("lambda")
    url, arn = queue(server)
    create(server, "f", DeadLetterConfig={"TargetArn": arn})
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
    invoke(client, "f")
    until(lambda: len(runs(server, "f")) == 1)
    server.kill() if kill else server.stop()
    server.restart()
    advance(server, 70)
    sqs_url = server.client("sqs").get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]
    assert json.loads(received(server, sqs_url)[0]["Body"]) == FAIL
