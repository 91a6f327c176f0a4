// What every kind's runtime does with code, one table for all languages: the same behaviour said in each of them. Each
// case talks to the real runtime through the process driver.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it } from "vitest";

import { silentLog } from "../../internal/base/log.js";
import { systemClock } from "../../internal/boot/system.js";
import type { SandboxProcess } from "../../internal/core/sandbox/driver.js";
import { parseManifest } from "../../internal/core/sandbox/manifest.js";
import type { Init } from "../../internal/gen/weft/runtime/v1/sandbox.pb.js";
import { ProcessDriver } from "../../internal/process/process-driver.js";
import { eventually } from "../harness/eventually.js";
import { RuntimePeer, type Ran } from "../harness/runtime-peer.js";
import { tarGzOf } from "../harness/tar.js";
import { zipOf } from "../harness/zip.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "weft-"));
const driver = new ProcessDriver({
  clock: systemClock,
  log: silentLog,
  manifest: parseManifest(readFileSync(join(root, "runtimes/manifest.json"), "utf8")),
  runtimesDirectory: join(root, "dist/runtimes"),
  directory: join(scratch, "d"),
  bootId: "test",
  path: process.env["PATH"] ?? "/usr/bin:/bin",
});
const here = await driver.kinds();
afterAll(async () => {
  await driver.close();
  rmSync(scratch, { recursive: true });
});

type Kind = "nodejs:20" | "python:3.11";
type Code = string | Uint8Array;
/** The same behaviour in each language. */
type InEach = Readonly<Record<Kind, Code>>;
const KINDS: readonly Kind[] = ["nodejs:20", "python:3.11"];

const open: SandboxProcess[] = [];
afterEach(async () => {
  for (const sandbox of open.splice(0)) await sandbox.destroy();
});

let count = 0;
async function aSandbox(kind: Kind): Promise<{ readonly sandbox: SandboxProcess; readonly peer: RuntimePeer }> {
  count += 1;
  const spec = { sandbox: count, kind, memoryMb: 512, pidsMax: 128, env: {} };
  const sandbox = await driver.create(spec, 20_000, new AbortController().signal);
  open.push(sandbox);
  return { sandbox, peer: new RuntimePeer(sandbox.link) };
}

async function loaded(kind: Kind, code: Code, init: Partial<Init> = {}): Promise<RuntimePeer> {
  const { peer } = await aSandbox(kind);
  const { ok, error } = await peer.init(code, init);
  expect([ok, error]).toEqual([true, undefined]);
  return peer;
}

/** A describe per kind; a kind that this machine cannot run is reported as skipped, and must not be in CI. */
function inEach(name: string, tests: (kind: Kind) => void): void {
  for (const kind of KINDS) {
    if (here.includes(kind)) {
      describe(`${kind} ${name}`, () => {
        tests(kind);
      });
    } else if (process.env["CI"]) {
      it(`${kind} ${name}`, () => {
        throw new Error(`CI must not skip: no ${kind} here`);
      });
    } else describe.skip(`${kind} ${name} (skipped: no ${kind} here)`, tests.bind(undefined, kind));
  }
}

interface RunRow {
  readonly name: string;
  readonly code: InEach;
  readonly params?: unknown;
  readonly init?: Partial<Init>;
  readonly expected: Partial<Pick<Ran, "outcome" | "result" | "logs">>;
  /** Where the languages differ, as OpenWhisk's runtimes do. */
  readonly but?: Partial<Record<Kind, Partial<Pick<Ran, "outcome" | "result" | "logs">>>>;
}

const NOT_AN_OBJECT = {
  outcome: "developerError",
  result: { error: "The action did not return a dictionary or array." },
} as const;

