// The Node.js runtime client (Node.js 20, 22, 24): loads the handler, then asks the Runtime API for events for ever.
//
// It is CommonJS: an ES module as the entry point would cost several milliseconds of every cold start. Handlers may be
// either. What it is not: it neither limits nor times anything (the platform does).
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html and
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
'use strict';

const { RuntimeApi } = require('./lib/client.cjs');
const { contextOf, initContext } = require('./lib/context.cjs');
const { errorReport, tracingCause, RuntimeError, UnhandledPromiseRejection } = require('./lib/errors.cjs');
const { loadHandler, streamingOf } = require('./lib/handler.cjs');
const logs = require('./lib/logs.cjs');

// Known when the process knows its function: see `main`.
let version;
// From Node.js 24 on AWS takes promises and plain values only: no callback, no waiting for an empty event loop, and
// an error that nobody catches ends the process as Node.js itself does.
let promisesOnly;
let api;
// What to do when the event loop is empty, and the request that an uncaught error belongs to.
let whenIdle = null;
let currentId = null;
// The response of that request, if it is a stream.
let currentStream = null;

// The handler is called as a member of this, as on AWS: its stack traces say "at Runtime.handler".
class Runtime {
  constructor(handler) {
    this.handler = handler;
  }
}

// The same for streamed responses from Node.js 24 on.
class StreamingInvokeProcessor extends Runtime {}

async function main() {
  const runtimeId = /nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV || '');
  version = Number(runtimeId ? runtimeId[1] : process.versions.node.split('.')[0]);
  promisesOnly = version >= 24;
  api = new RuntimeApi(process.env.AWS_LAMBDA_RUNTIME_API);
  setModulePaths();
  initContext();
  logs.patchConsole(promisesOnly);
  if (!promisesOnly) watchUncaught();
  process.on('beforeExit', () => {
    const run = whenIdle;
    whenIdle = null;
    if (run) run();
  });
  let handler;
  try {
    handler = await loadHandler(process.env.LAMBDA_TASK_ROOT || '/var/task', process.env._HANDLER || '', promisesOnly);
  } catch (error) {
    await failInitialisation(promisesOnly ? 'Init Error' : 'Uncaught Exception', error, promisesOnly ? 1 : 129);
    return;
  }
  const streaming = streamingOf(handler);
  const serve = streaming ? streamServer(streaming) : promisesOnly ? servePromise : serveAny;
  const runtime = streaming && promisesOnly ? new StreamingInvokeProcessor(handler) : new Runtime(handler);
  let event = await api.next();
  for (;;) {
    const { headers, body } = event;
    currentId = headers['lambda-runtime-aws-request-id'];
    logs.setRequest(currentId, headers['lambda-runtime-aws-tenant-id']);
    setTraceId(headers['lambda-runtime-trace-id']);
    // While a handler runs, our connection must not keep the event loop busy.
    api.release();
    const answer = await serve(runtime, headers, body);
    api.hold();
    event = await answer.next;
  }
}

// Layers and the runtime, as on AWS. Only `require` looks here; `import` does not, by its own rules.
function setModulePaths() {
  if (process.env.NODE_PATH) return;
  const root = process.env.LAMBDA_TASK_ROOT || '/var/task';
  process.env.NODE_PATH =
    `/opt/nodejs/node${version}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:${root}`;
  require('module')._initPaths();
}

function setTraceId(traceId) {
  if (traceId) process.env._X_AMZN_TRACE_ID = traceId;
  else delete process.env._X_AMZN_TRACE_ID;
}

function watchUncaught() {
  const die = (title, error, code) => {
    if (currentId === null) {
      failInitialisation(title, error, code);
      return;
    }
    logs.logError(title, error);
    api.hold();
    if (currentStream && currentStream.isOpen) {
      // The response has begun: the error can only be its end.
      currentStream.fail(error);
      currentStream.answered().finally(() => process.exit(code));
      return;
    }
    const report = errorReport(error);
    api.fail(currentId, JSON.stringify(report), report.errorType, tracingCause(error)).finally(() => process.exit(code));
  };
  process.on('uncaughtException', (error) => die('Uncaught Exception', error, 129));
  process.on('unhandledRejection', (reason, promise) =>
    die('Unhandled Promise Rejection', new UnhandledPromiseRejection(reason, promise), 128));
}

async function failInitialisation(title, error, code) {
  logs.logError(title, error);
  api.hold();
  const report = errorReport(error);
  try {
    await api.failInitialisation(JSON.stringify(report), report.errorType);
  } finally {
    process.exit(code);
  }
}

