"""Response streaming: what a function writes reaches its caller at once, in order, and slowly if need be."""
import base64
import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore.exceptions
import pytest
from conftest import NODE, REGION, clean_environment

MIB = 1024 * 1024

# A function can wait for its test: `signal(name)` resolves when the function has a tag of that name.
SIGNAL = """
import { createHash, createHmac } from 'node:crypto';
const env = process.env;
const sha = (text) => createHash('sha256').update(text).digest('hex');
const mac = (key, text) => createHmac('sha256', key).update(text).digest();
async function tags(arn) {
  const { host } = new URL(env.AWS_ENDPOINT_URL);
  const path = '/2017-03-31/tags/' + encodeURIComponent(arn);
  const time = new Date().toISOString().replace(/[-:]|\\.\\d+/g, '');
  const scope = [time.slice(0, 8), env.AWS_REGION, 'lambda', 'aws4_request'];
  const names = 'host;x-amz-date;x-amz-security-token';
  const head = `host:${host}\\nx-amz-date:${time}\\nx-amz-security-token:${env.AWS_SESSION_TOKEN}\\n`;
  const canonical = ['GET', path.replace(/%/g, '%25'), '', head, names, sha('')].join('\\n');
  const key = scope.reduce(mac, 'AWS4' + env.AWS_SECRET_ACCESS_KEY);
  const signature = createHmac('sha256', key)
    .update(['AWS4-HMAC-SHA256', time, scope.join('/'), sha(canonical)].join('\\n')).digest('hex');
  const credential = `${env.AWS_ACCESS_KEY_ID}/${scope.join('/')}`;
  const answer = await fetch(env.AWS_ENDPOINT_URL + path, { headers: {
    'x-amz-date': time, 'x-amz-security-token': env.AWS_SESSION_TOKEN,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`,
  } });
  if (!answer.ok) throw new Error(await answer.text());
  return (await answer.json()).Tags;
}
export async function signal(context, name) {
  const arn = context.invokedFunctionArn.split(':').slice(0, 7).join(':');
  while (!(name in (await tags(arn)))) await new Promise((resolve) => setTimeout(resolve, 20));
}
"""

HANDLER = """
import { signal } from './signal.mjs';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let calls = 0;
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  calls += 1;
  switch (event.do) {
    case 'words':
      for (const word of event.words) {
        stream.write(word);
        await later(1);
      }
      break;
    case 'wait':
      stream.write('before ');
      await signal(context, event.tag);
      stream.write('after');
      break;
    case 'fail':
      if (event.write) stream.write(event.write);
      await later(5);
      throw new RangeError('no luck');
    case 'hang':
      stream.write('begin');
      await later(60_000);
      break;
    case 'exit':
      stream.write('begin');
      await later(50);
      process.exit(3);
    case 'eat': {
      stream.write('begin');
      const eaten = [];
      for (;;) eaten.push(Buffer.alloc(16 * 1024 * 1024, 1));
    }
    case 'bytes': {
      const piece = Buffer.alloc(64 * 1024, 'x');
      let left = event.bytes;
      while (left > 0) {
        if (!stream.write(piece.subarray(0, left))) await new Promise((resolve) => stream.once('drain', resolve));
        left -= Math.min(left, piece.length);
      }
      break;
    }
    case 'tell':
      stream.write(JSON.stringify({ calls }));
      break;
    case 'large-then-log':
      await pipeline(Readable.from(Array.from({ length: event.mebibytes }, () => Buffer.alloc(1 << 20))), stream);
      console.log('wrote it all');
      return;
    case 'http':
      awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { a: 'b' } }).write('body');
      break;
  }
  stream.end();
});
"""


@pytest.fixture
def streamer(make):
    return lambda **settings: make({"index.mjs": HANDLER, "signal.mjs": SIGNAL}, NODE, **settings)


def stream(client, name, event, **options):
    return client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event), **options)


def read(answer):
    """The bytes and the last event."""
    chunks, end = [], None
    for event in answer["EventStream"]:
        assert end is None, "nothing may follow the end"
        if "PayloadChunk" in event:
            chunks.append(event["PayloadChunk"]["Payload"])
        else:
            end = event["InvokeComplete"]
    assert end is not None
    return b"".join(chunks), end


