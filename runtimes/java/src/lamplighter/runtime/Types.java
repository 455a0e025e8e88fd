package lamplighter.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.HashMap;
import java.util.Map;

/** What generic types stand for. */
final class Types {
    private Types() {}

    /** The class behind a type. */
    static Class<?> raw(Type type) {
        if (type instanceof Class) {
            return (Class<?>) type;
        }
        if (type instanceof ParameterizedType) {
            return raw(((ParameterizedType) type).getRawType());
        }
        if (type instanceof GenericArrayType) {
            return Array.newInstance(raw(((GenericArrayType) type).getGenericComponentType()), 0).getClass();
        }
        if (type instanceof WildcardType) {
            return raw(((WildcardType) type).getUpperBounds()[0]);
        }
        if (type instanceof TypeVariable) {
            return raw(((TypeVariable<?>) type).getBounds()[0]);
        }
        return Object.class;
    }

    /** What a type means where the variables stand for {@code known}. */
    static Type resolve(Type type, Map<TypeVariable<?>, Type> known) {
        if (type instanceof TypeVariable) {
            Type meant = known.get(type);
            return meant == null ? raw(type) : meant;
        }
        if (type instanceof WildcardType) {
            return resolve(((WildcardType) type).getUpperBounds()[0], known);
        }
        if (type instanceof ParameterizedType) {
            ParameterizedType whole = (ParameterizedType) type;
            Type[] arguments = whole.getActualTypeArguments();
            for (int at = 0; at < arguments.length; at++) {
                arguments[at] = resolve(arguments[at], known);
            }
            return new Whole(raw(type), arguments);
        }
        if (type instanceof GenericArrayType) {
            Type element = resolve(((GenericArrayType) type).getGenericComponentType(), known);
            return Array.newInstance(raw(element), 0).getClass();
        }
        return type;
    }

    /** What the variables of a type and of all it extends and implements stand for. */
    static Map<TypeVariable<?>, Type> variables(Type type) {
        Map<TypeVariable<?>, Type> known = new HashMap<>();
        collect(type, known);
        return known;
    }

    private static void collect(Type type, Map<TypeVariable<?>, Type> known) {
        if (type == null) {
            return;
        }
        Class<?> raw = raw(type);
        if (type instanceof ParameterizedType) {
            Type[] arguments = ((ParameterizedType) type).getActualTypeArguments();
            TypeVariable<?>[] names = raw.getTypeParameters();
            for (int at = 0; at < names.length; at++) {
                known.put(names[at], resolve(arguments[at], known));
            }
        }
        collect(raw.getGenericSuperclass(), known);
        for (Type above : raw.getGenericInterfaces()) {
            collect(above, known);
        }
    }

    /** The arguments with which {@code type} implements the generic {@code above}; null if it names none. */
    static Type[] argumentsOf(Type type, Class<?> above) {
        Map<TypeVariable<?>, Type> known = variables(type);
        TypeVariable<?>[] names = above.getTypeParameters();
        Type[] arguments = new Type[names.length];
        for (int at = 0; at < names.length; at++) {
            arguments[at] = known.get(names[at]);
            if (arguments[at] == null) {
                return null;
            }
        }
        return arguments;
    }

    /** The argument of a collection or map; Object if it is not told. */
    static Type argument(Type type, Class<?> above, int index) {
        Type[] arguments = argumentsOf(type, above);
        return arguments == null ? Object.class : arguments[index];
    }

    private static final class Whole implements ParameterizedType {
        private final Class<?> raw;
        private final Type[] arguments;

        Whole(Class<?> raw, Type[] arguments) {
            this.raw = raw;
            this.arguments = arguments;
        }

        @Override
        public Type[] getActualTypeArguments() {
            return arguments.clone();
        }

        @Override
        public Type getRawType() {
            return raw;
        }

        @Override
        public Type getOwnerType() {
            return raw.getDeclaringClass();
        }
    }
}
