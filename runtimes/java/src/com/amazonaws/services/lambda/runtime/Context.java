package com.amazonaws.services.lambda.runtime;

/** What a handler may know of its invocation and its function. */
public interface Context {
    /** The id of this invocation. */
    String getAwsRequestId();

    /** The log group of the function. */
    String getLogGroupName();

    /** The log stream of this environment. */
    String getLogStreamName();

    /** The function's name. */
    String getFunctionName();

    /** The function's version: a number or {@code $LATEST}. */
    String getFunctionVersion();

    /** The ARN by which the function was invoked, with its version or alias if that was named. */
    String getInvokedFunctionArn();

    /** The Cognito identity of the caller; null if there is none. */
    CognitoIdentity getIdentity();

    /** What a mobile application told of itself; null if nothing. */
    ClientContext getClientContext();

    /** Milliseconds until the platform ends this invocation. */
    int getRemainingTimeInMillis();

    /** The function's memory in MiB. */
    int getMemoryLimitInMB();

    /** Writes to the function's log. */
    LambdaLogger getLogger();

    /** The tenant this invocation is for; null if the function does not tell tenants apart. */
    default String getTenantId() {
        return null;
    }

    /** The header by which tracing follows this invocation; null if it is not traced. */
    default String getXrayTraceId() {
        return null;
    }
}
