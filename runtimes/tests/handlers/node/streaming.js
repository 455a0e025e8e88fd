// Handlers that stream their response, for the comparison of runtime clients. Each shows one behaviour.
'use strict';

const { pipeline } = require('stream/promises');
const { Readable } = require('stream');

const { HttpResponseStream, streamifyResponse } = awslambda;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

exports.handler = streamifyResponse(async (event, stream) => {
  stream.write('one ');
  await later(5);
  stream.write(Buffer.from('two '));
  stream.write('6772c3bcc39f65', 'hex');
  stream.end();
});
exports.endsWithText = streamifyResponse(async (event, stream) => stream.end('all of it'));
exports.endsAtOnce = streamifyResponse(async (event, stream) => void stream.end());
exports.emptyWrite = streamifyResponse(async (event, stream) => {
  stream.write('');
  await later(5);
  stream.end();
});
exports.objects = streamifyResponse(async (event, stream) => {
  stream.write({ event });
  stream.write([1, null]);
  stream.end();
});
exports.contentType = streamifyResponse(async (event, stream) => {
  stream.setContentType('text/html; charset=utf-8');
  stream.write('<p>');
  stream.end();
});
exports.contentTypeTooLate = streamifyResponse(async (event, stream) => {
  stream.write('<p>');
  stream.setContentType('text/html');
});
exports.http = streamifyResponse(async (event, stream) => {
  const metadata = { statusCode: 201, headers: { 'X-Custom': 'grüße' }, cookies: ['a=b'] };
  const response = HttpResponseStream.from(stream, metadata);
  response.write('body');
  response.end();
});
exports.pipeline = streamifyResponse(async (event, stream) => {
  await pipeline(Readable.from(['a', 'b', 'c']), stream);
});
exports.large = streamifyResponse(
  async (event, stream) => {
    const piece = Buffer.alloc(100_000, 'x');
    for (let n = 0; n < 50; n += 1) {
      if (!stream.write(piece)) await new Promise((resolve) => stream.once('drain', resolve));
    }
    stream.end();
    await new Promise((resolve) => stream.on('finish', resolve));
  },
  { highWaterMark: 50_000 },
);
exports.afterTheHandler = streamifyResponse(async (event, stream) => {
  setTimeout(() => stream.write('late '), 5);
  setTimeout(() => stream.end('end'), 10);
});
exports.returnsAValue = streamifyResponse(async (event, stream) => {
  stream.end('x');
  return 'value';
});
exports.context = streamifyResponse(async (event, stream, context) => {
  const keys = Object.keys(context).filter((key) => key !== 'xRayTraceId').sort();
  stream.write({ keys, waits: context.callbackWaitsForEmptyEventLoop, id: context.awsRequestId });
  stream.end();
});
exports.doesNotWait = streamifyResponse(async (event, stream, context) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setInterval(() => {}, 1000);
  stream.end('x');
});
exports.waits = streamifyResponse(async (event, stream) => {
  setTimeout(() => console.log('afterwards'), 20);
  stream.end('x');
});
exports.throwsBefore = streamifyResponse(async () => {
  throw new TypeError('before the first byte');
});
exports.throwsSync = streamifyResponse(() => {
  throw new TypeError('no promise');
});
exports.throwsMid = streamifyResponse(async (event, stream) => {
  stream.write('begin');
  await later(5);
  throw new RangeError('in the middle: ü');
});
exports.throwsText = streamifyResponse(async (event, stream) => {
  stream.write('begin');
  throw 'text';
});
exports.throwsAfterEnd = streamifyResponse(async (event, stream) => {
  stream.end('whole');
  await later(5);
  throw new Error('too late');
});
exports.notAsync = streamifyResponse((event, stream) => {
  stream.write('x');
});
exports.unhandledBefore = streamifyResponse(async () => {
  Promise.reject(new Error('nobody catches it'));
  await later(50);
});
exports.unhandledMid = streamifyResponse(async (event, stream) => {
  stream.write('begin');
  await later(5);
  Promise.reject(new Error('nobody catches it'));
  await later(500);
});
exports.unfinished = streamifyResponse(async (event, stream) => {
  stream.write('begin');
});
exports.brokenPipeline = streamifyResponse(async (event, stream) => {
  const source = Readable.from(
    (async function* () {
      yield 'begin';
      throw new Error('source broke');
    })(),
  );
  await pipeline(source, stream);
});
exports.httpEndsAtOnce = streamifyResponse(async (event, stream) => {
  HttpResponseStream.from(stream, { statusCode: 302 }).end();
});
exports.request = async () => {};
exports.request[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'request';
