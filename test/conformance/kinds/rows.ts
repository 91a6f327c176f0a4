// The table: what every kind must do. A row is a name and what is looked at; rows of a lane run one after the other, in
// the same sandbox as long as it lives, and lanes beside each other.

import { expect } from "vitest";

import type { Timestamp } from "../../../internal/gen/google/protobuf/timestamp.pb.js";
import { services } from "../../harness/client.js";
import { eventually } from "../../harness/eventually.js";
import { RuntimePeer } from "../../harness/runtime-peer.js";
import type { Dependencies, Descriptor, Expectation } from "./family.js";
import { loadable } from "./loadable.js";
import type { Ended, KindWorld, Use } from "./world.js";

export interface Row {
  /** As in family.json. */
  readonly key: string;
  /** A sentence that begins with the kind. */
  readonly name: string;
  readonly check: (world: KindWorld) => Promise<void>;
  /** Whether it is for a language that can do this, and for others than its default version. Default: for all. */
  readonly isFor?: (can: Descriptor, isDefault: boolean) => boolean;
}

export interface Lane {
  /** Actions that its rows call. */
  readonly actions: Readonly<Record<string, Use>>;
  readonly rows: readonly Row[];
}

const MIB = 1024 * 1024;
const PLAIN_MS = 30_000;
/** How far the clocks that two processes read may seem to be apart while a machine corrects its own. */
const CLOCK_MS = 50;

const msOf = (time: Timestamp | undefined): number => (time ? time.seconds * 1_000 + time.nanos / 1_000_000 : NaN);

/** Holds an end to a row's expectation, as the language changes it. */
function hold(world: KindWorld, key: string, ended: Ended, usual: Expectation, values: Record<string, unknown>): void {
  const wanted: Expectation = { ...usual, ...world.family.can.expects[key] };
  const of = (pattern: string): RegExp =>
    new RegExp(
      pattern.replaceAll(/\{(line|code)\}/g, (_, name: string) => String(values[name])),
      "s",
    );
  const said = JSON.stringify({ result: ended.result, logs: ended.logs.slice(-20) }, undefined, 1).slice(0, 3_000);
  if (wanted.outcome !== undefined) expect(ended.outcome, said).toBe(wanted.outcome);
  if (wanted.error !== undefined && wanted.outcome !== "success") expect(ended.error, said).toMatch(of(wanted.error));
  if (wanted.result !== undefined) expect(ended.result, said).toEqual(wanted.result);
  for (const one of [wanted.log ?? []].flat()) {
    const log = of(one);
    expect(
      ended.logs.some((line) => log.test(line)),
      `${one} in ${said}`,
    ).toBe(true);
  }
}

/** A row that runs an act and looks at how it ended. */
function ends(
  action: string,
  key: string,
  name: string,
  params: { readonly act: string; readonly [key: string]: unknown },
  usual: Expectation,
): Row {
  return {
    key,
    name,
    async check(world) {
      const values = { code: params["code"], line: params.act === "throw" ? world.family.line("action", "@throw") : 0 };
      hold(world, key, await world.run(action, params), usual, values);
    },
  };
}

/** A row whose code does not load: stored all the same, as OpenWhisk's paths do, and where it is refused, that too. */
function doesNotLoad(key: string, name: string, usual: Expectation, use: Use = {}): Lane {
  return {
    actions: {},
    rows: [
      {
        key,
        name,
        async check(world) {
          const marked = key === "syntax-error" || key === "throws-at-load";
          const line = marked ? world.family.line(key, "@here") : 0;
          const { refused = usual.refused } = world.family.can.expects[key] ?? {};
          if (refused !== undefined) {
            // Not `rejects`: another test may be the current one by then, and that wants to be waited for by its own.
            const refusal = await world.deploy(`${key}-refused`, { file: key, ...use }).then(
              () => "it was deployed",
              (thrown: unknown) => String(thrown),
            );
            expect(refusal).toMatch(new RegExp(refused.replaceAll("{line}", String(line)), "s"));
          }
          await world.deploy(key, { file: key, keepFailed: true, ...use });
          hold(world, key, await world.run(key, {}), { outcome: "developerError", ...usual }, { line, code: 3 });
        },
      },
    ],
  };
}

