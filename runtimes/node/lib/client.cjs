// The Runtime API as its one client sees it: HTTP/1.1 over one kept connection, on a bare socket (the `http` module is
// slow to load and to run).
//
// The answer to one event and the question for the next go out in one write (pipelined): the platform sees two ordinary
// requests, the process is woken up once instead of twice.
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
'use strict';

const net = require('net');

const PATH = '/2018-06-01/runtime/';
const NONE = Buffer.alloc(0);
const END_OF_HEAD = Buffer.from('\r\n\r\n');
// How the platform says that an answer is accepted. It need not: whatever else comes is read as any answer is.
const ACCEPTED = Buffer.from(
  'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n');
const ACCEPTANCE = { status: 202, headers: {}, body: ACCEPTED.subarray(ACCEPTED.length - 16) };
// The platform's servers refuse huge headers. The cause is for tracing only.
const MAX_CAUSE = 16 * 1024;
const STREAM_HEADERS =
  'Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n' +
  'Trailer: Lambda-Runtime-Function-Error-Type\r\nTrailer: Lambda-Runtime-Function-Error-Body\r\n\r\n';

class RuntimeApi {
  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    this.port = Number(address.slice(colon + 1));
    this.common = ` HTTP/1.1\r\nHost: ${address}\r\nUser-Agent: lamplighter-nodejs\r\n`;
    this.nextRequest = `GET ${PATH}invocation/next${this.common}\r\n`;
    this.socket = null;
    this.held = true;
    this.data = NONE;
    // How much of `data` must be there before it is worth a look.
    this.needed = 0;
    // Who waits for answers, in the order of the requests: { resolve, reject, isNext }.
    this.waiting = [];
  }

  // Lets the event loop run empty while a connection is open (a handler is at work) ...
  release() {
    this.held = false;
    if (this.socket) this.socket.unref();
  }

  // ... and keeps it alive (we wait for the platform).
  hold() {
    this.held = true;
    if (this.socket) this.socket.ref();
  }

  // Ends the connection; for a rehearsal.
  close() {
    const { socket } = this;
    this.socket = null;
    return new Promise((resolve) => socket.destroy().once('close', resolve));
  }

  // Waits for an event: { headers (lower case), body }.
  next() {
    return this.#ask(this.nextRequest, true);
  }

  answerThenNext(id, payload) {
    return this.#postThenNext(`invocation/${id}/response`, 'Content-Type: application/json\r\n', payload);
  }

  failThenNext(id, payload, type, cause) {
    return this.#postThenNext(`invocation/${id}/error`, errorHeaders(type, cause), payload);
  }

  fail(id, payload, type, cause) {
    return this.#ask(this.#post(`invocation/${id}/error`, errorHeaders(type, cause), payload), false);
  }

  failInitialisation(payload, type) {
    return this.#ask(this.#post('init/error', errorHeaders(type), payload), false);
  }

  // Begins a streamed response. Gives { chunks, end, answer }: what sends pieces of it, what ends it (with the report of
  // an error, if one is given, in the trailers), and a promise of the platform's answer to all of it.
  // The head leaves with the first of them.
  beginStream(id, contentType) {
    const socket = this.#connect();
    socket.cork();
    let isCorked = true;
    const leave = (write) => {
      if (!isCorked) socket.cork();
      isCorked = false;
      write();
      socket.uncork();
    };
    const answer = this.#ask(
      `POST ${PATH}invocation/${id}/response${this.common}Content-Type: ${safe(contentType)}\r\n${STREAM_HEADERS}`, false);
    return {
      answer,
      chunks: (pieces, callback) => leave(() => {
        for (const piece of pieces) {
          // A chunk of nothing would be the end.
          if (piece.length === 0) continue;
          socket.write(`${piece.length.toString(16)}\r\n`);
          socket.write(piece);
          socket.write('\r\n');
        }
        socket.write('', callback);
      }),
      end: (report, callback) => leave(() => {
        socket.write(`0\r\n${report ? errorTrailers(report) : ''}\r\n`, callback);
      }),
    };
  }

  #post(path, headers, payload) {
    return `POST ${PATH}${path}${this.common}${headers}Content-Length: ${Buffer.byteLength(payload)}\r\n\r\n${payload}`;
  }

  #postThenNext(path, headers, payload) {
    // A refusal (too large, too late) is the platform's to report: the function goes on with the next event.
    this.waiting.push({ resolve() {}, reject() {}, isNext: false });
    return this.#ask(this.#post(path, headers, payload) + this.nextRequest, true);
  }

  #ask(request, isNext) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject, isNext });
      this.#connect().write(request);
    });
  }

  #connect() {
    if (this.socket) return this.socket;
    const socket = net.connect({ host: this.host, port: this.port, noDelay: true });
    if (!this.held) socket.unref();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#lost(socket, error));
    socket.on('close', () => this.#lost(socket, new Error('the Runtime API closed the connection')));
    this.socket = socket;
    return socket;
  }

  #lost(socket, error) {
    if (socket !== this.socket) return;
    this.socket = null;
    socket.destroy();
    const waiting = this.waiting;
    const inTheMiddle = this.data.length > 0;
    this.waiting = [];
    this.data = NONE;
    this.needed = 0;
    // Closed after the answer to a post: the question for the next event was not read. Ask again.
    const [only] = waiting;
    if (waiting.length === 1 && only.isNext && only.afterPost && !inTheMiddle) {
      this.waiting = [{ ...only, afterPost: false }];
      this.#connect().write(this.nextRequest);
      return;
    }
    for (const waiter of waiting) waiter.reject(error);
  }

  #receive(chunk) {
    this.data = this.data.length ? Buffer.concat([this.data, chunk]) : chunk;
    while (this.data.length) {
      const answer = this.#take();
      if (!answer) return;
      const waiter = this.waiting.shift();
      if (!waiter) throw new Error('the Runtime API sent an answer that nobody waits for');
      if (this.waiting.length && !waiter.isNext) this.waiting[0].afterPost = true;
      if (waiter.isNext && answer.status !== 200) {
        waiter.reject(new Error(`the Runtime API answered ${answer.status} to a request for the next event`));
      } else {
        waiter.resolve(answer);
      }
      if (answer.headers.connection === 'close' && this.socket) {
        this.#lost(this.socket, new Error('the Runtime API closed the connection'));
      }
    }
  }

  // One whole answer from the data received, or undefined if it is not all there yet.
  #take() {
    // What is still missing of a large event is known: do not read its head again for every piece.
    if (this.data.length < this.needed) return undefined;
    const data = this.data;
    if (data.length >= ACCEPTED.length && ACCEPTED.compare(data, 0, ACCEPTED.length) === 0) {
      this.needed = 0;
      this.data = data.length === ACCEPTED.length ? NONE : data.subarray(ACCEPTED.length);
      return ACCEPTANCE;
    }
    const end = data.indexOf(END_OF_HEAD);
    if (end < 0) return undefined;
    const lines = data.toString('utf8', 0, end).split('\r\n');
    const headers = {};
    for (let at = 1; at < lines.length; at += 1) {
      const line = lines[at];
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const start = end + 4;
    let body;
    let stop;
    if (/chunked/i.test(headers['transfer-encoding'] || '')) {
      [body, stop] = unchunk(data, start);
      if (!body) return undefined;
    } else {
      stop = start + Number(headers['content-length'] || 0);
      if (data.length < stop) {
        this.#expect(stop);
        return undefined;
      }
      body = data.subarray(start, stop);
    }
    this.needed = 0;
    this.data = stop === data.length ? NONE : data.subarray(stop);
    return { status: Number(lines[0].slice(9, 12)), headers, body };
  }

  // Collects a large event into one buffer instead of joining pieces again and again.
  #expect(length) {
    const whole = Buffer.allocUnsafe(length);
    let at = this.data.copy(whole);
    this.needed = length;
    const socket = this.socket;
    socket.removeAllListeners('data');
    socket.on('data', (chunk) => {
      const missing = length - at;
      chunk.copy(whole, at, 0, missing);
      at += Math.min(missing, chunk.length);
      if (at < length) return;
      socket.removeAllListeners('data');
      socket.on('data', (later) => this.#receive(later));
      this.data = whole;
      this.#receive(chunk.subarray(Math.min(missing, chunk.length)));
    });
  }
}

