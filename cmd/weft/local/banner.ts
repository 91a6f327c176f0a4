import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "./layout.js";

/** A few aligned lines: what runs, and where. */
export function banner(mode: string, rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
  return `\nweft ${version()}  ${mode}\n\n${lines.join("\n")}\n\n`;
}

export function version(): string {
  return (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { readonly version: string }).version;
}