const rows: readonly RunRow[] = [
  {
    name: "returns an object",
    code: {
      "nodejs:20": `function main({ name }) { return { greeting: "Hello, " + name }; }`,
      "python:3.11": `def main(params):\n  return {"greeting": "Hello, " + params["name"]}`,
    },
    params: { name: "Ada" },
    expected: { outcome: "success", result: { greeting: "Hello, Ada" }, logs: [] },
  },
  {
    name: "keeps unicode in arguments, code, results and logs (#123)",
    code: {
      "nodejs:20": `function main({ text }) { console.log("日本 " + text); return { text: text + "ß🌍" }; }`,
      "python:3.11": `def main(params):\n  print("日本 " + params["text"])\n  return {"text": params["text"] + "ß🌍"}`,
    },
    params: { text: "Grüße\u0000" },
    expected: { result: { text: "Grüße\u0000ß🌍" }, logs: ["stdout: 日本 Grüße\u0000"] },
  },
  {
    name: "returns an array, and takes one",
    code: {
      "nodejs:20": `function main(params) { return [...params, { last: true }]; }`,
      "python:3.11": `def main(params):\n  return params + [{"last": True}]`,
    },
    params: [1, "two"],
    expected: { outcome: "success", result: [1, "two", { last: true }] },
  },
  {
    name: "is asynchronous",
    code: {
      "nodejs:20": `async function main({ n }) { await new Promise((r) => setTimeout(r, 5)); console.log("later"); return { n }; }`,
      "python:3.11": `import asyncio\nasync def main(params):\n  await asyncio.sleep(0.005)\n  print("later")\n  return {"n": params["n"]}`,
    },
    params: { n: 1 },
    expected: { outcome: "success", result: { n: 1 }, logs: ["stdout: later"] },
  },
  {
    name: "has another main",
    code: {
      "nodejs:20": `exports.other = () => ({ other: true });`,
      "python:3.11": `def other(params):\n  return {"other": True}`,
    },
    init: { main: "other" },
    expected: { result: { other: true } },
  },
  {
    name: "has a main inside of something",
    code: {
      "nodejs:20": `const api = { v1: { hello: () => ({ v: 1 }) } };`,
      "python:3.11": `class api:\n  class v1:\n    def hello(params):\n      return {"v": 1}`,
    },
    init: { main: "api.v1.hello" },
    expected: { result: { v: 1 } },
  },
  {
    name: "takes no parameters",
    code: {
      "nodejs:20": `const main = () => ({ ok: true });`,
      "python:3.11": `def main():\n  return {"ok": True}`,
    },
    expected: { result: { ok: true } },
  },
  {
    name: "returns an error with other things",
    code: {
      "nodejs:20": `function main() { return { error: { statusCode: 404 }, more: 1 }; }`,
      "python:3.11": `def main(params):\n  return {"error": {"statusCode": 404}, "more": 1}`,
    },
    expected: { outcome: "applicationError", result: { error: { statusCode: 404 } } },
  },
  {
    name: "returns an error that is false",
    code: {
      "nodejs:20": `function main() { return { error: false }; }`,
      "python:3.11": `def main(params):\n  return {"error": False}`,
    },
    expected: { outcome: "applicationError", result: { error: false } },
  },
  {
    name: "returns an error that is null",
    code: {
      "nodejs:20": `function main() { return { error: null }; }`,
      "python:3.11": `def main(params):\n  return {"error": None}`,
    },
    expected: { outcome: "applicationError", result: { error: null } },
  },
  {
    name: "throws",
    code: {
      "nodejs:20": `function main() {\n  throw new Error("no luck");\n}`,
      "python:3.11": `def main(params):\n  raise ValueError("no luck")`,
    },
    expected: {},
    but: {
      "nodejs:20": {
        outcome: "developerError",
        result: { error: "An error has occurred: no luck" },
        logs: ["stderr: Error: no luck", "stderr:     at main (hello.js:2:9)"],
      },
      "python:3.11": { outcome: "applicationError", result: { error: "no luck" } },
    },
  },
  {
    name: "throws while it is asynchronous",
    code: {
      "nodejs:20": `async function main() { await null; throw new Error("no luck"); }`,
      "python:3.11": `async def main(params):\n  raise ValueError("no luck")`,
    },
    expected: { outcome: "applicationError", result: { error: "no luck" } },
  },
  {
    name: "throws without a message",
    code: {
      "nodejs:20": `async function main() { throw new TypeError(); }`,
      "python:3.11": `def main(params):\n  raise TypeError()`,
    },
    expected: { outcome: "applicationError", result: { error: "TypeError" } },
  },
  {
    name: "returns a text (#122)",
    code: { "nodejs:20": `function main() { return "text"; }`, "python:3.11": `def main(params):\n  return "text"` },
    expected: NOT_AN_OBJECT,
  },
  {
    name: "returns a number (#122)",
    code: { "nodejs:20": `async function main() { return 7; }`, "python:3.11": `def main(params):\n  return 7` },
    expected: NOT_AN_OBJECT,
  },
  {
    name: "returns nothing",
    code: { "nodejs:20": `function main() {}`, "python:3.11": `def main(params):\n  pass` },
    expected: {},
    but: { "nodejs:20": { outcome: "success", result: {} }, "python:3.11": NOT_AN_OBJECT },
  },
  {
    name: "returns what has no JSON",
    code: {
      "nodejs:20": `function main() { const a = {}; a.a = a; return a; }`,
      "python:3.11": `def main(params):\n  a = {}\n  a["a"] = a\n  return a`,
    },
    expected: { outcome: "developerError" },
  },
  {
    name: "recurses for ever",
    code: {
      "nodejs:20": `function main(p) { return main(p); }`,
      "python:3.11": `def main(params):\n  return main(params)`,
    },
    expected: {},
    but: { "nodejs:20": { outcome: "developerError" }, "python:3.11": { outcome: "applicationError" } },
  },
  {
    name: "prints on both streams, with empty lines and without a last line end",
    code: {
      "nodejs:20": `function main() {
        console.log("one\\n\\ntwo"); console.error("three"); console.log({ a: 1 });
        process.stdout.write("fo"); process.stdout.write("ur"); return {}; }`,
      "python:3.11": `import sys\ndef main(params):
  print("one\\n\\ntwo"); print("three", file=sys.stderr); print({"a": 1})
  sys.stdout.write("fo"); sys.stdout.buffer.write(b"ur"); return {}`,
    },
    expected: { outcome: "success" },
    but: {
      "nodejs:20": {
        logs: ["stdout: one", "stdout: ", "stdout: two", "stderr: three", "stdout: { a: 1 }", "stdout: four"],
      },
      "python:3.11": {
        logs: ["stdout: one", "stdout: ", "stdout: two", "stderr: three", "stdout: {'a': 1}", "stdout: four"],
      },
    },
  },
  {
    name: "uses modules of the language, and files beside it",
    code: {
      "nodejs:20": `const { createHash } = require("node:crypto"); const fs = require("fs");
        async function main() { fs.writeFileSync("here", "x"); const { sep } = await import("node:path");
          return { a: createHash("md5").update("a").digest("hex").slice(0, 4), b: fs.readFileSync("here", "utf8") + sep }; }`,
      "python:3.11": `import hashlib, os\ndef main(params):
  open("here", "w").write("x")
  return {"a": hashlib.md5(b"a").hexdigest()[:4], "b": open("here").read() + os.sep}`,
    },
    expected: { result: { a: "0cc1", b: "x/" } },
  },
  {
    name: "keeps what it set between runs",
    code: {
      "nodejs:20": `let n = 0; function main() { return { n: ++n }; }`,
      "python:3.11": `n = 0\ndef main(params):\n  global n\n  n += 1\n  return {"n": n}`,
    },
    expected: { result: { n: 1 } },
  },
  {
    name: "comes as an archive with what it needs",
    code: {
      "nodejs:20": zipOf([
        { name: "package.json", content: `{"main": "lib/entry.js"}` },
        { name: "lib/entry.js", content: `exports.main = () => ({ from: require("./part").part + require("dep") });` },
        { name: "lib/part.js", content: `exports.part = "part";` },
        { name: "node_modules/dep/package.json", content: `{"main": "index.js"}` },
        { name: "node_modules/dep/index.js", content: `module.exports = "dep";` },
      ]),
      "python:3.11": zipOf([
        { name: "__main__.py", content: `import part, dep\ndef main(params):\n  return {"from": part.part + dep.dep}` },
        { name: "part.py", content: `part = "part"` },
        { name: "virtualenv/bin/python", content: "/usr/bin/python3", mode: 0o120777 },
        { name: "virtualenv/lib/python3.11/site-packages/dep/__init__.py", content: `dep = "dep"` },
      ]),
    },
    expected: { result: { from: "partdep" } },
  },
];

