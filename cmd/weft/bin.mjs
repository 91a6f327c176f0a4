#!/usr/bin/env node
// Runs the compiled CLI; says what to do when it is not compiled.

import { existsSync } from "node:fs";
import * as module from "node:module";
import { fileURLToPath } from "node:url";

const main = new URL("../../dist/cmd/weft/main.js", import.meta.url);
if (!existsSync(fileURLToPath(main))) {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  process.stderr.write(`error WEFT-1000  weft is not built yet\n  run     npm run build    (in ${root})\n`);
  process.exit(1);
}
module.enableCompileCache?.(); // from Node 22: half of the start is compiling
await import(main.href);
