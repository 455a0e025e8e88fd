"""LoggingConfig: text and JSON, levels, a group of one's own; and the trace of a request."""
import json
import re

import pytest
from botocore.exceptions import ClientError
from conftest import NODE, PYTHON
from test_extensions import eventually, invoke

LOGS = {
    PYTHON: """
import logging
def handler(event, context):
    print("printed")
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger(), level)("said as " + level)
""",
    NODE: """
export const handler = async () => {
  for (const level of ["debug", "info", "warn", "error"]) console[level]("said as " + level);
};
""",
}


def all_lines(server, group):
    logs = server.client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [(event["logStreamName"], event["message"]) for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


def lines_of(server, name, last="platform.report"):
    found = eventually(lambda: (got := all_lines(server, f"/aws/lambda/{name}"))
                       and any(last in line for _, line in got) and got)
    return [line for _, line in found]


@pytest.mark.parametrize("system,kinds", [
    ("DEBUG", ["initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"]),
    ("INFO", ["initStart", "start", "report"]),
])
def test_the_platforms_lines_are_json_events(server, aws, make, system, kinds):
    name = make(LOGS[PYTHON], LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": system})
    answer, _ = invoke(aws, name)
    events = [json.loads(line) for line in lines_of(server, name) if line.startswith("{")]
    platform = [event for event in events if event.get("type", "").startswith("platform.")]
    assert [event["type"] for event in platform] == [f"platform.{kind}" for kind in kinds]
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert platform[-1]["record"]["requestId"] == request_id
    assert platform[-1]["record"]["status"] == "success"
    assert all(re.fullmatch(r"[-\dT:]+\.\d{3}Z", event["time"]) for event in platform)


def test_only_failures_pass_the_system_level_warn(server, aws, make):
    name = make("import os\ndef handler(e, c):\n    os._exit(1) if e.get('exit') else None\n",
                LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    invoke(aws, name)
    invoke(aws, name, {"exit": True})
    events = [json.loads(line) for line in lines_of(server, name)]
    assert [event["type"] for event in events] == ["platform.runtimeDone", "platform.report"]
    assert events[1]["record"]["status"] == "error" and events[1]["record"]["errorType"] == "Runtime.ExitError"


@pytest.mark.parametrize("runtime", [PYTHON, NODE])
@pytest.mark.parametrize("level,said", [("DEBUG", 4), ("INFO", 3), ("WARN", 2), ("ERROR", 1)])
def test_the_application_level_filters_the_functions_lines(server, aws, make, runtime, level, said):
    name = make(LOGS[runtime], runtime, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": level})
    invoke(aws, name)
    lines = lines_of(server, name)
    events = [json.loads(line) for line in lines if line.startswith("{")]
    messages = [event["message"] for event in events if str(event.get("message", "")).startswith("said as")]
    assert len(messages) == said, lines


def test_text_has_the_runtimes_version_first(server, aws, make):
    name = make(LOGS[PYTHON])
    invoke(aws, name)
    lines = lines_of(server, name, "REPORT")
    assert re.fullmatch(r"INIT_START Runtime Version: python:3\.\d+\.v\d+\tRuntime Version ARN: "
                        r"arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}\n", lines[0]), lines
    assert lines[1].startswith("START RequestId: ")


def test_a_group_is_shared_with_streams_named_by_function(server, aws, make, unique):
    group = unique("/shared/group")
    names = [make(LOGS[PYTHON], LoggingConfig={"LogGroup": group}) for _ in range(2)]
    for name in names:
        invoke(aws, name)
    found = eventually(lambda: (got := all_lines(server, group)) and len({stream for stream, _ in got}) == 2 and got)
    for name in names:
        assert any(re.fullmatch(rf"\d{{4}}/\d\d/\d\d/{name}\[\$LATEST\][0-9a-f]{{32}}", stream)
                   for stream, _ in found), found
    assert not all_lines(server, f"/aws/lambda/{names[0]}")


def test_levels_need_json(aws, make):
    with pytest.raises(ClientError) as refused:
        make(LOGS[PYTHON], LoggingConfig={"LogFormat": "Text", "ApplicationLogLevel": "INFO"})
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


TRACE = "import os\ndef handler(e, c):\n    return os.environ.get('_X_AMZN_TRACE_ID')\n"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"


def invoke_traced(aws, name, header):
    def add(request, **_):
        request.headers["X-Amzn-Trace-Id"] = header
    aws.meta.events.register("before-send.lambda.Invoke", add)
    try:
        return invoke(aws, name)[1]
    finally:
        aws.meta.events.unregister("before-send.lambda.Invoke", add)


def test_a_trace_goes_through(server, make):
    aws = server.client("lambda")
    name = make(TRACE)
    header = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"
    assert invoke_traced(aws, name, header).startswith(header)
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", invoke(aws, name)[1])


def test_active_tracing_has_a_segment_of_its_own(server, make):
    aws = server.client("lambda")
    name = make(TRACE, TracingConfig={"Mode": "Active"})
    assert aws.get_function_configuration(FunctionName=name)["TracingConfig"] == {"Mode": "Active"}
    seen = invoke_traced(aws, name, f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1")
    segment = re.match(rf"Root={ROOT};Parent=([0-9a-f]{{16}});Sampled=1", seen).group(1)
    assert segment != "53995c3f42cd8ad8"
    text = "".join(lines_of(server, name, "REPORT"))
    assert f"XRAY TraceId: {ROOT}\tSegmentId: {segment}\tSampled: true\t\n" in text
    assert "Sampled=0" in invoke_traced(aws, name, f"Root={ROOT};Sampled=0")
