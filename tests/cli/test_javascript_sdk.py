"""The JavaScript SDK v3, in its own process."""
import json
import os
import subprocess
from pathlib import Path

from conftest import NODE, ROLE, clean_environment, zipped


def run(script, server, folder, *arguments):
    """Runs a script beside this file; gives what it printed as JSON."""
    outcome = subprocess.run(
        ["node", Path(__file__).with_name(script), *arguments], capture_output=True, text=True, cwd=folder, timeout=120,
        env=clean_environment(
            AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
            AWS_ENDPOINT_URL=server.endpoint, NODE_PATH=os.environ["NODE_PATH"],
        ),
    )
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_create_invoke_update_delete(server, unique, tmp_path):
    (tmp_path / "one.zip").write_bytes(zipped({"index.mjs": "export const handler = async (e) => ({got: e});\n"}))
    (tmp_path / "two.zip").write_bytes(zipped({"index.mjs": "export const handler = async () => { throw new Error('x'); };\n"}))
    seen = run("life.cjs", server, tmp_path, unique("js"), NODE, ROLE)
    assert seen["first"] == {"got": {"a": "ü"}}
    assert seen["error"] == "Unhandled"
    assert seen["gone"] == "ResourceNotFoundException"
    assert seen["account"] == "000000000000"
    assert any("START RequestId" in message for message in seen["messages"])


def test_a_queues_life(server, unique, tmp_path):
    name = unique("js")
    seen = run("sqs.cjs", server, tmp_path, name)
    url = f"{server.endpoint}/000000000000/{name}"
    assert seen["QueueUrl"] == seen["found"] == url and seen["listed"] == [url]
    assert (seen["attributes"]["MaximumMessageSize"], seen["tags"]) == ("4096", {"a": "1"})
    assert seen["batch"] == [["a"], ["b"]]
    assert sorted(seen["bodies"], key=str) == [["1", None], ["ü <&>", "7"]]
    names = {what: name for what, (name, of_service) in seen["errors"].items() if of_service}
    assert names == {
        "attribute": "InvalidAttributeValue", "name": "InvalidParameterValue", "exists": "QueueNameExists",
        "handle": "ReceiptHandleIsInvalid", "gone": "QueueDoesNotExist"}
