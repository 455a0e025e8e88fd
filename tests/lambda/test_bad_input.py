"""Bad input gets AWS's error and changes nothing."""
import io
import json
import urllib.request
import zipfile

import pytest
from botocore.exceptions import ClientError
from conftest import PYTHON, ROLE, zipped

GOOD = zipped({"app.py": "def handler(e, c): return 1\n"})


def archive(*entries):
    """A zip with entries of any kind: (name, content, external_attr)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content, attributes in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = attributes
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, content)
    return buffer.getvalue()


FILE, LINK = 0o100644 << 16, 0o120777 << 16
BOMB = archive(*[(f"{n}.bin", b"\0" * (64 * 1024 * 1024), FILE) for n in range(4)])

CASES = {
    "not a zip": ({"Code": {"ZipFile": b"hello"}}, "InvalidParameterValueException", "Could not unzip uploaded file"),
    "empty zip": ({"Code": {"ZipFile": archive()}}, "InvalidParameterValueException", "zip"),
    "truncated zip": ({"Code": {"ZipFile": GOOD[:-30]}}, "InvalidParameterValueException", "Could not unzip"),
    "path traversal": (
        {"Code": {"ZipFile": archive(("../evil.py", "x", FILE))}}, "InvalidParameterValueException", "Could not unzip"),
    "absolute path": (
        {"Code": {"ZipFile": archive(("/etc/evil", "x", FILE))}}, "InvalidParameterValueException", "Could not unzip"),
    "symlink escape": (
        {"Code": {"ZipFile": archive(("link", "../../etc/shadow", LINK))}},
        "InvalidParameterValueException", "Could not unzip"),
    "zip bomb": (
        {"Code": {"ZipFile": BOMB}},
        "InvalidParameterValueException", "Unzipped size must be smaller than 262144000 bytes"),
    "missing handler": (
        {"Handler": None}, "InvalidParameterValueException",
        "Runtime and Handler are mandatory parameters for functions created with deployment packages."),
    "unknown runtime": ({"Runtime": "python9.9"}, "InvalidParameterValueException", "python9.9"),
    "bad role": ({"Role": "not-a-role"}, "ValidationException", "'role' failed to satisfy constraint"),
    "little memory": ({"MemorySize": 64}, "ValidationException", "greater than or equal to 128"),
    "much memory": ({"MemorySize": 20000}, "InvalidParameterValueException", "less than or equal to 10240"),
    "long timeout": ({"Timeout": 901}, "InvalidParameterValueException", "less than or equal to 900"),
    "reserved variable": (
        {"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException",
        "Reserved keys used in this request: AWS_REGION"),
    "large environment": (
        {"Environment": {"Variables": {"AA": "x" * 5000}}}, "InvalidParameterValueException", "4KB limit"),
    "bad name": ({"FunctionName": "no spaces please"}, "ValidationException", "functionName"),
    "image": ({"PackageType": "Image", "Code": {"ImageUri": "x/y:z"}, "Runtime": None, "Handler": None}, None, "not supported"),
    "package in S3": ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, None, "not supported"),
    "missing layer": (
        {"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, "InvalidParameterValueException",
        "Layer version arn:aws:lambda:us-east-1:000000000000:layer:l:1 does not exist."),
    "dead letters": (
        {"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:no-such-queue"}},
        "InvalidParameterValueException", "it does not exist"),
}


@pytest.mark.parametrize("case", CASES)
def test_create_function_refuses(server, unique, case):
    changes, code, text = CASES[case]
    client = server.client("lambda", parameter_validation=False)
    name = unique("bad")
    parameters = {
        "FunctionName": name, "Runtime": PYTHON, "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": GOOD}, **changes
    }
    with pytest.raises(ClientError) as refused:
        client.create_function(**{key: value for key, value in parameters.items() if value is not None})
    error = refused.value.response["Error"]
    assert text in error["Message"], error
    assert code in (None, error["Code"]), error
    assert 400 <= refused.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)


def test_a_refused_update_changes_nothing(aws, make):
    name = make("def handler(e, c): return 'kept'\n")
    before = aws.get_function_configuration(FunctionName=name)
    with pytest.raises(ClientError):
        aws.update_function_code(FunctionName=name, ZipFile=b"not a zip")
    with pytest.raises(ClientError):
        aws.update_function_configuration(FunctionName=name, Environment={"Variables": {"AWS_REGION": "x"}})
    after = aws.get_function_configuration(FunctionName=name)
    assert {k: v for k, v in after.items() if k != "ResponseMetadata"} == {
        k: v for k, v in before.items() if k != "ResponseMetadata"
    }
    assert json.loads(aws.invoke(FunctionName=name)["Payload"].read()) == "kept"


def test_create_twice(aws, make):
    name = make("")
    with pytest.raises(aws.exceptions.ResourceConflictException) as refused:
        make("", FunctionName=name)
    assert refused.value.response["Error"]["Message"] == f"Function already exist: {name}"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409


def test_function_name_forms(aws, make):
    name = make("def handler(e, c): return c.invoked_function_arn\n")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    for form in [name, f"000000000000:function:{name}", f"000000000000:{name}", arn, f"{name}:$LATEST", f"{arn}:$LATEST"]:
        assert aws.get_function_configuration(FunctionName=form)["FunctionName"] == name, form
        assert json.loads(aws.invoke(FunctionName=form)["Payload"].read()).startswith(arn), form
    with pytest.raises(aws.exceptions.ResourceNotFoundException) as missing:
        aws.invoke(FunctionName=name, Qualifier="PROD")
    assert missing.value.response["Error"]["Message"] == f"Function not found: {arn}:PROD"
    with pytest.raises(aws.exceptions.InvalidParameterValueException) as mismatch:
        aws.get_function(FunctionName=f"{name}:1", Qualifier="2")
    assert mismatch.value.response["Error"]["Message"] == (
        "The derived qualifier from the function name does not match the specified qualifier."
    )


def test_unknown_operation_is_named(server):
    client = server.client("lambda")
    with pytest.raises(ClientError) as refused:
        client.list_capacity_providers()
    assert "ListCapacityProviders" in refused.value.response["Error"]["Message"]
    assert "not supported" in refused.value.response["Error"]["Message"]


def test_an_unmodelled_path_is_an_error_and_no_crash(server):
    request = urllib.request.Request(f"{server.endpoint}/2015-03-31/nothing-like-it", method="POST", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert 400 <= refused.value.code < 500
