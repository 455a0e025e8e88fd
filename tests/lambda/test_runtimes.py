"""Functions in Ruby, Java and Go from end to end, through boto3: answers, errors, logs, limits."""
import base64
import json
import os
import re
import shutil
import subprocess
import time
import zipfile

import pytest

from conftest import ROLE, ROOT, Server, zipped

HANDLERS = ROOT / "runtimes/tests/handlers"
JAR = HANDLERS / "java/handlers.jar"
MIB = 1024 * 1024


def told(program, *arguments):
    """The version that a program tells as the first number in its answer; None if it is not there."""
    if not shutil.which(program):
        return None
    answer = subprocess.run([program, *arguments], capture_output=True, text=True).stdout
    return re.search(r"\d+(\.\d+)?", answer).group(0)


RUBY = told("ruby", "--version")
JAVA = told("java", "--version")
needs_ruby = pytest.mark.skipif(not RUBY, reason="no Ruby on this host")
needs_java = pytest.mark.skipif(not JAVA, reason="no Java on this host")


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A server that serves ruby3.3 and java17 with the Ruby and the Java of this host, whichever they are."""
    options = ["--runtime-map", f"ruby3.3=ruby{RUBY}"] if RUBY and RUBY != "3.3" else []
    if JAVA and JAVA.split(".")[0] != "17":
        options += ["--runtime-map", f"java17=java{JAVA.split('.')[0]}"]
    running = Server(tmp_path_factory.mktemp("runtimes") / "data", *options)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(mapped):
    return mapped.client("lambda")


@pytest.fixture
def ruby(make, client):
    def create(source, handler="app.handler", **settings):
        files = {"app.rb": source} if isinstance(source, str) else source
        return make(files, runtime="ruby3.3", client=client, Handler=handler, **settings)

    return create


@pytest.fixture
def java(client, unique):
    names = []

    def create(handler, runtime="java17", package=None, **settings):
        name = unique()
        client.create_function(
            FunctionName=name, Runtime=runtime, Role=ROLE, Handler=handler, Timeout=settings.pop("Timeout", 20),
            Code={"ZipFile": package or JAR.read_bytes()}, MemorySize=settings.pop("MemorySize", 512), **settings)
        names.append(name)
        return name

    yield create
    for name in names:
        client.delete_function(FunctionName=name)


def invoke(client, name, event=None, **options):
    """(answer, kind of error, log)"""
    reply = client.invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail", **options)
    log = base64.b64decode(reply["LogResult"]).decode()
    return json.loads(reply["Payload"].read()), reply.get("FunctionError"), log


def events_of(server, name, wanted):
    """The messages of a function's log, once `wanted` is among them."""
    logs = server.client("logs")
    deadline = time.monotonic() + 20
    while True:
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            found = []
        messages = [event["message"] for event in found]
        if any(wanted in message for message in messages) or time.monotonic() > deadline:
            return messages
        time.sleep(0.1)


