// Actions that the platform runs itself, without a sandbox: those of system packages that must reach what no sandbox can.
// They are listed, read, bound, invoked and recorded as any action; only their code is a function of a controller.

import type { JsonText } from "../../base/json-text.js";

/** On whose behalf a built-in action runs. */
export interface BuiltinCaller {
  /** Whose records and throttles it counts for: of a web action its owner, not who sent the request. */
  readonly namespace: string;
  readonly subject: string;
  /** Public part of the key that the invocation was made with, for a web action its owner's; "" for none. */
  readonly keyUuid: string;
  readonly transactionId: string;
}

/**
 * The code of a built-in action. After a crash it may run again for the same invocation: whatever it does must bear
 * repetition.
 * @param paramsJson JSON text of an object: the arguments merged with defaults, numbers with every digit
 * @returns JSON text of an object; with a member "error" the invocation ends as an application error
 * @throws WeftError: what the caller did wrong becomes the application error `{"error": message}`; unavailable and
 * conflict are tried again a few times
 */
export type Builtin = (caller: BuiltinCaller, paramsJson: JsonText) => Promise<JsonText>;

/** By key of the action: "whisk.system/package/name". */
export type Builtins = ReadonlyMap<string, Builtin>;
