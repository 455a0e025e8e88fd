package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Once over what every start does, against a Runtime API of our own, so that the classes it needs can be archived. */
final class Rehearsal {
    private Rehearsal() {}

    static void run() throws Throwable {
        final ServerSocket listener = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"));
        Thread platform = new Thread("platform") {
            @Override
            public void run() {
                try (Socket connection = listener.accept()) {
                    serve(connection);
                } catch (IOException e) {
                    // The archive has a little less in it.
                }
            }
        };
        platform.setDaemon(true);
        platform.start();
        Logs.LOGGER.log("rehearsal\n");
        UserClasses.rehearse(new File(System.getProperty("user.dir")));
        Failure.of(new RuntimeException("rehearsal", new IllegalStateException()));
        try {
            RuntimeApi api = new RuntimeApi("127.0.0.1:" + listener.getLocalPort());
            Main.run(api, Echo.class.getName() + "::echo", System.getProperty("user.dir"));
        } catch (IOException e) {
            // The platform has closed: the rehearsal is over.
        } finally {
            listener.close();
        }
    }

    private static void serve(Socket connection) throws IOException {
        String body = "{\"name\":\"a\\u00fc\",\"count\":1,\"tags\":[\"x\",2.5,true,null],\"more\":{\"k\":\"v\"}}";
        String event = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 1\r\n"
                + "Lambda-Runtime-Trace-Id: Root=1\r\nContent-Length: " + body.length() + "\r\n\r\n" + body;
        InputStream in = connection.getInputStream();
        byte[] buffer = new byte[4096];
        in.read(buffer);
        connection.getOutputStream().write(event.getBytes(StandardCharsets.US_ASCII));
        in.read(buffer);
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
