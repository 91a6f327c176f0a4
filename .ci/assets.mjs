// Puts into dist what the compiled program needs besides its own code: files that it reads, and the nodejs runtime as
// scripts. As modules it would take a quarter longer to say hello.

import { cpSync } from "node:fs";
import { rolldown } from "rolldown";

for (const path of ["internal/gen/weft.binpb", "runtimes/manifest.json", "runtimes/python/server.py"]) {
  cpSync(path, `dist/${path}`);
}
cpSync("runtimes/catalogue", "dist/runtimes/catalogue", { recursive: true });

// What is imported when it is needed stays a file of its own.
const runtime = await rolldown({
  input: "runtimes/nodejs/server.ts",
  platform: "node",
  resolve: { extensionAlias: { ".js": [".ts"] } },
});
await runtime.write({
  dir: "dist/runtimes/nodejs",
  format: "cjs",
  entryFileNames: "[name].cjs",
  chunkFileNames: "[name].cjs",
});
await runtime.close();