def run(client, name, **event):
    return read(stream(client, name, event))


def error(end):
    assert end["ErrorCode"] == "Unhandled"
    return json.loads(end["ErrorDetails"])


def test_what_is_written_arrives_in_order(aws, streamer):
    name = streamer()
    words = [f"word {n}, grüße; " for n in range(100)]
    answer = stream(aws, name, {"do": "words", "words": words}, LogType="Tail")
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    body, end = read(answer)
    assert body.decode() == "".join(words)
    assert "ErrorCode" not in end and "ErrorDetails" not in end
    tail = base64.b64decode(end["LogResult"]).decode()
    assert tail.startswith("START RequestId: ") and "REPORT RequestId: " in tail
    body, end = run(aws, name, do="tell")
    assert json.loads(body) == {"calls": 2}, "the environment is used again"
    assert end == {}


def test_the_first_chunk_arrives_before_the_handler_ends(aws, streamer):
    name = streamer(Timeout=30)
    arn = aws.get_function_configuration(FunctionName=name)["FunctionArn"]
    events = iter(stream(aws, name, {"do": "wait", "tag": "go"})["EventStream"])
    assert next(events)["PayloadChunk"]["Payload"] == b"before "
    # The handler waits for this, and this for the first chunk.
    aws.tag_resource(Resource=arn, Tags={"go": "1"})
    assert next(events)["PayloadChunk"]["Payload"] == b"after"
    assert next(events) == {"InvokeComplete": {}}
    assert list(events) == []


def test_an_error_in_the_middle_comes_after_what_was_written(aws, streamer):
    name = streamer()
    body, end = run(aws, name, do="fail", write="begin")
    assert body == b"begin"
    assert (error(end)["errorType"], error(end)["errorMessage"]) == ("RangeError", "no luck")
    assert error(end)["trace"][0] == "RangeError: no luck"
    assert json.loads(run(aws, name, do="tell")[0]) == {"calls": 2}


def test_an_error_before_the_first_byte(aws, streamer):
    body, end = run(aws, streamer(), do="fail")
    assert (body, error(end)["errorType"]) == (b"", "RangeError")


def test_a_function_that_cannot_be_loaded(aws, make):
    body, end = run(aws, make("import './nothing-like-it.mjs';\n", NODE))
    assert body == b""
    assert error(end)["errorType"] in ("Error", "Runtime.ImportModuleError")


def test_time_is_up_in_the_middle(aws, streamer):
    name = streamer(Timeout=2)
    answer = stream(aws, name, {"do": "hang"}, LogType="Tail")
    body, end = read(answer)
    assert body == b"begin"
    assert error(end)["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: \S+ Error: Task timed out after 2.00 seconds", error(end)["errorMessage"])
    assert "Status: timeout" in base64.b64decode(end["LogResult"]).decode()
    assert json.loads(run(aws, name, do="tell")[0]) == {"calls": 1}, "the environment was replaced"


def test_the_process_ends_in_the_middle(aws, streamer):
    body, end = run(aws, streamer(), do="exit")
    assert body == b"begin"
    assert error(end)["errorType"] == "Runtime.ExitError"
    assert error(end)["errorMessage"].endswith("Runtime exited with error: exit status 3")


def test_memory_is_up_in_the_middle(aws, streamer):
    body, end = run(aws, streamer(Timeout=30), do="eat")
    assert body == b"begin"
    assert error(end)["errorType"] in ("Runtime.OutOfMemory", "Runtime.ExitError")


@pytest.mark.parametrize("name_of", ["python", "node"])
def test_a_function_that_answers_as_a_whole(aws, make, name_of):
    source = {
        "python": ("def handler(e, c):\n    return {'got': e}\n", "python3.11"),
        "node": ("export const handler = async (e) => ({ got: e });\n", NODE),
    }
    name = make(*source[name_of])
    events = list(stream(aws, name, {"a": 1})["EventStream"])
    assert [list(event) for event in events] == [["PayloadChunk"], ["InvokeComplete"]]
    assert json.loads(events[0]["PayloadChunk"]["Payload"]) == {"got": {"a": 1}}
    assert events[1]["InvokeComplete"] == {}