// The body of a chunked answer and where it ends; [undefined] if it is not all there.
function unchunk(data, start) {
  const parts = [];
  let at = start;
  for (;;) {
    const line = data.indexOf('\r\n', at);
    if (line < 0) return [undefined];
    const size = parseInt(data.toString('latin1', at, line), 16);
    at = line + 2;
    if (data.length < at + size + 2) return [undefined];
    parts.push(data.subarray(at, at + size));
    at += size + 2;
    if (size === 0) return [Buffer.concat(parts), at];
  }
}

// Anything outside printable ASCII is escaped: names and messages are the user's.
function safe(text) {
  return String(text).replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function errorHeaders(type, cause) {
  let headers =
    `Content-Type: application/vnd.aws.lambda.error+json\r\nLambda-Runtime-Function-Error-Type: ${safe(type)}\r\n`;
  const text = cause ? safe(cause) : '';
  if (text && text.length <= MAX_CAUSE) headers += `Lambda-Runtime-Function-XRay-Error-Cause: ${text}\r\n`;
  return headers;
}

function errorTrailers(report) {
  const body = Buffer.from(JSON.stringify(report)).toString('base64');
  return (
    `Lambda-Runtime-Function-Error-Type: ${safe(report.errorType)}\r\n` +
    `Lambda-Runtime-Function-Error-Body: ${body}\r\n`
  );
}

module.exports = { RuntimeApi };
