// Puts into dist what the compiled program needs besides its own code: files that it reads, and the nodejs runtime as
// scripts. As modules it would take a quarter longer to say hello.

import { cpSync, readFileSync, rmSync } from "node:fs";
import { rolldown } from "rolldown";

/** Modules that nodejs actions find without bringing them, as in OpenWhisk's images. */
const SHIPPED_MODULES = ["openwhisk"];

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

// With all that they need, from where npm put them. Copies, because the image of the runtime is made of dist alone.
const modules = "dist/runtimes/nodejs/node_modules";
rmSync(modules, { recursive: true, force: true });
const shipped = new Set(SHIPPED_MODULES);
for (const name of shipped) {
  const { dependencies = {} } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  for (const needed of Object.keys(dependencies)) shipped.add(needed);
  cpSync(`node_modules/${name}`, `${modules}/${name}`, {
    recursive: true,
    filter: (path) => !/\/(tests?|docs|examples?|\.github|[^/]*\.d\.ts)$/.test(path),
  });
}
