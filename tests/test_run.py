"""`lamplighter run`: a folder's SAM application, called once, served on, and watched."""
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

import boto3
import pytest
from conftest import BINARY, PYTHON, ROOT, clean_environment, free_port, lamplighter

HEAD = """AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
"""


def function(name, folder, extra=""):
    return f"""  {name}:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {PYTHON}
      Handler: app.handler
      CodeUri: {folder}/
{extra}"""


def application(folder, sources, template=None):
    """A folder with one Python function for each of the sources."""
    folder.mkdir(exist_ok=True)
    for name, source in sources.items():
        (folder / name.lower()).mkdir(exist_ok=True)
        (folder / name.lower() / "app.py").write_text(source)
    if template is None:
        template = HEAD + "Resources:\n" + "".join(function(name, name.lower()) for name in sources)
    (folder / "template.yaml").write_text(template)
    return folder


def save(path, text):
    """As a careful editor saves: in one step."""
    beside = path.parents[2] / "being-saved"
    beside.write_text(text)
    os.replace(beside, path)


def run_once(folder, data, *arguments, **options):
    return lamplighter("run", folder, "--once", "--listen", "127.0.0.1:0", "--data", data, *arguments, **options)


class Running:
    """A `lamplighter run` that serves, and what it prints."""

    def __init__(self, folder, data, *arguments):
        self.port = free_port()
        command = [BINARY, "run", folder, "--listen", f"127.0.0.1:{self.port}", "--data", data, *arguments]
        self.process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_environment()
        )
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, pattern, seconds=60):
        """The next line that fits."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no line like {pattern!r}; so far:\n" + "\n".join(self.seen)
            self.seen.append(line)
            if found := re.search(pattern, line):
                return found

    def client(self, service="lambda"):
        return boto3.client(
            service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )

    def call(self, name, event=None):
        answer = self.client().invoke(FunctionName=name, Payload=json.dumps(event or {}))
        return json.loads(answer["Payload"].read())

    def interrupt(self):
        """As Ctrl-C does; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


