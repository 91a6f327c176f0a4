// Puts the packages that package.json names into node_modules: what resolve.sh starts, with Bun or Deno, which then do it.
// runtimes/launcher/build.go says what it finds. Nothing of a package runs here, as for nodejs.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import process from "node:process";

/** EX_UNAVAILABLE: it is not the source's fault. */
const UNAVAILABLE = 69;

const { WEFT_BUILD_DIR: scratch, WEFT_LOCK_FILE: lockFile } = process.env;

const BUN = {
  lock: "bun.lock",
  argv: [
    "bun",
    "install",
    "--omit=dev",
    "--ignore-scripts",
    "--save-text-lockfile",
    "--backend=copyfile",
    `--cache-dir=${scratch}/cache`,
    "--no-progress",
    "--no-summary",
  ],
  frozen: "--frozen-lockfile",
  outdated: /lockfile is frozen/,
  // What is said of the network, of a registry, or of who asks it.
  unavailable: /\w+ downloading (?:package manifest|tarball)|- (?:5\d\d|401|403|407|429)$|certificate|ENOSPC/im,
  besides: /^(?:Resolv|Saved|bun install)/,
  leaves: [],
};

const DENO = {
  lock: "deno.lock",
  argv: ["deno", "install", "--quiet", "--prod", "--lock"],
  frozen: "--frozen",
  outdated: /lockfile is out of date/,
  unavailable:
    /error sending request|error following|Bad response: (?:5\d\d|401|403|407|429)|(?:5\d\d|401|403|407|429) \w.* for url|timed out|certificate|No space left/i,
  besides: /^(?:\u26a0|Warning|changes:|\s*\d+ \||\s*\| \.\.\.|\.\.\. \d+ more)/,
  // What Deno notes for the next time that it puts something there.
  leaves: [
    "node_modules/.deno/.setup-cache.bin",
    "node_modules/.deno/.deno.lock",
    "node_modules/.deno/.deno.lock.poll",
  ],
};

if (!existsSync("node_modules") && listsAny()) resolve(globalThis.Bun ? BUN : DENO);

function listsAny() {
  if (!existsSync("package.json")) return false;
  let said;
  try {
    said = JSON.parse(readFileSync("package.json", "utf8"));
  } catch (thrown) {
    fail(`package.json:1: is not JSON: ${thrown.message}`);
  }
  return [said.dependencies, said.optionalDependencies].some((some) => Object.keys(some ?? {}).length > 0);
}

function resolve({ lock, argv, frozen, outdated, unavailable, besides, leaves }) {
  if (existsSync("bun.lockb") && lock === "bun.lock" && !existsSync(lock)) {
    fail("bun.lockb is not read: make a bun.lock of it (bun install --save-text-lockfile), and pack that");
  }
  const locked = existsSync(lock);
  const [program, ...rest] = locked ? [...argv, frozen] : argv;
  // Deno reads it in capitals, and operators write it as npm does.
  const registry = process.env.NPM_CONFIG_REGISTRY ?? process.env.npm_config_registry;
  const env = {
    ...process.env,
    ...(registry && { NPM_CONFIG_REGISTRY: registry }),
    NO_COLOR: "1",
    DENO_DIR: `${scratch}/deno`,
    DENO_NO_UPDATE_CHECK: "1",
  };
  const { status, stdout, stderr, error } = spawnSync(program, rest, {
    encoding: "utf8",
    env,
    maxBuffer: 16 * 1024 * 1024,
  });
  if (error) fail(`${program} could not be started: ${error.message}`, UNAVAILABLE);
  if (status !== 0) {
    const said = `${stdout}${stderr}`;
    const lines = said.split("\n").filter((line) => line.trim() !== "" && !besides.test(line));
    const text = lines.map((line) => line.replace(/^error: /, "")).join("\n") || said.trim();
    if (unavailable.test(said)) {
      const hint = /\b403\b|unsuccessful tunnel/.test(said)
        ? "\n(builds reach the hosts of the setting buildRegistries)"
        : "";
      fail(`packages could not be fetched; nothing is wrong with the source for that: ${text}${hint}`, UNAVAILABLE);
    }
    if (locked && outdated.test(said)) fail(`${lock} does not fit package.json: ${text}`);
    fail(`${program} could not resolve package.json: ${text}`);
  }
  for (const name of leaves) rmSync(name, { force: true });
  copyFileSync(lock, lockFile);
}

function fail(said, status = 1) {
  console.log(said);
  process.exit(status);
}
