"""Layers: published, shared, merged into /opt, deleted, followed."""
import base64
import hashlib
import io
import json
import random
import threading
import time
import urllib.request
import zipfile

import botocore.exceptions
import pytest
from conftest import NODE, PYTHON, ROLE, zipped

OTHER = "111122223333"


def refused(call, code, *parts):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call()
    answer = error.value.response["Error"]
    assert answer["Code"] == code, answer
    for part in parts:
        assert part in answer["Message"], answer
    return answer["Message"]


def run(client, name, event=None, **options):
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event or {}), **options)
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


def publish(client, name, files, **settings):
    return client.publish_layer_version(LayerName=name, Content={"ZipFile": zipped(files)}, **settings)


def filled(size, name="data.bin"):
    """A zip of a few hundred kilobytes with one file of `size` bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open(name, "w") as out:
            block = bytes(1024 * 1024)
            for _ in range(size // len(block)):
                out.write(block)
            out.write(bytes(size % len(block)))
    return buffer.getvalue()


def test_a_version_is_published_read_and_downloaded(aws, unique):
    name = unique("layer")
    content = zipped({"python/a.py": "x = 1"})
    published = aws.publish_layer_version(
        LayerName=name,
        Description="first",
        Content={"ZipFile": content},
        CompatibleRuntimes=["python3.11", "python3.12"],
        CompatibleArchitectures=["x86_64"],
        LicenseInfo="MIT",
    )
    assert published["ResponseMetadata"]["HTTPStatusCode"] == 201
    arn = f"arn:aws:lambda:us-east-1:000000000000:layer:{name}"
    expected = {
        "LayerArn": arn,
        "LayerVersionArn": f"{arn}:1",
        "Version": 1,
        "Description": "first",
        "CompatibleRuntimes": ["python3.11", "python3.12"],
        "CompatibleArchitectures": ["x86_64"],
        "LicenseInfo": "MIT",
    }
    assert {key: published[key] for key in expected} == expected
    assert published["CreatedDate"].endswith("+0000")
    assert published["Content"]["CodeSize"] == len(content)
    assert published["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    for found in [
        aws.get_layer_version(LayerName=name, VersionNumber=1),
        aws.get_layer_version(LayerName=arn, VersionNumber=1),
        aws.get_layer_version_by_arn(Arn=f"{arn}:1"),
    ]:
        assert {key: found[key] for key in expected} == expected
        with urllib.request.urlopen(found["Content"]["Location"]) as answer:
            assert answer.read() == content


def test_listings_filter_and_page(aws, unique):
    stem = unique("layer")
    publish(aws, f"{stem}-a", {"a": "1"}, CompatibleRuntimes=["nodejs20.x"], CompatibleArchitectures=["arm64"])
    publish(aws, f"{stem}-a", {"a": "2"}, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["x86_64"])
    for n in range(5):
        publish(aws, f"{stem}-b", {"b": str(n)})

    def layers(**filters):
        pages = aws.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1}, **filters)
        found = [layer for page in pages for layer in page["Layers"]]
        return {
            layer["LayerName"]: layer["LatestMatchingVersion"]["Version"]
            for layer in found
            if layer["LayerName"].startswith(stem)
        }

    assert layers() == {f"{stem}-a": 2, f"{stem}-b": 5}
    assert layers(CompatibleRuntime="nodejs20.x") == {f"{stem}-a": 1}
    assert layers(CompatibleArchitecture="x86_64") == {f"{stem}-a": 2}
    assert layers(CompatibleRuntime="nodejs20.x", CompatibleArchitecture="x86_64") == {}

    def versions(name, size=2, **filters):
        pages = aws.get_paginator("list_layer_versions").paginate(
            LayerName=name, PaginationConfig={"PageSize": size}, **filters
        )
        pages = list(pages)
        assert all(len(page["LayerVersions"]) <= size for page in pages)
        return [version["Version"] for page in pages for version in page["LayerVersions"]]

    assert versions(f"{stem}-b") == [5, 4, 3, 2, 1]
    assert versions(f"{stem}-a", CompatibleRuntime="nodejs20.x") == [1]
    assert versions(f"{stem}-none") == []
    refused(lambda: aws.list_layer_versions(LayerName=f"{stem}-b", Marker="?"), "InvalidParameterValueException", "Marker")
    refused(lambda: aws.list_layers(MaxItems=51), "ValidationException", "50")
    refused(lambda: aws.list_layers(CompatibleRuntime="cobol"), "ValidationException", "compatibleRuntime")


def test_numbers_are_never_given_twice(aws, unique):
    name = unique("layer")
    assert [publish(aws, name, {"a": str(n)})["Version"] for n in range(3)] == [1, 2, 3]
    for number in [1, 2, 3, 3, 99]:
        answer = aws.delete_layer_version(LayerName=name, VersionNumber=number)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert aws.list_layer_versions(LayerName=name)["LayerVersions"] == []
    assert name not in [layer["LayerName"] for layer in aws.list_layers()["Layers"]]
    assert publish(aws, name, {"a": "4"})["Version"] == 4
    refused(
        lambda: aws.get_layer_version(LayerName=name, VersionNumber=3),
        "ResourceNotFoundException",
        "The resource you requested does not exist.",
    )


def test_bad_input_is_refused_and_changes_nothing(aws, unique):
    name = unique("layer")
    content = {"ZipFile": zipped({"a": "1"})}
    invalid, validation = "InvalidParameterValueException", "ValidationException"
    refused(lambda: aws.publish_layer_version(LayerName=name, Content={}), invalid)
    refused(
        lambda: aws.publish_layer_version(LayerName=name, Content={"S3Bucket": "bucket", "S3Key": "key"}),
        "UnsupportedParameterException",
        "Content.S3Bucket",
    )
    refused(lambda: aws.publish_layer_version(LayerName=name, Content={"ZipFile": b"no zip"}), invalid, "Could not unzip")
    refused(lambda: aws.publish_layer_version(LayerName="no name", Content=content), validation, "layerName")
    refused(lambda: aws.publish_layer_version(LayerName=name, Content=content, Description="x" * 257), validation, "256")
    refused(lambda: aws.publish_layer_version(LayerName=name, Content=content, LicenseInfo="x" * 513), validation, "512")
    refused(
        lambda: aws.publish_layer_version(LayerName=name, Content=content, CompatibleRuntimes=["cobol"]),
        validation,
        "compatibleRuntimes",
    )
    refused(
        lambda: aws.publish_layer_version(LayerName=name, Content=content, CompatibleRuntimes=["python3.12"] * 16),
        validation,
        "15",
    )
    refused(
        lambda: aws.publish_layer_version(LayerName=name, Content=content, CompatibleArchitectures=["x86_64"] * 3),
        validation,
        "2",
    )
    assert aws.list_layer_versions(LayerName=name)["LayerVersions"] == []
    longest = publish(
        aws, name, {"a": "1"}, Description="x" * 256, LicenseInfo="y" * 512, CompatibleRuntimes=["python3.12"] * 15
    )
    assert longest["Version"] == 1
    refused(lambda: aws.get_layer_version(LayerName=name, VersionNumber=0), invalid, "Layer Version Cannot be less than 1")
    refused(lambda: aws.delete_layer_version(LayerName=name, VersionNumber=-1), invalid, "Layer Version Cannot be less")
    elsewhere = f"arn:aws:lambda:eu-west-1:000000000000:layer:{name}"
    refused(lambda: aws.get_layer_version(LayerName=elsewhere, VersionNumber=1), "ResourceNotFoundException", "eu-west-1")
    refused(lambda: aws.get_layer_version_by_arn(Arn=f"{elsewhere}:1"), "ResourceNotFoundException")


READ = """
import os
def handler(event, context):
    return {path: open('/opt/' + path).read() for path in event}
