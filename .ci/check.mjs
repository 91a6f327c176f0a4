// Everything that can be said about the code without running it. Prints one line per check, and what a failing one said.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const node = process.execPath;
const bin = (name) => `node_modules/.bin/${name}`;
const folders = ["cmd", "internal", "runtimes", "test", ".ci"].filter((folder) => existsSync(folder));

const checks = [
  ["format", bin("prettier"), ["--check", "--log-level", "warn", "."], "npm run fix"],
  ["types", node, ["node_modules/ts7/bin/tsc", "-p", "tsconfig.json", "--noEmit"]],
  ["lint", bin("eslint"), ["--config", ".ci/eslint.config.js", ...folders], "npm run fix repairs some of it"],
  ["imports", bin("depcruise"), ["--config", ".ci/dependency-cruiser.mjs", ...folders.filter((f) => f !== ".ci")]],
  ["proto lint", bin("buf"), ["lint"]],
  [
    "proto format",
    bin("buf"),
    ["format", "--diff", "--exit-code", "--path", "proto/weft"],
    "node_modules/.bin/buf format -w --path proto/weft",
  ],
  [
    "proto breaking",
    bin("buf"),
    ["breaking", "--against", "proto/accepted.binpb"],
    "keep the field, or write an ADR and run: npm run proto:accept",
  ],
  ["shell", "bash", ["-n", ...shellScripts()]],
];

let failed = 0;
for (const [name, command, args, fix] of checks) {
  const from = Date.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  const seconds = ((Date.now() - from) / 1000).toFixed(1);
  if (status === 0) {
    process.stdout.write(`\u2713 ${name.padEnd(16)} ${seconds.padStart(6)} s\n`);
    continue;
  }
  failed += 1;
  process.stdout.write(
    `\u2717 ${name.padEnd(16)} ${seconds.padStart(6)} s\n${error ? `${error.message}\n` : ""}${stdout}${stderr}`,
  );
  if (fix) process.stdout.write(`  fix: ${fix}\n`);
}
process.exit(failed === 0 ? 0 : 1);

function shellScripts() {
  const { stdout } = spawnSync("git", ["grep", "-lE", "^#!.*(ba)?sh$", "--", "deploy", ".ci"], { encoding: "utf8" });
  return stdout.split("\n").filter(Boolean);
}
