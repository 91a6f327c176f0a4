import { describe, expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { WeftError, type ErrorKind } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import { silentLog } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import type { RecordedActivation } from "../core/activation/store.js";
import type { Builtin } from "../core/builtin/builtin.js";
import type { QueuedRequest } from "../core/queue/store.js";
import { BuiltinRunner } from "./builtins.js";
import type { Resolved } from "./resolver.js";

const KEY = "whisk.system/tools/tell";
const request = {
  id: "0".repeat(32) as ActivationId,
  namespace: "guest",
  name: "bound/tell",
  paramsJson: "{}",
  callerNamespace: "guest",
  subject: "ann",
  transactionId: "t1",
  keyUuid: "u",
  traceparent: "",
  acceptedWallMs: 0,
} satisfies QueuedRequest;
const resolved = {
  action: {
    namespace: "whisk.system",
    name: "tools/tell",
    version: "0.0.3",
    exec: { kind: "builtin" },
    limits: { timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 },
  },
} as unknown as Resolved;

class World {
  readonly clock = new ManualClock();
  readonly records: RecordedActivation[] = [];
  readonly runner: BuiltinRunner;

  constructor(builtin: Builtin, key = KEY) {
    this.runner = new BuiltinRunner({
      builtins: new Map([[key, builtin]]),
      record: (records) => {
        this.records.push(...records);
        return Promise.resolve();
      },
      clock: this.clock,
      random: seededRandom(1),
      log: silentLog,
    });
  }

  async run(paramsJson = "{}"): Promise<RecordedActivation> {
    this.runner.begin(request, resolved, paramsJson);
    await this.clock.elapse(60_000);
    expect(this.records).toHaveLength(1);
    return this.records[0]!;
  }
}

const refusing = (kind: ErrorKind): Builtin => {
  return () => Promise.reject(new WeftError(kind, "REASON", "no such luck"));
};

describe("a built-in action", () => {
  it("runs for its caller and is recorded like any other", async () => {
    const world = new World((caller, params) =>
      Promise.resolve(`{"caller":${JSON.stringify(caller)},"got":${params}}`),
    );
    const { activation, async } = await world.run('{"n":1.00000000000000000001}');
    expect(async).toBe(true);
    expect(activation).toMatchObject({
      id: request.id,
      namespace: "guest",
      path: KEY,
      binding: "guest/bound",
      kind: "builtin",
      version: "0.0.3",
      outcome: "success",
      startKind: undefined,
      invokerId: "",
      resultJson:
        '{"caller":{"namespace":"guest","subject":"ann","keyUuid":"u","transactionId":"t1"},"got":{"n":1.00000000000000000001}}',
    });
  });

  it.each<[string, Builtin, string, string]>([
    ["answers with an error", () => Promise.resolve('{"error":{"a":1}}'), "applicationError", '{"error":{"a":1}}'],
    ["refuses an argument", refusing("invalidArgument"), "applicationError", '{"error":"no such luck"}'],
    ["finds nothing", refusing("notFound"), "applicationError", '{"error":"no such luck"}'],
    ["has no database", refusing("unavailable"), "platformError", '{"error":"no such luck"}'],
    [
      "has a mistake",
      () => Promise.reject(new TypeError("x is not a function")),
      "platformError",
      '{"error":"the platform failed; its logs tell more"}',
    ],
  ])("that %s ends so", async (_what, builtin, outcome, resultJson) => {
    const { activation } = await new World(builtin).run();
    expect(activation).toMatchObject({ outcome, resultJson });
  });

  it("that this version does not have ends as a platform error", async () => {
    const { activation } = await new World(() => Promise.resolve("{}"), "whisk.system/tools/other").run();
    expect(activation).toMatchObject({ outcome: "platformError", resultJson: expect.stringContaining(KEY) as string });
  });

  it("is not run with an array", async () => {
    const { activation } = await new World(() => Promise.reject(new Error("was run"))).run("[1]");
    expect(activation).toMatchObject({ outcome: "applicationError" });
  });

  it("that found the database busy runs again", async () => {
    let runs = 0;
    const { activation } = await new World(() => {
      runs += 1;
      if (runs < 3) return Promise.reject(new WeftError("conflict", "BUSY", "busy"));
      return Promise.resolve(`{"runs":${runs}}`);
    }).run();
    expect(activation).toMatchObject({ outcome: "success", resultJson: '{"runs":3}' });
  });

  it("that waits for another try is left to the next controller at the stop", async () => {
    const world = new World(refusing("unavailable"));
    world.runner.begin(request, resolved, "{}");
    await Promise.resolve();
    await world.runner.close();
    expect(world.records).toEqual([]);
  });
});
