package lamplighter.runtime;

import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;
import java.io.ByteArrayInputStream;
import java.lang.reflect.Type;
import java.util.Iterator;
import java.util.ServiceLoader;

/** From the bytes of an event to an object of a type, and from an object to the bytes of an answer. */
class Codec {
    private static final String SERVICE = "META-INF/services/" + CustomPojoSerializer.class.getName();

    /** The function's own, if it brings one as a service; ours otherwise. */
    static Codec find(UserClasses loader) {
        // Not getResource: the library has none of these, but opens its image to see.
        if (loader.findResource(SERVICE) == null) {
            return new Codec();
        }
        Iterator<CustomPojoSerializer> found = ServiceLoader.load(CustomPojoSerializer.class, loader).iterator();
        if (!found.hasNext()) {
            return new Codec();
        }
        Codec own = new Own(found.next());
        if (found.hasNext()) {
            throw Fault.of("Too many serializers provided inside the META-INF/services folder, only one is allowed");
        }
        return own;
    }

    Object read(byte[] body, Type type) {
        return Binder.bind(Json.parse(body), type);
    }

    Bytes write(Object value, Type type) {
        Bytes answer = new Bytes();
        answer.add(type == void.class ? "null" : Json.write(value));
        return answer;
    }

    private static final class Own extends Codec {
        private final CustomPojoSerializer serializer;

        Own(CustomPojoSerializer serializer) {
            this.serializer = serializer;
        }

        @Override
        Object read(byte[] body, Type type) {
            return serializer.fromJson(new ByteArrayInputStream(body), type);
        }

        @Override
        Bytes write(Object value, Type type) {
            if (type == void.class) {
                return super.write(value, type);
            }
            Bytes answer = new Bytes();
            serializer.toJson(value, answer, type);
            return answer;
        }
    }
}
