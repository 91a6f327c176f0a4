import { describe, expect, it } from "vitest";

import { checkDefinition, type Definition } from "./definition.js";

/** A world of actions: an array is a sequence, a text is a name for another key, as a binding has it. */
type World = Readonly<Record<string, readonly string[] | "atomic" | "forbidden" | `=${string}`>>;

async function check(self: string, components: readonly string[], world: World): Promise<string> {
  const find = (key: string): Promise<Definition> => {
    const one = world[key];
    if (one === undefined) return Promise.resolve({ kind: "missing" });
    if (one === "atomic" || one === "forbidden") return Promise.resolve({ kind: one });
    if (typeof one !== "string") return Promise.resolve({ kind: "sequence", key, components: one });
    const behind = world[one.slice(1)];
    return Promise.resolve({
      kind: "sequence",
      key: one.slice(1),
      components: Array.isArray(behind) ? (behind as string[]) : [],
    });
  };
  try {
    await checkDefinition(self, components, find);
    return "";
  } catch (thrown) {
    return (thrown as Error).message;
  }
}

const fill = (length: number, key: string): string[] => Array<string>(length).fill(key);

describe("a sequence may", () => {
  it.each<[string, readonly string[], World]>([
    ["have the same action fifty times", fill(50, "g/a"), { "g/a": "atomic" }],
    ["have sequences", ["g/s", "g/s", "g/a"], { "g/s": fill(24, "g/a"), "g/a": "atomic" }],
    ["have what is missing further down", ["g/s"], { "g/s": ["g/gone"] }],
    ["have what is forbidden further down", ["g/s"], { "g/s": ["o/x"], "o/x": "forbidden" }],
  ])("%s", async (_what, components, world) => {
    expect(await check("g/self", components, world)).toBe("");
  });
});

describe("a sequence may not", () => {
  it.each<[string, readonly string[], World, string]>([
    ["have itself", ["g/a", "g/self"], { "g/a": "atomic" }, "may not refer to itself"],
    ["lead back to itself", ["g/s"], { "g/s": ["g/t"], "g/t": ["g/self"] }, "may not refer to itself"],
    ["have itself through a binding", ["g/bound"], { "g/bound": "=g/self", "g/self": [] }, "may not refer to itself"],
    ["have others that go round", ["g/s"], { "g/s": ["g/t"], "g/t": ["g/s"] }, "Too many actions"],
    ["have what is missing", ["g/gone"], {}, "Sequence component does not exist"],
    ["have what is somebody else's", ["o/x"], { "o/x": "forbidden" }, "may not use the component /o/x"],
    ["have more than fifty", ["g/s", "g/s", "g/s"], { "g/s": fill(17, "g/a"), "g/a": "atomic" }, "Too many actions"],
    [
      "come to very many by doubling",
      ["g/s0"],
      Object.fromEntries([
        ...Array.from({ length: 40 }, (_, i) => [`g/s${i}`, [`g/s${i + 1}`, `g/s${i + 1}`]]),
        ["g/s40", "atomic"],
      ]) as World,
      "Too many actions",
    ],
  ])("%s", async (_what, components, world, why) => {
    expect(await check("g/self", components, world)).toContain(why);
  });
});
