package lamplighter.runtime;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The properties of a class, as beans have them: getters and setters, public fields, and private fields that have a
 * getter; the components of a record. Names are exact, but for the classes of AWS's events: of them, members may begin
 * with capitals ("Records") and be of several words ("detail-type"), and numbers that are times count seconds.
 */
final class Properties {
    private static final Map<Class<?>, Properties> KNOWN = new ConcurrentHashMap<>();

    /** The package of {@code aws-lambda-java-events}. */
    private static final String EVENTS = "com.amazonaws.services.lambda.runtime.events.";

    private final Class<?> type;
    /** In the order in which they are written. */
    private final Map<String, Property> byName = new LinkedHashMap<>();
    /** Of AWS's events only. */
    private final Map<String, Property> byAnyCase = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    private final boolean isEvent;
    /** Of a record: what its constructor takes, in order. Null of any other class. */
    private Constructor<?> canonical;
    private List<Property> components;

    private static final class Property {
        final String name;
        Field field;
        Method getter;
        Method setter;

        Property(String name) {
            this.name = name;
        }

        boolean isReadable() {
            return getter != null || (field != null && Modifier.isPublic(field.getModifiers()));
        }

        Type type() {
            return setter != null ? setter.getGenericParameterTypes()[0]
                    : field != null ? field.getGenericType() : getter.getGenericReturnType();
        }
    }

    static Properties of(Class<?> type) {
        Properties known = KNOWN.get(type);
        if (known == null) {
            known = new Properties(type);
            KNOWN.put(type, known);
        }
        return known;
    }

    private Properties(Class<?> type) {
        this.type = type;
        if (type.getName().startsWith("java.")) {
            // The library's own classes keep their insides to themselves.
            methods();
        } else {
            fields(type);
            if (!record()) {
                methods();
            }
        }
        isEvent = type.getName().startsWith(EVENTS);
        if (isEvent) {
            byAnyCase.putAll(byName);
        }
    }

    private Property property(String name) {
        Property property = byName.get(name);
        if (property == null) {
            property = new Property(name);
            byName.put(name, property);
        }
        return property;
    }

