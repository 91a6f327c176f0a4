// One call in a sandbox: how it can end, what its caller is told, what is recorded.

import { afterEach, describe, expect, it } from "vitest";

import { InvokerWorld, type ActionOptions, type Call, type WorldOptions } from "../../test/harness/invoker-world.js";
import { recordTraces } from "../../test/harness/tracing.js";
import type { FakeSandbox } from "../../test/harness/fake-driver.js";
import { WeftError } from "../base/errors.js";
import { Outcome, StartKind } from "../gen/weft/link/v1/work.pb.js";
import type { ActivationRecord } from "../gen/weft/link/v1/control.pb.js";

let world: InvokerWorld;
afterEach(async () => {
  const drained = world.invoker.drain(0);
  await world.elapse(10_000);
  await drained;
  // Everything ends: no sandbox and no timer is left.
  expect(world.driver.alive).toEqual([]);
  expect(world.clock.pending).toBe(0);
});

/** One call of a fresh sandbox, with time to end. */
async function call(
  script: string,
  options: ActionOptions & {
    readonly withinMs?: number;
    readonly async?: boolean;
    readonly truncationBytes?: number;
  } = {},
  worldOptions: WorldOptions = {},
): Promise<{ readonly call: Call; readonly record: ActivationRecord; readonly sandbox: FakeSandbox }> {
  world = new InvokerWorld(worldOptions);
  await world.start();
  const action = world.action(script, options);
  const sandbox = await world.sandboxFor(action);
  const dispatcher = await world.dispatcher();
  const { async = false, truncationBytes } = options;
  const made = dispatcher.send({
    action,
    sandbox,
    async,
    ...(truncationBytes === undefined ? {} : { truncationBytes }),
  });
  await world.elapse(options.withinMs ?? 10);
  expect(made.answers).toBe(1);
  return { call: made, record: await world.recordOf(made.activationId), sandbox: world.driver.made[0]! };
}

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
const errorOf = (made: Call): string => (JSON.parse(text(made.done?.resultJson)) as { error: string }).error;

