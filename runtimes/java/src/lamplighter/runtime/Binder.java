package lamplighter.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Plain values of {@link Json} to objects of a type: strings, numbers, enums, collections, maps, arrays, and classes with
 * properties. Unknown members are passed over; null becomes null, or the zero of a primitive.
 */
final class Binder {
    /** Static methods by which classes that are no beans are made of a text. */
    private static final String[] FROM_TEXT = {"parse", "fromString", "valueOf", "of"};

    private Binder() {}

    static Object bind(Object value, Type type) {
        Class<?> raw = Types.raw(type);
        if (value == null) {
            return raw == Optional.class ? Optional.empty() : zero(raw);
        }
        if (raw == Object.class) {
            return natural(value);
        }
        if (raw == String.class || raw == CharSequence.class) {
            return text(value, raw);
        }
        Object simple = raw.isPrimitive() || Number.class.isAssignableFrom(raw) || raw == Boolean.class
                || raw == Character.class ? scalar(value, raw) : null;
        if (simple != null) {
            return simple;
        }
        if (raw.isEnum()) {
            return enumeration(value, raw);
        }
        if (Map.class.isAssignableFrom(raw)) {
            return map(value, type, raw);
        }
        if (Collection.class.isAssignableFrom(raw) || raw == Iterable.class) {
            return collection(value, type, raw);
        }
        if (raw.isArray()) {
            return array(value, type, raw);
        }
        if (raw == Optional.class) {
            return Optional.of(bind(value, Types.argument(type, Optional.class, 0)));
        }
        if (raw == ByteBuffer.class) {
            return ByteBuffer.wrap(base64(value, raw));
        }
        if (raw == Date.class) {
            return date(value);
        }
        if (value instanceof Map) {
            return Properties.of(raw).make((Map<?, ?>) value, type);
        }
        return fromText(value, raw);
    }

    private static Json.Malformed misfit(Object value, Class<?> raw) {
        String kind = value instanceof Map ? "an object" : value instanceof List ? "an array" : "the value " + value;
        return new Json.Malformed("Cannot deserialize value of type `" + raw.getName() + "` from " + kind);
    }

    /** What an event is where no type says what it should be. */
    private static Object natural(Object value) {
        if (value instanceof Json.Digits) {
            return ((Json.Digits) value).natural();
        }
        if (value instanceof Map) {
            Map<Object, Object> members = new LinkedHashMap<>();
            for (Map.Entry<?, ?> member : ((Map<?, ?>) value).entrySet()) {
                members.put(member.getKey(), natural(member.getValue()));
            }
            return members;
        }
        if (value instanceof List) {
            List<Object> elements = new ArrayList<>(((List<?>) value).size());
            for (Object element : (List<?>) value) {
                elements.add(natural(element));
            }
            return elements;
        }
        return value;
    }

    private static Object zero(Class<?> raw) {
        return raw.isPrimitive() && raw != void.class ? Array.get(Array.newInstance(raw, 1), 0) : null;
    }

    private static String text(Object value, Class<?> raw) {
        if (value instanceof Map || value instanceof List) {
            throw misfit(value, raw);
        }
        return value.toString();
    }

    private static Object scalar(Object value, Class<?> raw) {
        String text = text(value, raw).trim();
        if (raw == char.class || raw == Character.class) {
            if (text(value, raw).length() == 1) {
                return text(value, raw).charAt(0);
            }
            throw misfit(value, raw);
        }
        if (raw == boolean.class || raw == Boolean.class) {
            if (value instanceof Json.Digits) {
                return new BigDecimal(text).signum() != 0;
            }
            if (text.equalsIgnoreCase("true") || text.equalsIgnoreCase("false")) {
                return Boolean.valueOf(text);
            }
            throw misfit(value, raw);
        }
        if (value instanceof Boolean) {
            throw misfit(value, raw);
        }
        try {
            return number(text, raw);
        } catch (ArithmeticException | NumberFormatException e) {
            throw misfit(value, raw);
        }
    }

    private static Object number(String text, Class<?> raw) {
        if (raw == double.class || raw == Double.class) {
            return Double.valueOf(text);
        }
        if (raw == float.class || raw == Float.class) {
            return Float.valueOf(text);
        }
        BigDecimal exact = new BigDecimal(text);
        if (raw == BigDecimal.class) {
            return exact;
        }
        if (raw == Number.class) {
            return new Json.Digits(text).natural();
        }
        // A fraction is cut off; what is too large is an error.
        BigInteger whole = exact.toBigInteger();
        if (raw == int.class || raw == Integer.class) {
            return whole.intValueExact();
        }
        if (raw == long.class || raw == Long.class) {
            return whole.longValueExact();
        }
        if (raw == short.class || raw == Short.class) {
            return whole.shortValueExact();
        }
        if (raw == byte.class || raw == Byte.class) {
            return whole.byteValueExact();
        }
        return raw == BigInteger.class ? whole : null;
    }

