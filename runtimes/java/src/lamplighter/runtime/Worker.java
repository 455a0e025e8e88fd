package lamplighter.runtime;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * A worker that is started before anybody knows its function: it rehearses what every start does, waits until it is
 * bound to a function, and goes on as any other start, with that function's directory and variables. Nothing of the time
 * before may be seen afterwards, but that the process is older than its function.
 *
 * <p>Java cannot change its directory nor its variables: a small library beside the jar does. So Java, which reads its
 * variables once, must not have been asked for one before.
 */
final class Worker {
    private static final String VARIABLE = "LAMPLIGHTER_BIND_FD=";
    private static final String LIBRARY = "libbind.so";
    private static final int ROUNDS = 20;
    private static int descriptor;

    private Worker() {}

    /** Whether this process was started ahead. Asks the kernel, not Java. */
    static boolean isAhead() {
        byte[] start = new byte[VARIABLE.length() + 4];
        int count;
        try (FileInputStream environ = new FileInputStream("/proc/self/environ")) {
            count = environ.read(start);
        } catch (IOException e) {
            return false;
        }
        String told = new String(start, 0, Math.max(count, 0), StandardCharsets.ISO_8859_1);
        if (!told.startsWith(VARIABLE)) {
            return false;
        }
        int end = told.indexOf('\0');
        descriptor = Integer.parseInt(told.substring(VARIABLE.length(), end));
        return true;
    }

    static void waitForFunction() throws Throwable {
        File jar = new File(System.getProperty("java.class.path")).getAbsoluteFile();
        System.load(new File(jar.getParentFile(), LIBRARY).getPath());
        try {
            Rehearsal.run(ROUNDS);
        } catch (Throwable e) {
            // The first event takes a little longer.
        }
        System.gc();
        int result = await(descriptor);
        if (result <= 0) {
            // Nobody wants it, or nobody can have it.
            Runtime.getRuntime().halt(result == 0 ? 0 : 1);
        }
    }

    private static native int await(int descriptor);
}