def test_a_failing_function_that_answers_as_a_whole(aws, make):
    name = make("def handler(e, c):\n    raise ValueError('broken')\n")
    body, end = run(aws, name)
    assert (body, error(end)["errorType"]) == (b"", "ValueError")


def test_a_plain_invoke_collects_a_stream(aws, streamer):
    name = streamer(Timeout=30)

    def invoke(**event):
        answer = aws.invoke(FunctionName=name, Payload=json.dumps(event))
        return answer.get("FunctionError"), answer["Payload"].read()

    assert invoke(do="words", words=["a", "b"]) == (None, b"ab")
    kind, body = invoke(do="fail", write="begin")
    assert (kind, json.loads(body)["errorType"]) == ("Unhandled", "RangeError")
    limit = 6_291_556
    assert invoke(do="bytes", bytes=limit) == (None, b"x" * limit)
    kind, body = invoke(do="bytes", bytes=limit + 1)
    assert kind == "Unhandled"
    assert json.loads(body) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert json.loads(invoke(do="tell")[1]) == {"calls": 5}


def test_http_metadata_is_passed_on(aws, streamer):
    body, _ = run(aws, streamer(), do="http")
    assert body == b'{"statusCode":201,"headers":{"a":"b"}}' + bytes(8) + b"body"


def test_requests_are_checked_as_with_invoke(aws, streamer):
    name = streamer()
    with pytest.raises(aws.exceptions.ResourceNotFoundException) as missing:
        stream(aws, name + "x", {})
    assert missing.value.response["Error"]["Message"].startswith("Function not found: arn:aws:lambda:")
    with pytest.raises(aws.exceptions.InvalidRequestContentException):
        aws.invoke_with_response_stream(FunctionName=name, Payload=b"{no json")
    with pytest.raises(botocore.exceptions.ClientError) as large:
        aws.invoke_with_response_stream(FunctionName=name, Payload=b'"' + b"x" * 6_291_455 + b'"')
    assert large.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    with pytest.raises(botocore.exceptions.ClientError) as kind:
        stream(aws, name, {}, InvocationType="Event")
    assert "'invocationType' failed to satisfy constraint" in str(kind.value)
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        stream(aws, name, {}, Qualifier="7")
    dry = stream(aws, name, {}, InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    assert list(dry["EventStream"]) == []
    assert json.loads(run(aws, name, do="tell")[0]) == {"calls": 1}


def test_a_version_is_streamed_from(aws, streamer):
    name = streamer()
    version = aws.publish_version(FunctionName=name)["Version"]
    answer = stream(aws, name, {"do": "words", "words": ["a"]}, Qualifier=version)
    assert answer["ExecutedVersion"] == version
    assert read(answer)[0] == b"a"


def memory_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) // 1024


@pytest.mark.parametrize("beyond", [0, 1])
def test_two_hundred_mebibytes(aws, streamer, beyond):
    limit = 200 * MIB
    total, end = 0, None
    for event in stream(aws, streamer(Timeout=120, MemorySize=1024), {"do": "bytes", "bytes": limit + beyond})["EventStream"]:
        total += len(event.get("PayloadChunk", {}).get("Payload", b""))
        end = event.get("InvokeComplete")
    assert total == limit
    if not beyond:
        assert end == {}
    else:
        assert error(end) == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": f"Response payload size exceeded maximum allowed payload size ({limit} bytes).",
        }


def test_a_slow_reader_slows_the_function(own_server, make):
    """100 MiB wait in the function, not in the server."""
    server = own_server()
    client = server.client("lambda")
    name = make({"index.mjs": HANDLER, "signal.mjs": SIGNAL}, NODE, client=client, Timeout=60, MemorySize=512)
    run(client, name, do="tell")
    before = memory_mib(server)
    events = iter(stream(client, name, {"do": "large-then-log", "mebibytes": 100})["EventStream"])
    total = len(next(events)["PayloadChunk"]["Payload"])
    highest, looks = 0, 0
    while looks < 30:
        looks += 1
        time.sleep(0.03)  # a slow reader's pause
        highest = max(highest, memory_mib(server))
    for event in events:
        total += len(event.get("PayloadChunk", {}).get("Payload", b""))
        highest = max(highest, memory_mib(server))
    assert total == 100 * MIB
    assert highest - before < 40, (before, highest)