inEach("runs code that", (kind) => {
  it.each(rows.map((row) => [row.name, row] as const))("%s", async (_, row) => {
    const peer = await loaded(kind, row.code[kind], row.init);
    const ran = await peer.run(row.params ?? {});
    expect(ran).toMatchObject({ ...row.expected, ...row.but?.[kind] });
    expect(ran.logsTruncated).toBe(false);
  });
});

interface LoadRow {
  readonly name: string;
  readonly code: InEach;
  readonly init?: Partial<Init>;
  readonly error: Readonly<Record<Kind, string | RegExp>>;
  readonly logs?: RegExp;
}

const both = (text: string | RegExp): Readonly<Record<Kind, string | RegExp>> => ({
  "nodejs:20": text,
  "python:3.11": text,
});

const unloadable: readonly LoadRow[] = [
  {
    name: "cannot be parsed, saying file and line (#121)",
    code: { "nodejs:20": `\n\nfunction main( {`, "python:3.11": `\n\ndef main(:\n  pass` },
    error: {
      "nodejs:20": /^Initialization has failed due to: SyntaxError: .* \(hello\.js:3\)$/,
      "python:3.11": /^Initialization has failed due to: SyntaxError: .* \(hello\.py:3\)$/,
    },
    logs: /hello\.(js:|py", line )3/,
  },
  {
    name: "has no main, saying what it has",
    code: { "nodejs:20": `exports.mian = () => ({});`, "python:3.11": `def mian(params):\n  pass` },
    error: {
      "nodejs:20": 'Initialization has failed due to: no function "main" in hello.js; it exports mian',
      "python:3.11": 'Initialization has failed due to: no function "main"; the code defines mian',
    },
  },
  {
    name: "throws, with where in the log",
    code: { "nodejs:20": `\nthrow new Error("not today");`, "python:3.11": `\nraise ValueError("not today")` },
    error: {
      "nodejs:20": "Initialization has failed due to: not today",
      "python:3.11": "Initialization has failed due to: ValueError: not today",
    },
    logs: /hello\.(js:|py", line )2/,
  },
  {
    name: "needs what is not there",
    code: { "nodejs:20": `require("absent-module");`, "python:3.11": `import absent_module` },
    error: both(/absent.module/),
  },
  {
    name: "is empty",
    code: { "nodejs:20": "", "python:3.11": "" },
    error: both("Initialization has failed due to: Missing main/no code to execute."),
  },
  {
    name: "says it is an archive and is not",
    code: { "nodejs:20": Buffer.from("function main() {}"), "python:3.11": Buffer.from("def main(): pass") },
    error: both("Initialization has failed due to: the code is not a zip archive"),
  },
  {
    name: "is an archive without its main file",
    code: { "nodejs:20": zipOf([{ name: "a.js" }]), "python:3.11": zipOf([{ name: "a.py" }]) },
    error: {
      "nodejs:20": `Initialization has failed due to: the archive has no "index.js"; name the file in package.json's "main"`,
      "python:3.11": "Initialization has failed due to: the archive has no __main__.py",
    },
  },
  {
    name: "is an archive that reaches out",
    code: {
      "nodejs:20": zipOf([{ name: "../evil", content: "x" }]),
      "python:3.11": zipOf([{ name: "../evil", content: "x" }]),
    },
    error: both(/points outside of it$/),
  },
];

inEach("refuses code that", (kind) => {
  it.each(unloadable.map((row) => [row.name, row] as const))("%s", async (_, row) => {
    const { peer } = await aSandbox(kind);
    const { ok, error, logs } = await peer.init(row.code[kind], row.init);
    expect(ok).toBe(false);
    expect(error).toMatch(row.error[kind]);
    expect(logs.join("\n")).toMatch(row.logs ?? /^stderr: ./);
    expect(await peer.run()).toMatchObject({
      outcome: "developerError",
      result: { error: "The action has not been initialized." },
    });
  });
});

const echo: InEach = {
  "nodejs:20": `function main(params) { return { params }; }`,
  "python:3.11": `def main(params):\n  return {"params": params}`,
};

inEach("as a whole", (kind) => {
  const of = (code: InEach): Code => code[kind];

  it("refuses to be loaded twice and goes on (#120)", async () => {
    const peer = await loaded(kind, of(echo));
    expect(await peer.init("other")).toMatchObject({
      ok: false,
      error: "Cannot initialize the action more than once.",
    });
    expect((await peer.run({ a: 1 })).result).toEqual({ params: { a: 1 } });
  });

  it("carries arguments and results of some megabytes (#124)", async () => {
    const peer = await loaded(kind, of(echo));
    const text = "ü".repeat(2_000_000);
    expect((await peer.run({ text })).result).toEqual({ params: { text } });
  });

  it("takes as many bytes for a result as its caller took for the arguments, and can say half a surrogate", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main(params) { return params; }`,
        "python:3.11": `def main(params):\n  return params`,
      }),
    );
    for (const json of ['{"a":[1,"ü🌍",{"b":null}]}', '{"half":"\\ud800"}', '{"half":"ü\\udc00"}']) {
      const { outcome, json: said } = await peer.run(Buffer.from(json));
      expect(outcome).toBe("success");
      expect(JSON.parse(said)).toEqual(JSON.parse(json));
      if (!json.includes("\\u")) expect(said).toBe(json);
    }
  });

  it("tells of a result that no message can hold", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main() { return { a: "x".repeat(70 << 20) }; }`,
        "python:3.11": `def main(params):\n  return {"a": "x" * (70 << 20)}`,
      }),
    );
    const { outcome, result } = await peer.run();
    expect(outcome).toBe("applicationError");
    expect((result as { error: string }).error).toMatch(
      /exceeded the allowed length: 734\d+ > 1048576 bytes.*{"a": ?"xxx/,
    );
  });

  it("tells who and what is running, anew in each run (#124)", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main() { return process.env; }`,
        "python:3.11": `import os\ndef main(params):\n  return dict(os.environ)`,
      }),
      { env: { GREETING: "hi", EMPTY: "" } },
    );
    const first = await peer.run({}, { apiKey: "u:k", traceparent: "00-a-b-01" });
    expect(first.result).toMatchObject({
      GREETING: "hi",
      EMPTY: "",
      __OW_ACTIVATION_ID: "1".padStart(32, "0"),
      __OW_NAMESPACE: "guest",
      __OW_ACTION_NAME: "/guest/hello",
      __OW_ACTION_VERSION: "0.0.1",
      __OW_TRANSACTION_ID: "tid",
      __OW_DEADLINE: "1700000000000",
      __OW_API_KEY: "u:k",
      WEFT_TRACEPARENT: "00-a-b-01",
    });
    const second = await peer.run({}, { namespace: "other" });
    expect(second.result).toMatchObject({ __OW_ACTIVATION_ID: "2".padStart(32, "0"), __OW_NAMESPACE: "other" });
    for (const name of ["__OW_API_KEY", "WEFT_TRACEPARENT", "WEFT_SOCKET", "WEFT_KIND", "WEFT_WORKDIR"]) {
      expect(second.result).not.toHaveProperty(name);
    }
  });

  it("hands main a context with the time left and whether it is still wanted", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main(p, context) { return { id: context.activationId, left: context.remainingMs(), gone: context.signal.aborted }; }`,
        "python:3.11": `def main(p, context):\n  return {"id": context.activation_id, "left": context.remaining_ms(), "gone": context.cancelled.is_set()}`,
      }),
    );
    const { result } = await peer.run({}, { remainingMs: 5_000 });
    const { id, left, gone } = result as { id: string; left: number; gone: boolean };
    expect([id, gone]).toEqual(["1".padStart(32, "0"), false]);
    expect(left).toBeGreaterThan(3_000);
    expect(left).toBeLessThanOrEqual(5_000);
  });

  it("tells code that it is not wanted any more, and stays good for the next run", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main({ wait }, { signal }) {
          if (!wait) return { fine: true };
          console.log("waiting");
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))); }`,
        "python:3.11": `import asyncio\nasync def main(params):
  if not params.get("wait"):
    return {"fine": True}
  print("waiting")
  await asyncio.sleep(1000)`,
      }),
    );
    const running = peer.run({ wait: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    peer.cancel(peer.lastCall, "the caller hung up");
    peer.cancel(99, "nobody");
    const ran = await running;
    expect(ran.outcome).toBe("applicationError");
    expect((ran.result as { error: string }).error).toMatch(/hung up|cancelled/);
    expect((await peer.run({})).result).toEqual({ fine: true });
    peer.cancel(peer.lastCall, "too late");
    expect((await peer.run({})).result).toEqual({ fine: true });
  });

  it("runs several at once when it may, and knows who printed what", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `let at = 0; async function main({ n }) {
          console.log("begin " + n); at += 1;
          while (at < 8) await new Promise((r) => setTimeout(r, 1));
          console.error("end " + n); return { n }; }`,
        "python:3.11": `import asyncio, sys, threading\nall = threading.Barrier(8)\ndef main(params):
  print("begin %d" % params["n"])
  all.wait(10)
  print("end %d" % params["n"], file=sys.stderr)
  return {"n": params["n"]}`,
      }),
      { concurrency: 8 },
    );
    const ran = await Promise.all(Array.from({ length: 8 }, (_, n) => peer.run({ n })));
    for (const [n, { result, logs }] of ran.entries()) {
      expect(result).toEqual({ n });
      expect(logs).toEqual([`stdout: begin ${n}`, `stderr: end ${n}`]);
    }
  });

  it("drops what is printed above the limit, and says so", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main() { for (let i = 0; i < 100000; i++) console.log("line " + i); return {}; }`,
        "python:3.11": `def main(params):\n  for i in range(100000):\n    print("line %d" % i)\n  return {}`,
      }),
      { logLimitBytes: 1_000 },
    );
    const ran = await peer.run();
    expect([ran.outcome, ran.logsTruncated]).toEqual(["success", true]);
    expect(ran.logs[0]).toBe("stdout: line 0");
    expect(ran.logs.length).toBeLessThan(130);
  });

  it("cuts a line that does not end", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `function main() { process.stdout.write("x".repeat(200_000)); return {}; }`,
        "python:3.11": `def main(params):\n  print("x" * 200_000, end="")\n  return {}`,
      }),
    );
    const { logs } = await peer.run();
    expect(logs.length).toBe(4);
    expect(logs.map((line) => line.replace("stdout: ", "")).join("")).toBe("x".repeat(200_000));
  });

  it("gives lines the time at which they were printed", async () => {
    const peer = await loaded(kind, rows.find((row) => row.name === "is asynchronous")?.code[kind] ?? "");
    const beforeMs = Date.now() - 1_000;
    const { lines } = await peer.run({ n: 1 });
    const ms = Number((lines[0]?.unixNanos ?? 0n) / 1_000_000n);
    expect(ms).toBeGreaterThan(beforeMs);
    expect(ms).toBeLessThan(Date.now() + 1_000);
  });

  it("has said what it printed before it never lets go", async () => {
    const { sandbox, peer } = await aSandbox(kind);
    await peer.init(
      of({
        "nodejs:20": `function main() { console.log("one"); console.log("two"); for (;;); }`,
        "python:3.11": `def main(params):\n  print("one")\n  print("two")\n  while True:\n    pass`,
      }),
    );
    const running = peer.run().catch(() => "ended");
    await eventually(() => {
      expect(peer.printed(peer.lastCall)).toEqual(["stdout: one", "stdout: two"]);
    });
    await sandbox.destroy();
    expect(await running).toBe("ended");
  });

  it("ends when code exits, after what it printed", async () => {
    const { sandbox, peer } = await aSandbox(kind);
    await peer.init(
      of({
        "nodejs:20": `function main() { console.log("leaving"); process.stdout.write("now"); process.exit(3); }`,
        "python:3.11": `import os\ndef main(params):\n  print("leaving\\nnow")\n  os._exit(3)`,
      }),
    );
    await expect(peer.run()).rejects.toThrow("connection ended");
    expect(peer.printed(peer.lastCall)).toEqual(["stdout: leaving", "stdout: now"]);
    expect(await sandbox.exited).toEqual({ kind: "exited", code: 3, signal: undefined });
  });

  it("ends when the connection ends", async () => {
    const { sandbox, peer } = await aSandbox(kind);
    await peer.init(of(echo));
    peer.link.close();
    expect(await sandbox.exited).toEqual({ kind: "exited", code: 0, signal: undefined });
  });

  it("ends on a message that it does not know", async () => {
    const { sandbox, peer } = await aSandbox(kind);
    peer.link.send(Buffer.from("7a020801", "hex")); // field 15
    expect(await sandbox.exited).toEqual({ kind: "exited", code: 3, signal: undefined });
  });

  it("passes on a little of what is printed between runs, and no flood", async () => {
    const peer = await loaded(
      kind,
      of({
        "nodejs:20": `setInterval(() => { for (let i = 0; i < 1000; i++) console.log("tick"); }, 1); function main() { return {}; }`,
        "python:3.11": `import threading, time\ndef flood():
  while True:
    time.sleep(0.001)
    for i in range(1000): print("tick")
threading.Thread(target=flood, daemon=True).start()\ndef main(params):\n  return {}`,
      }),
    );
    await peer.run();
    await eventually(() => peer.between.length > 10);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(peer.between.join("\n").length).toBeLessThan(3 * 64 * 1024 * 2);
  });
});

