// The function's log: console.* in AWS's format, as text or JSON, and the framed channel to the platform.
//
// Framed: each event is preceded by 4 bytes that tell its format and level, 4 bytes of length and 8 bytes of time
// (microseconds since 1970), big endian, so that an event may have many lines. Without frames an event is a line, and
// its line feeds become carriage returns.
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html
'use strict';

const fs = require('fs');
const { format } = require('util');
const { errorLine, RuntimeError } = require('./errors.cjs');

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const MAGIC = 0xa55a0002;
const TEXT = 1;
const STDOUT = 1;

let json = false;
let telemetryFd = null;
// The classes of the runtime's own errors got a new ending with Node.js 24.
let kindSuffix = '';
let requestId;
let tenantId;

// What stands for the request id when there is none yet differs between AWS's runtimes: "undefined", or a dash.
function patchConsole(promisesOnly) {
  json = (process.env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
  const lowest = Math.max(0, LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()));
  const fd = process.env._LAMBDA_TELEMETRY_LOG_FD;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  if (fd) telemetryFd = Number(fd);
  if (promisesOnly) requestId = '-';
  kindSuffix = promisesOnly ? 'Error' : '';
  const drop = () => {};
  LEVELS.forEach((name, level) => {
    const write = level >= lowest || name === 'FATAL' ? (message, ...rest) => log(level, [message, ...rest]) : drop;
    console[name.toLowerCase()] = write;
  });
  console.log = console.info;
}

function setRequest(id, tenant) {
  requestId = id;
  tenantId = tenant;
}

// An error that ended something: as an object in JSON, as one line of JSON in text.
function logError(title, error) {
  const proper = error instanceof Error ? error : new Error(String(error));
  if (json) console.error(proper);
  else console.error(title, errorLine(proper));
}

function log(level, given) {
  const now = new Date();
  const line = json ? jsonLine(now, level, given) : textLine(now, level, given);
  if (telemetryFd === null) {
    writeAll(STDOUT, Buffer.from(line.replace(/\n/g, '\r') + '\n'));
    return;
  }
  writeAll(telemetryFd, frameOf(now, level, json ? line : line + '\n'));
}

function textLine(now, level, given) {
  return `${now.toISOString()}\t${requestId}\t${LEVELS[level]}\t${format(...given)}`;
}

function frameOf(now, level, text) {
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(16 + length);
  frame.writeUInt32BE((MAGIC | (json ? 0 : TEXT) | ((level + 1) << 2)) >>> 0, 0);
  frame.writeUInt32BE(length, 4);
  frame.writeBigInt64BE(BigInt(now.getTime()) * 1000n, 8);
  frame.write(text, 16);
  return frame;
}

// All but the writing.
function rehearse(value) {
  const now = new Date();
  const level = LEVELS.indexOf('INFO');
  return [frameOf(now, level, textLine(now, level, ['rehearsal', value])), jsonLine(now, level, [value])];
}

function jsonLine(now, level, given) {
  const line = { timestamp: now.toISOString(), level: LEVELS[level], requestId };
  if (tenantId !== undefined) line.tenantId = tenantId;
  if (given.length === 1) {
    line.message = given[0];
    try {
      return JSON.stringify(line, (_key, value) => (value instanceof Error ? { ...describe(value), ...value } : value));
    } catch {
      line.message = format(given[0]);
      return JSON.stringify(line);
    }
  }
  line.message = format(...given);
  const error = given.find((value) => value instanceof Error);
  return JSON.stringify(error ? Object.assign(line, describe(error)) : line);
}

function describe(error) {
  return {
    errorType: className(error),
    errorMessage: error.message,
    stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : [],
  };
}

function className(error) {
  if (error instanceof RuntimeError) return error.kind.endsWith('Error') ? error.kind : error.kind + kindSuffix;
  return (error.constructor && error.constructor.name) || 'UnknownError';
}

// Synchronous, so that no line is lost when the process ends. Node.js makes pipes non-blocking once process.stdout has
// been used: wait until there is room.
function writeAll(fd, data) {
  let at = 0;
  while (at < data.length) {
    try {
      at += fs.writeSync(fd, data, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

module.exports = { logError, patchConsole, rehearse, setRequest };
