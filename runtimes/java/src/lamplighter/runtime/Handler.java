package lamplighter.runtime;

/** A handler, whatever its form. */
interface Handler {
    /** Serves one event, and gives the answer. Throws what the function throws, or a {@link Fault}. */
    Bytes call(Event event, InvocationContext context) throws Throwable;
}
