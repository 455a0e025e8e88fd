"""Queues: made, found, listed, tagged, purged, deleted; their URLs; who may use them."""
import json
import re

import boto3
import pytest
from conftest import REGION
from sqs_kit import *

NAME_RULE = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"


# Making


def test_a_queue_is_made_and_found(server, sqs, queue):
    url = queue("plain-Name_1")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/000000000000/plain-Name_1", url)
    assert sqs.get_queue_url(QueueName="plain-Name_1")["QueueUrl"] == url
    assert sqs.get_queue_url(QueueName="plain-Name_1", QueueOwnerAWSAccountId="000000000000")["QueueUrl"] == url


@pytest.mark.parametrize("name", ["a", "a" * 80])
def test_names_within_the_rules(queue, name):
    assert queue(name).endswith(f"/{name}")


@pytest.mark.parametrize("name", ["", "a" * 81, "a b", "a.b", "a/b", "ü", "q.fifo"])
def test_names_outside_the_rules(sqs, refused, name):
    assert refused(sqs.create_queue, QueueName=name) == ("InvalidParameterValue", NAME_RULE)


def test_names_of_fifo_queues(sqs, queue, refused):
    assert queue("f" * 75 + ".fifo", fifo=True)
    for name in ["f" * 76 + ".fifo", "f", ".fifo", "a.b.fifo"]:
        code, message = refused(sqs.create_queue, QueueName=name, Attributes={"FifoQueue": "true"})
        assert code == "InvalidParameterValue" and "must end with .fifo suffix" in message


def test_the_same_again_is_the_same_queue(sqs, queue, unique, refused):
    name = unique("q")
    url = queue(name, VisibilityTimeout="40", tags={"a": "1"})
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
    assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "40", "DelaySeconds": "0"})["QueueUrl"] == url
    code, message = refused(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "41"})
    assert code == "QueueAlreadyExists"
    assert message == "A queue already exists with the same name and a different value for attribute VisibilityTimeout"
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "1"})
    # Nothing was changed by what was refused.
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"] == {
        "VisibilityTimeout": "40"}


def test_a_queue_that_is_not_there(server, sqs, refused):
    for call, parameters in [
        (sqs.get_queue_url, {"QueueName": "nowhere"}),
        (sqs.get_queue_url, {"QueueName": "nowhere", "QueueOwnerAWSAccountId": "999999999999"}),
        (sqs.get_queue_attributes, {"QueueUrl": f"{server.endpoint}/000000000000/nowhere"}),
        (sqs.delete_queue, {"QueueUrl": f"{server.endpoint}/000000000000/nowhere"}),
        (sqs.purge_queue, {"QueueUrl": f"{server.endpoint}/000000000000/nowhere"}),
    ]:
        assert refused(call, **parameters) == GONE
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="nowhere")


# URLs


def test_every_form_of_url(server, sqs, queue):
    name = queue("forms").rsplit("/", 1)[1]
    port = server.port
    for url in [
        f"http://localhost:{port}/000000000000/{name}",
        f"http://127.0.0.1:{port}/000000000000/{name}/",
        f"https://sqs.us-east-1.amazonaws.com/000000000000/{name}",
        f"https://us-east-1.queue.amazonaws.com/000000000000/{name}",
        f"https://queue.amazonaws.com/000000000000/{name}",
        f"http://sqs.us-east-1.localhost.localstack.cloud:{port}/000000000000/{name}",
        f"http://localhost:{port}/queue/us-east-1/000000000000/{name}",
    ]:
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        assert answer["Attributes"]["QueueArn"] == f"arn:aws:sqs:us-east-1:000000000000:{name}", url


def test_what_is_no_url_of_this_region(server, sqs, queue, refused):
    name = queue().rsplit("/", 1)[1]
    for url in [
        f"https://sqs.eu-west-1.amazonaws.com/000000000000/{name}",
        f"http://localhost:{server.port}/queue/eu-west-1/000000000000/{name}",
        f"http://localhost:{server.port}/{name}",
        name,
    ]:
        code, message = refused(sqs.get_queue_attributes, QueueUrl=url)
        assert (code, message) == ("InvalidAddress", f"The address {url} is not valid for this endpoint.")


