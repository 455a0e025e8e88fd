"""The Java runtime client on every Java of this host, against a fake Runtime API. The handlers are in handlers/java;
`cargo xtask java` compiles them and the client into the jars that are used here."""

import glob
import json
import os
import re
import shutil
import subprocess
import zipfile

import pytest

import compare
from fake_runtime_api import ROOT, Event, run_client

JAR = os.path.join(ROOT, "java", "lamplighter-runtime.jar")
HANDLERS = os.path.join(ROOT, "tests", "handlers", "java", "handlers.jar")
# The native part of the client, which lies beside the jar in a box.
NATIVE = os.path.join(os.path.dirname(ROOT), "platform", "sandbox", "image", "bind.rs")
MAIN = "lamplighter.runtime.Main"


def javas():
    """The newest of each major version that the handlers run on."""
    homes = glob.glob("/usr/lib/jvm/*") + [os.environ.get("JAVA_HOME", "")]
    if shutil.which("java"):
        homes.append(os.path.dirname(os.path.dirname(os.path.realpath(shutil.which("java")))))
    found = {}
    for home in homes:
        try:
            with open(os.path.join(home, "release")) as release:
                version = re.search(r'JAVA_VERSION="(\d+)', release.read())
        except OSError:
            continue
        if version and int(version.group(1)) >= 17:
            found.setdefault("java" + version.group(1), os.path.join(home, "bin", "java"))
    return dict(sorted(found.items()))


JAVAS = javas()
pytestmark = pytest.mark.skipif(not JAVAS, reason="no Java 17 or later on this host")
JAVA = next(iter(JAVAS.values()), None)


@pytest.fixture(scope="session")
def task(tmp_path_factory):
    """The handlers as a package of classes: what an upload of their jar is."""
    folder = tmp_path_factory.mktemp("java") / "task"
    with zipfile.ZipFile(HANDLERS) as jar:
        jar.extractall(folder)
    (folder / "example" / "note.txt").write_text("a note")
    return str(folder)


def run(task, handler, events, java=JAVA, flags=(), jar=JAR, **options):
    command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", *flags, "-cp", jar, MAIN]
    return run_client(command, task, handler, [Event(e) if not isinstance(e, Event) else e for e in events], **options)


def answers(task, handler, *events, **options):
    outcome = run(task, handler, events, **options)
    assert outcome.output == "", outcome.output
    return [json.loads(answer.body) for answer in outcome.answers]


ORDER = {"id": "o1", "items": [{"name": "a", "price": 1.5, "count": 2}], "total": None, "paid": True,
         "more": {"k": [1, 2]}, "key": "123e4567-e89b-12d3-a456-426614174000"}

