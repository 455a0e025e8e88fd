package lamplighter.runtime;

/** The variables that the platform sets. They do not change while a box lives. */
final class Environment {
    static final String RUNTIME_API = variable("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
    static final String HANDLER = variable("_HANDLER", "");
    static final String TASK_ROOT = variable("LAMBDA_TASK_ROOT", "/var/task");
    static final String FUNCTION_NAME = System.getenv("AWS_LAMBDA_FUNCTION_NAME");
    static final String FUNCTION_VERSION = System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
    static final String LOG_GROUP_NAME = System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
    static final String LOG_STREAM_NAME = System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
    static final String MEMORY_SIZE = variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128");
    static final String LOG_FORMAT = variable("AWS_LAMBDA_LOG_FORMAT", "TEXT");
    static final String LOG_LEVEL = System.getenv("AWS_LAMBDA_LOG_LEVEL");
    static final String TELEMETRY_FD = System.getenv("_LAMBDA_TELEMETRY_LOG_FD");

    private Environment() {}

    private static String variable(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
