// Generates internal/gen from proto/: TypeScript, and the descriptor set that reflection, the REST face and Envoy read.
// Does nothing when no input changed, so that build, check and test can run it first for free.
//
// Two things that ts-proto writes are replaced, because messages of the data plane pay for them each time: an empty array
// made for every field of bytes, to be thrown away, and 64-bit numbers read by way of text.

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
hash.update(readFileSync(".ci/gen.mjs")).update(readFileSync("buf.yaml")).update(readFileSync("package-lock.json"));
const inputs = hash.digest("hex");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== inputs) {
  const buf = (...args) => execFileSync("node_modules/.bin/buf", args, { stdio: "inherit" });
  mkdirSync("internal/gen", { recursive: true });
  buf("generate", "--template", "proto/buf.gen.yaml");
  buf("build", "--exclude-source-info", "--as-file-descriptor-set", "-o", "internal/gen/weft.binpb");
  improve("internal/gen");
  writeFileSync(stamp, inputs);
}

function improve(directory) {
  const done = { empty: 0, numbers: 0 };
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.name.endsWith(".pb.ts")) continue;
    const path = join(entry.path, entry.name);
    const text = readFileSync(path, "utf8");
    let improved = text.replaceAll("new Uint8Array(0)", () => (done.empty++, "NO_BYTES"));
    if (improved !== text) improved += "\nconst NO_BYTES = new Uint8Array(0);\n";
    improved = improved.replaceAll(
      "const num = globalThis.Number(int64.toString());",
      (found) => (done.numbers++, found.replace("=", '= typeof int64 === "number" ? int64 :')),
    );
    if (improved !== text) writeFileSync(path, improved);
  }
  if (done.empty === 0 || done.numbers === 0)
    throw new Error("ts-proto writes other code now: see improve in .ci/gen.mjs");
}