const UNICODE = "Grüße 日本 🌍 \u0000 \u2028 \u200d";
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

const plain: Lane = {
  actions: {
    beside: {},
    plain: {
      timeoutMs: PLAIN_MS,
      parameters: [
        { key: "usual", valueJson: "1" },
        { key: "TEXT", valueJson: `"s"`, init: true },
        { key: "NUMBER", valueJson: "7", init: true },
        { key: "OBJECT", valueJson: `{"a":[1]}`, init: true },
      ],
    },
  },
  rows: [
    {
      key: "echo",
      name: "keeps unicode: beyond the 16-bit plane, NUL, line separators",
      async check(world) {
        const params = { act: "echo", text: UNICODE, [UNICODE]: [UNICODE] };
        expect((await world.run("plain", params)).result).toEqual({ usual: 1, ...params });
      },
    },
    {
      key: "surrogates",
      name: "keeps half of a surrogate pair, or replaces it",
      async check(world) {
        const { result } = await world.runJson("plain", `{"act":"echo","text":"a\\ud83db"}`);
        const { text } = result as { text: string };
        expect(text).toMatch(world.family.can.surrogates === "kept" ? /^a\ud83db$/ : /^a\ufffd+b$/);
      },
    },
    {
      key: "numbers",
      name: "keeps the digits of large numbers, or takes the nearest that it has",
      async check(world) {
        const json = `{"act":"echo","large":9007199254740993,"usual":0.1,"tiny":-1e-7}`;
        const { record, result } = await world.runJson("plain", json);
        expect(result).toMatchObject({ usual: 0.1, tiny: -1e-7 });
        const large = /"large": ?([^,}]+)/.exec(record.resultJson)?.[1];
        if (world.family.can.numbers === "kept") expect(large).toBe("9007199254740993");
        else expect(Number(large)).toBe(9007199254740992);
      },
    },
    {
      key: "bytes",
      name: "takes and gives bytes as base64, and prints what is no UTF-8",
      async check(world) {
        const ended = await world.run("plain", { act: "bytes", base64: EVERY_BYTE.toString("base64") });
        expect(ended.result).toEqual({ base64: Buffer.from(EVERY_BYTE).reverse().toString("base64") });
        expect(ended.logs).toEqual([expect.stringMatching(/^stdout: A\ufffd{1,2}B$/)]);
      },
    },
    ends(
      "plain",
      "array",
      "answers a list",
      { act: "array" },
      {
        outcome: "success",
        result: [1, "two", { three: 3 }],
      },
    ),
    {
      key: "streams",
      name: "tells both streams in the order of printing, with times, and a last line without its end",
      async check(world) {
        const { record, logs } = await world.run("plain", { act: "streams" });
        const all = ["stdout: out 1", "stderr: err 1", "stdout: out 2", "stderr: err 2", "stdout: out 3"];
        if (world.family.can.logOrder === "whole") expect(logs).toEqual(all);
        for (const stream of ["stdout", "stderr"]) {
          const of = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith(stream));
          expect(of(logs)).toEqual(of(all));
        }
        const times = record.logs.map((line) => line.slice(0, line.indexOf(" ")));
        for (const time of times) expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
        const moments = times.map((time) => Date.parse(`${time.slice(0, 23)}Z`));
        expect(Math.min(...moments)).toBeGreaterThanOrEqual(msOf(record.startTime) - CLOCK_MS);
        expect(Math.max(...moments)).toBeLessThanOrEqual(msOf(record.endTime) + CLOCK_MS);
        if (world.family.can.logOrder === "whole") expect(times).toEqual([...times].sort());
      },
    },
    {
      key: "environment",
      name: "finds its activation and what is for init in its environment, and nothing of the host",
      async check(world) {
        const before = Date.now();
        const { record, result } = await world.run("plain", { act: "environment", x: 2 });
        const { env, params } = result as { env: Record<string, string>; params: Record<string, unknown> };
        expect(params).toEqual({ usual: 1, act: "environment", x: 2 });
        expect(env).toMatchObject({
          __OW_ACTIVATION_ID: record.activationId,
          __OW_NAMESPACE: "guest",
          __OW_ACTION_NAME: `/guest/${world.actionName("plain")}`,
          __OW_ACTION_VERSION: record.version,
          __OW_TRANSACTION_ID: expect.stringMatching(/^\S+$/) as string,
          __OW_API_HOST: world.rest,
          TEXT: "s",
          NUMBER: "7",
          OBJECT: `{"a":[1]}`,
        });
        const deadline = Number(env["__OW_DEADLINE"]);
        expect(deadline).toBeGreaterThan(before + PLAIN_MS - 1_000);
        expect(deadline).toBeLessThanOrEqual(Date.now() + PLAIN_MS);
        expect(env).not.toHaveProperty("__OW_API_KEY");
        const known = /^(__OW_[A-Z_]+|WEFT_(TRACEPARENT|ACTION_\w+|LANGUAGE_VERSION|REMAINING_MS|SANDBOX))$/;
        for (const name of Object.keys(env).filter((one) => /^(__OW_|WEFT_)/.test(one))) expect(name).toMatch(known);
        for (const [name, value] of Object.entries(env)) {
          expect(`${name}=${value}`).not.toMatch(/HOST_CANARY|seen-on-the-host|postgres:|etcd|cluster/i);
        }
      },
    },
    {
      key: "remaining",
      name: "is told how long it may still run",
      async check(world) {
        const { result } = await world.run("plain", { act: "remaining" });
        const { remainingMs } = result as { remainingMs: number };
        expect(remainingMs).toBeGreaterThan(PLAIN_MS - 5_000);
        expect(remainingMs).toBeLessThanOrEqual(PLAIN_MS);
      },
    },
    {
      key: "large-input",
      name: "takes arguments of 1 MiB",
      async check(world) {
        const around = JSON.stringify({ act: "print", lines: 0, line: "" });
        const json = JSON.stringify({ act: "print", lines: 0, line: "x".repeat(MIB - around.length) });
        const { outcome, result } = await world.runJson("plain", json);
        expect([outcome, json.length, result]).toEqual(["success", MIB, {}]);
      },
    },
    {
      key: "fill",
      name: "answers 1 MiB, and is told of one byte more how much it was",
      async check(world) {
        const around = (await world.run("plain", { act: "fill", chars: 0 })).record.resultSize;
        const fits = await world.run("plain", { act: "fill", chars: MIB - around });
        expect([fits.outcome, fits.record.resultSize]).toEqual(["success", MIB]);
        const over = await world.run("plain", { act: "fill", chars: MIB - around + 1 });
        expect([over.outcome, over.record.resultSize]).toEqual(["applicationError", MIB + 1]);
        expect(over.error).toMatch(
          /^The action produced a response that exceeded the allowed length: 1048577 > 1048576 bytes\. The truncated response was: \{"x": ?"xxx/,
        );
      },
    },
    {
      key: "reuse",
      name: "is reused without what a former run was told: its activation, its lines",
      async check(world) {
        const left = await world.run("plain", { act: "leave" });
        expect([left.outcome, left.logs]).toEqual(["success", ["stdout: left"]]);
        const looked = await world.run("plain", { act: "look" });
        expect(looked.record.initMs, "it has a sandbox of its own").toBeUndefined();
        expect(looked.result).toMatchObject({ activationId: looked.record.activationId, apiKey: null });
        expect(looked.logs).toEqual([]);
      },
    },
    {
      key: "temporary-files",
      name: "finds files that a former run left, as long as the sandbox lives",
      async check(world) {
        expect((await world.run("plain", { act: "look" })).result).toMatchObject({ file: true });
      },
    },
    {
      key: "late",
      name: "has lines that come after the answer in no other run's record",
      async check(world) {
        const { logs } = await world.run("plain", { act: "late" });
        expect(logs).toEqual([]);
        await world.run("beside", { act: "wait", ms: 400 });
        expect((await world.run("plain", { act: "wait", ms: 1 })).logs).toEqual([]);
      },
    },
  ],
};

