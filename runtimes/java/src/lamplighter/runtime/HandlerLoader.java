package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/**
 * Finds the handler: {@code package.Class}, which implements one of the interfaces, or {@code package.Class::method}.
 *
 * <p>A method may be (InputStream, OutputStream, Context), and each shorter form of that; (event, Context), (event),
 * (Context), or (). Of several the longest is taken, where one that ends with Context counts as longer by one; methods
 * that the compiler made come last.
 *
 * <p>Defined by: https://docs.aws.amazon.com/lambda/latest/dg/java-handler.html
 */
final class HandlerLoader {
    private HandlerLoader() {}

    /** Throws a fatal {@link Fault} if the class cannot be loaded or made; any other is the answer to every event. */
    static Handler load(String name, UserClasses loader) {
        try {
            return find(name, loader);
        } catch (Fault fault) {
            if (fault.isFatal) {
                throw fault;
            }
            return new Broken(fault);
        } catch (Throwable e) {
            throw Fault.fatal("Error loading handler " + name + (e.getMessage() == null ? "" : ": " + e.getMessage()), e);
        }
    }

    private static Handler find(String name, UserClasses loader) {
        String[] parts = name.split("::", -1);
        if (parts.length > 2 || parts[0].isEmpty() || (parts.length == 2 && parts[1].isEmpty())) {
            throw Fault.of("Invalid handler: `" + name + "'");
        }
        Class<?> found;
        try {
            found = Class.forName(parts[0], true, loader);
        } catch (ClassNotFoundException e) {
            throw Fault.of("Class not found: " + parts[0], e);
        } catch (Throwable e) {
            throw Fault.fatal("Error loading class " + parts[0] + (e.getMessage() == null ? "" : ": " + e.getMessage()), e);
        }
        return parts.length == 2 ? ofMethod(found, parts[1], loader) : ofInterface(found, loader);
    }

    private static Handler ofInterface(Class<?> found, UserClasses loader) {
        if (RequestStreamHandler.class.isAssignableFrom(found)) {
            return new Streams((RequestStreamHandler) instance(found));
        }
        if (!RequestHandler.class.isAssignableFrom(found)) {
            throw Fault.of("Class does not implement an appropriate handler interface: " + found.getName());
        }
        Type[] types = Types.argumentsOf(found, RequestHandler.class);
        if (types == null) {
            throw Fault.of("Class " + found.getName() + " does not implement RequestHandler with concrete type parameters");
        }
        return new Objects(instance(found), null, types[0], true, types[1], loader);
    }

    private static Handler ofMethod(Class<?> found, String name, UserClasses loader) {
        List<Method> methods = new ArrayList<>();
        try {
            for (Method method : found.getMethods()) {
                if (method.getName().equals(name)) {
                    methods.add(method);
                }
            }
        } catch (NoClassDefFoundError e) {
            throw Fault.of("Error loading method " + name + " on class " + found.getName(), e);
        }
        Collections.sort(methods, new Comparator<Method>() {
            @Override
            public int compare(Method one, Method other) {
                return one.isBridge() == other.isBridge() ? rank(other) - rank(one) : one.isBridge() ? 1 : -1;
            }
        });
        for (Method method : methods) {
            Handler handler = ofSignature(found, method, loader);
            if (handler != null) {
                return handler;
            }
        }
        throw Fault.of("No public method named " + name + " with appropriate method signature found on class "
                + found.getName());
    }

    private static int rank(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return types.length + (types.length > 0 && types[types.length - 1] == Context.class ? 1 : 0);
    }

    /** Null if a method of this signature is no handler. */
    private static Handler ofSignature(Class<?> found, Method method, UserClasses loader) {
        Class<?>[] types = method.getParameterTypes();
        int at = 0;
        boolean in = at < types.length && types[at] == InputStream.class;
        at += in ? 1 : 0;
        boolean out = at < types.length && types[at] == OutputStream.class;
        at += out ? 1 : 0;
        boolean isStream = in || out;
        Type event = null;
        if (!isStream && types.length > 0 && types[0] != Context.class) {
            event = method.getGenericParameterTypes()[0];
            at = 1;
        }
        boolean context = at < types.length && types[at] == Context.class;
        at += context ? 1 : 0;
        if (at != types.length) {
            System.err.println("Ignoring an overload of method " + method.getName() + ": " + method);
            return null;
        }
        Object target = Modifier.isStatic(method.getModifiers()) ? null : instance(found);
        method.setAccessible(true);
        if (isStream) {
            return new StreamMethod(target, method, in, out, context);
        }
        return new Objects(target, method, event, context, method.getGenericReturnType(), loader);
    }

