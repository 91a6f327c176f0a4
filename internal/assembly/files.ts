// Files that a role reads besides its settings: they are part of the program and lie beside it.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseCataloguePackage, type CataloguePackage } from "../core/package/catalogue.js";
import { parseManifest, type RuntimeManifest } from "../core/sandbox/manifest.js";

/** dist/, when compiled. */
const programRoot = new URL("../../", import.meta.url);

export const runtimesDirectory = fileURLToPath(new URL("runtimes", programRoot));
export const descriptorsPath = fileURLToPath(new URL("internal/gen/weft.binpb", programRoot));

export function readManifest(): RuntimeManifest {
  return parseManifest(readFileSync(new URL("runtimes/manifest.json", programRoot), "utf8"));
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

/** The serialised descriptor set of the protos. */
export function readDescriptors(): Uint8Array {
  return readFileSync(descriptorsPath);
}

/** Of package.json, which lies above dist/. */
export function readVersion(): string {
  const text = readFileSync(new URL("../package.json", programRoot), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
