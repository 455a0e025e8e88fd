package lamplighter.runtime;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The Runtime API as its one client sees it: HTTP/1.1 over one kept connection, on a bare socket.
 *
 * <p>The answer to one event and the question for the next go out in one write (pipelined): the platform sees two
 * ordinary requests, the process is woken up once instead of twice.
 *
 * <p>Defined by: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 */
final class RuntimeApi {
    private static final String PATH = "/2018-06-01/runtime/";
    /** The platform's servers refuse huge headers. The cause is for tracing only. */
    private static final int MAX_CAUSE = 16 * 1024;

    private final String host;
    private final int port;
    private final String common;
    private final String next;
    private Socket socket;
    private InputStream in;
    private byte[] buffer = new byte[8192];
    private int from;
    private int until;

    RuntimeApi(String address) {
        int colon = address.lastIndexOf(':');
        String name = address.substring(0, colon);
        host = name.startsWith("[") ? name.substring(1, name.length() - 1) : name;
        port = Integer.parseInt(address.substring(colon + 1));
        common = " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: lamplighter-java\r\n";
        next = "GET " + PATH + "invocation/next" + common + "\r\n";
    }

    /** Waits for an event. */
    Event next() throws IOException {
        Bytes request = new Bytes();
        request.add(next);
        send(request);
        return receiveEvent();
    }

    /** Answers an event, then waits for the next. */
    Event answerThenNext(String requestId, Bytes payload) throws IOException {
        return postThenNext(post("invocation/" + requestId + "/response", "Content-Type: application/json\r\n", payload));
    }

    /** Answers an event with an error, then waits for the next. */
    Event failThenNext(String requestId, Failure failure) throws IOException {
        return postThenNext(errorOf(requestId, failure));
    }

    /** Answers an event with an error. The caller exits next. */
    void fail(String requestId, Failure failure) throws IOException {
        send(errorOf(requestId, failure));
        receive();
    }

    /** Tells that no event can be served. The caller exits next. */
    void failInitialisation(Bytes report, String type) throws IOException {
        send(post("init/error", errorHeaders(type), report));
        receive();
    }

    private Bytes errorOf(String requestId, Failure failure) {
        String headers = errorHeaders(failure.type);
        if (failure.cause != null && failure.cause.length() <= MAX_CAUSE) {
            headers += "Lambda-Runtime-Function-XRay-Error-Cause: " + failure.cause + "\r\n";
        }
        return post("invocation/" + requestId + "/error", headers, failure.report);
    }

    private static String errorHeaders(String type) {
        return "Content-Type: application/vnd.aws.lambda.error+json\r\nLambda-Runtime-Function-Error-Type: "
                + (type == null ? "Runtime.UserException" : Json.ascii(type)) + "\r\n";
    }

    private Bytes post(String path, String headers, Bytes payload) {
        Bytes request = new Bytes();
        request.add("POST " + PATH + path + common + headers + "Content-Length: " + payload.size() + "\r\n\r\n");
        try {
            payload.sendTo(request);
        } catch (IOException e) {
            throw new IllegalStateException(e); // memory takes all
        }
        return request;
    }

    private Event postThenNext(Bytes request) throws IOException {
        request.add(next);
        send(request);
        // A refusal (too large, too late) is the platform's to report: the function goes on with the next event.
        receive();
        try {
            if (socket != null) {
                return receiveEvent();
            }
        } catch (EOFException | java.net.SocketException e) {
            close();
        }
        // The platform closed the connection after its answer: the question for the next event was not read.
        return next();
    }

    private Event receiveEvent() throws IOException {
        Event event = receive();
        if (event.status != 200) {
            throw new IOException("the Runtime API answered " + event.status + " to a request for the next event");
        }
        return event;
    }

    private void send(Bytes request) throws IOException {
        if (socket == null) {
            // Told that there is no proxy, it does not look for one: that would be a tenth of the start.
            socket = new Socket(Proxy.NO_PROXY);
            socket.connect(new InetSocketAddress(InetAddress.getByName(host), port));
            socket.setTcpNoDelay(true);
            in = socket.getInputStream();
            from = 0;
            until = 0;
        }
        request.sendTo(socket.getOutputStream());
    }

    private void close() throws IOException {
        socket.close();
        socket = null;
    }

    /** At least one byte more. */
    private void more() throws IOException {
        if (from > 0) {
            System.arraycopy(buffer, from, buffer, 0, until - from);
            until -= from;
            from = 0;
        }
        if (until == buffer.length) {
            buffer = Arrays.copyOf(buffer, 2 * buffer.length);
        }
        int count = in.read(buffer, until, buffer.length - until);
        if (count < 0) {
            throw new EOFException("the Runtime API closed the connection");
        }
        until += count;
    }

    private String line() throws IOException {
        int at = from;
        while (true) {
            for (; at + 1 < until; at++) {
                if (buffer[at] == '\r' && buffer[at + 1] == '\n') {
                    String line = new String(buffer, from, at - from, StandardCharsets.UTF_8);
                    from = at + 2;
                    return line;
                }
            }
            int seen = at - from;
            more();
            at = from + seen;
        }
    }

    private Event receive() throws IOException {
        int status = Integer.parseInt(line().substring(9, 12));
        Map<String, String> headers = new HashMap<>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        byte[] body;
        if ("chunked".equalsIgnoreCase(headers.get("transfer-encoding"))) {
            body = chunks();
        } else {
            String length = headers.get("content-length");
            body = new byte[length == null ? 0 : Integer.parseInt(length)];
            read(body, 0);
        }
        if ("close".equalsIgnoreCase(headers.get("connection"))) {
            close();
        }
        return new Event(status, headers, body);
    }

    /** Fills {@code body} from {@code at} on: first from what is here, then straight from the connection. */
    private void read(byte[] body, int at) throws IOException {
        int here = Math.min(until - from, body.length - at);
        System.arraycopy(buffer, from, body, at, here);
        from += here;
        at += here;
        while (at < body.length) {
            int count = in.read(body, at, body.length - at);
            if (count < 0) {
                throw new EOFException("the Runtime API closed the connection in the middle of an event");
            }
            at += count;
        }
    }

    private byte[] chunks() throws IOException {
        byte[] body = new byte[0];
        while (true) {
            int size = Integer.parseInt(line().trim(), 16);
            int at = body.length;
            body = Arrays.copyOf(body, at + size);
            read(body, at);
            line();
            if (size == 0) {
                return body;
            }
        }
    }
}
