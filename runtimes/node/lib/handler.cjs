// Finds and loads the handler: "folder/file.exported.nested" below the function's folder, CommonJS or ES module.
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
'use strict';

const fs = require('fs');
const path = require('path');
const { RuntimeError } = require('./errors.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

async function loadHandler(root, name, promisesOnly) {
  if (name.includes('..')) {
    throw new RuntimeError('MalformedHandlerName',
      `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(name);
  const folder = name.slice(0, name.indexOf(last));
  const match = /^([^.]*)\.(.*)$/.exec(last);
  if (!match) throw new RuntimeError('MalformedHandlerName', 'Bad handler');
  defineStreamingGlobals();
  const exported = await load(root, folder, match[1], promisesOnly);
  let handler = nested(exported, match[2]);
  if (!handler && promisesOnly && exported && exported.default) handler = nested(exported.default, match[2]);
  if (!handler) throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  if (handler[STREAMING] && handler[STREAMING] !== 'response') {
    throw new RuntimeError('MalformedStreamingHandler', 'Only response streaming is supported.');
  }
  if (promisesOnly && handler.length >= 3 && !handler[STREAMING]) {
    throw new RuntimeError('CallbackHandlerDeprecated',
      'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need ' +
        'to modify this function to use a supported handler signature to use Node.js 24 or later. For more ' +
        'information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.');
  }
  return handler;
}

function nested(value, names) {
  return names.split('.').reduce((inner, name) => inner && inner[name], value);
}

// How a handler's response is streamed; undefined: it is not.
function streamingOf(handler) {
  if (!handler[STREAMING]) return undefined;
  const highWaterMark = parseInt(handler[HIGH_WATER_MARK], 10);
  return { highWaterMark: Number.isNaN(highWaterMark) ? undefined : highWaterMark };
}

// A module marks its handler at load time. What most modules never use is loaded on its first use.
function defineStreamingGlobals() {
  if (['1', 'true'].includes(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = {
    ...globalThis.awslambda,
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (options && typeof options.highWaterMark === 'number') handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark, 10);
      return handler;
    },
    get HttpResponseStream() {
      return require('./stream.cjs').HttpResponseStream;
    },
  };
}

async function load(root, folder, file, promisesOnly) {
  const base = path.resolve(root, folder, file);
  try {
    for (const extension of ['', '.js', '.mjs', '.cjs']) {
      const full = base + extension;
      if (!isFile(full)) continue;
      if (promisesOnly || extension === '.mjs' || (extension === '.js' && isModulePackage(path.dirname(full)))) {
        return await import(require('url').pathToFileURL(full).href);
      }
      return require(full);
    }
    return require(require.resolve(file, { paths: [root, path.resolve(root, folder)] }));
  } catch (error) {
    if (error instanceof SyntaxError) {
      const syntaxError = new RuntimeError('UserCodeSyntaxError', String(error));
      // From Node.js 24 on the trace shows the place in the user's code.
      if (promisesOnly) syntaxError.stack = error.stack;
      throw syntaxError;
    }
    if (error && error.code === 'MODULE_NOT_FOUND') throw new RuntimeError('ImportModuleError', String(error));
    throw error;
  }
}

function isFile(full) {
  const stat = fs.statSync(full, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile();
}

// Whether the package that a folder belongs to says "type": "module".
function isModulePackage(folder) {
  for (let at = folder; !at.endsWith('/node_modules'); at = path.dirname(at)) {
    const file = path.join(at, 'package.json');
    let text;
    try {
      text = fs.readFileSync(file, 'utf8');
    } catch {
      if (at === '/') return false;
      continue;
    }
    try {
      return JSON.parse(text).type === 'module';
    } catch (error) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
      return false;
    }
  }
  return false;
}

// Loads modules of both kinds, as `load` does, and forgets them.
async function rehearseLoad(folder, name) {
  await load(folder, '', name, false);
  await load(folder, '', name, true);
  await import('./rehearsal-module.mjs');
  const { filename } = module.children[module.children.length - 1];
  delete require.cache[filename];
  module.children.pop();
}

module.exports = { loadHandler, rehearseLoad, streamingOf };