@pytest.fixture
def run(tmp_path):
    started = []

    def start(folder, *arguments):
        started.append(Running(folder, tmp_path / "data", *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.mark.skipif(not shutil.which("cargo"), reason="the example has a function in Rust, and cargo is not installed")
def test_the_example_runs_once_and_a_second_run_changes_nothing(tmp_path):
    folder = tmp_path / "hello"
    shutil.copytree(
        ROOT / "examples/hello", folder, ignore=shutil.ignore_patterns("target", ".lamplighter", "__pycache__"))
    first = run_once(folder, tmp_path / "data")
    assert first.returncode == 0, first.stdout + first.stderr
    answers = [json.loads(text) for text in re.findall(r"^  answer +(.*)$", first.stdout, re.M)]
    assert {answer["message"] for answer in answers} == {"Hello, Python!", "Hello, Node!", "Hello, Native!"}
    assert {answer["function"] for answer in answers} == {"hello-Python", "hello-Node", "hello-Native"}
    timings = re.findall(r"^  timing +(.*)$", first.stdout, re.M)
    assert len(timings) == 3
    for timing in timings:
        assert re.fullmatch(
            r"cold start, init [\d.]+ ms, duration [\d.]+ ms, billed \d+ ms, memory \d+ MB of 256 MB", timing), timing
    assert "call 1 of this environment" in first.stdout
    assert "PythonArn = arn:aws:lambda:us-east-1:000000000000:function:hello-Python" in first.stdout
    assert len(re.findall(r"hello-\w+ created in \d+ ms", first.stderr)) == 3

    second = run_once(folder, tmp_path / "data")
    assert second.returncode == 0, second.stdout + second.stderr
    assert len(re.findall(r"hello-\w+ unchanged in \d+ ms", second.stderr)) == 3, second.stderr
    assert "created" not in second.stderr and "updated" not in second.stderr and "building" not in second.stderr

    third = run_once(folder, tmp_path / "data", "--parameter", "Greeting=Salut")
    assert third.stdout.count("Salut, ") == 3, third.stdout
    assert len(re.findall(r"hello-\w+ updated in \d+ ms", third.stderr)) == 3, third.stderr


def test_exit_code_2_when_a_function_fails(tmp_path):
    folder = application(tmp_path / "app", {
        "Bad": "def handler(e, c): raise KeyError('gone')\n", "Good": "def handler(e, c): return 'fine'\n"})
    outcome = run_once(folder, tmp_path / "data")
    assert outcome.returncode == 2, outcome.stderr
    failed = json.loads(re.search(r"^  failed +(.*)$", outcome.stdout, re.M).group(1))
    assert (failed["errorType"], failed["errorMessage"]) == ("KeyError", "'gone'")
    assert re.search(r'^  answer +"fine"$', outcome.stdout, re.M), "the other function is called all the same"


def test_each_function_gets_its_event_file(tmp_path):
    echo = "def handler(e, c): return e\n"
    folder = application(tmp_path / "app", {"One": echo, "Two": echo})
    (folder / "events").mkdir()
    (folder / "events/One.json").write_text('{"for": "one"}')
    (folder / "events/event.json").write_text('{"for": "all"}')
    outcome = run_once(folder, tmp_path / "data")
    assert outcome.returncode == 0, outcome.stderr
    assert re.findall(r"^  answer +(.*)$", outcome.stdout, re.M) == ['{"for": "one"}', '{"for": "all"}']


def refused(folder, data, *arguments):
    """The one line that a refused application gets. Nothing is started for it, and nothing left on the disk."""
    outcome = run_once(folder, data, *arguments)
    assert outcome.returncode == 1, (outcome.stdout, outcome.stderr)
    assert outcome.stdout == "" and not data.exists()
    lines = outcome.stderr.splitlines()
    assert len(lines) == 1 and "panicked" not in outcome.stderr, outcome.stderr
    return lines[0]


def test_what_is_not_supported_is_refused_by_name_and_line(tmp_path):
    folder = application(tmp_path / "app", {"Good": "def handler(e, c): return 1\n"})
    good = (folder / "template.yaml").read_text()
    cases = {
        "  Table:\n    Type: AWS::DynamoDB::Table\n": ("'AWS::DynamoDB::Table' (Table)", 2),
        function("Evented", "good", "      Events:\n        Every: {Type: Schedule}\n"): ("'Events'", 7),
        "  F:\n    Type: AWS::Serverless::Function\n    Condition: Never\n": ("'Condition'", 3),
    }
    for text, (name, line) in cases.items():
        (folder / "template.yaml").write_text(good + text)
        message = refused(folder, tmp_path / "data")
        assert name in message and "not supported" in message, message
        found = int(re.search(r"line (\d+)", message).group(1)) - good.count("\n")
        assert line <= found <= line + 1, message


def test_broken_templates_are_refused(tmp_path):
    folder = application(tmp_path / "app", {"Good": "def handler(e, c): return 1\n"})
    (folder / "template.yaml").write_text(HEAD + "Resources: [\n")
    assert re.search(r"line \d+", refused(folder, tmp_path / "data"))
    (folder / "template.yaml").unlink()
    assert "template.yaml" in refused(folder, tmp_path / "data")
    assert "no-such-folder" in refused(tmp_path / "no-such-folder", tmp_path / "data")


def test_parameters(tmp_path):
    template = HEAD + """Parameters:
  Word: {Type: String}
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
Globals:
  Function:
    Environment: {Variables: {SAID: !Sub '${Word}-${Stage}'}}
Resources:
""" + function("Say", "say")
    folder = application(tmp_path / "app", {"Say": "import os\ndef handler(e, c): return os.environ['SAID']\n"}, template)
    assert "--parameter Word=VALUE" in refused(folder, tmp_path / "data")
    message = refused(folder, tmp_path / "data", "--parameter", "Word=x", "--parameter", "Stage=test")
    assert "'Stage'" in message and "[dev, prod]" in message
    assert "'Wrod'" in refused(folder, tmp_path / "data", "--parameter", "Word=x", "--parameter", "Wrod=x")
    outcome = run_once(folder, tmp_path / "data", "--parameter", "Word=a=b", "--parameter", "Stage=prod")
    assert outcome.returncode == 0, outcome.stderr
    assert '"a=b-prod"' in outcome.stdout
    assert run_once(folder, tmp_path / "data", "--parameter", "Word").returncode == 2, "KEY=VALUE is wanted"


def test_a_folder_without_code_is_told(tmp_path):
    folder = application(tmp_path / "app", {}, HEAD + "Resources:\n" + function("Lost", "nowhere"))
    outcome = run_once(folder, tmp_path / "data")
    assert outcome.returncode == 1
    assert "nowhere" in outcome.stderr and "CodeUri" in outcome.stderr


def test_it_serves_until_ctrl_c(tmp_path, run):
    folder = application(tmp_path / "app", {"Say": "def handler(e, c): return ['said', e]\n"})
    running = run(folder)
    running.wait_for(rf"listens on http://127.0.0.1:{running.port}")
    running.wait_for(r"answer +\[\"said\", \{\}\]")
    running.wait_for("press Ctrl-C")
    assert running.call("app-Say", {"a": 1}) == ["said", {"a": 1}]
    assert running.interrupt() == 0


def test_watch(tmp_path, run):
    """A save is live within moments; a mistake is told; the server serves on all the while."""
    folder = application(tmp_path / "app", {"Say": "def handler(e, c): return 'one'\n", "Other": "def handler(e, c): return 'other'\n"})
    template = (folder / "template.yaml").read_text()
    running = run(folder, "--watch")
    running.wait_for("watching")
    assert running.call("app-Say") == "one"

    for word in ["two", "three", "four"]:
        save(folder / "say/app.py", f"def handler(e, c): return {word!r}\n")
        found = running.wait_for(r"app-Say updated in (\d+) ms")
        assert int(found.group(1)) < 10_000
        assert running.call("app-Say") == word
    watched = next(index for index, line in enumerate(running.seen) if "watching" in line)
    assert not any("app-Other" in line for line in running.seen[watched:]), "only what was saved is deployed"

    save(folder / "template.yaml", template + "  Broken: [\n")
    running.wait_for(r"lamplighter: .*line \d+")
    assert running.call("app-Other") == "other", "the server serves on"

    (folder / "added").mkdir()
    save(folder / "added/app.py", "def handler(e, c): return 'added'\n")
    save(folder / "template.yaml", template + function("Added", "added", "      Timeout: 7\n"))
    running.wait_for(r"app-Added created in \d+ ms")
    assert running.call("app-Added") == "added"
    assert running.client().get_function_configuration(FunctionName="app-Added")["Timeout"] == 7

    save(folder / "added/app.py", "def handler(e, c): return 'added and changed'\n")
    running.wait_for(r"app-Added updated in \d+ ms")
    assert running.call("app-Added") == "added and changed"

    save(folder / "template.yaml", template + function("Added", "added", "      Timeout: 8\n"))
    running.wait_for(r"app-Added updated in \d+ ms")
    assert running.client().get_function_configuration(FunctionName="app-Added")["Timeout"] == 8

    # A mistake in the code is the function's own affair: it is deployed, and its caller sees the error.
    save(folder / "say/app.py", "def handler(e, c:\n")
    running.wait_for(r"app-Say updated in \d+ ms")
    assert running.call("app-Say")["errorType"] == "Runtime.UserCodeSyntaxError"
    save(folder / "say/app.py", "def handler(e, c): return 'well again'\n")
    running.wait_for(r"app-Say updated in \d+ ms")
    assert running.call("app-Say") == "well again"

    # As a plain editor saves: the file is emptied, then written. What is there in the end is what counts.
    (folder / "other/app.py").write_text("def handler(e, c): return 'another'\n")
    deadline = time.monotonic() + 60
    while running.call("app-Other") != "another":
        assert time.monotonic() < deadline
    assert running.interrupt() == 0


def test_what_is_saved_during_the_first_deployment_is_not_lost(tmp_path, run):
    slow = "import time\ndef handler(e, c):\n    time.sleep(2)\n    return 'one'\n"
    folder = application(tmp_path / "app", {"Say": slow})
    running = run(folder, "--watch")
    running.wait_for(r"app-Say created in \d+ ms")
    save(folder / "say/app.py", "def handler(e, c): return 'two'\n")
    running.wait_for("watching")
    running.wait_for(r"app-Say updated in \d+ ms")
    assert running.call("app-Say") == "two"


def test_what_could_not_be_deployed_is_tried_again(tmp_path, run):
    """A change of two functions, the first of which cannot be packaged for a while."""
    folder = application(tmp_path / "app", {
        "First": "def handler(e, c): return 'first'\n", "Second": "def handler(e, c): return 'second'\n"})
    running = run(folder, "--watch")
    running.wait_for("watching")
    (folder / "first").rename(tmp_path / "away")
    save(folder / "second/app.py", "def handler(e, c): return 'second, changed'\n")
    running.wait_for("lamplighter: .*first")
    assert running.call("app-First") == "first"
    save(tmp_path / "away/app.py", "def handler(e, c): return 'first, changed'\n")
    (tmp_path / "away").rename(folder / "first")
    deadline = time.monotonic() + 60
    while (running.call("app-First"), running.call("app-Second")) != ("first, changed", "second, changed"):
        assert time.monotonic() < deadline, running.seen


def test_watch_and_once_exclude_each_other(tmp_path):
    outcome = lamplighter("run", tmp_path, "--watch", "--once")
    assert outcome.returncode == 2 and "--once" in outcome.stderr


def test_an_alias_leads_to_the_version_of_the_newest_code(run, tmp_path):
    published = "      AutoPublishAlias: live\n      VersionDescription: made by run\n"
    template = HEAD + "Resources:\n" + function("One", "one", published)
    folder = application(tmp_path / "app", {"One": "def handler(e, c): return ['a', c.function_version]\n"}, template)
    running = run(folder, "--watch")
    running.wait_for("watching")
    aws = running.client()
    assert running.call("app-One:live") == ["a", "1"]
    shown = aws.get_function_configuration(FunctionName="app-One", Qualifier="live")
    assert shown["Description"] == "made by run"
    save(folder / "one" / "app.py", "def handler(e, c): return ['b', c.function_version]\n")
    running.wait_for("app-One updated")
    assert running.call("app-One:live") == ["b", "2"]
    assert running.call("app-One:1") == ["a", "1"]
    # Settings alone are no new version, unless the template says so.
    for more, version in (("Timeout: 7", "2"), ("Timeout: 8\n      AutoPublishAliasAllProperties: true", "3")):
        (folder / "template.yaml").write_text(f"{template}      {more}\n")
        running.wait_for("app-One updated")
        assert aws.get_alias(FunctionName="app-One", Name="live")["FunctionVersion"] == version
    assert running.call("app-One:live") == ["b", "3"]


def test_a_function_gets_a_url(run, tmp_path):
    url = """      FunctionUrlConfig:
        AuthType: NONE
        Cors:
          AllowOrigins: ["https://a.example"]
          MaxAge: 60
"""
    outputs = "Outputs:\n  Address:\n    Value: !GetAtt OneUrl.FunctionUrl\n"
    template = HEAD + "Resources:\n" + function("One", "one", url) + outputs
    folder = application(tmp_path / "app", {"One": "def handler(e, c): return e.get('rawPath', 'no path')\n"}, template)
    running = run(folder, "--watch")
    running.wait_for("watching")
    seen = "\n".join(running.seen)
    address = re.search(r"Address = (http://([a-z0-9]{32})\.lambda-url\.us-east-1\.localhost:(\d+)/)", seen)
    assert f"app-One is at {address[1]}" in seen
    path_form = f"http://127.0.0.1:{address[3]}/_url/{address[2]}/hello"
    with urllib.request.urlopen(path_form, timeout=30) as answer:
        assert answer.read() == b'"/hello"'
    config = running.client().get_function_url_config(FunctionName="app-One")
    assert config["Cors"] == {"AllowOrigins": ["https://a.example"], "MaxAge": 60}
    (folder / "template.yaml").write_text(template.replace("MaxAge: 60", "MaxAge: 61"))
    deadline = time.monotonic() + 60
    while running.client().get_function_url_config(FunctionName="app-One")["Cors"]["MaxAge"] != 61:
        assert time.monotonic() < deadline, running.seen
    assert running.client().get_function_url_config(FunctionName="app-One")["FunctionUrl"] == address[1]


def test_a_template_brings_layers(run, tmp_path):
    template = HEAD + "Resources:\n" + f"""  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties:
      LayerName: shared-of-a-template
      ContentUri: shared/
      CompatibleRuntimes: [{PYTHON}]
      RetentionPolicy: Retain
""" + function("Uses", "uses", "      Layers: [!Ref Shared]\n      EphemeralStorage: {Size: 600}\n") + """Outputs:
  Layer: {Value: !Ref Shared}
"""
    source = "import shared\ndef handler(event, context): return shared.x\n"
    folder = application(tmp_path / "app", {"Uses": source}, template)
    (folder / "shared/python").mkdir(parents=True)
    (folder / "shared/python/shared.py").write_text("x = 1\n")
    data = tmp_path / "data"
    first = run_once(folder, data)
    assert first.returncode == 0, first.stderr
    assert "answer   1" in first.stdout
    assert "Layer = arn:aws:lambda:us-east-1:000000000000:layer:shared-of-a-template:1" in first.stdout
    again = run_once(folder, data)
    assert "shared-of-a-template:1" in again.stdout and "unchanged" in again.stderr + again.stdout
    (folder / "shared/python/shared.py").write_text("x = 2\n")
    changed = run_once(folder, data)
    assert "answer   2" in changed.stdout and "shared-of-a-template:2" in changed.stdout
    (folder / "template.yaml").write_text(template.replace("RetentionPolicy", "Retention"))
    refused = run_once(folder, data)
    assert refused.returncode != 0 and "'Retention'" in refused.stderr
