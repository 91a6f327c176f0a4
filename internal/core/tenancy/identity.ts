// Who asks, and what they may touch.

import { WeftError } from "../../base/errors.js";
import { nameProblem } from "./name.js";

/** Who a call speaks for, as a gateway found out. */
export interface Identity {
  readonly namespace: string;
  readonly subject: string;
  /** Public part of the key. */
  readonly keyUuid: string;
  /** True for the operator's key, which may use the administration rpcs. */
  readonly operator: boolean;
  readonly transactionId: string;
}

/** Stands for the caller's own namespace. */
const OWN = "_";

/**
 * The namespace a request means: the caller's own, named or as "_". Whatever belongs to somebody else is not there.
 * @param what for the message: "action guest/hello"
 * @throws invalidArgument naming the field; notFound
 */
export function ownNamespace(identity: Identity, field: string, named: string): string {
  const namespace = meantNamespace(identity, field, named);
  if (namespace !== identity.namespace) throw noNamespace(namespace);
  return namespace;
}

/** As `ownNamespace`, and any namespace for the operator. */
export function administeredNamespace(identity: Identity, field: string, named: string): string {
  const namespace = meantNamespace(identity, field, named);
  if (namespace !== identity.namespace && !identity.operator) throw noNamespace(namespace);
  return namespace;
}

/** Puts the caller's namespace for "_". @throws invalidArgument naming the field */
export function meantNamespace(identity: Identity, field: string, named: string): string {
  if (named === OWN) return identity.namespace;
  const problem = nameProblem(named);
  if (problem !== undefined) {
    throw new WeftError("invalidArgument", "INVALID_FIELD", `${field}: ${problem}`, {
      fields: [{ field, description: named === "" ? 'is required; "_" stands for your own' : problem }],
    });
  }
  return named;
}

/** @throws permissionDenied */
export function requireOperator(identity: Identity): void {
  if (identity.operator) return;
  throw new WeftError("permissionDenied", "OPERATOR_ONLY", "only the operator's key may do this");
}

function noNamespace(namespace: string): WeftError {
  return new WeftError("notFound", "NO_SUCH_NAMESPACE", `there is no namespace ${namespace} for this key`);
}