    private static Object enumeration(Object value, Class<?> raw) {
        Object[] all = raw.getEnumConstants();
        if (value instanceof Json.Digits) {
            int index = ((Json.Digits) value).natural().intValue();
            if (index >= 0 && index < all.length) {
                return all[index];
            }
        }
        for (Object one : all) {
            if (((Enum<?>) one).name().equals(value)) {
                return one;
            }
        }
        throw misfit(value, raw);
    }

    private static Object map(Object value, Type type, Class<?> raw) {
        if (!(value instanceof Map)) {
            throw misfit(value, raw);
        }
        Type keys = Types.argument(type, Map.class, 0);
        Type values = Types.argument(type, Map.class, 1);
        Map<Object, Object> bound = target(raw, SortedMap.class.isAssignableFrom(raw)
                ? new TreeMap<Object, Object>() : new LinkedHashMap<Object, Object>());
        for (Map.Entry<?, ?> member : ((Map<?, ?>) value).entrySet()) {
            bound.put(bind(member.getKey(), keys), bind(member.getValue(), values));
        }
        return bound;
    }

    private static Object collection(Object value, Type type, Class<?> raw) {
        if (!(value instanceof List)) {
            throw misfit(value, raw);
        }
        Type element = Types.argument(type, Iterable.class, 0);
        Collection<Object> usual = SortedSet.class.isAssignableFrom(raw) ? new TreeSet<Object>()
                : Set.class.isAssignableFrom(raw) ? new LinkedHashSet<Object>()
                : Queue.class.isAssignableFrom(raw) ? new ArrayDeque<Object>()
                : new ArrayList<Object>();
        Collection<Object> bound = target(raw, usual);
        for (Object one : (List<?>) value) {
            bound.add(bind(one, element));
        }
        return bound;
    }

    /** An instance of {@code raw}; the usual one if that is an interface or abstract. */
    @SuppressWarnings("unchecked")
    private static <T> T target(Class<?> raw, T usual) {
        return raw.isInstance(usual) && (raw.isInterface() || Modifier.isAbstract(raw.getModifiers()))
                ? usual : (T) Properties.instance(raw);
    }

    private static Object array(Object value, Type type, Class<?> raw) {
        if (raw == byte[].class && value instanceof String) {
            return base64(value, raw);
        }
        if (!(value instanceof List)) {
            throw misfit(value, raw);
        }
        Type element = type instanceof java.lang.reflect.GenericArrayType
                ? ((java.lang.reflect.GenericArrayType) type).getGenericComponentType() : raw.getComponentType();
        List<?> elements = (List<?>) value;
        Object bound = Array.newInstance(raw.getComponentType(), elements.size());
        for (int at = 0; at < elements.size(); at++) {
            Array.set(bound, at, bind(elements.get(at), element));
        }
        return bound;
    }

    private static byte[] base64(Object value, Class<?> raw) {
        try {
            return Base64.getDecoder().decode(text(value, raw));
        } catch (IllegalArgumentException e) {
            throw misfit(value, raw);
        }
    }

    private static Object date(Object value) {
        try {
            return value instanceof Json.Digits
                    ? new Date(((Json.Digits) value).natural().longValue())
                    : Date.from(java.time.OffsetDateTime.parse(text(value, Date.class)).toInstant());
        } catch (java.time.DateTimeException e) {
            throw misfit(value, Date.class);
        }
    }

    /** Whether objects of a class are one text: they can be made of it, and have no properties worth to tell. */
    static boolean isText(Class<?> type) {
        String name = type.getName();
        return name.startsWith("java.time.") || name.startsWith("java.net.UR") || name.startsWith("org.joda.time.")
                || type == java.util.UUID.class || type == Class.class || type == java.util.Locale.class
                || type == java.util.Currency.class || java.io.File.class == type;
    }

    private static Object fromText(Object value, Class<?> raw) {
        String text = text(value, raw);
        try {
            for (String name : FROM_TEXT) {
                for (Class<?> argument : new Class<?>[] {String.class, CharSequence.class}) {
                    Executable way = way(raw, name, argument);
                    if (way != null) {
                        return ((Method) way).invoke(null, text);
                    }
                }
            }
            Constructor<?> constructor = raw.getConstructor(String.class);
            constructor.setAccessible(true);
            return constructor.newInstance(text);
        } catch (InvocationTargetException e) {
            throw new Json.Malformed(misfit(value, raw).getMessage(), e.getCause());
        } catch (ReflectiveOperationException e) {
            throw misfit(value, raw);
        }
    }

    private static Method way(Class<?> raw, String name, Class<?> argument) {
        try {
            Method method = raw.getMethod(name, argument);
            boolean fits = Modifier.isStatic(method.getModifiers()) && raw.isAssignableFrom(method.getReturnType());
            return fits ? method : null;
        } catch (NoSuchMethodException e) {
            return null;
        }
    }
}
