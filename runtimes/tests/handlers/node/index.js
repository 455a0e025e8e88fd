// Handlers for the comparison of runtime clients. Each shows one behaviour.
'use strict';

let calls = 0;

exports.echo = async (event) => event;
exports.context = async (event, context) => ({
  keys: Object.keys(context).filter((key) => key !== 'xRayTraceId').sort(),
  functionName: context.functionName,
  functionVersion: context.functionVersion,
  memoryLimitInMB: context.memoryLimitInMB,
  logGroupName: context.logGroupName,
  logStreamName: context.logStreamName,
  invokedFunctionArn: context.invokedFunctionArn,
  awsRequestId: context.awsRequestId,
  tenantId: context.tenantId,
  clientContext: context.clientContext,
  identity: context.identity,
  remaining: context.getRemainingTimeInMillis() > 0 && context.getRemainingTimeInMillis() <= 3000,
  trace: process.env._X_AMZN_TRACE_ID,
  telemetry: process.env._LAMBDA_TELEMETRY_LOG_FD,
  waits: context.callbackWaitsForEmptyEventLoop,
  cwd: process.cwd().split('/').pop(),
});
exports.nothing = async () => {};
exports.nullish = async () => null;
exports.unicode = async () => ({ text: 'grüße \u2603 \u{1f600}' });
exports.odd = async () => ({ date: new Date(0), nan: NaN, undef: undefined, fn() {}, map: new Map([[1, 2]]) });
exports.bigint = async () => 10n;
exports.circular = async () => {
  const value = {};
  value.self = value;
  return value;
};
exports.state = async () => (calls += 1);
exports.nested = { deep: { handler: async () => 'nested' } };
exports.number = 42;
exports.thenable = () => ({ then: (resolve) => resolve('thenable') });

exports.callback = (event, context, callback) => callback(null, { got: event });
exports.callbackError = (event, context, callback) => callback(new RangeError('by callback'));
exports.callbackString = (event, context, callback) => callback('just text');
exports.callbackFalse = (event, context, callback) => callback(false, 'ignored');
exports.callbackTwice = (event, context, callback) => {
  callback(null, 'first');
  callback(null, 'second');
};
exports.callbackLate = (event, context, callback) => setTimeout(callback, 10, null, 'late');
exports.callbackWaits = (event, context, callback) => {
  setTimeout(() => console.log('before the answer'), 30);
  callback(null, 'waited');
};
exports.callbackDoesNotWait = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setTimeout(() => console.log('never seen'), 60000);
  callback(null, 'at once');
};
exports.callbackUnserialisable = (event, context, callback) => callback(null, 10n);
exports.asyncCallsBack = async (event, context, callback) => {
  callback(null, 'by callback');
  return 'by return';
};
exports.noAnswer = () => {
  setTimeout(() => console.log('the end'), 10);
};
exports.plainReturn = () => 'ignored before 24';
exports.done = (event, context) => context.done(null, 'done');
exports.doneError = (event, context) => context.done(new Error('not done'));
exports.succeed = (event, context) => setTimeout(() => context.succeed('succeeded'), 5);
exports.fail = (event, context) => context.fail('failed');
exports.failEmpty = (event, context) => context.fail();

exports.console = async (event) => {
  console.log('plain', { a: 1 }, [1, 'two'], event);
  console.info('%s is %d', 'one', 1);
  console.warn('two\nlines');
  console.error(new Error('an error'));
  console.error('with', new TypeError('another'));
  console.debug('debug');
  console.trace('trace');
  console.log();
  console.log(undefined);
  console.log({ single: 'object' });
};
exports.fatal = async () => console.fatal('fatal');
exports.stdout = async () => {
  process.stdout.write('raw stdout\n');
  process.stderr.write('raw stderr\n');
};

class CustomError extends Error {
  constructor(message) {
    super(message);
    this.name = 'CustomError';
    this.code = 'E_CUSTOM';
    this.detail = { a: 1 };
  }
}
exports.raises = async () => {
  throw new CustomError('custom');
};
exports.raisesSync = () => {
  throw new Error('sync');
};
exports.raisesText = async () => {
  throw 'text';
};
exports.raisesObject = async () => {
  throw { name: 'Odd', message: 'odd' };
};
exports.raisesNothing = async () => {
  throw undefined;
};
exports.raisesMultiline = async () => {
  throw new Error('first\n  second');
};
exports.raisesUnicode = async () => {
  throw new Error('grüße \x7f');
};
exports.raisesWithCause = async () => {
  throw new Error('outer', { cause: new Error('inner') });
};
exports.uncaught = () => {
  setTimeout(() => {
    throw new TypeError('late');
  }, 5);
  return new Promise(() => setTimeout(() => {}, 60000));
};
exports.unhandled = () => {
  Promise.reject(new Error('nobody cares'));
  return new Promise(() => setTimeout(() => {}, 60000));
};
exports.unhandledText = () => {
  Promise.reject('text');
  return new Promise(() => setTimeout(() => {}, 60000));
};
exports.exits = async (event) => {
  console.log('before the end');
  process.exit(event);
};
exports.neverEnds = () => new Promise(() => {});
exports.modules = async () => ({ paths: process.env.NODE_PATH, loaded: process.moduleLoadList.length });
