"""Published versions: what they keep, how they are named, listed, deleted and invoked."""
import json
import threading
import time
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import PYTHON, ROLE, zipped

WHO = """
import os
def handler(event, context):
    return {
        "code": "%s",
        "version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        "context_version": context.function_version,
        "arn": context.invoked_function_arn,
        "stream": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
        "stage": os.environ.get("STAGE"),
    }
"""


def code(name):
    return zipped({"app.py": WHO % name})


def invoke(aws, name, **more):
    answer = aws.invoke(FunctionName=name, **more)
    assert "FunctionError" not in answer
    return answer, json.loads(answer["Payload"].read())


def refusal(call, **parameters):
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def versions_of(aws, name):
    pages = aws.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    return [version["Version"] for page in pages for version in page["Versions"]]


def test_a_version_keeps_code_and_settings_while_latest_changes(aws, make):
    name = make(WHO % "one", Environment={"Variables": {"STAGE": "a"}})
    published = aws.publish_version(FunctionName=name, Description="the first")
    assert published["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (published["Version"], published["State"]) == ("1", "Active")
    assert published["LastUpdateStatus"] == "Successful"
    assert published["FunctionArn"].endswith(f":function:{name}:1")
    assert published["Description"] == "the first"
    aws.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")

    aws.update_function_code(FunctionName=name, ZipFile=code("two"))
    aws.update_function_configuration(FunctionName=name, Environment={"Variables": {"STAGE": "b"}})
    for _ in range(2):
        answer, body = invoke(aws, name, Qualifier="1")
        assert answer["ExecutedVersion"] == "1"
        assert (body["code"], body["stage"], body["version"], body["context_version"]) == ("one", "a", "1", "1")
        assert body["arn"].endswith(f":function:{name}:1")
        assert "/[1]" in body["stream"]
        answer, body = invoke(aws, name)
        assert answer["ExecutedVersion"] == "$LATEST"
        assert (body["code"], body["stage"], body["version"]) == ("two", "b", "$LATEST")
        assert body["arn"].endswith(f":function:{name}")
        assert "/[$LATEST]" in body["stream"]
    _, body = invoke(aws, name, Qualifier="$LATEST")
    assert body["arn"].endswith(f":function:{name}:$LATEST")
    _, body = invoke(aws, f"{name}:1")
    assert body["code"] == "one"

    shown = aws.get_function(FunctionName=name, Qualifier="1")
    assert shown["Configuration"]["Environment"]["Variables"] == {"STAGE": "a"}
    assert shown["Configuration"]["RevisionId"] == published["RevisionId"]
    assert shown["Configuration"]["CodeSha256"] == published["CodeSha256"]
    latest = aws.get_function(FunctionName=name)
    assert latest["Configuration"]["RevisionId"] != published["RevisionId"]
    for location, content in ((shown, "one"), (latest, "two")):
        with urllib.request.urlopen(location["Code"]["Location"]) as zip_file:
            assert zip_file.read() == code(content)


def test_publishing_again_without_a_change_gives_the_same_version(aws, make):
    name = make(WHO % "one")
    first = aws.publish_version(FunctionName=name)
    again = aws.publish_version(FunctionName=name, Description="something else")
    assert (again["Version"], again["Description"], again["RevisionId"]) == ("1", "", first["RevisionId"])
    aws.update_function_configuration(FunctionName=name, Timeout=11)
    assert aws.publish_version(FunctionName=name)["Version"] == "2"
    assert versions_of(aws, name) == ["$LATEST", "1", "2"]


def test_conditions_of_a_publication(aws, make):
    name = make(WHO % "one")
    config = aws.get_function_configuration(FunctionName=name)
    assert refusal(aws.publish_version, FunctionName=name, CodeSha256="wrong") == (
        "InvalidParameterValueException",
        400,
        f"CodeSHA256 (wrong) is different from current CodeSHA256 in $LATEST ({config['CodeSha256']}). "
        "Please try again with the CodeSHA256 in $LATEST.",
    )
    code, status, message = refusal(aws.publish_version, FunctionName=name, RevisionId="stale")
    assert (code, status) == ("PreconditionFailedException", 412)
    assert message.startswith("The Revision Id provided does not match the latest Revision Id.")
    published = aws.publish_version(
        FunctionName=name, CodeSha256=config["CodeSha256"], RevisionId=config["RevisionId"]
    )
    assert published["Version"] == "1"
    code, status, message = refusal(aws.publish_version, FunctionName=name + "-nope")
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message.endswith(f":function:{name}-nope")


def test_a_description_has_256_characters(aws, make):
    name = make(WHO % "one")
    assert refusal(aws.publish_version, FunctionName=name, Description="x" * 257)[1] == 400
    assert aws.publish_version(FunctionName=name, Description="x" * 256)["Description"] == "x" * 256


def test_publish_with_creation_and_with_new_code(aws, unique):
    name = unique()
    created = aws.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": code("one")}, Publish=True
    )
    try:
        assert (created["Version"], created["State"]) == ("1", "Pending")
        assert created["FunctionArn"].endswith(f":function:{name}")
        updated = aws.update_function_code(FunctionName=name, ZipFile=code("two"), Publish=True)
        assert updated["FunctionArn"].endswith(f":function:{name}:2")
        assert (updated["Version"], updated["State"]) == ("2", "Pending")
        same = aws.update_function_code(FunctionName=name, ZipFile=code("two"), Publish=True)
        assert same["Version"] == "2"
        assert [invoke(aws, name, Qualifier=str(v))[1]["code"] for v in (1, 2)] == ["one", "two"]
        dry = aws.update_function_code(FunctionName=name, ZipFile=code("three"), Publish=True, DryRun=True)
        assert dry["Version"] == "$LATEST"
        assert versions_of(aws, name) == ["$LATEST", "1", "2"]
    finally:
        aws.delete_function(FunctionName=name)