# (handler, event, answer)
TABLE = [
    ("example.App::echo", {"a": [1, 2.5, None, True, "grüße \U0001f600"], "b": {}}, None),
    ("example.App::echo", "text", None),
    ("example.App::echo", None, None),
    ("example.App::echo", 12345678901234567890, None),
    ("example.App::kinds", {"i": 1, "l": 3_000_000_000, "b": 2**70, "d": 1.5, "s": "x", "t": True, "n": None, "a": [],
                            "o": {}},
     {"i": "Integer", "l": "Long", "b": "BigInteger", "d": "Double", "s": "String", "t": "Boolean", "n": "null",
      "a": "ArrayList", "o": "LinkedHashMap"}),
    ("example.App::upper", "grüße", "GRÜSSE"),
    ("example.App::upper", 5, "5"),
    ("example.App::add", 41, 42),
    ("example.App::add", "41", 42),
    ("example.App::add", None, 1),
    ("example.App::twice", 3_000_000_000, 6_000_000_000),
    ("example.App::half", 3, 1.5),
    ("example.App::not", True, False),
    ("example.App::color", "RED", "GREEN"),
    ("example.App::sizes", ["a", "", "xyz"], [1, 0, 3]),
    ("example.App::squares", [1, 2, 3], [1, 4, 9]),
    ("example.App::byEnum", {"RED": 1}, {"RED": 2}),
    ("example.App::order", {**ORDER, "unknown": {"x": 1}}, {**ORDER, "total": 3.00}),
    ("example.App::box", {"content": {"name": "n", "price": 1, "count": 2}},
     {"content": {"name": "n", "price": 1.0, "count": 2}}),
    ("example.App::move", {"x": 1, "label": "p", "z": 0}, {"x": 2, "y": None, "label": "p"}),
    ("example.App::event", {"Records": [{"awsRegion": "r", "eventSourceARN": "arn", "detail-type": "d",
                                         "isBase64Encoded": True, "Arrival": 1545084650.987}]},
     {"records": [{"awsRegion": "r", "eventSourceArn": "arn", "detailType": "d", "isBase64Encoded": True,
                   "arrival": 1545084650987}]}),
    ("example.App::order", {"ID": "other", "id": "o1", "items": []},
     {**dict.fromkeys(ORDER), "id": "o1", "items": [], "total": 0, "paid": False}),
    ("example.App::moment", {"at": "2026-01-01T00:00:00Z"}, {"at": "2026-01-01T00:00:01Z", "name": "unset"}),
    ("example.App::bytes", "AAE=", "AQE="),
    ("example.App::nothing", 1, None),
    ("example.App::noEvent", 1, "no event"),
    ("example.App::onlyContext", 1, "test"),
    ("example.App::stream", {"a": 1}, [{"a": 1}]),
    ("example.App::onlyOut", 1, "only out"),
    ("example.App::resource", "note.txt", "a note"),
    ("example.Hello", {"name": "Ada", "other": 1}, "Hello Ada"),
    ("example.Hello::handleRequest", {"name": "Ada"}, "Hello Ada"),
    ("example.Typed", ORDER, "o1"),
    ("example.Streams", [1, "ü"], [1, "ü"]),
]


def test_values_of_all_kinds(task):
    for handler, event, expected in TABLE:
        answer = answers(task, handler, event)[0]
        assert answer == (event if expected is None and "echo" in handler else expected), (handler, event)


@pytest.mark.parametrize("java", JAVAS.values(), ids=list(JAVAS))
def test_every_java(task, java):
    options = {"java": java}
    assert answers(task, "example.Hello", {"name": "Ada"}, **options) == ["Hello Ada"]
    assert answers(task, "example.App::order", ORDER, **options) == [{**ORDER, "total": 3.00}]
    assert answers(task, "example.App::event", {"Records": []}, **options) == [{"records": []}]
    outcome = run(task, "example.App::raises", [1], java=java)
    assert outcome.answers[0].json()["errorType"] == "java.lang.IllegalArgumentException"


def test_the_longest_overload_is_taken(task):
    outcome = run(task, "example.App::overloaded", [1])
    assert outcome.answers[0].json() == "three"
    assert "Ignoring an overload of method overloaded" in outcome.output


