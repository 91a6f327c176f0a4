// Compositions made and deployed by OpenWhisk's composer, as it is published, run on a whole Weft: every combinator, and
// what becomes of those that need a Redis, which is no part of the platform.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type openwhisk from "openwhisk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { eventually } from "../harness/eventually.js";
import { run } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

interface Composition {
  compile(): { readonly composition: object; readonly ast: object; readonly version: string };
}
type Task = Composition | string | null | ((params: never) => unknown);
/** What of the composer is used here: it comes without types. */
interface Composer {
  readonly [combinator: string]: (...args: unknown[]) => Composition;
}
interface Deployed {
  readonly name: string;
}
type ComposerClient = openwhisk.Client & {
  readonly compositions: { deploy(composition: object, overwrite?: boolean): Promise<readonly Deployed[]> };
};

const require = createRequire(import.meta.url);
const c = require("openwhisk-composer") as Composer;
const clientOf = require("openwhisk-composer/client") as (options: object, basic: boolean) => ComposerClient;

interface Params {
  readonly n: number;
}
/** An action that is deployed with the composition that uses it. */
const inc = (): Composition => action("c-inc", ({ n }: Params) => ({ n: n + 1 }));
const isOdd = (): Composition => action("c-odd", ({ n }: Params) => ({ value: n % 2 === 1 }));
const fails = (): Composition => action("c-fails", () => ({ error: "boom" }));
function action(name: string, code: Task): Composition {
  return combine("action", name, { action: code });
}
function combine(combinator: string, ...args: unknown[]): Composition {
  const make = c[combinator];
  if (!make) throw new Error(`the composer has no ${combinator}`);
  return make(...args);
}

interface Row {
  readonly what: string;
  readonly composition: () => Composition;
  readonly params: object;
  /** Of a composition that succeeds. */
  readonly result?: unknown;
  /** Of one that ends in an error. */
  readonly error?: unknown;
}

// Functions below are sent away as text: variables of a `let` are in scope where they run.
declare let k: number;
declare let seen: unknown[];

