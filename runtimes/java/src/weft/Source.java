package weft;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
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

    /** Compiles a file, whose public class is the named one, into a folder. */
    static void compile(Path file, String className, Path into) throws Unloadable, IOException {
        var compiler = ToolProvider.getSystemJavaCompiler();
        if (compiler == null) {
            throw new Unloadable("this image has no compiler; bring a jar");
        }
        // The compiler wants a file to be called as its class is, and the file is called as the action is.
        var text = Files.readString(file);
        var unit = new SimpleJavaFileObject(URI.create("string:///" + className.replace('.', '/') + ".java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
                return text;
            }
        };
        var found = new DiagnosticCollector<JavaFileObject>();
        var options = List.of("-d", into.toString(), "-cp", System.getProperty("java.class.path"), "-g", "-proc:none", "-nowarn");
        try (var files = compiler.getStandardFileManager(found, Locale.ROOT, null)) {
            if (compiler.getTask(null, files, found, options, null, List.of(unit)).call()) {
                return;
            }
        }
        var mistakes = found.getDiagnostics().stream().filter(one -> one.getKind() == Diagnostic.Kind.ERROR).toList();
        for (var mistake : mistakes) {
            System.err.println(place(mistake) + ": error: " + mistake.getMessage(Locale.ROOT));
        }
        var first = mistakes.get(0);
        throw new Unloadable(first.getMessage(Locale.ROOT).lines().findFirst().orElse("it does not compile") + " (" + place(first) + ")");
    }

    private static String place(Diagnostic<? extends JavaFileObject> mistake) {
        var file = mistake.getSource();
        var name = file == null ? "" : Path.of(file.getName()).getFileName() + ":";
        return name + mistake.getLineNumber();
    }
}
