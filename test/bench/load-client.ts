// The client of every measurement: takes one order at a time over IPC and reports.

import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { build, type Histogram } from "hdr-histogram-js";
import { Agent, request } from "node:http";
import { GrpcNetwork } from "../../internal/rpc/channel.js";
import { invokeStreamLink } from "../../internal/rpc/link-methods.js";
import { Outcome } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { LeanPost } from "./lean-post.js";
import { LeanUnary } from "./lean-unary.js";
import type { LoadOrder, LoadReport } from "./protocol.js";

/** Sends one call; the callback gets undefined or what went wrong. */
type Send = (done: (failure: string | undefined) => void) => void;

const UNITS_PER_MS = 1_000;
const identity = (message: Buffer): Buffer => message;
const clients = new Map<string, Client>();

process.on("message", (order: LoadOrder) => {
  run(order).then(
    (report) => process.send?.({ report }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });

async function run(order: LoadOrder): Promise<LoadReport> {
  const { send, close } = open(order);
  try {
    await drive(order, send, order.warmupMs);
    return await drive(order, send, order.measureMs);
  } finally {
    close();
  }
}

function drive(order: LoadOrder, send: Send, ms: number): Promise<LoadReport> {
  return new Promise((resolve) => {
    const latency = build({
      lowestDiscernibleValue: 1,
      highestTrackableValue: 60_000 * UNITS_PER_MS,
      numberOfSignificantValueDigits: 3,
    });
    const cpuFrom = process.cpuUsage();
    const from = performance.now();
    const until = from + ms;
    let calls = 0;
    let failures = 0;
    let failure = "";
    let inFlight = 0;
    let ended = false;

    const finish = (): void => {
      if (ended) return;
      ended = true;
      const cpu = process.cpuUsage(cpuFrom);
      const seconds = (performance.now() - from) / 1_000;
      resolve({
        calls,
        failures,
        failure,
        perSecond: calls / seconds,
        p50Ms: latency.getValueAtPercentile(50) / UNITS_PER_MS,
        p99Ms: latency.getValueAtPercentile(99) / UNITS_PER_MS,
        clientCpuUs: (cpu.user + cpu.system) / Math.max(1, calls),
      });
    };
    const one = (scheduledMs: number, after: () => void): void => {
      inFlight += 1;
      send((wrong) => {
        inFlight -= 1;
        const now = performance.now();
        if (wrong === undefined) {
          calls += 1;
          record(latency, now - scheduledMs);
        } else {
          failures += 1;
          failure ||= wrong;
        }
        if (now < until) after();
        else if (inFlight === 0) finish();
      });
    };

    if (order.loop.kind === "closed") {
      const again = (): void => one(performance.now(), again);
      for (let i = 0; i < order.loop.inFlight; i++) again();
      return;
    }
    const gapMs = 1_000 / order.loop.perSecond;
    let next = from;
    const pace = (): void => {
      const now = performance.now();
      while (next <= now && next < until) {
        one(next, () => {});
        next += gapMs;
      }
      if (next < until) setTimeout(pace, Math.max(0, next - performance.now()));
      else if (inFlight === 0) finish();
    };
    pace();
  });
}

function record(latency: Histogram, ms: number): void {
  latency.recordValue(Math.max(1, Math.round(ms * UNITS_PER_MS)));
}

function open(order: LoadOrder): { readonly send: Send; readonly close: () => void } {
  switch (order.how.kind) {
    case "unary": {
      const { path } = order.how;
      const client = clientOf(order.address);
      const message = Buffer.from(order.how.messageBase64, "base64");
      const metadata = metadataOf(order);
      return {
        send: (done) => {
          client.makeUnaryRequest(path, identity, identity, message, metadata, (error) => done(error?.message));
        },
        close: () => {},
      };
    }
    case "leanUnary": {
      const { path, messageBase64 } = order.how;
      const client = new LeanUnary(order.address, path, order.headers, Buffer.from(messageBase64, "base64"));
      return { send: (done) => client.send(done), close: () => client.close() };
    }
    case "leanPost": {
      const client = new LeanPost(order.address, order.how.path, order.headers, order.how.body);
      return { send: (done) => client.send(done), close: () => client.close() };
    }
    case "post": {
      const { path, body } = order.how;
      const agent = new Agent({ keepAlive: true });
      const [host = "", port = ""] = order.address.split(":");
      const headers = {
        ...order.headers,
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
      };
      return {
        send: (done) => {
          const posted = request({ host, port, path, method: "POST", agent, headers }, (response) => {
            response.resume();
            response.on("end", () => done(response.statusCode === 200 ? undefined : `status ${response.statusCode}`));
          });
          posted.on("error", (error) => done(error.message));
          posted.end(body);
        },
        close: () => {
          agent.destroy();
        },
      };
    }
    case "bidi": {
      const call = clientOf(order.address).makeBidiStreamRequest(
        order.how.path,
        identity,
        identity,
        metadataOf(order),
        {},
      );
      const message = Buffer.from(order.how.messageBase64, "base64");
      const waiting: ((failure: string | undefined) => void)[] = [];
      call.on("data", () => waiting.shift()?.(undefined));
      call.on("error", (error: Error) => {
        for (const done of waiting.splice(0)) done(error.message);
      });
      return {
        send: (done) => {
          waiting.push(done);
          call.write(message);
        },
        close: () => call.end(),
      };
    }
    case "invokeStream": {
      const { namespace, action } = order.how;
      const network = new GrpcNetwork({ clusterKey: "" });
      const link = network.dial(order.address, invokeStreamLink, order.headers);
      const paramsJson = Buffer.from(order.how.paramsJson);
      const waiting = new Map<number, (failure: string | undefined) => void>();
      let number = 0;
      link.onItem = (result) => {
        const done = waiting.get(result.call);
        waiting.delete(result.call);
        done?.(result.outcome === Outcome.SUCCESS ? undefined : result.statusMessage || `outcome ${result.outcome}`);
      };
      link.onClosed = (why) => {
        for (const done of [...waiting.values()]) done(why?.message ?? "the stream ended");
        waiting.clear();
      };
      return {
        send: (done) => {
          number = (number + 1) >>> 0;
          waiting.set(number, done);
          link.send({ call: number, namespace, action, paramsJson });
        },
        close: () => {
          link.close();
          network.close();
        },
      };
    }
  }
}

function clientOf(address: string): Client {
  let client = clients.get(address);
  if (!client) {
    client = new Client(address, credentials.createInsecure());
    clients.set(address, client);
  }
  return client;
}

function metadataOf(order: LoadOrder): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(order.headers)) metadata.set(name, value);
  return metadata;
}
