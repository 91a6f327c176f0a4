// Server and client over a real loopback connection.

import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { systemClock } from "../boot/system.js";
import {
  CodeServiceService,
  FetchRevisionResponse,
  Identity,
  ResolvedAction,
  ResolveServiceService,
} from "../gen/weft/link/v1/control.pb.js";
import type { WorkRequestItem, WorkResponseItem } from "../gen/weft/link/v1/work.pb.js";
import { GrpcNetwork } from "./channel.js";
import { invokeStreamLink, workLink } from "./link-methods.js";
import type { CallContext } from "./call-context.js";
import type { Link } from "./link.js";
import { RpcServer, type RpcServerDeps } from "./server.js";

type SendCode = (message: FetchRevisionResponse) => Promise<void>;
type ServerEnd = Link<WorkRequestItem, WorkResponseItem>;

async function serve(
  setUp: (server: RpcServer) => void,
  deps: Partial<RpcServerDeps> = {},
): Promise<{ readonly server: RpcServer; readonly address: string }> {
  const server = new RpcServer({ log: silentLog, clock: systemClock, ...deps });
  setUp(server);
  const address = await server.listen("127.0.0.1:0");
  onTestFinished(() => server.close(0));
  return { server, address };
}

function network(clusterKey = ""): GrpcNetwork {
  const made = new GrpcNetwork({ clusterKey });
  onTestFinished(() => {
    made.close();
  });
  return made;
}

interface Seen<In> {
  readonly items: In[];
  readonly closed: (WeftError | undefined)[];
}

function watched<In>(link: Link<In, never>): Seen<In> {
  const seen: Seen<In> = { items: [], closed: [] };
  link.onItem = (item) => seen.items.push(item);
  link.onClosed = (why) => seen.closed.push(why);
  return seen;
}

const cancel = (call: number, reason = ""): WorkRequestItem => ({ item: { $case: "cancel", value: { call, reason } } });
const gone = (...sandboxes: number[]): WorkResponseItem => ({ item: { $case: "slotsGone", value: { sandboxes } } });

async function linked(deps: Partial<RpcServerDeps> = {}) {
  const ends: { readonly link: ServerEnd; readonly seen: Seen<WorkRequestItem> }[] = [];
  const { server, address } = await serve((made) => {
    made.serveLink(workLink, (link) => {
      ends.push({ link, seen: watched(link as Link<WorkRequestItem, never>) });
    });
  }, deps);
  const client = network(deps.clusterKey);
  const link = client.dial(address, workLink);
  const seen = watched(link as Link<WorkResponseItem, never>);
  link.send(cancel(0));
  const far = await eventually(() => {
    const end = ends[0];
    if (!end?.seen.items.length) throw new Error("not there yet");
    return end;
  });
  return { server, address, client, link, seen, far, ends };
}

