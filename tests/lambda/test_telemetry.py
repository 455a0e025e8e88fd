"""The Telemetry API and the Logs API: what subscribed extensions hear, over HTTP and TCP."""
import json
import re

import pytest
from test_extensions import eventually, invoke, log_of, make_with  # noqa: F401 (a fixture)

LISTENER = '''#!/usr/bin/env python3
import http.server, json, os, socketserver, sys, threading, urllib.error, urllib.request
API = "http://%s/" % os.environ["AWS_LAMBDA_RUNTIME_API"]
def call(method, path, headers, body=None):
    request = urllib.request.Request(API + path, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())
def show(batch):
    for record in batch:
        # What it prints is no part of what it hears: it is not subscribed to extensions' lines, or says so itself.
        print("HEARD", json.dumps(record), flush=True)
class Http(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        show(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
    do_PUT = do_POST
    def log_message(self, *_):
        pass
class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            show([json.loads(line)])
request = json.loads(os.environ["SUBSCRIBE"])
protocol = request["body"]["destination"]["protocol"]
server = (http.server.ThreadingHTTPServer(("sandbox.localdomain", 8080), Http) if protocol == "HTTP"
          else socketserver.ThreadingTCPServer(("sandbox.localdomain", 8080), Tcp))
threading.Thread(target=server.serve_forever, daemon=True).start()
_, head, _ = call("POST", "2020-01-01/extension/register", {"Lambda-Extension-Name": os.path.basename(sys.argv[0])},
                  b'{"events":["INVOKE","SHUTDOWN"]}')
me = {"Lambda-Extension-Identifier": head["Lambda-Extension-Identifier"]}
for path in request["paths"]:
    status, _, answer = call("PUT", path, me, json.dumps(request["body"]).encode())
    print("SUBSCRIBED", status, json.dumps(answer), flush=True)
while True:
    _, _, event = call("GET", "2020-01-01/extension/event/next", me)
    if event["eventType"] == "SHUTDOWN":
        break
late = call("PUT", request["paths"][0], me, json.dumps(request["body"]).encode())
print("LATE", late[0], json.dumps(late[2]), flush=True)
'''

FUNCTION = """
import json
print("from init")
def handler(event, context):
    print("a line")
    print(json.dumps({"message": "an object"}))
    return {"twelve": 12}
"""

TELEMETRY, LOGS = "2022-07-01/telemetry", "2020-08-15/logs"


def subscription(*paths, protocol="HTTP", types=("platform", "function"), schema="2022-12-13", **destination):
    there = {"protocol": protocol, "URI": "http://sandbox.localdomain:8080/x"} if protocol == "HTTP" else {
        "protocol": protocol, "port": 8080}
    body = {"types": types, "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
            "destination": {**there, **destination}}
    if schema:
        body["schemaVersion"] = schema
    return {"Environment": {"Variables": {"SUBSCRIBE": json.dumps({"paths": paths, "body": body})}}}


def heard(lines):
    return [json.loads(line[len("HEARD "):]) for line in lines if line.startswith("HEARD ")]


