"""Libraries that people use on queues: boto3's resources, the JavaScript SDK, sqs-consumer, Celery."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from conftest import REGION, clean_environment


@pytest.fixture
def resource(server):
    def make(service):
        return boto3.resource(service, endpoint_url=server.endpoint, region_name=REGION, aws_access_key_id="test",
                              aws_secret_access_key="test")

    return make


def node(server, program, *arguments, interpreter="node"):
    outcome = subprocess.run(
        [interpreter, program, *arguments], capture_output=True, text=True, timeout=120,
        env=clean_environment(
            AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION=REGION, AWS_ENDPOINT_URL=server.endpoint,
            NODE_PATH=os.environ["NODE_PATH"],
        ),
    )
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_resources_of_boto3(resource, unique):
    sqs = resource("sqs")
    name = unique("queue")
    queue = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "20"}, tags={"team": "a"})
    assert sqs.get_queue_by_name(QueueName=name).url == queue.url
    assert queue.attributes["VisibilityTimeout"] == "20"
    queue.send_message(MessageBody="one", MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
    queue.send_messages(Entries=[{"Id": "a", "MessageBody": "two"}, {"Id": "b", "MessageBody": "three"}])
    bodies = set()
    while len(bodies) < 3:
        messages = queue.receive_messages(MaxNumberOfMessages=10, WaitTimeSeconds=5, MessageAttributeNames=["All"])
        assert messages, "messages were sent, and none comes"
        for message in messages:
            bodies.add(message.body)
            message.change_visibility(VisibilityTimeout=60)
            message.delete()
    assert bodies == {"one", "two", "three"}
    queue.set_attributes(Attributes={"DelaySeconds": "3"})
    queue.reload()
    assert queue.attributes["DelaySeconds"] == "3"
    assert queue.url in {one.url for one in sqs.queues.filter(QueueNamePrefix=name)}
    queue.purge()
    queue.delete()


def test_topics_of_boto3_reach_queues(resource, unique):
    topic = resource("sns").create_topic(Name=unique("topic"))
    queue = resource("sqs").create_queue(QueueName=unique("queue"))
    queue.set_attributes(Attributes={"Policy": json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                       "Resource": queue.attributes["QueueArn"],
                       "Condition": {"ArnEquals": {"aws:SourceArn": topic.arn}}}],
    })})
    subscription = topic.subscribe(Protocol="sqs", Endpoint=queue.attributes["QueueArn"],
                                   Attributes={"RawMessageDelivery": "true"}, ReturnSubscriptionArn=True)
    topic.publish(Message="hello")
    [message] = queue.receive_messages(WaitTimeSeconds=10)
    assert message.body == "hello"
    assert subscription.arn in {one.arn for one in topic.subscriptions.all()}
    subscription.delete()
    topic.delete()


def test_the_javascript_sdk(server, unique):
    seen = node(server, Path(__file__).parents[1] / "cli/messaging.cjs", unique("js"))
    assert seen["plain"] == {
        "sameUrl": True,
        "body": "grüße 🙂",
        "attributes": ["bytes", "number", "text"],
        "bytes": [0, 1, 255],
        "receives": ["1", "2"],
        "batch": [["good"], ["InvalidMessageContents"]],
        "deleted": [["a"], ["ReceiptHandleIsInvalid"]],
        "twice": "BatchEntryIdsNotDistinct",
        "handle": "ReceiptHandleIsInvalid",
        "missing": "QueueDoesNotExist",
    }
    assert seen["fifo"] == ["1", "2", "3"]
    assert seen["fanOut"] == {
        "type": "Notification", "message": "yes", "subject": "news", "sameId": True, "attribute": "wanted",
        "missing": "NotFoundException",
    }


def test_sqs_consumer(server, resource, unique):
    queue = resource("sqs").create_queue(QueueName=unique("queue"))
    kinds = {"kind": {"DataType": "String", "StringValue": "k"}}
    for batch in range(2):
        queue.send_messages(Entries=[
            {"Id": str(at), "MessageBody": f"{batch}-{at}", "MessageAttributes": kinds} for at in range(10)
        ])
    queue.send_message(MessageBody="fails once")
    interpreter = Path(os.environ["NODE_PATH"]) / "node22/bin/node"
    seen = node(server, Path(__file__).with_name("consumer.cjs"), queue.url, "21", interpreter=interpreter)
    expected = [[f"{batch}-{at}", "k"] for batch in range(2) for at in range(10)] + [["fails once", None]]
    assert sorted(seen["handled"]) == sorted(expected)
    assert len(seen["failures"]) == 1 and "the first time" in seen["failures"][0]
    queue.reload()
    assert (queue.attributes["ApproximateNumberOfMessages"], queue.attributes["ApproximateNumberOfMessagesNotVisible"]) \
        == ("0", "0"), "what was handled is deleted"


TASKS = """import os
from celery import Celery

app = Celery("tasks", broker=os.environ["BROKER"])
app.conf.update(
    broker_transport_options={"region": "us-east-1", "is_secure": False, "wait_time_seconds": 1, "visibility_timeout": 30},
    task_default_queue=os.environ["QUEUE"],
    task_acks_late=True,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def note(self, text):
    if text == "again" and self.request.retries == 0:
        raise self.retry(countdown=0)
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(text + "\\n")
"""


def test_celery(server, unique, tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    notes = tmp_path / "notes"
    notes.touch()
    environment = clean_environment(
        AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION=REGION, NOTES=str(notes),
        QUEUE=unique("celery"), BROKER=f"sqs://test:test@127.0.0.1:{server.port}//",
    )
    send = "import tasks\nfor text in ['one', 'two', 'again']: tasks.note.delay(text)\ntasks.note.apply_async(['later'], countdown=1)"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=environment, timeout=60, check=True)
    log = open(tmp_path / "worker.log", "w")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "solo", "--loglevel", "INFO"],
        cwd=tmp_path, env=environment, stdout=log, stderr=log,
    )
    try:
        deadline = time.monotonic() + 40
        while sorted(notes.read_text().split()) != ["again", "later", "one", "two"]:
            assert worker.poll() is None and time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
            time.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait(timeout=30)
        log.close()
