package com.amazonaws.services.lambda.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** A handler of bytes. */
public interface RequestStreamHandler {
    /** Serves one event: reads it from {@code input}, writes the answer to {@code output}. */
    void handleRequest(InputStream input, OutputStream output, Context context) throws IOException;
}
