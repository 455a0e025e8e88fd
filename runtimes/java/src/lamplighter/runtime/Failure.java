package lamplighter.runtime;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A failed invocation as AWS reports it: the document that is posted, the cause for tracing, and the text in the log.
 *
 * <p>Defined by: https://docs.aws.amazon.com/lambda/latest/dg/java-exceptions.html
 */
final class Failure {
    private static final String OWN_PACKAGE = "lamplighter.runtime.";

    final String type;
    final Bytes report;
    /** JSON in ASCII: it is a header. */
    final String cause;
    final String logText;

    Failure(String type, Bytes report, String cause, String logText) {
        this.type = type;
        this.report = report;
        this.cause = cause;
        this.logText = logText;
    }

    static Failure of(Throwable error) {
        String trace = trace(error);
        Bytes report = new Bytes();
        report.add(Json.write(describe(error, known())));
        String type = error.getClass().getName();
        return new Failure(type, report, tracing(error), message(error) + ": " + type + "\n" + trace + "\n");
    }

    /** The text of a stack trace, without our own frames. */
    static String trace(Throwable error) {
        cutOwnFrames(error, known());
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        return text.toString();
    }

    private static Set<Throwable> known() {
        return Collections.newSetFromMap(new IdentityHashMap<Throwable, Boolean>());
    }

    private static String message(Throwable error) {
        String message = error.getLocalizedMessage();
        return message == null ? error.getClass().getName() : message;
    }

    private static Map<String, Object> describe(Throwable error, Set<Throwable> seen) {
        seen.add(error);
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("errorMessage", message(error));
        report.put("errorType", error.getClass().getName());
        List<String> frames = new ArrayList<>();
        for (StackTraceElement frame : error.getStackTrace()) {
            frames.add(frame.toString());
        }
        report.put("stackTrace", frames);
        Throwable cause = error.getCause();
        if (cause != null && !seen.contains(cause)) {
            report.put("cause", describe(cause, seen));
        }
        return report;
    }

    private static void cutOwnFrames(Throwable error, Set<Throwable> seen) {
        if (error == null || !seen.add(error)) {
            return;
        }
        StackTraceElement[] frames = error.getStackTrace();
        for (int at = 0; at < frames.length; at++) {
            if (frames[at].getClassName().startsWith(OWN_PACKAGE)) {
                error.setStackTrace(Arrays.copyOf(frames, at));
                break;
            }
        }
        cutOwnFrames(error.getCause(), seen);
        for (Throwable suppressed : error.getSuppressed()) {
            cutOwnFrames(suppressed, seen);
        }
    }

    private static String tracing(Throwable error) {
        List<Object> stack = new ArrayList<>();
        Set<String> paths = new LinkedHashSet<>();
        for (StackTraceElement frame : error.getStackTrace()) {
            Map<String, Object> element = new LinkedHashMap<>();
            element.put("label", frame.getMethodName());
            element.put("path", frame.getFileName());
            element.put("line", frame.getLineNumber());
            stack.add(element);
            if (frame.getFileName() != null) {
                paths.add(frame.getFileName());
            }
        }
        Map<String, Object> exception = new LinkedHashMap<>();
        exception.put("message", message(error));
        exception.put("type", error.getClass().getName());
        exception.put("stack", stack);
        Map<String, Object> cause = new LinkedHashMap<>();
        cause.put("working_directory", System.getProperty("user.dir"));
        cause.put("exceptions", Collections.singletonList(exception));
        cause.put("paths", paths);
        return Json.ascii(Json.write(cause));
    }
}
