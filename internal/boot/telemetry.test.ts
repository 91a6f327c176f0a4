import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../test/harness/clock.js";
import { eventually } from "../../test/harness/eventually.js";
import { recordTraces } from "../../test/harness/tracing.js";
import { WeftError } from "../base/errors.js";
import { silentLog, type Log } from "../base/log.js";
import { seededRandom } from "../base/random.js";
import { noTracer, parseTraceparent, traced } from "../base/trace.js";
import { openTelemetry, type TelemetryOptions } from "./telemetry.js";
import { systemClock } from "./system.js";

const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function options(over: Partial<TelemetryOptions>): TelemetryOptions {
  return {
    component: "weft-test",
    instanceId: "t1",
    endpoint: undefined,
    ratio: 1,
    clock: systemClock,
    random: seededRandom(1),
    log: silentLog,
    ...over,
  };
}

function remember(): { readonly log: Log; readonly warnings: string[] } {
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (message) => warnings.push(message), with: () => log };
  return { log, warnings };
}

describe("a tracer", () => {
  it("joins spans to the caller's trace and to each other", async () => {
    const { tracer, finish } = recordTraces();
    await traced(tracer, "activation.invoke", caller, async (outer) => {
      await traced(tracer, "activation.run", outer.traceparent, () => undefined);
    });
    const [run, invoke] = await finish();
    expect(run?.name).toBe("activation.run");
    expect(invoke?.spanContext().traceId).toBe("4bf92f3577b34da6a3ce929d0e0e4736");
    expect(invoke?.parentSpanContext?.spanId).toBe("00f067aa0ba902b7");
    expect(run?.spanContext().traceId).toBe(invoke?.spanContext().traceId);
    expect(run?.parentSpanContext?.spanId).toBe(invoke?.spanContext().spanId);
  });

  it("hands on exactly the span that it records", async () => {
    const { tracer, finish } = recordTraces();
    const span = tracer.start("x", "");
    span.end();
    const [recorded] = await finish();
    const { traceId, spanId } = recorded?.spanContext() ?? {};
    expect(parseTraceparent(span.traceparent)).toEqual({ traceId, spanId, sampled: true });
  });

  it("follows the caller that does not sample, whatever its own ratio", async () => {
    const { tracer, finish } = recordTraces({ ratio: 1 });
    const quiet = caller.replace(/01$/, "00");
    const span = tracer.start("x", quiet);
    span.end();
    expect([span.recording, span.traceparent]).toEqual([false, quiet]);
    expect(await finish()).toEqual([]);
  });

  it("follows the caller that samples, whatever its own ratio", async () => {
    const { tracer, finish } = recordTraces({ ratio: 0 });
    tracer.start("x", caller).end();
    expect(await finish()).toHaveLength(1);
  });

  it("keeps about its ratio of the traces that begin here, and its decision travels", async () => {
    const { tracer, finish } = recordTraces({ ratio: 0.25 });
    for (let i = 0; i < 1_000; i += 1) {
      const root = tracer.start("root", "");
      const child = tracer.start("child", root.traceparent);
      expect(child.recording).toBe(root.recording);
      child.end();
      root.end();
    }
    const spans = await finish();
    expect(spans.length / 2).toBeGreaterThan(200);
    expect(spans.length / 2).toBeLessThan(300);
    expect(new Set(spans.map((s) => s.spanContext().traceId)).size).toBe(spans.length / 2);
  });

  it("tells what happened before: begin and end in wall time, also before the process began", async () => {
    const { tracer, finish } = recordTraces();
    const span = tracer.start("activation.queue", caller, {
      startWallMs: 1_000_000.25,
      attributes: { "weft.attempt": 2 },
      kind: "consumer",
    });
    span.set("weft.action", "ns/hello");
    span.end(1_000_500.75);
    span.end(9e12); // passed over
    const [recorded] = await finish();
    expect(recorded?.startTime).toEqual([1_000, 250_000]);
    expect(recorded?.endTime).toEqual([1_000, 500_750_000]);
    expect(recorded?.attributes).toEqual({ "weft.attempt": 2, "weft.action": "ns/hello" });
    expect(recorded?.kind).toBe(4);
  });

  it("marks a failed span with the error's kind and reason", async () => {
    const { tracer, finish } = recordTraces();
    const act = traced(tracer, "x", caller, () => {
      throw new WeftError("noCapacity", "NO_SLOT", "no slot for a1");
    });
    await expect(act).rejects.toThrow("no slot");
    const [recorded] = await finish();
    expect(recorded?.status).toEqual({ code: 2, message: "no slot for a1" });
    expect(recorded?.attributes).toEqual({ "error.type": "NO_SLOT", "weft.kind": "noCapacity" });
  });

  it("ends what nobody ended when it closes, and says so", async () => {
    const { tracer, finish } = recordTraces();
    tracer.start("left open", caller);
    const [recorded] = await finish();
    expect(recorded?.attributes).toEqual({ "weft.unfinished": true });
    expect(recorded?.ended).toBe(true);
  });
});

