"""The Ruby runtime client on every Ruby of this host, against a fake Runtime API."""

import json
import os
import re
import shutil
import subprocess

import pytest

import compare
from fake_runtime_api import ROOT, Event, run_client

BOOTSTRAP = os.path.join(ROOT, "ruby", "bootstrap.rb")
HANDLERS = os.path.join(ROOT, "tests", "handlers", "ruby")
RUBY = shutil.which("ruby")
pytestmark = pytest.mark.skipif(not RUBY, reason="no Ruby on this host")
ID = "00000000-0000-4000-8000-00000000000"


def run(handler, *events, root=HANDLERS, **options):
    events = [event if isinstance(event, Event) else Event(event) for event in events]
    return run_client([RUBY, "--disable-gems", BOOTSTRAP], root, handler, events, **options)


def answers(handler, *events, **options):
    outcome = run(handler, *events, **options)
    assert outcome.output == "", outcome.output
    return [answer.json() for answer in outcome.answers]


def test_values_of_all_kinds():
    for event in ({"a": [1, 2.5, None, True, "grüße \U0001f600"]}, "text", 0, [], None, 2**70):
        assert answers("app.echo", event) == [event]
    assert answers("app.keywords", {"a": 1}) == [{"a": 1}]
    assert answers("app.nothing", 1) == [None]
    assert answers("app.symbols", 1) == [{"a": "b", "c": [1, 2.5, None, True], "text": "grüße"}]
    assert answers("app.state", 1, 2, 3) == [1, 2, 3]


def test_handler_names():
    assert answers("app.Shop.open", 1) == ["open 1"]
    assert answers("app.Shop::Inner::Door.knock", 2) == ["knock 2"]
    assert answers("lib/nested.handler", 3) == ["nested 3"]


def test_a_stream_is_passed_on():
    outcome = run("app.stream", {"a": 1})
    assert outcome.answers[0].headers["content-type"] == "application/unknown"
    assert outcome.answers[0].body.startswith(b"raw: {")


