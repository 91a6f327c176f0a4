// What comes with Weft does what its own notes say.

import { Script, createContext } from "node:vm";
import { describe, expect, it } from "vitest";

import { readCatalogue } from "./files.js";

const all = readCatalogue().flatMap((one) => one.actions);
/** What a controller runs itself has no code here. */
const actions = all.filter((action) => !action.exec?.builtin);
const note = (action: (typeof actions)[number], key: string): unknown =>
  JSON.parse(action.annotations.find((one) => one.key === key)?.valueJson ?? "null");

const run = (action: (typeof actions)[number], params: unknown): unknown => {
  const console = { log: () => undefined };
  const process = { env: { __OW_NAMESPACE: "guest" } };
  const context = createContext({ params: JSON.stringify(params), console, process });
  const code = Buffer.from(action.exec?.code ?? "").toString();
  return JSON.parse(String(new Script(`${code}\nJSON.stringify(main(JSON.parse(params)))`).runInContext(context)));
};
const named = (name: string) => actions.find((action) => action.name === name)!;

describe("the catalogue's", () => {
  it.each(actions.map((action) => [action.name, action] as const))("%s answers as its sample says", (name, action) => {
    expect(note(action, "description")).toEqual(expect.any(String));
    const answer = run(action, note(action, "sampleInput"));
    if (name === "utils/date") expect(answer).toEqual({ date: expect.stringMatching(/^\d{4}-.*Z$/) as unknown });
    else expect(answer).toEqual(note(action, "sampleOutput"));
  });

  it.each(all.filter((action) => action.exec?.builtin).map((action) => [action.name, action] as const))(
    "%s says what it takes, and is a feed",
    (_name, action) => {
      expect(note(action, "feed")).toBe(true);
      const known = (note(action, "parameters") as { readonly name: string }[]).map(({ name }) => name);
      expect([...known, "trigger_payload"]).toEqual(
        expect.arrayContaining(Object.keys(note(action, "sampleInput") as object)),
      );
    },
  );

  it.each<[string, unknown, unknown]>([
    ["utils/split", { payload: "a\r\nb\nc" }, { lines: ["a", "b", "c"], payload: "a\r\nb\nc" }],
    ["utils/split", {}, { lines: [""], payload: "" }],
    ["utils/sort", { lines: "b" }, { error: "lines must be an array" }],
    ["utils/cat", { lines: {} }, { error: "lines must be an array" }],
    ["utils/head", { lines: ["a"], num: "2" }, { lines: ["a"], num: 2 }],
    ["utils/head", { lines: ["a"], num: -1 }, { error: "num must be a whole number, 0 or more" }],
    ["utils/smash", { a: 1 }, { error: "$fieldName must be a text" }],
    ["utils/hosturl", { web: true, path: "hi" }, { url: "/api/v1/web/guest/default/hi.json" }],
    ["utils/hosturl", { web: true, path: "p/hi", ext: ".http" }, { url: "/api/v1/web/guest/p/hi.http" }],
    ["utils/hosturl", { trigger: true, path: "t" }, { url: "/api/v1/namespaces/guest/triggers/t" }],
    ["utils/hosturl", { trigger: true, path: "p/t" }, { error: "triggers are not in packages" }],
    ["samples/wordCount", { payload: "  " }, { count: 0 }],
    ["samples/greeting", {}, { payload: "Hello, stranger from somewhere!" }],
  ])("%s of %j", (name, params, answer) => {
    expect(run(named(name), params)).toEqual(answer);
  });
});