def run_to_the_end(server, aws, name):
    """One invoke and the end of its environment; the log."""
    answer, _ = invoke(aws, name)
    assert "FunctionError" not in answer
    aws.update_function_configuration(FunctionName=name, Description="another")
    lines = eventually(lambda: (got := log_of(server, name)) and any(line.startswith("LATE") for line in got) and got)
    return answer["ResponseMetadata"]["RequestId"], lines


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_telemetry_is_heard(server, aws, make_with, protocol):
    name = make_with({"ear.py": LISTENER}, FUNCTION, **subscription(TELEMETRY, protocol=protocol))
    request_id, lines = run_to_the_end(server, aws, name)
    assert 'SUBSCRIBED 200 "OK"\n' in lines
    assert "TELEMETRY\tName: ear.py\tState: Subscribed\tTypes: [Platform, Function]\n" in lines
    assert any(re.match(r'LATE 403 .*"Telemetry.SubscriptionClosed"', line) for line in lines)
    records = heard(lines)
    kinds = [record["type"] for record in records]
    platform = ["initStart", "telemetrySubscription", "initRuntimeDone", "extension", "initReport", "start",
                "runtimeDone", "report"]
    assert [kind for kind in kinds if kind != "function"] == [f"platform.{kind}" for kind in platform]
    of = {record["type"]: record["record"] for record in records}
    assert of["platform.initStart"]["initializationType"] == "on-demand"
    assert of["platform.initStart"]["phase"] == "init"
    assert of["platform.initStart"]["runtimeVersion"].startswith("python:3")
    assert of["platform.initStart"]["functionName"] == name
    assert of["platform.telemetrySubscription"] == {
        "name": "ear.py", "state": "Subscribed", "types": ["platform", "function"]}
    assert of["platform.initRuntimeDone"] == {
        "initializationType": "on-demand", "phase": "init", "status": "success"}
    assert of["platform.extension"] == {"name": "ear.py", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    assert of["platform.initReport"]["metrics"]["durationMs"] > 1
    assert of["platform.start"] == {"requestId": request_id, "version": "$LATEST"}
    done = of["platform.runtimeDone"]
    assert done["requestId"] == request_id and done["status"] == "success"
    assert done["metrics"]["producedBytes"] == len('{"twelve": 12}') and done["metrics"]["durationMs"] > 0
    report = of["platform.report"]
    assert report["requestId"] == request_id and report["status"] == "success"
    assert set(report["metrics"]) == {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB",
                                      "initDurationMs"}
    said = [record["record"].strip() for record in records if record["type"] == "function"]
    assert said == ["from init", "a line", '{"message": "an object"}']
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"]) for record in records)


def test_the_logs_api_has_its_own_records(server, aws, make_with):
    name = make_with({"ear.py": LISTENER}, FUNCTION,
                     **subscription(LOGS, TELEMETRY, LOGS, schema="2021-03-18", method="PUT"))
    request_id, lines = run_to_the_end(server, aws, name)
    answers = [line for line in lines if line.startswith("SUBSCRIBED")]
    assert answers[0] == answers[2] == 'SUBSCRIBED 200 "OK"\n'
    assert answers[1].startswith("SUBSCRIBED 400") and "Telemetry.ValidationError" in answers[1]
    assert "LOGS\tName: ear.py\tState: Subscribed\tTypes: [Platform, Function]\n" in lines
    records = heard(lines)
    of = {record["type"]: record["record"] for record in records}
    kinds = [record["type"] for record in records if record["type"] != "function"]
    assert kinds == ["platform.logsSubscription", "platform.logsSubscription", "platform.extension",
                     "platform.start", "platform.runtimeDone", "platform.end", "platform.report"]
    assert of["platform.end"] == {"requestId": request_id}
    assert of["platform.runtimeDone"] == {"requestId": request_id, "status": "success"}
    assert set(of["platform.report"]) == {"requestId", "metrics"}


def test_json_lines_are_objects_and_extensions_hear_each_other(server, aws, make_with):
    settings = subscription(TELEMETRY, types=["function"])
    name = make_with({"ear.py": LISTENER}, FUNCTION, LoggingConfig={"LogFormat": "JSON"}, **settings)
    _, lines = run_to_the_end(server, aws, name)
    said = [record["record"] for record in heard(lines) if record["type"] == "function"]
    assert {"message": "an object"} in said and "a line" in [line.strip() for line in said if isinstance(line, str)]
    assert not any(record["type"].startswith("platform") for record in heard(lines))

    quiet = LISTENER.replace("show(json.loads", "(lambda batch: None)(json.loads")
    talker = quiet.replace("while True:", 'print("hello from the talker", flush=True)\nwhile True:')
    ear = LISTENER.replace('print("HEARD"', 'if "hello" in json.dumps(record): print("HEARD"').replace("8080", "8081")
    body = json.dumps({"paths": [], "body": {"destination": {"protocol": "HTTP"}}})
    settings = subscription(TELEMETRY, types=["extension"], URI="http://sandbox.localdomain:8081")
    talker = talker.replace('os.environ["SUBSCRIBE"]', repr(body)).replace('request["paths"][0]', '"x"')
    name = make_with({"ear.py": ear, "talker.py": talker}, FUNCTION, **settings)
    _, lines = run_to_the_end(server, aws, name)
    assert heard(lines)[0]["type"] == "extension" and "hello" in heard(lines)[0]["record"]


def test_a_bad_subscription_says_what_is_wrong(server, aws, make_with):
    settings = subscription(TELEMETRY, types=[], URI="http://sandbox.localdomain")
    name = make_with({"ear.py": LISTENER}, FUNCTION, **settings)
    _, lines = run_to_the_end(server, aws, name)
    [answer] = [line for line in lines if line.startswith("SUBSCRIBED")]
    status, body = answer.split(" ", 2)[1:]
    assert status == "400" and json.loads(body) == {
        "errorType": "Telemetry.ValidationError",
        "errorMessage": "URI port is not provided; types should not be empty"}


def test_a_deaf_subscriber_holds_nobody_up(server, aws, make_with):
    deaf = LISTENER.replace("server = (", "import socket\nhole = socket.create_server(('sandbox.localdomain', 8080))\n"
                            "class Nothing:\n    def serve_forever(self): pass\nserver = Nothing() or (")
    name = make_with({"ear.py": deaf}, "def handler(event, context):\n    for n in range(3000):\n        print(n)\n",
                     **subscription(TELEMETRY))
    for _ in range(3):
        answer, _ = invoke(aws, name)
        assert "FunctionError" not in answer


def test_what_a_slow_subscriber_missed_is_counted(server, aws, make_with):
    slow = LISTENER.replace("        show(json.loads(", "        import time; time.sleep(0.5)\n        show(json.loads(")
    slow = slow.replace('print("HEARD"', 'if "Dropped" in json.dumps(record): print("HEARD"')
    source = "def handler(event, context):\n    for n in range(9000):\n        print(n)\n"
    name = make_with({"ear.py": slow}, source, Timeout=30, **subscription(TELEMETRY, types=["function"]))
    # Nothing is delivered while the environment is frozen: so it is kept busy.
    dropped = eventually(lambda: invoke(aws, name) and heard(log_of(server, name)), 30)[0]
    assert dropped["type"] == "platform.logsDropped" and dropped["record"]["droppedRecords"] > 0
    assert dropped["record"]["droppedBytes"] > 0 and "fallen behind" in dropped["record"]["reason"]