    private static Object instance(Class<?> found) {
        Constructor<?> constructor;
        try {
            constructor = found.getConstructor();
        } catch (NoSuchMethodException e) {
            boolean isInner = found.getEnclosingClass() != null && !Modifier.isStatic(found.getModifiers());
            throw isInner
                    ? Fault.of("Class " + found.getName() + " cannot be instantiated because it is a non-static inner class")
                    : Fault.of("Class " + found.getName() + " has no public zero-argument constructor", e);
        }
        try {
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            Throwable error = e.getCause() == null ? e : e.getCause();
            String message = error.getLocalizedMessage();
            throw Fault.fatal(message == null ? error.getClass().getName() : message, error);
        } catch (ReflectiveOperationException e) {
            throw Fault.of("Class " + found.getName() + " cannot be instantiated", e);
        }
    }

    /** What cannot be used says so to every event. */
    private static final class Broken implements Handler {
        private final Fault fault;

        Broken(Fault fault) {
            this.fault = fault;
        }

        @Override
        public Bytes call(Event event, InvocationContext context) {
            throw fault;
        }
    }

    private static final class Streams implements Handler {
        private final RequestStreamHandler handler;

        Streams(RequestStreamHandler handler) {
            this.handler = handler;
        }

        @Override
        public Bytes call(Event event, InvocationContext context) throws Throwable {
            Bytes answer = new Bytes();
            Log4j.request(context.getAwsRequestId());
            handler.handleRequest(new java.io.ByteArrayInputStream(event.body), answer, context);
            return answer;
        }
    }

    private static final class StreamMethod implements Handler {
        private final Object target;
        private final Method method;
        private final boolean in;
        private final boolean out;
        private final boolean takesContext;

        StreamMethod(Object target, Method method, boolean in, boolean out, boolean takesContext) {
            this.target = target;
            this.method = method;
            this.in = in;
            this.out = out;
            this.takesContext = takesContext;
        }

        @Override
        public Bytes call(Event event, InvocationContext context) throws Throwable {
            Bytes answer = new Bytes();
            List<Object> arguments = new ArrayList<>(3);
            if (in) {
                arguments.add(new java.io.ByteArrayInputStream(event.body));
            }
            if (out) {
                arguments.add(answer);
            }
            if (takesContext) {
                arguments.add(context);
            }
            Log4j.request(context.getAwsRequestId());
            invoke(method, target, arguments.toArray());
            if (!out) {
                answer.add("null");
            }
            return answer;
        }
    }

    /** Events become objects and objects answers: an implementation of the interface (no method), or a method. */
    private static final class Objects implements Handler {
        private final Object target;
        private final Method method;
        private final Type event;
        private final boolean takesContext;
        private final Type answer;
        private final Codec codec;

        Objects(Object target, Method method, Type event, boolean takesContext, Type answer, UserClasses loader) {
            this.target = target;
            this.method = method;
            this.event = event;
            this.takesContext = takesContext;
            this.answer = answer;
            this.codec = Codec.find(loader);
        }

        @Override
        @SuppressWarnings("unchecked")
        public Bytes call(Event told, InvocationContext context) throws Throwable {
            Object input;
            try {
                input = event == null ? null : codec.read(told.body, event);
            } catch (Throwable e) {
                throw new RuntimeException("An error occurred during JSON parsing", e);
            }
            Log4j.request(context.getAwsRequestId());
            Object output;
            if (method == null) {
                output = ((RequestHandler<Object, Object>) target).handleRequest(input, context);
            } else if (event == null) {
                output = takesContext ? invoke(method, target, context) : invoke(method, target);
            } else {
                output = takesContext ? invoke(method, target, input, context) : invoke(method, target, input);
            }
            try {
                return codec.write(output, answer);
            } catch (Throwable e) {
                throw new RuntimeException("An error occurred during JSON serialization of response", e);
            }
        }
    }

    private static Object invoke(Method method, Object target, Object... arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() == null ? e : e.getCause();
        }
    }
}
