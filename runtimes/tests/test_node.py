"""The Node.js runtime client beside the official ones (npm aws-lambda-ric 3 for Node.js 20 and 22, 4 for Node.js 24):
same answers, same log, over a table of handlers. Their native part is replaced, see official_node.cjs."""

import base64
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

import pytest

import compare
from fake_runtime_api import ROOT, Event, run_client

BOOTSTRAP = os.path.join(ROOT, "node", "bootstrap.cjs")
HERE = os.path.join(ROOT, "tests")
HANDLERS = os.path.join(HERE, "handlers", "node")
OFFICIAL_VERSION = {20: "3.3.0", 22: "3.3.0", 24: "4.0.2"}

CLIENT = {
    "Lambda-Runtime-Client-Context": json.dumps({"client": {"app_title": "ti"}, "custom": {"k": [1]}}),
    "Lambda-Runtime-Cognito-Identity": json.dumps({"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}),
    "Lambda-Runtime-Aws-Tenant-Id": "tenant-1",
}

# (handler, events); what ends the process gets one event only.
TABLE = [
    ("index.echo", [Event({"a": [1, 2.5, None, "grüße \U0001f600"]}), Event("text"), Event(b" 0 "), Event([])]),
    ("index.context", [Event(1), Event(2, CLIENT), Event(3, {"Lambda-Runtime-Trace-Id": None})]),
    ("index.nothing", [Event(1)]),
    ("index.nullish", [Event(1)]),
    ("index.unicode", [Event(1)]),
    ("index.odd", [Event(1)]),
    ("index.bigint", [Event(1)]),
    ("index.circular", [Event(1), Event(2)]),
    ("index.state", [Event(n) for n in range(4)]),
    ("index.nested.deep.handler", [Event(1)]),
    ("index.thenable", [Event(1)]),
    ("index.number", []),
    ("index.missing", []),
    ("index.nested.missing.handler", []),
    ("index.plainReturn", [Event(1), Event(2)]),
    ("index.console", [Event({"x": 1}), Event(None)]),
    ("index.fatal", [Event(1)]),
    ("index.stdout", [Event(1)]),
    ("index.raises", [Event(1), Event(2)]),
    ("index.raisesSync", [Event(1)]),
    ("index.raisesText", [Event(1)]),
    ("index.raisesObject", [Event(1)]),
    ("index.raisesNothing", [Event(1)]),
    ("index.raisesMultiline", [Event(1)]),
    ("index.raisesUnicode", [Event(1)]),
    ("index.raisesWithCause", [Event(1)]),
    ("index.uncaught", [Event(1)]),
    ("index.unhandled", [Event(1)]),
    ("index.unhandledText", [Event(1)]),
    ("index.exits", [Event(0)]),
    ("index.exits", [Event(9)]),
    ("common.handler", [Event(1)]),
    ("module.handler", [Event(1)]),
    ("module.default.inner", [Event(1)]),
    ("esm/index.handler", [Event(1)]),
    ("dir/sub/file.nested.handler", [Event(1)]),
    ("badpkg/index.handler", [Event(1)]),
    ("no_such_file.handler", []),
    ("import_error.handler", []),
    ("syntax_error.handler", []),
    ("syntax_error_cjs.handler", []),
    ("throws_at_load.handler", []),
    ("rejects_at_load.handler", []),
    ("exits_at_load.handler", []),
    ("nodot", []),
    *[
        ("streaming." + name, [Event(1), Event(2)])
        for name in (
            "handler", "endsWithText", "endsAtOnce", "emptyWrite", "objects", "contentType", "contentTypeTooLate", "http",
            "pipeline", "large", "afterTheHandler", "returnsAValue", "context", "throwsBefore", "throwsSync",
            "throwsMid", "throwsText", "throwsAfterEnd", "notAsync",
        )
    ],
    ("streaming.unhandledBefore", [Event(1)]),
    ("../index.echo", []),
]

UNTIL_22 = [
    ("streaming.doesNotWait", [Event(1), Event(2)]),
    ("streaming.waits", [Event(1), Event(2)]),
    ("index.callback", [Event(1), Event(2)]),
    ("index.callbackError", [Event(1), Event(2)]),
    ("index.callbackString", [Event(1)]),
    ("index.callbackFalse", [Event(1)]),
    ("index.callbackTwice", [Event(1), Event(2)]),
    ("index.callbackLate", [Event(1), Event(2)]),
    ("index.noAnswer", [Event(1), Event(2)]),
    ("index.callbackWaits", [Event(1), Event(2)]),
    ("index.callbackDoesNotWait", [Event(1), Event(2)]),
    ("index.asyncCallsBack", [Event(1), Event(2)]),
    ("index.done", [Event(1), Event(2)]),
    ("index.doneError", [Event(1)]),
    ("index.succeed", [Event(1), Event(2)]),
    ("index.fail", [Event(1)]),
    ("index.failEmpty", [Event(1)]),
]

FROM_24 = [
    ("streaming.request", []),
    ("index.callback", []),
    ("module.inner", [Event(1)]),
    ("index.neverEnds", [Event(1)]),
]

LOGS = {
    "text": {},
    "json": {"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    "json_warn": {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"},
}


def nodes():
    """Major version to executable: from LAMPLIGHTER_RUNTIMES, then PATH."""
    places = []
    for directory in os.environ.get("LAMPLIGHTER_RUNTIMES", "").split(":"):
        for inner in ("", "node_modules"):
            parent = os.path.join(directory, inner)
            if directory and os.path.isdir(parent):
                places += [os.path.join(parent, name, "bin", "node") for name in ["", *sorted(os.listdir(parent))]]
    places.append(shutil.which("node") or "")
    found = {}
    for place in places:
        if os.access(place, os.X_OK):
            version = subprocess.run([place, "--version"], capture_output=True, text=True, check=True).stdout
            found.setdefault(int(version[1:].split(".")[0]), place)
    return {version: path for version, path in sorted(found.items()) if version in OFFICIAL_VERSION}


NODES = nodes()


def official_directory(version):
    """The official client's package, downloaded once with npm."""
    target = os.path.join(HERE, "node_modules", "aws-lambda-ric-" + version)
    if not os.path.isdir(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as scratch:
            command = ["npm", "pack", "--silent", "aws-lambda-ric@" + version]
            if subprocess.run(command, cwd=scratch, stdout=subprocess.DEVNULL).returncode:
                pytest.skip("aws-lambda-ric %s cannot be downloaded" % version)
            with tarfile.open(os.path.join(scratch, "aws-lambda-ric-%s.tgz" % version)) as archive:
                archive.extractall(scratch)
            try:
                os.rename(os.path.join(scratch, "package"), target)
            except OSError:
                assert os.path.isdir(target)  # another test process was faster
    return target


def environment(version, env):
    return {**(env or {}), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs%d.x" % version}


def official(version, handler, events, env=None, **options):
    command = [
        NODES[version], os.path.join(HERE, "official_node.cjs"), official_directory(OFFICIAL_VERSION[version]), handler
    ]
    return run_client(command, HANDLERS, handler, events, env=environment(version, env), **options)


def ours(version, handler, events, env=None, **options):
    return run_client(
        [NODES[version], BOOTSTRAP], HANDLERS, handler, events, env=environment(version, env), **options
    )


def is_own_frame(line):
    """A line of a stack trace that is about the clients, or about Node.js itself."""
    line = line.strip().lstrip("- ")
    if not line.startswith(("at ", "/", "file:")):
        return False
    return not ("/handlers/node/" in line)


def clean(value):
    if isinstance(value, str):
        return compare.text(without_own_frames(value))
    if isinstance(value, list):
        return [clean(entry) for entry in value if not (isinstance(entry, str) and is_own_frame(entry))]
    if isinstance(value, dict):
        return {key: clean(entry) for key, entry in value.items() if not is_own_name(key, entry)}
    return value


def is_own_name(key, value):
    # Whether the name of a runtime's own error is an enumerable member, too, differs between its versions.
    return key == "name" and str(value).startswith("Runtime.")


def without_own_frames(text):
    """Of a text with a stack trace, or with the list of files in "Cannot find module"."""
    return "\n".join(line for line in text.split("\n") if not is_own_frame(line))


def clean_line(line):
    """Logs hold JSON, in part or as a whole: it is compared as a value, the text around it as text."""
    line = compare.text(line.rstrip("\n"))
    start = line.find("{")
    if start >= 0:
        try:
            return [line[:start], clean(json.loads(line[start:]))]
        except ValueError:
            pass
    return re.sub(r"(\r|\n) +at [^\r\n]*", lambda match: "" if is_own_frame(match[0]) else match[0], line)


def observed(outcome):
    output = outcome.output
    # What Node.js itself prints when nobody catches an error ends with its version and begins with a place.
    crash = re.search(r"(?m)^(node:|file:|/).*:\d+\n", output)
    if crash:
        output = output[: crash.start()]
    return {
        "answers": compare.answers(outcome, clean),
        "log": [clean_line(line) for line in output.split("\n")],
        "frames": [(kind, clean_line(message)) for kind, message in outcome.frames],
        "status": outcome.status,
    }


def formats(version, handler):
    """(log format, with frames): all of them for handlers that write, but once per official client."""
    yield "text", False
    writes = any(word in handler for word in ("raises", "console", "fatal", "missing", "unhandled", "throws"))
    if writes and version != 22:
        yield from (("text", True), ("json", False), ("json", True))
        if "console" in handler:
            yield from (("json_warn", False), ("json_warn", True))


# Here the official client may give up an answer that it is about to send, and logs the same either way. It is asked
# again.
UNSURE = {"streaming.notAsync"}


def cases():
    for version in NODES:
        for handler, events in TABLE + (UNTIL_22 if version < 24 else FROM_24):
            for log, framed in formats(version, handler):
                name = "-".join([str(version), handler.replace("/", "_"), log] + ["framed"] * framed)
                yield pytest.param(version, handler, events, log, framed, id=name)


@pytest.mark.parametrize(("version", "handler", "events", "log", "framed"), list(cases()))
def test_same_as_official(version, handler, events, log, framed):
    arguments = (version, handler, events)
    expected = observed(official(*arguments, env=LOGS[log], framed=framed))
    found = observed(ours(*arguments, env=LOGS[log], framed=framed))
    if found != expected and handler in UNSURE:
        expected = observed(official(*arguments, env=LOGS[log], framed=framed))
    assert found == expected


@pytest.fixture(params=list(NODES))
def version(request):
    return request.param


@pytest.mark.parametrize("quirk", ["close", "chunked", "slow"])
def test_any_server(version, quirk):
    events = [Event({"n": n, "filler": "x" * (n * 40_000)}) for n in range(4)]
    if quirk == "slow":
        events = events[:1]
    outcome = ours(version, "index.echo", events, quirk=quirk)
    assert [answer.json() for answer in outcome.answers] == [json.loads(event.body) for event in events]
    assert outcome.connections == (len(events) + 1 if quirk == "close" else 1)


def test_six_megabytes_both_ways(version):
    event = Event({"filler": "ü" * 3_000_000})
    outcome = ours(version, "index.echo", [event, Event(1), event])
    assert [answer.json() for answer in outcome.answers] == [json.loads(event.body), 1, json.loads(event.body)]


def trailer(answer):
    """The error that a streamed response ended with."""
    return json.loads(base64.b64decode(answer.trailers["lambda-runtime-function-error-body"]))


def test_an_uncaught_error_ends_a_stream_that_has_begun(version):
    """AWS's clients post the error, which is refused then; the platform only sees the process end."""
    outcome = ours(version, "streaming.unhandledMid", [Event(1)])
    if version < 24:
        assert outcome.status == 128
        assert [answer.body for answer in outcome.answers] == [b"begin"]
        assert trailer(outcome.answers[0])["errorType"] == "Runtime.UnhandledPromiseRejection"
    else:
        assert outcome.status == 1 and outcome.answers == []


def test_a_stream_that_nobody_ends_is_ended_with_an_error(version):
    """AWS's clients wait until the function's time is up."""
    outcome = ours(version, "streaming.unfinished", [Event(1), Event(2)])
    assert [answer.body for answer in outcome.answers] == [b"begin", b"begin"]
    assert trailer(outcome.answers[0])["errorMessage"] == "Response stream is not finished."


def test_a_broken_pipeline_ends_the_stream_with_its_error(version):
    """AWS's clients end the connection."""
    outcome = ours(version, "streaming.brokenPipeline", [Event(1), Event(2)])
    assert [answer.body for answer in outcome.answers] == [b"begin", b"begin"]
    assert trailer(outcome.answers[1])["errorMessage"] == "source broke"


def test_metadata_without_a_body_is_sent(version):
    """AWS's clients lose it."""
    outcome = ours(version, "streaming.httpEndsAtOnce", [Event(1)])
    assert outcome.answers[0].body == b'{"statusCode":302}' + bytes(8)


def test_a_streamed_response_keeps_the_connection(version):
    outcome = ours(version, "streaming.handler", [Event(n) for n in range(3)])
    assert [answer.body for answer in outcome.answers] == ["one two grüße".encode()] * 3
    assert outcome.connections == 1


def test_layers_are_found_by_require(version):
    paths = ours(version, "index.modules", [Event(1)]).answers[0].json()["paths"]
    assert paths.startswith("/opt/nodejs/node%d/node_modules:/opt/nodejs/node_modules:/var/runtime" % version)
    env = {"NODE_PATH": "/mine"}
    assert ours(version, "index.modules", [Event(1)], env=env).answers[0].json()["paths"] == "/mine"


def test_an_error_between_load_and_first_event_ends_the_process(version):
    outcome = ours(version, "throws_after_load.handler", [Event(1)])
    assert outcome.status == (129 if version < 24 else 1)


def difference(plain, bound):
    """What two functions say of their surroundings, where they do not agree."""
    return {key: (plain[key], bound[key]) for key in plain if plain[key] != bound[key]}


@pytest.mark.parametrize("handler", ["introspect.handler", "introspect_esm.handler"])
@pytest.mark.parametrize("worker", [{}, {"AT_ONCE": "1"}, {"SECRET": "of nobody", "NODE_PATH": "/elsewhere"}])
def test_a_bound_worker_cannot_be_told_from_a_plain_start(version, handler, worker):
    env = {"MINE": "grüße\n", "EMPTY": "", "TZ": "Asia/Tokyo", "NODE_PATH": "/opt/a:/opt/b", "HOME": "/somewhere"}
    # The Runtime API's port is another for each.
    told = []
    for bound in (None, worker):
        outcome = ours(version, handler, [Event(1), Event(2)], env=env, bound=bound)
        assert outcome.output == "" and outcome.connections == 1
        text = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", outcome.answers[0].body.decode())
        told.append(json.loads(text))
    assert difference(*told) == {}
    assert told[0]["env"]["TZ"] == "Asia/Tokyo" and told[0]["hour"] == 9
    assert not any(name.startswith("LAMPLIGHTER") for name in told[1]["env"])


@pytest.mark.parametrize("handler", [
    "index.echo", "index.context", "index.raises", "index.uncaught", "index.console", "index.exits", "import_error.handler",
    "syntax_error_cjs.handler", "throws_at_load.handler", "rejects_at_load.handler", "streaming.handler", "nodot",
    "module.handler",
])
@pytest.mark.parametrize("framed", [False, True])
def test_a_bound_worker_answers_as_a_plain_start(version, handler, framed):
    """Stack traces and all."""
    plain, bound = (
        ours(version, handler, [Event(9), Event(1)], framed=framed, bound=bound) for bound in (None, {}))

    def told(outcome):
        text = [compare.text(outcome.output), [(kind, compare.text(message)) for kind, message in outcome.frames]]
        return [(answer.path, compare.text(answer.body.decode())) for answer in outcome.answers], text, outcome.status

    assert told(plain) == told(bound)


def test_a_worker_that_nobody_wants_ends(version):
    receiver, sender = os.pipe()
    env = {"LAMPLIGHTER_BIND_FD": str(receiver), "PATH": os.environ["PATH"]}
    worker = subprocess.Popen([NODES[version], BOOTSTRAP], env=env, pass_fds=(receiver,))
    os.close(receiver)
    os.close(sender)
    assert worker.wait(timeout=20) == 0
