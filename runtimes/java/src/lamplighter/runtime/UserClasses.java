package lamplighter.runtime;

import java.io.File;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.security.CodeSource;
import java.security.PermissionCollection;
import java.security.Permissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The function's classes: those in its folder, in the jars of its {@code lib}, and in the jars of its layers. What is in
 * our own jar comes first, as on AWS: a function that brings the interfaces of handlers along meets ours.
 */
final class UserClasses extends URLClassLoader {
    private static final String LAYERS = "/opt/java/lib";

    static {
        registerAsParallelCapable();
    }

    private UserClasses(URL[] path) {
        super(path, ClassLoader.getSystemClassLoader());
    }

    /** Nobody asks for permissions any more, but to make them up takes a while. */
    @Override
    protected PermissionCollection getPermissions(CodeSource source) {
        return new Permissions();
    }

    /** Loads what the search for classes needs, with our own jar as the function's. */
    static void rehearse(File jar) throws IOException {
        URL[] path = {jar.getAbsoluteFile().getParentFile().toURI().toURL(), jar.toURI().toURL()};
        try (UserClasses loader = new UserClasses(path)) {
            loader.findResource(jar.getName());
            loader.loadClass("rehearsal.Missing");
        } catch (ClassNotFoundException e) {
            // As it should be.
        }
    }

    static UserClasses of(String taskRoot) throws MalformedURLException {
        List<URL> path = new ArrayList<>();
        path.add(new File(taskRoot + File.separator).toURI().toURL());
        addJars(new File(taskRoot, "lib"), path);
        addJars(new File(LAYERS), path);
        return new UserClasses(path.toArray(new URL[0]));
    }

    private static void addJars(File folder, List<URL> path) throws MalformedURLException {
        String[] names = folder.list();
        if (names == null) {
            return;
        }
        Arrays.sort(names);
        for (String name : names) {
            if (name.endsWith(".jar")) {
                path.add(new File(folder, name).toURI().toURL());
            }
        }
    }
}
