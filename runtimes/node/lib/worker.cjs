// A worker that is started before anybody knows its function: it loads and rehearses what every start does, waits until
// it is bound to a function, takes over that function's environment, and goes on as any other start.
//
// What it learned of no function it cannot tell to one: until it is bound it has seen nothing but this runtime. Nothing
// of the time before may be seen afterwards, but that the process is older than its function.
//
// What is bound comes on the descriptor LAMPLIGHTER_BIND_FD, to its end: "cwd\0NAME=value\0NAME=value\0...".
'use strict';

const fs = require('fs');
const net = require('net');
const { RuntimeApi } = require('./client.cjs');
const { contextOf, initContext } = require('./context.cjs');
const { rehearseLoad } = require('./handler.cjs');
const logs = require('./logs.cjs');

const ROUNDS = 3;
const MAX_TURNS = 20;
const BODY = '{"rehearsal":[1,"two",null,{"three":4.5}]}';
const EVENT =
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 0\r\n' +
  'Lambda-Runtime-Deadline-Ms: 0\r\nLambda-Runtime-Trace-Id: Root=1\r\n' +
  `Content-Length: ${BODY.length}\r\n\r\n${BODY}`;
const TAKEN = 'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n';

// `bootstrap`: the module that asks; `main`: what goes on when the function is known, called from the event loop.
async function waitForFunction(bootstrap, main) {
  const fd = Number(process.env.LAMPLIGHTER_BIND_FD);
  // A socket that is closed looks at it, and by that opens it: that is the function's to do.
  const stderr = Object.getOwnPropertyDescriptor(process, 'stderr');
  Object.defineProperty(process, 'stderr', { ...stderr, get: () => undefined });
  try {
    await rehearse();
  } catch {
    // The first event takes a little longer.
  }
  Object.defineProperty(process, 'stderr', stderr);
  rehearseBinding();
  // What the rehearsal left behind is not the function's to collect.
  if (globalThis.gc) globalThis.gc();
  setImmediate(() => {
    bind(fs.readFileSync(fd));
    fs.closeSync(fd);
    forget(bootstrap);
  });
  setImmediate(main);
}

function bind(told) {
  // Nobody wants it: the platform is gone.
  if (told.length === 0) process.exit(0);
  const [cwd, ...variables] = told.toString().split('\0').slice(0, -1);
  const env = process.env;
  for (const name of Object.keys(env)) delete env[name];
  for (const variable of variables) {
    const equals = variable.indexOf('=');
    env[variable.slice(0, equals)] = variable.slice(equals + 1);
  }
  process.chdir(cwd);
  require('module')._initPaths();
  showEnvironment(told.subarray(told.indexOf(0) + 1));
}

// Is bound to what it is anyway.
function rehearseBinding() {
  const variables = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  bind(Buffer.from([process.cwd(), ...variables, ''].join('\0')));
}

// The kernel shows the environment that a process was started with; ours was not the function's. There is room for it,
// and nobody points there any more.
function showEnvironment(block) {
  try {
    const stat = fs.readFileSync('/proc/self/stat', 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [start, end] = [Number(fields[47]), Number(fields[48])];
    const shown = Buffer.alloc(end - start);
    block.copy(shown);
    const memory = fs.openSync('/proc/self/mem', 'r+');
    fs.writeSync(memory, shown, 0, shown.length, start);
    fs.closeSync(memory);
  } catch {
    // There it shows the worker's own, which is no secret.
  }
}

// No trace of the worker among the modules.
function forget(bootstrap) {
  delete require.cache[module.filename];
  bootstrap.children = bootstrap.children.filter((child) => child !== module);
}

// What the first event needs, against a platform of our own.
async function rehearse() {
  const platform = net.createServer({ noDelay: true }, answer);
  await new Promise((resolve, reject) => platform.once('error', reject).listen(0, '127.0.0.1', resolve));
  initContext();
  const api = new RuntimeApi(`127.0.0.1:${platform.address().port}`);
  let event = await api.next();
  for (let round = 0; round < ROUNDS; round += 1) {
    const { headers, body } = event;
    api.release();
    const value = JSON.parse(body.toString());
    contextOf(headers, {}).getRemainingTimeInMillis();
    logs.rehearse(value);
    await new Promise(setImmediate);
    api.hold();
    event = await api.answerThenNext(headers['lambda-runtime-aws-request-id'], JSON.stringify(value));
  }
  await api.close();
  await new Promise((resolve) => platform.close(resolve));
  // Closed handles go with the next turns of the event loop.
  for (let turn = 0; turn < MAX_TURNS && process.getActiveResourcesInfo().length > 0; turn += 1) {
    await new Promise(setImmediate);
  }
  await rehearseLoad(__dirname, 'rehearsal');
}

// One write of the client may be an answer and a question.
function answer(connection) {
  connection.on('data', (chunk) => {
    const text = chunk.toString('latin1');
    if (text.startsWith('POST')) connection.write(TAKEN);
    if (text.includes('GET ')) connection.write(EVENT);
  });
}

module.exports = { waitForFunction };
