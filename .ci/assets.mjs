// Copies what the compiled program reads besides its code into dist.

import { cpSync } from "node:fs";

for (const path of ["internal/gen/weft.binpb", "runtimes/manifest.json", "runtimes/python/server.py"]) {
  cpSync(path, `dist/${path}`);
}
