package weft;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** The code of an action and its main: {@code public static JsonObject main(JsonObject)}, or with a Context too. */
final class Action {
    private static final MethodType CALL = MethodType.methodType(JsonElement.class, JsonElement.class, Context.class);

    private final MethodHandle main;

    private Action(MethodHandle main) {
        this.main = main;
    }

    /**
     * @param file of source; null when the folder has classes
     * @param name "Class" or "Class#method"
     */
    static Action load(Path directory, Path file, String name) throws Unloadable, IOException, ReflectiveOperationException {
        var method = find(directory, file, name, true);
        method.setAccessible(true); // the class need not be public
        var handle = MethodHandles.lookup().unreflect(method);
        if (method.getParameterCount() == 1) {
            handle = MethodHandles.dropArguments(handle, 1, Context.class);
        }
        return new Action(handle.asType(CALL));
    }

    /** The main method, after what is source was compiled. @param runs whether code of the class may run: its initialisers do */
    static Method find(Path directory, Path file, String name, boolean runs) throws Unloadable, IOException {
        var cut = name.indexOf('#');
        var className = cut < 0 ? name : name.substring(0, cut);
        var methodName = cut < 0 ? "main" : name.substring(cut + 1);
        var classPath = classPath(directory);
        if (file != null) {
            Source.compile(file, className, directory, classPath);
        } else if (Files.notExists(directory.resolve(className.replace('.', '/') + ".class"))) {
            Source.compileAll(directory, classPath);
        }
        var urls = new ArrayList<URL>();
        for (var path : classPath) {
            urls.add(path.toUri().toURL());
        }
        var loader = new URLClassLoader(urls.toArray(URL[]::new), Action.class.getClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        Class<?> type;
        try {
            type = Class.forName(className, runs, loader);
        } catch (ClassNotFoundException notThere) {
            throw new Unloadable("no class \"" + className + "\" in the code; name it as main: Class or Class#method");
        }
        return Arrays.stream(type.getDeclaredMethods()).filter(one -> one.getName().equals(methodName)).filter(Action::fits).findFirst()
            .orElseThrow(() -> new Unloadable("no method \"" + methodName + "\": " + className + " needs public static JsonObject "
                + methodName + "(JsonObject); it has " + methodsOf(type)));
    }

    JsonElement call(JsonElement value, Context context) throws Throwable {
        return (JsonElement) main.invokeExact(value, context);
    }

    private static boolean fits(Method method) {
        var parameters = method.getParameterTypes();
        return Modifier.isStatic(method.getModifiers())
            && JsonElement.class.isAssignableFrom(method.getReturnType())
            && (parameters.length == 1 || parameters.length == 2 && parameters[1] == Context.class)
            && List.of(JsonObject.class, JsonArray.class, JsonElement.class).contains(parameters[0]);
    }

    private static String methodsOf(Class<?> type) {
        var names = Arrays.stream(type.getDeclaredMethods()).filter(one -> !one.isSynthetic()).map(Method::getName).distinct().sorted()
            .collect(Collectors.joining(", "));
        return names.isEmpty() ? "no method" : names;
    }

    /** The unpacked jar, and jars that came along in it: at its top or in lib. */
    private static List<Path> classPath(Path directory) throws IOException {
        var found = new ArrayList<Path>();
        found.add(directory);
        for (var folder : List.of(directory, directory.resolve("lib"))) {
            if (!Files.isDirectory(folder)) {
                continue;
            }
            try (var jars = Files.newDirectoryStream(folder, "*.jar")) {
                jars.forEach(found::add);
            }
        }
        return found;
    }
}
