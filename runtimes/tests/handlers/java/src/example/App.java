package example;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.events.OrdersEvent;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Handlers that are plain methods. */
public class App {
    private static int count;

    public Object echo(Object event) {
        return event;
    }

    public Map<String, Object> kinds(Map<String, Object> event) {
        Map<String, Object> kinds = new LinkedHashMap<>();
        for (Map.Entry<String, Object> entry : event.entrySet()) {
            Object value = entry.getValue();
            kinds.put(entry.getKey(), value == null ? "null" : value.getClass().getSimpleName());
        }
        return kinds;
    }

    public String upper(String text, Context context) {
        return text.toUpperCase();
    }

    public int add(int number) {
        return number + 1;
    }

    public long twice(Long number) {
        return 2 * number;
    }

    public double half(double number) {
        return number / 2;
    }

    public boolean not(Boolean value) {
        return !value;
    }

    public Color color(Color color) {
        return color == Color.RED ? Color.GREEN : color;
    }

    public List<Integer> sizes(List<String> texts) {
        List<Integer> sizes = new ArrayList<>();
        for (String text : texts) {
            sizes.add(text.length());
        }
        return sizes;
    }

    public int[] squares(int[] numbers) {
        for (int at = 0; at < numbers.length; at++) {
            numbers[at] *= numbers[at];
        }
        return numbers;
    }

    public Map<Color, Long> byEnum(Map<Color, Long> event) {
        event.replaceAll((color, number) -> number + 1);
        return event;
    }

    public Order order(Order order, Context context) {
        double total = 0;
        for (Item item : order.getItems()) {
            total += item.price() * item.count();
        }
        order.setTotal(new BigDecimal(total).setScale(2));
        return order;
    }

    public Box<Item> box(Box<Item> box) {
        box.getContent().count();
        return box;
    }

    public Point move(Point point) {
        return new Point(point.x() + 1, point.y(), point.label());
    }

    public OrdersEvent event(OrdersEvent event) {
        return event;
    }

    public Moment moment(Moment moment) {
        moment.at = moment.at.plusSeconds(1);
        return moment;
    }

    public byte[] bytes(byte[] bytes) {
        bytes[0]++;
        return bytes;
    }

    public void nothing(Object event) {}

    public String noEvent() {
        return "no event";
    }

    public static String onlyContext(Context context) {
        return context.getFunctionName();
    }

    public void stream(InputStream in, OutputStream out, Context context) throws IOException {
        out.write('[');
        byte[] buffer = new byte[8192];
        for (int length = in.read(buffer); length >= 0; length = in.read(buffer)) {
            out.write(buffer, 0, length);
        }
        out.write(']');
    }

    public void onlyOut(OutputStream out) throws IOException {
        out.write("\"only out\"".getBytes(StandardCharsets.UTF_8));
    }

    // Of these the last is taken.
    public String overloaded(String event) {
        return "one";
    }

    public String overloaded(Integer event, Context context) {
        return "two";
    }

    public String overloaded(InputStream in, OutputStream out, Context context) throws IOException {
        out.write("\"three\"".getBytes(StandardCharsets.UTF_8));
        return null;
    }

    public String overloaded(String one, String two, String three, Context context) {
        return "none";
    }

    public Map<String, Object> context(Object event, Context context) {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("id", context.getAwsRequestId());
        all.put("group", context.getLogGroupName());
        all.put("stream", context.getLogStreamName());
        all.put("name", context.getFunctionName());
        all.put("version", context.getFunctionVersion());
        all.put("arn", context.getInvokedFunctionArn());
        all.put("memory", context.getMemoryLimitInMB());
        all.put("remaining", context.getRemainingTimeInMillis() > 0);
        all.put("tenant", context.getTenantId());
        all.put("trace", System.getProperty("com.amazonaws.xray.traceHeader"));
        all.put("identity", context.getIdentity() == null ? null : context.getIdentity().getIdentityId());
        ClientContext client = context.getClientContext();
        if (client != null) {
            all.put("title", client.getClient().getAppTitle());
            all.put("custom", client.getCustom());
            all.put("env", client.getEnvironment());
        }
        return all;
    }

