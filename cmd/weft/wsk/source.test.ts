// Reading a namespace over OpenWhisk's REST API, against documents as OpenWhisk writes them.

import { describe, expect, it } from "vitest";

import { WeftError } from "../../../internal/base/errors.js";
import { zipOf } from "../../../test/harness/zip.js";
import { moved, namespaceThere, readThere, type Read } from "./source.js";

/** SHA-256 of nothing. */
const EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ARCHIVE = Buffer.from(zipOf([{ name: "index.js", content: "x" }])).toString("base64");
const DOCUMENTS: Readonly<Record<string, string>> = {
  "/namespaces": '["guest"]',
  "/namespaces/guest/packages": `[
    {"namespace":"guest","name":"p","version":"0.0.3","publish":true,"annotations":[],"binding":false},
    {"namespace":"guest","name":"mine","version":"0.0.1","publish":false,"annotations":[],"binding":{"namespace":"whisk.system","name":"utils"}},
    {"namespace":"guest","name":"lost","version":"0.0.1","publish":false,"annotations":[],"binding":{"namespace":"guest","name":"gone"}}]`,
  "/namespaces/guest/packages/p":
    '{"namespace":"guest","name":"p","version":"0.0.3","publish":true,"annotations":[{"key":"note","value":{"a":1.50}}],"parameters":[{"key":"place","value":"Paris"},{"key":"big","value":12345678901234567890}],"binding":{},"actions":[]}',
  "/namespaces/guest/packages/mine":
    '{"namespace":"guest","name":"mine","version":"0.0.1","publish":false,"annotations":[{"key":"binding","value":{"name":"utils"}}],"parameters":[{"key":"theirs","value":1},{"key":"own","value":2}],"binding":{"namespace":"whisk.system","name":"utils"}}',
  "/namespaces/whisk.system/packages/utils":
    '{"namespace":"whisk.system","name":"utils","parameters":[{"key":"theirs","value":1}]}',
  "/namespaces/guest/actions": `[{"namespace":"guest/p","name":"hello"},{"namespace":"guest","name":"zip"},{"namespace":"guest","name":"s"},
    {"namespace":"guest","name":"image"},{"namespace":"guest","name":"secret"},{"namespace":"guest","name":"a b@c"}]`,
  "/namespaces/guest/actions/p/hello":
    '{"namespace":"guest/p","name":"hello","version":"0.0.7","exec":{"kind":"nodejs:20","code":"return \\"\\u00e9\\"","binary":false,"main":"go"},"parameters":[{"key":"place","value":"Paris"},{"key":"big","value":1},{"key":"env","value":"x","init":true}],"annotations":[{"key":"exec","value":"nodejs:20"},{"key":"provide-api-key","value":false},{"key":"web-export","value":true}],"limits":{"timeout":5000,"memory":128,"logs":0,"concurrency":1}}',
  "/namespaces/guest/actions/zip": `{"namespace":"guest","name":"zip","exec":{"kind":"nodejs:20","code":"${ARCHIVE}","binary":true},"annotations":[{"key":"provide-api-key","value":true}],"limits":{}}`,
  "/namespaces/guest/actions/s":
    '{"namespace":"guest","name":"s","exec":{"kind":"sequence","components":["/guest/p/hello","/_/zip","/whisk.system/utils/echo"]},"parameters":[{"key":"_actions","value":[]}],"annotations":[],"limits":{}}',
  "/namespaces/guest/actions/image":
    '{"namespace":"guest","name":"image","exec":{"kind":"blackbox","image":"me/image","binary":false},"limits":{}}',
  "/namespaces/guest/actions/secret":
    '{"namespace":"guest","name":"secret","exec":{"kind":"nodejs:20","code":"abcd","binary":true},"parameters":[{"key":"pw","value":"Zm9v","encryption":"aes-256"}],"limits":{}}',
  "/namespaces/guest/actions/a%20b%40c":
    '{"namespace":"guest","name":"a b@c","exec":{"kind":"nodejs:20","code":"x","binary":false},"limits":{}}',
  "/namespaces/guest/triggers": '[{"namespace":"guest","name":"t"}]',
  "/namespaces/guest/triggers/t":
    '{"namespace":"guest","name":"t","version":"0.0.1","annotations":[{"key":"feed","value":"/guest/p/feed"},{"key":"weft-feed-inputs","value":"x"}],"parameters":[{"key":"k","value":null}],"rules":{}}',
  "/namespaces/guest/rules": '[{"namespace":"guest","name":"r"}]',
  "/namespaces/guest/rules/r":
    '{"namespace":"guest","name":"r","status":"inactive","trigger":{"path":"guest","name":"t"},"action":{"path":"guest/p","name":"hello"},"annotations":[]}',
};

