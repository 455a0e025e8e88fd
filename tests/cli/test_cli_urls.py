"""Function URLs and policies through the AWS CLI."""
import json

from conftest import ROLE, PYTHON, zipped


def test_a_url_is_made_and_opened(cli, tmp_path, unique):
    (tmp_path / "f.zip").write_bytes(zipped({"app.py": "def handler(e, c): return 1\n"}))
    name = unique()
    cli("lambda", "create-function", "--function-name", name, "--runtime", PYTHON, "--role", ROLE,
        "--handler", "app.handler", "--zip-file", "fileb://f.zip")
    made = cli("lambda", "create-function-url-config", "--function-name", name, "--auth-type", "NONE",
               "--cors", "AllowOrigins=https://a.example,AllowMethods=GET,POST,MaxAge=60")
    statement = cli("lambda", "add-permission", "--function-name", name, "--statement-id", "url", "--principal", "*",
                    "--action", "lambda:InvokeFunctionUrl", "--function-url-auth-type", "NONE")
    assert json.loads(statement["Statement"])["Principal"] == "*"
    cli("lambda", "add-permission", "--function-name", name, "--statement-id", "invoke", "--principal", "*",
        "--action", "lambda:InvokeFunction", "--invoked-via-function-url")
    policy = json.loads(cli("lambda", "get-policy", "--function-name", name)["Policy"])
    assert [s["Sid"] for s in policy["Statement"]] == ["url", "invoke"]
    listed = cli("lambda", "list-function-url-configs", "--function-name", name)["FunctionUrlConfigs"]
    assert [config["FunctionUrl"] for config in listed] == [made["FunctionUrl"]]
    assert cli("lambda", "list-event-source-mappings")["EventSourceMappings"] == []
    cli("lambda", "remove-permission", "--function-name", name, "--statement-id", "url")
    cli("lambda", "delete-function-url-config", "--function-name", name)
    cli("lambda", "delete-function", "--function-name", name)
