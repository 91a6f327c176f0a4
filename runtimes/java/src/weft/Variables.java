package weft;

import com.google.gson.JsonObject;
import java.util.Locale;
import java.util.Map;

/** The environment of the process, which Java lets nobody change: a run's variables are put where it is kept. */
final class Variables {
    private static final String[] NAMES = {
        "activation_id", "namespace", "action_name", "action_version", "transaction_id", "deadline", "api_key"
    };

    private final Map<String, String> environment;

    Variables() throws ReflectiveOperationException {
        var readable = System.getenv();
        var inside = readable.getClass().getDeclaredField("m");
        inside.setAccessible(true); // the manifest of our jar opens java.util
        @SuppressWarnings("unchecked")
        var writable = (Map<String, String>) inside.get(readable);
        environment = writable;
    }

    void set(JsonObject call) {
        for (var name : NAMES) {
            set("__OW_" + name.toUpperCase(Locale.ROOT), call, name);
        }
        set("WEFT_TRACEPARENT", call, "traceparent");
    }

    private void set(String variable, JsonObject call, String name) {
        var value = call.get(name);
        if (value == null) {
            environment.remove(variable);
        } else {
            environment.put(variable, value.getAsString());
        }
    }
}