const NOT_AN_OBJECT = { outcome: "developerError", error: "did not return a dictionary or array" } as const;

/** What fails and may take its sandbox along. */
const failing: Lane = {
  actions: { fails: {} },
  rows: [
    ends(
      "fails",
      "throw",
      "throws: the error, and the trace that begins in its own file and line",
      { act: "throw" },
      {
        error: "no luck",
      },
    ),
    ends(
      "fails",
      "reject",
      "throws later: an error of its own",
      { act: "reject" },
      {
        outcome: "applicationError",
        error: "^no luck$",
      },
    ),
    ends("fails", "text", "answers a text, which is no result", { act: "text" }, NOT_AN_OBJECT),
    ends("fails", "nothing", "answers nothing", { act: "nothing" }, NOT_AN_OBJECT),
    ends(
      "fails",
      "circle",
      "answers what JSON cannot say",
      { act: "circle" },
      {
        outcome: "developerError",
        error: "cannot be written as JSON",
      },
    ),
    ...[0, 1].map((code) =>
      ends(
        "fails",
        "exit",
        `ends its process with ${code}: told with the code and the last lines`,
        { act: "exit", code },
        { outcome: "developerError", error: "exited.*code {code}\\b.*last words", log: "^stdout: last words$" },
      ),
    ),
  ],
};

