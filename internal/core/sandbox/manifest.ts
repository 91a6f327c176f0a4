import { invalidField } from "../../base/errors.js";
import { ImagePolicy } from "../action/image.js";

/** Stem cells to keep for a kind. */
export interface StemCells {
  readonly count: number;
  readonly memoryMb: number;
}

/** How the launcher talks to what it starts; see runtimes/launcher. */
export const LAUNCHER_MODES = ["loop", "exec", "http"] as const;
/** "build" is for the sandboxes of builds; no kind says it. */
export type LauncherMode = (typeof LAUNCHER_MODES)[number] | "build";

/** How the code of a kind becomes what its sandboxes load, and how it is looked through for mistakes. */
export interface BuildRecipe {
  /** Rises when the same source would become something else: what older ones built is not taken any more. Default 1. */
  readonly version: number;
  /** Image that build sandboxes are made from. */
  readonly image: string;
  readonly memoryMb: number;
  readonly timeoutMs: number;
  /** Whether a build may fetch what the source depends on. */
  readonly network: boolean;
  /** Program and arguments that the launcher runs in the build sandbox; WEFT_BUILD_STEP tells it what to do. */
  readonly command: readonly string[];
  /**
   * Source that a program is made of, on every path: all that is not one already, or for archives those with files of this
   * extension and no program beside. Undefined for languages that load source.
   */
  readonly compiles: { readonly sources: string | undefined } | undefined;
  /** Of the file that source is written to, for kinds whose own `env` does not say it to the launcher. */
  readonly extension: string | undefined;
  /** Lists of dependencies at the top of an archive, the first that is there counts. */
  readonly dependencies: readonly DependencyList[];
}

export interface DependencyList {
  /** For example "package.json". */
  readonly file: string;
  /** Folders at the top of an archive that has its dependencies with it: "node_modules". */
  readonly brought: readonly string[];
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
  /**
   * Program and arguments for the process driver; the second is a file under the runtimes folder. Empty for kinds with a
   * launcher.
   */
  readonly command: readonly string[];
  /** Set for kinds that have no runtime server of their own: the launcher is started in it, in this mode. */
  readonly launcher: LauncherMode | undefined;
  /**
   * What the launcher starts; empty for the action's own file `exec`. A part with a slash that is not absolute is a file
   * under the runtimes folder: "ruby/loop.rb" is /weft/runtime/loop.rb in the image.
   */
  readonly program: readonly string[];
  /** True for kinds of which nothing runs as a child process: what they are made of is in their images only. */
  readonly dockerOnly: boolean;
  /** False when a sandbox of the kind takes one call at a time, whatever the action's limit says. */
  readonly concurrency: boolean;
  /** Set for kinds whose source is built at deploy. */
  readonly build: BuildRecipe | undefined;
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

  constructor(
    readonly kinds: readonly RuntimeKind[],
    /** Images that blackbox actions may use besides; default all. */
    readonly images = new ImagePolicy(["*"]),
  ) {
    this.#byKind = new Map(kinds.map((kind) => [kind.kind, kind]));
  }

  /** The same kinds with other images allowed. */
  allowing(images: readonly string[]): RuntimeManifest {
    return new RuntimeManifest(this.kinds, new ImagePolicy(images));
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

/**
 * What the sandboxes are in which a kind is built: the same with another image, and the build command as its program.
 * Undefined for kinds that are not built.
 */
export function builderOf(kind: RuntimeKind): RuntimeKind | undefined {
  if (!kind.build) return undefined;
  const { extension } = kind.build;
  const env = extension === undefined ? kind.env : { ...kind.env, WEFT_SOURCE_EXTENSION: extension };
  return { ...kind, env, image: kind.build.image, launcher: "build", program: kind.build.command, stemCells: [] };
}

/** What the launcher is called with in a sandbox where the files of the runtimes folder are found by `fileOf`. */
export function launcherArgs(kind: RuntimeKind, fileOf: (path: string) => string): readonly string[] {
  const program = kind.program.map((part) => (part.includes("/") && !part.startsWith("/") ? fileOf(part) : part));
  return [kind.launcher ?? "", ...program];
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
  const launcher = fields["launcher"];
  if (launcher !== undefined && !LAUNCHER_MODES.some((mode) => mode === launcher)) {
    throw invalidField(`${at}.launcher`, `must be one of ${LAUNCHER_MODES.join(", ")}`);
  }
  if (launcher === undefined && fields["program"] !== undefined) {
    throw invalidField(`${at}.program`, "is started by a launcher; say which in launcher");
  }
  const build = fields["build"];
  return {
    kind,
    family,
    default: fields["default"] === true,
    deprecated: fields["deprecated"] === true,
    image: text(fields["image"], `${at}.image`),
    command: texts(launcher === undefined ? fields["command"] : (fields["command"] ?? []), `${at}.command`),
    launcher: launcher as LauncherMode | undefined,
    program: texts(fields["program"] ?? [], `${at}.program`),
    dockerOnly: fields["dockerOnly"] === true,
    concurrency: fields["concurrency"] !== false,
    build: build === undefined ? undefined : recipeOf(build, `${at}.build`),
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

function recipeOf(build: unknown, at: string): BuildRecipe {
  const fields = object(build, at);
  return {
    version: count(fields["version"] ?? 1, `${at}.version`),
    image: text(fields["image"], `${at}.image`),
    memoryMb: count(fields["memoryMb"], `${at}.memoryMb`),
    timeoutMs: count(fields["timeoutMs"], `${at}.timeoutMs`),
    network: fields["network"] === true,
    command: texts(fields["command"], `${at}.command`),
    compiles: fields["compiles"] === undefined ? undefined : compilesOf(fields["compiles"], `${at}.compiles`),
    extension: fields["extension"] === undefined ? undefined : text(fields["extension"], `${at}.extension`),
    dependencies: list(fields["dependencies"] ?? [], `${at}.dependencies`).map((one, i) => {
      const of = object(one, `${at}.dependencies[${i}]`);
      return {
        file: text(of["file"], `${at}.dependencies[${i}].file`),
        brought: texts(of["brought"] ?? [], `${at}.dependencies[${i}].brought`),
      };
    }),
  };
}

function compilesOf(given: unknown, at: string): BuildRecipe["compiles"] {
  if (given === true) return { sources: undefined };
  if (given === false) return undefined;
  return { sources: text(object(given, at)["sources"], `${at}.sources`) };
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

function texts(value: unknown, at: string): readonly string[] {
  return list(value, at).map((part, i) => text(part, `${at}[${i}]`));
}

function count(value: unknown, at: string): number {
  if (!Number.isInteger(value) || (value as number) < 0) throw invalidField(at, "must be a whole number, 0 or more");
  return value as number;
}
