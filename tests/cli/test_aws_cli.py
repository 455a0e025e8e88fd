"""The AWS CLI, as people type it."""
import json

from conftest import PYTHON, zipped


def test_create_invoke_update_delete(cli, unique, tmp_path):
    aws = cli
    name = unique("cli")
    (tmp_path / "one.zip").write_bytes(zipped({"app.py": "def handler(e, c):\n    print('hi')\n    return {'got': e}\n"}))
    (tmp_path / "two.zip").write_bytes(zipped({"app.py": "def handler(e, c): return 'two'\n"}))
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", json.dumps(trust))["Role"]
    assert role["AssumeRolePolicyDocument"] == trust
    aws("iam", "attach-role-policy", "--role-name", name,
        "--policy-arn", "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")

    made = aws("lambda", "create-function", "--function-name", name, "--runtime", PYTHON, "--role", role["Arn"],
               "--handler", "app.handler", "--zip-file", "fileb://one.zip")
    assert made["FunctionName"] == name
    aws("lambda", "wait", "function-active-v2", "--function-name", name)
    answer = aws("lambda", "invoke", "--function-name", name, "--payload", '{"a": 1}', "out.json")
    assert answer["StatusCode"] == 200
    assert json.loads((tmp_path / "out.json").read_text()) == {"got": {"a": 1}}

    aws("lambda", "update-function-code", "--function-name", name, "--zip-file", "fileb://two.zip")
    aws("lambda", "wait", "function-updated-v2", "--function-name", name)
    aws("lambda", "invoke", "--function-name", name, "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == "two"
    assert name in [f["FunctionName"] for f in aws("lambda", "list-functions")["Functions"]]

    streams = aws("logs", "describe-log-streams", "--log-group-name", f"/aws/lambda/{name}")["logStreams"]
    assert streams
    aws("lambda", "delete-function", "--function-name", name)
    aws("iam", "detach-role-policy", "--role-name", name,
        "--policy-arn", "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")
    aws("iam", "delete-role", "--role-name", name)
    assert aws("sts", "get-caller-identity")["Account"] == "000000000000"
