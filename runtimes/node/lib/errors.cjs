// Errors as AWS reports them: the document that is posted, the cause for tracing, the text in the log, and the errors
// that the runtime itself finds.
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html
'use strict';

function isErrorLike(value) {
  if (value instanceof Error) return true;
  // An error of another realm (vm) is no instance of our Error.
  return Boolean(value) && ['name', 'message', 'stack'].every((key) => value[key] && typeof value[key] === 'string');
}

// A DEL would be cut off on its way through a header.
function clean(text) {
  return typeof text === 'string' ? text.replace(/\x7f/g, '%7F') : text;
}

// { errorType, errorMessage, trace } of anything that can be thrown.
function errorReport(error) {
  try {
    if (isErrorLike(error)) {
      return {
        errorType: clean(error.name),
        errorMessage: clean(error.message),
        trace: clean(String(error.stack)).split('\n'),
      };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    };
  }
}

// The error as it appears in a text log: one line of JSON with all it carries.
function errorLine(error) {
  const spread = (_key, value) => {
    if (!(value instanceof Error)) return value;
    const members = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
    if (typeof value.stack === 'string') members.stack = value.stack.split('\n');
    return members;
  };
  try {
    return '\t' + JSON.stringify(error, spread);
  } catch {
    return '\t' + JSON.stringify(errorReport(error));
  }
}

// JSON for the tracing service, or '' if the error has none.
function tracingCause(error) {
  try {
    const stack = error.stack ? clean(error.stack).split('\n').slice(1).map(frame) : [];
    return JSON.stringify({
      working_directory: process.cwd(),
      exceptions: [{ type: clean(error.name), message: clean(error.message), stack }],
      paths: [...new Set(stack.map((entry) => entry.path))],
    });
  } catch {
    return '';
  }
}

// "    at label (path:line:column)" or "    at path:line:column".
function frame(line) {
  const words = line.trim().replace(/[()]/g, '').split(' ').slice(1);
  const [path, number] = (words.pop() || '').split(':');
  return { path, line: parseInt(number, 10), label: words.join(' ') || 'anonymous' };
}

class RuntimeError extends Error {
  constructor(kind, message) {
    super(message);
    Object.defineProperty(this, 'kind', { value: kind });
    // Set as on AWS: the stack, made before, begins with it too.
    Object.defineProperty(this, 'name', { value: `Runtime.${kind}`, configurable: true, writable: true });
    this.stack = String(this.stack).replace(/^Error/, this.name);
  }
}

class UnhandledPromiseRejection extends RuntimeError {
  constructor(reason, promise) {
    super('UnhandledPromiseRejection', String(reason));
    this.reason = reason;
    this.promise = promise;
  }
}

module.exports = { errorLine, errorReport, tracingCause, RuntimeError, UnhandledPromiseRejection };
