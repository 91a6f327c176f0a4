import { describe, expect, it } from "vitest";
import {
  checkProviders,
  parseTokenProviders,
  providerRequest,
  readProviderAnswer,
  type ProviderAnswer,
  type ProviderType,
  type TokenProvider,
} from "./oauth.js";

const NOW = 1_800_000_000_000;
const URL_TEXT = "https://auth.example/introspect";

const only = (json: object): TokenProvider | undefined => parseTokenProviders(JSON.stringify(json)).get("p");
const provider = (type: ProviderType, more: Partial<TokenProvider> = {}): TokenProvider => ({
  name: "p",
  type,
  url: URL_TEXT,
  client: undefined,
  audience: undefined,
  ...more,
});
const answer = (status: number, body: object | string, headers: Record<string, string> = {}): ProviderAnswer => ({
  status,
  headers: new Map(Object.entries(headers)),
  body: typeof body === "string" ? body : JSON.stringify(body),
});

describe("the file of token providers", () => {
  it("adds to those that are built in, changes them, and takes them away", () => {
    const json = JSON.stringify({ p: { url: URL_TEXT }, google: { audience: "me" }, github: null });
    const providers = parseTokenProviders(json);
    expect([...parseTokenProviders(undefined).keys()]).toEqual(["google", "github", "facebook"]);
    expect([...providers.keys()].sort()).toEqual(["facebook", "google", "p"]);
    expect(providers.get("p")).toEqual(provider("introspection"));
    expect(providers.get("google")).toMatchObject({
      type: "google",
      audience: "me",
      url: "https://www.googleapis.com/oauth2/v3/tokeninfo",
    });
  });

  it.each<[string, object | string, string]>([
    ["no JSON", "{", "not JSON"],
    ["a list", [], "must be an object"],
    ["a name that no definition can have", { "a b": { url: URL_TEXT } }, "a name has"],
    ["a provider that is a text", { p: URL_TEXT }, "tokenProviders.p: must be an object"],
    ["another type", { p: { type: "saml", url: URL_TEXT } }, "tokenProviders.p.type"],
    ["no address", { p: {} }, "tokenProviders.p.url"],
    ["an address without TLS", { p: { url: "http://auth.example/" } }, "https"],
    ["an address with a user", { p: { url: "https://u:p@auth.example/" } }, "https"],
    ["a client without a secret", { p: { url: URL_TEXT, clientId: "c" } }, "together with clientSecret"],
    ["a client of another type", { p: { type: "github", clientId: "c", clientSecret: "s" } }, "introspection"],
    ["whom GitHub's tokens are for", { github: { audience: "me" } }, "audience"],
    ["a field that is none", { p: { url: URL_TEXT, secret: "s" } }, "tokenProviders.p.secret"],
  ])("with %s is refused", (_, json, why) => {
    expect(() => parseTokenProviders(typeof json === "string" ? json : JSON.stringify(json))).toThrow(why);
  });

  it("may lead to this machine without TLS", () => {
    for (const host of ["127.0.0.1:8080", "localhost", "[::1]:9"]) {
      expect(only({ p: { url: `http://${host}/x` } })?.url).toBe(`http://${host}/x`);
    }
  });

  it("is what documents are held to", () => {
    expect(() => checkProviders(["a", "b"], new Set(["b", "a"]))).not.toThrow();
    expect(() => checkProviders(["b", "c"], new Set(["b", "a"]))).toThrow("securityDefinitions.c: no token provider");
    expect(() => checkProviders(["c"], new Set(["b", "a"]))).toThrow("there are: a, b.");
  });
});

describe("what a provider is asked", () => {
  it("is RFC 7662, with the client's proof encoded as RFC 6749 says", () => {
    const asked = providerRequest(provider("introspection", { client: { id: "a:b", secret: "s %" } }), "t+/=", "");
    expect(asked).toMatchObject({
      method: "POST",
      url: URL_TEXT,
      body: "token=t%2B%2F%3D&token_type_hint=access_token",
    });
    const proof = asked.headers["authorization"]?.slice("Basic ".length) ?? "";
    expect(Buffer.from(proof, "base64").toString()).toBe("a%3Ab:s+%25");
    expect(providerRequest(provider("introspection"), "t", "").headers).not.toHaveProperty("authorization");
  });

  it.each<[ProviderType, string, string | undefined]>([
    ["google", `${URL_TEXT}?access_token=t%26`, undefined],
    ["github", URL_TEXT, "Bearer t&"],
    ["facebook", `${URL_TEXT}?input_token=t%26&access_token=app`, undefined],
  ])("%s in its own way", (type, url, authorization) => {
    const asked = providerRequest(provider(type), "t&", "app");
    expect([asked.method, asked.url, asked.headers["authorization"], asked.body]).toEqual([
      "GET",
      url,
      authorization,
      "",
    ]);
  });
});