describe.runIf(here.includes("nodejs:20"))("nodejs:20 alone", () => {
  const kind = "nodejs:20";

  it.each([1, 8])("shows a run its own variables wherever it looks, at concurrency %d", async (concurrency) => {
    const looks = `
const kept = process.env;
const { spawnSync } = require("node:child_process");
const { inspect } = require("node:util");
const { Worker } = require("node:worker_threads");
const NAME = "__OW_TRANSACTION_ID";
const ways = {
  process: () => process.env[NAME],
  kept: () => kept[NAME],
  names: () => NAME in kept && Object.keys(kept).includes(NAME) && { ...kept }[NAME],
  print: () => / __OW_TRANSACTION_ID: '(.*)'/.exec(inspect(process.env))?.[1],
  child: () => spawnSync("/bin/sh", ["-c", "printf %s $" + NAME]).stdout.toString(),
  worker: () => new Promise((resolve) => new Worker(
    "require('node:worker_threads').parentPort.postMessage(process.env." + NAME + ")", { eval: true }).once("message", resolve)),
  key: () => String(process.env.__OW_API_KEY),
  written: () => ((process.env[NAME] = 7), kept[NAME]),
  deleted: () => (delete kept[NAME], String(process.env[NAME])),
  replaced: () => ((process.env = { MINE: "1" }), process.env.MINE),
  replacedLater: () => process.env[NAME] + process.env.MINE,
};
exports.main = async ({ way }) => ({ saw: await ways[way]() });`;
    const peer = await loaded(kind, looks, { concurrency });
    const saw = async (way: string, transactionId: string): Promise<unknown> =>
      (
        (await peer.run({ way }, { transactionId, apiKey: transactionId === "t0" ? "u:k" : "" })).result as {
          saw: unknown;
        }
      ).saw;
    expect(await saw("key", "t0")).toBe("u:k");
    for (const [n, way] of ["process", "kept", "names", "print", "child", "worker"].entries()) {
      expect([way, await saw(way, `tid-${n}`)]).toEqual([way, `tid-${n}`]);
    }
    expect(await saw("key", "t1")).toBe("undefined");
    expect(await saw("written", "t2")).toBe("7");
    expect(await saw("deleted", "t3")).toBe("undefined");
    expect(await saw("replaced", "t4")).toBe("1");
    expect(await saw("replacedLater", "t5")).toBe("t51");
  });

  it.each([
    ["required by a script", `const ow = require("openwhisk"); exports.main = () => ({ kind: typeof ow });`],
    ["imported by a module", `import ow from "openwhisk"; export const main = () => ({ kind: typeof ow });`],
    [
      "required in an archive",
      zipOf([{ name: "index.js", content: `exports.main = () => ({ kind: typeof require("openwhisk") });` }]),
    ],
    [
      "required in an archive that brings its own",
      zipOf([
        { name: "index.js", content: `exports.main = () => ({ kind: require("openwhisk") });` },
        { name: "node_modules/openwhisk/index.js", content: `module.exports = "own";` },
      ]),
      "own",
    ],
  ])("has OpenWhisk's client, %s", async (_, code, expected = "function") => {
    const peer = await loaded(kind, code);
    expect((await peer.run()).result).toEqual({ kind: expected });
  });

  it("has OpenWhisk's client after a first code that did not load, and loads none of it for who does not ask", async () => {
    const { peer } = await aSandbox(kind);
    expect((await peer.init("nonsense(")).ok).toBe(false);
    expect(
      (
        await peer.init(`exports.main = ({ ask }) => {
      if (ask) require("openwhisk");
      return { loaded: Object.keys(require.cache).some((path) => path.includes("openwhisk")) };
    };`)
      ).ok,
    ).toBe(true);
    expect((await peer.run()).result).toEqual({ loaded: false });
    expect((await peer.run({ ask: true })).result).toEqual({ loaded: true });
  });

  it("tells code that asks late that it is not wanted any more", async () => {
    const peer = await loaded(
      kind,
      `exports.main = async (params, context) => {
         await new Promise((resolve) => setTimeout(resolve, params.ms));
         const { aborted, reason } = context.signal;
         return { aborted, reason: reason?.message, same: context.signal === context.signal };
       };`,
      { concurrency: 2 },
    );
    const running = peer.run({ ms: 100 });
    peer.cancel(peer.lastCall, "the caller hung up");
    expect((await running).result).toEqual({ aborted: true, reason: "the caller hung up", same: true });
  });

  it("has sent what other runs answered when one ends the process", async () => {
    const peer = await loaded(kind, `exports.main = ({ exit }) => (exit ? process.exit(3) : { fine: true });`, {
      concurrency: 20,
    });
    const answers = Array.from({ length: 10 }, () => peer.run());
    const last = peer.run({ exit: true }).catch((error: unknown) => error);
    for (const { result } of await Promise.all(answers)) expect(result).toEqual({ fine: true });
    expect(await last).toBeInstanceOf(Error);
  });

  it("answers many at once, large and small, each with its own, also when nobody reads for a while", async () => {
    const peer = await loaded(kind, `exports.main = async ({ n, chars }) => ({ n, text: "ü".repeat(chars) });`, {
      concurrency: 400,
    });
    const sizes = Array.from({ length: 400 }, (_, n) => (n % 50 === 7 ? 40_000 : n % 3 === 0 ? n : 7_000));
    const running = Promise.all(sizes.map((chars, n) => peer.run({ n, chars })));
    await new Promise((resolve) => setImmediate(resolve));
    // This thread is the reader: what the socket does not hold has to wait in the runtime.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    for (const [n, { result }] of (await running).entries()) {
      expect(result).toEqual({ n, text: "ü".repeat(sizes[n] ?? 0) });
    }
  });

  it.each([
    ["a module", `import { sep } from "node:path";\nexport function main() { return { sep }; }`, { sep: "/" }],
    ["a module's default", `export default async () => ({ ok: 1 });`, { ok: 1 }],
    ["a module with await", `const ok = await Promise.resolve(1);\nexport const main = () => ({ ok });`, { ok: 1 }],
    ["a function as module.exports", `module.exports = () => ({ ok: 1 });`, { ok: 1 }],
    [
      "a comment that looks like a module",
      `/*\nimport x from "y";\n*/\nfunction main() { return { ok: 1 }; }`,
      { ok: 1 },
    ],
    ["a script with a first line for shells", `#!/usr/bin/env node\nfunction main() { return { ok: 1 }; }`, { ok: 1 }],
    ["a thenable", `function main() { return { then(done) { done({ ok: 1 }); } }; }`, { ok: 1 }],
    ["a class with toJSON", `function main() { return { toJSON: () => ({ ok: 1 }) }; }`, { ok: 1 }],
    ["an error that is undefined", `function main() { return { error: undefined, ok: 1 }; }`, { ok: 1 }],
    ["a binary operation at the end", `function main() { return { ok: 1 } } // no line end`, { ok: 1 }],
  ])("runs %s", async (_, code, result) => {
    const peer = await loaded(kind, code);
    expect(await peer.run()).toMatchObject({ outcome: "success", result });
  });

  it("runs an archive that is a module", async () => {
    const code = zipOf([
      { name: "package.json", content: `{"type": "module", "main": "a.js"}` },
      { name: "a.js", content: `import { b } from "./b.js"; export const main = () => ({ b });` },
      { name: "b.js", content: `export const b = 1;` },
    ]);
    expect((await (await loaded(kind, code)).run()).result).toEqual({ b: 1 });
  });

  it.each<[string, string, unknown]>([
    ["nothing", `Promise.reject()`, {}],
    ["a text", `Promise.reject("why")`, "why"],
    ["an object", `Promise.reject({ statusCode: 400, body: "bad" })`, { statusCode: 400, body: "bad" }],
    ["an object with an error", `Promise.reject({ error: "why" })`, { error: "why" }],
    ["an error", `Promise.reject(new RangeError("why"))`, "why"],
    ["a circle", `(() => { const a = {}; a.a = a; return Promise.reject(a); })()`, "[object Object]"],
    ["a returned error", `Promise.resolve({ error: new Error("why") })`, "why"],
  ])("makes an application error of a promise rejected with %s", async (_, promise, error) => {
    const peer = await loaded(kind, `function main() { return ${promise}; }`);
    expect(await peer.run()).toMatchObject({ outcome: "applicationError", result: { error } });
  });

  it.each([
    ["a promise nobody waits for", `Promise.reject(new Error("lost"))`],
    ["a timer", `setTimeout(() => { throw new Error("lost"); }, 1)`],
  ])("ends when %s throws, and says so in the run", async (_, act) => {
    const { sandbox, peer } = await aSandbox(kind);
    await peer.init(`function main() { ${act}; return new Promise(() => {}); }`);
    const ran = await peer.run();
    expect(ran).toMatchObject({ outcome: "developerError", result: { error: "An error has occurred: lost" } });
    expect(ran.logs[0]).toBe("stderr: Error: lost");
    expect(await sandbox.exited).toMatchObject({ code: 1 });
  });

  // What OpenWhisk's own tests of its nodejs runtime ask for, where no row above does.
  it.each<[name: string, code: Code, main: string, result: unknown]>([
    ["a global, as bundlers leave it", `global.main = function () { return { ok: 1 }; }`, "", { ok: 1 }],
    ["module.exports.main", `module.exports.main = () => ({ ok: 1 });`, "", { ok: 1 }],
    ["a function that sets variables it never declared", `function main() { ok = 1; return { ok }; }`, "", { ok: 1 }],
    [
      "a function of another file of the archive",
      zipOf([
        { name: "index.js", content: `exports.main = () => ({});` },
        { name: "other.js", content: `exports.niam = () => ({ other: 1 });` },
      ]),
      "other.niam",
      { other: 1 },
    ],
    [
      "a function deep in another file of an archive without an index",
      zipOf([{ name: "other.js", content: `exports.niam = { xyz: () => ({ deep: 1 }) };` }]),
      "other.niam.xyz",
      { deep: 1 },
    ],
    [
      "a function deep in what the usual file exports",
      zipOf([{ name: "index.js", content: `exports.api = { xyz: () => ({ deep: 1 }) };` }]),
      "api.xyz",
      { deep: 1 },
    ],
    [
      "an archive from its own folder",
      zipOf([
        {
          name: "index.js",
          content: `exports.main = () => ({ same: __dirname === process.cwd(), text: require("fs").readFileSync("./a.txt", "utf8") });`,
        },
        { name: "a.txt", content: "text" },
      ]),
      "",
      { same: true, text: "text" },
    ],
    [
      "a packed tar archive",
      tarGzOf([
        { name: "./", type: "5", mode: 0o755 },
        { name: "./package.json", content: `{"main": "lib/a.js"}` },
        { name: "./lib/a.js", content: `exports.main = () => ({ dep: require("dep") });` },
        { name: "./node_modules/dep/index.js", content: `module.exports = "dep";` },
      ]),
      "",
      { dep: "dep" },
    ],
  ])("runs %s", async (_, code, main, result) => {
    const peer = await loaded(kind, code, { main });
    expect(await peer.run()).toMatchObject({ outcome: "success", result });
  });

  it("says what is wrong with a packed tar archive", async () => {
    const { peer } = await aSandbox(kind);
    const whole = tarGzOf([{ name: "index.js", content: "x".repeat(10_000) }]);
    expect(await peer.init(whole.subarray(0, whole.length - 20))).toMatchObject({
      ok: false,
      error: expect.stringMatching(/^Initialization has failed due to: the archive is/) as string,
    });
  });

  it.each<[string, Code, readonly string[]]>([
    [
      "inside of Node: the own file comes first",
      `function main() {\n  require("fs").readFileSync("/nowhere");\n}`,
      ["stderr: Error: ENOENT: no such file or directory, open '/nowhere'", "stderr:     at main (hello.js:2:17)"],
    ],
    [
      "in an archive: named as in there",
      zipOf([
        { name: "package.json", content: `{"type": "module", "main": "lib/a.js"}` },
        { name: "lib/a.js", content: `export function main() {\n  throw new Error("no luck");\n}` },
      ]),
      ["stderr: Error: no luck", "stderr:     at main (lib/a.js:2:9)"],
    ],
    [
      "with a cause",
      `function main() {\n  throw new Error("no luck", { cause: new RangeError("too far") });\n}`,
      [
        "stderr: Error: no luck",
        "stderr:     at main (hello.js:2:9)",
        "stderr: caused by: RangeError: too far",
        "stderr:     at main (hello.js:2:39)",
      ],
    ],
  ])("tells the trace of an error %s", async (_, code, lines) => {
    expect((await (await loaded(kind, code)).run()).logs).toEqual(lines);
  });

  it("tells a syntax error of a module with file and line", async () => {
    const { peer } = await aSandbox(kind);
    const { error } = await peer.init(`export const a = 1;\nexport function main( {`);
    expect(error).toMatch(/SyntaxError: .*\(hello\.mjs:2\)$/);
  });
});

