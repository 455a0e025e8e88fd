"""Topics through boto3: made, changed, listed, tagged, shared and deleted."""
import json

import pytest
from sns_kit import *

ACCOUNT = "000000000000"


def test_a_topic_is_made_once(sns, topic):
    name = new_name()
    arn = topic(name)
    assert arn == f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}"
    assert sns.create_topic(Name=name)["TopicArn"] == arn


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 256])
def test_names_within_the_rules(topic, name, sns):
    arn = topic(name)
    assert arn.endswith(":" + name)


@pytest.mark.parametrize("name", ["", "x" * 257, "a.b", "a b", "ä", "a.fifo"])
def test_names_outside_the_rules(sns, refused, name):
    assert refused(sns.create_topic, Name=name) == ("InvalidParameter", "Invalid parameter: Topic Name")


def test_a_fifo_name_ends_with_fifo(sns, refused, topic):
    code, message = refused(sns.create_topic, Name="plain", Attributes={"FifoTopic": "true"})
    assert code == "InvalidParameter" and "must end with .fifo" in message
    code, message = refused(sns.create_topic, Name="x" * 252 + ".fifo", Attributes={"FifoTopic": "true"})
    assert code == "InvalidParameter" and "between 1 and 256" in message
    assert topic("x" * 251 + ".fifo", fifo=True)


def test_made_again_with_other_attributes_or_tags(sns, topic, refused):
    name = new_name()
    arn = topic(name, tags=[{"Key": "k", "Value": "v"}], DisplayName="one")
    assert sns.create_topic(Name=name, Attributes={"DisplayName": "one"})["TopicArn"] == arn
    assert refused(sns.create_topic, Name=name, Attributes={"DisplayName": "two"}) == (
        "InvalidParameter", "Invalid parameter: Attributes Reason: Topic already exists with different attributes")
    assert refused(sns.create_topic, Name=name, Tags=[{"Key": "k", "Value": "w"}]) == (
        "InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags")


def test_attributes_of_a_new_topic(sns, topic):
    arn = topic()
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    policy = json.loads(shown.pop("Policy"))
    effective = json.loads(shown.pop("EffectiveDeliveryPolicy"))
    assert shown == {
        "TopicArn": arn, "Owner": ACCOUNT, "DisplayName": "", "SubscriptionsConfirmed": "0", "SubscriptionsPending": "0",
        "SubscriptionsDeleted": "0",
    }
    assert policy["Id"] == "__default_policy_ID"
    assert policy["Statement"][0]["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    assert effective["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3


def test_attributes_are_set_and_taken_back(sns, topic):
    arn = topic()
    given = {
        "DisplayName": "Orders", "KmsMasterKeyId": "alias/aws/sns", "TracingConfig": "Active", "SignatureVersion": "2",
        "MaximumMessageSize": "1048576", "SQSSuccessFeedbackRoleArn": "arn:aws:iam::000000000000:role/r",
        "SQSSuccessFeedbackSampleRate": "100",
    }
    for name, value in given.items():
        sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert given.items() <= shown.items()
    for name in given:
        sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue="")
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert shown["DisplayName"] == "" and not (given.keys() - {"DisplayName"}) & shown.keys()


@pytest.mark.parametrize("name, value", [
    ("DisplayName", "x" * 101), ("DisplayName", "a\nb"), ("TracingConfig", "On"), ("SignatureVersion", "3"),
    ("MaximumMessageSize", "1023"), ("MaximumMessageSize", "1048577"), ("SQSSuccessFeedbackSampleRate", "101"),
    ("ContentBasedDeduplication", "true"), ("ArchivePolicy", '{"MessageRetentionPeriod":"1"}'), ("DeliveryPolicy", "{"),
    ("Policy", "{"),
])
def test_values_outside_the_rules(sns, topic, refused, name, value):
    arn = topic()
    before = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    code, _ = refused(sns.set_topic_attributes, TopicArn=arn, AttributeName=name, AttributeValue=value)
    assert code == "InvalidParameter"
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"] == before


@pytest.mark.parametrize("name, value", [("DisplayName", "x" * 100), ("MaximumMessageSize", "1024")])
def test_values_just_inside(sns, topic, name, value):
    arn = topic()
    sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"][name] == value


@pytest.mark.parametrize("name", ["FifoTopic", "Owner", "TopicArn", "Nonsense"])
def test_what_is_no_attribute_cannot_be_set(sns, topic, refused, name):
    answer = refused(sns.set_topic_attributes, TopicArn=topic(), AttributeName=name, AttributeValue="x")
    assert answer == ("InvalidParameter", "Invalid parameter: AttributeName")
    code, message = refused(sns.create_topic, Name=new_name(), Attributes={"Nonsense": "x"})
    assert (code, message) == ("InvalidParameter", "Invalid parameter: Attributes Reason: Unknown attribute Nonsense")


