// What a gateway asks of controllers: one of those that are alive, the same one until it fails.

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import { toWeftError, WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Member } from "../core/coordination/coordination.js";
import type { MemberView } from "../core/coordination/member-view.js";
import {
  RecordServiceService,
  ResolveServiceService,
  SubmitServiceService,
  type ActivationRecord,
  type AwaitRequest,
  type AwaitResponse,
  type Change,
  type FireTriggerRequest,
  type FireTriggerResponse,
  type Identity,
  type ResolveActionRequest,
  type ResolveApiRequest,
  type ResolvedAction,
  type ResolvedWebhook,
  type ResolvedApi,
  type SubmitRequest,
} from "../gen/weft/link/v1/control.pb.js";
import type { GrpcNetwork, UnaryMethod } from "../rpc/channel.js";
import { NOT_CONNECTED } from "../rpc/status.js";
import type { RawAnswer } from "./native-api.js";

export interface ChangeWatcher {
  /** The stream is open: whatever was cached before may be old. */
  opened(): void;
  changed(changes: readonly Change[]): void;
}

/** Every method throws WeftError; unavailable NO_CONTROLLER when none is alive. */
export interface ControllerClient {
  /** @throws notFound */
  authenticate(uuid: string): Promise<Identity>;
  /** @throws notFound, permissionDenied */
  resolveAction(request: ResolveActionRequest): Promise<ResolvedAction>;
  /** @throws notFound */
  resolveWebAction(request: ResolveActionRequest): Promise<ResolvedAction>;
  /** @throws notFound */
  resolveWebhook(token: string): Promise<ResolvedWebhook>;
  /** @throws notFound */
  resolveApi(request: ResolveApiRequest): Promise<ResolvedApi>;
  submit(request: SubmitRequest): Promise<void>;
  /** Waits for the record of what was submitted, over whatever breaks, at most `waitMs`. */
  await(request: AwaitRequest): Promise<AwaitResponse>;
  /** @throws notFound */
  fire(request: FireTriggerRequest): Promise<FireTriggerResponse>;
  record(records: readonly ActivationRecord[]): Promise<void>;
  /** A public rpc as bytes. */
  proxy(path: string, message: Buffer, options: ProxyOptions): Promise<RawAnswer>;
  /** Watches until the signal aborts, over whatever breaks. */
  watch(watcher: ChangeWatcher, signal: AbortSignal): void;
}

export interface ProxyOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface RpcControllerClientDeps {
  readonly network: Pick<GrpcNetwork, "unary" | "serverStream">;
  readonly members: Pick<MemberView, "of">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A controller answers in milliseconds; one that takes longer than this is as good as gone. */
const DEADLINE_MS = 10_000;
/** What an answer takes on its way back when the wait of `await` is over. */
const AWAIT_GRACE_MS = 2_000;
/** Tries of a call that may be repeated: with the pauses between them they outlast a controller's restart. */
const TRIES = 6;
/** Pauses between tries, and between openings of the watch. */
const BACKOFF = { firstMs: 50, maxMs: 1_000 };

export class RpcControllerClient implements ControllerClient {
  /** Moves on when a controller fails. */
  #turn = 0;

  constructor(private readonly deps: RpcControllerClientDeps) {}

  authenticate(uuid: string): Promise<Identity> {
    return this.#repeatable(ResolveServiceService.authenticate, { uuid });
  }

  resolveAction(request: ResolveActionRequest): Promise<ResolvedAction> {
    return this.#repeatable(ResolveServiceService.resolveAction, request);
  }

  resolveWebAction(request: ResolveActionRequest): Promise<ResolvedAction> {
    return this.#repeatable(ResolveServiceService.resolveWebAction, request);
  }

  resolveWebhook(token: string): Promise<ResolvedWebhook> {
    return this.#repeatable(ResolveServiceService.resolveWebhook, { token });
  }

  resolveApi(request: ResolveApiRequest): Promise<ResolvedApi> {
    return this.#repeatable(ResolveServiceService.resolveApi, request);
  }

  async submit(request: SubmitRequest): Promise<void> {
    await this.#repeatable(SubmitServiceService.submit, request);
  }

  async await(request: AwaitRequest): Promise<AwaitResponse> {
    const { clock, random } = this.deps;
    const untilMonoMs = clock.monoMs() + request.waitMs;
    const backoff = new Backoff(BACKOFF, random);
    for (;;) {
      const waitMs = Math.max(1, Math.round(untilMonoMs - clock.monoMs()));
      try {
        const options = { headers: {}, deadlineMs: waitMs + AWAIT_GRACE_MS };
        return await this.#call(SubmitServiceService.await, { ...request, waitMs }, options);
      } catch (thrown) {
        const error = toWeftError(thrown);
        if (error.kind === "deadlineExceeded") return { record: undefined };
        const pauseMs = backoff.nextMs();
        if (error.kind !== "unavailable" || clock.monoMs() + pauseMs >= untilMonoMs) throw error;
        await sleep(clock, pauseMs);
      }
    }
  }

