package weft;

import java.io.IOException;
import java.nio.file.Path;

/**
 * Compiles a java action, or sees that a jar has what it needs, and runs nothing of it: what the launcher's build mode starts.
 * {@code runtimes/launcher/build.go} says what it finds, and reads the places out of what is printed.
 */
final class Build {
    private Build() {
    }

    public static void main(String[] args) throws IOException {
        var directory = Path.of(System.getenv("WEFT_SOURCE_DIR"));
        var file = System.getenv("WEFT_SOURCE_FILE");
        try {
            Action.find(directory, file == null ? null : directory.resolve(file), System.getenv("WEFT_ACTION_MAIN"), false);
        } catch (Source.Mistakes printed) {
            System.exit(1);
        } catch (Unloadable | LinkageError wrong) {
            System.err.println(wrong.getMessage());
            System.exit(1);
        }
    }
}
