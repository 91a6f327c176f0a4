// What the suite knows of a language: the files of its folder in `sources`, and its family.json. README.md describes both.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

import { zipOf, type ZipEntry } from "../../harness/zip.js";

const SOURCES = fileURLToPath(
  // From the source and from dist.
  ["sources/", "../../../../test/conformance/kinds/sources/"]
    .map((path) => new URL(path, import.meta.url))
    .find((path) => existsSync(path)) ?? new URL("sources/", import.meta.url),
);

const pattern = z.string().refine((text) => {
  try {
    new RegExp(text.replace(/\{\w+\}/g, "1"));
    return true;
  } catch {
    return false;
  }
}, "not a regular expression");

const expectation = z.strictObject({
  outcome: z.enum(["success", "applicationError", "developerError"]).optional(),
  error: pattern.optional(),
  result: z.unknown().optional(),
  log: z.union([pattern, z.array(pattern)]).optional(),
  refused: pattern.optional(),
});
export type Expectation = Readonly<z.infer<typeof expectation>>;

const descriptor = z.strictObject({
  extension: z.string().min(1),
  main: z.string().optional(),
  otherMain: z.string().optional(),
  concurrency: z.boolean(),
  logOrder: z.enum(["whole", "perStream"]).default("whole"),
  numbers: z.enum(["kept", "nearest"]),
  surrogates: z.enum(["kept", "replaced"]),
  exec: z.record(z.string(), z.unknown()).default({}),
  memoryMb: z.number().int().default(256),
  kinds: z.array(z.string()).optional(),
  expects: z.record(z.string(), expectation).default({}),
  lacks: z.record(z.string(), z.string().min(10)).default({}),
  dependencies: z
    .strictObject({
      list: z.string(),
      lock: z.string(),
      unknown: z.string(),
      brought: z.record(z.string(), z.string()),
    })
    .optional(),
});

export type Dependencies = NonNullable<Descriptor["dependencies"]>;
export type Descriptor = Readonly<z.infer<typeof descriptor>>;

/** In place of a descriptor: the folder of a language that is the same here, but for what its lock is called. */
const sameAs = z.strictObject({ sameAs: z.string(), lock: z.string() });

export class Family {
  private constructor(
    readonly name: string,
    private readonly folder: string,
    readonly can: Descriptor,
  ) {}

  /** @throws when there is no such folder, or its descriptor is not as README.md says */
  static read(name: string): Family {
    const folder = join(SOURCES, name);
    const path = join(folder, "family.json");
    if (!existsSync(path)) {
      throw new Error(`no ${path}: a new language needs its folder, see test/conformance/kinds/README.md`);
    }
    const read: unknown = JSON.parse(readFileSync(path, "utf8"));
    const same = sameAs.safeParse(read);
    if (same.success) {
      const other = Family.read(same.data.sameAs);
      const { dependencies } = other.can;
      const can = dependencies ? { ...other.can, dependencies: { ...dependencies, lock: same.data.lock } } : other.can;
      return new Family(name, other.folder, can);
    }
    const parsed = descriptor.safeParse(read);
    if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
    return new Family(name, folder, parsed.data);
  }

  /** A source file: its name without the extension. */
  source(file: string): Buffer {
    return readFileSync(join(this.folder, `${file}.${this.can.extension}`));
  }

  /** Number of the first line of a source file that has the mark. */
  line(file: string, mark: string): number {
    const at = this.source(file)
      .toString()
      .split("\n")
      .findIndex((text) => text.includes(mark));
    if (at < 0) throw new Error(`${this.name}/${file}.${this.can.extension} has no line with ${mark}`);
    return at + 1;
  }

  /** The folder `archive`, packed. */
  archive(): Uint8Array {
    return zipOf(this.#entries("archive"));
  }

  /** The folder `dependencies`, packed, with files added or replaced. */
  dependencies(files: Readonly<Record<string, string>>): Uint8Array {
    const replaced = this.#entries("dependencies").filter(({ name }) => !(name in files));
    return zipOf([...replaced, ...Object.entries(files).map(([name, content]) => ({ name, content }))]);
  }

  #entries(folder: string): readonly ZipEntry[] {
    const root = join(this.folder, folder);
    const entries = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry): ZipEntry => {
        const path = join(entry.parentPath, entry.name);
        return { name: relative(root, path), content: readFileSync(path) };
      });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
