package lamplighter.runtime;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOError;
import java.io.PrintStream;
import java.io.UnsupportedEncodingException;

/**
 * The Java runtime client (Java 8 and later): loads the handler, then asks the Runtime API for events for ever.
 *
 * <p>Cold start counts: no lambdas, no regular expressions, no formatting on the way to the first event. What it is
 * not: it neither limits nor times anything (the platform does), and it runs no hooks of checkpoints (CRaC).
 *
 * <p>Defined by: https://docs.aws.amazon.com/lambda/latest/dg/java-handler.html and
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 */
public final class Main {
    /** Here tracing libraries look for the header of the invocation. */
    static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";

    private Main() {}

    /** Runs until the box is killed. {@code --rehearse}: once over everything, so that its classes can be archived. */
    public static void main(String[] arguments) throws Throwable {
        if (arguments.length == 1 && arguments[0].equals("--rehearse")) {
            Rehearsal.run(1);
            Worker.isAhead();
            Environment.read();
            System.exit(0);
        }
        if (Worker.isAhead()) {
            Worker.waitForFunction();
        }
        Environment.read();
        Logs.start();
        System.setOut(unbuffered(new FileOutputStream(FileDescriptor.out)));
        System.setErr(unbuffered(new FileOutputStream(FileDescriptor.err)));
        run(new RuntimeApi(Environment.runtimeApi), Environment.handler, Environment.taskRoot);
    }

    static void run(RuntimeApi api, String name, String taskRoot) throws Throwable {
        UserClasses loader = UserClasses.of(taskRoot);
        Thread.currentThread().setContextClassLoader(loader);
        Handler handler;
        try {
            handler = HandlerLoader.load(name, loader);
        } catch (Fault fault) {
            Logs.error(fault.logText());
            api.failInitialisation(fault.report(), fault.type);
            System.exit(1);
            return;
        }
        serve(api, handler);
    }

    /** What a function prints is on its way to the log when print() returns, even if it is killed next. */
    static PrintStream unbuffered(FileOutputStream out) throws UnsupportedEncodingException {
        return new PrintStream(out, false, "UTF-8");
    }

    private static void serve(RuntimeApi api, Handler handler) throws Throwable {
        Event event = api.next();
        while (true) {
            String requestId = event.requestId();
            Logs.request(requestId, event.header("lambda-runtime-aws-tenant-id"));
            String traceId = event.header("lambda-runtime-trace-id");
            if (traceId == null) {
                System.clearProperty(TRACE_PROPERTY);
            } else {
                System.setProperty(TRACE_PROPERTY, traceId);
            }
            Bytes answer;
            try {
                answer = handler.call(event, new InvocationContext(event));
            } catch (Throwable error) {
                event = failThenNext(api, requestId, error);
                continue;
            }
            // A flag that the handler left behind must not interrupt us.
            Thread.interrupted();
            event = api.answerThenNext(requestId, answer);
        }
    }

    private static Event failThenNext(RuntimeApi api, String requestId, Throwable error) throws Throwable {
        Thread.interrupted();
        Failure failure = error instanceof Fault ? ((Fault) error).failure() : Failure.of(error);
        Logs.error(failure.logText);
        // After these the machine itself is not to be trusted.
        boolean isOver = error instanceof VirtualMachineError || error instanceof IOError
                || (error instanceof Fault && ((Fault) error).isFatal);
        if (!isOver) {
            return api.failThenNext(requestId, failure);
        }
        api.fail(requestId, failure);
        System.exit(1);
        return null;
    }
}