def test_the_url_begins_with_the_host_that_the_client_called(server, queue, unique):
    name = unique("q")
    queue(name)
    client = boto3.client(
        "sqs", endpoint_url=f"http://localhost:{server.port}", region_name=REGION, aws_access_key_id="test",
        aws_secret_access_key="test")
    assert client.get_queue_url(QueueName=name)["QueueUrl"] == f"http://localhost:{server.port}/000000000000/{name}"


# Accounts and regions


def test_accounts_and_regions_are_apart(server, sqs, queue, unique, refused):
    name = unique("apart")
    url = queue(name)
    elsewhere = server.client("sqs", region="eu-west-1")
    stranger = server.client("sqs", account="111111111111")
    assert refused(elsewhere.get_queue_url, QueueName=name) == GONE
    assert refused(stranger.get_queue_url, QueueName=name) == GONE
    queue(name, client=elsewhere)
    assert elsewhere.get_queue_url(QueueName=name)
    assert "QueueUrls" not in stranger.list_queues(QueueNamePrefix=name)
    code, _ = refused(stranger.get_queue_attributes, QueueUrl=url, AttributeNames=["All"])
    assert code == "AccessDenied"
    code, _ = refused(stranger.get_queue_url, QueueName=name, QueueOwnerAWSAccountId="000000000000")
    assert code == "AccessDenied"


def test_what_is_the_owners_alone_no_policy_gives_away(server, sqs, queue, arn, refused):
    url = queue()
    everything = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": arn(url)}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    stranger = server.client("sqs", account="111111111111")
    for call, parameters in [
        (stranger.set_queue_attributes, {"Attributes": {"DelaySeconds": "1"}}),
        (stranger.delete_queue, {}),
        (stranger.tag_queue, {"Tags": {"a": "b"}}),
        (stranger.remove_permission, {"Label": "x"}),
    ]:
        assert refused(call, QueueUrl=url, **parameters)[0] == "AccessDenied"


# Lists


def test_lists_of_queues(server):
    client = server.client("sqs", account="222222222222")
    assert "QueueUrls" not in client.list_queues()
    names = [f"list-{n:03}" for n in range(25)] + ["other"]
    for name in names:
        client.create_queue(QueueName=name)
    urls = client.list_queues()["QueueUrls"]
    assert [url.rsplit("/", 1)[1] for url in urls] == sorted(names)
    assert len(client.list_queues(QueueNamePrefix="list-00")["QueueUrls"]) == 10
    assert "QueueUrls" not in client.list_queues(QueueNamePrefix="nothing")
    first = client.list_queues(QueueNamePrefix="list", MaxResults=10)
    assert len(first["QueueUrls"]) == 10 and first["NextToken"]
    pages = client.get_paginator("list_queues").paginate(QueueNamePrefix="list", PaginationConfig={"PageSize": 10})
    assert [len(page["QueueUrls"]) for page in pages] == [10, 10, 5]
    # Who asks for no page gets no token.
    assert "NextToken" not in client.list_queues()


def test_a_list_without_a_page_ends_at_a_thousand(server):
    client = server.client("sqs", account="333333333333")
    for n in range(1001):
        client.create_queue(QueueName=f"q{n}")
    answer = client.list_queues()
    assert len(answer["QueueUrls"]) == 1000 and "NextToken" not in answer
    first = client.list_queues(MaxResults=1000)
    rest = client.list_queues(MaxResults=1000, NextToken=first["NextToken"])
    assert (len(first["QueueUrls"]), len(rest["QueueUrls"])) == (1000, 1) and "NextToken" not in rest


def test_bounds_of_pages(sqs, refused):
    sqs.list_queues(MaxResults=1)
    sqs.list_queues(MaxResults=1000)
    for number in [0, -1, 1001]:
        assert refused(sqs.list_queues, MaxResults=number)[0] == "InvalidParameterValue"
    assert refused(sqs.list_queues, MaxResults=1, NextToken="%%")[0] == "InvalidParameterValue"


