// Asks token providers whether access tokens are good, and remembers what they said.
//
//   T1. A good token is asked for again after TOKEN_KEPT_MS, and never passes after its own end: a token that is revoked
//       passes for so long at most.
//   T2. Calls with the same token at the same time are one question.
//   T3. Only what a provider said is remembered, not that it could not be asked. Who cannot be asked lets nobody in.

import { createHash } from "node:crypto";

import type { Clock } from "../../../base/clock.js";
import { WeftError } from "../../../base/errors.js";
import type { Log } from "../../../base/log.js";
import {
  providerRequest,
  readProviderAnswer,
  type ProviderAnswer,
  type ProviderRequest,
  type TokenInfo,
  type TokenProvider,
  type TokenProviders,
} from "../../../core/api/oauth.js";
import { RecentMap } from "../../recent-map.js";

/** How long what a provider said of a good token holds. */
export const TOKEN_KEPT_MS = 60_000;
/** And of one that is not: it may become good, but who tries in a loop is to cost the provider little. */
export const REFUSED_KEPT_MS = 5_000;
/** Good tokens that are remembered, and others: who sends many of those displaces nobody. */
export const TOKENS_KEPT_MAX = 10_000;
/** Questions to one provider at a time, so that a slow one holds up nobody else's; callers above it may come again. */
export const TOKEN_CHECKS_MAX = 32;
/** Longest a provider may take. */
export const PROVIDER_TIMEOUT_MS = 5_000;
/** Largest answer of a provider. */
export const PROVIDER_ANSWER_BYTES_MAX = 64 * 1024;

/** How a token was checked: from what is remembered, or by a provider that said so or failed. */
export const TOKEN_CHECKS = ["remembered", "good", "refused", "failed"] as const;
export type TokenCheck = (typeof TOKEN_CHECKS)[number];

export interface TokenChecksDeps {
  readonly providers: TokenProviders;
  readonly ask: (request: ProviderRequest) => Promise<ProviderAnswer>;
  readonly checked: (how: TokenCheck) => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Said {
  /** undefined: not good. */
  readonly info: TokenInfo | undefined;
  readonly untilMonoMs: number;
}

export class TokenChecks {
  readonly #good = new RecentMap<string, Said>(TOKENS_KEPT_MAX);
  readonly #refused = new RecentMap<string, Said>(TOKENS_KEPT_MAX);
  readonly #asked = new Map<string, Promise<TokenInfo | undefined>>();
  readonly #questions = new Map<string, number>();

  constructor(private readonly deps: TokenChecksDeps) {}

  /**
   * @param appToken see APP_TOKEN_HEADER
   * @returns undefined when the token is not good
   * @throws unavailable TOKEN_PROVIDER_FAILED, or NO_TOKEN_PROVIDER: controllers know it, this gateway does not; noCapacity
   *   TOO_MANY_TOKEN_CHECKS
   */
  check(name: string, token: string, appToken: string): TokenInfo | undefined | Promise<TokenInfo | undefined> {
    const provider = this.deps.providers.get(name);
    if (!provider) {
      throw new WeftError("unavailable", "NO_TOKEN_PROVIDER", `this gateway knows no token provider "${name}"`, {
        fix: "give gateways the same file tokenProviders that controllers have",
      });
    }
    const own = provider.type === "facebook" ? appToken : "";
    // Hashed: what is remembered is of no use to who reads the memory.
    const key = createHash("sha256")
      .update(JSON.stringify([name, token, own]))
      .digest("base64");
    const now = this.deps.clock.monoMs();
    for (const kept of [this.#good, this.#refused]) {
      const said = kept.get(key);
      if (said === undefined || said.untilMonoMs <= now) continue;
      this.deps.checked("remembered");
      return said.info;
    }
    const other = this.#asked.get(key); // T2
    if (other) return other;
    const questions = this.#questions.get(name) ?? 0;
    if (questions >= TOKEN_CHECKS_MAX) {
      throw new WeftError(
        "noCapacity",
        "TOO_MANY_TOKEN_CHECKS",
        `too many tokens of ${name} are checked at the moment`,
        {
          retryAfterMs: 1_000,
        },
      );
    }
    this.#questions.set(name, questions + 1);
    const asking = this.#ask(provider, key, token, own).finally(() => {
      this.#asked.delete(key);
      this.#questions.set(name, (this.#questions.get(name) ?? 1) - 1);
    });
    this.#asked.set(key, asking);
    return asking;
  }

  /** Whether its tokens are checked together with a token of the application. */
  needsAppToken(name: string): boolean {
    return this.deps.providers.get(name)?.type === "facebook";
  }

  async #ask(provider: TokenProvider, key: string, token: string, appToken: string): Promise<TokenInfo | undefined> {
    const { ask, checked, clock, log } = this.deps;
    let info: TokenInfo | undefined;
    try {
      info = readProviderAnswer(provider, await ask(providerRequest(provider, token, appToken)), clock.wallMs());
    } catch (thrown) {
      checked("failed");
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      log.warn("a token provider could not be asked", { provider: provider.name, why });
      throw new WeftError(
        "unavailable",
        "TOKEN_PROVIDER_FAILED",
        `the token provider "${provider.name}" could not be asked`,
      );
    }
    checked(info ? "good" : "refused");
    const leftMs = info?.expiresWallMs === undefined ? TOKEN_KEPT_MS : info.expiresWallMs - clock.wallMs();
    const keptMs = info ? Math.min(leftMs, TOKEN_KEPT_MS) : REFUSED_KEPT_MS; // T1
    (info ? this.#good : this.#refused).set(key, { info, untilMonoMs: clock.monoMs() + keptMs }); // T3
    return info;
  }
}

/**
 * Asks over HTTP. Redirects are errors: the token goes to nobody but the provider.
 * @throws Error without the URL, which may hold the token
 */
export async function askProvider({ url, method, headers, body }: ProviderRequest): Promise<ProviderAnswer> {
  const signal = AbortSignal.timeout(PROVIDER_TIMEOUT_MS);
  const sent = body === "" ? {} : { body };
  let answer: Response;
  try {
    answer = await fetch(url, { method, headers, redirect: "error", signal, ...sent });
  } catch (thrown) {
    throw new Error(causeOf(thrown), { cause: thrown });
  }
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body ?? []) {
    const piece = part as Uint8Array;
    bytes += piece.length;
    if (bytes > PROVIDER_ANSWER_BYTES_MAX) throw new Error(`it answered more than ${PROVIDER_ANSWER_BYTES_MAX} bytes`);
    parts.push(piece);
  }
  return { status: answer.status, headers: new Map(answer.headers), body: Buffer.concat(parts).toString("utf8") };
}

/** fetch says "fetch failed" and hides why in the cause. */
function causeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown.name === "TimeoutError") return `it did not answer within ${PROVIDER_TIMEOUT_MS} ms`;
  return thrown.cause instanceof Error ? thrown.cause.message || String(thrown.cause) : thrown.message;
}
