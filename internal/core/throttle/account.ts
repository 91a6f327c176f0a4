// What permits are of: one limit of one namespace; a rate has an account for each calendar minute, or for each window of its own.

export const QUOTA_KINDS = ["invocations", "fires", "places", "apiCalls"] as const;

export type QuotaKind = (typeof QUOTA_KINDS)[number];

/** Stands for all namespaces together: their limits are the installation's. No namespace has this name. */
export const ALL_NAMESPACES = "";

export interface QuotaAccount {
  readonly namespace: string;
  readonly kind: QuotaKind;
  /** Minutes, or windows, since 1970 for rates; 0 for places, which come back. */
  readonly minute: number;
  /** Of API calls. */
  readonly window?: RateWindow;
}

/** One of the rates that the documents of a namespace's APIs state. */
export interface RateWindow {
  /** What is counted together. */
  readonly key: string;
  /** Whole seconds. */
  readonly windowMs: number;
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

/** How long a rate's account is counted in. */
export function windowMsOf({ window }: QuotaAccount): number {
  return window ? window.windowMs : MINUTE_MS;
}