def test_sources_of_a_dead_letter_queue(sqs, queue, arn):
    dead = queue()
    sources = lambda **more: sqs.list_dead_letter_source_queues(QueueUrl=dead, **more)
    assert sources()["queueUrls"] == []
    policy = json.dumps({"deadLetterTargetArn": arn(dead), "maxReceiveCount": 3})
    urls = sorted(queue(RedrivePolicy=policy) for _ in range(3))
    assert sorted(sources()["queueUrls"]) == urls
    first = sources(MaxResults=2)
    assert len(first["queueUrls"]) == 2
    rest = sources(MaxResults=2, NextToken=first["NextToken"])
    assert sorted(first["queueUrls"] + rest["queueUrls"]) == urls and "NextToken" not in rest
    sqs.delete_queue(QueueUrl=urls[0])
    sqs.set_queue_attributes(QueueUrl=urls[1], Attributes={"RedrivePolicy": ""})
    assert sources()["queueUrls"] == [urls[2]]
    other = queue()
    sqs.set_queue_attributes(QueueUrl=urls[2], Attributes={
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn(other), "maxReceiveCount": 3})})
    assert sources()["queueUrls"] == []


# Tags


def test_tags(sqs, queue):
    url = queue(tags={"team": "a", "empty": ""})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a", "empty": ""}
    sqs.tag_queue(QueueUrl=url, Tags={"team": "b", "more": "ü _.:/=+-@"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["empty", "never there"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "b", "more": "ü _.:/=+-@"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["team", "more"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=url)


def test_limits_of_tags(sqs, queue, refused):
    url = queue()
    sqs.tag_queue(QueueUrl=url, Tags={"k" * 128: "v" * 256})
    sqs.tag_queue(QueueUrl=url, Tags={str(n): "" for n in range(49)})
    name = url.rsplit("/", 1)[1]
    assert refused(sqs.tag_queue, QueueUrl=url, Tags={"one more": ""}) == (
        "InvalidParameterValue", f"Too many tags added for queue {name}.")
    sqs.tag_queue(QueueUrl=url, Tags={"0": "changed"})
    for tags in [{"k" * 129: ""}, {"k": "v" * 257}, {"": "v"}, {"aws:x": ""}, {"AWS:x": ""}, {"a;b": ""}]:
        assert refused(sqs.tag_queue, QueueUrl=url, Tags=tags)[0] == "InvalidParameterValue"
        assert refused(sqs.create_queue, QueueName="never-made", tags=tags)[0] == "InvalidParameterValue"
    assert refused(sqs.tag_queue, QueueUrl=url, Tags={})[0] == "MissingParameter"
    assert refused(sqs.untag_queue, QueueUrl=url, TagKeys=[])[0] == "InvalidParameterValue"
    assert refused(sqs.get_queue_url, QueueName="never-made") == GONE


# Deleting and purging


def test_a_name_rests_for_a_minute_after_its_queue_was_deleted(own_server, refused):
    server = own_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="again", Attributes={"DelaySeconds": "7"})["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)
    assert refused(sqs.get_queue_attributes, QueueUrl=url) == GONE
    assert refused(sqs.delete_queue, QueueUrl=url) == GONE
    too_soon = ("AWS.SimpleQueueService.QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
    assert refused(sqs.create_queue, QueueName="again") == too_soon
    advance(server, 55)
    assert refused(sqs.create_queue, QueueName="again") == too_soon
    server.kill()
    server.restart()
    sqs = server.client("sqs")
    advance(server, 61)
    url = sqs.create_queue(QueueName="again")["QueueUrl"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"] == {"DelaySeconds": "0"}


def test_one_purge_a_minute(own_server, refused):
    server = own_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="purged")["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    assert refused(sqs.purge_queue, QueueUrl=url) == (
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        "Only one PurgeQueue operation on purged is allowed every 60 seconds.")
    with pytest.raises(sqs.exceptions.PurgeQueueInProgress):
        sqs.purge_queue(QueueUrl=url)
    advance(server, 61)
    sqs.purge_queue(QueueUrl=url)


def test_queues_outlive_the_server(own_server):
    server = own_server()
    sqs = server.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": "3"})
    url = sqs.create_queue(QueueName="q", Attributes={"RedrivePolicy": policy, "DelaySeconds": "3"}, tags={"a": "b"})["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "17"})
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    server.kill()
    server.restart()
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"] == before
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    dead = sqs.get_queue_url(QueueName="dead")["QueueUrl"]
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
