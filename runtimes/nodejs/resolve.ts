// Puts the packages that package.json names into node_modules, with npm: what build.sh starts when an archive's dependencies
// are to be resolved. runtimes/launcher/build.go says what it finds.
//
// Nothing of a package runs here. Install scripts would see the operator's keys to his registries, and what they make is in
// no lock; packages with programs bring them built, as packages of their own or inside. One that wants to be compiled is
// refused by name.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** EX_UNAVAILABLE: it is not the source's fault. */
const UNAVAILABLE = 69;
const NPM_OLDEST = 7;
/** How long a registry may be silent, and how often it is asked again. */
const FETCH = [
  "--fetch-timeout=20000",
  "--fetch-retries=2",
  "--fetch-retry-mintimeout=1000",
  "--fetch-retry-maxtimeout=5000",
];
const SAYING_NOTHING_ELSE = ["--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress"];

/** What npm and Node call failures of the network, of a registry, or of who asks it. */
const NOT_THE_SOURCE =
  /^npm (?:error|ERR!) (?:code|errno) (?:E5\d\d|E429|E40[13]|ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|EPROTO|ENOSPC|ERR_(?:SOCKET|SSL|TLS|PROXY)\w*|FETCH_ERROR|UNABLE_TO_\w+|\w*SELF_SIGNED\w*|CERT_\w+|DEPTH_ZERO\w+)$/m;

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages?: Readonly<
    Record<string, { readonly optional?: boolean; readonly optionalDependencies?: unknown }>
  >;
}

if (!existsSync("node_modules") && listsAny()) resolve();

function listsAny(): boolean {
  if (!existsSync("package.json")) return false;
  let said: Manifest;
  try {
    said = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
  } catch (thrown) {
    fail(`package.json:1: is not JSON: ${(thrown as Error).message}`);
  }
  return [said.dependencies, said.optionalDependencies].some((some) => Object.keys(some ?? {}).length > 0);
}

function resolve(): void {
  const { stdout: version } = npm(["--version"]);
  if (Number.parseInt(version, 10) < NPM_OLDEST) {
    fail(`npm ${version.trim()} is too old to fetch packages with: install npm ${NPM_OLDEST} or newer`, UNAVAILABLE);
  }
  const locked = ["npm-shrinkwrap.json", "package-lock.json"].find((name) => existsSync(name));
  const verb = locked === undefined ? ["install", "--package-lock"] : ["ci"];
  const cache = join(process.env["WEFT_BUILD_DIR"] ?? ".", "npm");
  const { status, stderr } = npm([
    ...verb,
    "--omit=dev",
    "--ignore-scripts",
    `--cache=${cache}`,
    ...FETCH,
    ...SAYING_NOTHING_ELSE,
  ]);
  if (status !== 0 && NOT_THE_SOURCE.test(stderr)) {
    fail(
      `packages could not be fetched; nothing is wrong with the source for that: ${whatNpmSaid(stderr)}`,
      UNAVAILABLE,
    );
  }
  if (status !== 0) fail(whatFailed(stderr, locked));
  rmSync(cache, { recursive: true, force: true });
  const lock = locked ?? "package-lock.json";
  refuseUncompiled(JSON.parse(readFileSync(lock, "utf8")) as Lock);
  copyFileSync(lock, process.env["WEFT_LOCK_FILE"] ?? "lock");
}

function npm(argv: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr, error } = spawnSync("npm", argv, { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
  if (error) fail(`there is no npm here to fetch packages with (${error.message}): install it`, UNAVAILABLE);
  return { status, stdout, stderr };
}

function whatFailed(said: string, locked: string | undefined): string {
  if (said.includes("spawn git"))
    return "package.json names a git repository: only packages of a registry are resolved";
  if (locked !== undefined && said.includes("code EUSAGE")) {
    return `${locked} does not fit package.json: ${whatNpmSaid(said.replace(/^npm \S+ Clean install a project[^]*/m, ""))}`;
  }
  return `npm could not resolve package.json: ${whatNpmSaid(said)}`;
}

function whatNpmSaid(said: string): string {
  const lines = said.split("\n").flatMap((line) => {
    const form = /^npm (?:error|ERR!) ?(?:(?:code|errno|syscall) .*$|40[34](?= |$)|notarget |enoent )?(.*)$/;
    const text = form.exec(line)?.[1]?.trim() ?? "";
    return text === "" || /complete log of this run|debug-0\.log$/.test(text) ? [] : [text];
  });
  return lines.join("\n") || said.trim();
}

/**
 * A package with a recipe for a compiler and without a program would fail when it is loaded. One that is optional, or has
 * its programs in optional packages of its own, need not.
 */
function refuseUncompiled({ packages = {} }: Lock): void {
  const uncompiled = Object.entries(packages).flatMap(([path, { optional, optionalDependencies }]) => {
    const wants = path !== "" && !optional && !optionalDependencies && existsSync(join(path, "binding.gyp"));
    return wants && !hasProgram(path) ? [path.replace(/^.*node_modules\//, "")] : [];
  });
  if (uncompiled.length === 0) return;
  fail(
    `${uncompiled.join(", ")}: has native code that has to be compiled, and there is no compiler here: take a version or a package that ` +
      "brings it compiled, or bring node_modules in the archive, installed on Linux with the same version of Node",
  );
}

function hasProgram(path: string): boolean {
  return readdirSync(path, { recursive: true, encoding: "utf8" }).some((name) => name.endsWith(".node"));
}

function fail(said: string, status = 1): never {
  process.stdout.write(`${said}\n`);
  process.exit(status);
}
