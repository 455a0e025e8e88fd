package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.FileDescriptor;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The function's log: what goes through a {@link LambdaLogger}, as text or JSON, and errors. What a function prints does
 * not come this way: it goes to stdout as it is.
 *
 * <p>Framed: each event is preceded by 4 bytes that tell its format and level, 4 bytes of length and 8 bytes of time
 * (microseconds since 1970), big endian, so that an event may have many lines.
 *
 * <p>Defined by: https://docs.aws.amazon.com/lambda/latest/dg/java-logging.html
 */
public final class Logs {
    private static final int MAGIC = 0xa55a0002;
    private static final int TEXT = 1;
    private static final int HEAD = 16;
    private static boolean isJson;
    private static boolean isFramed;
    private static LogLevel lowest = LogLevel.UNDEFINED;
    private static FileOutputStream out;

    /** The one logger. */
    public static final LambdaLogger LOGGER = new LambdaLogger() {
        @Override
        public void log(String message) {
            log(message, LogLevel.UNDEFINED);
        }

        @Override
        public void log(byte[] message) {
            log(message, LogLevel.UNDEFINED);
        }

        @Override
        public void log(String message, LogLevel level) {
            if (isWanted(level)) {
                write(formatted(String.valueOf(message), level).getBytes(StandardCharsets.UTF_8), level);
            }
        }

        @Override
        public void log(byte[] message, LogLevel level) {
            if (isWanted(level)) {
                write(message, level);
            }
        }
    };

    private static volatile String requestId;
    private static volatile String tenantId;

    private Logs() {}

    /** As the environment says. */
    static void start() {
        isJson = "JSON".equalsIgnoreCase(Environment.logFormat);
        isFramed = Environment.telemetryFd != null && !Environment.telemetryFd.isEmpty();
        lowest = lowest();
        out = out();
    }

    /** To nobody, in frames. */
    static void rehearse(FileOutputStream nobody) {
        isFramed = true;
        out = nobody;
    }

    /** Which request is being served. */
    static void request(String id, String tenant) {
        requestId = id;
        tenantId = tenant;
    }

    /** An error that the runtime reports to the platform. */
    static void error(String text) {
        LOGGER.log(text, isJson ? LogLevel.ERROR : LogLevel.UNDEFINED);
    }

    /** Levels are looked at only where the platform does so too: in JSON. */
    private static boolean isWanted(LogLevel level) {
        return !isJson || level == LogLevel.UNDEFINED || level.ordinal() >= lowest.ordinal();
    }

    private static String formatted(String message, LogLevel level) {
        if (!isJson) {
            return level == LogLevel.UNDEFINED ? message : "[" + level + "] " + message;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        DateTimeFormatter form = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);
        line.put("timestamp", form.format(Instant.now()));
        line.put("message", message);
        line.put("level", level.name());
        if (requestId != null) {
            line.put("AWSRequestId", requestId);
        }
        if (tenantId != null) {
            line.put("tenantId", tenantId);
        }
        return Json.write(line) + "\n";
    }

    private static void write(byte[] text, LogLevel level) {
        byte[] whole = text;
        if (isFramed) {
            long nowUs = System.currentTimeMillis() * 1000;
            int kind = MAGIC | (isJson ? 0 : TEXT) | level.ordinal() << 2;
            whole = ByteBuffer.allocate(HEAD + text.length).putInt(kind).putInt(text.length).putLong(nowUs).put(text).array();
        }
        try {
            // One call: what other threads print cannot come between.
            synchronized (out) {
                out.write(whole);
            }
        } catch (IOException e) {
            // There is nobody to tell.
        }
    }

    private static FileOutputStream out() {
        if (isFramed && !Environment.telemetryFd.equals("1")) {
            try {
                return new FileOutputStream("/proc/self/fd/" + Environment.telemetryFd);
            } catch (FileNotFoundException e) {
                // What is framed is understood on stdout, too.
            }
        }
        return new FileOutputStream(FileDescriptor.out);
    }

    private static LogLevel lowest() {
        try {
            return LogLevel.fromString(Environment.logLevel);
        } catch (IllegalArgumentException e) {
            return LogLevel.UNDEFINED;
        }
    }
}