describe.runIf(here.includes("python:3.11"))("python:3.11 alone", () => {
  const kind = "python:3.11";

  it("runs a packed tar archive", async () => {
    const code = tarGzOf([
      { name: "./", type: "5", mode: 0o755 },
      { name: "./__main__.py", content: `import part\ndef main(params):\n  return {"from": part.part}` },
      { name: "./part.py", content: `part = "part"` },
      { name: "./virtualenv/bin/python", type: "2", to: "/usr/bin/python3" },
      { name: "./again.py", type: "1", to: "./part.py" },
    ]);
    expect((await (await loaded(kind, code)).run()).result).toEqual({ from: "part" });
  });

  it.each<[what: string, code: Uint8Array, complaint: string]>([
    ["climbs out", tarGzOf([{ name: "../evil", content: "x" }]), 'entry "../evil" points outside of it'],
    ["leads out", tarGzOf([{ name: "link", type: "2", to: "/etc/passwd" }]), "is a symbolic link that points outside"],
    ["is a device", tarGzOf([{ name: "null", type: "3" }]), "is of a type that is not supported"],
    ["is cut off", tarGzOf([{ name: "a", content: "x".repeat(9_000) }]).subarray(0, 60), "the archive is damaged"],
  ])("refuses a packed tar archive that %s", async (_, code, complaint) => {
    const { peer } = await aSandbox(kind);
    const { ok, error } = await peer.init(code);
    expect([ok, error]).toEqual([false, expect.stringContaining(complaint)]);
  });

  it("tells the trace of what was raised", async () => {
    const peer = await loaded(
      kind,
      `def main(params):\n  return helper()\ndef helper():\n  raise ValueError("no luck")`,
    );
    const { logs } = await peer.run();
    expect(logs[0]).toBe("stderr: Traceback (most recent call last):");
    expect(logs[1]).toBe('stderr:   File "hello.py", line 2, in main');
    expect(logs.at(-1)).toBe("stderr: ValueError: no luck");
  });

  it.each([
    ["NaN", `{"a": float("nan")}`],
    ["a set", `{"a": {1}}`],
    ["bytes", `{"a": b"x"}`],
  ])("refuses a result with %s", async (_, value) => {
    const peer = await loaded(kind, `def main(params):\n  return {"a": 1} if params.get("fine") else ${value}`);
    const ran = await peer.run();
    expect(ran.outcome).toBe("developerError");
    expect((ran.result as { error: string }).error).toContain("cannot be written as JSON");
  });

  it.each([
    ["sys.exit()", 0],
    ["sys.exit(4)", 4],
    ["exit('bye')", 1],
  ])("ends with the code of %s, as a developer error", async (call, code) => {
    const { sandbox, peer } = await aSandbox(kind);
    await peer.init(`import sys\ndef main(params):\n  ${call}`);
    expect(await peer.run()).toMatchObject({
      outcome: "developerError",
      result: { error: `The action exited with code ${code}.` },
    });
    expect(await sandbox.exited).toMatchObject({ code });
  });

  it("lets code use signals, subprocesses, forks, dataclasses and a loop of its own", async () => {
    const peer = await loaded(
      kind,
      `
import asyncio, dataclasses, multiprocessing, os, pickle, signal, subprocess, sys
@dataclasses.dataclass
class Point:
  x: int
def child(q):
  print("in the child")
  q.put(os.getpid())
def main(params):
  signal.signal(signal.SIGUSR1, lambda *_: None)
  sub = subprocess.run([sys.executable, "-c", "print('sub')"], capture_output=True, text=True).stdout.strip()
  q = multiprocessing.get_context("fork").Queue()
  p = multiprocessing.get_context("fork").Process(target=child, args=(q,))
  p.start(); pid = q.get(); p.join()
  async def later():
    await asyncio.sleep(0)
    return "later"
  return {"sub": sub, "other": pid != os.getpid(), "point": pickle.loads(pickle.dumps(Point(1))).x, "later": asyncio.run(later())}
`,
    );
    const expected = { sub: "sub", other: true, point: 1, later: "later" };
    expect(await peer.run()).toMatchObject({ outcome: "success", result: expected });
    expect((await peer.run()).result).toEqual(expected);
  });

  it("keeps one loop for all runs", async () => {
    const peer = await loaded(
      kind,
      `import asyncio\nlock = None\nasync def main(params):
  global lock
  lock = lock or asyncio.get_running_loop()
  return {"same": lock is asyncio.get_running_loop()}`,
    );
    await peer.run();
    expect((await peer.run()).result).toEqual({ same: true });
  });
});
