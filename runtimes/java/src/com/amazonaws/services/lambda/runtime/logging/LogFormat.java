package com.amazonaws.services.lambda.runtime.logging;

import java.util.Locale;

/** How log events are written. */
public enum LogFormat {
    JSON,
    TEXT;

    /** The format of this name, in any case of letters. */
    public static LogFormat fromString(String name) {
        try {
            return valueOf(name.toUpperCase(Locale.ROOT));
        } catch (RuntimeException e) {
            throw new IllegalArgumentException("Invalid log format: '" + name + "' expected one of [JSON, TEXT]");
        }
    }
}
