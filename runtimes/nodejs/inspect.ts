// Debugging: waits for a debugger and stops in the first line of the action's function. Loaded when somebody debugs only.

import { open, Session } from "node:inspector";
import type { Main } from "./load.js";

/** Returns when a debugger is there and lets the code begin. Node itself prints where it listens. */
export function waitForDebugger(port: number): void {
  open(port, "127.0.0.1", true);
}

/** The next call of the function stops before its first line, as long as a debugger is there. */
export function stopIn(main: Main): void {
  const session = new Session();
  session.connect();
  session.post("Debugger.enable");
  const place = Symbol.for("weft.main");
  Object.defineProperty(globalThis, place, { value: main, configurable: true });
  session.post("Runtime.evaluate", { expression: 'globalThis[Symbol.for("weft.main")]' }, (_, answer) => {
    // The protocol knows it, Node's types do not.
    const post = session.post.bind(session) as (method: string, params: object) => void;
    post("Debugger.setBreakpointOnFunctionCall", { objectId: answer.result.objectId });
  });
  Reflect.deleteProperty(globalThis, place);
}