const ROWS: readonly Row[] = [
  { what: "empty", composition: () => combine("empty"), params: { n: 1 }, result: { n: 1 } },
  { what: "action", composition: () => inc(), params: { n: 1 }, result: { n: 2 } },
  {
    what: "action of a package of everybody",
    composition: () => combine("action", "/whisk.system/utils/echo"),
    params: { n: "é" },
    result: { n: "é" },
  },
  {
    what: "action that is a native sequence",
    composition: () =>
      combine(
        "seq",
        inc(),
        combine("action", "c-native", { sequence: ["c-inc", "/_/c-inc", "/whisk.system/utils/echo"] }),
      ),
    params: { n: 1 },
    result: { n: 4 },
  },
  { what: "sequence", composition: () => combine("sequence", inc(), inc(), inc()), params: { n: 1 }, result: { n: 4 } },
  {
    what: "function",
    composition: () => combine("function", ({ n }: Params) => ({ n: n * 10 })),
    params: { n: 3 },
    result: { n: 30 },
  },
  {
    what: "function that throws",
    composition: () =>
      combine("function", () => {
        throw new Error("no");
      }),
    params: {},
    error: expect.stringContaining("threw an exception"),
  },
  { what: "value", composition: () => combine("value", { a: [1] }), params: {}, result: { a: [1] } },
  { what: "literal", composition: () => combine("literal", 42), params: {}, result: { value: 42 } },
  ...[1, 2].map((n) => ({
    what: `if, with ${n}`,
    composition: () => combine("if", isOdd(), inc(), () => ({ even: true })),
    params: { n },
    result: n === 1 ? { n: 2 } : { even: true },
  })),
  {
    what: "if without an else",
    composition: () => combine("if", isOdd(), inc()),
    params: { n: 2 },
    result: { n: 2 },
  },
  {
    what: "if_nosave",
    composition: () =>
      combine(
        "if_nosave",
        isOdd(),
        (p: object) => p,
        () => ({ no: 1 }),
      ),
    params: { n: 1 },
    result: { value: true },
  },
  {
    what: "while",
    composition: () => combine("while", ({ n }: Params) => n < 5, inc()),
    params: { n: 1 },
    result: { n: 5 },
  },
  {
    what: "while_nosave",
    composition: () => combine("while_nosave", ({ n }: Params) => ({ n, value: n < 3 }), inc()),
    params: { n: 1 },
    result: { n: 3, value: false },
  },
  {
    what: "dowhile",
    composition: () => combine("dowhile", inc(), ({ n }: Params) => n < 4),
    params: { n: 9 },
    result: { n: 10 },
  },
  {
    what: "dowhile_nosave",
    composition: () => combine("dowhile_nosave", inc(), ({ n }: Params) => ({ n, value: n < 4 })),
    params: { n: 1 },
    result: { n: 4, value: false },
  },
  { what: "repeat", composition: () => combine("repeat", 4, inc()), params: { n: 0 }, result: { n: 4 } },
  {
    what: "try",
    composition: () =>
      combine("try", combine("seq", fails(), inc()), ({ error }: { error: string }) => ({ caught: error })),
    params: { n: 1 },
    result: { caught: "boom" },
  },
  {
    what: "try that nothing goes wrong in",
    composition: () => combine("try", inc(), () => ({ caught: true })),
    params: { n: 1 },
    result: { n: 2 },
  },
  {
    what: "an error that nobody catches",
    composition: () => combine("seq", inc(), fails(), inc()),
    params: { n: 1 },
    error: "boom",
  },
  {
    what: "try around an action that is not there",
    composition: () =>
      combine("try", combine("action", "c-nobody"), ({ error }: { error: string }) => ({ told: error })),
    params: {},
    result: { told: "Failed to resolve action with name 'guest/c-nobody' during composition." },
  },
  {
    what: "finally, after an error",
    composition: () => combine("finally", fails(), (p: { error?: string }) => ({ ...p, last: true })),
    params: {},
    result: { error: "boom", last: true },
    error: "boom",
  },
  {
    what: "finally, after a result",
    composition: () => combine("finally", inc(), (p: object) => ({ ...p, last: true })),
    params: { n: 1 },
    result: { n: 2, last: true },
  },
  {
    what: "let",
    composition: () =>
      combine(
        "let",
        { k: 5 },
        ({ n }: Params) => ({ n: n + k++ }),
        inc(),
        ({ n }: Params) => ({ n: n + k }),
      ),
    params: { n: 1 },
    result: { n: 13 },
  },
  {
    what: "mask",
    composition: () =>
      combine(
        "let",
        { k: 1 },
        combine(
          "let",
          { k: 2 },
          combine("mask", () => ({ outer: k })),
        ),
      ),
    params: {},
    result: { outer: 1 },
  },
  {
    what: "retain",
    composition: () => combine("retain", inc()),
    params: { n: 1, more: "x" },
    result: { params: { n: 1, more: "x" }, result: { n: 2 } },
  },
  {
    what: "retain_catch",
    composition: () => combine("retain_catch", fails()),
    params: { n: 1 },
    result: { params: { n: 1 }, result: { error: "boom" } },
  },
  {
    what: "merge",
    composition: () => combine("merge", () => ({ b: 2 })),
    params: { a: 1 },
    result: { a: 1, b: 2 },
  },
  {
    what: "retry, of what never works",
    composition: () => combine("retry", 2, fails()),
    params: {},
    error: "boom",
  },
  {
    what: "retry, of what works at last",
    composition: () =>
      combine(
        "let",
        { k: 0 },
        combine("retry", 5, () => (++k < 3 ? { error: k } : { tries: k })),
      ),
    params: {},
    result: { tries: 3 },
  },
  {
    what: "dynamic",
    composition: () =>
      combine(
        "let",
        { seen: [] },
        ({ n }: Params) => ({ type: "action", name: "c-inc", params: { n } }),
        combine("dynamic"),
        (p: object) => (seen.push(p), { seen }),
      ),
    params: { n: 6 },
    result: { seen: [{ n: 7 }] },
  },
  ...["parallel", "par", "map"].map((name) => ({
    what: `${name}, which wants a Redis`,
    composition: () => combine("seq", () => ({ value: [{ n: 1 }, { n: 2 }] }), combine(name, inc(), inc())),
    params: {},
    error: "Parallel combinator requires a properly configured redis instance",
  })),
];

