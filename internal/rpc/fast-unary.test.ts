// Every case is answered twice: by grpc-js, which is the oracle, and by the fast path.

import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../test/harness/eventually.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { systemClock } from "../boot/system.js";
import type { CallContext } from "./call-context.js";
import { MESSAGE_BYTES_MAX } from "./link.js";
import { RpcServer, type RpcServerDeps } from "./server.js";
import { fromStatus } from "./status.js";

const PATH = "/test.v1.Echo/Echo";
const identity = (message: Buffer): Buffer => message;

interface World {
  readonly server: RpcServer;
  readonly address: string;
  readonly observed: (string | undefined)[];
  readonly seen: CallContext[];
  handler: (ctx: CallContext, message: Buffer) => Promise<Buffer>;
}

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function serve(fast: boolean, deps: Partial<RpcServerDeps> = {}): Promise<World> {
  const observed: (string | undefined)[] = [];
  const seen: CallContext[] = [];
  const server = new RpcServer({
    log: silentLog,
    clock: systemClock,
    fast,
    observe: (_path, kind) => observed.push(kind),
    ...deps,
  });
  const world: World = {
    server,
    address: "",
    observed,
    seen,
    handler: (_ctx, message) => Promise.resolve(message),
  };
  server.serveRaw(PATH, (ctx, message) => {
    seen.push(ctx);
    return world.handler(ctx, message);
  });
  const address = await server.listen("127.0.0.1:0");
  closers.push(() => server.close(0));
  return Object.assign(world, { address });
}

interface Answer {
  readonly message: Buffer | undefined;
  readonly error: ServiceError | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface Asked {
  readonly headers?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  readonly options?: Readonly<Record<string, number>>;
  readonly path?: string;
  readonly cancel?: (cancel: () => void) => void;
}

function ask(world: World, message: Buffer, asked: Asked = {}): Promise<Answer> {
  const client = new Client(world.address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    ...asked.options,
  });
  closers.push(() => {
    client.close();
  });
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(asked.headers ?? {})) {
    metadata.set(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  }
  return new Promise((resolve) => {
    let headers: Readonly<Record<string, unknown>> = {};
    const call = client.makeUnaryRequest(
      asked.path ?? PATH,
      identity,
      identity,
      message,
      metadata,
      asked.deadlineMs === undefined ? {} : { deadline: Date.now() + asked.deadlineMs },
      (error, answer) => {
        resolve({ message: answer, error: error ?? undefined, headers });
      },
    );
    call.on("metadata", (said: Metadata) => {
      headers = said.getMap();
    });
    asked.cancel?.(() => {
      call.cancel();
    });
  });
}

/** What a caller can tell apart. */
function visible({ message, error, headers }: Answer): unknown {
  if (!error)
    return { message: message?.toString("hex").slice(0, 100), length: message?.length, weft: weftOf(headers) };
  const { kind, reason, message: text, fields, retryAfterMs } = fromStatus(error);
  return { code: error.code, kind, reason, text, fields, retryAfterMs, weft: weftOf(headers) };
}

function weftOf(headers: Readonly<Record<string, unknown>>): unknown {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("weft-")));
}

async function both(act: (world: World) => Promise<unknown>, deps: Partial<RpcServerDeps> = {}): Promise<unknown> {
  const oracle = await act(await serve(false, deps));
  const fast = await act(await serve(true, deps));
  expect(fast).toEqual(oracle);
  return fast;
}

