package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import java.lang.reflect.Method;

/** Tells log4j the id of the request, if the function has an appender that asked for it. */
final class Log4j {
    private static Method put;
    private static boolean isLookedFor;

    private Log4j() {}

    static void request(String id) {
        if (!LambdaRuntimeInternal.getUseLog4jAppender()) {
            return;
        }
        if (!isLookedFor) {
            isLookedFor = true;
            put = find("org.apache.logging.log4j.ThreadContext", String.class);
            if (put == null) {
                put = find("org.apache.log4j.MDC", Object.class);
            }
        }
        try {
            if (put != null) {
                put.invoke(null, "AWSRequestId", id);
            }
        } catch (ReflectiveOperationException e) {
            // Its lines lack the id: no more.
        }
    }

    private static Method find(String name, Class<?> value) {
        try {
            ClassLoader loader = Thread.currentThread().getContextClassLoader();
            return Class.forName(name, true, loader).getMethod("put", String.class, value);
        } catch (ReflectiveOperationException | LinkageError e) {
            return null;
        }
    }
}
