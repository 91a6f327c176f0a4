// Accounts between the words of core and those of the link.

import type { QuotaAccount, QuotaKind } from "../core/throttle/account.js";
import { QuotaKind as WireKind, type QuotaAccount as WireAccount } from "../gen/weft/link/v1/quota.pb.js";

const KIND_OF_WIRE: Readonly<Record<number, QuotaKind>> = {
  [WireKind.INVOCATIONS]: "invocations",
  [WireKind.FIRES]: "fires",
  [WireKind.PLACES]: "places",
  [WireKind.API_CALLS]: "apiCalls",
};

const KIND_TO_WIRE: Readonly<Record<QuotaKind, WireKind>> = {
  invocations: WireKind.INVOCATIONS,
  fires: WireKind.FIRES,
  places: WireKind.PLACES,
  apiCalls: WireKind.API_CALLS,
};

/** @returns undefined for what only a newer peer knows */
export function accountOfWire(account: WireAccount | undefined): QuotaAccount | undefined {
  const kind = account && KIND_OF_WIRE[account.kind];
  if (!kind) return undefined;
  const { namespace, minute, key, windowS } = account;
  if (kind !== "apiCalls") return { namespace, kind, minute };
  return windowS === 0 ? undefined : { namespace, kind, minute, window: { key, windowMs: windowS * 1_000 } };
}

export function accountToWire({ namespace, kind, minute, window }: QuotaAccount): WireAccount {
  const windowS = window ? window.windowMs / 1_000 : 0;
  return { namespace, kind: KIND_TO_WIRE[kind], minute, key: window?.key ?? "", windowS };
}
