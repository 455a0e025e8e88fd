package com.amazonaws.services.lambda.runtime;

/** The runtime, for code that has no {@link Context} at hand. */
public final class LambdaRuntime {
    private LambdaRuntime() {}

    /** Writes to the function's log. */
    public static LambdaLogger getLogger() {
        return lamplighter.runtime.Logs.LOGGER;
    }
}
