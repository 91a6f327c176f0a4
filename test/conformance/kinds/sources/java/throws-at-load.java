import com.google.gson.JsonObject;

public class Action {
    static JsonObject prepare() {
        throw new IllegalStateException("no luck"); // @here
    }

    static final JsonObject PREPARED = prepare();

    public static JsonObject main(JsonObject params) {
        return PREPARED;
    }
}
