// Puts into dist what the compiled program needs besides its own code: files that it reads, and the nodejs runtime as
// scripts. As modules it would take a quarter longer to say hello.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rolldown } from "rolldown";

/** Modules that nodejs actions find without bringing them, as in OpenWhisk's images. */
const SHIPPED_MODULES = ["openwhisk"];

for (const path of [
  "internal/gen/weft.binpb",
  "runtimes/manifest.json",
  "runtimes/nodejs/build.sh",
  "runtimes/nodejs/resolve.sh",
  "runtimes/python/server.py",
  "runtimes/python/build.sh",
  "runtimes/python/resolve.sh",
  "runtimes/python/resolve.py",
  "runtimes/python/check.py",
  "runtimes/ruby/loop.rb",
  "runtimes/ruby/build.sh",
  "runtimes/ruby/resolve.sh",
  "runtimes/ruby/check.rb",
  "runtimes/php/loop.php",
  "runtimes/php/build.sh",
  "runtimes/php/resolve.sh",
  "runtimes/php/check.php",
  "runtimes/native/example.sh",
  "runtimes/native/build.sh",
  "runtimes/go/build.sh",
  "runtimes/go/weft_loop.go",
]) {
  cpSync(path, `dist/${path}`);
}
cpSync("runtimes/deno/weft-deno", "dist/runtimes/deno/weft-deno");
// The types taken out, for both.
const loop = await rolldown({ input: "runtimes/deno/loop.ts", platform: "node" });
for (const family of ["deno", "bun"]) {
  await loop.write({ file: `dist/runtimes/${family}/loop.mjs`, format: "esm" });
  for (const name of ["build.sh", "check.mjs", "resolve.sh", "resolve.mjs"])
    cpSync(`runtimes/deno/${name}`, `dist/runtimes/${family}/${name}`);
}
await loop.close();
rmSync("dist/runtimes/java", { recursive: true, force: true });
for (const path of ["manifest.mf", "weft-java", "build.sh", "src", "warm-up"]) {
  cpSync(`runtimes/java/${path}`, `dist/runtimes/java/${path}`, { recursive: true });
}
cpSync("runtimes/rust/build.sh", "dist/runtimes/rust/build.sh");
cpSync("runtimes/rust/weft-action", "dist/runtimes/rust/weft-action", { recursive: true });
cpSync("runtimes/catalogue", "dist/runtimes/catalogue", { recursive: true });

// The launcher is built by deploy/local/images; its source's digest says where that puts it and where we look for it.
const launcher = createHash("sha256");
for (const name of readdirSync("runtimes/launcher", { recursive: true }).sort()) {
  if (/(?<!_test)\.go$|^go\.mod$|^Dockerfile$/.test(name))
    launcher.update(`${name}\n`).update(readFileSync(`runtimes/launcher/${name}`));
}
mkdirSync("dist/runtimes/launcher", { recursive: true });
writeFileSync("dist/runtimes/launcher/digest", `${launcher.digest("hex").slice(0, 16)}\n`);

// What is imported when it is needed stays a file of its own.
const runtime = await rolldown({
  input: {
    server: "runtimes/nodejs/server.ts",
    check: "runtimes/nodejs/check.ts",
    resolve: "runtimes/nodejs/resolve.ts",
  },
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
