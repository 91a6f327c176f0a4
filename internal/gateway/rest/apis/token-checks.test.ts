import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../../../test/harness/clock.js";
import { silentLog } from "../../../base/log.js";
import { parseTokenProviders, type ProviderAnswer, type TokenInfo } from "../../../core/api/oauth.js";
import {
  askProvider,
  PROVIDER_ANSWER_BYTES_MAX,
  REFUSED_KEPT_MS,
  TOKEN_CHECKS_MAX,
  TOKEN_KEPT_MS,
  TokenChecks,
  type TokenCheck,
} from "./token-checks.js";

const providers = parseTokenProviders(JSON.stringify({ p: { url: "https://auth.example/" } }));
const said = (body: object): ProviderAnswer => ({ status: 200, headers: new Map(), body: JSON.stringify(body) });

function checking(answer: () => Promise<ProviderAnswer>): {
  readonly clock: ManualClock;
  readonly counts: TokenCheck[];
  readonly asked: () => number;
  readonly check: (token?: string, name?: string) => Promise<TokenInfo | undefined>;
} {
  const clock = new ManualClock();
  const counts: TokenCheck[] = [];
  let asked = 0;
  const checks = new TokenChecks({
    providers,
    ask: () => {
      asked += 1;
      return answer();
    },
    checked: (how) => counts.push(how),
    clock,
    log: silentLog,
  });
  return { clock, counts, asked: () => asked, check: async (token = "t", name = "p") => checks.check(name, token, "") };
}

describe("the checks of tokens", () => {
  it("ask once for the same token at the same time, and again when what was said is old", async () => {
    const { check, clock, counts, asked } = checking(() => Promise.resolve(said({ active: true, sub: "u" })));
    const both = await Promise.all([check(), check()]);
    expect(both.map((info) => info?.subject)).toEqual(["u", "u"]);
    await check();
    expect([asked(), counts]).toEqual([1, ["good", "remembered"]]);
    await check("other");
    clock.advance(TOKEN_KEPT_MS + 1);
    await check();
    expect(asked()).toBe(3);
  });

  it("let no token pass after its end, whatever is remembered", async () => {
    const exp = (): number => clock.wallMs() / 1_000 + 10;
    const { check, clock, asked } = checking(() => Promise.resolve(said({ active: true, exp: exp() })));
    await check();
    clock.advance(9_000);
    await check();
    expect(asked()).toBe(1);
    clock.advance(1_001);
    await check();
    expect(asked()).toBe(2);
  });

  it("remember refusals for a short time, and failures not at all", async () => {
    let answer = (): Promise<ProviderAnswer> => Promise.reject(new Error("connection refused"));
    const { check, clock, counts, asked } = checking(() => answer());
    await expect(check()).rejects.toMatchObject({ kind: "unavailable", reason: "TOKEN_PROVIDER_FAILED" });
    answer = () => Promise.resolve(said({ active: false }));
    expect([await check(), await check()]).toEqual([undefined, undefined]);
    clock.advance(REFUSED_KEPT_MS + 1);
    answer = () => Promise.resolve(said({ active: true }));
    expect(await check()).toBeDefined();
    expect([asked(), counts]).toEqual([3, ["failed", "refused", "remembered", "good"]]);
  });

  it("refuse more questions at a time than there may be, and providers that nobody named", async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { check } = checking(async () => {
      await gate;
      return said({ active: true });
    });
    const waiting = Array.from({ length: TOKEN_CHECKS_MAX }, (_, i) => check(`t${i}`));
    await expect(check("one more")).rejects.toMatchObject({ kind: "noCapacity", reason: "TOO_MANY_TOKEN_CHECKS" });
    const elsewhere = check("t", "github");
    release();
    await Promise.all(waiting);
    await expect(elsewhere).resolves.toBeUndefined();
    expect(await check("one more")).toBeDefined();
    await expect(check("t", "nosuch")).rejects.toMatchObject({ reason: "NO_TOKEN_PROVIDER" });
  });
});

describe("asking a provider over HTTP", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());
  const serving = async (status: number, headers: Record<string, string>, body: string): Promise<string> => {
    server = createServer((request, response) => {
      request.resume().once("end", () => response.writeHead(status, headers).end(body));
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  };
  const post = (url: string): Promise<ProviderAnswer> =>
    askProvider({ method: "POST", url, headers: { accept: "application/json" }, body: "token=t" });

  it("gives status, headers and body", async () => {
    const answer = await post(await serving(200, { "X-OAuth-Scopes": "a" }, "{}"));
    expect([answer.status, answer.headers.get("x-oauth-scopes"), answer.body]).toEqual([200, "a", "{}"]);
  });

  it("follows nobody elsewhere, reads no more than it may, and says why without the address", async () => {
    await expect(post(await serving(307, { Location: "http://127.0.0.1:1/" }, ""))).rejects.toThrow(/redirect/);
    server?.close();
    await expect(post(await serving(200, {}, "x".repeat(PROVIDER_ANSWER_BYTES_MAX + 1)))).rejects.toThrow("more than");
    const closed = await serving(200, {}, "");
    server?.close();
    const failure = await post(`${closed}?access_token=secret`).catch(String);
    expect(failure).toContain("ECONNREFUSED");
    expect(failure).not.toContain("secret");
  });
});
