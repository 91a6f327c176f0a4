/**
 * Besides what JSON asks for, protobuf's C++ writer, which is Envoy's, escapes angle brackets and characters that are
 * not printed. The built-in face does the same, so that the bytes of both are equal.
 */
const ESCAPED_BY_ENVOY =
  /[<>\u007f-\u009f\u00ad\u0600-\u0603\u06dd\u070f\u17b4\u17b5\u200b-\u200f\u2028-\u202e\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/gu;

/** @param json JSON text in which such characters stand inside strings only, as in all JSON */
export function escapeAsEnvoy(json: string): string {
  return json.replace(ESCAPED_BY_ENVOY, (character) => {
    let escaped = "";
    for (let i = 0; i < character.length; i++) {
      escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
    }
    return escaped;
  });
}
