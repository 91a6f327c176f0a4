// Code that breaks, loops, floods, eats memory or forks, in both modes: it is contained and recorded, and its neighbour does
// not notice.

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Outcome } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { PublicClient, type ActionOptions } from "../harness/client.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

interface Case {
  readonly name: string;
  readonly kind: "nodejs:default" | "python:default";
  readonly code: string;
  readonly options?: ActionOptions;
  readonly outcome: Outcome;
  /** Of the error's text. */
  readonly says: RegExp;
  /** Of the logs. */
  readonly logs?: RegExp;
  /** Only where the driver can hold it. */
  readonly only?: "up";
}

const CASES: readonly Case[] = [
  {
    name: "does not parse (nodejs)",
    kind: "nodejs:default",
    code: "exports.main = () => {{{;\n",
    outcome: Outcome.DEVELOPER_ERROR,
    says: /SyntaxError|Unexpected token/,
  },
  {
    name: "does not parse (python)",
    kind: "python:default",
    code: "def main(args):\n  return {\n",
    outcome: Outcome.DEVELOPER_ERROR,
    says: /SyntaxError|never closed|was never/,
  },
  {
    name: "has no main",
    kind: "nodejs:default",
    code: "exports.other = () => ({});\n",
    outcome: Outcome.DEVELOPER_ERROR,
    says: /main/,
  },
  {
    name: "throws",
    kind: "nodejs:default",
    code: 'exports.main = () => { throw new Error("boom"); };\n',
    outcome: Outcome.DEVELOPER_ERROR,
    says: /boom/,
  },
  {
    name: "returns an error",
    kind: "nodejs:default",
    code: 'exports.main = () => ({ error: "not today" });\n',
    outcome: Outcome.APPLICATION_ERROR,
    says: /not today/,
  },
  {
    name: "returns what cannot be a result",
    kind: "python:default",
    code: "def main(args):\n    return 42\n",
    outcome: Outcome.DEVELOPER_ERROR,
    says: /object|dictionary|array/i,
  },
  {
    name: "exits (nodejs)",
    kind: "nodejs:default",
    code: 'exports.main = () => { console.log("going"); process.exit(3); };\n',
    outcome: Outcome.DEVELOPER_ERROR,
    says: /exit|ended|crash|abnormal/i,
  },
  {
    name: "exits (python)",
    kind: "python:default",
    code: "import os\ndef main(args):\n    os._exit(3)\n",
    outcome: Outcome.DEVELOPER_ERROR,
    says: /exit|ended|crash|abnormal/i,
  },
  {
    name: "loops",
    kind: "nodejs:default",
    code: "exports.main = () => { for (;;); };\n",
    options: { timeoutMs: 700 },
    outcome: Outcome.DEVELOPER_ERROR,
    says: /700/,
  },
  {
    name: "loops while it is loaded",
    kind: "python:default",
    code: "while True:\n    pass\ndef main(args):\n    return {}\n",
    options: { timeoutMs: 700 },
    outcome: Outcome.DEVELOPER_ERROR,
    says: /700|time/,
  },
  {
    name: "floods the log",
    kind: "nodejs:default",
    code: 'exports.main = () => { for (let i = 0; i < 300000; i++) console.log("x".repeat(100)); return { done: true }; };\n',
    options: { timeoutMs: 60_000 },
    outcome: Outcome.SUCCESS,
    says: /done/,
    logs: /truncated|limit/i,
  },
  {
    name: "eats memory (nodejs)",
    kind: "nodejs:default",
    code: "exports.main = () => { const all = []; for (;;) all.push(Buffer.alloc(8 * 1024 * 1024, 1)); };\n",
    options: { memoryMb: 128, timeoutMs: 30_000 },
    outcome: Outcome.DEVELOPER_ERROR,
    says: /memory/i,
  },
  {
    name: "eats memory (python)",
    kind: "python:default",
    code: "def main(args):\n    all = []\n    while True:\n        all.append(bytearray(8 * 1024 * 1024))\n",
    options: { memoryMb: 128, timeoutMs: 30_000 },
    outcome: Outcome.DEVELOPER_ERROR,
    says: /memory/i,
  },
  {
    name: "forks without end",
    kind: "python:default",
    code: "import os\ndef main(args):\n    while True:\n        try:\n            os.fork()\n        except OSError as e:\n            return {'refused': str(e)}\n",
    options: { timeoutMs: 5_000 },
    outcome: Outcome.SUCCESS,
    says: /refused|unavailable|time|memory/i,
    only: "up",
  },
  {
    name: "returns more than may be returned",
    kind: "nodejs:default",
    code: 'exports.main = () => ({ big: "x".repeat(3 * 1024 * 1024) });\n',
    outcome: Outcome.APPLICATION_ERROR,
    says: /larger|exceed|limit|truncated|1048576/i,
  },
];

describe("dev", () => cases("dev"));
describeWith(UP_SERVICES, "up", () => cases("up"));

function cases(mode: "dev" | "up"): void {
  let open: OpenFabric;
  let client: PublicClient;

  beforeAll(async () => {
    open = await openFabric({ mode, invokers: 1 });
    client = new PublicClient(open.fabric.grpc, open.fabric.authorization);
    await client.createAction("neighbour", "exports.main = (params) => params;\n");
    await client.invoke("neighbour", {});
  });

  afterAll(async () => {
    client.close();
    await open.close();
  });

  afterEach(async () => {
    const { activation } = await client.invoke("neighbour", { still: "here" });
    expect(JSON.parse(activation?.resultJson ?? "{}")).toEqual({ still: "here" });
  });

  const here = CASES.filter((one) => one.only === undefined || one.only === mode);
  it.each(here.map((one, i) => [one.name, one, i] as const))("holds code that %s", async (_name, one, i) => {
    const action = `hostile-${i}`;
    await client.createAction(action, one.code, { kind: one.kind, keepFailed: true, ...one.options });
    const { activationId, activation } = await client.invoke(action);
    const record = await client.record(activationId);
    if (one.name === "forks without end") {
      // Whether a refused fork, the time limit or the memory of so many processes ends it depends on who is scheduled:
      // each contains it.
      expect([Outcome.SUCCESS, Outcome.DEVELOPER_ERROR]).toContain(record.outcome);
    } else expect(record.outcome).toBe(one.outcome);
    expect(record.resultJson).toMatch(one.says);
    expect(activation?.resultJson).toBe(record.resultJson);
    if (one.logs) expect(record.logs.join("\n")).toMatch(one.logs);
  });
}
