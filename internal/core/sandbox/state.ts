import { Machine } from "../../base/machine.js";

export type SandboxState =
  /** The driver is making it. */
  | "starting"
  /** Its runtime is ready and has no code: it can become any action's of its kind and memory. */
  | "stem"
  /** It belongs to one action revision and takes calls; the first one loads the code. */
  | "warm"
  /** The same, with its processes stopped: the next call thaws it. */
  | "frozen"
  /** Ended, whatever the reason. */
  | "gone";

export type SandboxEvent =
  | "ready" // it was ordered for an action, and its runtime said hello
  | "prepared" // nobody ordered it, and its runtime said hello
  | "claim" // an order takes a stem cell
  | "freeze"
  | "thaw"
  | "end"; // crashed, evicted, failed to start, drained

// There is no arrow back to stem: what code has run in a sandbox never serves another action.
export const sandboxMachine = new Machine<SandboxState, SandboxEvent>("sandbox", "starting", {
  starting: { ready: "warm", prepared: "stem", end: "gone" },
  stem: { claim: "warm", end: "gone" },
  warm: { freeze: "frozen", end: "gone" },
  frozen: { thaw: "warm", end: "gone" },
  gone: {},
});