describe("a link over gRPC", () => {
  it("carries items in order both ways", async () => {
    const { link, seen, far } = await linked();
    for (let i = 1; i <= 2_000; i++) {
      link.send(cancel(i, "x".repeat(i % 50)));
      far.link.send(gone(i));
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => {
      expect(far.seen.items).toHaveLength(2_001);
      expect(seen.items).toHaveLength(2_000);
    });
    expect(far.seen.items.map(({ item }) => item?.$case === "cancel" && item.value.call)).toEqual(
      Array.from({ length: 2_001 }, (_, i) => i),
    );
    expect(seen.items.map(({ item }) => item?.$case === "slotsGone" && item.value.sandboxes[0])).toEqual(
      Array.from({ length: 2_000 }, (_, i) => i + 1),
    );
  });

  it("carries an item far above gRPC's default of 4 MiB", async () => {
    const { link, far } = await linked();
    link.send(cancel(1, "x".repeat(50 * 1024 * 1024)));
    await eventually(
      () => {
        expect(far.seen.items).toHaveLength(2);
      },
      { withinMs: 20_000 },
    );
    expect(far.seen.items[1]?.item?.$case === "cancel" && far.seen.items[1].item.value.reason.length).toBe(
      50 * 1024 * 1024,
    );
  });

  it("ends at both sides, once, when the one who dialled closes", async () => {
    const { link, seen, far } = await linked();
    link.send(cancel(1));
    link.close();
    await eventually(() => {
      expect(far.seen.closed).toHaveLength(1);
    });
    expect(far.seen.items).toHaveLength(2);
    expect(seen.closed).toEqual([undefined]);
    expect(far.link.send(gone(1))).toBe(false);
  });

  it("ends at both sides, once, when the one who serves closes", async () => {
    const { link, seen, far } = await linked();
    far.link.send(gone(1));
    far.link.close();
    await eventually(() => {
      expect(seen.closed).toHaveLength(1);
    });
    expect(seen.items).toHaveLength(1);
    expect(far.seen.closed).toEqual([undefined]);
    expect(link.send(cancel(1))).toBe(false);
  });

  it("tells the one who dialled why, when the one who serves says so", async () => {
    const { seen, far } = await linked();
    far.link.close(new WeftError("throttled", "TOO_MANY", "later", { retryAfterMs: 100 }));
    await eventually(() => {
      expect(seen.closed).toMatchObject([{ kind: "throttled", reason: "TOO_MANY", retryAfterMs: 100 }]);
    });
  });

  it("goes on one way after the one who dialled has finished, when the server wants that", async () => {
    const { link, seen, far } = await linked();
    far.link.onFinished = () => {
      far.link.send(gone(7));
      far.link.close();
    };
    link.send(cancel(1));
    link.finish();
    await eventually(() => {
      expect(seen.closed).toHaveLength(1);
    });
    expect(far.seen.items).toHaveLength(2);
    expect(seen.items).toHaveLength(1);
  });

  it("ends at both sides when the server is stopped", async () => {
    const { server, seen, far } = await linked();
    await server.close(100);
    await eventually(() => {
      expect(seen.closed).toHaveLength(1);
      expect(far.seen.closed).toHaveLength(1);
    });
  });

  it("says unavailable when nobody listens", async () => {
    const seen = watched(network().dial("127.0.0.1:1", workLink) as Link<WorkResponseItem, never>);
    await eventually(() => {
      expect(seen.closed).toMatchObject([{ kind: "unavailable" }]);
    });
  });

  it("is forgotten by the server when it ends, also when onClosed was set late", async () => {
    const { server, link, far } = await linked();
    let late = 0;
    far.link.onClosed = () => (late += 1);
    expect(server.linkCount).toBe(1);
    link.close();
    await eventually(() => late === 1);
    expect(server.linkCount).toBe(0);
  });

  it("is refused with what accept throws", async () => {
    const { address } = await serve((server) => {
      server.serveLink(invokeStreamLink, (_link, call) => {
        throw new WeftError("unauthenticated", "NO_KEY", `no key from ${call.header("authorization") ?? "anybody"}`);
      });
    });
    const seen = watched(network().dial(address, invokeStreamLink, { authorization: "me" }) as Link<never, never>);
    await eventually(() => {
      expect(seen.closed).toMatchObject([{ kind: "unauthenticated", reason: "NO_KEY", message: "no key from me" }]);
    });
  });

  it("ends with invalid argument when the peer sends no message of the rpc", async () => {
    const { address, client } = await linked();
    const call = client.client(address).makeBidiStreamRequest<Buffer, Buffer>(
      workLink.path,
      (m) => m,
      (m) => m,
    );
    const codes: number[] = [];
    call.on("error", (error: { code?: number }) => codes.push(error.code ?? -1));
    call.on("data", () => {});
    call.write(Buffer.from([0x0a, 0x05, 0xff]));
    await eventually(() => {
      expect(codes).toEqual([3]);
    });
  });
});

describe("a server for roles only", () => {
  const handlers = { authenticate: () => Promise.resolve({ uuid: "u", secretHash: Buffer.from(""), subject: "s" }) };

  it.each([
    ["no key", ""],
    ["a wrong key", "wrong-key"],
    ["a key that is longer", "the-key-and-more"],
  ])("refuses a call and a link with %s", async (_name, key) => {
    const { address } = await serve(
      (server) => {
        server.serveService(ResolveServiceService, handlers);
        server.serveLink(workLink, () => {
          throw new Error("accepted");
        });
      },
      { clusterKey: "the-key" },
    );
    const client = network(key);
    await expect(
      client.unary(address, ResolveServiceService.authenticate, { uuid: "u" }, { deadlineMs: 2_000 }),
    ).rejects.toMatchObject({ kind: "unauthenticated", reason: "NOT_OF_THIS_CLUSTER" });
    const seen = watched(client.dial(address, workLink) as Link<WorkResponseItem, never>);
    await eventually(() => {
      expect(seen.closed).toMatchObject([{ reason: "NOT_OF_THIS_CLUSTER" }]);
    });
  });

  it("serves those that have the key", async () => {
    const { link } = await linked({ clusterKey: "the-key" });
    expect(link.open).toBe(true);
  });
});

