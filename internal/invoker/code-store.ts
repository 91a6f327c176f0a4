import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.js";

/** Code under its SHA-256, for longer than one life of an invoker. */
export interface CodeStore {
  /** @returns undefined when it is not there, or is not what its digest says */
  get(digest: string): Promise<Uint8Array | undefined>;
  /** May be repeated. What was used least recently makes room. */
  put(digest: string, code: Uint8Array): Promise<void>;
  /** Which code a revision had when it was last loaded: a hint, to be compared with what a controller says. */
  digestOf(revisionId: string): Promise<string | undefined>;
  remember(revisionId: string, digest: string): Promise<void>;
}

/** Keeps nothing beyond the process. For tests and for an invoker without a state directory. */
export class MemoryCodeStore implements CodeStore {
  readonly codes = new Map<string, Uint8Array>();
  readonly digests = new Map<string, string>();

  get(digest: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.codes.get(digest));
  }
  put(digest: string, code: Uint8Array): Promise<void> {
    this.codes.set(digest, code);
    return Promise.resolve();
  }
  digestOf(revisionId: string): Promise<string | undefined> {
    return Promise.resolve(this.digests.get(revisionId));
  }
  remember(revisionId: string, digest: string): Promise<void> {
    this.digests.set(revisionId, digest);
    return Promise.resolve();
  }
}

/** Hints are a few dozen bytes each; this many are looked at before the oldest go. */
const HINTS_MAX = 10_000;
const HINTS_TRIM_EVERY = 1_000;

/** Code in files named after their digest. Several invokers may share the directory: files only appear whole. */
export class DiskCodeStore implements CodeStore {
  readonly #codeDir: string;
  readonly #hintDir: string;
  #hints = 0;

  /** @param maxBytes of code kept */
  constructor(
    directory: string,
    private readonly maxBytes: number,
    private readonly clock: Clock,
  ) {
    this.#codeDir = join(directory, "code");
    this.#hintDir = join(directory, "revisions");
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    const path = this.#codePath(digest);
    const hash = createHash("sha256");
    const pieces: Buffer[] = [];
    try {
      // Piece by piece: hashing the largest code at once would hold up the calls of others.
      for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
        hash.update(piece as Buffer);
        pieces.push(piece as Buffer);
      }
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw thrown;
    }
    if (hash.digest("hex") !== digest) {
      await rm(path, { force: true });
      return undefined;
    }
    await this.#touch(path);
    return Buffer.concat(pieces);
  }

  async put(digest: string, code: Uint8Array): Promise<void> {
    await mkdir(this.#codeDir, { recursive: true, mode: 0o700 });
    await writeWhole(this.#codePath(digest), code);
    await trim(this.#codeDir, (files) => {
      let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      return files.filter((file) => {
        if (bytes <= this.maxBytes || file.name === digest) return false;
        bytes -= file.bytes;
        return true;
      });
    });
  }

  /** Notes the use, for the order in which code makes room. */
  async #touch(path: string): Promise<void> {
    const now = this.clock.wallMs() / 1_000;
    try {
      await utimes(path, now, now);
    } catch (thrown) {
      // Another invoker may have removed it meanwhile: it was read whole before.
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    }
  }

  async digestOf(revisionId: string): Promise<string | undefined> {
    try {
      const digest = await readFile(this.#hintPath(revisionId), "utf8");
      return /^[0-9a-f]{64}$/.test(digest) ? digest : undefined;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw thrown;
    }
  }

  async remember(revisionId: string, digest: string): Promise<void> {
    await mkdir(this.#hintDir, { recursive: true, mode: 0o700 });
    await writeWhole(this.#hintPath(revisionId), Buffer.from(digest));
    this.#hints += 1;
    if (this.#hints % HINTS_TRIM_EVERY !== 1) return; // looking at all of them for each would cost more than they do
    await trim(this.#hintDir, (files) => files.slice(0, Math.max(0, files.length - HINTS_MAX)));
  }

  // Names come from controllers; a hash of them cannot lead out of the directory.
  #codePath(digest: string): string {
    return join(this.#codeDir, /^[0-9a-f]{64}$/.test(digest) ? digest : nameOf(digest));
  }

  #hintPath(revisionId: string): string {
    return join(this.#hintDir, nameOf(revisionId));
  }
}

function nameOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(draft, bytes, { mode: 0o600 });
    await rename(draft, path);
  } catch (thrown) {
    await rm(draft, { force: true });
    throw thrown;
  }
}

interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** Removes what `choose` picks from the files, least recently used first. */
async function trim(directory: string, choose: (files: readonly StoredFile[]) => readonly StoredFile[]): Promise<void> {
  const files: StoredFile[] = [];
  for (const name of await readdir(directory)) {
    const stats = await stat(join(directory, name)).catch(() => undefined); // gone meanwhile
    if (stats) files.push({ name, bytes: stats.size, usedMs: stats.mtimeMs });
  }
  files.sort((a, b) => a.usedMs - b.usedMs);
  for (const { name } of choose(files)) await rm(join(directory, name), { force: true });
}
