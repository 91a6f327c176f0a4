// What sandboxes load. A revision never changes, so that what was fetched once is good for ever: the last ones stay in
// memory, and code stays on disk under its digest, over restarts of the invoker.
//
//   C1. Code is handed out only when its SHA-256 is the one that the revision names.
//   C2. However many sandboxes want a revision at once, it is fetched once.
//   C3. A sandbox waits for what it loads, not for the disk that keeps it for later: that is written beside, one after the
//       other, until `close` resolves.

import { createHash } from "node:crypto";
import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { FetchRevisionResponse, RevisionSpec } from "../gen/weft/link/v1/control.pb.js";
import type { CodeStore } from "./code-store.js";
import type { InvokerMetrics } from "./metrics.js";

/** Asks controllers for revisions. */
export interface CodeSource {
  /**
   * The description first, then the code in pieces. The caller may stop reading.
   * @throws notFound when the revision is gone, unavailable when nobody answers
   */
  fetch(
    actionKey: string,
    revisionId: string,
    withoutCode: boolean,
    signal: AbortSignal,
  ): AsyncIterable<FetchRevisionResponse>;
}

export interface LoadableRevision {
  readonly spec: RevisionSpec;
  readonly code: Uint8Array;
}

export interface CodeCacheDeps {
  readonly source: CodeSource;
  readonly store: CodeStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: InvokerMetrics;
  /** Bytes of code kept in memory. */
  readonly memoryBytes: number;
  /** How long controllers that do not answer are asked again. */
  readonly patienceMs: number;
}

/** Largest code, with room for a later limit: a controller that sends more is wrong. */
const CODE_BYTES_MAX = 64 * 1024 * 1024;
/** Code up to this size comes right behind its description: waiting for it takes less than reading a file. */
const CODE_BYTES_AT_HAND = 64 * 1024;
/** Code that may wait to be written, revisions and bytes: what is above is fetched again in the next life. */
const UNWRITTEN_MAX = 256;
const UNWRITTEN_BYTES_MAX = 128 * 1024 * 1024;

export class CodeCache {
  /** Least recently used first. */
  readonly #kept = new Map<string, LoadableRevision>();
  readonly #loading = new Map<string, Promise<LoadableRevision>>();
  readonly #closing = new AbortController();
  #keptBytes = 0;
  /** C3 */
  #writing = Promise.resolve();
  #unwritten = 0;
  #unwrittenBytes = 0;

  constructor(private readonly deps: CodeCacheDeps) {}

  /**
   * @throws notFound when the revision is gone, unavailable when no controller could be asked in time, internal when what
   * it sent is not what it said
   */
  load(actionKey: string, revisionId: string): Promise<LoadableRevision> {
    const kept = this.#kept.get(revisionId);
    if (kept) {
      this.#kept.delete(revisionId);
      this.#kept.set(revisionId, kept);
      this.deps.metrics.codeMemory.inc();
      return Promise.resolve(kept);
    }
    let loading = this.#loading.get(revisionId);
    if (!loading) {
      loading = this.#load(actionKey, revisionId).finally(() => this.#loading.delete(revisionId)); // C2
      this.#loading.set(revisionId, loading);
    }
    return loading;
  }

