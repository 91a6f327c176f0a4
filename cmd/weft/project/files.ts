// A project's files: nothing outside of its folder is read, links are refused, and an archive of the same files has the
// same bytes, so that what did not change is seen not to have.

import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, extname, join, posix, relative, resolve, sep } from "node:path";

import { ZipFile } from "yazl";

import { archiveProblem, isArchive } from "../../../internal/core/action/archive.js";
import { UNPACKED_BYTES_MAX } from "../../../internal/core/action/zip.js";
import { CODE_BYTES_MAX } from "../../../internal/core/action/types.js";
import { FAMILIES } from "./manifest-entities.js";
import type { CodeSource, Project, TextFile } from "./manifest.js";
import type { ActionState, State } from "./state.js";
import { Problems, type Place } from "./yaml-tree.js";

/** Most files in an archive; more would need another format. */
export const ARCHIVE_FILES_MAX = 20_000;

const MANIFEST_NAMES = ["manifest.yaml", "manifest.yml"];

/** The manifest of a folder. @param root of the project */
export function manifestIn(root: string, folder: string): TextFile | undefined {
  for (const name of MANIFEST_NAMES) {
    const file = join(folder, name);
    const path = join(root, file);
    if (existsSync(path) && isInside(root, path)) return { file, text: readFileSync(path, "utf8") };
  }
  return undefined;
}

/** The state with the code of its actions. @throws invalidArgument BAD_MANIFEST with everything that is wrong */
export async function withCode(project: Project, root: string): Promise<State> {
  const problems = new Problems();
  const actions = new Map<string, ActionState>();
  for (const [name, action] of project.state.actions) {
    const source = project.sources.get(name);
    const loaded = source && (await load(root, source, problems));
    if (!loaded) {
      actions.set(name, action);
      continue;
    }
    const { code, binary, family } = loaded;
    const kind = action.kind !== "" ? action.kind : family === undefined ? "" : `${family}:default`;
    if (kind === "") {
      problems.add(
        source.at,
        `needs a \`runtime\`: ${binary ? "an archive" : "its ending"} does not say which language it is`,
      );
    }
    const codeDigest = createHash("sha256").update(code).digest("hex");
    actions.set(name, { ...action, kind, binary, codeDigest, code: () => Promise.resolve(code) });
  }
  problems.check();
  return { ...project.state, actions };
}

/**
 * An archive of everything in a folder but what no action needs: `.git`, `.weft`, and the links that npm makes for programs.
 * @param shown what the folder is called in complaints
 * @throws invalidArgument BAD_MANIFEST with everything that is wrong
 */
export async function archiveOfFolder(folder: string, shown: string): Promise<Uint8Array> {
  const problems = new Problems();
  const at = { file: shown, line: 1, column: 1, path: "" };
  const exclude = [".git", ".weft", "node_modules/.bin"];
  const loaded = await load(folder, { from: "path", at, path: ".", base: ".", include: [], exclude }, problems);
  problems.check();
  return loaded?.code ?? new Uint8Array();
}

interface Loaded {
  readonly code: Uint8Array;
  readonly binary: boolean;
  readonly family: string | undefined;
}

async function load(root: string, source: CodeSource, problems: Problems): Promise<Loaded | undefined> {
  if (source.from === "text") return { code: Buffer.from(source.text), binary: false, family: undefined };
  const files = new ProjectFiles(root, source.at, problems);
  const stat = files.stat(source.path);
  if (!stat) return undefined;
  const checked = (code: Uint8Array, binary: boolean): Loaded | undefined => {
    const problem =
      code.length > CODE_BYTES_MAX
        ? `is larger than allowed: ${code.length} > ${CODE_BYTES_MAX} bytes`
        : code.length === 0
          ? "is empty"
          : binary
            ? archiveProblem(code, undefined)
            : undefined;
    if (problem === undefined) return { code, binary, family: FAMILIES[extname(source.path).toLowerCase()] };
    problems.add(source.at, `${source.path} ${problem}`);
    return undefined;
  };
  if (stat.isDirectory()) {
    const entries = files.archive(source);
    return entries && checked(await zip(root, entries), true);
  }
  const code = readFileSync(join(root, source.path));
  return checked(code, isArchive(code));
}

class ProjectFiles {
  constructor(
    private readonly root: string,
    private readonly at: Place,
    private readonly problems: Problems,
  ) {}

  /** Of a path relative to the project's folder; undefined, with a problem, when it may not be read. */
  stat(path: string) {
    const full = resolve(this.root, path);
    if (!isInside(this.root, full)) return this.#wrong(`${path} is outside of the project's folder`);
    if (!existsSync(full)) return this.#wrong(`there is no file or folder ${path}`);
    // A link within the path may lead anywhere.
    if (!isInside(realpathSync(this.root), realpathSync(full))) {
      return this.#wrong(`${path} leads out of the project's folder by a link`);
    }
    const stat = lstatSync(full);
    if (stat.isSymbolicLink()) return this.#wrong(`${path} is a link: name what it leads to`);
    if (!stat.isFile() && !stat.isDirectory()) return this.#wrong(`${path} is no file or folder`);
    return stat;
  }