@needs_ruby
class TestRuby:
    def test_hello_and_its_surroundings(self, client, ruby):
        name = ruby("""
def handler(event:, context:)
  { greeting: "Hello #{event['name']}", id: context.aws_request_id, arn: context.invoked_function_arn,
    left: context.get_remaining_time_in_millis, env: ENV['AWS_EXECUTION_ENV'], dir: Dir.pwd, gems: ENV['GEM_PATH'],
    trace: ENV['_X_AMZN_TRACE_ID'], version: RUBY_VERSION, fd: ENV['_LAMBDA_TELEMETRY_LOG_FD'] }
end
""")
        answer, error, log = invoke(client, name, {"name": "grüße \U0001f600"})
        assert error is None and answer["greeting"] == "Hello grüße \U0001f600"
        assert re.search(r"START RequestId: " + answer["id"], log)
        assert answer["arn"].endswith(":function:" + name) and 9_000 < answer["left"] <= 10_000
        assert answer["env"] == "AWS_Lambda_ruby3.3" and answer["dir"] == "/var/task" and answer["fd"] is None
        assert answer["gems"].startswith("/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0:")
        assert answer["trace"].startswith("Root=1-") and answer["version"].startswith(RUBY)

    def test_errors(self, client, ruby):
        name = ruby("def handler(event:, context:)\n  raise ArgumentError, 'no good'\nend\n")
        for _ in range(2):
            answer, error, log = invoke(client, name)
            assert error == "Unhandled" and answer["errorType"] == "Function<ArgumentError>"
            assert answer["errorMessage"] == "no good" and answer["stackTrace"][0].startswith("/var/task/app.rb:2:in ")
            assert "Error raised from handler method" in log
        name = ruby("require 'nothing_there'\n")
        answer, error, _ = invoke(client, name)
        assert error == "Unhandled" and answer["errorType"] == "Init<LoadError>"
        assert answer["errorMessage"] == "cannot load such file -- nothing_there"
        name = ruby("def handler(event:, context:)\n  exit 1\nend\n")
        assert invoke(client, name)[0]["errorType"] == "Function<SystemExit>"
        name = ruby("N = [0]\ndef handler(event:, context:)\n  N[0] += 1\n  event['m'] ? nil.nope : N[0]\nend\n")
        assert [invoke(client, name, {"m": m})[0] for m in (False, False)] == [1, 2]
        assert invoke(client, name, {"m": True})[0]["errorType"] == "Function<NoMethodError>"
        assert invoke(client, name, {"m": False})[0] == 1  # such an error ends the process

    def test_limits(self, client, ruby):
        name = ruby("def handler(event:, context:)\n  sleep 30\nend\n", Timeout=1)
        answer, error, _ = invoke(client, name)
        assert error == "Unhandled" and "Task timed out after 1.00 seconds" in answer["errorMessage"]
        name = ruby("def handler(event:, context:)\n  ('x' * event).bytesize\nend\n", MemorySize=128)
        assert invoke(client, name, 10 * MIB)[0] == 10 * MIB
        answer, error, _ = invoke(client, name, 600 * MIB)
        assert error == "Unhandled" and answer["errorType"] in ("Runtime.OutOfMemory", "Runtime.ExitError")
        large = {"filler": "x" * (6 * MIB - 100)}
        assert invoke(client, ruby("def handler(event:, context:)\n  event\nend\n", MemorySize=512), large)[0] == large

    def test_answers_that_are_too_large(self, client, ruby):
        name = ruby("def handler(event:, context:)\n  'x' * event\nend\n", MemorySize=512)
        answer, error, _ = invoke(client, name, 7 * MIB)
        assert error == "Unhandled" and answer["errorType"] == "Function.ResponseSizeTooLarge"
        assert invoke(client, name, 2)[0] == "xx"

    def test_a_wrapper_starts_it(self, client, ruby):
        files = {
            "app.rb": "def handler(event:, context:)\n  ENV['FROM']\nend\n",
            "wrap": ("#!/bin/sh\nexport FROM=wrapper\nexec \"$@\"\n", 0o755),
        }
        name = ruby(files, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}})
        assert invoke(client, name)[0] == "wrapper"

    def test_logs(self, mapped, client, ruby):
        source = """
require 'logger'
def handler(event:, context:)
  puts "first\\nsecond"
  Logger.new($stdout).info('from a logger')
  $stdout.print "printed\\n"
end
"""
        name = ruby(source)
        invoke(client, name)
        messages = events_of(mapped, name, "REPORT")
        assert "first\nsecond\n" in messages and "printed\n" in messages
        assert any(m.startswith("I, [") and "-- : from a logger" in m for m in messages)
        name = ruby(source, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "INFO"})
        invoke(client, name)
        lines = [json.loads(m) for m in events_of(mapped, name, "platform.report") if m.startswith("{")]
        assert [line["message"] for line in lines if line.get("level") == "INFO"] == ["from a logger"]

    def test_classes_and_gems_in_the_package(self, client, ruby):
        gem = "vendor/bundle/ruby/3.3.0"
        files = {
            "shop.rb": "require 'wares'\nmodule Shop\n  class Door\n    def self.open(event:, context:)\n"
                       "      Wares.list\n    end\n  end\nend\n",
            f"{gem}/gems/wares-1.0.0/lib/wares.rb": "module Wares\n  def self.list = %w[a b]\nend\n",
            f"{gem}/specifications/wares-1.0.0.gemspec":
                "Gem::Specification.new do |s|\n  s.name = 'wares'\n  s.version = '1.0.0'\n  s.summary = 'x'\n"
                "  s.authors = ['x']\n  s.require_paths = ['lib']\nend\n",
        }
        assert invoke(client, ruby(files, handler="shop.Shop::Door.open"))[0] == ["a", "b"]

    def test_gems_and_files_in_layers(self, client, ruby, unique):
        gem = "ruby/gems/3.3.0"
        layer = client.publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": zipped({
            f"{gem}/gems/wares-1.0.0/lib/wares.rb": "module Wares\n  def self.list = %w[a b]\nend\n",
            f"{gem}/specifications/wares-1.0.0.gemspec":
                "Gem::Specification.new do |s|\n  s.name = 'wares'\n  s.version = '1.0.0'\n  s.summary = 'x'\n"
                "  s.authors = ['x']\n  s.require_paths = ['lib']\nend\n",
            "ruby/lib/shared.rb": "SHARED = 'c'\n",
        })})
        name = ruby("require 'wares'\nrequire 'shared'\ndef handler(event:, context:)\n  [*Wares.list, SHARED]\nend\n",
                    Layers=[layer["LayerVersionArn"]])
        assert invoke(client, name)[0] == ["a", "b", "c"]

    def test_a_runtime_that_is_missing_names_the_remedy(self, aws, unique):
        if RUBY == "3.4":
            pytest.skip("this host has it")
        with pytest.raises(aws.exceptions.InvalidParameterValueException) as refused:
            aws.create_function(FunctionName=unique(), Runtime="ruby3.4", Role=ROLE, Handler="app.handler",
                                Code={"ZipFile": zipped({"app.rb": ""})})
        assert "runtime 'ruby3.4' needs Ruby 3.4" in str(refused.value)


