import com.google.gson.JsonObject;

public class Action {
    public static JsonObject another(JsonObject params) {
        return params;
    }
}