    public String logs(Object event, Context context) {
        LambdaLogger logger = context.getLogger();
        logger.log("one\ntwo\n");
        logger.log("debug", LogLevel.DEBUG);
        logger.log("warning", LogLevel.WARN);
        LambdaRuntime.getLogger().log("bytes\n".getBytes(StandardCharsets.UTF_8));
        System.out.println("printed ü");
        System.err.println("to stderr");
        return "logged";
    }

    public Object raises(Object event) {
        throw new IllegalArgumentException("no good: " + event);
    }

    public Object raisesWithCause(Object event) throws Exception {
        try {
            return raises(event);
        } catch (RuntimeException e) {
            throw new Exception("around", e);
        }
    }

    public Object raisesNothing(Object event) {
        throw new IllegalStateException();
    }

    public int state(Object event) {
        return ++count;
    }

    public Object exits(Object event) {
        System.exit(7);
        return null;
    }

    public Object overflows(Object event) {
        return overflows(event).hashCode();
    }

    public int fills(int megabytes) {
        List<byte[]> all = new ArrayList<>();
        for (int at = 0; at < megabytes; at++) {
            byte[] block = new byte[1 << 20];
            java.util.Arrays.fill(block, (byte) 1);
            all.add(block);
        }
        return all.size();
    }

    public String large(int length) {
        return new String(new char[length]).replace('\0', 'x');
    }

    public String sleeps(int milliseconds) throws InterruptedException {
        Thread.sleep(milliseconds);
        return "awake";
    }

    public Map<String, Object> looks(Object event) {
        Map<String, Object> seen = new LinkedHashMap<>();
        Runtime runtime = Runtime.getRuntime();
        seen.put("maxMemory", runtime.maxMemory());
        seen.put("options", java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments());
        seen.put("dir", System.getProperty("user.dir"));
        seen.put("version", System.getProperty("java.version"));
        seen.put("environment", System.getenv("AWS_EXECUTION_ENV"));
        return seen;
    }

    public Object resource(String name) throws IOException {
        try (InputStream in = App.class.getResourceAsStream(name)) {
            return in == null ? null : new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    public Object holdsItself(Object event) {
        List<Object> list = new ArrayList<>();
        list.add(list);
        return list;
    }

    public Object threads(int number) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int at = 0; at < number; at++) {
            Thread thread = new Thread(() -> System.out.print(""));
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        return threads.size();
    }

    /** An enum. */
    public enum Color {
        RED,
        GREEN
    }

    /** A record. */
    public record Point(int x, Integer y, String label) {}

    /** A record with everything. */
    public record Item(String name, double price, int count) {}

    /** A bean. */
    public static class Order {
        private String id;
        private List<Item> items;
        private BigDecimal total;
        private boolean paid;
        private Map<String, List<Integer>> more;
        private UUID key;

        public String getId() {
            return id;
        }

        public void setId(String id) {
            this.id = id;
        }

        public List<Item> getItems() {
            return items;
        }

        public void setItems(List<Item> items) {
            this.items = items;
        }

        public BigDecimal getTotal() {
            return total;
        }

        public void setTotal(BigDecimal total) {
            this.total = total;
        }

        public boolean isPaid() {
            return paid;
        }

        public void setPaid(boolean paid) {
            this.paid = paid;
        }

        public Map<String, List<Integer>> getMore() {
            return more;
        }

        public void setMore(Map<String, List<Integer>> more) {
            this.more = more;
        }

        public UUID getKey() {
            return key;
        }

        public void setKey(UUID key) {
            this.key = key;
        }
    }

    /** A generic bean. */
    public static class Box<T> {
        private T content;

        public T getContent() {
            return content;
        }

        public void setContent(T content) {
            this.content = content;
        }
    }

    /** Public fields. */
    public static class Moment {
        public Instant at;
        public String name = "unset";
    }
}
