package com.amazonaws.services.lambda.runtime;

/** A handler of objects: the event becomes an {@code I}, the {@code O} becomes the answer. */
public interface RequestHandler<I, O> {
    /** Serves one event. */
    O handleRequest(I input, Context context);
}