function suite(mode: "dev" | "up"): void {
  describe(`compositions of the composer in ${mode}`, () => {
    let open: OpenFabric;
    let client: ComposerClient;
    let count = 0;

    beforeAll(async () => {
      open = await openFabric({ mode, invokers: 1 });
      client = clientOf({ apihost: open.fabric.rest, api_key: open.fabric.auth, namespace: "_" }, true);
      // Named by some compositions that do not bring it.
      await client.actions.create({ name: "c-inc", action: "function main({ n }) { return { n: n + 1 } }" });
      await client.actions.create({ name: "c-odd", action: "function main({ n }) { return { value: n % 2 === 1 } }" });
    });
    afterAll(async () => {
      await open.close();
    });

    /** @returns the name under which it is deployed */
    async function deploy(composition: Composition): Promise<string> {
      const name = `composed-${(count += 1)}`;
      const deployed = await client.compositions.deploy({ name, ...composition.compile() }, true);
      expect(deployed.at(-1)?.name).toBe(name);
      return name;
    }

    it.each(ROWS.map((row) => [row.what, row] as const))(
      "runs %s",
      async (_, { composition, params, result, error }) => {
        const name = await deploy(composition());
        const running = client.actions.invoke({ name, params, blocking: true });
        if (error === undefined) {
          expect((await running).response).toEqual({
            result,
            size: expect.any(Number) as number,
            status: "success",
            success: true,
          });
          return;
        }
        await expect(running).rejects.toMatchObject({
          statusCode: 502,
          error: { response: { result: { error }, status: "application error", success: false } },
        });
      },
    );

    it("keeps the composition as its author wrote it, and records what ran", async () => {
      const name = await deploy(combine("if", isOdd(), inc(), combine("seq", inc(), inc())));
      const stored = await client.actions.get(name);
      const annotations = Object.fromEntries(
        (stored.annotations ?? []).map(({ key, value }) => [key, value as unknown]),
      );
      expect(annotations).toMatchObject({
        exec: "nodejs:20",
        "provide-api-key": true,
        composerVersion: "0.12.0",
        conductor: { type: "if", test: { type: "action", name: "/_/c-odd" }, alternate: { type: "seq" } },
      });
      const record = await client.actions.invoke({ name, params: { n: 2 }, blocking: true });
      // Conductor, c-odd, conductor, c-inc, conductor, c-inc, conductor.
      const ran = await Promise.all(
        record.logs.map((id) => eventually(() => client.activations.get(id), { withinMs: 20_000, everyMs: 50 })),
      );
      expect(ran.map((one) => one.name)).toEqual([name, "c-odd", name, "c-inc", name, "c-inc", name]);
      for (const one of ran) expect(one).toMatchObject({ cause: record.activationId });
    });

    it("takes what the commands compose and deploy send", async () => {
      const bin = (name: string): string => require.resolve(`openwhisk-composer/bin/${name}.js`);
      const directory = mkdtempSync(join(tmpdir(), "weft-"));
      const env = { ...process.env, WSK_CONFIG_FILE: join(open.fabric.stateDir, "wskprops") };
      try {
        const composed = await run(
          process.execPath,
          [bin("compose"), require.resolve("openwhisk-composer/samples/demo.js")],
          env,
        );
        expect(composed).toMatchObject({ code: 0, stderr: "" });
        const file = join(directory, "demo.json");
        writeFileSync(file, composed.stdout);
        for (const again of [[], ["-w"]]) {
          const deployed = await run(process.execPath, [bin("deploy"), "demo", file, "--basic", ...again], env);
          expect(deployed).toMatchObject({ code: 0, stderr: "" });
          expect(deployed.stdout).toContain("ok: created");
        }
        const refused = await run(process.execPath, [bin("deploy"), "demo", file, "--basic"], env);
        expect(refused.code).not.toBe(0);
        expect(refused.stderr).toContain("already exists");
      } finally {
        rmSync(directory, { recursive: true });
      }
      const results = await Promise.all(
        ["abc123", "wrong"].map((password) =>
          client.actions.invoke({ name: "demo", params: { password }, blocking: true, result: true }),
        ),
      );
      expect(results).toEqual([{ message: "success" }, { message: "failure" }]);
    });

    it("runs async where sandboxes reach the API, and says what it could not do elsewhere", async () => {
      const name = await deploy(combine("seq", combine("async", inc(), inc()), (p: object) => ({ started: p })));
      const running = client.actions.invoke({ name, params: { n: 1 }, blocking: true });
      if (mode === "up") {
        await expect(running).rejects.toMatchObject({
          statusCode: 502,
          error: { response: { result: { error: expect.stringContaining("failed to invoke composition") as string } } },
        });
        return;
      }
      const { response } = await running;
      const { started } = response?.result as { started: { activationId: string; method: string } };
      expect(started.method).toBe("async");
      const forked = await eventually(() => client.activations.get(started.activationId), {
        withinMs: 20_000,
        everyMs: 50,
      });
      expect(forked.response?.result).toEqual({ n: 3 });
    });
  });
}

suite("dev");
describeWith(UP_SERVICES, "up", () => suite("up"));
