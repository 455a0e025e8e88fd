package lamplighter.runtime;

import java.util.LinkedHashMap;
import java.util.Map;

/** An error that the runtime itself found in the function: its handler is missing, or cannot be used. */
final class Fault extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The name of a class of errors; null if there is none to tell. */
    final String type;
    /** Whether it ends the initialisation; otherwise each invocation is answered with it. */
    final boolean isFatal;
    private final String trace;

    private Fault(String message, String type, String trace, boolean isFatal) {
        super(message, null, false, false);
        this.type = type;
        this.trace = trace;
        this.isFatal = isFatal;
    }

    static Fault of(String message) {
        return new Fault(message, null, null, false);
    }

    static Fault of(String message, Throwable error) {
        return new Fault(message, error.getClass().getName(), Failure.trace(error), false);
    }

    /** One that ends the initialisation. */
    static Fault fatal(String message, Throwable error) {
        return new Fault(message, error.getClass().getName(), Failure.trace(error), true);
    }

    Bytes report() {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("errorMessage", getMessage());
        if (type != null) {
            report.put("errorType", type);
        }
        Bytes bytes = new Bytes();
        bytes.add(Json.write(report));
        return bytes;
    }

    String logText() {
        return type == null ? getMessage() + "\n" : getMessage() + ": " + type + "\n" + trace + "\n";
    }

    Failure failure() {
        return new Failure(type, report(), null, logText());
    }
}
