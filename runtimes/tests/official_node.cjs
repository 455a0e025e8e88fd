// Starts an official Node.js runtime client without its native part, whose build needs a C++ tool chain and curl's
// sources: the three calls of that part (next, done, error) are made here, in the same blocking manner.
//
// Usage: node official_node.cjs <directory of aws-lambda-ric> <handler>
'use strict';

const { spawnSync } = require('child_process');
const http = require('http');
const Module = require('module');
const path = require('path');
const { pathToFileURL } = require('url');

const base = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
// One request per process: blocking, as the native part is.
const POST = `
  const [url, type, cause] = process.argv.slice(1);
  const headers = { 'content-type': type };
  const body = require('fs').readFileSync(0);
  require('http').request(url, { method: 'POST', headers }, (answer) => answer.resume()).end(body);
`;
function post(url, type, body) {
  spawnSync(process.execPath, ['-e', POST, url, type], { input: body, env: {} });
}

const native = {
  next: () =>
    new Promise((resolve, reject) => {
      const request = http.get(`${base}/next`, { agent: false }, (answer) => {
        let bodyJson = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (bodyJson += chunk));
        answer.on('end', () => resolve({ bodyJson, headers: answer.headers }));
      });
      request.on('error', reject);
    }),
  done: (id, body) => post(`${base}/${id}/response`, 'application/json', body),
  error: (id, body) => post(`${base}/${id}/error`, 'application/json', body),
};

const load = Module._load;
Module._load = function (request, ...rest) {
  return request.endsWith('rapid-client.node') ? native : load.call(this, request, ...rest);
};

const [directory, handler] = process.argv.slice(2);
const { main } = require(path.join(directory, 'package.json'));
// As the program that the package installs: a failure to load the handler is an uncaught error of this process.
import(pathToFileURL(path.join(directory, main)).href).then(async (client) => {
  if (!client.run) return;
  await client.run(process.cwd(), handler).catch((error) => process.emit('uncaughtException', error));
});
