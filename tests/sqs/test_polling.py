"""Long polls through boto3: woken by arrivals, in turn, and nothing for who has gone."""
import http.client
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from sqs_kit import *


def poll(server, url, **parameters):
    """Waits in a client of its own; gives the bodies, and when they came."""
    client = server.client("sqs")
    messages = client.receive_message(QueueUrl=url, **{"WaitTimeSeconds": 20, **parameters}).get("Messages", [])
    return [message["Body"] for message in messages], time.monotonic()


def test_an_arrival_wakes_a_poll(server, sqs, queue):
    url = queue()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(poll, server, url)
        time.sleep(0.5)
        assert not waiting.done()
        sqs.send_message(QueueUrl=url, MessageBody="now")
        sent = time.monotonic()
        bodies, came = waiting.result(20)
    assert bodies == ["now"] and came - sent < 2


def test_each_message_goes_to_one_poll(server, sqs, queue):
    url = queue()
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(poll, server, url) for _ in range(10)]
        time.sleep(1)
        for n in range(10):
            sqs.send_message(QueueUrl=url, MessageBody=str(n))
        bodies = [body for one in waiting for body in one.result(20)[0]]
    assert sorted(bodies) == [str(n) for n in range(10)]


def test_a_poll_ends_empty_in_its_time(server, queue):
    url = queue(ReceiveMessageWaitTimeSeconds="1")
    started = time.monotonic()
    bodies, ended = poll(server, url, WaitTimeSeconds=0)
    assert bodies == [] and ended - started < 0.9
    client = server.client("sqs")
    started = time.monotonic()
    assert "Messages" not in client.receive_message(QueueUrl=url)
    assert 0.9 < time.monotonic() - started < 10


def test_who_has_hung_up_gets_nothing(server, sqs, queue):
    url = queue()
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20})
    request = AWSRequest("POST", server.endpoint + "/", data=body, headers={
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ReceiveMessage"})
    SigV4Auth(Credentials("test", "test"), "sqs", "us-east-1").add_auth(request)
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", "/", body=body, headers=dict(request.headers))
        time.sleep(0.3)
        connection.close()
    time.sleep(0.3)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, AttributeNames=["All"])["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_the_clock_wakes_a_poll(own_server):
    server = own_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=600)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(poll, server, url)
        time.sleep(0.5)
        advance(server, 600)
        moved = time.monotonic()
        bodies, came = waiting.result(20)
    assert bodies == ["later"] and came - moved < 5


def test_a_server_that_stops_answers_who_waits(own_server):
    server = own_server()
    url = server.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(poll, server, url)
        time.sleep(0.5)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert waiting.result(20)[0] == []
        assert time.monotonic() - started < 5
        assert server.process.wait(20) == 0
