"""SNS to web servers: confirmation, signatures, retries by the clock, dead letters, raw delivery, HTTPS."""
import json
import ssl
import subprocess
import urllib.error

import botocore.exceptions
import pytest

from web_kit import Endpoint, advance, assert_signed, counts_of, eventually, visit

THREE_QUICK = {"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 5, "numRetries": 3, "numNoDelayRetries": 1}}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server of this file's own: its clock is moved."""
    from conftest import Server

    running = Server(tmp_path_factory.mktemp("web") / "data")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def sns(house):
    return house.client("sns")


@pytest.fixture(scope="module")
def sqs(house):
    return house.client("sqs")


@pytest.fixture
def endpoint():
    made = []

    def make(**options):
        made.append(Endpoint(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def hooked(sns, endpoint, unique):
    """A topic with a confirmed web server: (topic, subscription, server)."""

    def make(attributes=None, topic_attributes=None, **options):
        server = endpoint(**options)
        topic = sns.create_topic(Name=unique("t"), Attributes=topic_attributes or {})["TopicArn"]
        url = server.url
        if server.credentials:
            url = url.replace("://", f"://{server.credentials}@")
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{url}/hook?a=1", Attributes=attributes or {})
        _, message = server.message()
        while message["Type"] != "SubscriptionConfirmation" or server.last_status != 200:
            _, message = server.message()
        return topic, sns.confirm_subscription(TopicArn=topic, Token=message["Token"])["SubscriptionArn"], server

    return make


@pytest.fixture
def dead_letters(sqs, unique):
    """A queue for what cannot be delivered: its ARN, and what it holds."""
    url = sqs.create_queue(QueueName=unique("dlq"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    return arn, lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MessageAttributeNames=["All"]).get("Messages", [])


def test_confirm_by_visiting_the_link_and_receive(sns, endpoint, unique, tmp_path):
    server, topic = endpoint(), sns.create_topic(Name=unique("t"))["TopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{server.url}/hook")["SubscriptionArn"]
    assert arn == "pending confirmation"
    headers, message = server.message()
    assert headers["x-amz-sns-message-type"] == message["Type"] == "SubscriptionConfirmation"
    assert headers["x-amz-sns-topic-arn"] == message["TopicArn"] == topic
    assert headers["x-amz-sns-message-id"] == message["MessageId"]
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    assert headers["user-agent"] == "Amazon Simple Notification Service Agent"
    assert "x-amz-sns-subscription-arn" not in headers
    assert_signed(message, tmp_path)
    sns.publish(TopicArn=topic, Message="too early")
    assert f"<SubscriptionArn>{topic}:" in visit(message["SubscribeURL"])  # neither signature nor version

    sent = sns.publish(
        TopicArn=topic, Message="héllo \"you\"\n", Subject="greeting",
        MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}, "b": {"DataType": "Binary", "BinaryValue": b"\0\1"}},
    )["MessageId"]
    headers, message = server.message()
    assert (message["Type"], message["MessageId"], message["Message"], message["Subject"]) == ("Notification", sent, "héllo \"you\"\n", "greeting")
    assert message["MessageAttributes"] == {"n": {"Type": "Number", "Value": "1"}, "b": {"Type": "Binary", "Value": "AAE="}}
    assert message["SignatureVersion"] == "1"
    assert headers["x-amz-sns-subscription-arn"].startswith(f"{topic}:")
    assert_signed(message, tmp_path)

    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
    sns.publish(TopicArn=topic, Message="again")
    _, message = server.message()
    assert (message["Message"], message["SignatureVersion"]) == ("again", "2")
    assert_signed(message, tmp_path)

    # The link at its end, and the farewell, whose link brings it back.
    visit(message["UnsubscribeURL"])
    headers, message = server.message()
    assert headers["x-amz-sns-message-type"] == message["Type"] == "UnsubscribeConfirmation"
    assert_signed(message, tmp_path)
    sns.publish(TopicArn=topic, Message="to nobody")
    visit(message["SubscribeURL"])
    sns.publish(TopicArn=topic, Message="back")
    assert server.message()[1]["Message"] == "back"


def test_a_wrong_certificate_name_is_not_found(house):
    with pytest.raises(urllib.error.HTTPError) as refused:
        visit(f"{house.endpoint}/SimpleNotificationService-{'0' * 32}.pem")
    assert refused.value.code == 404


def test_a_link_with_a_wrong_token_confirms_nothing(house, sns, endpoint, unique):
    server, topic = endpoint(), sns.create_topic(Name=unique("t"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=server.url)
    server.message()
    with pytest.raises(urllib.error.HTTPError) as refused:
        visit(f"{house.endpoint}/?Action=ConfirmSubscription&TopicArn={topic}&Token={'0' * 64}")
    assert refused.value.code in (400, 403)
    with pytest.raises(urllib.error.HTTPError) as refused:
        visit(f"{house.endpoint}/?Action=ListTopics&Version=2010-03-31")
    assert refused.value.code == 403
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"


def test_failures_are_retried_by_the_clock(house, sns, hooked):
    topic, _, server = hooked({"DeliveryPolicy": json.dumps(THREE_QUICK)})
    server.answers = [500, 429, 503]
    sent = sns.publish(TopicArn=topic, Message="m")["MessageId"]
    ids = [server.message()[1]["MessageId"] for _ in range(2)]  # at once, and once without delay
    assert server.is_quiet()
    advance(house, 1)
    ids.append(server.message()[1]["MessageId"])
    assert server.is_quiet()
    advance(house, 5)
    headers, message = server.message()
    assert {sent, message["MessageId"], headers["x-amz-sns-message-id"], *ids} == {sent}
    assert server.is_quiet()


def test_what_is_exhausted_goes_to_the_dead_letters(house, sns, hooked, dead_letters):
    arn, letters = dead_letters
    policy = {"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 2}}
    topic, _, server = hooked({"DeliveryPolicy": json.dumps(policy), "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn})})
    server.answers = [500, 500, 500]
    sent = sns.publish(TopicArn=topic, Message="lost")["MessageId"]
    for _ in range(3):
        server.message()
        advance(house, 1)
    letter = eventually(letters)[0]
    body = json.loads(letter["Body"])
    assert (body["MessageId"], body["Message"]) == (sent, "lost")
    assert server.is_quiet()


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_clients_error_is_final(sns, hooked, dead_letters, status):
    arn, letters = dead_letters
    topic, _, server = hooked({"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn})})
    server.answers = [status]
    sns.publish(TopicArn=topic, Message="refused")
    server.message()
    assert json.loads(eventually(letters)[0]["Body"])["Message"] == "refused"
    assert server.is_quiet()  # neither tried again nor redirected


def test_what_happened_is_counted(house, sns, hooked):
    topic, _, server = hooked()
    server.answers = [200, 410]
    for _ in range(2):
        sns.publish(TopicArn=topic, Message="m")
        server.message()
    counts = eventually(lambda: (found := counts_of(house, topic))["failed"] and found)
    assert (counts["published"], counts["delivered"], counts["failed"]) == (2, 1, 1)
    assert "410" in counts["last_failure"]


def test_raw_delivery_and_its_content_type(sns, hooked):
    policy = {"requestPolicy": {"headerContentType": "text/csv"}}
    topic, subscription, server = hooked({"RawMessageDelivery": "true", "DeliveryPolicy": json.dumps(policy)})
    sns.publish(TopicArn=topic, Message="a,b\n", MessageAttributes={"n": {"DataType": "String", "StringValue": "1"}})
    headers, body = server.next()
    assert (body, headers["x-amz-sns-rawdelivery"], headers["content-type"]) == ("a,b\n", "true", "text/csv")
    assert headers["x-amz-sns-subscription-arn"] == subscription
    assert server.path == "/hook?a=1"
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="false")
    sns.publish(TopicArn=topic, Message="plain")
    headers, message = server.message()
    assert (message["Message"], headers["content-type"]) == ("plain", "text/plain; charset=UTF-8")
    assert "x-amz-sns-rawdelivery" not in headers


def test_each_protocol_has_its_text(sns, hooked):
    topic, _, server = hooked()
    sns.publish(TopicArn=topic, MessageStructure="json", Message=json.dumps({"default": "all", "http": "web", "https": "tls"}))
    assert server.message()[1]["Message"] == "web"


def test_credentials_are_given_when_asked_for_and_nowhere_else(house, sns, hooked):
    topic, subscription, server = hooked(credentials="me:s3cret-word")
    sns.publish(TopicArn=topic, Message="m")
    server.next()
    assert server.last_status == 401
    headers, body = server.next()
    assert server.last_status == 200 and headers["authorization"].startswith("Basic ")
    assert "s3cret" not in body
    assert "s3cret" not in house.data.with_suffix(".log").read_text()


def test_a_dead_server_holds_up_nobody(sns, endpoint, unique, hooked, dead_letters):
    dead = endpoint()
    topic, _, server = hooked()
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=dead.url)
    sns.confirm_subscription(TopicArn=topic, Token=dead.message()[1]["Token"])
    dead.close()
    for number in range(40):
        sns.publish(TopicArn=topic, Message=str(number))
    assert {server.message()[1]["Message"] for _ in range(40)} == {str(number) for number in range(40)}


def test_a_server_that_never_answers_holds_up_nobody(house, sns, hooked):
    policy = {"DeliveryPolicy": json.dumps({"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 1}})}
    (slow_topic, _, slow), (topic, _, server) = hooked(policy), hooked()
    slow.may_answer.clear()
    for number in range(50):
        sns.publish(TopicArn=slow_topic, Message=str(number))
    sns.publish(TopicArn=topic, Message="m")
    assert server.message(timeout=10)[1]["Message"] == "m"
    # Who gives no answer for 15 seconds has failed, and is asked again.
    slow.message()
    eventually(lambda: counts_of(house, slow_topic)["published"] == 50 and not slow.got.empty(), seconds=60)
    assert counts_of(house, slow_topic)["delivered"] == 0


def test_nothing_accepted_is_lost_by_a_crash(own_server, endpoint, unique):
    house = own_server()
    sns, server = house.client("sns"), endpoint()
    topic = sns.create_topic(Name=unique("t"))["TopicArn"]
    policy = json.dumps({"healthyRetryPolicy": {"minDelayTarget": 600, "maxDelayTarget": 600, "numRetries": 3}})
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=server.url, Attributes={"DeliveryPolicy": policy})
    sns.confirm_subscription(TopicArn=topic, Token=server.message()[1]["Token"])
    server.answers = [503] * 100
    sent = {sns.publish(TopicArn=topic, Message=str(number))["MessageId"] for number in range(100)}
    house.kill()
    while not server.is_quiet():
        pass
    server.answers = []
    house.restart()
    advance(house, 600)
    received = set()
    while received != sent:
        received.add(server.message()[1]["MessageId"])


def test_policies_and_what_they_come_to(sns, hooked):
    topic_policy = {"http": {"defaultHealthyRetryPolicy": {"minDelayTarget": 2, "maxDelayTarget": 9, "numRetries": 8}}}
    topic, subscription, _ = hooked(topic_attributes={"DeliveryPolicy": json.dumps(topic_policy)})
    effective = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["EffectiveDeliveryPolicy"])
    assert effective["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 8
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert json.loads(attributes["EffectiveDeliveryPolicy"])["healthyRetryPolicy"]["maxDelayTarget"] == 9
    own = json.dumps({"throttlePolicy": {"maxReceivesPerSecond": 3}, **THREE_QUICK})
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="DeliveryPolicy", AttributeValue=own)
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    effective = json.loads(attributes["EffectiveDeliveryPolicy"])
    assert (effective["healthyRetryPolicy"]["numRetries"], effective["throttlePolicy"]) == (3, {"maxReceivesPerSecond": 3})
    for numbers, why in [
        ({"minDelayTarget": 0}, "minDelayTarget must be greater than or equal to 1"),
        ({"maxDelayTarget": 3601}, "maxDelayTarget must be less than or equal to 3600"),
        ({"numRetries": 101}, "numRetries must be less than or equal to 100"),
        ({"minDelayTarget": 21}, "maxDelayTarget must be greater than or equal to minDelayTarget"),
        ({"backoffFunction": "x"}, "backoffFunction: the value [x] is not a valid backoff function"),
    ]:
        wrong = {"healthyRetryPolicy": {"minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, **numbers}}
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(wrong))
        error = refused.value.response["Error"]
        assert (error["Code"], error["Message"]) == ("InvalidParameter", f"Invalid parameter: DeliveryPolicy: healthyRetryPolicy.{why}")


def test_the_pace_is_kept(house, sns, hooked):
    topic, _, server = hooked({"DeliveryPolicy": json.dumps({"throttlePolicy": {"maxReceivesPerSecond": 1}})})
    for number in range(3):
        sns.publish(TopicArn=topic, Message=str(number))
    server.message()
    assert server.is_quiet(0.3)
    for _ in range(2):
        advance(house, 1)
        server.message()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """An authority that no system knows, and a certificate of its for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    file = lambda name: str(folder / name)
    run = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", file("ca.key"), "-out", file("ca.pem"))
    run("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", file("key.pem"), "-out", file("request.pem"))
    (folder / "extensions").write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n")
    run("x509", "-req", "-in", file("request.pem"), "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-days", "2",
        "-extfile", file("extensions"), "-CAcreateserial", "-out", file("cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file("cert.pem"), file("key.pem"))
    return folder / "ca.pem", context


def test_https_wants_a_certificate_that_the_system_trusts(own_server, endpoint, certificate, unique):
    file, context = certificate
    server = endpoint(tls=context)
    trusting, doubting = own_server(environment={"SSL_CERT_FILE": str(file)}), own_server()
    for house in (doubting, trusting):
        sns = house.client("sns")
        topic = sns.create_topic(Name=unique("t"))["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=f"{server.url}/hook")
    _, message = server.message()
    assert message["TopicArn"] == topic  # the trusting one's
    sns.confirm_subscription(TopicArn=topic, Token=message["Token"])
    sns.publish(TopicArn=topic, Message="over TLS")
    assert server.message()[1]["Message"] == "over TLS"
    assert server.is_quiet()
