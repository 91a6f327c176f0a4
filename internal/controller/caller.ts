// Who calls, as the gateway says in the metadata. It is believed because only roles have the cluster key.

import { WeftError } from "../base/errors.js";
import type { Identity } from "../core/tenancy/identity.js";
import type { CallContext } from "../rpc/call-context.js";

/** @throws unauthenticated when the gateway said nothing */
export function callerOf(ctx: CallContext): Identity {
  const namespace = ctx.header("weft-caller-namespace") ?? "";
  const subject = ctx.header("weft-caller-subject") ?? "";
  if (namespace === "" || subject === "") {
    throw new WeftError("unauthenticated", "NO_CALLER", "the call does not say on whose behalf it is made");
  }
  return {
    namespace,
    subject,
    keyUuid: ctx.header("weft-caller-key-uuid") ?? "",
    operator: ctx.header("weft-caller-operator") === "1",
    transactionId: ctx.header("weft-transaction-id") ?? "",
  };
}