def test_what_is_not_there_is_not_found(aws, make):
    name = make(WHO % "one")
    for qualifier in ("1", "99", "notaversion", "0"):
        expected = ("ResourceNotFoundException", 404, qualifier)
        for call in (aws.invoke, aws.get_function, aws.get_function_configuration):
            code, status, message = refusal(call, FunctionName=name, Qualifier=qualifier)
            assert (code, status, message.rsplit(":", 1)[1]) == expected
            assert message.startswith("Function not found: arn:aws:lambda:")


def test_versions_cannot_be_changed_or_tagged(aws, make):
    name = make(WHO % "one")
    arn = aws.publish_version(FunctionName=name)["FunctionArn"]
    for qualified in (arn, f"{name}:1"):
        for call, parameters in [
            (aws.update_function_code, {"ZipFile": code("two")}),
            (aws.update_function_configuration, {"Timeout": 5}),
        ]:
            got, status, message = refusal(call, FunctionName=qualified, **parameters)
            assert (got, status) == ("InvalidParameterValueException", 400), message
    assert refusal(aws.tag_resource, Resource=arn, Tags={"a": "b"})[0] == "InvalidParameterValueException"
    assert refusal(aws.list_tags, Resource=arn)[0] == "InvalidParameterValueException"
    assert refusal(aws.update_function_code, FunctionName=f"{name}:7", ZipFile=code("two"))[1] == 404
    # $LATEST may be named.
    aws.update_function_configuration(FunctionName=f"{name}:$LATEST", Timeout=6)
    assert aws.get_function_configuration(FunctionName=name)["Timeout"] == 6
    assert aws.get_function_configuration(FunctionName=name, Qualifier="1")["Timeout"] == 10


def test_deleting_versions(aws, make):
    name = make(WHO % "1")
    for number in ("1", "2", "3"):
        aws.update_function_code(FunctionName=name, ZipFile=code(number), Publish=True)
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert refusal(aws.delete_function, FunctionName=name, Qualifier="1") == (
        "ResourceConflictException",
        409,
        "Unable to delete version because the following aliases reference it: [live]",
    )
    assert refusal(aws.delete_function, FunctionName=name, Qualifier="$LATEST") == (
        "InvalidParameterValueException",
        400,
        "$LATEST version cannot be deleted without deleting the function.",
    )
    assert refusal(aws.delete_function, FunctionName=name, Qualifier="live")[0] == "InvalidParameterValueException"
    for qualifier in ("3", "3", "99"):  # a version that is not there is no error
        assert aws.delete_function(FunctionName=name, Qualifier=qualifier)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert versions_of(aws, name) == ["$LATEST", "1", "2"]
    assert refusal(aws.invoke, FunctionName=name, Qualifier="3")[1] == 404
    # Numbers are not given twice, not even to a function of the same name.
    assert aws.publish_version(FunctionName=name)["Version"] == "4"
    aws.delete_function(FunctionName=name)
    make(WHO % "again", FunctionName=name)
    assert versions_of(aws, name) == ["$LATEST"]
    assert aws.list_aliases(FunctionName=name)["Aliases"] == []
    assert aws.publish_version(FunctionName=name)["Version"] == "5"
    assert invoke(aws, name, Qualifier="5")[1]["code"] == "again"


