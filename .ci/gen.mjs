// Generates internal/gen from proto/: TypeScript, and the descriptor set that reflection, the REST face and Envoy read.
// Does nothing when no input changed, so that build, check and test can run it first for free.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const stamp = "internal/gen/.inputs";
const hash = createHash("sha256");
const visit = (dir) => {
  for (const entry of readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) visit(path);
    else hash.update(path).update(readFileSync(path));
  }
};
visit("proto");
hash.update(readFileSync("buf.yaml")).update(readFileSync("package-lock.json"));
const inputs = hash.digest("hex");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== inputs) {
  const buf = (...args) => execFileSync("node_modules/.bin/buf", args, { stdio: "inherit" });
  mkdirSync("internal/gen", { recursive: true });
  buf("generate", "--template", "proto/buf.gen.yaml");
  buf("build", "--exclude-source-info", "--as-file-descriptor-set", "-o", "internal/gen/weft.binpb");
  writeFileSync(stamp, inputs);
}
