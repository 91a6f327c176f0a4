import { describe, expect, it } from "vitest";

import { FakeDriver } from "../../test/harness/fake-driver.js";
import { ManualClock, settle } from "../../test/harness/clock.js";
import { silentLog } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import { DEFAULT_LIMITS } from "../core/action/limits.js";
import { runLocally, type LocalAction, type LocalCall, type LocalEnd } from "./local-run.js";

interface Ran {
  readonly driver: FakeDriver;
  readonly lines: string[];
  readonly stop: AbortController;
  readonly end: Promise<LocalEnd>;
  readonly clock: ManualClock;
}

function start(script: string, action: Partial<LocalAction> = {}, call: Partial<LocalCall> = {}): Ran {
  const clock = new ManualClock();
  const driver = new FakeDriver({ clock });
  const lines: string[] = [];
  const stop = new AbortController();
  const end = runLocally(
    { driver, clock, random: seededRandom(1), log: silentLog },
    {
      key: "local/hello",
      version: "0.0.1",
      kind: "nodejs:20",
      code: Buffer.from(script),
      binary: false,
      main: "",
      env: {},
      limits: DEFAULT_LIMITS,
      ...action,
    },
    { namespace: "local", apiKey: "", paramsJson: Buffer.from('{"n":12345678901234567890}'), ...call },
    {
      started: (version) => lines.push(`started ${version}`),
      printed: (stream, text) => lines.push(`${stream}: ${text}`),
    },
    stop.signal,
  );
  return { driver, lines, stop, end, clock };
}

async function elapse({ clock }: Ran, ms: number): Promise<void> {
  for (let i = 0; i < 3; i++) await settle();
  await clock.elapse(ms);
  for (let i = 0; i < 3; i++) await settle();
}

const resultOf = (end: LocalEnd): string => Buffer.from(end.resultJson).toString();

describe("a run on its developer's machine", () => {
  it("hands over the arguments as they are, and leaves nothing behind", async () => {
    const ran = start("echo", { env: { COLOUR: "blue" } });
    await elapse(ran, 100);
    const end = await ran.end;
    expect(resultOf(end)).toBe('{"n":12345678901234567890}');
    expect(end).toMatchObject({ outcome: "success", timedOut: false });
    const [sandbox] = ran.driver.made;
    expect(sandbox?.inits[0]?.env).toMatchObject({ COLOUR: "blue", __OW_ACTION_NAME: "/local/hello" });
    expect(ran.driver.alive).toEqual([]);
  });

  it("tells each line when it is printed, also what went past the runtime", async () => {
    const ran = start("log one\nerr two\nraw three\nsleep 1000");
    await elapse(ran, 10);
    expect(ran.lines).toEqual(["started 20.0.0", "stdout: one", "stderr: two", "stdout: three"]);
    await elapse(ran, 2_000);
    expect((await ran.end).logs).toHaveLength(3);
  });

  it("tells that lines were dropped", async () => {
    const ran = start("flood 20", { limits: { ...DEFAULT_LIMITS, logsMb: 0 } });
    await elapse(ran, 100);
    expect(await ran.end).toMatchObject({ logs: [] });
    const cut = start("flood 2000", { limits: { ...DEFAULT_LIMITS, logsMb: 1 } });
    await elapse(cut, 100);
    expect((await cut.end).logs.at(-1)).toContain("Logs were truncated");
    expect(cut.lines.at(-1)).toContain("stderr: Logs were truncated");
  });

  it("is ended by its time limit, in the words of the fabric", async () => {
    const ran = start("hang", { limits: { ...DEFAULT_LIMITS, timeoutMs: 500 } });
    await elapse(ran, 600);
    const end = await ran.end;
    expect(end).toMatchObject({ outcome: "developerError", timedOut: true });
    expect(resultOf(end)).toContain("exceeded its time limits of 500 milliseconds");
    expect(ran.driver.alive).toEqual([]);
  });

  it("waits for a debugger as long as it takes", async () => {
    const ran = start("sleep 3600000", { limits: { ...DEFAULT_LIMITS, timeoutMs: 500 } }, { inspectPort: 9229 });
    await elapse(ran, 3_599_000);
    expect(ran.driver.made[0]?.spec.env).toEqual({ WEFT_INSPECT: "9229" });
    expect(ran.driver.alive).toHaveLength(1);
    await elapse(ran, 2_000);
    expect((await ran.end).outcome).toBe("success");
  });

  it("is asked to stop when the signal aborts, and then stopped", async () => {
    const ran = start("hang");
    await elapse(ran, 100);
    ran.stop.abort();
    await elapse(ran, 10);
    expect(ran.driver.made[0]?.canceled).toEqual(["interrupted"]);
    await elapse(ran, 3_000);
    expect((await ran.end).outcome).toBe("applicationError");
    expect(ran.driver.alive).toEqual([]);
  });

  it("says how a sandbox died that took the code with it", async () => {
    const ran = start("log last words\nexit 3");
    await elapse(ran, 1_000);
    const end = await ran.end;
    expect(end.outcome).toBe("developerError");
    expect(resultOf(end)).toContain("exit code 3");
    expect(resultOf(end)).toContain("last words");
  });
});