def test_context():
    client = {
        "Lambda-Runtime-Client-Context": json.dumps({"client": {"app_title": "ti"}, "custom": {"k": [1]}}),
        "Lambda-Runtime-Cognito-Identity": json.dumps({"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}),
        "Lambda-Runtime-Aws-Tenant-Id": "tenant-1",
    }
    plain, told, untraced = answers(
        "app.members", Event({}), Event(2, client), Event(3, {"Lambda-Runtime-Trace-Id": None}))
    assert plain == {
        "id": ID + "1", "group": "/aws/lambda/test", "stream": "2026/11/23/[$LATEST]0123456789abcdef", "name": "test",
        "version": "$LATEST", "arn": "arn:aws:lambda:us-east-1:000000000000:function:test", "memory": "128",
        "remaining": True, "deadline": "Integer", "tenant": None, "identity": None, "client": None,
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0", "frozen": False,
    }
    assert told["client"] == {"client": {"app_title": "ti"}, "custom": {"k": [1]}}
    assert told["identity"]["cognitoIdentityPoolId"] == "pool" and told["tenant"] == "tenant-1"
    assert untraced["trace"] is None


def test_errors_of_the_handler():
    outcome = run("app.raises", "ü", 2)
    first, second = outcome.answers
    report = first.json()
    assert report["errorMessage"] == "no good: ü" and report["errorType"] == "Function<ArgumentError>"
    assert re.fullmatch(re.escape(HANDLERS) + r"/app\.rb:\d+:in [`'](Object#)?raises'", report["stackTrace"][0])
    assert not any("bootstrap" in frame or "lamplighter" in frame.rsplit("/", 1)[1] for frame in report["stackTrace"])
    assert first.headers["lambda-runtime-function-error-type"] == "Function<ArgumentError>"
    cause = json.loads(first.headers["lambda-runtime-function-xray-error-cause"])
    assert cause["exceptions"][0]["message"] == "no good: ü" and cause["paths"] == [HANDLERS + "/app.rb"]
    assert second.json()["errorMessage"] == "no good: 2"
    title, document = outcome.output.split("\n", 1)
    assert title == "Error raised from handler method"
    assert json.JSONDecoder().raw_decode(document)[0] == report

    custom = run("app.raises_custom", 1).answers[0]
    assert custom.json()["errorType"] == "Function<CustomError>"
    assert custom.json()["errorMessage"] == "grüße\nsecond line"
    assert custom.headers["lambda-runtime-function-error-type"] == "Function<UserException>"
    # As on AWS: a method without keywords gets both in one Hash.
    assert answers("app.positional", 1) == [["event", "context"]]
    assert "NestingError" in run("app.bad_result", 1).answers[0].json()["errorType"]


@pytest.mark.parametrize(("handler", "kind", "message"), [
    ("app.no_method", "Function<NoMethodError>", "undefined method `length' for nil"),
    ("app.no_name", "Function<NameError>", "undefined local variable or method `undefined_name'"),
    ("app.missing", "Function<NoMethodError>", "undefined method `missing' for #<LambdaHandler:"),
    ("app.Nowhere.open", "Function<NameError>", "uninitialized constant Kernel::Nowhere"),
    ("app.exits", "Function<SystemExit>", "exit"),
    ("app.overflows", "Function<SystemStackError>", "stack level too deep"),
])
def test_errors_that_end_the_process(handler, kind, message):
    outcome = run(handler, 1, 2)
    assert outcome.status == 255 and len(outcome.answers) == 1
    report = outcome.answers[0].json()
    assert report["errorType"] == kind
    # Ruby 3.4 quotes differently.
    assert report["errorMessage"].replace("'", "`").startswith(message.replace("'", "`"))
    assert outcome.output.startswith("Critical exception from handler\n")


def test_a_hard_exit_tells_nothing():
    outcome = run("app.exits_hard", 1)
    assert outcome.status == 6 and outcome.answers == []


@pytest.mark.parametrize(("handler", "kind", "message"), [
    ("load_error.handler", "Init<LoadError>", "cannot load such file -- no_such_library"),
    ("nowhere.handler", "Init<LoadError>", "cannot load such file -- nowhere"),
    ("syntax_error.handler", "Init<SyntaxError>", HANDLERS + "/syntax_error.rb:"),
    ("raises_at_load.handler", "Init<RuntimeError>", "at load"),
    ("exits_at_load.handler", "Init<SystemExit>", "exit"),
    ("nodot", "Init<ArgumentError>", 'Invalid handler ["nodot"], must be of form FILENAME.METHOD or '),
])
def test_errors_in_initialisation(handler, kind, message):
    outcome = run(handler)
    assert outcome.answers[0].path.endswith("/init/error") and outcome.status == 252
    report = outcome.answers[0].json()
    assert report["errorType"] == kind and message in report["errorMessage"]
    assert outcome.output.startswith("Init error when loading handler " + handler + "\n")


def test_print_and_puts():
    # Ruby 3.4 shows a Hash with blanks.
    assert run("app.prints", 1).output.replace(" => ", "=>") == (
        'one\ntwo\nthree\nfour\n\nprinted {"a"=>1}\nstraight\nto stderr\n')
    framed = run("app.prints", 1, framed=True)
    assert framed.frames == [("a55a0003", "one\ntwo\n"), ("a55a0003", "three\nfour\n"), ("a55a0003", "\n")]
    assert framed.output.startswith("printed {") and framed.output.endswith("straight\nto stderr\n")


def test_text_log():
    outcome = run("app.logs", "prog", framed=True)
    messages = [message for _, message in outcome.frames]
    assert re.fullmatch(
        r"I, \[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} #\d+\]  INFO " + ID + "1 -- prog: info ü\nsecond\n", messages[1])
    assert [m[0] for m in messages] == ["D", "I", "W", "E", "I"] and messages[4] == "INFO: own format\n"
    assert ": bad (ArgumentError)" in messages[3]
    assert {kind for kind, _ in outcome.frames} == {"a55a0003"} and outcome.output == ""


def test_json_log():
    env = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    outcome = run("app.logs", "prog", framed=True, env=env)
    lines = [json.loads(message) for _, message in outcome.frames[:3]]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("INFO", "info ü\nsecond"), ("WARN", "from a block"), ("ERROR", "bad")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lines[0].pop("timestamp"))
    assert lines[0] == {"level": "INFO", "message": "info ü\nsecond", "requestId": ID + "1", "logger": "prog"}
    assert lines[2]["errorType"] == "ArgumentError" and lines[2]["location"].startswith(HANDLERS + "/app.rb:")
    error = json.loads(run("app.raises", 1, framed=True, env=env).frames[0][1])
    assert error["level"] == "ERROR" and error["errorType"] == "Function<ArgumentError>"


def test_gems_are_loaded_when_they_are_needed(tmp_path):
    late = answers("app.loads_gems_late", 1)[0]
    assert late == {"before": "rubygems", "error": "cannot load such file -- no_such_gem", "after": "String",
                    "still": None}
    assert answers("app.asks_for_gem", 1) == [["constant", True]]
    gem = tmp_path / "vendor" / "bundle"
    (gem / "gems/oj_like-1.0.0/lib").mkdir(parents=True)
    (gem / "gems/oj_like-1.0.0/lib/oj_like.rb").write_text("module OjLike\n  NAME = 'from the gem'\nend\n")
    (gem / "specifications").mkdir()
    (gem / "specifications/oj_like-1.0.0.gemspec").write_text(
        "Gem::Specification.new do |s|\n  s.name = 'oj_like'\n  s.version = '1.0.0'\n  s.summary = 'x'\n"
        "  s.authors = ['x']\n  s.files = ['lib/oj_like.rb']\n  s.require_paths = ['lib']\nend\n")
    shutil.copy(os.path.join(HANDLERS, "uses_gem.rb"), tmp_path)
    env = {"GEM_PATH": f"{gem}:"}
    assert answers("uses_gem.handler", 1, root=str(tmp_path), env=env) == ["from the gem"]
    other = tmp_path / "plain"
    other.mkdir()
    shutil.copy(os.path.join(HANDLERS, "uses_gem.rb"), other)
    assert answers("uses_gem.handler", 1, root=str(other), env=env) == ["from the gem"]


def test_search_path():
    path = answers("app.path", 1, env={"RUBYLIB": HANDLERS + ":/opt/ruby/lib"})[0]
    assert path[:2] == [HANDLERS, "/opt/ruby/lib"]


def test_a_function_may_marshal_itself():
    outcome = run("marshals.handler", {"a": 1})
    assert outcome.answers[0].body == b'<own: {"a": 1}>'
    assert outcome.answers[0].headers["content-type"] == "text/html"


@pytest.mark.parametrize("quirk", ["close", "chunked", "slow"])
def test_any_server(quirk):
    events = [{"n": n, "filler": "x" * (n * 40_000)} for n in range(1 if quirk == "slow" else 4)]
    outcome = run("app.echo", *events, quirk=quirk)
    assert [answer.json() for answer in outcome.answers] == events
    assert outcome.connections == (len(events) + 1 if quirk == "close" else 1)


def test_six_megabytes_both_ways():
    large = {"filler": "ü" * 3_000_000}
    assert answers("app.echo", large, 1) == [large, 1]


def test_events_that_are_no_json():
    outcome = run("app.echo", Event(b"{"), Event(b"plain", {"Content-Type": "text/plain"}))
    assert outcome.answers[0].json()["errorType"] == "Function<JSON::ParserError>"
    assert outcome.answers[1].json() == "plain"


def difference(plain, bound):
    """What two functions say of their surroundings, where they do not agree."""
    return {key: (plain[key], bound[key]) for key in plain if plain[key] != bound[key]}


@pytest.mark.parametrize("worker", [{}, {"AT_ONCE": "1"}, {"SECRET": "of nobody"}])
def test_a_bound_worker_cannot_be_told_from_a_plain_start(worker):
    env = {"MINE": "grüße\n", "EMPTY": "", "TZ": "Asia/Tokyo", "GEM_PATH": "/opt/gems:", "HOME": "/somewhere"}
    told = []
    for bound in (None, worker):
        outcome = run("introspect.handler", 1, env=env, bound=bound)
        assert outcome.output == "" and outcome.connections == 1
        text = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", outcome.answers[0].body.decode())
        told.append(json.loads(text))
    assert difference(*told) == {}
    assert told[0]["env"]["TZ"] == "Asia/Tokyo" and "+0900" in told[0]["time"][0]


@pytest.mark.parametrize("handler", [
    "app.echo", "app.members", "app.raises", "app.logs", "app.prints", "app.no_name", "app.exits", "no_such_file.handler",
    "raises_at_load.handler", "exits_at_load.handler", "syntax_error.handler", "load_error.handler", "uses_gem.handler",
    "nodot",
])
@pytest.mark.parametrize("framed", [False, True])
def test_a_bound_worker_answers_as_a_plain_start(handler, framed):
    """Stack traces and all."""
    env = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"} if framed else {}
    plain, bound = (
        run(handler, {"a": 1}, 2, framed=framed, env=env, bound=bound) for bound in (None, {}))

    def same(text):
        return re.sub(r"#\d+\]", "#PID]", compare.text(re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+", "TIME", text)))

    def told(outcome):
        text = [same(outcome.output), [(kind, same(message)) for kind, message in outcome.frames]]
        return [(answer.path, same(answer.body.decode())) for answer in outcome.answers], text, outcome.status

    assert told(plain) == told(bound)


def test_a_worker_that_nobody_wants_ends():
    receiver, sender = os.pipe()
    env = {"LAMPLIGHTER_BIND_FD": str(receiver), "PATH": os.environ["PATH"]}
    worker = subprocess.Popen([RUBY, "--disable-gems", BOOTSTRAP], env=env, pass_fds=(receiver,))
    os.close(receiver)
    os.close(sender)
    assert worker.wait(timeout=20) == 0