  /** What goes into the archive of a folder: by its place there, the file. */
  archive({
    path,
    base,
    include,
    exclude,
  }: Extract<CodeSource, { from: "path" }>): ReadonlyMap<string, string> | undefined {
    const places = new Map<string, string>();
    const excluded = exclude.map((pattern) => globOf(posix.join(base, pattern)));
    const isExcluded = (file: string): boolean => excluded.some((one) => one.test(file));
    for (const file of this.#walk(path, isExcluded)) places.set(posix.relative(path, file), file);
    for (const [source, target] of include) this.#include(base, source, target, places);
    if (places.size > ARCHIVE_FILES_MAX) {
      return this.#wrong(`${path} has more than ${ARCHIVE_FILES_MAX} files: leave some out with \`exclude\``);
    }
    let bytes = 0;
    for (const file of places.values()) bytes += lstatSync(join(this.root, file)).size;
    if (bytes > UNPACKED_BYTES_MAX) return this.#wrong(`${path} has more than ${UNPACKED_BYTES_MAX} bytes`);
    if (places.size === 0) return this.#wrong(`${path} has no files`);
    return places;
  }

  /** A file, a folder, or files by a pattern, to a place below the folder. */
  #include(base: string, source: string, target: string, places: Map<string, string>): void {
    const place = (text: string): string | undefined => {
      const at = posix.normalize(text.replace(/^\.?\/+/, ""));
      if (at.startsWith("..")) return this.#wrong(`the place ${text} is outside of the archive`);
      return at;
    };
    const put = (at: string, file: string): void => {
      const where = place(at);
      if (where !== undefined) places.set(where, file);
    };
    const from = posix.join(base, source);
    if (from.includes("*")) {
      const stem = from.slice(0, from.indexOf("*")).replace(/[^/]*$/, "");
      // "common/*" as a place means "common/".
      const into = target === source ? stem.slice(base === "." ? 0 : base.length + 1) : (target.split("*")[0] ?? "");
      const directory = into === "" || into.endsWith("/") ? into : `${posix.dirname(into)}/`;
      if (!this.stat(stem === "" ? "." : stem)) return;
      const files = this.#walk(stem === "" ? "." : stem).filter((file) => globOf(from).test(file));
      if (files.length === 0) this.#wrong(`no file is called ${source}`);
      for (const file of files) put(posix.join(directory, posix.relative(stem === "" ? "." : stem, file)), file);
      return;
    }
    const stat = this.stat(from);
    if (!stat) return;
    const clean = from.replace(/\/$/, "");
    if (stat.isDirectory()) {
      for (const file of this.#walk(clean)) put(posix.join(target, posix.relative(clean, file)), file);
    } else put(target.endsWith("/") ? posix.join(target, basename(clean)) : target, clean);
  }

  /** Every file below a folder, by name. Links are refused: an archive has none, and they lead anywhere. */
  #walk(folder: string, isExcluded: (path: string) => boolean = () => false): string[] {
    const files: string[] = [];
    const visit = (path: string): void => {
      const entries = readdirSync(join(this.root, path), { withFileTypes: true });
      for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        const child = posix.join(path, entry.name);
        if (isExcluded(child)) continue;
        if (entry.isSymbolicLink())
          this.#wrong(`${child} is a link: put what it leads to in its place, or exclude its folder`);
        else if (entry.isDirectory()) visit(child);
        else if (entry.isFile()) files.push(child);
        if (files.length > ARCHIVE_FILES_MAX) return;
      }
    };
    visit(posix.normalize(folder).replace(/\/$/, ""));
    return files;
  }

  #wrong(what: string): undefined {
    this.problems.add(this.at, what);
    return undefined;
  }
}

/** The same bytes for the same files: names in order, no times of theirs. */
async function zip(root: string, places: ReadonlyMap<string, string>): Promise<Buffer> {
  const archive = new ZipFile();
  const options = { mtime: new Date(1980, 0, 1), forceDosTimestamp: true, mode: 0o100644 };
  for (const [place, file] of [...places].sort(([a], [b]) => (a < b ? -1 : 1))) {
    archive.addBuffer(readFileSync(join(root, file)), place, options);
  }
  archive.end();
  const chunks: Buffer[] = [];
  for await (const chunk of archive.outputStream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way === "" || !(way === ".." || way.startsWith(`..${sep}`));
}

/** "*" is anything within a folder; what names a folder means everything below it. */
function globOf(pattern: string): RegExp {
  const clean = pattern.replace(/\/$/, "");
  const escaped = clean
    .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
    .replace(/\*\*?/g, (star) => (star === "*" ? "[^/]*" : ".*"));
  return new RegExp(`^${escaped}(/.*)?$`);
}