const bomb: Lane = {
  actions: { bomb: { memoryMb: 512, timeoutMs: 20_000 }, neighbour: {} },
  rows: [
    {
      key: "fork-bomb",
      name: "may start many processes and no more, and its neighbour does not notice",
      async check(world) {
        // Each prints nothing and ends by itself, when the sandbox does not.
        const command = "i=0; while [ $i -lt 1300 ]; do sleep 15 >/dev/null 2>&1 & i=$((i+1)); done; echo all >&2";
        const exploding = world.run("bomb", { act: "shell", command });
        const { outcome, result } = await world.run("neighbour", { act: "array" });
        expect([outcome, result]).toEqual(["success", [1, "two", { three: 3 }]]);
        const bombed = await exploding;
        if (bombed.outcome === "success") {
          const { code, stderr } = bombed.result as { code: number; stderr: string };
          // Where the driver only looks every so often, it ends the sandbox instead.
          expect(world.driver.abilities.pidsLimit).toBe("exact");
          expect(stderr).toMatch(/fork|resource|temporarily/i);
          expect(code).not.toBe(0);
        } else expect(bombed.error).toMatch(/more than \d+ processes|exhausted its memory|resource|fork/i);
      },
    },
  ],
};

const concurrent: Lane = {
  actions: { concurrent: { concurrency: 4 } },
  rows: [
    {
      key: "concurrency",
      name: "runs several at once in a sandbox, each with its own lines",
      async check(world) {
        if (!world.family.can.concurrency) return;
        await world.run("concurrent", { act: "wait", ms: 1 });
        const runs = await Promise.all([
          ...[1, 2, 3].map(() => world.run("concurrent", { act: "wait", ms: 800 })),
          world.run("concurrent", { act: "print", line: "mine", lines: 2 }),
        ]);
        for (const { record, outcome } of runs) expect([outcome, record.initMs]).toEqual(["success", undefined]);
        expect(runs.map(({ logs }) => logs.length)).toEqual([0, 0, 0, 2]);
        const starts = runs.map(({ record }) => msOf(record.startTime));
        const waits = runs.slice(0, 3).map(({ record }) => msOf(record.endTime));
        expect(Math.max(...starts)).toBeLessThan(Math.min(...waits));
      },
    },
  ],
};

