package lamplighter.runtime;

/**
 * The variables that the platform sets. They do not change once the process knows its function. Nobody may ask for a
 * variable before: Java reads all of them then, once.
 */
final class Environment {
    static String runtimeApi = "127.0.0.1:9001";
    static String handler = "";
    static String taskRoot = "/var/task";
    static String functionName;
    static String functionVersion;
    static String logGroupName;
    static String logStreamName;
    static String memorySize = "128";
    static String logFormat = "TEXT";
    static String logLevel;
    static String telemetryFd;

    private Environment() {}

    static void read() {
        runtimeApi = variable("AWS_LAMBDA_RUNTIME_API", runtimeApi);
        handler = variable("_HANDLER", handler);
        taskRoot = variable("LAMBDA_TASK_ROOT", taskRoot);
        functionName = System.getenv("AWS_LAMBDA_FUNCTION_NAME");
        functionVersion = System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
        logGroupName = System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
        logStreamName = System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
        memorySize = variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memorySize);
        logFormat = variable("AWS_LAMBDA_LOG_FORMAT", logFormat);
        logLevel = System.getenv("AWS_LAMBDA_LOG_LEVEL");
        telemetryFd = System.getenv("_LAMBDA_TELEMETRY_LOG_FD");
    }

    private static String variable(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
