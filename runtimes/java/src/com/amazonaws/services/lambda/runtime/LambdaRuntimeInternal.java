package com.amazonaws.services.lambda.runtime;

/** By this a log4j appender makes itself known: the runtime then puts the request's id into log4j's context. */
public final class LambdaRuntimeInternal {
    private static volatile boolean useLog4jAppender;

    private LambdaRuntimeInternal() {}

    /** Whether there is such an appender. */
    public static boolean getUseLog4jAppender() {
        return useLog4jAppender;
    }

    /** Tells that there is one. */
    public static void setUseLog4jAppender(boolean used) {
        useLog4jAppender = used;
    }
}