  /** For status pages. */
  stats(): { readonly revisions: number; readonly bytes: number; readonly loading: number } {
    return { revisions: this.#kept.size, bytes: this.#keptBytes, loading: this.#loading.size };
  }

  /** Resolves when everything is on disk that goes there. */
  close(): Promise<void> {
    this.#closing.abort(new WeftError("canceled", "STOPPED", "this invoker stops"));
    return this.#writing;
  }

  async #load(actionKey: string, revisionId: string): Promise<LoadableRevision> {
    const { clock, random, patienceMs, metrics } = this.deps;
    const backoff = new Backoff({ firstMs: 50, maxMs: 1_000 }, random);
    const untilMonoMs = clock.monoMs() + patienceMs;
    for (;;) {
      try {
        const revision = await this.#fetch(actionKey, revisionId);
        this.#keep(revisionId, revision);
        return revision;
      } catch (thrown) {
        const error = toWeftError(thrown);
        const again = error.kind === "unavailable" || error.kind === "deadlineExceeded" || error.kind === "throttled";
        const pauseMs = backoff.nextMs();
        if (!again || clock.monoMs() + pauseMs >= untilMonoMs) {
          metrics.codeNowhere.inc();
          throw error;
        }
        await sleep(clock, pauseMs, this.#closing.signal);
      }
    }
  }

  async #fetch(actionKey: string, revisionId: string): Promise<LoadableRevision> {
    const { source, metrics } = this.deps;
    const expected = await this.#expected(revisionId);
    let stored = expected === undefined ? undefined : await this.#stored(expected);
    let spec: RevisionSpec | undefined;
    let digest: string | undefined;
    const pieces: Uint8Array[] = [];
    const hash = createHash("sha256");
    let size = 0;
    for await (const { part } of source.fetch(actionKey, revisionId, stored !== undefined, this.#closing.signal)) {
      if (part?.$case === "spec") {
        spec = part.value;
        digest = spec.codeDigest;
        if (spec.ask?.revisionId !== revisionId || spec.codeSize > CODE_BYTES_MAX) break;
        const atHand = stored === undefined && spec.codeSize <= CODE_BYTES_AT_HAND;
        if (digest !== expected && !atHand) stored = await this.#stored(digest);
        if (stored !== undefined) break; // the rest is here already
      } else if (part?.$case === "code") {
        size += part.value.length;
        if (!spec || size > spec.codeSize) break;
        hash.update(part.value);
        pieces.push(part.value);
      }
    }
    if (!spec || digest === undefined || spec.ask?.revisionId !== revisionId) {
      throw wrongCode(actionKey, "it describes another revision");
    }
    if (stored !== undefined) {
      metrics.codeDisk.inc();
      this.#remember(revisionId, digest, undefined);
      return { spec, code: stored };
    }
    if (size !== spec.codeSize) throw wrongCode(actionKey, `${size} bytes came instead of ${spec.codeSize}`);
    if (hash.digest("hex") !== digest) throw wrongCode(actionKey, "its digest differs"); // C1
    const code = pieces.length === 1 && pieces[0] ? Uint8Array.from(pieces[0]) : Buffer.concat(pieces, size);
    metrics.codeController.inc();
    this.#remember(revisionId, digest, code);
    return { spec, code };
  }

  async #expected(revisionId: string): Promise<string | undefined> {
    try {
      return await this.deps.store.digestOf(revisionId);
    } catch (thrown) {
      this.deps.log.warn("the list of stored code could not be read", { error: toWeftError(thrown) });
      return undefined;
    }
  }

  /** What the disk has under a digest, if it is that (C1). */
  async #stored(digest: string): Promise<Uint8Array | undefined> {
    try {
      return await this.deps.store.get(digest);
    } catch (thrown) {
      this.deps.log.warn("stored code could not be read; it is fetched again", { error: toWeftError(thrown) });
      return undefined;
    }
  }

  /** C3. A disk that is slow or full makes the next start slower, not this one. */
  #remember(revisionId: string, digest: string, code: Uint8Array | undefined): void {
    const { store, log } = this.deps;
    const bytes = code?.length ?? 0;
    if (this.#unwritten >= UNWRITTEN_MAX || this.#unwrittenBytes + bytes > UNWRITTEN_BYTES_MAX) {
      log.warn("code is not stored on disk: that is slower than what comes", { revisions: this.#unwritten });
      return;
    }
    this.#unwritten += 1;
    this.#unwrittenBytes += bytes;
    this.#writing = this.#writing.then(async () => {
      try {
        if (code) await store.put(digest, code);
        await store.remember(revisionId, digest);
      } catch (thrown) {
        log.warn("code could not be stored on disk", { error: toWeftError(thrown) });
      } finally {
        this.#unwritten -= 1;
        this.#unwrittenBytes -= bytes;
      }
    });
  }

  #keep(revisionId: string, revision: LoadableRevision): void {
    if (revision.code.length > this.deps.memoryBytes) return;
    this.#kept.set(revisionId, revision);
    this.#keptBytes += revision.code.length;
    for (const [oldest, { code }] of this.#kept) {
      if (this.#keptBytes <= this.deps.memoryBytes) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= code.length;
    }
  }
}

function wrongCode(actionKey: string, what: string): WeftError {
  return new WeftError("internal", "WRONG_CODE", `the code of ${actionKey} is not what was described: ${what}`);
}