describe("a unary call on the fast path is answered as by grpc-js", () => {
  const sizes = [0, 1, 100, 16_384, 16_385, 70_000, 5_000_000, 40_000_000];
  it("whatever the size of the message, each way", async () => {
    for (const size of sizes) {
      await both(async (world) => {
        const answer = await ask(world, Buffer.alloc(size, 7));
        expect(answer.message?.equals(Buffer.alloc(size, 7))).toBe(true);
        return visible(answer);
      });
    }
  }, 30_000);

  it("with headers both ways, text and binary, repeated and not", async () => {
    const seen = await both(async (world) => {
      let peer = "";
      world.handler = (ctx, message) => {
        ({ peer } = ctx);
        ctx.setHeader("weft-one", "1");
        ctx.setHeader("weft-many", "a");
        ctx.setHeader("weft-many", "b");
        return Promise.resolve(message);
      };
      const answer = await ask(world, Buffer.from("x"), {
        headers: { authorization: "Bearer a:b", "x-data-bin": "AAEC", traceparent: "00-1" },
      });
      const [ctx] = world.seen;
      return [
        visible(answer),
        ctx?.header("authorization"),
        ctx?.header("Authorization"),
        ctx?.header("x-data-bin"),
        ctx?.header("absent"),
        ctx?.traceparent,
        ctx?.headers()["authorization"],
        ctx?.headers()["x-data-bin"],
        Object.keys(ctx?.headers() ?? {}).some((name) => name.startsWith(":")),
        ctx?.deadlineMonoMs,
        /^127\.0\.0\.1:\d+$/.test(peer),
      ];
    });
    expect(seen).toEqual([
      { length: 1, message: "78", weft: { "weft-one": "1", "weft-many": "a, b" } },
      ...["Bearer a:b", "Bearer a:b", "AAEC", undefined, "00-1", "Bearer a:b", undefined, false, undefined, true],
    ]);
  });

  it("with errors of every kind, with all that they say", async () => {
    const errors: readonly unknown[] = [
      new WeftError("invalidArgument", "R", "a field", { fields: [{ field: "f", description: "bad ünïcode" }] }),
      new WeftError("throttled", "R", "slow down: 100 % — ünïcode\nline", { retryAfterMs: 1_500 }),
      new WeftError("notFound", "R", "lone \ud800 surrogate"),
      new WeftError("internal", "R", "secret"),
      new TypeError("a bug"),
      "a string",
    ];
    for (const error of errors) {
      await both(async (world) => {
        world.handler = (ctx) => {
          ctx.setHeader("weft-activation-id", "abc");
          return Promise.reject(error);
        };
        const late = visible(await ask(world, Buffer.from("x")));
        world.handler = () => {
          throw error;
        };
        const early = visible(await ask(world, Buffer.from("x")));
        return [late, early, world.observed];
      });
    }
  });

  it("when its deadline passes: the caller is told, the handler is, and a late answer is passed over", async () => {
    await both(async (world) => {
      let answer = (): void => {};
      world.handler = (_ctx, message) => new Promise((resolve) => (answer = () => resolve(message)));
      const error = visible(await ask(world, Buffer.from("x"), { deadlineMs: 80 }));
      const [ctx] = world.seen;
      await eventually(() => ctx?.signal.aborted === true);
      answer();
      world.handler = (_ctx, message) => Promise.resolve(message);
      const next = visible(await ask(world, Buffer.from("y")));
      return [(error as { code: number }).code, typeof ctx?.deadlineMonoMs, next];
    });
  });

  it("when the caller hangs up", async () => {
    await both(async (world) => {
      world.handler = () => new Promise(() => undefined);
      let cancel = (): void => {};
      const asked = ask(world, Buffer.from("x"), { cancel: (c) => (cancel = c) });
      const ctx = await eventually(() => world.seen[0] ?? false);
      const { signal } = ctx;
      expect(signal.aborted).toBe(false);
      cancel();
      await eventually(() => signal.aborted);
      return (visible(await asked) as { code: number }).code;
    });
  });

  it("when the rpc does not exist, or the cluster key is wrong", async () => {
    await both(async (world) => visible(await ask(world, Buffer.from("x"), { path: "/test.v1.Echo/None" })));
    await both(
      async (world) => [
        visible(await ask(world, Buffer.from("x"))),
        visible(await ask(world, Buffer.from("x"), { headers: { "weft-cluster-key": "k2" } })),
        visible(await ask(world, Buffer.from("x"), { headers: { "weft-cluster-key": "k1" } })),
        world.seen.length,
      ],
      { clusterKey: "k1" },
    );
  });

  it("when the message is compressed", async () => {
    const compressed = { "grpc.default_compression_algorithm": 2 };
    await both(async (world) => visible(await ask(world, Buffer.alloc(10_000, 1), { options: compressed })));
  });

  it("when the message is larger than any may be", async () => {
    await both(async (world) => {
      const { error } = await ask(world, Buffer.alloc(MESSAGE_BYTES_MAX + 1));
      return [error?.code, error?.details];
    });
  }, 30_000);

  it("also to many callers at once over one connection", async () => {
    const world = await serve(true);
    world.handler = (_ctx, message) => new Promise((resolve) => setImmediate(() => resolve(message)));
    const client = new Client(world.address, credentials.createInsecure());
    closers.push(() => {
      client.close();
    });
    const answers = await Promise.all(
      Array.from(
        { length: 500 },
        (_, i) =>
          new Promise((resolve, reject) =>
            client.makeUnaryRequest(PATH, identity, identity, Buffer.from(String(i)), (error, answer) => {
              if (error) reject(error);
              else resolve(Number(answer?.toString()));
            }),
          ),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  it("while the server closes: what is in flight is finished", async () => {
    const seen = await both(async (world) => {
      let answer = (): void => {};
      world.handler = (_ctx, message) => new Promise((resolve) => (answer = () => resolve(message)));
      const asked = ask(world, Buffer.from("x"));
      await eventually(() => world.seen.length === 1);
      const closed = world.server.close(5_000);
      answer();
      const done = visible(await asked);
      await closed;
      return done;
    });
    expect(seen).toMatchObject({ length: 1 });
  });
});

describe("what no client of gRPC would send", () => {
  const session = (world: World): ClientHttp2Session => {
    const opened = connect(`http://${world.address}`);
    opened.on("error", () => undefined);
    closers.push(() => {
      opened.destroy();
    });
    return opened;
  };
  const post = (
    world: World,
    pieces: readonly Buffer[],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly http: unknown; readonly grpc: unknown; readonly body: string }> =>
    new Promise((resolve, reject) => {
      const stream = session(world).request({
        ":method": "POST",
        ":path": PATH,
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      });
      let http: unknown;
      let grpc: unknown;
      const body: Buffer[] = [];
      stream.on("response", (said) => {
        http = said[":status"];
        grpc = said["grpc-status"];
      });
      stream.on("trailers", (said: IncomingHttpHeaders) => {
        grpc = said["grpc-status"];
      });
      stream.on("data", (chunk: Buffer) => body.push(chunk));
      stream.on("close", () => {
        resolve({ http, grpc, body: Buffer.concat(body).toString("hex") });
      });
      stream.on("error", reject);
      // Each piece in a packet of its own.
      const next = (i: number): void => {
        const piece = pieces[i];
        if (piece) stream.write(piece, () => setImmediate(next, i + 1));
        else stream.end();
      };
      next(0);
    });

  it("a message in pieces of one byte is put together", async () => {
    const world = await serve(true);
    const frame = Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]);
    const pieces = [...frame].map((byte) => Buffer.from([byte]));
    expect(await post(world, pieces)).toEqual({ http: 200, grpc: "0", body: "0000000003010203" });
  });

  it("no message, half a message or half a prefix is refused, and the handler sees nothing", async () => {
    const world = await serve(true);
    for (const pieces of [[], [Buffer.from([0, 0])], [Buffer.from([0, 0, 0, 0, 9, 1])]]) {
      expect(await post(world, pieces)).toMatchObject({ http: 200, grpc: String(status.INVALID_ARGUMENT) });
    }
    expect(world.seen).toEqual([]);
    expect(world.observed).toEqual(["invalidArgument", "invalidArgument", "invalidArgument"]);
  });

  it("a second message is passed over", async () => {
    const world = await serve(true);
    const frame = Buffer.from([0, 0, 0, 0, 1, 5]);
    expect(await post(world, [Buffer.concat([frame, frame])])).toMatchObject({ grpc: "0", body: "000000000105" });
    expect(world.seen).toHaveLength(1);
  });

  it("a message that says it is compressed although the call does not is refused", async () => {
    const world = await serve(true);
    expect(await post(world, [Buffer.from([1, 0, 0, 0, 1, 5])])).toMatchObject({ grpc: String(status.INTERNAL) });
  });

  it("another content type is left to grpc-js", async () => {
    const world = await serve(true);
    expect(await post(world, [], { "content-type": "text/plain" })).toMatchObject({ http: 415 });
    expect(world.seen).toEqual([]);
  });

  it("a timeout that is none counts as none, and every unit is understood", async () => {
    const world = await serve(true);
    const frame = Buffer.from([0, 0, 0, 0, 0]);
    const timeouts = ["1H", "1M", "1S", "1000m", "1000000u", "99999999n", "soon", "123456789S"];
    for (const timeout of timeouts) await post(world, [frame], { "grpc-timeout": timeout });
    const left = world.seen.map((ctx) => ctx.deadlineMonoMs !== undefined);
    expect(left).toEqual([true, true, true, true, true, true, false, false]);
  });

  it("callers who go at once leave nothing behind", async () => {
    const world = await serve(true);
    world.handler = () => new Promise(() => undefined);
    const opened = session(world);
    for (let i = 0; i < 200; i++) {
      const stream = opened.request({ ":method": "POST", ":path": PATH, "content-type": "application/grpc" });
      stream.on("error", () => undefined);
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
      stream.once("ready", () => {
        stream.close(8);
      });
    }
    await eventually(() => world.observed.length === world.seen.length && world.seen.length > 0);
    expect(new Set(world.observed)).toEqual(new Set(["canceled"]));
  });
});
