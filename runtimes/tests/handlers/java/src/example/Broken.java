package example;

/** Classes that cannot be used. */
public class Broken {
    /** Its constructor throws. */
    public static class Constructor {
        public Constructor() {
            throw new IllegalStateException("no instance");
        }

        public String handler(Object event) {
            return "never";
        }
    }

    /** It cannot be initialised. */
    public static class Static {
        static final int NUMBER = Integer.parseInt("none");

        public String handler(Object event) {
            return "never";
        }
    }

    /** It needs an instance around it. */
    public class Inner {
        public String handler(Object event) {
            return "never";
        }
    }

    /** It has no constructor that we could call. */
    public static class Arguments {
        public Arguments(String argument) {}

        public String handler(Object event) {
            return "never";
        }
    }
}
