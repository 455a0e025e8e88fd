"""Event source mappings for queues, as records: made, read, listed, changed, deleted, refused."""
import time

import pytest
from conftest import PYTHON
from test_policies import error

SOURCE = "def handler(event, context): pass"
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def queue(server, unique):
    """Makes queues; gives their ARNs."""
    sqs, made = server.client("sqs"), []

    def make(fifo=False, **attributes):
        name = unique("queue") + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoQueue"] = "true"
        made.append(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])
        names = sqs.get_queue_attributes(QueueUrl=made[-1], AttributeNames=["QueueArn"])
        return names["Attributes"]["QueueArn"]

    yield make
    for url in made:
        sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def mapped(aws):
    """Makes mappings, and deletes them after the test."""
    made = []

    def make(function, source, client=aws, **members):
        answer = client.create_event_source_mapping(FunctionName=function, EventSourceArn=source, **members)
        made.append((client, answer["UUID"]))
        return answer

    yield make
    for client, uuid in made:
        try:
            client.delete_event_source_mapping(UUID=uuid)
        except client.exceptions.ResourceNotFoundException:
            pass


def settled(aws, uuid, state):
    for _ in range(500):
        mapping = aws.get_event_source_mapping(UUID=uuid)
        if mapping["State"] == state:
            mapping.pop("ResponseMetadata")
            return mapping
        time.sleep(0.01)
    raise AssertionError(f"it stays {mapping['State']}")