// Throws when a result has no JSON form (a cycle, a BigInt).
function encode(result) {
  let text;
  try {
    text = JSON.stringify(result === undefined ? null : result);
  } catch {
    const message = 'Unable to stringify response body';
    throw promisesOnly ? new RuntimeError('JSONStringifyError', message) : new Error(message);
  }
  return text === undefined ? 'null' : text;
}

function failThenNext(id, error) {
  logs.logError('Invoke Error', error);
  const report = errorReport(error);
  return api.failThenNext(id, JSON.stringify(report), report.errorType, tracingCause(error));
}

// Both ways to serve an event give, when the answer is on its way, { next: a promise of the next event }. In an object,
// because a promise of a promise would wait for both.

// Handlers marked with awslambda.streamifyResponse.
function streamServer({ highWaterMark }) {
  const { ResponseStream } = require('./lib/stream.cjs');
  // Thrown as AWS's two clients do.
  const wrong = (message) => (promisesOnly ? new Error(message) : message);
  return async (runtime, headers, body) => {
    const stream = new ResponseStream(api, currentId, highWaterMark, promisesOnly);
    currentStream = stream;
    const options = { callbackWaitsForEmptyEventLoop: true };
    try {
      const context = contextOf(headers, promisesOnly ? {} : options);
      const result = runtime.handler(JSON.parse(body.toString()), stream, context);
      if (!result || typeof result.then !== 'function') throw wrong('Streaming does not support non-async handlers.');
      const value = await result;
      if (value !== undefined) console.warn('Streaming handlers ignore return values.');
      // The response may go on after the handler, for as long as there is something left to do.
      await Promise.race([stream.answered(), idle()]);
      if (!stream.isOver) throw wrong('Response stream is not finished.');
    } catch (error) {
      if (promisesOnly) await new Promise(setImmediate);
      logs.logError('Invoke Error', error);
      stream.fail(error);
    }
    api.hold();
    await stream.answered();
    currentStream = null;
    whenIdle = null;
    if (!promisesOnly && options.callbackWaitsForEmptyEventLoop) {
      api.release();
      await idle();
    }
    return { next: api.next() };
  };
}

// When nothing is left to do.
function idle() {
  return new Promise((resolve) => {
    whenIdle = () => {
      api.hold();
      setImmediate(resolve);
    };
  });
}

// Node.js 24 and later.
async function servePromise(runtime, headers, body) {
  const id = currentId;
  try {
    const context = contextOf(headers);
    const payload = encode(await runtime.handler(JSON.parse(body.toString()), context));
    // Log lines and microtasks of the handler's last turn come before its answer.
    await new Promise(setImmediate);
    return { next: api.answerThenNext(id, payload) };
  } catch (error) {
    return { next: failThenNext(id, error) };
  }
}

// Node.js 20 and 22: a promise, a callback, or the old functions of the context, whichever comes first.
function serveAny(runtime, headers, body) {
  const id = currentId;
  return new Promise((resolve) => {
    let answered = false;
    let finished = false;
    let waitsForEmptyLoop = true;
    const answer = (result) => {
      if (answered) {
        console.error(
          'Invocation has already been reported as done. Cannot call complete more than once per invocation.');
        return;
      }
      answered = true;
      resolve({ next: api.answerThenNext(id, encode(result)) });
    };
    const fail = (error) => {
      answered = true;
      resolve({ next: failThenNext(id, error) });
    };
    const isError = (error) => error !== undefined && error !== null;
    // The first of all of them counts; one that throws does not count.
    const first = (finish) => (...given) => {
      if (finished) return;
      finish(...given);
      finished = true;
    };
    const done = (error, result) => {
      whenIdle = null;
      if (isError(error)) fail(error);
      else answer(result);
    };
    const callback = first((error, result) => {
      whenIdle = null;
      if (isError(error)) fail(error);
      else if (!waitsForEmptyLoop) answer(result);
      else whenIdle = () => setImmediate(answer, result);
    });
    const ending = {
      get callbackWaitsForEmptyEventLoop() {
        return waitsForEmptyLoop;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        waitsForEmptyLoop = value;
      },
      succeed: first((result) => done(null, result)),
      fail: first((error) => done(isError(error) ? error : 'handled')),
      done: first(done),
    };
    try {
      // A handler that neither returns a promise nor calls back is over when nothing is left to do.
      whenIdle = () => answer(null);
      const context = contextOf(headers, ending);
      const result = runtime.handler(JSON.parse(body.toString()), context, callback);
      if (result && typeof result.then === 'function') {
        result.then(ending.succeed, ending.fail).catch(ending.fail);
      }
    } catch (error) {
      callback(error);
    }
  });
}

// Either way `main` is entered from the event loop, so that stack traces are the same.
if (process.env.LAMPLIGHTER_BIND_FD) require('./lib/worker.cjs').waitForFunction(module, main);
else setImmediate(main);