describe("telemetry", () => {
  it("is the tracer that keeps nothing without a collector", () => {
    expect(openTelemetry(options({})).tracer).toBe(noTracer);
  });

  it("sends spans to a collector over OTLP when it closes", async () => {
    const got: { url: string | undefined; type: string | undefined; body: Buffer }[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        got.push({ url: request.url, type: request.headers["content-type"], body: Buffer.concat(chunks) });
        response.end();
      });
    }).listen(0, "127.0.0.1");
    closers.push(() => server.close());
    await eventually(() => server.listening);
    const { port } = server.address() as AddressInfo;

    const telemetry = openTelemetry(options({ endpoint: `http://127.0.0.1:${port}` }));
    telemetry.tracer.start("activation.run", caller).end();
    await telemetry.close();
    expect(got).toHaveLength(1);
    expect(got[0]).toMatchObject({ url: "/v1/traces", type: "application/x-protobuf" });
    expect(got[0]?.body.includes("activation.run")).toBe(true);
    expect(got[0]?.body.includes(Buffer.from("4bf92f3577b34da6a3ce929d0e0e4736", "hex"))).toBe(true);
    expect(got[0]?.body.includes("weft-test")).toBe(true);
  });

  it("passes over what is said of a span after its end, without a complaint of the SDK", async () => {
    const { log, warnings } = remember();
    const complaints: string[] = [];
    const strict: Log = { ...log, debug: (message) => complaints.push(message) };
    const telemetry = openTelemetry(
      options({ log: strict, exporter: { export: (_, done) => done({ code: 0 }), shutdown: () => Promise.resolve() } }),
    );
    const span = telemetry.tracer.start("x", "");
    span.end();
    span.set("weft.attempt", 1);
    span.fail(new Error("late"));
    span.end();
    await telemetry.close();
    expect([warnings, complaints]).toEqual([[], []]);
  });

  it("gives up on a collector that does not answer two seconds after it was told to close", async () => {
    const clock = new ManualClock();
    const { log, warnings } = remember();
    const telemetry = openTelemetry(
      options({ clock, log, exporter: { export() {}, shutdown: () => Promise.resolve() } }),
    );
    telemetry.tracer.start("x", "").end();
    let closed = false;
    const closing = telemetry.close().then(() => (closed = true));
    await clock.elapse(1_999);
    expect(closed).toBe(false);
    await clock.elapse(1);
    await closing;
    expect(warnings).toEqual(["the last spans were not sent in time"]);
    expect(clock.pending).toBe(0);
  });

  it("says that spans are lost, but not more than once a minute", async () => {
    const clock = new ManualClock();
    const { log, warnings } = remember();
    const failing = {
      export: (_: unknown, done: (r: { code: number; error: Error }) => void) =>
        done({ code: 1, error: new Error("down") }),
      shutdown: () => Promise.resolve(),
    };
    const telemetry = openTelemetry(options({ clock, log, exporter: failing }));
    // A full batch is exported at once.
    for (let batch = 0; batch < 3; batch += 1) {
      for (let i = 0; i < 512; i += 1) telemetry.tracer.start("x", "").end();
      await settle();
    }
    expect(warnings).toEqual(["spans could not be exported"]);
    clock.advance(60_000);
    for (let i = 0; i < 512; i += 1) telemetry.tracer.start("x", "").end();
    await settle();
    expect(warnings).toHaveLength(2);
    await telemetry.close();
  });

  it("drops finished spans above its limit and says so", async () => {
    const { log, warnings } = remember();
    const held: (() => void)[] = [];
    const slow: TelemetryOptions["exporter"] = {
      export: (_, done) => void held.push(() => done({ code: 0 })),
      shutdown: () => Promise.resolve(),
    };
    const telemetry = openTelemetry(options({ log, exporter: slow }));
    for (let i = 0; i < 512 + 4_096 + 10; i += 1) telemetry.tracer.start("x", "").end();
    expect(held).toHaveLength(1);
    held[0]?.();
    await eventually(() => held.length === 2);
    telemetry.tracer.start("x", "").end();
    expect(warnings).toEqual(["OpenTelemetry warns"]);
    const closing = telemetry.close();
    await eventually(() => {
      for (const release of held) release();
      return held.length >= 9;
    });
    await closing;
  });

  it("refuses an endpoint that is no URL, with the fix", () => {
    expect(() => openTelemetry(options({ endpoint: "collector" }))).toThrow("is no URL");
  });
});