describe("a unary call", () => {
  it("passes request, headers and deadline in, and response and headers out", async () => {
    const { address } = await serve((server) => {
      server.serveService(ResolveServiceService, {
        resolveAction: (ctx: CallContext, request: { name: string }) => {
          ctx.setHeader("x-answer", ctx.header("x-question") ?? "none");
          const leftMs = (ctx.deadlineMonoMs ?? 0) - systemClock.monoMs();
          return Promise.resolve(
            ResolvedAction.fromPartial({
              name: request.name,
              version: leftMs > 1_000 && leftMs <= 5_000 ? "in time" : "?",
            }),
          );
        },
      });
    });
    let headers: Readonly<Record<string, string>> = {};
    const answer = await network().unary(
      address,
      ResolveServiceService.resolveAction,
      { namespace: "ns", name: "hello", callerNamespace: "ns" },
      { deadlineMs: 5_000, headers: { "x-question": "why" }, onHeaders: (got) => (headers = got) },
    );
    expect(answer).toMatchObject({ name: "hello", version: "in time" });
    expect(headers["x-answer"]).toBe("why");
  });

  it("fails with what the handler threw, and tells the observer", async () => {
    const observed: unknown[] = [];
    const { address } = await serve(
      (server) => {
        server.serveService(ResolveServiceService, {
          authenticate: () =>
            Promise.reject(new WeftError("notFound", "NO_SUCH_KEY", "no key u", { fix: "weft key list" })),
        });
      },
      { observe: (path, kind) => observed.push([path, kind]) },
    );
    await expect(
      network().unary(address, ResolveServiceService.authenticate, { uuid: "u" }, { deadlineMs: 2_000 }),
    ).rejects.toMatchObject({ kind: "notFound", reason: "NO_SUCH_KEY", message: "no key u", fix: "weft key list" });
    expect(observed).toEqual([["/weft.link.v1.ResolveService/Authenticate", "notFound"]]);
  });

  it("calls bytes that are no request the caller's mistake", async () => {
    const { address } = await serve((server) => {
      server.serveService(ResolveServiceService, { authenticate: () => Promise.reject(new Error("reached")) });
    });
    const raw = { ...ResolveServiceService.authenticate, requestSerialize: () => Buffer.from([0x0a, 0x7f]) };
    await expect(network().unary(address, raw, { uuid: "" }, { deadlineMs: 2_000 })).rejects.toMatchObject({
      kind: "invalidArgument",
      reason: "MALFORMED_MESSAGE",
    });
  });

  it("carries 50 MiB each way", async () => {
    const { address } = await serve((server) => {
      server.serveRaw("/x.Y/Echo", (_ctx, request) => Promise.resolve(request));
    });
    const echo = { path: "/x.Y/Echo", requestSerialize: (b: Buffer) => b, responseDeserialize: (b: Buffer) => b };
    const large = Buffer.alloc(50 * 1024 * 1024, 7);
    const back = await network().unary(address, echo, large, { deadlineMs: 20_000 });
    expect(back.equals(large)).toBe(true);
  });

  it("ends at its deadline, and when its caller hangs up; the handler is told", async () => {
    let aborted = 0;
    const { address } = await serve((server) => {
      server.serveService(ResolveServiceService, {
        authenticate: (ctx: CallContext) =>
          new Promise(() => {
            ctx.signal.addEventListener("abort", () => (aborted += 1));
          }),
      });
    });
    const client = network();
    const { authenticate } = ResolveServiceService;
    await expect(client.unary(address, authenticate, { uuid: "u" }, { deadlineMs: 100 })).rejects.toMatchObject({
      kind: "deadlineExceeded",
    });
    const hangUp = new AbortController();
    const call = client.unary(address, authenticate, { uuid: "u" }, { deadlineMs: 5_000, signal: hangUp.signal });
    hangUp.abort();
    await expect(call).rejects.toMatchObject({ kind: "canceled" });
    await expect(
      client.unary(address, authenticate, { uuid: "u" }, { deadlineMs: 5_000, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ kind: "canceled" });
    await eventually(() => aborted >= 1);
  });

  it("says unavailable when nobody listens", async () => {
    await expect(
      network().unary("127.0.0.1:1", ResolveServiceService.authenticate, { uuid: "u" }, { deadlineMs: 2_000 }),
    ).rejects.toMatchObject({ kind: "unavailable", reason: "NOT_CONNECTED" });
  });
});

describe("a server stream", () => {
  it("carries messages until the handler is done, and fails with what it throws", async () => {
    const { address } = await serve((server) => {
      server.serveService(CodeServiceService, {
        fetchRevision: async (_ctx, request: { revisionId: string }, send: SendCode) => {
          for (let i = 0; i < 64; i++) await send({ part: { $case: "code", value: Buffer.alloc(256 * 1024, i) } });
          if (request.revisionId === "bad") throw new WeftError("notFound", "NO_REVISION", "gone");
        },
      });
    });
    const read = async (revisionId: string): Promise<number> => {
      let bytes = 0;
      const stream = network().serverStream(
        address,
        CodeServiceService.fetchRevision,
        { actionKey: "a", revisionId, withoutCode: false },
        {},
      );
      for await (const { part } of stream) if (part?.$case === "code") bytes += part.value.length;
      return bytes;
    };
    expect(await read("good")).toBe(16 * 1024 * 1024);
    await expect(read("bad")).rejects.toMatchObject({ kind: "notFound", reason: "NO_REVISION" });
  });

  it("stops the handler when the reader leaves", async () => {
    let stopped: unknown;
    const { address } = await serve((server) => {
      server.serveService(CodeServiceService, {
        fetchRevision: async (_ctx: CallContext, _request: unknown, send: SendCode) => {
          try {
            for (;;) await send({ part: { $case: "code", value: Buffer.alloc(1024 * 1024) } });
          } catch (thrown) {
            stopped = thrown;
            throw thrown;
          }
        },
      });
    });
    const stream = network().serverStream(
      address,
      CodeServiceService.fetchRevision,
      { actionKey: "a", revisionId: "r", withoutCode: false },
      {},
    );
    for await (const message of stream) {
      expect(message.part?.$case).toBe("code");
      break;
    }
    await eventually(() => {
      expect(stopped).toMatchObject({ kind: "canceled" });
    });
  });
});

describe("a server that is stopped", () => {
  it("lets a call finish within the grace, and listens no more", async () => {
    let answer = (): void => {};
    const { server, address } = await serve((made) => {
      made.serveService(ResolveServiceService, {
        authenticate: () => new Promise((resolve) => (answer = () => resolve(Identity.fromPartial({ uuid: "u" })))),
      });
    });
    const call = network().unary(address, ResolveServiceService.authenticate, { uuid: "u" }, { deadlineMs: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const closing = server.close(5_000);
    answer();
    expect(await call).toMatchObject({ uuid: "u" });
    await closing;
    const [host, port] = address.split(":");
    await expect(
      new Promise((resolve, reject) => connect(Number(port), host).on("connect", resolve).on("error", reject)),
    ).rejects.toThrow("ECONNREFUSED");
  });

  it("ends a call that takes longer than the grace", async () => {
    const { server, address } = await serve((made) => {
      made.serveService(ResolveServiceService, { authenticate: () => new Promise(() => {}) });
    });
    const call = network().unary(address, ResolveServiceService.authenticate, { uuid: "u" }, { deadlineMs: 20_000 });
    const failed = expect(call).rejects.toBeInstanceOf(WeftError);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await server.close(100);
    await failed;
  });

  it("says which address cannot be listened on", async () => {
    const { address } = await serve(() => {});
    const second = new RpcServer({ log: silentLog, clock: systemClock });
    await expect(second.listen(address)).rejects.toMatchObject({ kind: "unavailable", reason: "CANNOT_LISTEN" });
    await second.close(0);
  });
});

describe("a server on a Unix socket", () => {
  const socketIn = (): string => {
    const dir = mkdtempSync(join(tmpdir(), "weft-rpc-"));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    return join(dir, "role");
  };
  const server = (): RpcServer => {
    const made = new RpcServer({ log: silentLog, clock: systemClock });
    made.serveService(ResolveServiceService, {
      authenticate: () => Promise.resolve(Identity.fromPartial({ subject: "ada" })),
    });
    onTestFinished(() => made.close(0));
    return made;
  };

  it("takes the place of a process that was killed and left its socket", async () => {
    const path = socketIn();
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(`${path}.moved`, resolve));
    renameSync(`${path}.moved`, path); // so that closing does not find it, as a kill would not
    await new Promise<void>((resolve) => dead.close(() => resolve()));
    expect(existsSync(path)).toBe(true);

    const address = await server().listen(`unix:${path}`);
    const identity = await network().unary(
      address,
      ResolveServiceService.authenticate,
      { uuid: "u" },
      { deadlineMs: 5_000 },
    );
    expect(identity.subject).toBe("ada");
  });

  it("leaves a socket alone that somebody listens on", async () => {
    const path = socketIn();
    await server().listen(`unix:${path}`);
    await expect(server().listen(`unix:${path}`)).rejects.toMatchObject({ reason: "CANNOT_LISTEN" });
    expect(existsSync(path)).toBe(true);
  });
});