@needs_java
class TestJava:
    def test_hello_and_its_surroundings(self, client, java):
        assert invoke(client, java("example.Hello"), {"name": "grüße"})[0] == "Hello grüße"
        name = java("example.App::context")
        context = base64.b64encode(json.dumps({"client": {"app_title": "t"}, "custom": {"k": "v"}}).encode()).decode()
        answer, error, log = invoke(client, name, 1, ClientContext=context)
        assert error is None and answer["name"] == name and answer["arn"].endswith(":function:" + name)
        assert answer["memory"] == 512 and answer["remaining"] and answer["custom"] == {"k": "v"}
        assert answer["trace"].startswith("Root=1-") and "START RequestId: " + answer["id"] in log
        seen = invoke(client, java("example.App::looks"))[0]
        assert seen["dir"] == "/var/task" and seen["environment"] == "AWS_Lambda_java17"
        assert "-XX:MaxHeapSize=445644k" in seen["options"] and "-XX:+UseSerialGC" in seen["options"]
        assert any(option.startswith("-XX:SharedArchiveFile=") for option in seen["options"])

    def test_its_own_options_win(self, client, java):
        variables = {"Variables": {"JAVA_TOOL_OPTIONS": "-Xmx64m -XX:+UseParallelGC"}}
        seen, _, log = invoke(client, java("example.App::looks", Environment=variables))
        assert seen["maxMemory"] <= 64 * MIB and not any("MaxHeapSize" in option for option in seen["options"])
        assert "Picked up JAVA_TOOL_OPTIONS: -Xmx64m -XX:+UseParallelGC" in log

    @pytest.mark.parametrize("collector", ["-XX:+UseG1GC", "-XX:+UseZGC"])
    def test_other_collectors(self, client, java, collector):
        name = java("example.App::looks", Environment={"Variables": {"JAVA_TOOL_OPTIONS": collector}})
        seen, error, log = invoke(client, name)
        assert error is None and collector in seen["options"], log

    def test_a_wrapper_starts_it(self, client, java):
        package = zipped({"lib/handlers.jar": JAR.read_bytes(),
                          "wrap": ("#!/bin/sh\nexport AWS_EXECUTION_ENV=wrapper\nexec \"$@\"\n", 0o755)})
        variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}}
        assert invoke(client, java("example.App::looks", package=package, Environment=variables))[0]["environment"] == (
            "wrapper")

    def test_every_kind_of_package(self, client, java):
        """Classes (a jar is a zip of them), and a jar in lib."""
        in_lib = zipped({"lib/handlers.jar": JAR.read_bytes(), "note.txt": "a note"})
        assert invoke(client, java("example.Hello", package=in_lib), {"name": "lib"})[0] == "Hello lib"
        assert invoke(client, java("example.App::resource", package=in_lib), "/note.txt")[0] == "a note"

    def test_jars_in_layers(self, client, java, unique):
        content = {"ZipFile": zipped({"java/lib/handlers.jar": JAR.read_bytes()})}
        layer = client.publish_layer_version(LayerName=unique("layer"), Content=content)
        name = java("example.Hello", package=zipped({"note.txt": "no class"}), Layers=[layer["LayerVersionArn"]])
        assert invoke(client, name, {"name": "layer"})[0] == "Hello layer"

    def test_the_smallest_function(self, client, java):
        name = java("example.Hello", MemorySize=128)
        assert invoke(client, name, {"name": "small"})[0] == "Hello small"
        assert invoke(client, java("example.App::threads", MemorySize=128), 200)[0] == 200

    def test_errors(self, client, java):
        name = java("example.App::raisesWithCause")
        answer, error, log = invoke(client, name, 1)
        assert error == "Unhandled" and answer["errorType"] == "java.lang.Exception"
        assert answer["cause"]["errorMessage"] == "no good: 1" and answer["stackTrace"][0].startswith("example.App.")
        assert "around: java.lang.Exception" in log
        answer, error, _ = invoke(client, java("example.Nowhere::handler"))
        assert error == "Unhandled"
        assert answer == {"errorMessage": "Class not found: example.Nowhere", "errorType": "java.lang.ClassNotFoundException"}
        answer, error, _ = invoke(client, java("example.Broken$Static::handler"))
        assert error == "Unhandled" and answer["errorType"] == "java.lang.ExceptionInInitializerError"
        name = java("example.App::state")
        assert [invoke(client, name)[0] for _ in range(2)] == [1, 2]
        answer, error, _ = invoke(client, java("example.App::exits"))
        assert error == "Unhandled" and answer["errorType"] == "Runtime.ExitError"

    def test_limits(self, client, java):
        name = java("example.App::sleeps", Timeout=2)
        assert invoke(client, name, 10)[0] == "awake"
        answer, error, _ = invoke(client, name, 60_000)
        assert error == "Unhandled" and "Task timed out after 2.00 seconds" in answer["errorMessage"]
        name = java("example.App::fills", MemorySize=256)
        assert invoke(client, name, 20)[0] == 20
        answer, error, _ = invoke(client, name, 2_000)
        assert error == "Unhandled"
        assert answer["errorType"] in ("java.lang.OutOfMemoryError", "Runtime.ExitError", "Runtime.OutOfMemory")
        answer, error, _ = invoke(client, java("example.App::large", MemorySize=512), 7 * MIB)
        assert error == "Unhandled" and answer["errorType"] == "Function.ResponseSizeTooLarge"
        large = {"filler": "x" * (6 * MIB - 100)}
        assert invoke(client, java("example.App::echo", MemorySize=1024), large)[0] == large

    def test_logs(self, mapped, client, java):
        name = java("example.App::logs")
        invoke(client, name)
        messages = events_of(mapped, name, "REPORT")
        assert "one\ntwo\n" in messages and "printed ü\n" in messages and "to stderr\n" in messages
        assert any("[WARN] warning" in message for message in messages)
        name = java("example.App::logs", LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"})
        invoke(client, name)
        lines = [json.loads(m) for m in events_of(mapped, name, "platform.report") if m.startswith("{")]
        assert [line["message"] for line in lines if line.get("level") == "WARN"] == ["warning"]
        assert not any(line.get("level") == "DEBUG" for line in lines)


def test_dotnet_is_refused_with_its_remedy(aws, unique):
    with pytest.raises(aws.exceptions.InvalidParameterValueException) as refused:
        aws.create_function(FunctionName=unique(), Runtime="dotnet8", Role=ROLE, Handler="a::b::c",
                            Code={"ZipFile": zipped({"x": ""})})
    assert "provided.al2023, with a native executable (Native AOT) as bootstrap" in str(refused.value)


@pytest.mark.skipif(not shutil.which("go"), reason="no Go on this host: a program of some 100 MB that only this test needs")
@pytest.mark.parametrize("runtime", ["provided.al2023", "provided.al2"])
def test_go(make, aws, tmp_path, runtime):
    shutil.copy(ROOT / "tests/peers/go/main.go", tmp_path)
    environment = {**os.environ, "GOOS": "linux", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOCACHE": str(tmp_path / "cache")}
    subprocess.run(["go", "build", "-o", "bootstrap", "main.go"], cwd=tmp_path, env=environment, check=True)
    name = make({"bootstrap": ((tmp_path / "bootstrap").read_bytes(), 0o755)}, runtime=runtime)
    answer, error, _ = invoke(aws, name, {"name": "Ada"})
    assert error is None and answer["greeting"] == "Hello Ada"
