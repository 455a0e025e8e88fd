package lamplighter.runtime;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** Bytes that grow, and can be sent without another copy. */
final class Bytes extends ByteArrayOutputStream {
    Bytes() {
        super(512);
    }

    void add(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        write(bytes, 0, bytes.length);
    }

    void sendTo(OutputStream out) throws IOException {
        out.write(buf, 0, count);
    }
}
