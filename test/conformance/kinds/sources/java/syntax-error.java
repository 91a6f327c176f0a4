import com.google.gson.JsonObject;

public class Action {
    public static JsonObject main(JsonObject params) {
        return params;
    }

    static Object broken = ); // @here
}