def test_context(task):
    client = {
        "Lambda-Runtime-Client-Context": json.dumps(
            {"client": {"app_title": "ti"}, "custom": {"k": "v"}, "env": {"l": "de"}}),
        "Lambda-Runtime-Cognito-Identity": json.dumps({"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}),
        "Lambda-Runtime-Aws-Tenant-Id": "tenant-1",
    }
    plain, told, untraced = answers(
        task, "example.App::context", Event(1), Event(2, client), Event(3, {"Lambda-Runtime-Trace-Id": None}))
    assert plain == {
        "id": "00000000-0000-4000-8000-000000000001", "group": "/aws/lambda/test",
        "stream": "2026/11/23/[$LATEST]0123456789abcdef", "name": "test", "version": "$LATEST",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:test", "memory": 128, "remaining": True, "tenant": None,
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0", "identity": None,
    }
    assert told["title"] == "ti" and told["custom"] == {"k": "v"} and told["env"] == {"l": "de"}
    assert told["identity"] == "id" and told["tenant"] == "tenant-1"
    assert untraced["trace"] is None


def test_errors(task):
    outcome = run(task, "example.App::raises", ["ü", 2])
    error = outcome.answers[0]
    assert error.path.endswith("000000000001/error")
    assert error.headers["lambda-runtime-function-error-type"] == "java.lang.IllegalArgumentException"
    assert json.loads(error.headers["lambda-runtime-function-xray-error-cause"])["exceptions"][0]["message"] == "no good: ü"
    report = error.json()
    assert report["errorMessage"] == "no good: ü" and report["errorType"] == "java.lang.IllegalArgumentException"
    assert re.fullmatch(r"example\.App\.raises\(App\.java:\d+\)", report["stackTrace"][0])
    assert not any("lamplighter" in frame for frame in report["stackTrace"])
    assert outcome.answers[1].json()["errorMessage"] == "no good: 2"
    first, second, third = outcome.output.split("\n")[:3]
    assert first == "no good: ü: java.lang.IllegalArgumentException"
    assert second == "java.lang.IllegalArgumentException: no good: ü" and third.startswith("\tat example.App.raises(")

    cause = run(task, "example.App::raisesWithCause", [1]).answers[0].json()
    assert cause["errorType"] == "java.lang.Exception" and cause["errorMessage"] == "around"
    assert cause["cause"]["errorMessage"] == "no good: 1"
    assert run(task, "example.App::raisesNothing", [1]).answers[0].json()["errorMessage"] == (
        "java.lang.IllegalStateException")


@pytest.mark.parametrize(("handler", "event", "reason"), [
    ("example.App::add", "x", "Cannot deserialize value of type `int` from the value x"),
    ("example.App::add", 2**40, "Cannot deserialize value of type `int` from the value 1099511627776"),
    ("example.App::add", [1], "Cannot deserialize value of type `int` from an array"),
    ("example.App::color", "BLUE", "Cannot deserialize value of type `example.App$Color` from the value BLUE"),
    ("example.App::sizes", {}, "Cannot deserialize value of type `java.util.List` from an object"),
    ("example.App::order", {"items": [{"price": "x"}]},
     "Cannot deserialize value of type `double` from the value x (through example.App$Item.price)"
     " (through example.App$Order.items)"),
    ("example.App::echo", b"{", "unexpected end at character 1"),
    ("example.App::echo", b"", "No content to map due to end-of-input"),
    ("example.App::echo", b"[1,]", "unexpected character at character 3"),
])
def test_events_that_do_not_fit(task, handler, event, reason):
    report = run(task, handler, [Event(event)]).answers[0].json()
    assert report["errorMessage"] == "An error occurred during JSON parsing"
    assert report["errorType"] == "java.lang.RuntimeException"
    assert report["cause"]["errorMessage"] == reason


def test_a_result_that_holds_itself(task):
    outcome = run(task, "example.App::holdsItself", [1, 2])
    assert [a.json()["errorMessage"] for a in outcome.answers] == [
        "An error occurred during JSON serialization of response"] * 2


@pytest.mark.parametrize(("handler", "message", "kind"), [
    ("example.Missing::handler", "Class not found: example.Missing", "java.lang.ClassNotFoundException"),
    ("example.App::missing",
     "No public method named missing with appropriate method signature found on class example.App", None),
    ("example.App", "Class does not implement an appropriate handler interface: example.App", None),
    ("::", "Invalid handler: `::'", None),
    ("example.Broken$Inner::handler",
     "Class example.Broken$Inner cannot be instantiated because it is a non-static inner class", None),
    ("example.Broken$Arguments::handler", "Class example.Broken$Arguments has no public zero-argument constructor",
     "java.lang.NoSuchMethodException"),
])
def test_a_handler_that_cannot_be_used_answers_each_event(task, handler, message, kind):
    outcome = run(task, handler, [1, 2])
    expected = {"errorMessage": message, **({"errorType": kind} if kind else {})}
    assert [answer.json() for answer in outcome.answers] == [expected, expected]


@pytest.mark.parametrize(("handler", "message", "kind"), [
    ("example.Broken$Constructor::handler", "no instance", "java.lang.IllegalStateException"),
    ("example.Broken$Static::handler", "Error loading class example.Broken$Static",
     "java.lang.ExceptionInInitializerError"),
])
def test_errors_in_initialisation(task, handler, message, kind):
    outcome = run(task, handler, [])
    assert outcome.answers[0].path.endswith("/init/error") and outcome.status == 1
    assert outcome.answers[0].json() == {"errorMessage": message, "errorType": kind}
    assert kind in outcome.output


def test_what_ends_the_process(task):
    assert run(task, "example.App::exits", [1]).status == 7
    outcome = run(task, "example.App::overflows", [1, 2])
    assert outcome.status == 1 and [a.json()["errorType"] for a in outcome.answers] == ["java.lang.StackOverflowError"]
    outcome = run(task, "example.App::fills", [500])
    assert outcome.status == 1 and outcome.answers[0].json()["errorType"] == "java.lang.OutOfMemoryError"


def test_text_log(task):
    outcome = run(task, "example.App::logs", [1])
    assert outcome.output == "one\ntwo\n[DEBUG] debug[WARN] warningbytes\nprinted ü\nto stderr\n"
    framed = run(task, "example.App::logs", [1], framed=True)
    assert framed.frames == [
        ("a55a0003", "one\ntwo\n"), ("a55a000b", "[DEBUG] debug"), ("a55a0013", "[WARN] warning"),
        ("a55a0003", "bytes\n")]
    assert framed.output == "printed ü\nto stderr\n"


def test_json_log(task):
    env = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    outcome = run(task, "example.App::logs", [1], framed=True, env=env)
    lines = [json.loads(line) if line.startswith("{") else line for _, line in outcome.frames]
    assert [line if isinstance(line, str) else (line["level"], line["message"]) for line in lines] == [
        ("UNDEFINED", "one\ntwo\n"), ("WARN", "warning"), "bytes\n"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[0]["timestamp"])
    assert lines[0]["AWSRequestId"] == "00000000-0000-4000-8000-000000000001"


def test_state_and_large_events(task):
    assert answers(task, "example.App::state", 1, 2, 3) == [1, 2, 3]
    large = {"filler": "ü" * 3_000_000}
    assert answers(task, "example.App::echo", large, 1) == [large, 1]


@pytest.mark.parametrize("quirk", ["close", "chunked", "slow"])
def test_any_server(task, quirk):
    events = [{"n": n, "filler": "x" * (n * 40_000)} for n in range(1 if quirk == "slow" else 4)]
    outcome = run(task, "example.App::echo", events, quirk=quirk)
    assert [answer.json() for answer in outcome.answers] == events
    assert outcome.connections == (len(events) + 1 if quirk == "close" else 1)


def test_a_function_may_serialize_itself(task, tmp_path):
    shutil.copytree(task, tmp_path / "task")
    services = tmp_path / "task/META-INF/services"
    services.mkdir(parents=True)
    name = services / "com.amazonaws.services.lambda.runtime.CustomPojoSerializer"
    name.write_text("example.OwnSerializer\n")
    outcome = run(str(tmp_path / "task"), "example.App::upper", [{"a": 1}])
    assert outcome.answers[0].body == b'<{"A": 1}>'
    name.write_text("example.OwnSerializer\nexample.App\n")
    outcome = run(str(tmp_path / "task"), "example.App::upper", [1])
    assert outcome.answers[0].json() == {
        "errorMessage": "Too many serializers provided inside the META-INF/services folder, only one is allowed"}
    name.write_text("example.App\n")
    outcome = run(str(tmp_path / "task"), "example.App::upper", [])
    assert outcome.status == 1 and outcome.answers[0].json()["errorType"] == "java.util.ServiceConfigurationError"


def test_jars_in_lib(tmp_path):
    (tmp_path / "lib").mkdir()
    shutil.copy(HANDLERS, tmp_path / "lib" / "handlers.jar")
    # A function brings AWS's interfaces along; ours come first, and both fit.
    with zipfile.ZipFile(JAR) as jar:
        jar.extract("com/amazonaws/services/lambda/runtime/Context.class", tmp_path)
    assert answers(str(tmp_path), "example.Hello", {"name": "Ada"}) == ["Hello Ada"]


@pytest.mark.parametrize("java", JAVAS.values(), ids=list(JAVAS))
def test_the_class_archive_is_used(task, tmp_path, java):
    """As the platform makes it: the class path is relative, and the same from both working directories."""
    runtime, rehearsal = tmp_path / "runtime", tmp_path / "task"
    runtime.mkdir()
    shutil.copy(JAR, runtime)
    shutil.copytree(task, rehearsal)
    common = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "../runtime/lamplighter-runtime.jar", MAIN]
    made = [java, "-XX:ArchiveClassesAtExit=../runtime/x.jsa", "-Xmx128m", *common, "--rehearse"]
    subprocess.run(made, cwd=rehearsal, check=True, capture_output=True)
    command = [java, f"-XX:SharedArchiveFile={runtime}/x.jsa", "-Xlog:class+load:file=" + str(tmp_path / "loaded"),
               "-Xmx99m", *common]
    outcome = run_client(command, str(rehearsal), "example.Hello", [Event({"name": "Ada"})])
    assert outcome.answers[0].json() == "Hello Ada" and outcome.output == ""
    loaded = (tmp_path / "loaded").read_text()
    assert re.search(r"lamplighter\.runtime\.HandlerLoader source: shared objects file \(top\)", loaded), loaded[-2000:]


@pytest.fixture(scope="session")
def jar(tmp_path_factory):
    """The client with its native part beside it."""
    if not shutil.which("rustc"):
        pytest.skip("no rustc for the native part of the client")
    folder = tmp_path_factory.mktemp("client")
    options = ["--edition=2024", "-Cpanic=abort", "-Copt-level=2", "--crate-type=cdylib", "-Clink-arg=-nostdlib"]
    subprocess.run(["rustc", *options, NATIVE, "-o", str(folder / "libbind.so")], check=True)
    return shutil.copy(JAR, folder)


def flags_of(name):
    return ["--enable-native-access=ALL-UNNAMED"] if int(name[4:]) >= 24 else []


def difference(plain, bound):
    """What two functions say of their surroundings, where they do not agree."""
    return {key: (plain[key], bound[key]) for key in plain if plain[key] != bound[key]}


@pytest.mark.parametrize("worker", [{}, {"AT_ONCE": "1"}, {"SECRET": "of nobody"}])
@pytest.mark.parametrize("name", JAVAS)
def test_a_bound_worker_cannot_be_told_from_a_plain_start(task, jar, name, worker):
    env = {"MINE": "grüße\n", "EMPTY": "", "TZ": "Asia/Tokyo", "HOME": "/somewhere"}
    told = []
    for bound in (None, worker):
        outcome = run(task, "example.Introspect::handle", [1], JAVAS[name], flags_of(name), jar, env=env, bound=bound)
        assert outcome.output == "" and outcome.connections == 1
        seen = json.loads(re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", outcome.answers[0].body.decode()))
        # Where a Java was started is the one thing of it that no one can change: here the test's directory.
        seen["properties"].pop("user.dir"), seen["cwd"].pop(0)
        # Java keeps one open from the first on, with which it closes others.
        seen["descriptors"] = [link for link in seen["descriptors"] if link != "socket"]
        told.append(seen)
    assert difference(*told) == {}
    assert told[0]["zone"] == "Asia/Tokyo" and "failed" not in told[0]


@pytest.mark.parametrize("handler", [
    "example.App::echo", "example.App::raises", "example.App::raisesWithCause", "example.App::logs", "example.App::exits",
    "example.App::resource", "example.NoSuchClass::handle", "example.App::noSuchMethod", "example.Streams",
])
@pytest.mark.parametrize("framed", [False, True])
def test_a_bound_worker_answers_as_a_plain_start(task, jar, handler, framed):
    """Stack traces and all."""
    env = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"} if framed else {}
    plain, bound = (
        run(task, handler, [{"a": 1}, 2], jar=jar, framed=framed, env=env, bound=bound) for bound in (None, {}))

    def told(outcome):
        text = [compare.text(outcome.output), [(kind, compare.text(message)) for kind, message in outcome.frames]]
        return [(answer.path, compare.text(answer.body.decode())) for answer in outcome.answers], text, outcome.status

    assert told(plain) == told(bound)


def test_a_worker_that_nobody_wants_ends(jar):
    receiver, sender = os.pipe()
    env = {"LAMPLIGHTER_BIND_FD": str(receiver), "PATH": os.environ["PATH"]}
    worker = subprocess.Popen([JAVA, "-Xmx128m", "-cp", jar, MAIN], env=env, pass_fds=(receiver,))
    os.close(receiver)
    os.close(sender)
    assert worker.wait(timeout=20) == 0
