// A gateway that listens, with a scripted controller and a scripted dispatcher behind it, and a client that speaks gRPC
// to it as any client would.

import { readFileSync } from "node:fs";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { silentLog } from "../../internal/base/log.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { seededRandom } from "../../internal/base/random.js";
import { noTracer, type Tracer } from "../../internal/base/trace.js";
import { systemClock } from "../../internal/boot/system.js";
import { MemberView } from "../../internal/core/coordination/member-view.js";
import { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import type { DispatchCall, DoneResult } from "../../internal/core/dispatch/call.js";
import { RpcControllerClient } from "../../internal/gateway/controller-client.js";
import { Gateway } from "../../internal/gateway/gateway.js";
import { GrpcNetwork } from "../../internal/rpc/channel.js";
import { CLUSTER_KEY, ScriptedController, type ScriptedKey } from "./scripted-controller.js";

export const GUEST: ScriptedKey = { uuid: "guest-uuid", secret: "g".repeat(64), namespace: "guest" };

export function bearer({ uuid, secret }: ScriptedKey): string {
  return `Bearer ${uuid}:${secret}`;
}

/** What an invoker says, unless a test says otherwise. */
export function doneWith(more: Partial<DoneResult> = {}): DoneResult {
  const resultJson = more.resultJson ?? Buffer.from('{"ok":true}');
  return {
    kind: "done",
    outcome: "success",
    resultJson,
    startWallMs: 1_700_000_000_123,
    durationMs: 5,
    initMs: undefined,
    waitMs: 1,
    timedOut: false,
    resultSize: resultJson.length,
    startKind: "warm",
    invokerId: "invoker-1",
    ...more,
  };
}

/** Answers calls at once with what they were asked, or lets a test answer them. */
export class ScriptedDispatcher {
  readonly calls: DispatchCall[] = [];
  /** undefined: nothing is answered by itself. */
  answer: ((call: DispatchCall) => void) | undefined = (call) => {
    call.complete(doneWith({ resultJson: call.paramsJson }));
  };
  connected = true;
  started = false;
  closed = false;
  drained = false;
  readonly #waiting = new Set<DispatchCall>();

  start(): void {
    this.started = true;
  }

  dispatch(call: DispatchCall): void {
    this.calls.push(call);
    this.#waiting.add(call);
    const { complete } = call;
    // Counts as in flight until it is completed.
    Object.defineProperty(call, "complete", {
      value: (result: Parameters<DispatchCall["complete"]>[0]) => {
        this.#waiting.delete(call);
        complete.call(call, result);
      },
    });
    this.answer?.(call);
  }

  stats(): { inFlight: number; waiting: number; leases: number; actions: number } {
    return { inFlight: this.#waiting.size, waiting: 0, leases: 0, actions: 0 };
  }

  async drain(graceMs: number): Promise<void> {
    this.drained = true;
    const until = performance.now() + graceMs;
    while (this.#waiting.size > 0 && performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
  }

  close(): void {
    this.closed = true;
  }
}

export interface Answered {
  readonly message: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export interface GatewayWorld {
  readonly coordination: MemoryCoordination;
  readonly controller: ScriptedController;
  readonly dispatcher: ScriptedDispatcher;
  readonly gateway: Gateway;
  readonly address: string;
  readonly registry: MetricsRegistry<"gateway">;
  readonly client: Client;
  /** One unary call as bytes. */
  raw(
    path: string,
    message: Uint8Array,
    headers?: Readonly<Record<string, string>>,
    deadlineMs?: number,
  ): Promise<Answered>;
  /** One unary call as messages, as guest unless `headers` say otherwise. */
  call<Req, Res>(
    method: {
      readonly path: string;
      readonly requestSerialize: (request: Req) => Buffer;
      readonly responseDeserialize: (bytes: Buffer) => Res;
    },
    request: Req,
    options?: { readonly headers?: Readonly<Record<string, string>>; readonly deadlineMs?: number },
  ): Promise<Res>;
  close(): Promise<void>;
}

export interface GatewayWorldOptions {
  readonly before?: (controller: ScriptedController, gateway: Gateway) => void;
  readonly tracer?: Tracer;
  /** False: no controller is there. */
  readonly controller?: boolean;
}

export async function gatewayWorld(options: GatewayWorldOptions = {}): Promise<GatewayWorld> {
  const coordination = new MemoryCoordination(systemClock);
  const controller = new ScriptedController(coordination);
  controller.keys.set(GUEST.uuid, GUEST);
  controller.actions.set("guest/echo", { path: "guest/echo" });
  const members = new MemberView(coordination);
  members.start();
  const network = new GrpcNetwork({ clusterKey: CLUSTER_KEY });
  const dispatcher = new ScriptedDispatcher();
  const registry = new MetricsRegistry("gateway");
  const random = seededRandom(1);
  const gateway = new Gateway({
    controller: new RpcControllerClient({ network, members, clock: systemClock, random, log: silentLog }),
    dispatcher,
    clusterKey: CLUSTER_KEY,
    clock: systemClock,
    random,
    log: silentLog,
    metrics: registry,
    tracer: options.tracer ?? noTracer,
    descriptors: readFileSync(new URL("../../internal/gen/weft.binpb", import.meta.url)),
  });
  options.before?.(controller, gateway);
  if (options.controller !== false) await controller.start();
  const address = await gateway.start("127.0.0.1:0");
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });

  const raw: GatewayWorld["raw"] = (path, message, headers = { authorization: bearer(GUEST) }, deadlineMs) =>
    new Promise((resolve, reject) => {
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
      const received: Record<string, string> = {};
      const call = client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from(message),
        metadata,
        deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
        (error: ServiceError | null, answer?: Buffer) => {
          if (error) reject(Object.assign(error, { headers: received }));
          else resolve({ message: answer ?? Buffer.alloc(0), headers: received });
        },
      );
      call.on("metadata", (said: Metadata) => {
        for (const [name, value] of Object.entries(said.getMap())) received[name] = value.toString();
      });
    });

  return {
    coordination,
    controller,
    dispatcher,
    gateway,
    address,
    registry,
    client,
    raw,
    async call(method, request, { headers, deadlineMs } = {}) {
      const answer = await raw(method.path, method.requestSerialize(request), headers, deadlineMs);
      return method.responseDeserialize(answer.message);
    },
    async close() {
      client.close();
      await gateway.close(0);
      members.close();
      network.close();
      await controller.stop();
      await coordination.close();
    },
  };
}
