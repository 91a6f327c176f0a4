// Accounts between the words of core and those of the link.

import type { QuotaAccount, QuotaKind } from "../core/throttle/account.js";
import { QuotaKind as WireKind, type QuotaAccount as WireAccount } from "../gen/weft/link/v1/quota.pb.js";

const KIND_OF_WIRE: Readonly<Record<number, QuotaKind>> = {
  [WireKind.INVOCATIONS]: "invocations",
  [WireKind.FIRES]: "fires",
  [WireKind.PLACES]: "places",
};

const KIND_TO_WIRE: Readonly<Record<QuotaKind, WireKind>> = {
  invocations: WireKind.INVOCATIONS,
  fires: WireKind.FIRES,
  places: WireKind.PLACES,
};

/** @returns undefined for what only a newer peer knows */
export function accountOfWire(account: WireAccount | undefined): QuotaAccount | undefined {
  const kind = account && KIND_OF_WIRE[account.kind];
  return kind && { namespace: account.namespace, kind, minute: account.minute };
}

export function accountToWire({ namespace, kind, minute }: QuotaAccount): WireAccount {
  return { namespace, kind: KIND_TO_WIRE[kind], minute };
}