/** Straight in the driver: no call of the public API takes back what has begun. */
const canceling: Lane = {
  actions: {},
  rows: [
    {
      key: "until-cancelled",
      name: "is told that nobody wants its answer any more, and goes on to be used",
      async check({ driver, kind, family }) {
        const spec = { sandbox: 1, kind, memoryMb: family.can.memoryMb, pidsMax: 256, env: {} };
        const sandbox = await driver.create(spec, 30_000, new AbortController().signal);
        try {
          const peer = new RuntimePeer(sandbox.link);
          const { code, main, binary } = await loadable(driver, kind, family);
          expect(await peer.init(code, { main, binary })).toMatchObject({ ok: true });
          const running = peer.run({ act: "until-cancelled" });
          const { lastCall } = peer;
          await eventually(() => peer.printed(lastCall).includes("stdout: waiting"), { withinMs: 10_000 });
          peer.cancel(lastCall, "the caller hung up");
          expect((await running).result).toEqual({ cancelled: true });
          expect((await peer.run({ act: "array" })).outcome).toBe("success");
        } finally {
          await sandbox.destroy();
        }
      },
    },
  ],
};

/** Of the folder `dependencies`: what its list names is in registries of the test's own. All versions do the first of them. */
function resolving(key: string, name: string, check: (world: KindWorld, of: Dependencies) => Promise<void>): Row {
  return {
    key,
    name,
    isFor: ({ dependencies }, isDefault) => dependencies !== undefined && (isDefault || key === "resolved"),
    async check(world) {
      const { dependencies } = world.family.can;
      if (dependencies) await check(world, dependencies);
    },
  };
}

/** One after the other, because they change what the registries have. */
const dependencies: Lane = {
  actions: {},
  rows: [
    resolving("resolved", "has what its list names put beside it, and tells what that was", async (world) => {
      world.registries.newest = "1.0.0";
      const { exec } = await world.deploy("resolved", { code: world.family.dependencies({}) });
      expect([exec?.build?.lock, exec?.build?.artifactDigest]).toEqual([
        expect.stringMatching(/weft[-/]greeting[^]*1\.0\.0/),
        expect.stringMatching(/^[0-9a-f]{64}$/),
      ]);
      expect((await world.run("resolved", {})).result).toEqual({ greeting: "1.0.0" });
    }),
    resolving(
      "locked",
      "has the same again with that lock, though there is something newer",
      async (world, { list, lock }) => {
        const name = world.actionName("resolved");
        const before = await world.client.call(services.action.getAction, { namespace: "_", name, withCode: false });
        world.registries.newest = "1.1.0";
        const code = world.family.dependencies({ [lock]: before.exec?.build?.lock ?? "" });
        const { exec } = await world.deploy("locked", { code });
        expect(exec?.build?.lock).toBe(before.exec?.build?.lock);
        // Byte for byte, where the lock is a file that the first build made too.
        if (lock !== list) expect(exec?.build?.artifactDigest).toBe(before.exec?.build?.artifactDigest);
        expect((await world.run("locked", {})).result).toEqual({ greeting: "1.0.0" });
      },
    ),
    resolving(
      "unknown-version",
      "wants a version that does not exist: told with its name",
      async (world, { list, unknown }) => {
        const refusal = await world.deploy("unknown", { code: world.family.dependencies({ [list]: unknown }) }).then(
          () => "it was deployed",
          (thrown: unknown) => String(thrown),
        );
        expect(refusal).toMatch(/dependencies do not come together: [^]*weft[-/]greeting/);
      },
    ),
    resolving("brought", "keeps what it brought, and asks no registry", async (world, { brought }) => {
      const asked = world.registries.asked.length;
      const { exec } = await world.deploy("brought", { code: world.family.dependencies(brought) });
      expect([exec?.build, world.registries.asked.length]).toEqual([undefined, asked]);
      expect((await world.run("brought", {})).result).toEqual({ greeting: "brought" });
    }),
    resolving("as-it-is", "is stored as it is where OpenWhisk does, unless an annotation asks", async (world) => {
      const code = world.family.dependencies({});
      const { exec } = await world.deploy("as-it-is", { code, keepFailed: true });
      expect(exec?.build).toBeUndefined();
      // What was built for the first row.
      const asked = await world.deploy("asked", { code, keepFailed: true, resolveDependencies: true });
      expect(asked.exec?.build).toMatchObject({ cached: true });
    }),
  ],
};