def test_listings_come_in_pages(aws, make):
    name = make(WHO % "0")
    for number in range(1, 8):
        aws.update_function_configuration(FunctionName=name, Timeout=number)
        aws.publish_version(FunctionName=name)
    expected = ["$LATEST", *map(str, range(1, 8))]
    pages = list(
        aws.get_paginator("list_versions_by_function").paginate(FunctionName=name, PaginationConfig={"PageSize": 3})
    )
    assert [len(page["Versions"]) for page in pages] == [3, 3, 2]
    listed = [version for page in pages for version in page["Versions"]]
    assert [version["Version"] for version in listed] == expected
    assert all(version["FunctionArn"].endswith(f":{name}:{version['Version']}") for version in listed)
    assert [version["Timeout"] for version in listed] == [7, *range(1, 8)]
    assert all("State" not in version for version in listed)

    everything = aws.get_paginator("list_functions").paginate(
        FunctionVersion="ALL", PaginationConfig={"PageSize": 2}
    )
    mine = [f["Version"] for page in everything for f in page["Functions"] if f["FunctionName"] == name]
    assert mine == expected
    plain = aws.get_paginator("list_functions").paginate()
    assert [f["Version"] for page in plain for f in page["Functions"] if f["FunctionName"] == name] == ["$LATEST"]
    assert aws.list_functions(MasterRegion="eu-west-1", FunctionVersion="ALL")["Functions"] == []
    assert refusal(aws.list_functions, MasterRegion="ALL")[0] == "InvalidParameterValueException"
    assert refusal(aws.list_versions_by_function, FunctionName=name, Marker="!")[0] == "InvalidParameterValueException"


def test_a_hundred_versions_of_the_same_code_take_no_room(aws, make, server):
    name = make({"app.py": WHO % "one", "data.bin": bytes(range(256)) * 4096})

    def on_disk():
        return {
            str(path.relative_to(server.data))
            for folder in ("packages", "blobs")
            for path in (server.data / folder).rglob("*")
            if path.is_file()
        }

    size = aws.get_function_configuration(FunctionName=name)["CodeSize"]
    before, used = on_disk(), aws.get_account_settings()["AccountUsage"]["TotalCodeSize"]
    for number in range(1, 101):
        aws.update_function_configuration(FunctionName=name, Timeout=1 + number)
        assert aws.publish_version(FunctionName=name)["Version"] == str(number)
    added = {path for path in on_disk() - before if ".new-" not in path and ".old-" not in path}
    assert not added
    # AWS's accounting: every version's code counts.
    assert aws.get_account_settings()["AccountUsage"]["TotalCodeSize"] == used + 100 * size
    aws.delete_function(FunctionName=name)
    assert aws.get_account_settings()["AccountUsage"]["TotalCodeSize"] == used - size


def test_invokes_that_race_with_publications_never_mix(aws, make, server):
    """Code and environment of a round belong together, in whatever version an invoke gets."""
    name = make(WHO % "0", Environment={"Variables": {"STAGE": "0"}})
    aws.publish_version(FunctionName=name)
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    wrong, seen, stop = [], set(), threading.Event()
    client = server.client("lambda")

    def load():
        while not stop.is_set():
            answer, body = invoke(client, name, Qualifier="live")
            seen.add(body["version"])
            # Round n is version n + 1.
            expected = (str(int(body["version"]) - 1),) * 2
            if (body["code"], body["stage"]) != expected or answer["ExecutedVersion"] != body["version"]:
                wrong.append((answer["ExecutedVersion"], body))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 7):
            aws.update_function_configuration(FunctionName=name, Environment={"Variables": {"STAGE": str(number)}})
            version = aws.update_function_code(FunctionName=name, ZipFile=code(number), Publish=True)["Version"]
            aws.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
            deadline = time.monotonic() + 30
            while version not in seen and time.monotonic() < deadline and not wrong:
                time.sleep(0.01)
            assert version in seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_version_survives_a_kill(own_server):
    server = own_server()
    aws = server.client("lambda")
    aws.create_function(
        FunctionName="kept", Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code={"ZipFile": code("one")}
    )
    for round in range(1, 4):
        published = aws.update_function_code(FunctionName="kept", ZipFile=code(round), Publish=True)
        if round == 1:
            aws.create_alias(FunctionName="kept", Name="live", FunctionVersion="1")
        else:
            aws.update_alias(FunctionName="kept", Name="live", FunctionVersion=published["Version"])
        server.kill()
        server.restart()
        aws = server.client("lambda")
        shown = aws.get_function_configuration(FunctionName="kept", Qualifier=str(round))
        assert shown["RevisionId"] == published["RevisionId"]
        answer, body = invoke(aws, "kept", Qualifier="live")
        assert (answer["ExecutedVersion"], body["code"]) == (str(round), str(round))
    assert versions_of(aws, "kept") == ["$LATEST", "1", "2", "3"]
    assert invoke(aws, "kept", Qualifier="1")[1]["code"] == "1"