"""


def test_layers_are_merged_in_order(aws, make, unique):
    one, two = unique("layer"), unique("layer")
    first = publish(aws, one, {"shared": "one", "one": "1", "dir/a": "one"})
    second = publish(aws, two, {"shared": "two", "two": "2", "dir/b": "two"})
    arns = [first["LayerVersionArn"], second["LayerVersionArn"]]
    name = make(READ, Layers=arns)
    expected = [{"Arn": arn, "CodeSize": size} for arn, size in zip(arns, [first["Content"]["CodeSize"], second["Content"]["CodeSize"]])]
    assert aws.get_function_configuration(FunctionName=name)["Layers"] == expected
    everything = ["shared", "one", "two", "dir/a", "dir/b"]
    assert run(aws, name, everything) == dict(zip(everything, ["two", "1", "2", "one", "two"]))
    aws.update_function_configuration(FunctionName=name, Layers=arns[::-1])
    assert run(aws, name, ["shared"]) == {"shared": "one"}
    aws.update_function_configuration(FunctionName=name, Layers=arns[:1])
    assert run(aws, name, ["shared"]) == {"shared": "one"}
    aws.update_function_configuration(FunctionName=name, Timeout=11)
    assert [layer["Arn"] for layer in aws.get_function(FunctionName=name)["Configuration"]["Layers"]] == arns[:1]
    answer = aws.update_function_configuration(FunctionName=name, Layers=[])
    assert "Layers" not in answer
    assert "FunctionError" in aws.invoke(FunctionName=name, Payload=b'["shared"]')


def test_python_finds_its_paths(aws, make, unique):
    version = PYTHON.removeprefix("python")
    one, two = unique("layer"), unique("layer")
    publish(aws, one, {
        "python/in_python.py": "x = 'python'",
        f"python/lib/python{version}/site-packages/in_site.py": "x = 'site'",
        "bin/tool": ("#!/bin/sh\necho from the layer\n", 0o755),
        "lib/kept": "",
    })
    source = """
