// Media types as far as web actions need them: which bodies are text, and which of them a client accepts.

export interface MediaType {
  /** Lower case. */
  readonly main: string;
  readonly sub: string;
  readonly charset: string | undefined;
  /** As it was written. */
  readonly text: string;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\\\x00-\\x1f]|\\\\[\\t\\x20-\\x7e])*"';
const TYPE = new RegExp(`^(${TOKEN})/(${TOKEN})((?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))*)[ \\t]*;?$`);
/** Longest text that is looked at. */
const LENGTH_MAX = 1_024;

/** @returns undefined when it is no media type */
export function parseMediaType(text: string): MediaType | undefined {
  const trimmed = text.trim();
  if (trimmed.length > LENGTH_MAX) return undefined;
  const match = TYPE.exec(trimmed);
  if (!match) return undefined;
  const [, main = "", sub = "", parameters = ""] = match;
  const charset = /;\s*charset=("?)([^";\s]+)\1/i.exec(parameters)?.[2];
  return { main: main.toLowerCase(), sub: sub.toLowerCase(), charset, text: trimmed };
}

/** Types of `application` that are text. All others are binary, unless they say their charset. */
const TEXT_APPLICATIONS = new Set([
  "atom+xml",
  "base64",
  "ecmascript",
  "graphql",
  "javascript",
  "rdf+xml",
  "rss+xml",
  "soap+xml",
  "x-javascript",
  "x-www-form-urlencoded",
  "xhtml+xml",
  "xml",
  "xml-dtd",
]);
/** Types of JSON that are known by name; the bytes of others are anybody's guess where JSON is not read. */
const KNOWN_JSON = new Set([
  "json",
  "geo+json",
  "hal+json",
  "json-patch+json",
  "ld+json",
  "merge-patch+json",
  "problem+json",
  "vnd.api+json",
]);

export function isJsonFamily({ main, sub }: MediaType): boolean {
  return (main === "application" && sub === "json") || sub.endsWith("+json");
}

/** True for what travels as base64 inside JSON. */
export function isBinary(type: MediaType): boolean {
  const { main, sub, charset } = type;
  if (charset !== undefined || main === "text") return false;
  if (main !== "application") return true;
  return !TEXT_APPLICATIONS.has(sub) && !KNOWN_JSON.has(sub);
}

/** The type as it is sent with text, which is UTF-8 always; JSON needs not say so. */
export function withUtf8(type: MediaType): string {
  if (isJsonFamily(type)) return type.text;
  if (type.charset === undefined) return `${type.text.replace(/\s*;$/, "")}; charset=UTF-8`;
  if (type.charset.toLowerCase() === "utf-8") return type.text;
  return type.text.replace(/(;\s*charset=)(?:"[^"]*"|[^;\s]+)/i, "$1UTF-8");
}

/** False when the Accept header excludes the type. One that cannot be read excludes nothing. */
export function accepts(accept: string | undefined, contentType: string): boolean {
  const type = parseMediaType(contentType);
  if (accept === undefined || accept.trim() === "" || !type) return true;
  let best: { readonly weight: number; readonly exactness: number } | undefined;
  for (const text of accept.split(",")) {
    const range = parseMediaType(text);
    if (!range) {
      if (text.trim() === "") continue;
      return true;
    }
    const exactness = exactnessOf(range, type);
    if (exactness === undefined || (best && best.exactness >= exactness)) continue;
    const q = /;\s*q=([\d.]+)/i.exec(range.text)?.[1];
    best = { weight: q === undefined ? 1 : Number(q), exactness };
  }
  return best !== undefined && best.weight > 0;
}

/** How exactly a range names a type; undefined when it does not. */
function exactnessOf(range: MediaType, type: MediaType): number | undefined {
  if (range.main === "*" && range.sub === "*") return 0;
  if (range.main !== type.main) return undefined;
  if (range.sub === "*") return 1;
  return range.sub === type.sub ? 2 : undefined;
}