def test_a_client_that_goes_away_does_not_stop_the_function(server, aws, streamer):
    """As AWS documents it: the function runs to its end, and is paid for."""
    name = streamer(Timeout=60, MemorySize=512)
    answer = stream(aws, name, {"do": "large-then-log", "mebibytes": 50})
    events = iter(answer["EventStream"])
    assert next(events)["PayloadChunk"]
    answer["EventStream"].close()
    logs = server.client("logs")
    deadline = time.monotonic() + 30
    messages = []
    while not any(message.startswith("REPORT") for message in messages):
        assert time.monotonic() < deadline, messages
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
            messages = [event["message"] for event in found]
        except logs.exceptions.ResourceNotFoundException:
            pass
    assert any("wrote it all" in message for message in messages)
    assert json.loads(run(aws, name, do="tell")[0]) == {"calls": 2}


def test_many_streams_at_once(server, streamer):
    name = streamer(Timeout=60)
    client = server.client("lambda", max_pool_connections=16)

    def one(number):
        words = [f"{number}.{n} " for n in range(50)]
        return run(client, name, do="words", words=words)[0].decode() == "".join(words)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(32)))


BOOTSTRAP = """#!/usr/bin/python3
import base64, http.client, json, os
api = os.environ['AWS_LAMBDA_RUNTIME_API']
while True:
    connection = http.client.HTTPConnection(api)
    connection.request('GET', '/2018-06-01/runtime/invocation/next')
    event = connection.getresponse()
    if event.status != 200:
        continue  # what was cut off has not been noticed yet
    identity = event.getheader('Lambda-Runtime-Aws-Request-Id')
    wanted = json.loads(event.read())
    sender = http.client.HTTPConnection(api)
    sender.putrequest('POST', f'/2018-06-01/runtime/invocation/{identity}/response')
    sender.putheader('Lambda-Runtime-Function-Response-Mode', 'streaming')
    sender.putheader('Transfer-Encoding', 'chunked')
    sender.putheader('Trailer', 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body')
    sender.endheaders()
    for word in wanted['words']:
        sender.send(b'%x\\r\\n%b\\r\\n' % (len(word), word.encode()))
    if wanted.get('cut'):
        sender.close()
        continue
    sender.send(b'0\\r\\n')
    if 'error' in wanted:
        body = base64.b64encode(json.dumps({'errorType': wanted['error'], 'errorMessage': 'm'}).encode())
        sender.send(b'Lambda-Runtime-Function-Error-Type: %b\\r\\n' % wanted['error'].encode())
        sender.send(b'Lambda-Runtime-Function-Error-Body: %b\\r\\n' % body)
    sender.send(b'\\r\\n')
    sender.getresponse().read()
"""


def test_a_runtime_of_ones_own(aws, make):
    """The Runtime API in plain HTTP, as AWS documents it for custom runtimes."""
    name = make({"bootstrap": (BOOTSTRAP, 0o755)}, "provided.al2023")
    assert run(aws, name, words=["one ", "two"]) == (b"one two", {})
    body, end = run(aws, name, words=["one"], error="My.Error")
    assert (body, error(end)) == (b"one", {"errorType": "My.Error", "errorMessage": "m"})
    body, end = run(aws, name, words=["one"], cut=True)
    assert (body, error(end)["errorType"]) == (b"one", "Runtime.TruncatedResponse")
    assert run(aws, name, words=[]) == (b"", {})


def test_the_javascript_sdk_streams(server, aws, streamer, tmp_path):
    name = streamer(Timeout=30)
    outcome = subprocess.run(
        ["node", Path(__file__).parents[1] / "cli/stream.cjs", name],
        capture_output=True, text=True, cwd=tmp_path, timeout=120,
        env=clean_environment(
            AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION=REGION,
            AWS_ENDPOINT_URL=server.endpoint, NODE_PATH=os.environ["NODE_PATH"],
        ),
    )
    assert outcome.returncode == 0, outcome.stderr
    seen = json.loads(outcome.stdout)
    assert seen["body"] == "before after"
    assert seen["complete"] == {}
    assert seen["version"] == "$LATEST"
    assert seen["error"] == ["begin", "Unhandled", "RangeError"]
    assert seen["missing"] == "ResourceNotFoundException"
