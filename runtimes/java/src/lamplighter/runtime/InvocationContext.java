package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The context object of one invocation.
 *
 * <p>Defined by: https://docs.aws.amazon.com/lambda/latest/dg/java-context.html
 */
final class InvocationContext implements Context {
    private final Event event;
    private final long deadlineMs;
    private final Told client;
    private final Told identity;

    InvocationContext(Event event) {
        this.event = event;
        String deadline = event.header("lambda-runtime-deadline-ms");
        deadlineMs = deadline == null ? 0 : Long.parseLong(deadline);
        client = Told.parse(event.header("lambda-runtime-client-context"));
        identity = Told.parse(event.header("lambda-runtime-cognito-identity"));
    }

    @Override
    public String getAwsRequestId() {
        return event.requestId();
    }

    @Override
    public String getLogGroupName() {
        return Environment.logGroupName;
    }

    @Override
    public String getLogStreamName() {
        return Environment.logStreamName;
    }

    @Override
    public String getFunctionName() {
        return Environment.functionName;
    }

    @Override
    public String getFunctionVersion() {
        return Environment.functionVersion;
    }

    @Override
    public String getInvokedFunctionArn() {
        return event.header("lambda-runtime-invoked-function-arn");
    }

    @Override
    public CognitoIdentity getIdentity() {
        return identity;
    }

    @Override
    public ClientContext getClientContext() {
        return client;
    }

    @Override
    public int getRemainingTimeInMillis() {
        return (int) Math.max(0, deadlineMs - System.currentTimeMillis());
    }

    @Override
    public int getMemoryLimitInMB() {
        return Integer.parseInt(Environment.memorySize);
    }

    @Override
    public LambdaLogger getLogger() {
        return Logs.LOGGER;
    }

    @Override
    public String getTenantId() {
        return event.header("lambda-runtime-aws-tenant-id");
    }

    @Override
    public String getXrayTraceId() {
        return event.header("lambda-runtime-trace-id");
    }

    /** What a header told as JSON: of the client, or of its identity. */
    private static final class Told implements ClientContext, Client, CognitoIdentity {
        private final Map<?, ?> members;

        private Told(Map<?, ?> members) {
            this.members = members;
        }

        static Told parse(String header) {
            Object value = header == null ? null : Json.parse(header.getBytes(StandardCharsets.UTF_8));
            return value instanceof Map ? new Told((Map<?, ?>) value) : null;
        }

        private String text(String name) {
            Object value = members.get(name);
            return value == null ? null : value.toString();
        }

        private Map<String, String> texts(String name) {
            Object value = members.get(name);
            if (!(value instanceof Map)) {
                return null;
            }
            Map<String, String> texts = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                texts.put(entry.getKey().toString(), entry.getValue() == null ? null : entry.getValue().toString());
            }
            return texts;
        }

        @Override
        public Client getClient() {
            Object client = members.get("client");
            return client instanceof Map ? new Told((Map<?, ?>) client) : null;
        }

        @Override
        public Map<String, String> getCustom() {
            return texts("custom");
        }

        @Override
        public Map<String, String> getEnvironment() {
            return texts("env");
        }

        @Override
        public String getInstallationId() {
            return text("installation_id");
        }

        @Override
        public String getAppTitle() {
            return text("app_title");
        }

        @Override
        public String getAppVersionName() {
            return text("app_version_name");
        }

        @Override
        public String getAppVersionCode() {
            return text("app_version_code");
        }

        @Override
        public String getAppPackageName() {
            return text("app_package_name");
        }

        @Override
        public String getIdentityId() {
            return text("cognitoIdentityId");
        }

        @Override
        public String getIdentityPoolId() {
            return text("cognitoIdentityPoolId");
        }
    }
}
