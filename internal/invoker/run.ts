import type { Span } from "../base/trace.js";
import type { Outcome, StartKind } from "../core/activation/types.js";
import type { Caller } from "../core/dispatch/call.js";
import type { RevisionSpec } from "../gen/weft/link/v1/control.pb.js";
import type { ActionAsk } from "../core/dispatch/call.js";
import type { Sandbox } from "./sandbox.js";
import type { WorkSession } from "./work-session.js";
import { RunLogs } from "./run-logs.js";

/** How a run ended, as its caller and its record are told. */
export interface RunEnd {
  readonly outcome: Outcome;
  /** JSON text; not a view of something larger. */
  readonly resultJson: Uint8Array;
  /** Size of the sandbox's answer; 0 when there was none. */
  readonly resultSize: number;
  readonly timedOut: boolean;
  /** False when its sandbox takes no calls any more. */
  readonly reusable: boolean;
  readonly durationMs: number;
}

/** What a call brought with it. */
export interface RunRequest {
  /** 32 hex characters. */
  readonly activationId: string;
  readonly caller: Caller;
  readonly async: boolean;
  readonly traceparent: string;
  /** How much of a result that is too large is shown; undefined: as much as a result may have. */
  readonly truncationBytes?: number | undefined;
  /** No record of it is wanted. */
  readonly unstored?: boolean | undefined;
  /** How long it had waited when it arrived. */
  readonly waitedMs: number;
  /** It is sent back if its code has not begun by then, monotonic; Infinity: it waits as long as it takes. */
  readonly expiresMonoMs: number;
  readonly arrivedMonoMs: number;
}

/** Who is told how a run ended. */
export interface RunOwner {
  /** Once, however it ended. */
  ended(run: Run, end: RunEnd): void;
  /** It ended, and its sandbox has nothing more to print for it. May be told more than once, or before `ended`. */
  silent(run: Run): void;
  /** Once, instead of `ended`: its code did not begin. */
  notStarted(run: Run, reason: "staleLease" | "expired"): void;
}

export type RunPhase = "waiting" | "initialising" | "running" | "over";

/** One call in a sandbox, from the slot it was given to its record. */
export class Run {
  phase: RunPhase = "waiting";
  /** Its number in its sandbox. */
  number = 0;
  /** Its number among all of its dispatcher's life. */
  lifeNumber = 0;
  startKind: StartKind = "warm";
  /** When its part began, init included; monotonic. NaN before. */
  startMonoMs = NaN;
  startWallMs = 0;
  initMs: number | undefined;
  /** When its sandbox has to look at it again, monotonic. */
  dueMonoMs = Infinity;
  /** Why it was asked to stop; undefined when it was not. */
  canceledBecause: string | undefined;
  span: Span | undefined;
  end: RunEnd | undefined;
  readonly paramsBytes: number;
  /** What it ran; undefined until the code was there. */
  spec: RevisionSpec | undefined;
  #logs: RunLogs | undefined;

  constructor(
    readonly request: RunRequest,
    readonly owner: RunOwner,
    /** The link it came by, which may have ended since. */
    readonly session: Pick<WorkSession, "life" | "finished" | "sentBack">,
    /** The call's number on that link. */
    readonly call: number,
    readonly sandbox: Sandbox,
    readonly slot: number,
    readonly ask: ActionAsk,
    /** A view of the frame it came in: let go of when it is sent on. */
    public paramsJson: Uint8Array,
  ) {
    this.paramsBytes = paramsJson.length;
  }

  /** Made when it is first needed: most runs print nothing. */
  get logs(): RunLogs {
    this.#logs ??= new RunLogs((this.spec?.logsMb ?? 0) * 1024 * 1024);
    return this.#logs;
  }

  /** Between acceptance and the beginning of its part. */
  get waitMs(): number {
    const here = this.startMonoMs - this.request.arrivedMonoMs;
    return Math.max(0, Math.round(this.request.waitedMs + here));
  }

  /** May be called once. */
  finishLogs(nowWallMs: number): readonly string[] {
    const developerError = this.end?.outcome === "developerError";
    if (!this.#logs && !developerError) return NO_LINES;
    return this.logs.finish(nowWallMs, developerError);
  }
}

const NO_LINES: readonly string[] = [];
