import { invalidField } from "../../base/errors.js";

/** Stem cells to keep for a kind. */
export interface StemCells {
  readonly count: number;
  readonly memoryMb: number;
}

/** One kind that this fabric can run: an entry of runtimes/manifest.json. */
export interface RuntimeKind {
  /** For example "nodejs:20". */
  readonly kind: string;
  /** For example "nodejs"; `nodejs:default` means the family's default kind. */
  readonly family: string;
  readonly default: boolean;
  readonly deprecated: boolean;
  /** Image that the docker driver makes sandboxes from. */
  readonly image: string;
  /** Program and arguments for the process driver; the second is a file under the runtimes folder. */
  readonly command: readonly string[];
  /** Environment of every sandbox of the kind; `{memoryMb}` stands for its memory limit. */
  readonly env: Readonly<Record<string, string>>;
  /** The process driver limits address space to the memory limit and this much more; undefined: not at all. */
  readonly addressSpaceHeadroomMb: number | undefined;
  readonly requireMain: boolean;
  readonly stemCells: readonly StemCells[];
}

/** The kinds that this fabric can run. */
export class RuntimeManifest {
  readonly #byKind: ReadonlyMap<string, RuntimeKind>;

  constructor(readonly kinds: readonly RuntimeKind[]) {
    this.#byKind = new Map(kinds.map((kind) => [kind.kind, kind]));
  }

  find(kind: string): RuntimeKind | undefined {
    return this.#byKind.get(kind);
  }

  /** The concrete kind: "nodejs:default" becomes "nodejs:20". Undefined when there is none. */
  resolve(kind: string): RuntimeKind | undefined {
    const family = kind.endsWith(":default") ? kind.slice(0, -":default".length) : undefined;
    return family === undefined ? this.find(kind) : this.kinds.find((k) => k.family === family && k.default);
  }
}

/** The environment that a sandbox of a kind gets from the manifest. */
export function kindEnv(kind: RuntimeKind, memoryMb: number): Record<string, string> {
  return Object.fromEntries(
    Object.entries(kind.env).map(([name, value]) => [name, value.replaceAll("{memoryMb}", String(memoryMb))]),
  );
}

/** @throws invalidArgument naming the entry and field that are wrong */
export function parseManifest(json: string): RuntimeManifest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (thrown) {
    throw invalidField("manifest", `not JSON: ${(thrown as Error).message}`);
  }
  const families = object(object(parsed, "manifest")["runtimes"], "runtimes");
  const kinds: RuntimeKind[] = [];
  for (const [family, entries] of Object.entries(families)) {
    const ofFamily = list(entries, `runtimes.${family}`).map((entry, i) =>
      kindOf(family, entry, `runtimes.${family}[${i}]`),
    );
    const defaults = ofFamily.filter((kind) => kind.default).length;
    if (defaults !== 1) throw invalidField(`runtimes.${family}`, `one kind must be the default, not ${defaults}`);
    kinds.push(...ofFamily);
  }
  const twice = kinds.find((kind, i) => kinds.findIndex((k) => k.kind === kind.kind) !== i);
  if (twice) throw invalidField("runtimes", `${twice.kind} is there twice`);
  return new RuntimeManifest(kinds);
}

function kindOf(family: string, entry: unknown, at: string): RuntimeKind {
  const fields = object(entry, at);
  const kind = text(fields["kind"], `${at}.kind`);
  if (!kind.startsWith(`${family}:`)) throw invalidField(`${at}.kind`, `must begin with "${family}:"`);
  const env = object(fields["env"] ?? {}, `${at}.env`);
  const headroom = fields["addressSpaceHeadroomMb"];
  return {
    kind,
    family,
    default: fields["default"] === true,
    deprecated: fields["deprecated"] === true,
    image: text(fields["image"], `${at}.image`),
    command: list(fields["command"], `${at}.command`).map((part, i) => text(part, `${at}.command[${i}]`)),
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, text(value, `${at}.env.${name}`)])),
    addressSpaceHeadroomMb: headroom === undefined ? undefined : count(headroom, `${at}.addressSpaceHeadroomMb`),
    requireMain: fields["requireMain"] === true,
    stemCells: list(fields["stemCells"] ?? [], `${at}.stemCells`).map((cell, i) => {
      const of = object(cell, `${at}.stemCells[${i}]`);
      return {
        count: count(of["count"], `${at}.stemCells[${i}].count`),
        memoryMb: count(of["memoryMb"], `${at}.stemCells[${i}].memoryMb`),
      };
    }),
  };
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidField(at, "must be an object");
  return value as Record<string, unknown>;
}

function list(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidField(at, "must be a list");
  return value;
}

function text(value: unknown, at: string): string {
  if (typeof value !== "string" || value === "") throw invalidField(at, "must be a text");
  return value;
}

function count(value: unknown, at: string): number {
  if (!Number.isInteger(value) || (value as number) < 0) throw invalidField(at, "must be a whole number, 0 or more");
  return value as number;
}
