"""Access points: folders of the host that functions share."""
import json
import os

import botocore.exceptions
import pytest

ID = "fsap-0123456789abcdef0"
ARN = f"arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/{ID}"
OWNER = 12345

WORK = """
import os, stat
def attempt(text):
    try:
        return repr(eval(text, {'os': os, 'open': open, 'stat': stat}))
    except BaseException as error:
        return type(error).__name__
def handler(event, context):
    return [attempt(text) for text in event]
"""


def run(client, name, *texts):
    answer = client.invoke(FunctionName=name, Payload=json.dumps(texts))
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


def mount(path="/mnt/shared", arn=ARN):
    return [{"Arn": arn, "LocalMountPath": path}]


@pytest.fixture
def folder(tmp_path):
    """A folder of an ordinary user. Those above it must let strangers pass: functions never look at them."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(shared, OWNER, OWNER)
    return shared


def test_functions_share_a_folder_of_the_host(own_server, make, folder):
    (folder / "from-host").write_text("hello")
    os.chmod(folder / "from-host", 0o644)
    aws = own_server("--access-point", f"{ID}={folder}").client("lambda")
    one = make(WORK, client=aws, FileSystemConfigs=mount())
    two = make(WORK, client=aws, FileSystemConfigs=mount("/mnt/elsewhere"))
    assert aws.get_function_configuration(FunctionName=one)["FileSystemConfigs"] == mount()
    assert run(aws, one, "open('/mnt/shared/from-host').read()") == ["'hello'"]
    assert run(
        aws,
        one,
        "os.makedirs('/mnt/shared/d')",
        "open('/mnt/shared/d/f', 'w').write('written')",
        "os.rename('/mnt/shared/d/f', '/mnt/shared/g')",
        "os.rmdir('/mnt/shared/d')",
        "os.stat('/mnt/shared').st_uid == os.getuid()",
    ) == ["None", "7", "None", "None", "True"]
    assert run(aws, two, "open('/mnt/elsewhere/g').read()", "open('/mnt/elsewhere/g', 'a').write('!')") == ["'written'", "1"]
    assert (folder / "g").read_text() == "written!"
    assert (folder / "g").stat().st_uid == folder.stat().st_uid
    # Without it again.
    aws.update_function_configuration(FunctionName=one, FileSystemConfigs=[])
    assert run(aws, one, "os.listdir('/mnt')") == ["FileNotFoundError"]


def test_a_function_cannot_leave_the_folder(own_server, make, folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    aws = own_server("--access-point", f"{ID}={folder}").client("lambda")
    name = make(WORK, client=aws, FileSystemConfigs=mount())
    (folder / "up").symlink_to("../secret")
    (folder / "absolute").symlink_to(tmp_path / "secret")
    found = run(
        aws,
        name,
        "open('/mnt/shared/up').read()",
        "open('/mnt/shared/absolute').read()",
        "open('/mnt/shared/../secret').read()",
        "os.mknod('/mnt/shared/device', 0o600 | stat.S_IFBLK, os.makedev(7, 0))",
        "open('/mnt/new', 'w')",
    )
    assert "secret" not in str(found) and found[3] in ("PermissionError", "OSError"), found
    assert run(aws, name, "open('/mnt/shared/tool', 'w').write('x')", "os.chmod('/mnt/shared/tool', 0o4755)")[0] == "1"


def test_what_is_not_there_is_refused(own_server, make, folder):
    server = own_server("--access-point", f"{ID}={folder}")
    aws = server.client("lambda")

    def refused(code, part, configs):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            make(WORK, client=aws, FileSystemConfigs=configs)
        answer = error.value.response["Error"]
        assert answer["Code"] == code and part in answer["Message"], answer

    other = ARN.replace("abcdef0", "abcdef1")
    refused("InvalidParameterValueException", "--access-point fsap-0123456789abcdef1=", mount(arn=other))
    refused("InvalidParameterValueException", "does not exist", mount(arn=ARN.replace("us-east-1", "eu-west-1")))
    refused("ValidationException", "fileSystemConfigs", mount() + mount("/mnt/two"))
    refused("ValidationException", "localMountPath", mount("/data"))
    refused("ValidationException", "localMountPath", mount("/mnt/" + "x" * 156))
    refused("InvalidParameterValueException", "LocalMountPath", mount("/mnt/.."))
    name = make(WORK, client=aws, FileSystemConfigs=mount("/mnt/" + "x" * 155))
    assert run(aws, name, f"os.listdir('/mnt/{'x' * 155}')") == ["[]"]
    # A server that does not know it any more says so, and what to do.
    server.stop()
    server.restart("--region", "us-east-1")
    aws = server.client("lambda")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        run(aws, name, "1")
    assert error.value.response["Error"]["Code"] == "EFSMountFailureException"
    assert "--access-point" in error.value.response["Error"]["Message"]


def test_the_setting_is_checked_at_the_start(own_server, tmp_path):
    for wrong in ["nonsense", f"{ID}=/no/such/folder", f"fsap-0={tmp_path}"]:
        with pytest.raises(RuntimeError) as error:
            own_server("--access-point", wrong)
        assert "--access-point" in str(error.value)


