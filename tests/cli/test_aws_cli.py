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


def test_versions_and_aliases(cli, unique, tmp_path):
    aws, name = cli, unique("cli")
    for number in (1, 2):
        source = f"def handler(e, c): return [{number}, c.function_version]\n"
        (tmp_path / f"{number}.zip").write_bytes(zipped({"app.py": source}))
    made = aws("lambda", "create-function", "--function-name", name, "--runtime", PYTHON, "--handler", "app.handler",
               "--role", "arn:aws:iam::000000000000:role/cli", "--zip-file", "fileb://1.zip", "--publish")
    assert made["Version"] == "1"
    aws("lambda", "wait", "published-version-active", "--function-name", name, "--qualifier", "1")
    aws("lambda", "create-alias", "--function-name", name, "--name", "live", "--function-version", "1")
    aws("lambda", "update-function-code", "--function-name", name, "--zip-file", "fileb://2.zip")
    assert aws("lambda", "publish-version", "--function-name", name, "--description", "second")["Version"] == "2"

    def invoke(qualifier):
        aws("lambda", "invoke", "--function-name", name, "--qualifier", qualifier, "out.json")
        return json.loads((tmp_path / "out.json").read_text())

    assert [invoke(q) for q in ("1", "2", "live", "$LATEST")] == [[1, "1"], [2, "2"], [1, "1"], [2, "$LATEST"]]
    routed = aws("lambda", "update-alias", "--function-name", name, "--name", "live",
                 "--routing-config", "AdditionalVersionWeights={2=1}")
    assert routed["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 1.0}}
    assert invoke("live") == [2, "2"]
    listed = aws("lambda", "list-versions-by-function", "--function-name", name)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]
    assert [a["Name"] for a in aws("lambda", "list-aliases", "--function-name", name)["Aliases"]] == ["live"]
    aws("lambda", "delete-alias", "--function-name", name, "--name", "live")
    aws("lambda", "delete-function", "--function-name", name, "--qualifier", "1")
    aws("lambda", "delete-function", "--function-name", name)