  fire(request: FireTriggerRequest): Promise<FireTriggerResponse> {
    return this.#once(SubmitServiceService.fire, request, { headers: {}, deadlineMs: DEADLINE_MS });
  }

  async record(records: readonly ActivationRecord[]): Promise<void> {
    const batch = { sequence: 0, records: [...records], invokerId: "" };
    await this.#once(RecordServiceService.record, batch, { headers: {}, deadlineMs: DEADLINE_MS });
  }

  async proxy(path: string, message: Buffer, options: ProxyOptions): Promise<RawAnswer> {
    let headers: Readonly<Record<string, string>> = {};
    const answer = await this.#once(rawMethod(path), message, options, (received) => (headers = received));
    return { message: answer, headers };
  }

  watch(watcher: ChangeWatcher, signal: AbortSignal): void {
    this.#watch(watcher, signal).catch((thrown: unknown) => {
      if (!signal.aborted) this.deps.log.error("watching for changes ended", { error: toWeftError(thrown) });
    });
  }

  async #watch(watcher: ChangeWatcher, signal: AbortSignal): Promise<void> {
    const { clock, log, network } = this.deps;
    const backoff = new Backoff(BACKOFF, this.deps.random);
    let told = false;
    while (!signal.aborted) {
      const member = this.#pick();
      if (member) {
        try {
          const stream = network.serverStream(member.address, ResolveServiceService.watch, {}, { signal });
          let open = false;
          for await (const { changes } of stream) {
            if (!open) {
              open = true;
              told = false;
              backoff.reset();
              watcher.opened();
              log.info("watching a controller for changes", { controllerId: member.id });
            }
            if (changes.length > 0) watcher.changed(changes);
          }
        } catch (thrown) {
          if (!told && !isAborted(signal))
            log.info("not told of changes for now", { controllerId: member.id, error: toWeftError(thrown) });
          told = true;
        }
        this.#turn += 1;
      }
      try {
        await sleep(clock, backoff.nextMs(), signal);
      } catch {
        return; // aborted
      }
    }
  }

  /** For what may be repeated: tries again whatever made the controller unavailable. */
  async #repeatable<Req, Res>(method: UnaryMethod<Req, Res>, request: Req): Promise<Res> {
    const backoff = new Backoff(BACKOFF, this.deps.random);
    for (let tries = 1; ; tries++) {
      try {
        return await this.#call(method, request, { headers: {}, deadlineMs: DEADLINE_MS });
      } catch (thrown) {
        const error = toWeftError(thrown);
        if (error.kind === "deadlineExceeded") {
          // It is not the caller's deadline that passed.
          throw new WeftError("unavailable", "CONTROLLER_SILENT", "the controller does not answer", { cause: error });
        }
        if (error.kind !== "unavailable" || tries >= TRIES) throw error;
        await sleep(this.deps.clock, backoff.nextMs());
      }
    }
  }

  /** For what may not be repeated: tries again, once, only when the controller never saw it. */
  async #once<Req, Res>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    options: ProxyOptions,
    onHeaders?: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<Res> {
    try {
      return await this.#call(method, request, options, onHeaders);
    } catch (thrown) {
      if (toWeftError(thrown).reason !== NOT_CONNECTED) throw thrown;
      return this.#call(method, request, options, onHeaders);
    }
  }

  async #call<Req, Res>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    { headers, deadlineMs, signal }: ProxyOptions,
    onHeaders?: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<Res> {
    const member = this.#pick();
    if (!member) {
      throw new WeftError("unavailable", "NO_CONTROLLER", "no controller is alive", {
        retryAfterMs: 1_000,
        fix: "weft status",
      });
    }
    try {
      return await this.deps.network.unary(member.address, method, request, {
        deadlineMs,
        headers,
        ...(signal ? { signal } : {}),
        ...(onHeaders ? { onHeaders } : {}),
      });
    } catch (thrown) {
      if (toWeftError(thrown).kind === "unavailable") this.#turn += 1;
      throw thrown;
    }
  }

  #pick(): Member | undefined {
    const controllers = this.deps.members.of("controller");
    return controllers[this.#turn % Math.max(1, controllers.length)];
  }
}

/** Asked anew after an await: the compiler believes what it saw before. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function rawMethod(path: string): UnaryMethod<Buffer, Buffer> {
  return { path, requestSerialize: (message) => message, responseDeserialize: (message) => message };
}

/** Headers of a call that a controller is asked to serve for somebody. */
export function callerHeaders(caller: {
  readonly namespace: string;
  readonly subject: string;
  readonly uuid: string;
  readonly operator: boolean;
  readonly transactionId: string;
  readonly traceparent: string;
}): Record<string, string> {
  return {
    "weft-caller-namespace": caller.namespace,
    "weft-caller-subject": caller.subject,
    "weft-caller-key-uuid": caller.uuid,
    ...(caller.operator ? { "weft-caller-operator": "1" } : {}),
    "weft-transaction-id": caller.transactionId,
    ...(caller.traceparent === "" ? {} : { traceparent: caller.traceparent }),
  };
}
