// Files that a role reads besides its settings: they are part of the program and lie beside it, or a setting names them.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { invalidField } from "../base/errors.js";
import { parseTokenProviders, type TokenProviders } from "../core/api/oauth.js";
import { parseCataloguePackage, type CataloguePackage } from "../core/package/catalogue.js";
import type { DocsFile } from "../gateway/rest/openwhisk/docs-pages.js";
import { parseManifest, type RuntimeManifest } from "../core/sandbox/manifest.js";

/** dist/, when compiled. */
const programRoot = new URL("../../", import.meta.url);

export const runtimesDirectory = fileURLToPath(new URL("runtimes", programRoot));
export const descriptorsPath = fileURLToPath(new URL("internal/gen/weft.binpb", programRoot));

export function readManifest(): RuntimeManifest {
  return parseManifest(readFileSync(new URL("runtimes/manifest.json", programRoot), "utf8"));
}

/** @param path of the setting tokenProviders. @throws invalidArgument also when the file cannot be read */
export function readTokenProviders(path: string | undefined): TokenProviders {
  if (path === undefined) return parseTokenProviders(undefined);
  let json: string;
  try {
    json = readFileSync(path, "utf8");
  } catch (thrown) {
    throw invalidField("tokenProviders", `cannot be read: ${(thrown as Error).message}`);
  }
  return parseTokenProviders(json);
}

/** The launcher of this very program, where deploy/local/images has put it; undefined when it is not there. */
export function findLauncher(launcherDir: string): string | undefined {
  const digestFile = new URL("runtimes/launcher/digest", programRoot);
  if (!existsSync(digestFile)) return undefined;
  const digest = readFileSync(digestFile, "utf8").trim();
  const path = join(launcherDir, digest, "weft-launcher");
  return existsSync(path) ? path : undefined;
}

/** The packages that come with Weft: a folder each. */
export function readCatalogue(): readonly CataloguePackage[] {
  const root = new URL("runtimes/catalogue/", programRoot);
  return readdirSync(root)
    .sort()
    .map((name) => {
      const folder = new URL(`${name}/`, root);
      return parseCataloguePackage(name, readFileSync(new URL("manifest.json", folder), "utf8"), (file) =>
        readFileSync(new URL(file, folder)),
      );
    });
}

/** Files of Swagger's pages that are served, and nothing else of that package. Read when they are first asked for. */
export function docsFiles(): (name: string) => DocsFile | undefined {
  const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  const read = new Map<string, DocsFile>();
  return (name) => {
    const type = DOCS_TYPES.get(name);
    if (type === undefined) return undefined;
    const known = read.get(name) ?? { type, body: readFileSync(join(folder, name)) };
    read.set(name, known);
    return known;
  };
}

const DOCS_TYPES: ReadonlyMap<string, string> = new Map([
  ["swagger-ui-bundle.js", "text/javascript; charset=utf-8"],
  ["swagger-ui.css", "text/css; charset=utf-8"],
  ["index.css", "text/css; charset=utf-8"],
  ["favicon-32x32.png", "image/png"],
]);

/** The serialised descriptor set of the protos. */
export function readDescriptors(): Uint8Array {
  return readFileSync(descriptorsPath);
}

/** Of package.json, which lies above dist/. */
export function readVersion(): string {
  const text = readFileSync(new URL("../package.json", programRoot), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
