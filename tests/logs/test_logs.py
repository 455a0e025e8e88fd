"""CloudWatch Logs through boto3: by itself, and with what Lambda writes into it."""
import datetime
import json
import re
import time

import pytest
from botocore.exceptions import ClientError
from conftest import NODE, PYTHON, lamplighter

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now_ms():
    return int(time.time() * 1000)


@pytest.fixture(scope="session")
def logs(server):
    # What is wrong shall reach the server.
    return server.client("logs", parameter_validation=False)


@pytest.fixture
def group(logs, unique):
    name = unique("group")
    logs.create_log_group(logGroupName=name)
    yield name
    try:
        logs.delete_log_group(logGroupName=name)
    except logs.exceptions.ResourceNotFoundException:
        pass  # the test deleted it


@pytest.fixture
def stream(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    return group


def put(logs, group, messages, start=None, stream="s", step=1):
    start = now_ms() - MINUTE if start is None else start
    events = [{"timestamp": start + number * step, "message": message} for number, message in enumerate(messages)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    return start


def refusal(call, code, **parameters):
    """What a refused call is told."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    assert error["Code"] == code, error
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Message"]


def said(answer):
    return [event["message"] for event in answer["events"]]


# Groups and streams


def test_a_group_comes_and_goes(logs, unique):
    name = unique("/my.app/with-all_chars#")
    before = now_ms()
    logs.create_log_group(logGroupName=name, tags={"team": "x"})
    found = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert len(found) == 1
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{name}"
    expected = {
        "logGroupName": name, "arn": f"{arn}:*", "logGroupArn": arn, "metricFilterCount": 0, "storedBytes": 0,
        "logGroupClass": "STANDARD",
    }
    assert {key: found[0].get(key) for key in expected} == expected
    assert "retentionInDays" not in found[0]
    assert before - 1000 <= found[0]["creationTime"] <= now_ms() + 1000
    message = refusal(logs.create_log_group, "ResourceAlreadyExistsException", logGroupName=name)
    assert message == "The specified log group already exists"
    logs.delete_log_group(logGroupName=name)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
    message = refusal(logs.delete_log_group, "ResourceNotFoundException", logGroupName=name)
    assert message == "The specified log group does not exist."


def test_a_deleted_group_comes_back_empty(logs, stream):
    put(logs, stream, ["old"])
    logs.delete_log_group(logGroupName=stream)
    logs.create_log_group(logGroupName=stream)
    assert logs.describe_log_streams(logGroupName=stream)["logStreams"] == []
    logs.create_log_stream(logGroupName=stream, logStreamName="s")
    assert logs.get_log_events(logGroupName=stream, logStreamName="s")["events"] == []


@pytest.mark.parametrize("name", ["", "spaces are not allowed", "x" * 513, "colon:"])
def test_bad_group_names(logs, name):
    message = refusal(logs.create_log_group, "InvalidParameterException", logGroupName=name)
    assert "at 'logGroupName' failed to satisfy constraint" in message


def test_groups_are_listed_in_pages(logs, unique):
    stem = unique("paged")
    names = [f"{stem}-{number}" for number in range(7)]
    for name in reversed(names):
        logs.create_log_group(logGroupName=name)
    pages = list(logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=stem, PaginationConfig={"PageSize": 3}))
    assert [len(page["logGroups"]) for page in pages] == [3, 3, 1]
    assert [one["logGroupName"] for page in pages for one in page["logGroups"]] == names
    within = logs.describe_log_groups(logGroupNamePattern=stem[1:])["logGroups"]
    assert [one["logGroupName"] for one in within] == names
    refusal(logs.describe_log_groups, "InvalidParameterException", logGroupNamePrefix="a", logGroupNamePattern="b")
    refusal(logs.describe_log_groups, "InvalidParameterException", nextToken="no token of ours")
    refusal(logs.describe_log_groups, "InvalidParameterException", limit=51)
    for name in names:
        logs.delete_log_group(logGroupName=name)


def test_streams(logs, group):
    for name in ["b", "a", "c/[$LATEST]x"]:
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    message = refusal(
        logs.create_log_stream, "ResourceAlreadyExistsException", logGroupName=group, logStreamName="a")
    assert message == "The specified log stream already exists"
    refusal(logs.create_log_stream, "ResourceNotFoundException", logGroupName="none-such", logStreamName="a")
    refusal(logs.create_log_stream, "InvalidParameterException", logGroupName=group, logStreamName="colon:")
    now = now_ms()
    put(logs, group, ["late"], now, "a")
    put(logs, group, ["early", "then"], now - HOUR, "b")

    def names(**how):
        answer = logs.describe_log_streams(logGroupName=group, **how)
        return [one["logStreamName"] for one in answer["logStreams"]]

    assert names() == ["a", "b", "c/[$LATEST]x"]
    assert names(descending=True) == ["c/[$LATEST]x", "b", "a"]
    assert names(orderBy="LastEventTime", descending=True) == ["a", "b", "c/[$LATEST]x"]
    assert names(orderBy="LastEventTime") == ["c/[$LATEST]x", "b", "a"]
    assert names(logStreamNamePrefix="c/") == ["c/[$LATEST]x"]
    for order in [{}, {"orderBy": "LastEventTime"}, {"descending": True}]:
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, PaginationConfig={"PageSize": 2}, **order)
        paged = [[one["logStreamName"] for one in page["logStreams"]] for page in pages]
        assert [len(page) for page in paged] == [2, 1] and sum(paged, []) == names(**order)
    assert logs.describe_log_streams(
        logGroupIdentifier=f"arn:aws:logs:us-east-1:000000000000:log-group:{group}")["logStreams"]
    refusal(logs.describe_log_streams, "InvalidParameterException", logGroupName=group, logStreamNamePrefix="a",
            orderBy="LastEventTime")

    b = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="b")["logStreams"][0]
    assert (b["firstEventTimestamp"], b["lastEventTimestamp"]) == (now - HOUR, now - HOUR + 1)
    assert b["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:log-stream:b"
    assert abs(b["lastIngestionTime"] - now) < 60_000
    empty = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="c")["logStreams"][0]
    assert "firstEventTimestamp" not in empty

    logs.delete_log_stream(logGroupName=group, logStreamName="b")
    assert names() == ["a", "c/[$LATEST]x"]
    assert said(logs.filter_log_events(logGroupName=group)) == ["late"]
    refusal(logs.get_log_events, "ResourceNotFoundException", logGroupName=group, logStreamName="b")
    message = refusal(logs.delete_log_stream, "ResourceNotFoundException", logGroupName=group, logStreamName="b")
    assert message == "The specified log stream does not exist."


# Putting and getting events


def test_put_and_get(logs, stream):
    messages = ["first", "grüße 😀", "a\nb\tc", "x" * 100_000]
    start = put(logs, stream, messages)
    events = logs.get_log_events(logGroupName=stream, logStreamName="s", startFromHead=True)["events"]
    assert [(event["timestamp"] - start, event["message"]) for event in events] == list(enumerate(messages))
    assert all(abs(event["ingestionTime"] - now_ms()) < 60_000 for event in events)
    assert logs.describe_log_groups(logGroupNamePrefix=stream)["logGroups"][0]["storedBytes"] > 100_000


def test_tokens_read_a_stream_to_its_end_and_back(logs, stream):
    messages = [f"m{number}" for number in range(10)]
    put(logs, stream, messages)

    def page(**how):
        return logs.get_log_events(logGroupName=stream, logStreamName="s", limit=4, **how)

    forward, answer = [], page(startFromHead=True)
    head = answer["nextBackwardToken"]
    while answer["events"]:
        forward.append(said(answer))
        last, answer = answer, page(nextToken=answer["nextForwardToken"], startFromHead=True)
    assert forward == [messages[0:4], messages[4:8], messages[8:10]]
    assert answer["nextForwardToken"] == last["nextForwardToken"], "at the end the token stays the same"
    assert said(page(nextToken=head)) == []

    put(logs, stream, ["m10"], now_ms())
    assert said(page(nextToken=answer["nextForwardToken"])) == ["m10"], "the token of the end finds what comes later"

    back, answer = [], page()
    while answer["events"]:
        back.append(said(answer))
        answer = page(nextToken=answer["nextBackwardToken"])
    assert back == [messages[7:10] + ["m10"], messages[3:7], messages[0:3]]
    refusal(logs.get_log_events, "InvalidParameterException", logGroupName=stream, logStreamName="s", nextToken="f/1/s")


def test_time_ranges(logs, stream):
    start = put(logs, stream, ["t0", "t1", "t2", "t3"])
    answer = logs.get_log_events(
        logGroupName=stream, logStreamName="s", startTime=start + 1, endTime=start + 3, startFromHead=True)
    assert said(answer) == ["t1", "t2"], "the end is not included"
    answer = logs.filter_log_events(logGroupName=stream, startTime=start + 1, endTime=start + 3)
    assert said(answer) == ["t1", "t2", "t3"], "the end is included"


def test_events_of_several_batches_come_in_order_of_time(logs, stream):
    start = now_ms() - MINUTE
    put(logs, stream, ["b1", "b2"], start + 10, step=10)
    put(logs, stream, ["a1", "a2"], start + 5, step=10)
    wanted = ["a1", "b1", "a2", "b2"]
    assert said(logs.get_log_events(logGroupName=stream, logStreamName="s", startFromHead=True)) == wanted
    assert said(logs.filter_log_events(logGroupName=stream)) == wanted


def test_bad_batches_are_refused_whole(logs, stream):
    now = now_ms()

    def refused(events, **other):
        return refusal(logs.put_log_events, "InvalidParameterException",
                       logGroupName=stream, logStreamName="s", logEvents=events, **other)

    one = {"timestamp": now, "message": "m"}
    assert "chronological order" in refused([one, {**one, "timestamp": now - 1}])
    assert "24 hours" in refused([{**one, "timestamp": now - 25 * HOUR}, one])
    assert "less than or equal to 10000" in refused([one] * 10_001)
    assert "too large" in refused([{**one, "message": "x" * 1_048_577}])
    assert "too large" in refused([{**one, "message": "x" * 300_000}] * 4)
    assert "message" in refused([{**one, "message": ""}])
    assert logs.get_log_events(logGroupName=stream, logStreamName="s")["events"] == []
    refusal(logs.put_log_events, "ResourceNotFoundException", logGroupName=stream, logStreamName="no", logEvents=[one])


def test_events_too_old_or_too_new_are_told(logs, stream):
    now = now_ms()

    def rejected(timestamp):
        events = [{"timestamp": timestamp, "message": str(timestamp)}]
        answer = logs.put_log_events(logGroupName=stream, logStreamName="s", logEvents=events)
        return answer.get("rejectedLogEventsInfo")

    assert rejected(now - 15 * DAY) == {"tooOldLogEventEndIndex": 1}
    assert rejected(now + 3 * HOUR) == {"tooNewLogEventStartIndex": 0}
    assert rejected(now) is None
    assert said(logs.filter_log_events(logGroupName=stream)) == [str(now)]


# Searching


def test_patterns(logs, stream):
    put(logs, stream, [
        "ERROR disk full", "INFO all well", "ERROR net down, WARN too", "error in lower case",
        '{"level": "error", "code": 500, "user": {"name": "ann"}, "tags": ["x", "y"]}',
        '{"level": "info", "code": 200, "ok": true, "none": null}',
    ])

    def found(pattern):
        return [message.split('"')[3] if message.startswith("{") else message.split()[1]
                for message in said(logs.filter_log_events(logGroupName=stream, filterPattern=pattern))]

    assert found("ERROR") == ["disk", "net"]
    assert found("ERROR WARN") == ["net"]
    assert found("?disk ?well") == ["disk", "all"]
    assert found("ERROR -disk") == ["net"]
    assert found('"disk full"') == ["disk"]
    assert found('"net down, WARN"') == ["net"]
    assert found('{ $.level = "error" }') == ["error"]
    assert found("{ $.code >= 200 }") == ["error", "info"]
    assert found('{ $.user.name = "a*" }') == ["error"]
    assert found('{ ($.code = 200) && ($.ok IS TRUE) }') == ["info"]
    assert found("{ $.none IS NULL }") == ["info"]
    assert found('{ $.tags[1] = "y" }') == ["error"]
    assert found('{ $.level != "error" }') == ["info"]
    assert len(found("")) == 6
    refusal(logs.filter_log_events, "InvalidParameterException", logGroupName=stream, filterPattern="{ $.a = ")
    refusal(logs.filter_log_events, "InvalidParameterException", logGroupName=stream, filterPattern='"open')
    message = refusal(logs.filter_log_events, "InvalidParameterException", logGroupName=stream, filterPattern="[a, b]")
    assert "not supported" in message


def test_a_search_goes_through_all_streams_in_pages(logs, group):
    start = now_ms() - MINUTE
    for number in range(3):
        logs.create_log_stream(logGroupName=group, logStreamName=f"web-{number}")
        put(logs, group, [f"{number}.{event}" for event in range(4)], start + number, f"web-{number}", step=10)
    logs.create_log_stream(logGroupName=group, logStreamName="other")
    put(logs, group, ["apart"], start, "other")
    wanted = [f"{number}.{event}" for event in range(4) for number in range(3)]
    pages = list(logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, logStreamNamePrefix="web-", PaginationConfig={"PageSize": 5}))
    events = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in events] == wanted
    assert all(len(page["events"]) <= 5 for page in pages)
    assert len({event["eventId"] for event in events}) == len(events)
    assert events[0]["logStreamName"] == "web-0"
    named = logs.filter_log_events(logGroupName=group, logStreamNames=["web-1", "other"])
    assert set(said(named)) == {"1.0", "1.1", "1.2", "1.3", "apart"}
    refusal(logs.filter_log_events, "InvalidParameterException", logGroupName=group, logStreamNames=["a"],
            logStreamNamePrefix="a")
    refusal(logs.filter_log_events, "InvalidParameterException", logGroupName=group, nextToken="no token of ours")
    refusal(logs.filter_log_events, "ResourceNotFoundException", logGroupName="none-such")


# Retention and tags


def test_retention_is_kept_with_the_group(logs, group):
    def retention():
        return logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0].get("retentionInDays")

    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    assert retention() == 7
    refusal(logs.put_retention_policy, "InvalidParameterException", logGroupName=group, retentionInDays=8)
    assert retention() == 7
    logs.delete_retention_policy(logGroupName=group)
    assert retention() is None
    refusal(logs.put_retention_policy, "ResourceNotFoundException", logGroupName="none-such", retentionInDays=7)


def test_retention_takes_events_away_when_the_time_has_come(own_server):
    server = own_server()
    logs = server.client("logs")
    for name in ["short", "for-ever"]:
        logs.create_log_group(logGroupName=name)
        logs.create_log_stream(logGroupName=name, logStreamName="s")
        put(logs, name, ["yesterday's"], now_ms() - 30 * MINUTE)
    logs.put_retention_policy(logGroupName="short", retentionInDays=1)
    for name in ["short", "for-ever"]:
        assert said(logs.filter_log_events(logGroupName=name)) == ["yesterday's"]

    assert lamplighter("clock", "advance", "25h", "--endpoint", server.endpoint).returncode == 0
    put(logs, "short", ["today's"], now_ms() + 25 * HOUR)
    assert said(logs.filter_log_events(logGroupName="short")) == ["today's"]
    assert said(logs.get_log_events(logGroupName="short", logStreamName="s", startFromHead=True)) == ["today's"]
    assert said(logs.filter_log_events(logGroupName="for-ever")) == ["yesterday's"]
    # An event that is older than the retention is not even taken.
    answer = logs.put_log_events(
        logGroupName="short", logStreamName="s", logEvents=[{"timestamp": now_ms(), "message": "late"}])
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}


def test_tags(logs, group):
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    logs.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    logs.tag_resource(resourceArn=arn, tags={"a": "3"})
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "3", "b": "2"}
    logs.untag_resource(resourceArn=arn, tagKeys=["b", "not there"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "3"}
    logs.tag_log_group(logGroupName=group, tags={"c": "4"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "3", "c": "4"}
    logs.untag_log_group(logGroupName=group, tags=["a", "c"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {}
    logs.tag_resource(resourceArn=arn, tags={f"a{number}": "" for number in range(30)})
    with pytest.raises(logs.exceptions.TooManyTagsException):
        logs.tag_resource(resourceArn=arn, tags={f"b{number}": "" for number in range(21)})
    assert len(logs.list_tags_for_resource(resourceArn=arn)["tags"]) == 30
    refusal(logs.tag_resource, "ResourceNotFoundException", resourceArn=arn + "-none", tags={"a": "1"})
    refusal(logs.tag_resource, "InvalidParameterException",
            resourceArn="arn:aws:s3:us-east-1:000000000000:x", tags={"a": "1"})


def test_accounts_and_regions_are_apart(server, group):
    for other in [server.client("logs", account="111111111111"), server.client("logs", region="eu-west-1")]:
        assert other.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []
        refusal(other.filter_log_events, "ResourceNotFoundException", logGroupName=group)


def test_what_is_not_there_yet_says_so(logs, group):
    with pytest.raises(ClientError) as refused:
        logs.start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields @message")
    assert "StartQuery" in refused.value.response["Error"]["Message"]
    refusal(logs.create_log_group, "InvalidParameterException", logGroupName="x", logGroupClass="INFREQUENT_ACCESS")


# What Lambda writes


def events_of(logs, name, wanted, group=None):
    """A function's events, once one of them has the wanted text: they are written behind the call's back."""
    deadline = time.monotonic() + 30
    while True:
        try:
            events = logs.filter_log_events(logGroupName=group or f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            events = []
        if any(wanted in event["message"] for event in events):
            return events
        assert time.monotonic() < deadline, events
        time.sleep(0.02)


def test_lambda_writes_to_a_stream_per_environment(aws, logs, make):
    name = make("def handler(e, c):\n    print('hi')\n    return [c.log_group_name, c.log_stream_name]\n")
    for _ in range(2):
        answer = aws.invoke(FunctionName=name)
        request_id = answer["ResponseMetadata"]["RequestId"]
        log_group, log_stream = json.loads(answer["Payload"].read())
    events = events_of(logs, name, f"REPORT RequestId: {request_id}")
    assert log_group == f"/aws/lambda/{name}"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", log_stream)
    day = datetime.datetime.strptime(log_stream[:10], "%Y/%m/%d").replace(tzinfo=datetime.timezone.utc)
    assert abs((datetime.datetime.now(datetime.timezone.utc) - day).total_seconds()) < 25 * 3600
    streams = logs.describe_log_streams(logGroupName=log_group)["logStreams"]
    assert [one["logStreamName"] for one in streams] == [log_stream]
    assert [event["message"].split()[0] for event in events] == ["INIT_START"] + ["START", "hi", "END", "REPORT"] * 2 \
        or [event["message"].split()[0] for event in events] == ["START", "hi", "END", "REPORT"] * 2
    found = logs.filter_log_events(logGroupName=log_group, filterPattern=f'"{request_id}"')["events"]
    assert [event["message"].split()[0] for event in found] == ["START", "END", "REPORT"]
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)


def test_a_log_message_of_several_lines_is_one_event(aws, logs, make):
    name = make(
        "import logging\n"
        "def handler(e, c):\n"
        "    logging.getLogger().warning('first line\\nsecond line\\n  third line')\n"
        "    try:\n"
        "        1 / 0\n"
        "    except ZeroDivisionError:\n"
        "        logging.getLogger().exception('it failed')\n"
    )
    request_id = aws.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]
    events = events_of(logs, name, "REPORT RequestId")
    warnings = [event["message"] for event in events if "first line" in event["message"]]
    assert len(warnings) == 1
    assert re.fullmatch(
        rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{request_id}\tfirst line\nsecond line\n  third line\n?",
        warnings[0])
    traces = [event["message"] for event in events if "it failed" in event["message"]]
    assert len(traces) == 1 and traces[0].rstrip("\n").endswith("ZeroDivisionError: division by zero")
    assert not any(event["message"].startswith(("second", "Traceback")) for event in events)


def test_a_node_message_of_several_lines_is_one_event(aws, logs, make):
    name = make("export const handler = async () => { console.error('first line\\nsecond line'); };\n", NODE)
    request_id = aws.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]
    events = events_of(logs, name, "REPORT RequestId")
    found = [event["message"] for event in events if "second line" in event["message"]]
    assert len(found) == 1
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{request_id}\tERROR\tfirst line\nsecond line\n?", found[0])


@pytest.mark.parametrize("runtime", [PYTHON, NODE])
def test_json_log_format(aws, logs, make, unique, runtime):
    sources = {
        PYTHON: "import logging\nlog = logging.getLogger()\ndef handler(e, c):\n"
                "    log.info('below')\n    log.warning('said\\ntwice')\n    log.error('bad')\n",
        NODE: "export const handler = async () => { console.info('below'); console.warn('said\\ntwice'); console.error('bad'); };\n",
    }
    target = unique("/custom/json")
    name = make(sources[runtime], runtime, LoggingConfig={
        "LogFormat": "JSON", "ApplicationLogLevel": "WARN", "SystemLogLevel": "INFO", "LogGroup": target})
    configuration = aws.get_function_configuration(FunctionName=name)
    assert configuration["LoggingConfig"] == {
        "LogFormat": "JSON", "ApplicationLogLevel": "WARN", "SystemLogLevel": "INFO", "LogGroup": target}
    request_id = aws.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]
    events = [json.loads(event["message"]) for event in events_of(logs, name, "platform.report", target)]
    own = [event for event in events if "level" in event]
    assert [(event["level"].replace("WARNING", "WARN"), event["message"]) for event in own] == [
        ("WARN", "said\ntwice"), ("ERROR", "bad")]
    for event in own:
        assert event["requestId"] == request_id
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", event["timestamp"])
    platform = {event["type"]: event["record"] for event in events if "type" in event}
    assert {"platform.start", "platform.report"} <= platform.keys()
    assert platform["platform.report"]["requestId"] == request_id
    assert platform["platform.report"]["status"] == "success"
    assert platform["platform.report"]["metrics"]["memorySizeMB"] == 128
    found = logs.filter_log_events(logGroupName=target, filterPattern='{ $.level = "ERROR" }')["events"]
    assert len(found) == 1


def all_events(logs, name):
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
    return [event["message"] for page in pages for event in page["events"]]


def test_every_line_arrives_in_order(aws, logs, make):
    name = make("def handler(e, c):\n    for n in range(20000): print('line', n)\n", MemorySize=1769, Timeout=60)
    request_id = aws.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]
    deadline, messages = time.monotonic() + 60, []
    while not any(message.startswith("REPORT") for message in messages):
        assert time.monotonic() < deadline, len(messages)
        time.sleep(0.1)
        try:
            messages = all_events(logs, name)
        except logs.exceptions.ResourceNotFoundException:
            pass  # not written yet
    own = [message.strip() for message in messages if message.startswith("line")]
    assert own == [f"line {number}" for number in range(20_000)]
    assert messages[-2].startswith(f"END RequestId: {request_id}")


def test_odd_lines(aws, logs, make):
    """No line is lost: neither one that is longer than an event may be, nor one that is no UTF-8, nor one without end."""
    name = make(
        "import os\n"
        "def handler(e, c):\n"
        "    print('z' * 700_000, flush=True)\n"
        "    os.write(1, b'not \\xff utf-8\\n')\n"
        "    os.write(2, b'on standard error\\n')\n"
        "    os.write(1, b'no end of line')\n",
        MemorySize=512,
    )
    aws.invoke(FunctionName=name)
    deadline = time.monotonic() + 30
    while not logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"] or not any(
        message.startswith("REPORT") for message in all_events(logs, name)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    messages = [message.rstrip("\n") for message in all_events(logs, name)]
    start, end = messages.index("not \ufffd utf-8"), next(n for n, text in enumerate(messages) if text.startswith("END"))
    assert messages[start:end] == ["not \ufffd utf-8", "on standard error", "no end of line"]
    begin = next(n for n, text in enumerate(messages) if text.startswith("START"))
    pieces = messages[begin + 1:start]
    assert "".join(pieces) == "z" * 700_000 and max(map(len, pieces)) <= 262_144
