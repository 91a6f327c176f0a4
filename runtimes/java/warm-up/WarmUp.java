import com.google.gson.JsonArray;
import com.google.gson.JsonObject;

/** Uses what most actions use, so that its classes are in the archive of the image. */
public class WarmUp {
    public static JsonObject main(JsonObject args, weft.Context context) {
        var list = new JsonArray();
        args.entrySet().forEach(entry -> list.add(entry.getKey() + "=" + entry.getValue()));
        if (!args.has("text")) {
            throw new IllegalArgumentException("no text");
        }
        System.out.printf("%s after %d ms%n", String.join(", ", "a", "b"), context.remainingMillis());
        var result = new JsonObject();
        result.add("list", list);
        result.addProperty("length", args.get("text").getAsString().length());
        result.addProperty("cancelled", context.cancelled());
        return result;
    }
}
