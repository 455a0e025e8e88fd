"""Move tasks: out of a dead-letter queue, to where the messages came from or elsewhere, over a restart."""
import json
import time

from sqs_kit import *


def until(check, seconds=20):
    """Waits until `check` gives something true; gives that."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


class House:
    """A queue with a dead-letter queue, and messages in the latter."""

    def __init__(self, sqs, name="q", fifo=False):
        self.sqs = sqs
        end, given = (".fifo", {"FifoQueue": "true", "ContentBasedDeduplication": "true"}) if fifo else ("", {})
        self.fifo = fifo
        self.dead = sqs.create_queue(QueueName=f"{name}-dead{end}", Attributes=given)["QueueUrl"]
        self.dead_arn = self.arn(self.dead)
        self.source = self.add(f"{name}{end}", given)

    def add(self, name, given=None):
        policy = json.dumps({"deadLetterTargetArn": self.dead_arn, "maxReceiveCount": 1})
        return self.sqs.create_queue(QueueName=name, Attributes={
            **(given or {}), "RedrivePolicy": policy, "VisibilityTimeout": "0"})["QueueUrl"]

    def arn(self, url):
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def count(self, url):
        name = "ApproximateNumberOfMessages"
        return int(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])

    def kill_messages(self, *bodies, source=None):
        """Sends messages and receives them until they are in the dead-letter queue."""
        source = source or self.source
        before = self.count(self.dead)
        for number, body in enumerate(bodies):
            group = {"MessageGroupId": f"g{number % 2}"} if self.fifo else {}
            self.sqs.send_message(QueueUrl=source, MessageBody=body, **group)

        def gone():
            self.sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10)
            return self.count(self.dead) == before + len(bodies)

        until(gone)

    def task(self, **more):
        results = self.sqs.list_message_move_tasks(SourceArn=self.dead_arn, **more)["Results"]
        return results[0] if results else None

    def ended(self):
        return until(lambda: self.task()["Status"] not in ("RUNNING", "CANCELLING") and self.task())

    def bodies(self, url):
        found = []
        while True:
            messages = self.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600, AttributeNames=["All"]).get("Messages", [])
            if not messages:
                return found
            found += [message["Body"] for message in messages]


def test_messages_go_back_to_where_they_came_from(sqs, unique):
    house = House(sqs, unique("back"))
    other = house.add(unique("other"))
    house.kill_messages("a", "b")
    house.kill_messages("c", source=other)
    handle = sqs.start_message_move_task(SourceArn=house.dead_arn)["TaskHandle"]
    task = house.ended()
    started = task.pop("StartedTimestamp")
    assert handle and abs(started / 1000 - time.time()) < 60
    assert task == {"Status": "COMPLETED", "SourceArn": house.dead_arn, "ApproximateNumberOfMessagesMoved": 3,
                    "ApproximateNumberOfMessagesToMove": 3}
    assert (house.count(house.dead), house.count(house.source), house.count(other)) == (0, 2, 1)
    assert sorted(house.bodies(house.source)) == ["a", "b"] and house.bodies(other) == ["c"]


def test_messages_go_elsewhere(sqs, unique, queue):
    house = House(sqs, unique("elsewhere"))
    target = queue()
    house.kill_messages("a", "b")
    sqs.start_message_move_task(SourceArn=house.dead_arn, DestinationArn=house.arn(target), MaxNumberOfMessagesPerSecond=500)
    task = house.ended()
    assert task["Status"] == "COMPLETED" and task["DestinationArn"] == house.arn(target)
    assert task["MaxNumberOfMessagesPerSecond"] == 500
    assert sorted(house.bodies(target)) == ["a", "b"]


def test_fifo_messages_keep_their_order(sqs, unique):
    house = House(sqs, unique("fifo"), fifo=True)
    house.kill_messages(*[f"m{n}" for n in range(6)])
    sqs.start_message_move_task(SourceArn=house.dead_arn)
    assert house.ended()["Status"] == "COMPLETED"
    assert house.count(house.source) == 6


def test_a_task_keeps_its_pace_and_can_be_cancelled(own_server, refused):
    server = own_server()
    sqs = server.client("sqs")
    house = House(sqs)
    house.kill_messages(*[f"m{n}" for n in range(10)])
    handle = sqs.start_message_move_task(SourceArn=house.dead_arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    until(lambda: house.task()["ApproximateNumberOfMessagesMoved"] == 1)
    running = house.task()
    assert (running["Status"], running["TaskHandle"]) == ("RUNNING", handle)
    assert refused(sqs.start_message_move_task, SourceArn=house.dead_arn) == (
        "InvalidParameterValue",
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
    for moved in [2, 3]:
        advance(server, 1)
        until(lambda: house.task()["ApproximateNumberOfMessagesMoved"] >= moved)
    assert sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] >= 3
    task = house.ended()
    assert task["Status"] == "CANCELLED" and "TaskHandle" not in task
    assert task["ApproximateNumberOfMessagesToMove"] == 10
    assert house.count(house.dead) == 10 - task["ApproximateNumberOfMessagesMoved"]
    assert refused(sqs.cancel_message_move_task, TaskHandle=handle) == ("ResourceNotFoundException", "Task does not exist.")
    sqs.start_message_move_task(SourceArn=house.dead_arn)
    assert house.ended()["Status"] == "COMPLETED" and house.count(house.dead) == 0
    assert [task["Status"] for task in sqs.list_message_move_tasks(
        SourceArn=house.dead_arn, MaxResults=10)["Results"]] == ["COMPLETED", "CANCELLED"]


def test_a_task_goes_on_after_the_server_was_killed(own_server):
    server = own_server()
    house = House(server.client("sqs"))
    house.kill_messages(*[f"m{n}" for n in range(20)])
    house.sqs.start_message_move_task(SourceArn=house.dead_arn, MaxNumberOfMessagesPerSecond=2)
    until(lambda: house.task()["ApproximateNumberOfMessagesMoved"] > 1)
    server.kill()
    server.restart()
    house.sqs = server.client("sqs")
    house.dead = house.sqs.get_queue_url(QueueName="q-dead")["QueueUrl"]
    house.source = house.sqs.get_queue_url(QueueName="q")["QueueUrl"]

    def over():
        advance(server, 1)
        return house.task()["Status"] != "RUNNING"

    until(over)
    assert house.task()["Status"] == "COMPLETED"
    assert (house.count(house.dead), house.count(house.source)) == (0, 20)
    assert sorted(house.bodies(house.source)) == sorted(f"m{n}" for n in range(20))


def test_a_destination_that_goes_away_ends_the_task(own_server):
    server = own_server()
    sqs = server.client("sqs")
    house = House(sqs)
    target = sqs.create_queue(QueueName="target")["QueueUrl"]
    house.kill_messages("a", "b", "c")
    sqs.start_message_move_task(
        SourceArn=house.dead_arn, DestinationArn=house.arn(target), MaxNumberOfMessagesPerSecond=1)
    until(lambda: house.task()["ApproximateNumberOfMessagesMoved"] == 1)
    sqs.delete_queue(QueueUrl=target)
    advance(server, 2)
    task = house.ended()
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
    assert house.count(house.dead) == 2


def test_what_is_refused(sqs, queue, unique, refused):
    house = House(sqs, unique("refused"))
    start = lambda **given: refused(sqs.start_message_move_task, **{"SourceArn": house.dead_arn, **given})
    plain = house.arn(queue())
    assert start(SourceArn=plain) == ("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    gone = lambda name: ("ResourceNotFoundException", f"The resource that you specified for the {name} parameter doesn't exist.")
    assert start(SourceArn=plain + "x") == gone("SourceArn")
    assert start(DestinationArn=plain + "x") == gone("DestinationArn")
    for name in ["SourceArn", "DestinationArn"]:
        assert start(**{name: "x"}) == (
            "InvalidParameterValue",
            f"You must use this format to specify the {name}: arn:<partition>:<service>:<region>:<account-id>:<resource-id>")
    for pace in [0, -1, 501]:
        assert start(MaxNumberOfMessagesPerSecond=pace)[0] == "InvalidParameterValue"
    assert start(DestinationArn=house.dead_arn)[0] == "InvalidParameterValue"
    assert refused(sqs.cancel_message_move_task, TaskHandle="foobar") == (
        "InvalidParameterValue", "Value for parameter TaskHandle is invalid.")
    assert refused(sqs.list_message_move_tasks, SourceArn=plain + "x") == gone("SourceArn")
    assert sqs.list_message_move_tasks(SourceArn=plain)["Results"] == []
    for number in [0, 11]:
        assert refused(sqs.list_message_move_tasks, SourceArn=plain, MaxResults=number)[0] == "InvalidParameterValue"


def test_the_ten_newest_tasks_are_kept(sqs, unique):
    house = House(sqs, unique("many"))
    for _ in range(12):
        sqs.start_message_move_task(SourceArn=house.dead_arn)
        house.ended()
    assert len(sqs.list_message_move_tasks(SourceArn=house.dead_arn, MaxResults=10)["Results"]) == 10
    assert len(sqs.list_message_move_tasks(SourceArn=house.dead_arn)["Results"]) == 1
