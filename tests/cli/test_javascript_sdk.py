"""The JavaScript SDK v3, in its own process."""
import json
import os
import subprocess
from pathlib import Path

from conftest import NODE, ROLE, clean_environment, zipped


def test_create_invoke_update_delete(server, unique, tmp_path):
    (tmp_path / "one.zip").write_bytes(zipped({"index.mjs": "export const handler = async (e) => ({got: e});\n"}))
    (tmp_path / "two.zip").write_bytes(zipped({"index.mjs": "export const handler = async () => { throw new Error('x'); };\n"}))
    outcome = subprocess.run(
        ["node", Path(__file__).with_name("life.cjs"), unique("js"), NODE, ROLE],
        capture_output=True, text=True, cwd=tmp_path, timeout=120,
        env=clean_environment(
            AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
            AWS_ENDPOINT_URL=server.endpoint, NODE_PATH=os.environ["NODE_PATH"],
        ),
    )
    assert outcome.returncode == 0, outcome.stderr
    seen = json.loads(outcome.stdout)
    assert seen["first"] == {"got": {"a": "ü"}}
    assert seen["error"] == "Unhandled"
    assert seen["gone"] == "ResourceNotFoundException"
    assert seen["account"] == "000000000000"
    assert any("START RequestId" in message for message in seen["messages"])
