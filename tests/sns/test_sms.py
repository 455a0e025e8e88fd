"""SNS to telephones: records in the outbox, settings, STOP, and the sandbox's list."""
import json
import re
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from conftest import lamplighter
from web_kit import advance, eventually, outbox


@pytest.fixture
def house(own_server):
    return own_server()


@pytest.fixture
def sns(house):
    return house.client("sns")


def refused(call, code, message=None):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert message is None or message in error["Message"], error


def say_stop(house, number):
    body = json.dumps({"phone_number": number}).encode()
    request = urllib.request.Request(f"{house.endpoint}/_lamplighter/outbox/stop", body, {"x-lamplighter": "1"})
    urllib.request.urlopen(request, timeout=30).read()


def test_a_text_message_is_kept_and_not_sent(house, sns):
    sns.set_sms_attributes(attributes={"DefaultSenderID": "Shop", "DefaultSMSType": "Transactional"})
    sent = sns.publish(PhoneNumber="+15550100", Message="hello")["MessageId"]
    own = {"AWS.SNS.SMS.SenderID": "Other", "AWS.SNS.SMS.SMSType": "Promotional"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in own.items()}
    sns.publish(PhoneNumber="+15550101", Message="x" * 1600, MessageAttributes=attributes)
    first, second = outbox(house, kind="sms")
    assert (first["message_id"], first["to"], first["text"]) == (sent, "+15550100", "hello")
    assert (first["subject"], first["channel"]) == ("Shop", "Transactional")
    assert (second["subject"], second["channel"]) == ("Other", "Promotional")
    assert outbox(house, kind="push") == []
    assert outbox(house, account="111122223333") == []
    refused(lambda: sns.publish(PhoneNumber="+15550100", Message="x" * 1601), "InvalidParameter", "too long")
    refused(lambda: sns.publish(PhoneNumber="5550100", Message="m"), "InvalidParameter", "PhoneNumber Reason: 5550100 is not valid to publish to")
    house.kill()
    house.restart()
    assert len(outbox(house)) == 2


def test_subscribers_by_telephone(house, sns, unique):
    topic = sns.create_topic(Name=unique("t"))["TopicArn"]
    for number in ("+15550100", "+15550101"):
        assert sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint=number)["SubscriptionArn"].startswith(topic)
    say_stop(house, "+15550101")
    sns.publish(TopicArn=topic, MessageStructure="json", Message=json.dumps({"default": "d", "sms": "short"}))
    kept = eventually(lambda: outbox(house, kind="sms"))
    assert [(one["to"], one["text"], one["topic_arn"]) for one in kept] == [("+15550100", "short", topic)]


def test_stop_and_opting_in_again(house, sns):
    assert sns.check_if_phone_number_is_opted_out(phoneNumber="+15550100")["isOptedOut"] is False
    say_stop(house, "+15550100")
    assert sns.check_if_phone_number_is_opted_out(phoneNumber="+15550100")["isOptedOut"] is True
    assert sns.list_phone_numbers_opted_out()["phoneNumbers"] == ["+15550100"]
    sns.publish(PhoneNumber="+15550100", Message="not wanted")
    assert outbox(house) == []
    sns.opt_in_phone_number(phoneNumber="+15550100")
    assert sns.list_phone_numbers_opted_out()["phoneNumbers"] == []
    sns.publish(PhoneNumber="+15550100", Message="wanted")
    assert [one["text"] for one in outbox(house)] == ["wanted"]
    # Once in thirty days.
    say_stop(house, "+15550100")
    refused(lambda: sns.opt_in_phone_number(phoneNumber="+15550100"), "InvalidParameter")
    advance(house, 30 * 86_400)
    sns.opt_in_phone_number(phoneNumber="+15550100")
    refused(lambda: sns.check_if_phone_number_is_opted_out(phoneNumber="x"), "InvalidParameter", "input incorrectly formatted")


def test_opted_out_numbers_come_in_pages(house, sns):
    numbers = [f"+1555{number:04}" for number in range(101)]
    for number in numbers:
        say_stop(house, number)
    first = sns.list_phone_numbers_opted_out()
    assert len(first["phoneNumbers"]) == 100
    rest = sns.list_phone_numbers_opted_out(nextToken=first["nextToken"])
    assert first["phoneNumbers"] + rest["phoneNumbers"] == numbers and "nextToken" not in rest
    refused(lambda: sns.list_phone_numbers_opted_out(nextToken="!"), "InvalidParameter")


