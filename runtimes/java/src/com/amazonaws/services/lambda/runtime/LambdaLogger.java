package com.amazonaws.services.lambda.runtime;

import com.amazonaws.services.lambda.runtime.logging.LogLevel;

/** Writes to the function's log. */
public interface LambdaLogger {
    /** Writes one event. */
    void log(String message);

    /** Writes one event of bytes. */
    void log(byte[] message);

    /** Writes one event of a level. */
    default void log(String message, LogLevel level) {
        log(message);
    }

    /** Writes one event of bytes, of a level. */
    default void log(byte[] message, LogLevel level) {
        log(message);
    }
}
