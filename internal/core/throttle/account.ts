// What permits are of: one limit of one namespace; a rate has an account for each calendar minute.

export const QUOTA_KINDS = ["invocations", "fires", "places"] as const;

export type QuotaKind = (typeof QUOTA_KINDS)[number];

export interface QuotaAccount {
  readonly namespace: string;
  readonly kind: QuotaKind;
  /** Minutes since 1970 for rates; 0 for places, which come back. */
  readonly minute: number;
}

export interface Holding {
  readonly account: QuotaAccount;
  /** Permits, used ones included. */
  readonly permits: number;
}

export const MINUTE_MS = 60_000;

export function minuteOf(wallMs: number): number {
  return Math.floor(wallMs / MINUTE_MS);
}