    /** Those of the classes above come first. */
    private void fields(Class<?> of) {
        if (of == null || of == Object.class || of.getName().startsWith("java.")) {
            return;
        }
        fields(of.getSuperclass());
        for (Field field : of.getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers()) && !Modifier.isTransient(field.getModifiers())
                    && !field.isSynthetic()) {
                field.setAccessible(true);
                property(field.getName()).field = field;
            }
        }
    }

    private void methods() {
        for (Method method : type.getMethods()) {
            if (Modifier.isStatic(method.getModifiers()) || method.getDeclaringClass() == Object.class
                    || method.isBridge() || method.isSynthetic()) {
                continue;
            }
            Class<?> result = method.getReturnType();
            int count = method.getParameterTypes().length;
            String getter = count != 0 || result == void.class ? null
                    : result == boolean.class || result == Boolean.class
                    ? firstNonNull(after(method, "is"), after(method, "get")) : after(method, "get");
            String setter = count == 1 ? after(method, "set") : null;
            if (getter != null && isOpen(method)) {
                property(getter).getter = method;
            } else if (setter != null && isOpen(method)) {
                property(setter).setter = method;
            }
        }
    }

    private static String firstNonNull(String one, String other) {
        return one == null ? other : one;
    }

    private static boolean isOpen(Method method) {
        try {
            method.setAccessible(true);
            return true;
        } catch (RuntimeException e) {
            // A class of the library that is not for others.
            return Modifier.isPublic(method.getDeclaringClass().getModifiers());
        }
    }

    /** {@code fooBar} of {@code getFooBar}: all capitals at the beginning become small ones. Null if it is none. */
    private static String after(Method method, String prefix) {
        String name = method.getName();
        if (!name.startsWith(prefix) || name.length() == prefix.length()) {
            return null;
        }
        String rest = name.substring(prefix.length());
        int capitals = 0;
        while (capitals < rest.length() && Character.isUpperCase(rest.charAt(capitals))) {
            capitals++;
        }
        return rest.substring(0, capitals).toLowerCase(Locale.ROOT) + rest.substring(capitals);
    }

    /** Java 8 knows no records: what is asked here is asked by name. */
    private boolean record() {
        try {
            if (!type.getSuperclass().getName().equals("java.lang.Record")) {
                return false;
            }
            Object[] all = (Object[]) Class.class.getMethod("getRecordComponents").invoke(type);
            List<Property> found = new ArrayList<>();
            Class<?>[] types = new Class<?>[all.length];
            for (int at = 0; at < all.length; at++) {
                Class<?> kind = all[at].getClass();
                Property component = property((String) kind.getMethod("getName").invoke(all[at]));
                component.getter = (Method) kind.getMethod("getAccessor").invoke(all[at]);
                component.getter.setAccessible(true);
                types[at] = (Class<?>) kind.getMethod("getType").invoke(all[at]);
                found.add(component);
            }
            canonical = type.getDeclaredConstructor(types);
            canonical.setAccessible(true);
            components = found;
            return true;
        } catch (NullPointerException e) {
            return false; // an interface has no class above it
        } catch (ReflectiveOperationException e) {
            return false;
        }
    }

    /** The values of an object's properties by name. */
    Map<String, Object> read(Object of) {
        Map<String, Object> values = new LinkedHashMap<>();
        for (Property property : byName.values()) {
            if (!property.isReadable()) {
                continue;
            }
            try {
                values.put(property.name, property.getter != null ? property.getter.invoke(of) : property.field.get(of));
            } catch (InvocationTargetException e) {
                throw new Json.Malformed(type.getName() + "." + property.name + ": " + e.getCause(), e.getCause());
            } catch (IllegalAccessException e) {
                throw new Json.Malformed(type.getName() + "." + property.name + " cannot be read", e);
            }
        }
        return values;
    }

    /** An object of these members. {@code whole}: the type with its arguments. */
    Object make(Map<?, ?> members, Type whole) {
        Map<TypeVariable<?>, Type> variables = Types.variables(whole);
        if (canonical != null) {
            return makeRecord(members, variables);
        }
        Object made = instance(type);
        for (Map.Entry<?, ?> member : members.entrySet()) {
            Property property = find((String) member.getKey());
            if (property == null || (property.setter == null && property.field == null)) {
                continue;
            }
            Object value = bound(member.getValue(), property, variables);
            try {
                if (property.setter != null) {
                    property.setter.invoke(made, value);
                } else {
                    property.field.set(made, value);
                }
            } catch (InvocationTargetException e) {
                throw new Json.Malformed(type.getName() + "." + property.name + ": " + e.getCause(), e.getCause());
            } catch (IllegalAccessException e) {
                throw new Json.Malformed(type.getName() + "." + property.name + " cannot be set", e);
            }
        }
        return made;
    }

    private Property find(String name) {
        Property exact = byName.get(name);
        return exact != null || !isEvent ? exact : byAnyCase.get(name.replace("-", ""));
    }

    private Object bound(Object value, Property property, Map<TypeVariable<?>, Type> variables) {
        if (isEvent && property.type() == Date.class && value instanceof Json.Digits) {
            return new Date(Math.round(((Json.Digits) value).natural().doubleValue() * 1000));
        }
        try {
            return Binder.bind(value, Types.resolve(property.type(), variables));
        } catch (Json.Malformed e) {
            throw new Json.Malformed(e.getMessage() + " (through " + type.getName() + "." + property.name + ")", e.getCause());
        }
    }

    private Object makeRecord(Map<?, ?> members, Map<TypeVariable<?>, Type> variables) {
        Object[] arguments = new Object[components.size()];
        for (int at = 0; at < arguments.length; at++) {
            arguments[at] = Binder.bind(null, Types.resolve(components.get(at).type(), variables));
        }
        for (Map.Entry<?, ?> member : members.entrySet()) {
            Property component = find((String) member.getKey());
            if (component != null) {
                arguments[components.indexOf(component)] = bound(member.getValue(), component, variables);
            }
        }
        try {
            return canonical.newInstance(arguments);
        } catch (InvocationTargetException e) {
            throw new Json.Malformed(type.getName() + ": " + e.getCause(), e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new Json.Malformed(type.getName() + " cannot be made", e);
        }
    }

    /** A new object: by the constructor without arguments, or, if there is none, with nothing set. */
    static Object instance(Class<?> type) {
        if (type.isInterface() || Modifier.isAbstract(type.getModifiers())) {
            throw new Json.Malformed("Cannot construct instance of `" + type.getName() + "`: it is abstract");
        }
        try {
            Constructor<?> constructor;
            try {
                constructor = type.getDeclaredConstructor();
            } catch (NoSuchMethodException e) {
                return bare(type);
            }
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            throw new Json.Malformed("Cannot construct instance of `" + type.getName() + "`: " + e.getCause(), e.getCause());
        } catch (ReflectiveOperationException | RuntimeException e) {
            throw new Json.Malformed("Cannot construct instance of `" + type.getName() + "`", e);
        }
    }

    /** The immutable classes of AWS's events have constructors of which nobody knows what they take. */
    private static Object bare(Class<?> type) throws ReflectiveOperationException {
        Class<?> unsafe = Class.forName("sun.misc.Unsafe");
        Field field = unsafe.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        return unsafe.getMethod("allocateInstance", Class.class).invoke(field.get(null), type);
    }
}
