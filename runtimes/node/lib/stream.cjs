// The stream that a handler marked with awslambda.streamifyResponse writes its response to. What it is given goes to the
// Runtime API at once, in HTTP chunks on the connection that is there anyway; an error on the way goes into the trailers.
// It is loaded only for such handlers.
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html and
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
'use strict';

const { Writable } = require('stream');
const { errorReport, RuntimeError } = require('./errors.cjs');

const DEFAULT_TYPE = 'application/octet-stream';
const INTEGRATION_TYPE = 'application/vnd.awslambda.http-integration-response';
// Between the metadata and the body of an HTTP response.
const DELIMITER = Buffer.alloc(8);

class ResponseStream extends Writable {
  #api;
  #id;
  #contentType = DEFAULT_TYPE;
  #isWritten = false;
  // The open request to the platform, once there is something to send.
  #post = null;
  #isOver = false;
  #answered;
  #setAnswered;

  // Until Node.js 22 AWS's stream gives nothing back from `end`, later itself.
  #givesBack;

  constructor(api, id, highWaterMark, givesBack) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#givesBack = givesBack;
    this.#api = api;
    this.#id = id;
    this.#answered = new Promise((resolve) => (this.#setAnswered = resolve));
    // HttpResponseStream.from sets it; so do frameworks.
    this._onBeforeFirstWrite = undefined;
    // As on AWS, an error that nobody listens for does not end the process: it ends the response.
    this.on('error', () => {});
  }

  setContentType(type) {
    if (this.#isWritten) throw new RuntimeError('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    this.#contentType = String(type);
  }

  // What is neither text nor bytes is sent as JSON.
  write(chunk, encoding, callback) {
    this.#beforeFirst();
    return super.write(plain(chunk), encoding, callback);
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return this.end(undefined, undefined, chunk);
    if (typeof encoding === 'function') return this.end(chunk, undefined, encoding);
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    else if (!this.writableEnded) this.#beforeFirst();
    super.end(callback);
    return this.#givesBack ? this : undefined;
  }

  #beforeFirst() {
    if (this.#isWritten) return;
    this.#isWritten = true;
    if (typeof this._onBeforeFirstWrite === 'function') this._onBeforeFirstWrite((chunk) => super.write(plain(chunk)));
  }

  _write(chunk, _encoding, callback) {
    this.#begin().chunks([chunk], callback);
  }

  _writev(writes, callback) {
    this.#begin().chunks(writes.map((write) => write.chunk), callback);
  }

  _final(callback) {
    this.#finish(undefined, callback);
  }

  // A broken pipeline, most likely. The connection is the runtime's own and stays.
  _destroy(error, callback) {
    if (error) this.fail(error);
    callback(error);
  }

  #begin() {
    if (this.#post) return this.#post;
    this.#post = this.#api.beginStream(this.#id, this.#contentType);
    this.#post.answer.then(
      () => this.#setAnswered(),
      (error) => {
        this.#isOver = true;
        this.#setAnswered();
        this.destroy(error);
      },
    );
    return this.#post;
  }

  #finish(report, callback) {
    if (this.#isOver) {
      if (callback) callback();
      return;
    }
    this.#isOver = true;
    this.#begin().end(report, callback);
  }

  // Whether something was sent and the end was not.
  get isOpen() {
    return this.#post !== null && !this.#isOver;
  }

  // Whether the end was sent.
  get isOver() {
    return this.#isOver;
  }

  // Ends the response with an error; without effect when it is over.
  fail(error) {
    this.#finish(errorReport(error));
  }

  // When the platform has taken all of it.
  answered() {
    return this.#answered;
  }
}

function plain(chunk) {
  return typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
}

// awslambda.HttpResponseStream
class HttpResponseStream {
  static from(stream, metadata) {
    stream.setContentType(INTEGRATION_TYPE);
    const prelude = JSON.stringify(metadata);
    stream._onBeforeFirstWrite = (write) => {
      write(prelude);
      write(DELIMITER);
    };
    return stream;
  }
}

module.exports = { HttpResponseStream, ResponseStream };
