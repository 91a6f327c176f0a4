// What an invoker writes down about its sandboxes, so that its next life can take them over: one small file each, written
// when a sandbox is ready and when it is claimed, and removed when it ends. Nothing is written for a call.
//
// The files are a list of what to look for and no more: a sandbox is taken over when its runtime has come back, and one
// whose file is missing or cannot be read is removed like everything else that an earlier life left.

import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { ActionAsk } from "../core/dispatch/call.js";

export interface JournalEntry {
  /** The driver's name for the sandbox. */
  readonly mark: string;
  readonly kind: string;
  readonly memoryMb: number;
  readonly pidsMax: number;
  /** What making it took, milliseconds. */
  readonly createMs: number;
  /** Whose it is; undefined for a stem cell. */
  readonly ask: ActionAsk | undefined;
}

export interface SandboxJournal {
  /** What an earlier life wrote and did not remove. */
  read(): Promise<readonly JournalEntry[]>;
  /** Replaces what was written for the mark. Returns at once; what is written last holds. */
  put(entry: JournalEntry): void;
  remove(mark: string): void;
  /** Resolves when everything that was said is on disk. */
  flushed(): Promise<void>;
}

/** Keeps nothing beyond the process: for drivers whose sandboxes end with it, and for tests. */
export class MemoryJournal implements SandboxJournal {
  readonly entries = new Map<string, JournalEntry>();

  read(): Promise<readonly JournalEntry[]> {
    return Promise.resolve([...this.entries.values()]);
  }
  put(entry: JournalEntry): void {
    this.entries.set(entry.mark, entry);
  }
  remove(mark: string): void {
    this.entries.delete(mark);
  }
  flushed(): Promise<void> {
    return Promise.resolve();
  }
}

const SUFFIX = ".json";
/** Marks are names of files here. */
const MARK = /^[\w-]{1,128}$/;

export class DiskJournal implements SandboxJournal {
  /** What is to be written; undefined: removed. The last word of each sandbox only, so that it is as long as there are sandboxes. */
  readonly #due = new Map<string, JournalEntry | undefined>();
  #writing: Promise<void> | undefined;

  /** @param directory of this invoker alone */
  constructor(
    private readonly directory: string,
    private readonly log: Log,
  ) {}

  async read(): Promise<readonly JournalEntry[]> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const entries: JournalEntry[] = [];
    for (const name of await readdir(this.directory)) {
      const mark = name.slice(0, -SUFFIX.length);
      const entry = name.endsWith(SUFFIX) && MARK.test(mark) ? await this.#readOne(mark) : undefined;
      if (entry) entries.push(entry);
      else await rm(join(this.directory, name), { recursive: true, force: true }); // half of one, or none
    }
    return entries;
  }

  put(entry: JournalEntry): void {
    if (!MARK.test(entry.mark)) throw new TypeError(`${entry.mark} is no name of a file`);
    this.#due.set(entry.mark, entry);
    this.#writing ??= this.#write();
  }

  remove(mark: string): void {
    this.#due.set(mark, undefined);
    this.#writing ??= this.#write();
  }

  async flushed(): Promise<void> {
    await this.#writing;
  }

  async #readOne(mark: string): Promise<JournalEntry | undefined> {
    try {
      return entryOf(mark, JSON.parse(await readFile(this.#path(mark), "utf8")));
    } catch (thrown) {
      this.log.warn("a line of the journal cannot be read; its sandbox is removed", { error: toWeftError(thrown) });
      return undefined;
    }
  }

  /** Never rejects: a sandbox that cannot be written down ends with this life. */
  async #write(): Promise<void> {
    for (;;) {
      const next = this.#due.entries().next().value;
      if (!next) break;
      const [mark, entry] = next;
      this.#due.delete(mark);
      try {
        if (!entry) await rm(this.#path(mark), { force: true });
        else {
          const half = `${this.#path(mark)}.half`;
          await writeFile(half, JSON.stringify(entry), { mode: 0o600 });
          await rename(half, this.#path(mark));
        }
      } catch (thrown) {
        this.log.warn("the journal of sandboxes cannot be written", { error: toWeftError(thrown) });
      }
    }
    this.#writing = undefined;
  }

  #path(mark: string): string {
    return join(this.directory, `${mark}${SUFFIX}`);
  }
}

/** @returns undefined when it is not what `put` writes, for example because another version wrote it */
export function entryOf(mark: string, value: unknown): JournalEntry | undefined {
  if (!isObject(value)) return undefined;
  const { kind, memoryMb, pidsMax, createMs, ask } = value;
  if (value["mark"] !== mark || !isText(kind) || !isCount(memoryMb) || !isCount(pidsMax)) return undefined;
  if (typeof createMs !== "number") return undefined;
  if (ask === undefined) return { mark, kind, memoryMb, pidsMax, createMs, ask: undefined };
  const asked = askOf(ask);
  // A sandbox of one size or kind never serves an action of another.
  if (asked?.kind !== kind || asked.memoryMb !== memoryMb) return undefined;
  return { mark, kind, memoryMb, pidsMax, createMs, ask: asked };
}

function askOf(value: unknown): ActionAsk | undefined {
  if (!isObject(value)) return undefined;
  const { key, revisionId, kind, memoryMb, concurrency, maxInstances, timeoutMs } = value;
  if (!isText(key) || !isText(revisionId) || !isText(kind) || !isCount(memoryMb) || !isCount(concurrency)) {
    return undefined;
  }
  if (!isCount(timeoutMs) || typeof maxInstances !== "number") return undefined;
  return { key, revisionId, kind, memoryMb, concurrency, maxInstances, timeoutMs };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0;
}