const LAST_WORDS = { error: "exited.*code {code}\\b.*last words", log: "^stdout: last words$" };

export const lanes: readonly Lane[] = [
  plain,
  failing,
  bomb,
  {
    actions: { short: { timeoutMs: 3_000 } },
    rows: [
      ends(
        "short",
        "hang",
        "hangs: stopped at its time limit, which says that it ran",
        { act: "hang" },
        {
          outcome: "developerError",
          error: "^The action exceeded its time limits of 3000 milliseconds\\.$",
          log: ["^stdout: still here$", 'phase "run", 3000 ms after it was called'],
        },
      ),
    ],
  },
  doesNotLoad(
    "hangs-at-load",
    "hangs while it is loaded: stopped at its time limit, which says so",
    {
      error: "^The action exceeded its time limits of 3000 milliseconds during initialization\\.",
      log: ["^stdout: still loading$", 'phase "init"'],
    },
    { timeoutMs: 3_000 },
  ),
  {
    actions: { small: { memoryMb: 128 } },
    rows: [
      ends(
        "small",
        "eat",
        "eats memory: told so, with the limit",
        { act: "eat" },
        {
          outcome: "developerError",
          error: "exhausted its memory.*128 MB",
          log: "^stdout: hungry$",
        },
      ),
    ],
  },
  {
    actions: { quiet: { logsMb: 1 } },
    rows: [
      ends(
        "quiet",
        "flood",
        "floods its log: cut at the limit, and the last line says so",
        { act: "print", line: "x".repeat(99), lines: 20_000 },
        { outcome: "success", result: {}, log: "^stderr: Logs were truncated .* limit of 1048576 bytes\\.$" },
      ),
    ],
  },
  doesNotLoad("syntax-error", "does not parse: told with file and line, before it is stored", {
    refused: "The (code cannot be loaded|source does not build): .*:{line}:",
  }),
  doesNotLoad("no-main", "has no main: told by name, with what there is", { error: "\\bmain\\b" }),
  doesNotLoad("throws-at-load", "throws while it is loaded: told with the trace", { error: "no luck" }),
  doesNotLoad("exits-at-load", "ends its process while it is loaded: told with the last lines", LAST_WORDS),
  {
    actions: { other: {} },
    rows: [
      {
        key: "other-main",
        name: "has another main",
        async check(world) {
          const { otherMain } = world.family.can;
          if (otherMain === undefined) throw new Error("otherMain of family.json is missing");
          await world.deploy("other-main", { main: otherMain });
          expect((await world.run("other-main", {})).result).toEqual({ other: true });
        },
      },
    ],
  },
  {
    actions: { archived: { file: "archive" } },
    rows: [
      {
        key: "archive",
        name: "comes as an archive, with folders and what it needs",
        async check(world) {
          expect((await world.run("archived", {})).result).toEqual({ from: ["nested", "beside"] });
        },
      },
    ],
  },
  dependencies,
  concurrent,
  canceling,
];
