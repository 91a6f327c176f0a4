import com.google.gson.JsonObject;

// weft action create greet runtimes/java/Example.java --main Example && weft action invoke greet -p name Ada -r
public class Example {
    public static JsonObject main(JsonObject args) {
        var result = new JsonObject();
        result.addProperty("greeting", "Hello, " + (args.has("name") ? args.get("name").getAsString() : "stranger") + "!");
        return result;
    }
}