def test_what_is_no_topic(sns, refused):
    missing = f"arn:aws:sns:us-east-1:{ACCOUNT}:{new_name()}"
    assert refused(sns.get_topic_attributes, TopicArn=missing) == ("NotFound", "Topic does not exist")
    assert refused(sns.get_topic_attributes, TopicArn="x") == (
        "InvalidParameter", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1")
    elsewhere = f"arn:aws:sns:eu-west-1:{ACCOUNT}:t"
    assert refused(sns.get_topic_attributes, TopicArn=elsewhere) == ("InvalidParameter", "Invalid parameter: TopicArn")


def test_deleting_is_idempotent_and_leaves_nothing(sns, topic, subscribed):
    name = new_name()
    arn = topic(name, DisplayName="old", tags=[{"Key": "a", "Value": "b"}])
    subscribed(arn)
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    assert topic(name) == arn
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (shown["DisplayName"], shown["SubscriptionsConfirmed"]) == ("", "0")
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == []


def test_lists_have_a_hundred_a_page(server):
    client = server.client("sns", account="123456789012", region="eu-north-1")
    made = {client.create_topic(Name=f"page-{number:03}")["TopicArn"] for number in range(101)}
    first = client.list_topics()
    assert len(first["Topics"]) == 100
    second = client.list_topics(NextToken=first["NextToken"])
    assert "NextToken" not in second
    assert {one["TopicArn"] for one in first["Topics"] + second["Topics"]} == made
    client.delete_topic(TopicArn=sorted(made)[-1])
    assert "NextToken" not in client.list_topics()


def test_a_token_that_is_none(sns, refused):
    assert refused(sns.list_topics, NextToken="%%%") == ("InvalidParameter", "Invalid parameter: NextToken")


def test_tags(sns, topic, refused):
    arn = topic(tags=[{"Key": "a", "Value": "1"}])
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["b", "none"])
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    twice = [{"Key": "x", "Value": "1"}, {"Key": "x", "Value": "2"}]
    assert refused(sns.tag_resource, ResourceArn=arn, Tags=twice) == (
        "InvalidParameter", "Invalid parameter: Duplicated keys are not allowed.")
    many = [{"Key": f"k{number}", "Value": ""} for number in range(49)]
    sns.tag_resource(ResourceArn=arn, Tags=many)
    assert refused(sns.tag_resource, ResourceArn=arn, Tags=[{"Key": "last", "Value": ""}])[0] == "TagLimitExceeded"
    missing = f"arn:aws:sns:us-east-1:{ACCOUNT}:{new_name()}"
    assert refused(sns.list_tags_for_resource, ResourceArn=missing) == ("ResourceNotFound", "Resource does not exist")


def test_permissions_are_statements(sns, topic, refused):
    arn = topic()
    sns.add_permission(TopicArn=arn, Label="let", AWSAccountId=["111111111111"], ActionName=["Publish", "Subscribe"])
    policy = json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])
    assert policy["Statement"][-1] == {
        "Sid": "let", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": ["SNS:Publish", "SNS:Subscribe"], "Resource": arn,
    }
    again = dict(TopicArn=arn, Label="let", AWSAccountId=["111111111111"], ActionName=["Publish"])
    assert refused(sns.add_permission, **again) == ("InvalidParameter", "Invalid parameter: Statement already exists")
    wrong = {**again, "Label": "other", "ActionName": ["Nonsense"]}
    assert refused(sns.add_permission, **wrong) == (
        "InvalidParameter", "Invalid parameter: Policy statement action out of service scope!")
    sns.remove_permission(TopicArn=arn, Label="let")
    policy = json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["__default_statement_ID"]


def test_another_account_needs_the_policy(server, sns, topic, refused):
    arn = topic()
    other = server.client("sns", account="111111111111")
    assert refused(other.publish, TopicArn=arn, Message="x")[0] == "AuthorizationError"
    assert refused(other.set_topic_attributes, TopicArn=arn, AttributeName="DisplayName", AttributeValue="x")[0] == (
        "AuthorizationError")


def test_data_protection_is_refused_by_name_and_never_faked(sns, topic, refused):
    arn = topic()
    assert "DataProtectionPolicy" not in sns.get_data_protection_policy(ResourceArn=arn)
    empty = json.dumps({"Name": "p", "Version": "2021-06-01", "Statement": []})
    sns.put_data_protection_policy(ResourceArn=arn, DataProtectionPolicy=empty)
    assert sns.get_data_protection_policy(ResourceArn=arn)["DataProtectionPolicy"] == empty
    deny = json.dumps({"Name": "p", "Version": "2021-06-01", "Statement": [{
        "DataDirection": "Inbound", "Principal": ["*"], "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/EmailAddress"],
        "Operation": {"Deny": {}}}]})
    code, message = refused(sns.put_data_protection_policy, ResourceArn=arn, DataProtectionPolicy=deny)
    assert code == "InvalidParameter" and "Deny" in message
    code, message = refused(sns.create_topic, Name=new_name(), DataProtectionPolicy=deny)
    assert code == "InvalidParameter" and "Deny" in message
    sns.put_data_protection_policy(ResourceArn=arn, DataProtectionPolicy="")
    assert "DataProtectionPolicy" not in sns.get_data_protection_policy(ResourceArn=arn)


def test_fifo_attributes(sns, topic):
    arn = topic(fifo=True)
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (shown["FifoTopic"], shown["ContentBasedDeduplication"], shown["FifoThroughputScope"]) == ("true", "false", "Topic")
    for name, value in [("ContentBasedDeduplication", "true"), ("FifoThroughputScope", "MessageGroup")]:
        sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
        assert sns.get_topic_attributes(TopicArn=arn)["Attributes"][name] == value


def test_topics_survive_a_crash(own_server):
    server = own_server()
    client = server.client("sns")
    arn = client.create_topic(Name="kept", Attributes={"DisplayName": "d"}, Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    subscription = client.subscribe(
        TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:000000000000:q", ReturnSubscriptionArn=True)
    server.kill()
    server.restart()
    client = server.client("sns")
    assert client.get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "d"
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    listed = client.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert [one["SubscriptionArn"] for one in listed] == [subscription["SubscriptionArn"]]
