package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** What every start does, against a Runtime API of our own: its classes are loaded then, and can be archived. */
final class Rehearsal {
    private Rehearsal() {}

    static void run(final int rounds) throws Throwable {
        final ServerSocket listener = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"));
        Thread platform = new Thread("platform") {
            @Override
            public void run() {
                try (Socket connection = listener.accept()) {
                    for (int round = 0; round < rounds; round++) {
                        serve(connection);
                    }
                    // What is not read when it is closed would be lost.
                    connection.getInputStream().read(new byte[4096]);
                } catch (IOException e) {
                    // The archive has a little less in it.
                }
            }
        };
        platform.setDaemon(true);
        platform.start();
        PrintStream out = System.out;
        PrintStream err = System.err;
        try (FileOutputStream nobody = new FileOutputStream("/dev/null")) {
            Logs.rehearse(nobody);
            System.setOut(Main.unbuffered(nobody));
            System.setErr(Main.unbuffered(nobody));
            Logs.LOGGER.log("rehearsal\n");
            File jar = new File(System.getProperty("java.class.path"));
            UserClasses.rehearse(jar);
            Failure.of(new RuntimeException("rehearsal", new IllegalStateException()));
            RuntimeApi api = new RuntimeApi("127.0.0.1:" + listener.getLocalPort());
            Main.run(api, Echo.class.getName() + "::echo", jar.getAbsoluteFile().getParent());
        } catch (IOException e) {
            // The platform has closed: the rehearsal is over.
        } finally {
            System.setOut(out);
            System.setErr(err);
            listener.close();
            platform.join();
            System.clearProperty(Main.TRACE_PROPERTY);
        }
    }

    private static void serve(Socket connection) throws IOException {
        String body = "{\"name\":\"a\\u00fc\",\"count\":1,\"tags\":[\"x\",2.5,true,null],\"more\":{\"k\":\"v\"}}";
        String event = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 1\r\n"
                + "Lambda-Runtime-Trace-Id: Root=1\r\nContent-Length: " + body.length() + "\r\n\r\n" + body;
        InputStream in = connection.getInputStream();
        byte[] buffer = new byte[4096];
        String request = new String(buffer, 0, Math.max(in.read(buffer), 0), StandardCharsets.US_ASCII);
        String taken = request.startsWith("POST") ? "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n" : "";
        connection.getOutputStream().write((taken + event).getBytes(StandardCharsets.US_ASCII));
    }

    /** A handler as functions have them. */
    public static final class Echo implements RequestHandler<Map<String, Object>, Object> {
        @Override
        public Object handleRequest(Map<String, Object> input, Context context) {
            return input;
        }

        /** By this all kinds of values pass. */
        public Echoed echo(Echoed input, Context context) {
            context.getLogger().log("rehearsal " + context.getRemainingTimeInMillis() + "\n");
            System.out.println(handleRequest(Collections.<String, Object>singletonMap("name", input.getName()), context));
            return input;
        }
    }

    /** An event as functions have them. */
    public static final class Echoed {
        private String name;
        private int count;
        private List<Object> tags = new ArrayList<>();
        private Map<String, String> more;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getCount() {
            return count;
        }

        public void setCount(int count) {
            this.count = count;
        }

        public List<Object> getTags() {
            return tags;
        }

        public void setTags(List<Object> tags) {
            this.tags = tags;
        }

        public Map<String, String> getMore() {
            return more;
        }

        public void setMore(Map<String, String> more) {
            this.more = more;
        }
    }
}
