"""Who may come in: signatures, their age, and the accounts that keys mean."""
import datetime
import http.client
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError


def signed(server, key="test", secret="test", age=0, presign=None):
    """The status and text of a ListFunctions, signed so many minutes ago, by plain HTTP."""
    request = botocore.awsrequest.AWSRequest("GET", f"{server.endpoint}/2015-03-31/functions/")
    credentials = botocore.credentials.Credentials(key, secret)
    if presign:
        signer = botocore.auth.SigV4QueryAuth(credentials, "lambda", "us-east-1", expires=presign)
    else:
        signer = botocore.auth.SigV4Auth(credentials, "lambda", "us-east-1")
    real = botocore.auth.get_current_datetime
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=age)
    botocore.auth.get_current_datetime = lambda *a, **k: at
    try:
        signer.add_auth(request)
    finally:
        botocore.auth.get_current_datetime = real
    prepared = request.prepare()
    plain = urllib.request.Request(prepared.url, headers=dict(prepared.headers), method="GET")
    try:
        with urllib.request.urlopen(plain) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("x-amzn-errortype", "") + " " + error.read().decode()


def test_good_signatures(server):
    assert signed(server)[0] == 200
    assert signed(server, presign=60)[0] == 200
    assert signed(server, age=14)[0] == 200


@pytest.mark.parametrize("what, options, code", [
    ("wrong secret", {"secret": "wrong"}, "InvalidSignatureException"),
    ("unknown key", {"key": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
    ("too old", {"age": 20}, "InvalidSignatureException"),
    ("from the future", {"age": -20}, "InvalidSignatureException"),
    ("presigned and past its life", {"presign": 60, "age": 2}, "Exception"),
])
def test_bad_signatures(server, what, options, code):
    status, text = signed(server, **options)
    assert status in (400, 403), (what, text)
    assert code in text, (what, text)


def test_unsigned(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/2015-03-31/functions/")
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"Missing Authentication Token" in answer.read()


def test_auth_off_takes_anything(own_server):
    server = own_server("--auth", "off")
    assert signed(server, key="AKIAWHATEVER", secret="whatever")[0] == 200
    assert signed(server, age=5 * 60)[0] == 200


def test_caller_identity_and_assumed_role(server):
    sts = server.client("sts", account="222222222222")
    me = sts.get_caller_identity()
    assert (me["Account"], me["Arn"]) == ("222222222222", "arn:aws:iam::222222222222:root")
    answer = sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/path/worker", RoleSessionName="s1")
    keys = answer["Credentials"]
    assumed = boto3.client(
        "sts", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"],
    )
    assert assumed.get_caller_identity()["Arn"] == "arn:aws:sts::222222222222:assumed-role/worker/s1"
    tampered = boto3.client(
        "sts", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"][:-4] + "AAAA",
    )
    with pytest.raises(ClientError) as refused:
        tampered.get_caller_identity()
    assert refused.value.response["Error"]["Code"] in ("InvalidClientTokenId", "InvalidToken")
