// Copies what the compiled program reads besides its code into dist.

import { cpSync, existsSync } from "node:fs";

for (const path of ["internal/gen/weft.binpb", "runtimes/manifest.json", "runtimes/python/server.py"]) {
  if (existsSync(path)) cpSync(path, `dist/${path}`);
}
