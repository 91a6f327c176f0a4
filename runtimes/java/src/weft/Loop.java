package weft;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;
import sun.misc.Signal;

/**
 * The program of java actions: the launcher starts it, and speaks OpenWhisk's ActionLoop with it. See docs/runtimes.md.
 */
public final class Loop {
    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

    private final BufferedReader requests;
    private final OutputStream answers;
    private final Variables variables;
    private volatile Context context;

    private Loop() throws IOException, ReflectiveOperationException {
        requests = new BufferedReader(new InputStreamReader(new FileInputStream(FileDescriptor.in), StandardCharsets.UTF_8), 64 * 1024);
        answers = new FileOutputStream("/proc/self/fd/3");
        variables = new Variables();
        System.setIn(InputStream.nullInputStream());
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
        Signal.handle(new Signal("TERM"), signal -> {
            var running = context;
            if (running != null) { // without a run there is nothing to cancel
                running.cancel();
            }
        });
    }

    public static void main(String[] arguments) throws IOException, ReflectiveOperationException {
        new Loop().serve();
        System.exit(0); // threads of the action may still run
    }

    private void serve() throws IOException {
        var action = load();
        answer("{\"ok\":true}");
        for (var line = requests.readLine(); line != null; line = requests.readLine()) {
            answer(run(action, JsonParser.parseString(line).getAsJsonObject()));
        }
    }

    private Action load() throws IOException {
        var file = System.getenv("WEFT_ACTION_FILE");
        var source = file == null || file.isEmpty() ? null : Path.of(file);
        try {
            return Action.load(Path.of(System.getenv("WEFT_ACTION_DIR")), source, System.getenv("WEFT_ACTION_MAIN"));
        } catch (Unloadable unloadable) {
            throw refused(unloadable.getMessage());
        } catch (ExceptionInInitializerError failed) {
            throw refused(told(failed.getCause()));
        } catch (Throwable thrown) { // whatever user code throws while it is loaded
            throw refused(told(thrown));
        }
    }

    private String run(Action action, JsonObject call) {
        context = new Context(text(call, "activation_id"), number(call, "deadline"), text(call, "traceparent"), number(call, "remaining_ms"));
        variables.set(call);
        try {
            return judge(action.call(call.get("value"), context));
        } catch (OutOfMemoryError full) {
            // What else is broken now nobody knows: the process ends with the trace as its last words.
            told(full);
            Runtime.getRuntime().halt(1);
            throw full;
        } catch (ClassCastException wrong) {
            if (wrong.getStackTrace().length > 0 && !ours(wrong.getStackTrace()[0])) {
                return raised(wrong);
            }
            return developerError("main takes another sort of argument: " + wrong.getMessage());
        } catch (Throwable thrown) { // whatever user code throws
            return raised(thrown);
        } finally {
            context = null;
        }
    }

    private static String judge(JsonElement value) {
        if (!(value instanceof JsonObject) && !(value instanceof JsonArray)) {
            return developerError("The action did not return a dictionary or array.");
        }
        try {
            return withWholePairs(GSON.toJson(value));
        } catch (IllegalArgumentException | StackOverflowError unfit) {
            var why = unfit instanceof StackOverflowError ? "it is nested too deep, or contains itself" : unfit.getMessage();
            return developerError("The action's result cannot be written as JSON: " + why);
        }
    }

    private static String raised(Throwable thrown) {
        return developerError("An error has occurred while invoking the action (see logs for details): " + told(thrown));
    }

    /** Prints an error with its trace, without frames of ours and those that led to them. */
    private static String told(Throwable thrown) {
        clean(thrown, Collections.newSetFromMap(new IdentityHashMap<>()));
        thrown.printStackTrace();
        return thrown.toString();
    }

    private static void clean(Throwable thrown, Set<Throwable> seen) {
        if (thrown == null || !seen.add(thrown)) {
            return;
        }
        var frames = new ArrayList<StackTraceElement>();
        for (var frame : thrown.getStackTrace()) {
            if (ours(frame)) {
                break;
            }
            frames.add(frame);
        }
        while (!frames.isEmpty() && frames.get(frames.size() - 1).getClassName().matches("java\\.lang\\.(Class|ClassLoader|invoke\\..*)")) {
            frames.remove(frames.size() - 1);
        }
        thrown.setStackTrace(frames.toArray(StackTraceElement[]::new));
        clean(thrown.getCause(), seen);
        for (var suppressed : thrown.getSuppressed()) {
            clean(suppressed, seen);
        }
    }

    private static boolean ours(StackTraceElement frame) {
        return frame.getClassName().equals(Action.class.getName()) || frame.getClassName().equals(Loop.class.getName());
    }

    /** Half of a surrogate pair, for which UTF-8 has no bytes, is escaped. */
    private static String withWholePairs(String json) {
        StringBuilder mended = null;
        var from = 0;
        for (var i = 0; i < json.length(); i++) {
            var c = json.charAt(i);
            if (!Character.isSurrogate(c)) {
                continue;
            }
            if (Character.isHighSurrogate(c) && i + 1 < json.length() && Character.isLowSurrogate(json.charAt(i + 1))) {
                i++;
                continue;
            }
            mended = mended == null ? new StringBuilder(json.length() + 16) : mended;
            mended.append(json, from, i).append(String.format("\\u%04x", (int) c));
            from = i + 1;
        }
        return mended == null ? json : mended.append(json, from, json.length()).toString();
    }

    private static String text(JsonObject call, String name) {
        return call.has(name) ? call.get(name).getAsString() : "";
    }

    private static long number(JsonObject call, String name) {
        return call.has(name) ? call.get(name).getAsLong() : 0;
    }

    private static String developerError(String what) {
        return object("weft_developer_error", what);
    }

    private static String object(String key, String value) {
        var object = new JsonObject();
        object.addProperty(key, value);
        return withWholePairs(GSON.toJson(object));
    }

    /** Ends the process; typed as an error, so that who calls it says that it goes no further. */
    private Error refused(String problem) throws IOException {
        answer(object("error", problem));
        System.exit(0);
        return new Error();
    }

    private void answer(String json) throws IOException {
        System.out.flush();
        System.err.flush();
        answers.write((json + "\n").getBytes(StandardCharsets.UTF_8));
    }
}