describe("what a provider says", () => {
  const info = { subject: "", email: "", scopes: [], expiresWallMs: undefined };

  it.each<[string, TokenProvider, ProviderAnswer, object | undefined]>([
    ["active", provider("introspection"), answer(200, { active: true }), info],
    [
      "active, with all that is known",
      provider("introspection"),
      answer(200, { active: true, sub: "u", email: "u@x", scope: "read  write", exp: NOW / 1_000 + 60 }),
      { subject: "u", email: "u@x", scopes: ["read", "write"], expiresWallMs: NOW + 60_000 },
    ],
    ["not active", provider("introspection"), answer(200, { active: false, sub: "u" }), undefined],
    ["over", provider("introspection"), answer(200, { active: true, exp: NOW / 1_000 }), undefined],
    ["for us", provider("introspection", { audience: "me" }), answer(200, { active: true, aud: ["x", "me"] }), info],
    ["for another", provider("introspection", { audience: "me" }), answer(200, { active: true, aud: "x" }), undefined],
    ["for nobody", provider("introspection", { audience: "me" }), answer(200, { active: true }), undefined],
    [
      "subjects that no header can carry are left out",
      provider("introspection"),
      answer(200, { active: true, sub: "a\r\nX: y", email: "\u00e9" }),
      info,
    ],
    [
      "google's",
      provider("google"),
      answer(200, { sub: "1", email: "e@x", scope: "openid email", expires_in: "30", aud: "a" }),
      { subject: "1", email: "e@x", scopes: ["openid", "email"], expiresWallMs: NOW + 30_000 },
    ],
    ["google's refusal", provider("google"), answer(400, { error_description: "Invalid Value" }), undefined],
    ["google's for another", provider("google", { audience: "me" }), answer(200, { sub: "1", aud: "a" }), undefined],
    [
      "github's",
      provider("github"),
      answer(200, { id: 7, email: null }, { "x-oauth-scopes": "repo, user" }),
      { ...info, subject: "7", scopes: ["repo", "user"] },
    ],
    ["github's refusal", provider("github"), answer(401, { message: "Bad credentials" }), undefined],
    [
      "facebook's",
      provider("facebook", { audience: "9" }),
      answer(200, { data: { is_valid: true, app_id: "9", user_id: "3", scopes: ["email"], expires_at: 0 } }),
      { ...info, subject: "3", scopes: ["email"] },
    ],
    [
      "facebook's that is over",
      provider("facebook"),
      answer(200, { data: { is_valid: true, expires_at: NOW / 1_000 } }),
      undefined,
    ],
    ["facebook's refusal", provider("facebook"), answer(200, { data: { is_valid: false } }), undefined],
    [
      "facebook's for another",
      provider("facebook", { audience: "9" }),
      answer(200, { data: { is_valid: true } }),
      undefined,
    ],
  ])("%s", (_, from, said, expected) => {
    expect(readProviderAnswer(from, said, NOW)).toEqual(expected);
  });

  it.each<[string, ProviderType, ProviderAnswer]>([
    ["the gateway's own client is refused", "introspection", answer(401, {})],
    ["it is over its own limit", "github", answer(403, {})],
    ["it fails", "google", answer(500, "")],
    ["it answers with a page", "introspection", answer(200, "<html>")],
    ["it answers with a list", "introspection", answer(200, [])],
    ["it does not say whether", "introspection", answer(200, { sub: "u" })],
    ["it says so as a text", "introspection", answer(200, { active: "true" })],
  ])("says nothing of the token when %s", (_, type, said) => {
    expect(() => readProviderAnswer(provider(type), said, NOW)).toThrow("it answered");
  });
});
