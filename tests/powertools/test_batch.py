"""Powertools' batch processing, unmodified, in functions that are fed by queues: standard and FIFO."""
import json

import pytest
from conftest import PYTHON, ROLE, zipped
from test_powertools import python_layer

ACCOUNT = "000000000000"
# As their documentation has it.
STANDARD = """import json
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
processor = BatchProcessor(event_type=EventType.SQS)
def record_handler(record):
    body = json.loads(record.body)
    print(json.dumps(["ran", body, record.attributes.approximate_receive_count]), flush=True)
    if body.get("bad"):
        raise ValueError("a bad record")
def handler(event, context):
    return process_partial_response(event=event, record_handler=record_handler, processor=processor, context=context)
"""
FIFO = STANDARD.replace("import BatchProcessor, EventType,", "import SqsFifoPartialProcessor,").replace(
    "BatchProcessor(event_type=EventType.SQS)", "SqsFifoPartialProcessor()")


@pytest.fixture(scope="module")
def layer():
    return python_layer()


def until(condition, seconds=60):
    import time

    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return result


@pytest.fixture
def feed(own_server, layer):
    """A server with a function that is fed from a queue."""

    def make(source, fifo, *entries):
        server = own_server()
        aws, sqs = server.client("lambda"), server.client("sqs")
        version = aws.publish_layer_version(LayerName="powertools", Content={"ZipFile": layer})["LayerVersionArn"]
        aws.create_function(
            FunctionName="orders", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Timeout=30, MemorySize=512,
            Layers=[version], Code={"ZipFile": zipped({"app.py": source})},
            Environment={"Variables": {"POWERTOOLS_SERVICE_NAME": "orders"}})
        name = "orders.fifo" if fifo else "orders"
        url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})["QueueUrl"]
        sqs.send_message_batch(QueueUrl=url, Entries=[
            {"Id": str(n), "MessageBody": json.dumps(body),
             **({"MessageGroupId": group, "MessageDeduplicationId": str(n)} if fifo else {})}
            for n, (body, group) in enumerate(entries)])
        aws.create_event_source_mapping(
            FunctionName="orders", EventSourceArn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}",
            FunctionResponseTypes=["ReportBatchItemFailures"])

        def left():
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            return [int(found[name]) for name in names]

        def ran():
            events = server.client("logs").filter_log_events(logGroupName="/aws/lambda/orders")["events"]
            lines = [event["message"] for event in events if event["message"].startswith('["ran"')]
            return [json.loads(line)[1]["n"] for line in lines]

        return left, ran

    return make


def test_a_batch_processor_keeps_what_failed(feed):
    entries = [({"n": n, "bad": n in (1, 3)}, None) for n in range(5)]
    left, ran = feed(STANDARD, False, *entries)
    until(lambda: left() == [0, 2])
    assert sorted(until(lambda: len(ran()) == 5 and ran())) == [0, 1, 2, 3, 4]


def test_a_fifo_processor_stops_at_the_first_failure(feed):
    entries = [({"n": 0}, "a"), ({"n": 1, "bad": True}, "a"), ({"n": 2}, "a"), ({"n": 3}, "a")]
    left, ran = feed(FIFO, True, *entries)
    until(lambda: left() == [0, 3])
    assert until(lambda: len(ran()) == 2 and ran()) == [0, 1]
