"""Servers that are killed while messages are published: what was answered arrives, in the order of its group."""
import itertools
import json
import random
import threading
import time

import botocore.exceptions
from sns_kit import *
from test_fifo_topics import open_queue

ROUNDS = 6


def test_nothing_answered_is_lost_by_kills_at_random(own_server):
    server = own_server()
    sns, sqs = server.client("sns"), server.client("sqs")
    standard = sns.create_topic(Name="t")["TopicArn"]
    fifo = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    queues = {standard: ["a", "b", "c"], fifo: ["a.fifo", "b.fifo"]}
    for topic, names in queues.items():
        for name in names:
            attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=open_queue(sqs, url), Attributes={"RawMessageDelivery": "true"})
    answered = {standard: [], fifo: []}
    numbers = itertools.count()

    def work(topic, group, stop):
        client = server.client("sns", connect_timeout=5)
        while not stop.is_set():
            message = f"{group} {next(numbers):06}"
            more = {"MessageGroupId": group, "MessageDeduplicationId": message.replace(" ", "-")} if topic == fifo else {}
            try:
                client.publish(TopicArn=topic, Message=message, **more)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                return  # the server is gone: nobody said that it was taken
            answered[topic].append(message)

    for _ in range(ROUNDS):
        stop = threading.Event()
        before = sum(map(len, answered.values()))
        threads = [threading.Thread(target=work, args=(topic, group, stop)) for topic in answered for group in ("x", "y")]
        for thread in threads:
            thread.start()
        eventually(lambda: sum(map(len, answered.values())) > before + 10, within=60)
        time.sleep(random.uniform(0, 0.3))
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        server.restart()
    sqs = server.client("sqs")
    for topic, names in queues.items():
        for name in names:
            got = take_all(sqs, sqs.get_queue_url(QueueName=name)["QueueUrl"], set(answered[topic]))
            if topic == fifo:
                for group in ("x", "y"):
                    own = [message for message in got if message.startswith(group)]
                    assert own == sorted(own), name


def take_all(sqs, url, wanted):
    got, deadline = [], time.monotonic() + 120
    while not wanted <= set(got):
        assert time.monotonic() < deadline, sorted(wanted - set(got))
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            got.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return got
