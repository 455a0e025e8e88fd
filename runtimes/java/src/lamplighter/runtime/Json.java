package lamplighter.runtime;

import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * JSON text to plain values and back. Plain values are maps, lists, strings, booleans, null, and {@link Digits}, a
 * number as it was written: what becomes of it, the type it is bound to says ({@link Binder}).
 */
final class Json {
    private static final int MAX_DEPTH = 1000;

    /** JSON that is none, or that does not fit the type it is for. */
    static final class Malformed extends RuntimeException {
        private static final long serialVersionUID = 1;

        Malformed(String message) {
            super(message);
        }

        Malformed(String message, Throwable cause) {
            super(message, cause);
        }
    }

    /** A number as it was written. */
    static final class Digits {
        final String text;

        Digits(String text) {
            this.text = text;
        }

        boolean isWhole() {
            return text.indexOf('.') < 0 && text.indexOf('e') < 0 && text.indexOf('E') < 0;
        }

        /** The smallest of Integer, Long and BigInteger that holds it, or a Double. */
        Number natural() {
            if (!isWhole()) {
                return Double.valueOf(text);
            }
            if (text.length() > 18) {
                BigInteger large = new BigInteger(text);
                return large.bitLength() < 64 ? (Number) large.longValue() : large;
            }
            long value = Long.parseLong(text);
            return value == (int) value ? (Number) (int) value : (Number) value;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(byte[] bytes) {
        Json json = new Json(new String(bytes, StandardCharsets.UTF_8));
        json.skipBlanks();
        if (json.at == json.text.length()) {
            throw new Malformed("No content to map due to end-of-input");
        }
        Object value = json.value();
        json.skipBlanks();
        if (json.at < json.text.length()) {
            throw json.wrong("unexpected text after the value");
        }
        return value;
    }

    private Malformed wrong(String what) {
        return new Malformed(what + " at character " + at);
    }

    private char next() {
        if (at == text.length()) {
            throw wrong("unexpected end");
        }
        return text.charAt(at++);
    }

    private void skipBlanks() {
        while (at < text.length() && text.charAt(at) <= ' ') {
            at++;
        }
    }

    private Object value() {
        if (depth++ > MAX_DEPTH) {
            throw wrong("nested too deeply");
        }
        try {
            skipBlanks();
            char first = next();
            switch (first) {
                case '{':
                    return object();
                case '[':
                    return array();
                case '"':
                    return string();
                case 't':
                    return word("true", Boolean.TRUE);
                case 'f':
                    return word("false", Boolean.FALSE);
                case 'n':
                    return word("null", null);
                default:
                    at--;
                    return number();
            }
        } finally {
            depth--;
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at - 1)) {
            at--;
            throw wrong("unexpected character");
        }
        at += word.length() - 1;
        return value;
    }

    private Map<String, Object> object() {
        Map<String, Object> members = new LinkedHashMap<>();
        skipBlanks();
        if (at < text.length() && text.charAt(at) == '}') {
            at++;
            return members;
        }
        while (true) {
            skipBlanks();
            if (next() != '"') {
                at--;
                throw wrong("expected a name");
            }
            String name = string();
            skipBlanks();
            if (next() != ':') {
                at--;
                throw wrong("expected ':'");
            }
            members.put(name, value());
            skipBlanks();
            char end = next();
            if (end == '}') {
                return members;
            }
            if (end != ',') {
                at--;
                throw wrong("expected ',' or '}'");
            }
        }
    }

    private List<Object> array() {
        List<Object> elements = new ArrayList<>();
        skipBlanks();
        if (at < text.length() && text.charAt(at) == ']') {
            at++;
            return elements;
        }
        while (true) {
            elements.add(value());
            skipBlanks();
            char end = next();
            if (end == ']') {
                return elements;
            }
            if (end != ',') {
                at--;
                throw wrong("expected ',' or ']'");
            }
        }
    }

