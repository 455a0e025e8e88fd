package lamplighter.runtime;

import java.util.Map;

/** An answer of the Runtime API; if it is one to the question for the next event, that event. */
final class Event {
    final int status;
    /** Names in lower case. */
    private final Map<String, String> headers;
    final byte[] body;

    Event(int status, Map<String, String> headers, byte[] body) {
        this.status = status;
        this.headers = headers;
        this.body = body;
    }

    /** A header by its name in lower case; null if it is not there or empty. */
    String header(String name) {
        String value = headers.get(name);
        return value == null || value.isEmpty() ? null : value;
    }

    String requestId() {
        return headers.get("lambda-runtime-aws-request-id");
    }
}
