import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { kindEnv, launcherArgs, parseManifest } from "./manifest.js";

const entry = { kind: "nodejs:20", default: true, image: "i", command: ["node", "nodejs/server.cjs"] };
const json = (nodejs: unknown): string => JSON.stringify({ runtimes: { nodejs } });

describe("a runtimes manifest", () => {
  it("of this repository can be read", () => {
    const manifest = parseManifest(readFileSync(new URL("../../../runtimes/manifest.json", import.meta.url), "utf8"));
    expect(manifest.resolve("nodejs:default")?.kind).toBe("nodejs:20");
    expect(manifest.resolve("python:3.11")?.image).toBe("weft/runtime-python:3.11");
    expect(manifest.resolve("cobol:default")).toBeUndefined();
    const node = manifest.find("nodejs:20");
    expect(node && kindEnv(node, 256)["NODE_OPTIONS"]).toBe("--max-old-space-size=256");
  });

  it.each<[name: string, text: string, complaint: string]>([
    ["text that is not JSON", "{", "manifest: not JSON"],
    ["no runtimes", "{}", "runtimes: must be an object"],
    [
      "a kind of another family",
      json([{ ...entry, kind: "python:3.11" }]),
      'runtimes.nodejs[0].kind: must begin with "nodejs:"',
    ],
    ["no default", json([{ ...entry, default: false }]), "runtimes.nodejs: one kind must be the default, not 0"],
    ["a kind twice", json([entry, { ...entry, default: false }]), "runtimes: nodejs:20 is there twice"],
    ["no image", json([{ ...entry, image: "" }]), "runtimes.nodejs[0].image: must be a text"],
    [
      "a launcher that there is not",
      json([{ ...entry, launcher: "magic" }]),
      "runtimes.nodejs[0].launcher: must be one of loop, exec, http",
    ],
    [
      "a program that nothing starts",
      json([{ ...entry, program: ["ruby"] }]),
      "runtimes.nodejs[0].program: is started by a launcher",
    ],
    ["neither command nor launcher", json([{ ...entry, command: undefined }]), "runtimes.nodejs[0].command"],
    ["a build without an image", json([{ ...entry, build: { command: [] } }]), "runtimes.nodejs[0].build.image"],
    [
      "a negative count",
      json([{ ...entry, stemCells: [{ count: -1, memoryMb: 256 }] }]),
      "runtimes.nodejs[0].stemCells[0].count",
    ],
  ])("with %s is refused, saying where", (_, text, complaint) => {
    expect(() => parseManifest(text)).toThrow(complaint);
  });

  it("says what the launcher starts, wherever the runtimes lie", () => {
    const [kind] = parseManifest(
      json([{ ...entry, command: undefined, launcher: "loop", program: ["/bin/env", "ruby", "ruby/loop.rb", "-v"] }]),
    ).kinds;
    expect(kind && launcherArgs(kind, (path) => `/here/${path}`)).toEqual([
      "loop",
      "/bin/env",
      "ruby",
      "/here/ruby/loop.rb",
      "-v",
    ]);
    expect(kind).toMatchObject({ concurrency: true, command: [], build: undefined });
  });

  it("says how source is built, and which kinds take one call at a time", () => {
    const build = { image: "weft/base-go", memoryMb: 512, timeoutMs: 60_000, network: true, command: ["make"] };
    const [kind] = parseManifest(json([{ ...entry, build, concurrency: false }])).kinds;
    expect(kind).toMatchObject({ build, concurrency: false, launcher: undefined });
  });
});
