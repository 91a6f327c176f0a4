// What callers and records read when something other than the action's own answer ended a run. The first sentences are
// those that OpenWhisk's users know.

import { RESULT_BYTES_MAX } from "../core/action/types.js";
import type { Outcome } from "../core/activation/types.js";
import type { SandboxExit } from "../core/sandbox/driver.js";
import { jsonShapeOf } from "./json-text.js";

export interface Failure {
  readonly outcome: Outcome;
  readonly error: string;
  readonly timedOut?: boolean;
  /** Ends its logs: what OpenWhisk's sentence, which clients compare, does not say. */
  readonly note?: string;
}

/** @param initMs how long its code was loaded before; undefined when it was there already */
export function runTimedOut(timeoutMs: number, initMs: number | undefined): Failure {
  const before = initMs === undefined ? "" : `; before that, its code was loaded for ${initMs} ms`;
  return {
    outcome: "developerError",
    error: `The action exceeded its time limits of ${timeoutMs} milliseconds.`,
    timedOut: true,
    note: `The action was stopped in its phase "run", ${timeoutMs} ms after it was called${before}.`,
  };
}

export function initTimedOut(timeoutMs: number): Failure {
  return {
    outcome: "developerError",
    error: `The action exceeded its time limits of ${timeoutMs} milliseconds during initialization.`,
    timedOut: true,
    note: `The action was stopped in its phase "init", when its code had been loaded for ${timeoutMs} ms.`,
  };
}

export function canceled(reason: string): Failure {
  return {
    outcome: "applicationError",
    error: `The activation was canceled and did not stop by itself${reason === "" ? "." : `: ${reason}`}`,
  };
}

/** @param tail the last lines it printed; "" for none */
export function sandboxEnded(exit: SandboxExit | undefined, duringInit: boolean, tail: string): Failure {
  const first = duringInit
    ? "The action did not initialize and exited unexpectedly"
    : "The action did not produce a valid response and exited unexpectedly";
  return { outcome: "developerError", error: `${why(exit, first)}${tail === "" ? "" : ` Last output: ${tail}`}` };
}

function why(exit: SandboxExit | undefined, first: string): string {
  switch (exit?.kind) {
    case "outOfMemory":
      return `The action exhausted its memory and was aborted: its limit is ${exit.limitMb} MB.`;
    case "tooManyProcesses":
      return `${first}: it started more than ${exit.limit} processes.`;
    case "outOfDisk":
      return `The action wrote more than its sandbox holds and was aborted: its limit is ${exit.limitMb} MB on disk.`;
    case "exited":
      if (exit.signal !== undefined) return `${first} (signal ${exit.signal}).`;
      return exit.code === undefined ? `${first}.` : `${first} (exit code ${exit.code}).`;
    case undefined:
      return `${first}.`;
  }
}

export const MALFORMED_MESSAGE: Failure = {
  outcome: "developerError",
  error: "The action's runtime sent a message that cannot be read; something in the action writes to its connection.",
};

export const CODE_GONE: Failure = {
  outcome: "applicationError",
  error: "Action could not be found or may have been deleted.",
};

export const CODE_NOT_FETCHED: Failure = { outcome: "platformError", error: "Action could not be fetched." };

export const INVOKER_STOPPED: Failure = {
  outcome: "platformError",
  error: "The invoker was stopped before the action finished.",
};

/** How much of an answer that is no result is shown. */
const EXCERPT_BYTES = 1_024;

export function noResult(answer: Uint8Array): Failure {
  const body = excerpt(answer, EXCERPT_BYTES);
  return {
    outcome: "developerError",
    error: `The action did not produce a valid JSON or JSON Array response${body === "" ? "." : `: ${body}`}`,
  };
}

/** @param shownBytes how much of it is shown, at most as much as a result may have */
export function resultTooLarge(answer: Uint8Array, shownBytes = RESULT_BYTES_MAX): Failure {
  return {
    outcome: "applicationError",
    error:
      `The action produced a response that exceeded the allowed length: ${answer.length} > ${RESULT_BYTES_MAX} bytes. ` +
      `The truncated response was: ${excerpt(answer, Math.min(shownBytes, RESULT_BYTES_MAX))}`,
  };
}

/** What a runtime said when it could not load the code. */
export function initFailed(errorJson: Uint8Array): Failure | { readonly outcome: Outcome; readonly json: Uint8Array } {
  if (errorJson.length <= RESULT_BYTES_MAX && jsonShapeOf(errorJson) === "object") {
    return { outcome: "developerError", json: Uint8Array.from(errorJson) };
  }
  const body = excerpt(errorJson, EXCERPT_BYTES);
  return {
    outcome: "developerError",
    error: `The action failed during initialization${body === "" ? "." : `: ${body}`}`,
  };
}

export function errorJson(error: string): Uint8Array {
  return Buffer.from(JSON.stringify({ error }));
}

/** The beginning of some bytes as text, cut between characters. */
function excerpt(bytes: Uint8Array, max: number): string {
  let end = Math.min(bytes.length, max);
  if (end < bytes.length) while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return Buffer.from(bytes.buffer, bytes.byteOffset, end).toString("utf8");
}
