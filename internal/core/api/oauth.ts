// Who says whether an OAuth 2.0 access token is good: the token providers that an operator names, and what is said to them.
//
// A document names a provider by the name of its security definition, as OpenWhisk's gateway has it, and never an address: what
// gateways call is the operator's affair.

import { invalidField } from "../../base/errors.js";
import { isObject, member, type Json } from "./json.js";

/** How a provider is asked: by RFC 7662, or in its own way. */
export const PROVIDER_TYPES = ["introspection", "google", "github", "facebook"] as const;
export type ProviderType = (typeof PROVIDER_TYPES)[number];

export interface TokenProvider {
  readonly name: string;
  readonly type: ProviderType;
  readonly url: string;
  /** What a gateway proves itself with, RFC 6749 section 2.3.1; only for "introspection". */
  readonly client: { readonly id: string; readonly secret: string } | undefined;
  /** Whom a token must be made for (`aud`; Facebook's `app_id`). Without it tokens that other applications got are good too. */
  readonly audience: string | undefined;
}

export type TokenProviders = ReadonlyMap<string, TokenProvider>;

/** What is known of a good token. */
export interface TokenInfo {
  /** "" when the provider does not say. */
  readonly subject: string;
  readonly email: string;
  readonly scopes: readonly string[];
  /** undefined when it has no end, or nobody says. */
  readonly expiresWallMs: number | undefined;
}

export interface ProviderRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ProviderAnswer {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Longest token that is taken, characters: JSON Web Tokens of 4 KiB are seen, and headers have a bound. */
export const TOKEN_LENGTH_MAX = 8_192;
/** What Facebook wants besides the token: the application's own, from a header of the caller's. */
export const APP_TOKEN_HEADER = "x-facebook-app-token";

/** Those of OpenWhisk's gateway that need no account there. */
const BUILT_IN: readonly TokenProvider[] = (
  [
    ["google", "https://www.googleapis.com/oauth2/v3/tokeninfo"],
    ["github", "https://api.github.com/user"],
    ["facebook", "https://graph.facebook.com/debug_token"],
  ] as const
).map(([type, url]) => ({ name: type, type, url, client: undefined, audience: undefined }));

const NAME = /^[\w.@-]{1,128}$/;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * @param json of the operator's file: an object of providers by name, each `{type, url, clientId, clientSecret, audience}`, or null for one that is
 *   built in and shall not be; undefined for those that are built in
 * @throws invalidArgument naming the provider and field
 */
export function parseTokenProviders(json: string | undefined): TokenProviders {
  const providers = new Map(BUILT_IN.map((provider) => [provider.name, provider]));
  if (json === undefined) return providers;
  let parsed: Json;
  try {
    parsed = JSON.parse(json) as Json;
  } catch {
    throw invalidField("tokenProviders", "the file is not JSON");
  }
  if (!isObject(parsed)) throw invalidField("tokenProviders", "must be an object of providers by name");
  for (const [name, given] of Object.entries(parsed)) {
    if (given === null) providers.delete(name);
    else providers.set(name, providerOf(name, given));
  }
  return providers;
}

/** @throws invalidArgument naming the first provider that nobody here knows */
export function checkProviders(asked: Iterable<string>, known: ReadonlySet<string>): void {
  for (const name of asked) {
    if (known.has(name)) continue;
    const names = [...known].sort().join(", ") || "none";
    throw invalidField(
      `securityDefinitions.${name}`,
      `no token provider has this name; there are: ${names}. An operator adds one in the file of the setting tokenProviders`,
    );
  }
}

/** What to ask a provider. @param appToken of the caller's APP_TOKEN_HEADER, "" without one; only for Facebook */
export function providerRequest(provider: TokenProvider, token: string, appToken: string): ProviderRequest {
  const { type, url, client } = provider;
  const accept = { accept: "application/json", "user-agent": "weft" };
  switch (type) {
    case "introspection": {
      const proof = client && Buffer.from(`${formEncoded(client.id)}:${formEncoded(client.secret)}`).toString("base64");
      return {
        method: "POST",
        url,
        headers: {
          ...accept,
          "content-type": "application/x-www-form-urlencoded",
          ...(proof === undefined ? {} : { authorization: `Basic ${proof}` }),
        },
        body: new URLSearchParams({ token, token_type_hint: "access_token" }).toString(),
      };
    }
    case "google":
      return { method: "GET", url: withQuery(url, { access_token: token }), headers: accept, body: "" };
    case "github":
      return { method: "GET", url, headers: { ...accept, authorization: `Bearer ${token}` }, body: "" };
    case "facebook":
      return {
        method: "GET",
        url: withQuery(url, { input_token: token, access_token: appToken }),
        headers: accept,
        body: "",
      };
  }
}

/**
 * What a provider's answer says of the token.
 * @returns undefined when the token is not good
 * @throws Error when the answer says nothing about it: the provider fails, or does not know this gateway
 */
export function readProviderAnswer(
  provider: Pick<TokenProvider, "type" | "audience">,
  answer: ProviderAnswer,
  wallMs: number,
): TokenInfo | undefined {
  const info = infoIn(provider, answer, wallMs);
  return info?.expiresWallMs !== undefined && info.expiresWallMs <= wallMs ? undefined : info;
}

function infoIn(
  { type, audience }: Pick<TokenProvider, "type" | "audience">,
  { status, headers, body }: ProviderAnswer,
  wallMs: number,
): TokenInfo | undefined {
  const refused: Readonly<Record<ProviderType, readonly number[]>> = {
    introspection: [],
    google: [400],
    github: [401],
    facebook: [400],
  };
  if (refused[type].includes(status)) return undefined;
  if (status !== 200) throw new Error(`it answered with status ${status}`);
  const said = objectIn(body);
  switch (type) {
    case "introspection": {
      const active = member(said, "active");
      if (typeof active !== "boolean") throw new Error('it answered without "active"');
      if (!active || !isFor(audience, member(said, "aud"))) return undefined;
      return infoOf(said, "sub", "exp");
    }
    case "google": {
      const left = Number(member(said, "expires_in"));
      if (member(said, "error") !== undefined || member(said, "error_description") !== undefined) return undefined;
      if (!isFor(audience, member(said, "aud"))) return undefined;
      return { ...infoOf(said, "sub", ""), expiresWallMs: left > 0 ? wallMs + left * 1_000 : undefined };
    }
    case "github": {
      if (member(said, "id") === undefined) return undefined;
      return { ...infoOf(said, "id", ""), scopes: words(headers.get("x-oauth-scopes") ?? "") };
    }
    case "facebook": {
      const data = member(said, "data");
      if (member(data, "is_valid") !== true || !isFor(audience, member(data, "app_id"))) return undefined;
      return infoOf(data, "user_id", "expires_at");
    }
  }
}

function providerOf(name: string, given: Json): TokenProvider {
  const at = (field: string): string => `tokenProviders.${name}${field}`;
  if (!NAME.test(name)) throw invalidField(at(""), 'a name has letters, digits, "_", "-", "." and "@"');
  if (!isObject(given)) throw invalidField(at(""), "must be an object, or null");
  const builtIn = BUILT_IN.find((one) => one.name === name);
  const type = member(given, "type") ?? builtIn?.type ?? "introspection";
  if (!PROVIDER_TYPES.some((one) => one === type)) {
    throw invalidField(at(".type"), `must be one of ${PROVIDER_TYPES.join(", ")}`);
  }
  const url = member(given, "url") ?? BUILT_IN.find((one) => one.type === type)?.url;
  if (typeof url !== "string" || !isSafeUrl(url)) {
    throw invalidField(at(".url"), "must be an https URL without user or fragment; http only to this machine itself");
  }
  const [id, secret] = [member(given, "clientId"), member(given, "clientSecret")];
  if ((id === undefined) !== (secret === undefined) || (id !== undefined && typeof id !== "string")) {
    throw invalidField(at(".clientId"), "must be a text, together with clientSecret");
  }
  if (secret !== undefined && typeof secret !== "string") throw invalidField(at(".clientSecret"), "must be a text");
  const client = typeof id === "string" && typeof secret === "string" ? { id, secret } : undefined;
  if (client && type !== "introspection") throw invalidField(at(".clientId"), "is for providers of type introspection");
  const audience = member(given, "audience");
  if (audience !== undefined && (typeof audience !== "string" || type === "github")) {
    throw invalidField(at(".audience"), "must be a text, and GitHub does not say whom a token is for");
  }
  const unknown = Object.keys(given).find(
    (one) => !["type", "url", "clientId", "clientSecret", "audience"].includes(one),
  );
  if (unknown !== undefined) throw invalidField(at(`.${unknown}`), "is no field of a provider");
  return { name, type: type as ProviderType, url, client, audience };
}

function isFor(audience: string | undefined, said: Json | undefined): boolean {
  return audience === undefined || (Array.isArray(said) ? said : [said]).includes(audience);
}

/** The token, and the client's secret, go there. */
function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username !== "" || url.password !== "" || url.hash !== "") return false;
  return url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.has(url.hostname));
}

