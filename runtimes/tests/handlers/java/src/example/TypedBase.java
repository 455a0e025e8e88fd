package example;

import com.amazonaws.services.lambda.runtime.RequestHandler;

/** A class between a handler and its interface. */
public abstract class TypedBase<T> implements RequestHandler<T, String> {}
