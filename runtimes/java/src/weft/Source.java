package weft;

import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/** An action that came as source: compiled when it is loaded. A jar starts faster. */
final class Source {
    private Source() {}

    /** Compiles one file, whose public class is the named one, into a folder. */
    static void compile(Path file, String className, Path into, List<Path> classPath) throws Unloadable, IOException {
        // The compiler wants a file to be called as its class is, and the file is called as the action is.
        compile(List.of(unit(className.replace('.', '/') + ".java", file)), into, classPath);
    }

    /** Compiles all sources of a folder into it. */
    static void compileAll(Path folder, List<Path> classPath) throws Unloadable, IOException {
        List<Path> files;
        try (var all = Files.walk(folder)) {
            files = all.filter(path -> path.toString().endsWith(".java") && Files.isRegularFile(path)).sorted().toList();
        }
        var units = new ArrayList<JavaFileObject>();
        for (var file : files) {
            units.add(unit(folder.relativize(file).toString(), file));
        }
        if (!units.isEmpty()) {
            compile(units, folder, classPath);
        }
    }

    private static void compile(List<JavaFileObject> units, Path into, List<Path> classPath) throws Unloadable, IOException {
        var compiler = ToolProvider.getSystemJavaCompiler();
        if (compiler == null) {
            throw new Unloadable("there is no compiler here; bring a jar");
        }
        var path = System.getProperty("java.class.path");
        for (var entry : classPath) {
            path += File.pathSeparator + entry;
        }
        var found = new DiagnosticCollector<JavaFileObject>();
        var options = List.of("-d", into.toString(), "-cp", path, "-g", "-proc:none", "-nowarn");
        try (var files = compiler.getStandardFileManager(found, Locale.ROOT, null)) {
            if (compiler.getTask(null, files, found, options, null, units).call()) {
                return;
            }
        }
        var mistakes = found.getDiagnostics().stream().filter(one -> one.getKind() == Diagnostic.Kind.ERROR).toList();
        for (var mistake : mistakes) {
            System.err.println(place(mistake) + ": error: " + mistake.getMessage(Locale.ROOT));
        }
        var first = mistakes.get(0);
        throw new Mistakes(first.getMessage(Locale.ROOT).lines().findFirst().orElse("it does not compile") + " (" + place(first) + ")");
    }

    /** The compiler's, of which each place has been printed. */
    static final class Mistakes extends Unloadable {
        private static final long serialVersionUID = 1;

        Mistakes(String first) {
            super(first);
        }
    }

    private static JavaFileObject unit(String name, Path file) throws IOException {
        var text = Files.readString(file);
        return new SimpleJavaFileObject(URI.create("source:/" + name.replace(" ", "%20")), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
                return text;
            }
        };
    }

    private static String place(Diagnostic<? extends JavaFileObject> mistake) {
        var file = mistake.getSource();
        return file == null ? "command line" : file.getName().substring(1) + ":" + mistake.getLineNumber();
    }
}