def test_settings(sns):
    assert sns.get_sms_attributes()["attributes"] == {"MonthlySpendLimit": "1"}
    sns.set_sms_attributes(attributes={"DefaultSMSType": "Promotional", "DefaultSenderID": "a1234567890"})
    assert sns.get_sms_attributes(attributes=["DefaultSMSType"])["attributes"] == {"DefaultSMSType": "Promotional"}
    for name, value in [
        ("DefaultSMSType", "Fast"), ("DefaultSenderID", "a12345678901"), ("DefaultSenderID", "123"),
        ("DeliveryStatusSuccessSamplingRate", "101"), ("MonthlySpendLimit", "-1"), ("Unknown", "1"),
    ]:
        refused(lambda: sns.set_sms_attributes(attributes={name: value}), "InvalidParameter", name)
    assert sns.get_sms_attributes()["attributes"]["DefaultSenderID"] == "a1234567890"
    assert sns.list_origination_numbers()["PhoneNumbers"] == []


def test_the_sandboxs_list(house, sns):
    assert sns.get_sms_sandbox_account_status()["IsInSandbox"] is False
    sns.create_sms_sandbox_phone_number(PhoneNumber="+15550100000")
    password = re.search(r"\d{6}$", outbox(house, kind="sms")[0]["text"]).group()
    listed = sns.list_sms_sandbox_phone_numbers()["PhoneNumbers"]
    assert listed == [{"PhoneNumber": "+15550100000", "Status": "Pending"}]
    wrong = f"{(int(password) + 1) % 1_000_000:06}"
    refused(lambda: sns.verify_sms_sandbox_phone_number(PhoneNumber="+15550100000", OneTimePassword=wrong), "VerificationException")
    sns.verify_sms_sandbox_phone_number(PhoneNumber="+15550100000", OneTimePassword=password)
    assert sns.list_sms_sandbox_phone_numbers()["PhoneNumbers"][0]["Status"] == "Verified"
    for number in range(9):
        sns.create_sms_sandbox_phone_number(PhoneNumber=f"+1555010001{number}")
    refused(lambda: sns.create_sms_sandbox_phone_number(PhoneNumber="+15550100099"), "UserError")
    first = sns.list_sms_sandbox_phone_numbers(MaxResults=7)
    rest = sns.list_sms_sandbox_phone_numbers(MaxResults=7, NextToken=first["NextToken"])
    assert (len(first["PhoneNumbers"]), len(rest["PhoneNumbers"])) == (7, 3)
    sns.delete_sms_sandbox_phone_number(PhoneNumber="+15550100000")
    refused(lambda: sns.delete_sms_sandbox_phone_number(PhoneNumber="+15550100000"), "ResourceNotFound")
    # A password ends.
    late = re.search(r"\d{6}$", outbox(house, kind="sms")[-1]["text"]).group()
    advance(house, 15 * 60)
    refused(lambda: sns.verify_sms_sandbox_phone_number(PhoneNumber="+15550100018", OneTimePassword=late), "VerificationException")


def test_a_mailbox_confirms_by_its_link_and_from_the_command_line(house, sns, unique):
    topic = sns.create_topic(Name=unique("t"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="me@example.com")
    sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="robot@example.com")
    asked = eventually(lambda: len(outbox(house)) == 2 and outbox(house))
    assert all("Action=ConfirmSubscription" in one["link"] for one in asked)
    shown = lamplighter("outbox", "--endpoint", house.endpoint)
    assert shown.returncode == 0 and "me@example.com" in shown.stdout and "Subscription Confirmation" in shown.stdout, shown
    for one in asked:
        confirmed = lamplighter("outbox", "confirm", one["sequence"], "--endpoint", house.endpoint)
        assert confirmed.returncode == 0 and one["to"] in confirmed.stdout, confirmed
    sns.publish(TopicArn=topic, Message="dear reader", Subject="news")
    mail = eventually(lambda: outbox(house, kind="email", after=asked[-1]["sequence"]))[0]
    assert (mail["to"], mail["subject"]) == ("me@example.com", "news") and mail["text"].startswith("dear reader")
    data = eventually(lambda: outbox(house, kind="email-json", after=asked[-1]["sequence"]))[0]
    message = json.loads(data["text"])
    assert (message["Message"], message["Type"]) == ("dear reader", "Notification") and message["Signature"]
    stopped = lamplighter("outbox", "stop", "+15550100", "--endpoint", house.endpoint)
    assert stopped.returncode == 0, stopped
    assert sns.check_if_phone_number_is_opted_out(phoneNumber="+15550100")["isOptedOut"] is True


def test_the_outbox_is_closed_to_others(house):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{house.endpoint}/_lamplighter/outbox", timeout=30)
    assert caught.value.code == 403
