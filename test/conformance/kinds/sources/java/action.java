// What an action of this language can be asked to do. ../../README.md says what each act is.

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import weft.Context;

public class Action {
    static final Path LEFT_FILE = Path.of("/tmp", "left-behind");

    static JsonObject fails() {
        throw new IllegalStateException("no luck"); // @throw
    }

    static JsonObject circle() {
        var a = new JsonObject();
        a.add("a", a);
        return a;
    }

    static JsonArray array() {
        var three = new JsonObject();
        three.addProperty("three", 3);
        var list = new JsonArray();
        list.add(1);
        list.add("two");
        list.add(three);
        return list;
    }

    static JsonObject leaves(int code) {
        System.out.println("last words");
        System.exit(code);
        return null;
    }

    static JsonObject hang() throws InterruptedException {
        System.out.println("still here");
        while (true) {
            Thread.sleep(1_000);
        }
    }

    static JsonObject eat() {
        System.out.println("hungry");
        var all = new ArrayList<byte[]>();
        while (true) {
            all.add(new byte[8 * 1024 * 1024]);
        }
    }

    static JsonObject shell(String command) throws IOException, InterruptedException {
        var builder = new ProcessBuilder("sh", "-c", command).redirectInput(Path.of("/dev/null").toFile());
        var process = builder.redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        var stderr = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        var result = new JsonObject();
        result.addProperty("code", process.waitFor());
        result.addProperty("stderr", stderr);
        return result;
    }

    static JsonObject prints(String line, int lines) {
        for (var i = 0; i < lines; i++) {
            System.out.println(line);
        }
        return new JsonObject();
    }

    static JsonObject streams() {
        System.out.println("out 1");
        System.err.println("err 1");
        System.out.println("out 2");
        System.err.println("err 2");
        System.out.print("out 3");
        return new JsonObject();
    }

    static JsonObject bytes(String base64) throws IOException {
        System.out.write(new byte[] {'A', (byte) 0xff, (byte) 0xfe, 'B', '\n'});
        var bytes = Base64.getDecoder().decode(base64);
        var reversed = new byte[bytes.length];
        for (var i = 0; i < bytes.length; i++) {
            reversed[i] = bytes[bytes.length - 1 - i];
        }
        return with("base64", new JsonPrimitive(Base64.getEncoder().encodeToString(reversed)));
    }

    static JsonObject environment(JsonObject params) {
        var env = new JsonObject();
        System.getenv().forEach(env::addProperty);
        var result = with("env", env);
        result.add("params", params);
        return result;
    }

    static JsonObject pause(int milliseconds) throws InterruptedException {
        Thread.sleep(milliseconds);
        return with("waited", new JsonPrimitive(milliseconds));
    }

    static JsonObject untilCancelled(Context context) throws InterruptedException {
        System.out.println("waiting");
        return with("cancelled", new JsonPrimitive(context.awaitCancellation(Duration.ofSeconds(60))));
    }

    static JsonObject leave() throws IOException {
        System.setProperty("LEFT_BEHIND", "yes");
        Files.writeString(LEFT_FILE, "left");
        System.out.println("left");
        return new JsonObject();
    }

    static JsonObject look() {
        var result = with("leftBehind", text(System.getProperty("LEFT_BEHIND")));
        result.addProperty("file", Files.exists(LEFT_FILE));
        result.addProperty("activationId", System.getenv("__OW_ACTIVATION_ID"));
        result.add("apiKey", text(System.getenv("__OW_API_KEY")));
        return result;
    }

    static JsonObject late() {
        new Thread(() -> {
            try {
                Thread.sleep(200);
            } catch (InterruptedException stopped) {
                return;
            }
            System.out.println("late");
        }).start();
        return new JsonObject();
    }

    static JsonElement text(String text) {
        return text == null ? JsonNull.INSTANCE : new JsonPrimitive(text);
    }

    static JsonObject with(String key, JsonElement value) {
        var result = new JsonObject();
        result.add(key, value);
        return result;
    }

    public static JsonElement main(JsonObject params, Context context) throws IOException, InterruptedException {
        return switch (params.get("act").getAsString()) {
            case "echo" -> params;
            case "throw" -> fails();
            case "text" -> new JsonPrimitive("text");
            case "circle" -> circle();
            case "nothing" -> null;
            case "array" -> array();
            case "exit" -> leaves(params.get("code").getAsInt());
            case "hang" -> hang();
            case "eat" -> eat();
            case "shell" -> shell(params.get("command").getAsString());
            case "print" -> prints(params.get("line").getAsString(), params.get("lines").getAsInt());
            case "streams" -> streams();
            case "bytes" -> bytes(params.get("base64").getAsString());
            case "environment" -> environment(params);
            case "wait" -> pause(params.get("ms").getAsInt());
            case "until-cancelled" -> untilCancelled(context);
            case "remaining" -> with("remainingMs", new JsonPrimitive(context.remainingMillis()));
            case "fill" -> with("x", new JsonPrimitive("x".repeat(params.get("chars").getAsInt())));
            case "leave" -> leave();
            case "look" -> look();
            case "late" -> late();
            default -> throw new IllegalArgumentException("no such act");
        };
    }

    public static JsonObject other(JsonObject params) {
        return with("other", new JsonPrimitive(true));
    }
}
