"""The Python runtime client beside the official one (PyPI awslambdaric): same answers, same log, over a table of
handlers; and on every interpreter of this host by itself."""

import json
import os
import re
import shutil
import sys

import pytest

import compare
from fake_runtime_api import ROOT, Event, run_client

BOOTSTRAP = os.path.join(ROOT, "python", "bootstrap.py")
HANDLERS = os.path.join(ROOT, "tests", "handlers", "python")

CLIENT = {
    "Lambda-Runtime-Client-Context": json.dumps(
        {
            "client": {"installation_id": "i", "app_title": "ti"},
            "custom": {"k": [1]},
            "env": {"l": "de"},
            "w3c": {"traceparent": "00-1", "tracestate": 3, "other": "x"},
        }
    ),
    "Lambda-Runtime-Cognito-Identity": json.dumps({"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}),
    "Lambda-Runtime-Aws-Tenant-Id": "tenant-1",
}

# (handler, events)
TABLE = [
    ("app.echo", [Event({"a": [1, 2.5, None, True, "ü"]}), Event("text"), Event(0), Event(b" \n{} \t"), Event([])]),
    ("app.echo", [Event(b'{"big": 12345678901234567890, "f": 1e400, "e": "\\u00fc\\ud83d\\ude00"}')]),
    ("app.echo", [Event(b"not json"), Event(b""), Event(b'{"a"}')]),
    ("app.echo", [Event(b"\x00bytes", {"Content-Type": "application/octet-stream"})]),
    ("app.context_members", [Event(1), Event(2, CLIENT), Event(3, {"Lambda-Runtime-Trace-Id": None})]),
    ("app.client_repr", [Event(2, CLIENT)]),
    ("app.context_members", [Event(1, {"Lambda-Runtime-Client-Context": "{not json"})]),
    ("app.environment", [Event(1)]),
    ("app.nothing", [Event(1)]),
    ("app.unicode", [Event(1)]),
    ("app.decimals", [Event(1)]),
    ("app.numbers", [Event(1)]),
    ("app.tuples", [Event(1)]),
    ("app.named_tuples", [Event(1)]),
    ("app.raw_bytes", [Event(1)]),
    ("app.inner_bytes", [Event(1)]),
    ("app.a_set", [Event(1)]),
    ("app.an_object", [Event(1)]),
    ("app.bad_key", [Event(1)]),
    ("app.circular", [Event(1)]),
    ("app.printing", [Event(1), Event("ü")]),
    ("app.logging_levels", [Event(1), Event(2)]),
    ("app.logging_exception", [Event(1)]),
    ("app.logging_extra", [Event(1)]),
    ("app.logging_twice", [Event(1)]),
    ("app.context_log", [Event(1)]),
    ("app.raises", [Event(1), Event("two")]),
    ("app.raises_custom", [Event(1)]),
    ("app.raises_multiline", [Event(1)]),
    ("app.raises_chained", [Event(1)]),
    ("app.raises_empty", [Event(1)]),
    ("app.raises_unicode", [Event(1)]),
    ("app.raises_in_library", [Event(1)]),
    ("app.wrong_arity", [Event(1)]),
    ("app.state", [Event(n) for n in range(5)]),
    ("app.instance", [Event(1)]),
    ("app.not_callable", [Event(1)]),
    ("app.exits", [Event(None)]),
    ("app.exits", [Event(5)]),
    ("app.exits", [Event("a message")]),
    ("app.hard_exit", [Event(1)]),
    ("app.threads", [Event(1)]),
    ("app.subprocess_output", [Event(1)]),
    ("app.generator", [Event(1)]),
    ("pkg/sub.mod.handler", [Event(1)]),
    ("pkg/sub/mod.handler", [Event(1)]),
    ("pkg.sub.mod.handler", [Event(1)]),
    ("layer.plain.handler", [Event(1)]),
    ("logs_at_load.handler", [Event(1)]),
    ("app.missing", []),
    ("no_such_module.handler", []),
    ("pkg.missing.handler", []),
    ("import_error.handler", []),
    ("syntax_error.handler", []),
    ("raises_at_load.handler", []),
    ("exits_at_load.handler", []),
    ("sys.handler", []),
    ("nodot", []),
    ("a/nodot", []),
]

LOGS = {
    "text": {},
    "text_level": {"AWS_LAMBDA_LOG_LEVEL": "INFO"},
    "json": {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"},
}


def official(handler, events, **options):
    pytest.importorskip("awslambdaric")
    return run_client([sys.executable, "-m", "awslambdaric", handler], HANDLERS, handler, events, **options)


def ours(handler, events, python=sys.executable, **options):
    return run_client([python, "-u", BOOTSTRAP], HANDLERS, handler, events, **options)


# The one line that only the official client writes: a hint at AWS's runtime updates.
UPDATE_HINT = re.compile(r'(\[WARNING\]\tTIME\t\tLAMBDA_WARNING[^\n]*\n|\{[^\n]*LAMBDA_WARNING[^\n]*\}\n)')
# Frames of the clients themselves. (importlib.import_module: our client calls what that calls.)
OWN_FRAME = r"(?:importlib/__init__|awslambdaric/bootstrap|lamplighter_runtime/__init__)\.py"


def clean_body(body):
    if isinstance(body, dict) and "stackTrace" in body:
        body["stackTrace"] = [entry for entry in body["stackTrace"] if not re.search(OWN_FRAME, entry)]
    return json.loads(compare.text(json.dumps(body)))


def clean_log(log):
    log = UPDATE_HINT.sub("", compare.text(log))
    # The same frame in the text of an error: its two lines end with \r or \n, in JSON it is an entry of a list.
    log = re.sub(r'[\r\n]\xa0\xa0File "[^"]*' + OWN_FRAME + r'"[^\r\n]*[\r\n][^\r\n]*', "", log)
    return re.sub(r'"  File \\"[^"]*' + OWN_FRAME + r'\\"(?:[^"\\]|\\.)*", ', "", log)


def observed(outcome):
    frames = [(kind, clean_log(message)) for kind, message in outcome.frames]
    frames = [frame for frame in frames if frame[1]]
    return {
        "answers": compare.answers(outcome, clean_body),
        "log": clean_log(outcome.output),
        "frames": frames,
        "status": outcome.status,
    }


def cases():
    """Every handler once; those that write logs in every format, with and without frames."""
    for handler, events in TABLE:
        writes = any(word in handler for word in ("raises", "log", "printing", "missing", "error"))
        for log in LOGS if writes else ("text",):
            for framed in (False, True) if writes else (False,):
                name = "-".join([handler.replace("/", "_"), log] + ["framed"] * framed)
                yield pytest.param(handler, events, log, framed, id=name)


@pytest.mark.parametrize(("handler", "events", "log", "framed"), list(cases()))
def test_same_as_official(handler, events, log, framed):
    env = {**LOGS[log], "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12"}
    expected = observed(official(handler, events, env=env, framed=framed))
    assert observed(ours(handler, events, env=env, framed=framed)) == expected


@pytest.mark.parametrize("runtime", ["python3.10", "python3.11", "python3.12", "python3.14"])
@pytest.mark.parametrize("handler", ["app.unicode", "app.raises_unicode"])
def test_escapes_as_the_version_does(handler, runtime):
    env = {"AWS_EXECUTION_ENV": "AWS_Lambda_" + runtime}
    events = [Event(1)]
    assert ours(handler, events, env=env).answers[0].body == official(handler, events, env=env).answers[0].body


def interpreters():
    found = {}
    for version in ("3.10", "3.11", "3.12", "3.13", "3.14"):
        path = shutil.which("python" + version)
        candidates = [path] if path and "/shims/" not in path else []
        root = os.path.expanduser("~/.pyenv/versions")
        if os.path.isdir(root):
            candidates += [os.path.join(root, entry, "bin", "python" + version) for entry in sorted(os.listdir(root))]
        for candidate in candidates:
            if os.access(candidate, os.X_OK):
                found.setdefault(version, candidate)
    return found


@pytest.mark.parametrize("python", interpreters().values(), ids=list(interpreters()))
def test_every_interpreter(python):
    def body(handler, event, **options):
        outcome = ours(handler, [Event(event)], python=python, **options)
        return outcome.answers[0].json(), outcome

    assert body("app.echo", {"a": [1, "ü"]})[0] == {"a": [1, "ü"]}
    assert body("app.context_members", 1)[0]["function_name"] == "test"
    assert body("app.decimals", 1)[1].answers[0].body.startswith(b'{"a": 1.10, "b": [-3, NaN, NaN, Infinity]')
    error, outcome = body("app.raises_custom", 1)
    assert error["errorType"] == "CustomError" and error["errorMessage"] == "custom: (1, 'two')"
    assert [entry.split(", in ")[1].split("\n")[0] for entry in error["stackTrace"]] == ["raises_custom", "inner"]
    assert outcome.output.startswith("[ERROR] CustomError: custom: (1, 'two')\rTraceback (most recent call last):\r")
    assert body("app.a_set", 1)[0]["errorType"] == "Runtime.MarshalError"
    outcome = ours("app.logging_levels", [Event(1)], python=python)
    assert re.match(r"\[DEBUG\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t00000000-\S+\td 1\n", outcome.output)
    outcome = ours("syntax_error.handler", [], python=python)
    assert outcome.status == 1 and outcome.answers[0].json()["errorType"] == "Runtime.UserCodeSyntaxError"
    outcome = ours("no_such_module.handler", [], python=python)
    assert outcome.answers[0].json()["errorMessage"] == (
        "Unable to import module 'no_such_module': No module named 'no_such_module'"
    )


@pytest.mark.parametrize("quirk", ["close", "chunked", "slow"])
def test_any_server(quirk):
    events = [Event({"n": n, "filler": "x" * (n * 40_000)}) for n in range(4)]
    if quirk == "slow":
        events = events[:1]
    outcome = ours("app.echo", events, quirk=quirk)
    assert [answer.json() for answer in outcome.answers] == [json.loads(event.body) for event in events]
    assert outcome.connections == (len(events) + 1 if quirk == "close" else 1)


def test_six_megabytes_both_ways():
    event = Event({"filler": "ü" * 3_000_000})
    outcome = ours("app.echo", [event, Event(1)], env={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
    assert outcome.answers[0].json() == json.loads(event.body)
    assert outcome.answers[1].json() == 1


def test_what_has_no_utf8_form_is_an_error():
    # The official client dies of it.
    outcome = ours("app.unicode", [Event("lone"), Event(1)], env={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
    assert outcome.answers[0].json()["errorType"] == "Runtime.MarshalError"
    assert outcome.answers[1].json()["lone"] == ""


def test_coroutine_is_no_result():
    outcome = ours("app.coroutine", [Event(1), Event(2)])
    message = "Unable to marshal response: Object of type coroutine is not JSON serializable"
    assert [answer.json()["errorMessage"] for answer in outcome.answers] == [message, message]
    assert "was never awaited" in outcome.output


def test_layers_and_search_path(tmp_path):
    code = "import sys\ndef handler(event, context): return sys.path\n"
    (tmp_path / "paths.py").write_text(code)
    version = "python%d.%d" % sys.version_info[:2]

    def search_path(env):
        outcome = run_client([sys.executable, "-u", BOOTSTRAP], str(tmp_path), "paths.handler", [Event(1)], env=env)
        return outcome.answers[0].json()

    layers = ["/opt/python/lib/%s/site-packages" % version, "/opt/python", os.path.dirname(BOOTSTRAP)]
    assert search_path({})[:4] == [str(tmp_path)] + layers
    assert search_path({"PYTHONPATH": "/mine:/too"})[:6] == [str(tmp_path), "/mine", "/too"] + layers


def test_start_loads_only_built_in_modules(tmp_path):
    (tmp_path / "modules.py").write_text("import sys\ndef handler(event, context): return sorted(sys.modules)\n")
    outcome = run_client([sys.executable, "-S", "-u", BOOTSTRAP], str(tmp_path), "modules.handler", [Event(1)])
    loaded = set(outcome.answers[0].json())
    assert not loaded & {"json", "logging", "socket", "http.client", "re", "traceback", "importlib", "threading"}