def test_a_life(aws, make, queue, mapped):
    name, source = make(SOURCE), queue()
    function = aws.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    made = mapped(name, source)
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 202
    uuid, modified = made["UUID"], made.pop("LastModified")
    assert modified.year >= 2026
    assert made == {
        "UUID": uuid,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "EventSourceArn": source,
        "FunctionArn": function,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": [],
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}",
    }
    read = settled(aws, uuid, "Enabled")
    assert read.pop("LastModified") == modified and {**read, "State": "Creating"} == made
    pattern = '{"body": {"kind": ["order"]}}'
    changed = aws.update_event_source_mapping(
        UUID=uuid, BatchSize=500, MaximumBatchingWindowInSeconds=5, FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 7}, FilterCriteria={"Filters": [{"Pattern": pattern}]},
        MetricsConfig={"Metrics": ["EventCount"]},
    )
    assert changed["State"] == "Updating" and changed["ResponseMetadata"]["HTTPStatusCode"] == 202
    read = settled(aws, uuid, "Enabled")
    assert read["LastModified"] > modified
    assert (read["BatchSize"], read["MaximumBatchingWindowInSeconds"]) == (500, 5)
    assert read["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert read["ScalingConfig"] == {"MaximumConcurrency": 7}
    assert read["FilterCriteria"] == {"Filters": [{"Pattern": pattern}]}
    assert read["MetricsConfig"] == {"Metrics": ["EventCount"]}
    off = aws.update_event_source_mapping(
        UUID=uuid, Enabled=False, ScalingConfig={}, FilterCriteria={}, FunctionResponseTypes=[],
        MetricsConfig={"Metrics": []}, ProvisionedPollerConfig={"MinimumPollers": 2, "MaximumPollers": 5},
    )
    assert off["State"] == "Disabling"
    read = settled(aws, uuid, "Disabled")
    assert not {"ScalingConfig", "FilterCriteria", "MetricsConfig"} & read.keys()
    assert read["FunctionResponseTypes"] == []
    assert read["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 5}
    assert aws.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    gone = aws.delete_event_source_mapping(UUID=uuid)
    assert gone["State"] == "Deleting" and gone["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert error(aws.get_event_source_mapping, UUID=uuid)[:2] == ("ResourceNotFoundException", 404)


def test_listings(aws, make, queue, mapped):
    one, other = make(SOURCE), make(SOURCE)
    sources = [queue(), queue()]
    version = aws.publish_version(FunctionName=one)["Version"]
    aws.create_alias(FunctionName=one, Name="live", FunctionVersion=version)
    made = {
        (function, source): mapped(function, source, Enabled=False)["UUID"]
        for function in (one, other, f"{one}:live")
        for source in sources
    }

    def listed(**which):
        pages = aws.get_paginator("list_event_source_mappings").paginate(PaginationConfig={"PageSize": 1}, **which)
        return {mapping["UUID"] for page in pages for mapping in page["EventSourceMappings"]}

    assert set(made.values()) <= listed()
    assert listed(FunctionName=one) == {made[one, source] for source in sources}
    assert listed(FunctionName=f"{one}:live") == {made[f"{one}:live", source] for source in sources}
    assert listed(EventSourceArn=sources[0]) == {uuid for (_, source), uuid in made.items() if source == sources[0]}
    assert listed(EventSourceArn=sources[1], FunctionName=other) == {made[other, sources[1]]}
    assert listed(EventSourceArn="arn:aws:sqs:us-east-1:000000000000:none") == set()
    assert error(aws.list_event_source_mappings, Marker="%%")[0] == "InvalidParameterValueException"
    arn = aws.get_event_source_mapping(UUID=made[f"{one}:live", sources[0]])["FunctionArn"]
    assert arn.endswith(f":function:{one}:live")


def test_one_mapping_for_a_source_and_a_function(aws, make, queue, mapped):
    name, other, source = make(SOURCE), make(SOURCE), queue()
    uuid = mapped(name, source)["UUID"]
    code, status, message = error(aws.create_event_source_mapping, FunctionName=name, EventSourceArn=source)
    assert (code, status) == ("ResourceConflictException", 409)
    assert message == (
        f'An event source mapping with SQS arn (" {source} ") and function (" {name} ") already exists. Please update or '
        f"delete the existing mapping with UUID {uuid}"
    )
    moved = mapped(other, source)["UUID"]
    assert error(aws.update_event_source_mapping, UUID=moved, FunctionName=name)[0] == "ResourceConflictException"
    aws.delete_event_source_mapping(UUID=uuid)
    answer = aws.update_event_source_mapping(UUID=moved, FunctionName=name)
    assert answer["FunctionArn"].endswith(f":function:{name}")


def test_tags(aws, make, queue, mapped):
    arn = mapped(make(SOURCE), queue(), Tags={"team": "a", "x": "y"})["EventSourceMappingArn"]
    aws.tag_resource(Resource=arn, Tags={"team": "b"})
    aws.untag_resource(Resource=arn, TagKeys=["x"])
    assert aws.list_tags(Resource=arn)["Tags"] == {"team": "b"}
    missing = arn[:-36] + NOBODY
    assert error(aws.list_tags, Resource=missing)[0] == "ResourceNotFoundException"


INVALID = "InvalidParameterValueException"


@pytest.mark.parametrize("members, text", [
    ({"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"),
    ({"StartingPosition": "LATEST"}, "Unsupported StartingPosition parameter for given event source mapping type."),
    ({"ParallelizationFactor": 2}, "Unsupported ParallelizationFactor parameter for given event source mapping type."),
    ({"MaximumRetryAttempts": 1}, "Unsupported MaximumRetryAttempts parameter for given event source mapping type."),
    ({"Topics": ["tt"]}, "Unsupported Topics parameter for given event source mapping type."),
    ({"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}, "Invalid filter pattern definition."),
    ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["a"]}'}] * 11}},
     "FilterCriteria must have at most 10 filters, got 11."),
    ({"ProvisionedPollerConfig": {}},
     "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided."),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 1}},
     "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 2000]"),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 2}, "ScalingConfig": {"MaximumConcurrency": 2}},
     "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers as the control "
     "mechanism and remove maximum concurrency."),
    ({"MetricsConfig": {"Metrics": ["KafkaMetrics"]}},
     "Metric KafkaMetrics is not supported for given event source mapping type."),
])
def test_what_a_queue_s_mapping_may_not_have(aws, make, queue, members, text):
    name, source = make(SOURCE), queue()
    assert error(aws.create_event_source_mapping, FunctionName=name, EventSourceArn=source, **members) == (
        INVALID, 400, text)
    assert aws.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == []


@pytest.mark.parametrize("member, inside, outside", [
    ("BatchSize", 10_000, 10_001),
    ("BatchSize", 1, 0),
    ("MaximumBatchingWindowInSeconds", 300, 301),
    ("ScalingConfig", {"MaximumConcurrency": 2}, {"MaximumConcurrency": 1}),
    ("ScalingConfig", {"MaximumConcurrency": 1000}, {"MaximumConcurrency": 1001}),
    ("FilterCriteria", {"Filters": [{"Pattern": '{"body": ["%s"]}' % ("x" * 4082)}]},
     {"Filters": [{"Pattern": '{"body": ["%s"]}' % ("x" * 4083)}]}),
    ("FilterCriteria", {"Filters": [{"Pattern": '{"body": ["a"]}'}] * 10}, None),
    ("ProvisionedPollerConfig", {"MinimumPollers": 200, "MaximumPollers": 2000}, {"MinimumPollers": 201}),
    ("FunctionResponseTypes", ["ReportBatchItemFailures"], ["Other"]),
])
def test_limits(server, make, queue, mapped, member, inside, outside):
    aws = server.client("lambda", parameter_validation=False)
    name, source = make(SOURCE), queue()
    window = {} if member == "MaximumBatchingWindowInSeconds" else {"MaximumBatchingWindowInSeconds": 1}
    if outside is not None:
        assert error(aws.create_event_source_mapping, FunctionName=name, EventSourceArn=source,
                     **{**window, member: outside})[1] == 400
    mapped(name, source, **{**window, member: inside}, Enabled=False)


