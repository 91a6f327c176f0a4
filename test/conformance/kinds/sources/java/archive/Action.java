import beside.Beside;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import text.deep.Nested;

public class Action {
    public static JsonObject main(JsonObject params) {
        var from = new JsonArray();
        from.add(Nested.NESTED);
        from.add(Beside.text());
        var result = new JsonObject();
        result.add("from", from);
        return result;
    }
}