describe("a call", () => {
  it.each<
    [
      name: string,
      script: string,
      outcome: Outcome,
      result: string,
      reusable: boolean,
      options?: ActionOptions & { withinMs?: number },
    ]
  >([
    ["answers its arguments", "echo", Outcome.SUCCESS, '{"name":"Ada"}', true],
    ["answers an array", "return [1, 2]", Outcome.SUCCESS, "[1, 2]", true],
    [
      "keeps every digit of a number",
      'return {"n":12345678901234567890.10}',
      Outcome.SUCCESS,
      '{"n":12345678901234567890.10}',
      true,
    ],
    ["takes its time", "sleep 1000\nreturn {}", Outcome.SUCCESS, "{}", true, { withinMs: 1_000 }],
    [
      "answers an error of its own",
      'error {"statusCode":404}',
      Outcome.APPLICATION_ERROR,
      '{"error":{"statusCode":404}}',
      true,
    ],
    ["answers a false error", "error false", Outcome.APPLICATION_ERROR, '{"error":false}', true],
    ["throws", "throw boom", Outcome.DEVELOPER_ERROR, '{"error":"An error has occurred: boom"}', false],
    [
      "answers what is no JSON",
      "answer {oops",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not produce a valid JSON or JSON Array response: {oops"}',
      false,
    ],
    [
      "answers a number",
      "answer 42",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not produce a valid JSON or JSON Array response: 42"}',
      false,
    ],
    [
      "answers nothing",
      "answer ",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not produce a valid JSON or JSON Array response."}',
      false,
    ],
    [
      "exits",
      "exit 3",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not produce a valid response and exited unexpectedly (exit code 3)."}',
      false,
    ],
    [
      "exits after it has printed something",
      "log one\nerr disk full\nexit 1",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not produce a valid response and exited unexpectedly (exit code 1). Last output: one\\ndisk full"}',
      false,
    ],
    [
      "eats its memory",
      "oom",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action exhausted its memory and was aborted: its limit is 256 MB."}',
      false,
    ],
    [
      "starts too many processes",
      "fork",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not produce a valid response and exited unexpectedly: it started more than 1024 processes."}',
      false,
    ],
    [
      "writes noise to its connection",
      "garbage",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action\'s runtime sent a message that cannot be read; something in the action writes to its connection."}',
      false,
    ],
    [
      "cannot be loaded",
      "init fail SyntaxError: line 1",
      Outcome.DEVELOPER_ERROR,
      '{"error":"SyntaxError: line 1"}',
      false,
    ],
    [
      "exits while it is loaded",
      "init log hm\ninit exit 7",
      Outcome.DEVELOPER_ERROR,
      '{"error":"The action did not initialize and exited unexpectedly (exit code 7). Last output: hm"}',
      false,
    ],
    [
      "is answered before its code is loaded, by whoever wrote it",
      "init forge\nreturn {}",
      Outcome.SUCCESS,
      "{}",
      true,
    ],
    ["answers the same call twice", "late hello", Outcome.SUCCESS, '{"said":"hello"}', true],
  ])("that %s is told and recorded so", async (_, script, outcome, result, reusable, options) => {
    const { call: made, record, sandbox } = await call(script, options);
    expect(made.done).toMatchObject({ outcome, reusable, timedOut: false, startKind: StartKind.COLD });
    expect(text(made.done?.resultJson)).toBe(result);
    expect(record).toMatchObject({ outcome, timedOut: false, resultSize: made.done?.resultSize });
    expect(text(record.resultJson)).toBe(result);
    expect(sandbox.destroyed).toBe(!reusable);
  });

  it("has what its record needs", async () => {
    const { call: made, record } = await call("init sleep 30\nsleep 40", { withinMs: 70, async: true, logsMb: 2 });
    expect(record).toEqual({
      activationId: Buffer.from(made.activationId, "hex"),
      namespace: "guest",
      subject: "guest-subject",
      path: "guest/action1",
      version: "0.0.7",
      kind: "nodejs:20",
      startWallMs: made.done?.startWallMs,
      durationMs: 70,
      initMs: 30,
      waitMs: 0,
      outcome: Outcome.SUCCESS,
      resultJson: Buffer.from('{"name":"Ada"}'),
      resultSize: 14,
      timedOut: false,
      logs: [],
      timeoutMs: 60_000,
      memoryMb: 256,
      logsMb: 2,
      concurrency: 1,
      cause: "",
      binding: "",
      transactionId: "tid",
      traceId: "",
      async: true,
      startKind: StartKind.COLD,
      invokerId: "i1",
      unstored: false,
    });
  });

  it("that runs too long is stopped at its limit, to the millisecond, and its sandbox with it", async () => {
    const { call: made, record, sandbox } = await call("log working\nhang", { timeoutMs: 150, withinMs: 150 });
    expect(errorOf(made)).toBe("The action exceeded its time limits of 150 milliseconds.");
    expect(made.done).toMatchObject({
      outcome: Outcome.DEVELOPER_ERROR,
      timedOut: true,
      reusable: false,
      durationMs: 150,
    });
    expect(record.timedOut).toBe(true);
    expect(record.logs.map((line) => line.slice(31))).toEqual([
      "stdout: working",
      'stderr: The action was stopped in its phase "run", 150 ms after it was called; before that, its code was loaded for 0 ms.',
      "stderr: The action did not initialize or run as expected. Log data might be missing.",
    ]);
    expect(sandbox.destroyed).toBe(true);
  });

  it("that loads too long is stopped, and its limit begins anew with the run", async () => {
    const slow = await call("init hang", { timeoutMs: 100, withinMs: 100 });
    expect(errorOf(slow.call)).toBe("The action exceeded its time limits of 100 milliseconds during initialization.");
    expect(slow.call.done).toMatchObject({ timedOut: true, initMs: 100 });
    expect(slow.record.logs.at(-2)?.slice(31)).toBe(
      'stderr: The action was stopped in its phase "init", when its code had been loaded for 100 ms.',
    );
    const drained = world.invoker.drain(0);
    await world.elapse(5_000);
    await drained;
    const good = await call("init sleep 80\nsleep 80", { timeoutMs: 100, withinMs: 160 });
    expect(good.call.done).toMatchObject({ outcome: Outcome.SUCCESS, durationMs: 160, initMs: 80 });
  });

  it("with an answer above 1 MiB is told how large it was, with an excerpt, and its sandbox stays", async () => {
    const fits = await call("large 1048576");
    expect(fits.call.done).toMatchObject({ outcome: Outcome.SUCCESS, resultSize: 1_048_576 });
    const drained = world.invoker.drain(0);
    await world.elapse(5_000);
    await drained;
    const { call: made } = await call("large 1048577");
    expect(made.done).toMatchObject({ outcome: Outcome.APPLICATION_ERROR, resultSize: 1_048_577, reusable: true });
    expect(errorOf(made)).toMatch(
      /^The action produced a response that exceeded the allowed length: 1048577 > 1048576 bytes\. The truncated response was: \{"x":"yyy/,
    );
  });

  it("shows as much of an answer that is too large as its caller's namespace wants", async () => {
    const { call: made } = await call("large 1048577", { truncationBytes: 9 });
    expect(errorOf(made)).toMatch(/The truncated response was: \{"x":"yyy$/);
  });

  it("has no record when its caller's namespace wants none, and of a durable request one that only settles it", async () => {
    world = new InvokerWorld();
    await world.start();
    const dispatcher = await world.dispatcher();
    const recordOf = async (script: string, async: boolean): Promise<ActivationRecord | undefined> => {
      const action = world.action(script);
      const sandbox = await world.sandboxFor(action);
      const made = dispatcher.send({ action, sandbox, unstored: true, async });
      await world.elapse(100);
      expect(made.answers).toBe(1);
      return world
        .records()
        .find(({ activationId }) => Buffer.from(activationId).toString("hex") === made.activationId);
    };
    expect(await recordOf("return {}", false)).toBeUndefined();
    expect(await recordOf('error {"error":"x"}', false)).toBeUndefined();
    expect(await recordOf("log secret\nreturn {}", true)).toMatchObject({ unstored: true, logs: [] });
  });

  it("has its lines in its record, by stream, with those of init and those past the runtime", async () => {
    const { record } = await call("init log loading\nlog out\nerr bad\nraw native\nraw half\\\nreturn {}");
    expect(record.logs.map((line) => line.slice(31))).toEqual([
      "stdout: loading",
      "stdout: out",
      "stderr: bad",
      "stdout: native",
      "stdout: half",
    ]);
    expect(record.logs[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout: loading$/);
  });

  it("that floods its log is cut at the limit, and says so", async () => {
    const { record, call: made } = await call("flood 2000\nreturn {}", { logsMb: 1 });
    expect(made.done?.outcome).toBe(Outcome.SUCCESS);
    expect(record.logs).toHaveLength(1_025);
    expect(record.logs.at(-1)).toContain(
      "stderr: Logs were truncated because the total bytes size exceeds the limit of 1048576 bytes.",
    );
  });

  it("whose action keeps no logs has none", async () => {
    expect((await call("log a\nthrow b", { logsMb: 0 })).record.logs).toEqual([]);
  });

  it("is answered before its record is made", async () => {
    world = new InvokerWorld();
    await world.start();
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    expect(made.done?.outcome).toBe(Outcome.SUCCESS);
    expect(world.records()).toHaveLength(0);
    await world.elapse(50);
    expect(world.records()).toHaveLength(1);
  });

  it("is told of an end that nobody explains", async () => {
    world = new InvokerWorld();
    await world.start();
    const action = world.action("hang");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    world.driver.made[0]?.disconnect();
    const next = await dispatcher.invoke({ action, sandbox });
    expect([made.answers, next.nack]).toEqual([0, 1]);
    await world.elapse(500);
    expect(errorOf(made)).toBe("The action did not produce a valid response and exited unexpectedly.");
    expect(dispatcher.slotsGone).toEqual([sandbox]);
  });

  it("finds its environment", async () => {
    const { sandbox, call: made } = await call("echo", { env: { SECRET: "x" } });
    expect(sandbox.inits[0]).toMatchObject({
      actionName: "action1",
      main: "",
      concurrency: 1,
      logLimitBytes: 1_048_576,
      env: {
        SECRET: "x",
        __OW_ACTION_NAME: "/guest/action1",
        __OW_ACTION_VERSION: "0.0.7",
        __OW_NAMESPACE: "guest",
        __OW_ACTIVATION_ID: made.activationId,
        __OW_TRANSACTION_ID: "tid",
      },
    });
    expect(sandbox.runs[0]).toMatchObject({
      activationId: made.activationId,
      namespace: "guest",
      actionName: "/guest/action1",
      actionVersion: "0.0.7",
      transactionId: "tid",
      remainingMs: 60_000,
      deadlineWallMs: (made.done?.startWallMs ?? 0) + 60_000,
      apiKey: "",
    });
  });
});

describe("code that cannot be had", () => {
  it("because the action is gone ends the call as an application error", async () => {
    world = new InvokerWorld();
    await world.start();
    const action = world.action("echo");
    world.controller.revisions.clear();
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    expect(errorOf(made)).toBe("Action could not be found or may have been deleted.");
    expect(made.done).toMatchObject({ outcome: Outcome.APPLICATION_ERROR, reusable: false });
    expect((await world.recordOf(made.activationId)).outcome).toBe(Outcome.APPLICATION_ERROR);
  });

  it.each<[async: boolean, how: string]>([
    [false, "ends the call of somebody who waits as a platform error"],
    [true, "sends back the call of a durable request, which did not begin"],
  ])("because no controller answers (async: %s) %s", async (async) => {
    world = new InvokerWorld({ settings: { codePatienceMs: 1_000 } });
    await world.start();
    const action = world.action("echo");
    world.controller.codeFailure = new WeftError("unavailable", "DOWN", "down");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = dispatcher.send({ action, sandbox, async });
    await world.elapse(3_000);
    if (async) expect(made).toMatchObject({ nack: 1, done: undefined });
    else expect(errorOf(made)).toBe("Action could not be fetched.");
    expect(world.driver.alive).toEqual([]);
  });

  it("is fetched again when a call comes after a controller is back", async () => {
    world = new InvokerWorld({ settings: { codePatienceMs: 1_000 } });
    await world.start();
    const action = world.action("echo");
    world.controller.codeFailure = new WeftError("unavailable", "DOWN", "down");
    const sandbox = await world.sandboxFor(action);
    await world.elapse(3_000);
    world.controller.codeFailure = undefined;
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    expect(made.done?.outcome).toBe(Outcome.SUCCESS);
  });

  it("is waited for no longer than the call's budget", async () => {
    world = new InvokerWorld();
    await world.start();
    world.controller.codeMs = 5_000;
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = dispatcher.send({ action, sandbox, remainingMs: 100 });
    await world.elapse(101);
    expect(made.nack).toBe(6);
    await world.elapse(5_000);
    const next = await dispatcher.invoke({ action, sandbox, sequence: 2 });
    expect(next.done?.outcome).toBe(Outcome.SUCCESS);
  });
});

describe("the record of a call", () => {
  const calls = async (): Promise<{ readonly ask: () => Call; readonly recorded: () => number }> => {
    world = new InvokerWorld();
    await world.start();
    const action = world.action("sleep 1\nreturn {}");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    return {
      ask: () => dispatcher.send({ action, sandbox }),
      recorded: () => world.records().length,
    };
  };

  it("waits for output past the runtime that may come after its answer", async () => {
    const { ask, recorded } = await calls();
    const call = ask();
    await world.elapse(15);
    expect([call.done?.outcome, recorded()]).toEqual([Outcome.SUCCESS, 0]);
    await world.elapse(40);
    expect(recorded()).toBe(1);
  });

  it("is made as soon as the next call of its sandbox begins: what is printed then is that one's", async () => {
    const { ask, recorded } = await calls();
    ask();
    await world.elapse(2);
    ask();
    await world.elapse(20);
    expect(recorded()).toBe(1);
    await world.elapse(40);
    expect(recorded()).toBe(2);
  });
});

describe("several calls in one sandbox", () => {
  const two = async (script: string, options: ActionOptions = {}) => {
    world = new InvokerWorld();
    await world.start();
    const action = world.action(script, { concurrency: 3, ...options });
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    return { action, sandbox, dispatcher };
  };

  it("wait for the same init; only one pays for it", async () => {
    const { action, sandbox, dispatcher } = await two("init sleep 50\nsleep 10\nreturn {}");
    const one = dispatcher.send({ action, sandbox, slot: 0 });
    await world.elapse(20);
    const other = dispatcher.send({ action, sandbox, slot: 1 });
    await world.elapse(40);
    expect(one.done).toMatchObject({ initMs: 50, durationMs: 60, waitMs: 0, startKind: StartKind.COLD });
    expect(other.done).toMatchObject({ initMs: undefined, durationMs: 10, waitMs: 30, startKind: StartKind.COLD });
    expect(world.driver.made[0]?.inits).toHaveLength(1);
    expect(world.driver.made[0]?.outstandingMost).toBe(2);
  });

  it.each<[how: string, script: string, timeoutMs: number, error: string]>([
    ["fails", "init sleep 50\ninit fail no", 1_000, "no"],
    [
      "ends the sandbox",
      "init sleep 50\ninit exit 1",
      1_000,
      "The action did not initialize and exited unexpectedly (exit code 1).",
    ],
    [
      "takes too long",
      "init hang",
      60,
      "The action exceeded its time limits of 60 milliseconds during initialization.",
    ],
  ])("share the fate of an init that %s", async (_, script, timeoutMs, error) => {
    const { action, sandbox, dispatcher } = await two(script, { timeoutMs });
    const calls = [0, 1].map((slot) => dispatcher.send({ action, sandbox, slot }));
    await world.elapse(60);
    for (const made of calls) expect(made.done).toMatchObject({ outcome: Outcome.DEVELOPER_ERROR, reusable: false });
    expect(calls.map(errorOf)).toEqual([error, error]);
    await world.elapse(100);
    expect(world.records()).toHaveLength(2);
  });

  it("go on when a neighbour is stopped; the sandbox takes nothing new and ends after the last of them", async () => {
    const { action, sandbox, dispatcher } = await two("sleep 5000\nreturn {}");
    const stopped = await dispatcher.invoke({ action, sandbox, slot: 0 });
    await world.elapse(100);
    const neighbour = await dispatcher.invoke({ action, sandbox, slot: 1 });
    dispatcher.cancel(stopped);
    await world.elapse(2_000);
    expect(stopped.done).toMatchObject({ outcome: Outcome.APPLICATION_ERROR, reusable: false });
    const late = await dispatcher.invoke({ action, sandbox, slot: 2 });
    expect([late.nack, neighbour.answers, world.driver.alive.length]).toEqual([1, 0, 1]);
    await world.elapse(3_000);
    expect(neighbour.done).toMatchObject({ outcome: Outcome.SUCCESS, reusable: false });
    expect(world.driver.alive).toEqual([]);
    expect(world.driver.made[0]?.canceled).toEqual(["the caller hung up"]);
  });

  it("answer a run that timed out at once, and its neighbour in its own time", async () => {
    world = new InvokerWorld();
    await world.start();
    const action = world.action("hang", { concurrency: 2, timeoutMs: 200 });
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const first = dispatcher.send({ action, sandbox, slot: 0 });
    await world.elapse(100);
    const second = dispatcher.send({ action, sandbox, slot: 1 });
    await world.elapse(100);
    expect(first.done).toMatchObject({ timedOut: true, reusable: false });
    expect([second.answers, world.driver.alive.length]).toEqual([0, 1]);
    const late = await dispatcher.invoke({ action, sandbox, slot: 0 });
    expect(late.nack).toBe(1);
    await world.elapse(100);
    expect(second.done).toMatchObject({ timedOut: true });
    await world.elapse(10);
    expect(world.driver.alive).toEqual([]);
    expect(dispatcher.slotsGone).toEqual([sandbox]);
  });
});

describe("a call that is canceled", () => {
  const running = async (script: string) => {
    world = new InvokerWorld({ settings: { cancelGraceMs: 500 } });
    await world.start();
    const action = world.action(script);
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    return { action, sandbox, dispatcher, made: await dispatcher.invoke({ action, sandbox }) };
  };

  it("and obeys keeps its sandbox", async () => {
    const { dispatcher, made } = await running("nap 10000\nreturn {}");
    dispatcher.cancel(made);
    await world.elapse(10);
    expect(made.done).toMatchObject({ outcome: Outcome.SUCCESS, reusable: true });
  });

  it("and does not obey is stopped after a grace, and says why", async () => {
    const { dispatcher, made } = await running("hang");
    dispatcher.cancel(made);
    await world.elapse(499);
    expect(made.answers).toBe(0);
    await world.elapse(2);
    expect(errorOf(made)).toBe("The activation was canceled and did not stop by itself: the caller hung up");
    expect(made.done).toMatchObject({ outcome: Outcome.APPLICATION_ERROR, reusable: false, timedOut: false });
  });

  it("before its code began is sent back", async () => {
    world = new InvokerWorld();
    await world.start();
    world.controller.codeMs = 1_000;
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const made = await dispatcher.invoke({ action, sandbox });
    dispatcher.cancel(made);
    await world.settle();
    expect(made.nack).toBe(6);
    dispatcher.cancel(made); // once more: nothing
    await world.elapse(2_000);
    expect(made.answers).toBe(1);
  });

  it("while it loads is stopped after a grace", async () => {
    const { dispatcher, made } = await running("init hang");
    dispatcher.cancel(made);
    await world.elapse(501);
    expect(errorOf(made)).toContain("was canceled");
  });
});

describe("the trace of a call", () => {
  it("goes from the caller through init and run into the sandbox, and into the record", async () => {
    const recorded = recordTraces();
    world = new InvokerWorld({ tracer: recorded.tracer });
    await world.start();
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const made = await dispatcher.invoke({ action, sandbox, traceparent: `00-${traceId}-b7ad6b7169203331-01` });
    expect((await world.recordOf(made.activationId)).traceId).toBe(traceId);
    const seen = world.driver.made[0]?.runs[0]?.traceparent ?? "";
    expect(seen).toContain(traceId);
    expect(seen).not.toContain("b7ad6b7169203331");
    const warm = await dispatcher.invoke({ action, sandbox, traceparent: `00-${traceId}-b7ad6b7169203331-01` });
    expect(warm.done?.startKind).toBe(StartKind.WARM);
    const spans = await recorded.finish();
    expect(spans.map((span) => span.name)).toEqual([
      "sandbox.start",
      "sandbox.init",
      "activation.run",
      "activation.run",
    ]);
    for (const span of spans) expect(span.spanContext().traceId).toBe(traceId);
    const [start, init] = spans;
    expect(init?.startTime[0]).toBeGreaterThanOrEqual(start?.endTime[0] ?? Infinity);
  });

  it("has no part in the start of a sandbox that was ready before there was an action", async () => {
    const recorded = recordTraces();
    world = new InvokerWorld({
      tracer: recorded.tracer,
      settings: { stems: [{ kind: "nodejs:20", memoryMb: 256, min: 1, max: 4 }] },
    });
    await world.start();
    await world.elapse(1_000);
    const action = world.action("echo");
    const sandbox = await world.sandboxFor(action);
    const dispatcher = await world.dispatcher();
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const made = await dispatcher.invoke({ action, sandbox, traceparent: `00-${traceId}-b7ad6b7169203331-01` });
    expect(made.done?.startKind).toBe(StartKind.STEM);
    const ours = (await recorded.finish()).filter((span) => span.spanContext().traceId === traceId);
    expect(ours.map((span) => span.name)).toEqual(["sandbox.init", "activation.run"]);
  });
});