function withQuery(url: string, more: Readonly<Record<string, string>>): string {
  const whole = new URL(url);
  for (const [name, value] of Object.entries(more)) whole.searchParams.set(name, value);
  return whole.href;
}

/** application/x-www-form-urlencoded, one value. */
function formEncoded(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1);
}

function infoOf(said: Json | undefined, subject: string, expires: string): TokenInfo {
  const seconds = expires === "" ? NaN : Number(member(said, expires));
  return {
    subject: textOf(member(said, subject)),
    email: textOf(member(said, "email")),
    scopes: words(member(said, "scope") ?? member(said, "scopes")),
    // Facebook says 0 of tokens without an end.
    expiresWallMs: seconds > 0 ? seconds * 1_000 : undefined,
  };
}

/** Scopes are words with spaces between, with commas, or a list. */
function words(said: Json | undefined): readonly string[] {
  if (Array.isArray(said)) return said.filter((one): one is string => typeof one === "string");
  return typeof said === "string" ? said.split(/[\s,]+/).filter((word) => word !== "") : [];
}

/** What a header of a request can carry, else "". */
function textOf(said: Json | undefined): string {
  const text = typeof said === "number" ? String(said) : said;
  return typeof text === "string" && /^[\x21-\x7e]([\x20-\x7e]{0,510}[\x21-\x7e])?$/.test(text) ? text : "";
}

function objectIn(body: string): Json {
  let said: Json;
  try {
    said = JSON.parse(body) as Json;
  } catch {
    throw new Error("it answered with what is no JSON");
  }
  if (!isObject(said)) throw new Error("it answered with what is no JSON object");
  return said;
}