def test_fifo_queues(aws, make, queue, mapped):
    name, source = make(SOURCE), queue(fifo=True)
    create = dict(FunctionName=name, EventSourceArn=source)
    assert error(aws.create_event_source_mapping, **create, MaximumBatchingWindowInSeconds=1) == (
        INVALID, 400, "Batching window is not supported for FIFO queues")
    assert error(aws.create_event_source_mapping, **create, BatchSize=11)[0] == INVALID
    uuid = mapped(name, source, BatchSize=10)["UUID"]
    assert error(aws.update_event_source_mapping, UUID=uuid, BatchSize=11)[0] == INVALID


def test_the_queue_must_be_there_and_keep_messages_long_enough(aws, make, queue, mapped):
    name = make(SOURCE, Timeout=31)
    short, long = queue(), queue(VisibilityTimeout="31")
    assert error(aws.create_event_source_mapping, FunctionName=name, EventSourceArn=short) == (
        INVALID, 400, "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds")
    mapped(name, long)
    code, status, message = error(
        aws.create_event_source_mapping, FunctionName=name,
        EventSourceArn="arn:aws:sqs:us-east-1:000000000000:there-is-none")
    assert (code, status) == (INVALID, 400)
    assert message.startswith(
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: "
        "The specified queue does not exist")


def test_other_sources_are_named(aws, make):
    name = make(SOURCE)
    create = aws.create_event_source_mapping
    for arn, service in [
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", "Amazon Kinesis"),
        ("arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000", "Amazon DynamoDB Streams"),
        ("arn:aws:kafka:us-east-1:000000000000:cluster/c/x", "Amazon MSK"),
        ("arn:aws:mq:us-east-1:000000000000:broker:b:b-1", "Amazon MQ"),
        ("arn:aws:rds:us-east-1:000000000000:cluster:c", "Amazon DocumentDB"),
    ]:
        code, status, message = error(create, FunctionName=name, EventSourceArn=arn, StartingPosition="LATEST")
        assert (code, status) == ("UnsupportedParameterException", 400) and service in message
    kafka = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}
    assert "Kafka" in error(create, FunctionName=name, SelfManagedEventSource=kafka, Topics=["tt"])[2]
    for arn in ["arn:aws:s3:us-east-1:000000000000:bucket", "arn:aws:sns:us-east-1:000000000000:topic"]:
        assert error(create, FunctionName=name, EventSourceArn=arn) == (INVALID, 400, "Unrecognized event source.")
    assert error(create, FunctionName=name)[2] == "Unrecognized event source."
    assert error(create, FunctionName="nobody-knows-it", EventSourceArn="arn:aws:sqs:us-east-1:000000000000:q")[0] == (
        "ResourceNotFoundException")
    key = "arn:aws:kms:us-east-1:000000000000:key/k"
    code, _, message = error(
        create, FunctionName=name, EventSourceArn="arn:aws:sqs:us-east-1:000000000000:q", KMSKeyArn=key)
    assert code == "UnsupportedParameterException" and "KMSKeyArn" in message


def test_an_unknown_mapping(aws):
    for call, more in [
        (aws.get_event_source_mapping, {}),
        (aws.delete_event_source_mapping, {}),
        (aws.update_event_source_mapping, {"BatchSize": 7, "Enabled": False}),
    ]:
        assert error(call, UUID=NOBODY, **more) == (
            "ResourceNotFoundException", 404, "The resource you requested does not exist.")


def test_mappings_outlive_their_functions_and_the_server(own_server):
    from test_async import create

    server = own_server()
    aws, sqs = server.client("lambda"), server.client("sqs")
    create(server, "f", SOURCE)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    made = aws.create_event_source_mapping(
        FunctionName="f", EventSourceArn="arn:aws:sqs:us-east-1:000000000000:q", Tags={"a": "b"})
    server.kill()
    server.restart()
    aws = server.client("lambda")
    aws.delete_function(FunctionName="f")
    read = aws.get_event_source_mapping(UUID=made["UUID"])
    assert read["State"] == "Enabled" and read["FunctionArn"] == made["FunctionArn"]
    assert aws.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"a": "b"}
    assert url
