// The context object that a handler gets beside its event.
//
// Defined by: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html
'use strict';

let fixed;

// Takes over what does not change while the function's process lives.
function initContext() {
  const env = process.env;
  fixed = {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
  };
}

// `context` may already hold what ends an invocation (done, succeed, fail, callbackWaitsForEmptyEventLoop).
function contextOf(headers, context = {}) {
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
  return Object.assign(context, fixed, {
    clientContext: parse(headers['lambda-runtime-client-context'], 'ClientContext'),
    identity: parse(headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  });
}

function parse(text, name) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

module.exports = { contextOf, initContext };
