"""SNS to apps on devices: platform applications, their endpoints, and what is published to them."""
import json

import botocore.exceptions
import pytest

from web_kit import eventually, outbox


@pytest.fixture
def sns(server):
    return server.client("sns")


@pytest.fixture
def app(sns, unique):
    made = []

    def make(platform="GCM", **attributes):
        attributes = {"PlatformCredential": "secret", **attributes}
        arn = sns.create_platform_application(Name=unique("app"), Platform=platform, Attributes=attributes)["PlatformApplicationArn"]
        made.append(arn)
        return arn

    yield make
    for arn in made:
        sns.delete_platform_application(PlatformApplicationArn=arn)


def refused(call, code, message=None):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert message is None or message in error["Message"], error


def test_an_application(sns, unique):
    name = unique("app")
    make = lambda **changes: sns.create_platform_application(
        **{"Name": name, "Platform": "APNS", "Attributes": {"PlatformCredential": "key", "PlatformPrincipal": "cert"}, **changes}
    )["PlatformApplicationArn"]
    arn = make()
    assert arn == f"arn:aws:sns:us-east-1:000000000000:app/APNS/{name}"
    assert make() == arn  # the same again
    refused(lambda: make(Attributes={"PlatformCredential": "other"}), "InvalidParameter", "already exists with different attributes")
    refused(lambda: make(Platform="PIGEON"), "InvalidParameter", "Platform")
    refused(lambda: make(Name="a b"), "InvalidParameter", "Name")
    refused(lambda: make(Name="n" * 257), "InvalidParameter", "Name")
    refused(lambda: make(Attributes={"PlatformPrincipal": "cert"}), "InvalidParameter", "PlatformCredential")
    refused(lambda: make(Attributes={"PlatformCredential": "x", "EventEndpointCreated": "arn"}), "InvalidParameter", "EventEndpointCreated is not supported")
    shown = sns.get_platform_application_attributes(PlatformApplicationArn=arn)["Attributes"]
    assert shown == {"Enabled": "true"}  # credentials are nobody's business
    sns.set_platform_application_attributes(PlatformApplicationArn=arn, Attributes={"Enabled": "false"})
    assert sns.get_platform_application_attributes(PlatformApplicationArn=arn)["Attributes"] == {"Enabled": "false"}
    pages = sns.get_paginator("list_platform_applications").paginate()
    assert arn in [one["PlatformApplicationArn"] for page in pages for one in page["PlatformApplications"]]
    sns.delete_platform_application(PlatformApplicationArn=arn)
    sns.delete_platform_application(PlatformApplicationArn=arn)
    refused(lambda: sns.get_platform_application_attributes(PlatformApplicationArn=arn), "NotFound", "PlatformApplication does not exist")
    refused(lambda: sns.get_platform_application_attributes(PlatformApplicationArn="x"), "InvalidParameter", "An ARN must have at least 6 elements, not 1")


def test_the_same_token_is_the_same_endpoint(sns, app):
    arn = app()
    make = lambda **extra: sns.create_platform_endpoint(PlatformApplicationArn=arn, Token="t1", **extra)["EndpointArn"]
    endpoint = make(CustomUserData="d")
    assert make(CustomUserData="d") == endpoint
    text = f"Invalid parameter: Token Reason: Endpoint {endpoint} already exists with the same Token, but different attributes."
    refused(lambda: make(CustomUserData="e"), "InvalidParameter", text)
    refused(lambda: make(CustomUserData="d", Attributes={"Enabled": "false"}), "InvalidParameter", text)
    other = sns.create_platform_endpoint(PlatformApplicationArn=arn, Token="t2")["EndpointArn"]
    refused(lambda: sns.set_endpoint_attributes(EndpointArn=other, Attributes={"Token": "t1"}), "InvalidParameter", endpoint)
    sns.set_endpoint_attributes(EndpointArn=endpoint, Attributes={"Token": "t3", "CustomUserData": "x" * 2048})
    shown = sns.get_endpoint_attributes(EndpointArn=endpoint)["Attributes"]
    assert shown == {"Enabled": "true", "Token": "t3", "CustomUserData": "x" * 2048}
    refused(lambda: sns.set_endpoint_attributes(EndpointArn=endpoint, Attributes={"CustomUserData": "x" * 2049}), "InvalidParameter", "CustomUserData")
    assert make(CustomUserData="d") not in (endpoint, other)  # its old token is free
    sns.delete_endpoint(EndpointArn=other)
    sns.delete_endpoint(EndpointArn=other)
    refused(lambda: sns.get_endpoint_attributes(EndpointArn=other), "NotFound", "Endpoint does not exist")


def test_endpoints_come_in_pages(sns, app):
    arn = app()
    made = {sns.create_platform_endpoint(PlatformApplicationArn=arn, Token=str(number))["EndpointArn"] for number in range(101)}
    first = sns.list_endpoints_by_platform_application(PlatformApplicationArn=arn)
    assert len(first["Endpoints"]) == 100
    rest = sns.list_endpoints_by_platform_application(PlatformApplicationArn=arn, NextToken=first["NextToken"])
    assert {one["EndpointArn"] for one in first["Endpoints"] + rest["Endpoints"]} == made and "NextToken" not in rest


def test_publishing_to_an_app(server, sns, app):
    arn = app()
    endpoint = sns.create_platform_endpoint(PlatformApplicationArn=arn, Token="t")["EndpointArn"]
    message = {"default": "d", "GCM": json.dumps({"notification": {"text": "hi"}})}
    sent = sns.publish(TargetArn=endpoint, MessageStructure="json", Message=json.dumps(message))["MessageId"]
    kept = [one for one in outbox(server, kind="push") if one["message_id"] == sent]
    assert [(one["to"], one["channel"], one["text"]) for one in kept] == [(endpoint, "GCM", message["GCM"])]
    sns.set_endpoint_attributes(EndpointArn=endpoint, Attributes={"Enabled": "false"})
    refused(lambda: sns.publish(TargetArn=endpoint, Message="m"), "EndpointDisabled", "Endpoint is disabled")
    sns.set_endpoint_attributes(EndpointArn=endpoint, Attributes={"Enabled": "true"})
    sns.set_platform_application_attributes(PlatformApplicationArn=arn, Attributes={"Enabled": "false"})
    refused(lambda: sns.publish(TargetArn=endpoint, Message="m"), "PlatformApplicationDisabled")
    sns.delete_endpoint(EndpointArn=endpoint)
    refused(lambda: sns.publish(TargetArn=endpoint, Message="m"), "InvalidParameter", "TargetArn Reason: No endpoint found for the target arn specified")


def test_an_app_subscribes(server, sns, app, unique):
    endpoint = sns.create_platform_endpoint(PlatformApplicationArn=app(), Token="t")["EndpointArn"]
    topic = sns.create_topic(Name=unique("t"))["TopicArn"]
    assert sns.subscribe(TopicArn=topic, Protocol="application", Endpoint=endpoint)["SubscriptionArn"].startswith(topic)
    sent = sns.publish(TopicArn=topic, Message="to all")["MessageId"]
    kept = eventually(lambda: [one for one in outbox(server, kind="push") if one["message_id"] == sent])
    assert (kept[0]["to"], kept[0]["topic_arn"], kept[0]["text"]) == (endpoint, topic, "to all")


def test_applications_are_their_accounts_alone(server, sns, app):
    other = server.client("sns", account="111122223333")
    refused(lambda: other.get_platform_application_attributes(PlatformApplicationArn=app()), "AuthorizationError")