    private String string() {
        int from = at;
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c == '"') {
                return text.substring(from, at++);
            }
            if (c == '\\') {
                return escaped(from);
            }
            at++;
        }
        throw wrong("unexpected end of a string");
    }

    private String escaped(int from) {
        StringBuilder out = new StringBuilder(text.length() - from > 64 ? 64 : text.length() - from);
        out.append(text, from, at);
        while (true) {
            char c = next();
            if (c == '"') {
                return out.toString();
            }
            if (c != '\\') {
                out.append(c);
                continue;
            }
            c = next();
            switch (c) {
                case 'b':
                    out.append('\b');
                    break;
                case 'f':
                    out.append('\f');
                    break;
                case 'n':
                    out.append('\n');
                    break;
                case 'r':
                    out.append('\r');
                    break;
                case 't':
                    out.append('\t');
                    break;
                case 'u':
                    if (at + 4 > text.length()) {
                        throw wrong("unexpected end");
                    }
                    try {
                        out.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    } catch (NumberFormatException e) {
                        throw wrong("bad escape");
                    }
                    at += 4;
                    break;
                case '"':
                case '\\':
                case '/':
                    out.append(c);
                    break;
                default:
                    throw wrong("bad escape");
            }
        }
    }

    private Digits number() {
        int from = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String digits = text.substring(from, at);
        try {
            new BigDecimal(digits);
        } catch (NumberFormatException e) {
            at = from;
            throw wrong("unexpected character");
        }
        return new Digits(digits);
    }

    /** JSON text of any object. */
    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        append(out, value, 0);
        return out.toString();
    }

    private static void append(StringBuilder out, Object value, int depth) {
        if (depth > MAX_DEPTH) {
            throw new Malformed("the value is nested too deeply, or holds itself");
        }
        if (value == null || value instanceof Boolean || value instanceof Digits) {
            out.append(value);
        } else if (value instanceof CharSequence || value instanceof Character) {
            quote(out, value.toString());
        } else if (value instanceof Number) {
            number(out, (Number) value);
        } else if (value instanceof Enum) {
            quote(out, ((Enum<?>) value).name());
        } else if (value instanceof Map) {
            object(out, (Map<?, ?>) value, depth);
        } else if (value instanceof Collection) {
            elements(out, (Collection<?>) value, depth);
        } else if (value instanceof byte[]) {
            quote(out, Base64.getEncoder().encodeToString((byte[]) value));
        } else if (value.getClass().isArray()) {
            array(out, value, depth);
        } else if (value instanceof Date) {
            out.append(((Date) value).getTime());
        } else if (value instanceof ByteBuffer) {
            ByteBuffer copy = ((ByteBuffer) value).duplicate();
            byte[] bytes = new byte[copy.remaining()];
            copy.get(bytes);
            quote(out, Base64.getEncoder().encodeToString(bytes));
        } else if (value instanceof Optional) {
            append(out, ((Optional<?>) value).orElse(null), depth + 1);
        } else if (Binder.isText(value.getClass())) {
            quote(out, value.toString());
        } else {
            object(out, Properties.of(value.getClass()).read(value), depth);
        }
    }

    private static void number(StringBuilder out, Number value) {
        boolean isFinite = !(value instanceof Double || value instanceof Float)
                || !(Double.isNaN(value.doubleValue()) || Double.isInfinite(value.doubleValue()));
        if (isFinite) {
            out.append(value);
        } else {
            quote(out, value.toString());
        }
    }

    private static void object(StringBuilder out, Map<?, ?> members, int depth) {
        out.append('{');
        boolean isFirst = true;
        for (Map.Entry<?, ?> member : members.entrySet()) {
            if (!isFirst) {
                out.append(',');
            }
            isFirst = false;
            Object name = member.getKey();
            quote(out, name instanceof Enum ? ((Enum<?>) name).name() : String.valueOf(name));
            out.append(':');
            append(out, member.getValue(), depth + 1);
        }
        out.append('}');
    }

    private static void elements(StringBuilder out, Iterable<?> elements, int depth) {
        out.append('[');
        boolean isFirst = true;
        for (Object element : elements) {
            if (!isFirst) {
                out.append(',');
            }
            isFirst = false;
            append(out, element, depth + 1);
        }
        out.append(']');
    }

    private static void array(StringBuilder out, Object array, int depth) {
        out.append('[');
        for (int index = 0; index < Array.getLength(array); index++) {
            if (index > 0) {
                out.append(',');
            }
            append(out, Array.get(array, index), depth + 1);
        }
        out.append(']');
    }

    private static void quote(StringBuilder out, String text) {
        out.append('"');
        int from = 0;
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            if (c >= ' ' && c != '"' && c != '\\') {
                continue;
            }
            out.append(text, from, at);
            from = at + 1;
            switch (c) {
                case '\n':
                    out.append("\\n");
                    break;
                case '\r':
                    out.append("\\r");
                    break;
                case '\t':
                    out.append("\\t");
                    break;
                case '\b':
                    out.append("\\b");
                    break;
                case '\f':
                    out.append("\\f");
                    break;
                case '"':
                case '\\':
                    out.append('\\').append(c);
                    break;
                default:
                    escape(out, c);
            }
        }
        out.append(text, from, text.length()).append('"');
    }

    private static void escape(StringBuilder out, char c) {
        String hex = Integer.toHexString(c);
        out.append("\\u").append("0000", hex.length(), 4).append(hex);
    }

    /** Anything outside printable ASCII is escaped: fit for a header. */
    static String ascii(String text) {
        StringBuilder out = new StringBuilder(text.length());
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            if (c >= ' ' && c < 127) {
                out.append(c);
            } else {
                escape(out, c);
            }
        }
        return out.toString();
    }
}