/** As a server: pages of two. */
const read: Read = (path) => {
  const [place = "", query] = path.split("?");
  const text = DOCUMENTS[place];
  if (text === undefined) return Promise.reject(new WeftError("notFound", "HTTP_404", `${path} does not exist`));
  if (query === undefined) return Promise.resolve(text);
  const skip = Number(new URLSearchParams(query).get("skip"));
  return Promise.resolve(JSON.stringify((JSON.parse(text) as unknown[]).slice(skip, skip + 2)));
};
const all = () => readThere(read, { namespace: "guest", target: "here", progress: () => {} });

describe("readThere", () => {
  it("reads packages, bindings with what is their own, and says which cannot be read", async () => {
    const { packages } = await all();
    expect([...packages.values()]).toEqual([
      {
        name: "p",
        publish: true,
        version: "0.0.3",
        annotations: [{ key: "note", valueJson: '{"a":1.50}', init: false }],
        parameters: [
          { key: "place", valueJson: '"Paris"', init: false },
          { key: "big", valueJson: "12345678901234567890", init: false },
        ],
      },
      {
        name: "mine",
        publish: false,
        version: "0.0.1",
        annotations: [],
        parameters: [{ key: "own", valueJson: "2", init: false }],
        binding: { namespace: "whisk.system", name: "utils" },
      },
      expect.objectContaining({
        name: "lost",
        binding: { namespace: "here", name: "gone" },
        problem: "it is bound to /guest/gone, which cannot be read there",
      }),
    ]);
  });

  it("reads actions without what is their package's and the platform's", async () => {
    const hello = (await all()).actions.get("p/hello");
    expect(hello).toMatchObject({
      kind: "nodejs:20",
      main: "go",
      binary: false,
      version: "0.0.7",
      parameters: [
        { key: "big", valueJson: "1", init: false },
        { key: "env", valueJson: '"x"', init: true },
      ],
      annotations: [{ key: "web-export", valueJson: "true", init: false }],
      limits: { timeoutMs: 5_000, memoryMb: 128, logsMb: 0, concurrency: 1 },
    });
    expect(Buffer.from((await hello?.code?.()) ?? []).toString()).toBe('return "é"');
  });

  it("reads archives, sequences, and names with signs in them", async () => {
    const { actions } = await all();
    expect(actions.get("zip")).toMatchObject({
      binary: true,
      annotations: [{ key: "provide-api-key", valueJson: "true" }],
    });
    expect(actions.get("s")).toMatchObject({
      kind: "sequence",
      components: ["/here/p/hello", "/here/zip", "/whisk.system/utils/echo"],
      parameters: [],
    });
    expect(actions.get("a b@c")).toBeDefined();
  });

  it("brings the names of images, and says what cannot be brought: what is encrypted", async () => {
    const { actions } = await all();
    expect(actions.get("image")).toMatchObject({ kind: "blackbox", image: "me/image", codeDigest: EMPTY_DIGEST });
    expect(actions.get("image")?.problem).toBeUndefined();
    expect(actions.get("secret")?.sealed).toMatch(/^its parameters pw are encrypted there/);
    // What OpenWhisk takes for base64 is text.
    expect(actions.get("secret")).toMatchObject({ binary: false });
  });

  it("takes what is encrypted of a package for the package's alone", async () => {
    const pw = '{"key":"pw","value":"Zm9v","encryption":"aes-256"}';
    const document = (name: string, parameters: string): string =>
      `{"namespace":"guest","name":"${name}","publish":false,"annotations":[],"parameters":[${parameters}]}`;
    const answers: Readonly<Record<string, string>> = {
      "/namespaces/guest/packages":
        '[{"namespace":"guest","name":"p"},{"namespace":"guest","name":"b","binding":{"namespace":"guest","name":"p"}}]',
      "/namespaces/guest/packages/p": document("p", pw),
      "/namespaces/guest/packages/b": document("b", pw),
      "/namespaces/guest/actions": '[{"namespace":"guest/p","name":"a"},{"namespace":"guest/p","name":"own"}]',
      "/namespaces/guest/actions/p/a": document("a", pw).replace("guest", "guest/p"),
      "/namespaces/guest/actions/p/own": document("own", pw.replace("Zm9v", "YmFy")).replace("guest", "guest/p"),
      "/namespaces/guest/triggers": "[]",
      "/namespaces/guest/rules": "[]",
    };
    const sealed: Read = (path) => {
      const [place = "", query = ""] = path.split("?");
      return Promise.resolve(query === "" || query.endsWith("skip=0") ? (answers[place] ?? "") : "[]");
    };
    const got = await readThere(sealed, { namespace: "guest", target: "here", progress: () => {} });
    const why = "its parameters pw are encrypted there";
    expect([...got.packages.values(), ...got.actions.values()].map((one) => [one.name, one.sealed])).toEqual([
      ["p", why],
      ["b", undefined],
      ["p/a", undefined],
      ["p/own", why],
    ]);
  });

  it("reads what a sequence has for limits, and what says that it is public", async () => {
    const public_: Read = async (path) =>
      (await read(path)).replace('"limits":{}', '"publish":true,"limits":{"timeout":5000}');
    const { actions, rules } = await readThere(public_, { namespace: "guest", target: "here", progress: () => {} });
    expect(actions.get("s")).toMatchObject({ publish: true, limits: { timeoutMs: 5_000, memoryMb: 256 } });
    expect(actions.get("p/hello")).toMatchObject({ publish: false });
    expect(rules.get("r")).toMatchObject({ publish: false });
  });

  it("reads triggers with their feeds, and rules with their state", async () => {
    const { triggers, rules } = await all();
    expect(triggers.get("t")).toMatchObject({
      annotations: [{ key: "feed", valueJson: '"/here/p/feed"' }],
      parameters: [{ key: "k", valueJson: "null" }],
      feed: { action: "/here/p/feed" },
      note: expect.stringContaining("its feed /here/p/feed") as string,
    });
    expect(rules.get("r")).toMatchObject({ trigger: "/here/t", action: "/here/p/hello", active: false });
  });

  it("names what cannot be read", async () => {
    const broken: Read = (path) =>
      path.endsWith("/rules/r") ? Promise.reject(new WeftError("unavailable", "HTTP_500", "500: oh")) : read(path);
    await expect(readThere(broken, { namespace: "guest", target: "here", progress: () => {} })).rejects.toMatchObject({
      kind: "unavailable",
      message: "reading rule r: 500: oh",
    });
  });

  it("ends with a server that does not know pages, and says when it is none of OpenWhisk", async () => {
    const whole: Read = (path) => read(path.split("?")[0] ?? "");
    expect((await readThere(whole, { namespace: "guest", target: "here", progress: () => {} })).actions.size).toBe(6);
    const strange: Read = () => Promise.resolve("{}");
    await expect(readThere(strange, { namespace: "guest", target: "here", progress: () => {} })).rejects.toMatchObject({
      reason: "NOT_OPENWHISK",
    });
    await expect(namespaceThere(strange, "_")).rejects.toMatchObject({ reason: "NOT_OPENWHISK" });
  });
});

describe("namespaceThere", () => {
  it("is the key's own, or the one that it opens", async () => {
    expect(await namespaceThere(read, "_")).toBe("guest");
    expect(await namespaceThere(read, "guest")).toBe("guest");
    await expect(namespaceThere(read, "other")).rejects.toThrow("does not open other: it opens guest");
  });
});

describe("moved", () => {
  it.each([
    ["/guest/a", "/here/a"],
    ["guest/p/a", "/here/p/a"],
    ["/_/a", "/here/a"],
    ["/other/p/a", "/other/p/a"],
  ])("%s is %s", (name, there) => {
    expect(moved(name, "guest", "here")).toBe(there);
  });
});