import os, subprocess, sys
import in_python, in_site
def handler(event, context):
    return {
        'values': [in_python.x, in_site.x],
        'path': sys.path[:3],
        'tool': subprocess.run(['tool'], capture_output=True, text=True).stdout,
        'libraries': os.environ['LD_LIBRARY_PATH'].split(':')[-1],
        'writable': os.access('/opt/bin', os.W_OK),
    }
"""
    name = make(source, Layers=[f"arn:aws:lambda:us-east-1:000000000000:layer:{one}:1"])
    assert run(aws, name) == {
        "values": ["python", "site"],
        "path": ["/var/task", f"/opt/python/lib/python{version}/site-packages", "/opt/python"],
        "tool": "from the layer\n",
        "libraries": "/opt/lib",
        "writable": False,
    }
    assert two


def test_node_finds_its_paths(aws, make, unique):
    major = NODE.removeprefix("nodejs").removesuffix(".x")
    arn = publish(aws, unique("layer"), {
        "nodejs/node_modules/plain/index.js": "module.exports = 'plain'",
        f"nodejs/node{major}/node_modules/exact/index.js": "module.exports = 'exact'",
    })["LayerVersionArn"]
    name = make({"index.js": "exports.handler = async () => [require('plain'), require('exact')]"}, NODE, Layers=[arn])
    assert run(aws, name) == ["plain", "exact"]


BOOTSTRAP = """#!/bin/sh
while true; do
  headers=$(mktemp)
  curl -sS -D "$headers" -o /tmp/event "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"
  id=$(grep -i lambda-runtime-aws-request-id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -X POST "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" -d "\\"$0 %s\\""
done
"""


def test_a_layer_may_bring_the_bootstrap(aws, make, unique):
    arn = publish(aws, unique("layer"), {"bootstrap": (BOOTSTRAP % "layer", 0o755)})["LayerVersionArn"]
    name = make({"data": "x"}, "provided.al2023", Layers=[arn])
    assert run(aws, name) == "/opt/bootstrap layer"
    own = make({"bootstrap": (BOOTSTRAP % "own", 0o755)}, "provided.al2023", Layers=[arn])
    assert run(aws, own) == "/var/task/bootstrap own"


def test_a_function_takes_five_different_layers(aws, make, unique):
    arns = [publish(aws, unique("layer"), {"a": "x"})["LayerVersionArn"] for _ in range(6)]
    invalid = "InvalidParameterValueException"
    refused(lambda: make(READ, Layers=arns), invalid, "Cannot reference more than 5 layers.")
    name = make(READ, Layers=arns[:5])
    change = lambda layers: aws.update_function_configuration(FunctionName=name, Layers=layers)
    before = aws.get_function_configuration(FunctionName=name)
    refused(lambda: change(arns), invalid, "Cannot reference more than 5 layers.")
    layer = arns[0].rsplit(":", 1)[0]
    again = publish(aws, layer, {"a": "y"})["LayerVersionArn"]
    message = refused(lambda: change([arns[0], again]), invalid)
    assert message == (
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{arns[0]} and {again} are versions of the same layer."
    )
    refused(lambda: change([f"{layer}:99"]), invalid, f"Layer version {layer}:99 does not exist.")
    refused(lambda: change(["arn:aws:lambda:::awslayer:AmazonLinux1803"]), invalid, "does not exist")
    elsewhere = arns[0].replace("us-east-1", "eu-west-1")
    refused(lambda: change([elsewhere]), invalid, "Layers are expected to be in region us-east-1.")
    refused(lambda: change([layer]), "ValidationException", "layers")
    after = aws.get_function_configuration(FunctionName=name)
    assert after["RevisionId"] == before["RevisionId"] and after["Layers"] == before["Layers"]


def test_code_and_layers_together_are_limited(aws, make, unique):
    limit = 262_144_000
    source = b"def handler(e, c): return len(open('/opt/data.bin', 'rb').read(10))\n"
    layer = unique("layer")
    fits = aws.publish_layer_version(LayerName=layer, Content={"ZipFile": filled(limit - len(source))})
    too_large = aws.publish_layer_version(LayerName=layer, Content={"ZipFile": filled(limit - len(source) + 1)})
    message = refused(
        lambda: make({"app.py": source}, Layers=[too_large["LayerVersionArn"]]), "InvalidParameterValueException"
    )
    assert message == (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        f"The actual size is {limit + 1} bytes."
    )
    name = make({"app.py": source}, Layers=[fits["LayerVersionArn"]])
    assert run(aws, name) == 10
    larger = zipped({"app.py": source + b"#"})
    refused(lambda: aws.update_function_code(FunctionName=name, ZipFile=larger), "InvalidParameterValueException", "exceeds")
    refused(
        lambda: aws.publish_layer_version(LayerName=layer, Content={"ZipFile": filled(limit)}),
        "InvalidParameterValueException",
        "Unzipped size must be smaller than 262144000 bytes",
    )


def test_a_deleted_layer_still_serves_and_survives_kill_9(own_server, make, unique):
    server = own_server()
    aws = server.client("lambda")
    layer = unique("layer")
    one = publish(aws, layer, {"a": "1"})["LayerVersionArn"]
    two = publish(aws, layer, {"a": "2"})["LayerVersionArn"]
    server.kill()
    server.restart()
    aws = server.client("lambda")
    assert [version["Version"] for version in aws.list_layer_versions(LayerName=layer)["LayerVersions"]] == [2, 1]
    name = make(READ, client=aws, Layers=[two])
    aws.delete_layer_version(LayerName=layer, VersionNumber=2)
    assert run(aws, name, ["a"]) == {"a": "2"}
    server.kill()
    server.restart()
    aws = server.client("lambda")
    aws.update_function_configuration(FunctionName=name, Timeout=9)
    assert run(aws, name, ["a"]) == {"a": "2"}
    assert aws.get_function(FunctionName=name)["Configuration"]["Layers"][0]["Arn"] == two
    refused(lambda: make(READ, client=aws, Layers=[two]), "InvalidParameterValueException", "does not exist")
    aws.delete_layer_version(LayerName=layer, VersionNumber=1)
    assert publish(aws, layer, {"a": "3"})["Version"] == 3
    assert one


def test_other_accounts_need_a_permission(server, aws, make, unique):
    layer = unique("layer")
    arn = publish(aws, layer, {"a": "1"})["LayerVersionArn"]
    other = server.client("lambda", account=OTHER)
    role = f"arn:aws:iam::{OTHER}:role/test-role"
    create = lambda: make(READ, client=other, Role=role, Layers=[arn])
    refused(lambda: other.get_layer_version_by_arn(Arn=arn), "AccessDeniedException", "lambda:GetLayerVersion", arn)
    refused(create, "AccessDeniedException", "lambda:GetLayerVersion")
    policy = lambda: aws.get_layer_version_policy(LayerName=layer, VersionNumber=1)
    refused(policy, "ResourceNotFoundException", "No policy is associated with the given resource.")

    permission = {"LayerName": layer, "VersionNumber": 1, "Action": "lambda:GetLayerVersion"}
    added = aws.add_layer_version_permission(StatementId="org", Principal="*", OrganizationId="o-0123456789", **permission)
    assert json.loads(added["Statement"]) == {
        "Sid": "org",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": arn,
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}},
    }
    refused(create, "AccessDeniedException")
    refused(
        lambda: aws.add_layer_version_permission(StatementId="org", Principal=OTHER, **permission),
        "ResourceConflictException",
        "The statement id (org) provided already exists.",
    )
    refused(
        lambda: aws.add_layer_version_permission(StatementId="a", Principal=OTHER, RevisionId="old", **permission),
        "PreconditionFailedException",
        "does not match the latest Revision Id",
    )
    one = aws.add_layer_version_permission(
        StatementId="one", Principal=OTHER, RevisionId=added["RevisionId"], **permission
    )
    assert json.loads(one["Statement"])["Principal"] == {"AWS": f"arn:aws:iam::{OTHER}:root"}
    shown = policy()
    assert shown["RevisionId"] == one["RevisionId"]
    assert [s["Sid"] for s in json.loads(shown["Policy"])["Statement"]] == ["org", "one"]
    assert other.get_layer_version_by_arn(Arn=arn)["Version"] == 1
    name = create()
    assert run(other, name, ["a"]) == {"a": "1"}

    remove = {"LayerName": layer, "VersionNumber": 1}
    refused(
        lambda: aws.remove_layer_version_permission(StatementId="none", **remove),
        "ResourceNotFoundException",
        "Statement none is not found in resource policy.",
    )
    aws.remove_layer_version_permission(StatementId="one", RevisionId=shown["RevisionId"], **remove)
    refused(lambda: other.get_layer_version_by_arn(Arn=arn), "AccessDeniedException")
    assert run(other, name, ["a"]) == {"a": "1"}, "who has it keeps it"
    refused(
        lambda: aws.add_layer_version_permission(StatementId="x", Principal="*", **{**permission, "VersionNumber": 9}),
        "ResourceNotFoundException",
        "does not exist",
    )
    refused(
        lambda: aws.add_layer_version_permission(StatementId="x", Principal="*", **{**permission, "Action": "lambda:*"}),
        "ValidationException",
        "action",
    )
    refused(lambda: other.delete_layer_version(LayerName=arn.rsplit(":", 1)[0], VersionNumber=1), "AccessDeniedException")


def test_layers_count_as_stored_code(own_server, unique):
    aws = own_server().client("lambda")
    size = lambda: aws.get_account_settings()["AccountUsage"]["TotalCodeSize"]
    assert size() == 0
    one = publish(aws, unique("layer"), {"a": "1"})
    assert size() == one["Content"]["CodeSize"]
    aws.delete_layer_version(LayerName=one["LayerArn"], VersionNumber=1)
    assert size() == 0


FOLLOW = {"lamplighter:layers": "follow-latest"}


def test_a_function_may_follow_its_layers(aws, make, unique):
    layer, still = unique("layer"), unique("layer")
    arns = [publish(aws, layer, {"a": "1"})["LayerVersionArn"], publish(aws, still, {"b": "1"})["LayerVersionArn"]]
    following, fixed = make(READ, Layers=arns, Tags=FOLLOW), make(READ, Layers=arns)
    before = aws.get_function_configuration(FunctionName=following)
    assert run(aws, following, ["a", "b"]) == run(aws, fixed, ["a", "b"]) == {"a": "1", "b": "1"}
    publish(aws, layer, {"a": "2"})
    assert run(aws, following, ["a", "b"]) == {"a": "2", "b": "1"}
    assert run(aws, fixed, ["a"]) == {"a": "1"}
    after = aws.get_function_configuration(FunctionName=following)
    assert after["RevisionId"] != before["RevisionId"]
    assert [one["Arn"] for one in after["Layers"]] == [arns[0][:-1] + "2", arns[1]]
    # Named by an older version, it has the newest all the same; and as soon as it is told to follow.
    aws.update_function_configuration(FunctionName=following, Layers=arns)
    assert run(aws, following, ["a"]) == {"a": "2"}
    tag = lambda: aws.tag_resource(Resource=aws.get_function(FunctionName=fixed)["Configuration"]["FunctionArn"], Tags=FOLLOW)
    tag()
    assert run(aws, fixed, ["a"]) == {"a": "2"}
    revision = aws.get_function_configuration(FunctionName=fixed)["RevisionId"]
    tag()
    assert aws.get_function_configuration(FunctionName=fixed)["RevisionId"] == revision
    aws.untag_resource(Resource=aws.get_function(FunctionName=fixed)["Configuration"]["FunctionArn"], TagKeys=list(FOLLOW))
    publish(aws, layer, {"a": "3"})
    assert [run(aws, name, ["a"]) for name in (following, fixed)] == [{"a": "3"}, {"a": "2"}]
    # A deleted newest version serves on.
    aws.delete_layer_version(LayerName=layer, VersionNumber=3)
    assert run(aws, following, ["a"]) == {"a": "3"}


def test_a_version_too_large_for_a_follower_is_not_published(aws, make, unique):
    layer = unique("layer")
    arn = publish(aws, layer, {"data.bin": "1"})["LayerVersionArn"]
    name = make(READ, Layers=[arn], Tags=FOLLOW)
    large = filled(262_144_000 - 10)
    refused(
        lambda: aws.publish_layer_version(LayerName=layer, Content={"ZipFile": large}),
        "InvalidParameterValueException",
        name,
        "lamplighter:layers",
    )
    assert [version["Version"] for version in aws.list_layer_versions(LayerName=layer)["LayerVersions"]] == [1]


def test_no_invoke_mixes_two_versions(aws, make, unique):
    """Both files of a layer say the same number, whatever is published meanwhile, and no number comes back."""
    layer = unique("layer")
    files = lambda n: {"a": str(n), "b": str(n)}
    arn = publish(aws, layer, files(1))["LayerVersionArn"]
    source = """
import time
first = open('/opt/a').read()
def handler(event, context):
    one = open('/opt/a').read()
    time.sleep(0.003)
    return [first, one, open('/opt/b').read()]
"""
    name = make(source, Layers=[arn], Tags=FOLLOW)
    published, wrong, stop = [1], [], threading.Event()

    def call():
        try:
            while not stop.is_set():
                least = published[-1]
                seen = run(aws, name)
                if len(set(seen)) != 1 or int(seen[0]) < least:
                    wrong.append((least, seen))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(2, 14):
        publish(aws, layer, files(n))
        published.append(n)
        time.sleep(random.random() / 10)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert run(aws, name) == ["13"] * 3


def test_a_published_version_keeps_its_layers(aws, make, unique):
    layer = unique("layer")
    arn = publish(aws, layer, {"a": "1"})["LayerVersionArn"]
    other = publish(aws, unique("layer"), {"b": "1"})["LayerVersionArn"]
    name = make(READ, Layers=[arn, other], Tags=FOLLOW)
    assert aws.publish_version(FunctionName=name)["Version"] == "1"
    publish(aws, layer, {"a": "2"})
    aws.delete_layer_version(LayerName=layer, VersionNumber=1)
    assert run(aws, name, ["a", "b"]) == {"a": "2", "b": "1"}
    assert run(aws, name, ["a", "b"], Qualifier="1") == {"a": "1", "b": "1"}
    assert [one["Arn"] for one in aws.get_function_configuration(FunctionName=name, Qualifier="1")["Layers"]] == [arn, other]
    aws.update_function_configuration(FunctionName=name, Layers=[])
    assert run(aws, name, ["a"], Qualifier="1") == {"a": "1"}
    aws.delete_function(FunctionName=name, Qualifier="1")


def test_the_policy_of_a_layer_ends_at_20_kb(aws, unique):
    layer = unique("layer")
    publish(aws, layer, {"a": "1"})
    add = lambda n: aws.add_layer_version_permission(
        LayerName=layer, VersionNumber=1, StatementId=f"s{n}".ljust(100, "x"), Action="lambda:GetLayerVersion", Principal=OTHER
    )
    with pytest.raises(botocore.exceptions.ClientError) as error:
        for n in range(100):
            add(n)
    assert error.value.response["Error"]["Code"] == "PolicyLengthExceededException"
    policy = aws.get_layer_version_policy(LayerName=layer, VersionNumber=1)["Policy"]
    assert 20_480 - 400 < len(policy) <= 20_480
