import type { TriggerActivation } from "../activation/types.js";
import type { QueuedRequest } from "../queue/store.js";
import type { Alarm, AlarmDraft, AlarmStatus } from "./alarm.js";
import type { Webhook, WebhookDraft } from "./webhook.js";

/** An alarm as it was read: a write is refused when it is not that any more. */
export type AlarmVersion = Pick<Alarm, "namespace" | "trigger" | "id" | "revision">;

/** What a firing changes of its alarm. */
export interface AlarmProgress {
  readonly fired: number;
  readonly skips: number;
  readonly lastMs: number | undefined;
  readonly nextMs: number | undefined;
  readonly status: AlarmStatus;
}

/** What becomes of an alarm that fired. */
export type AlarmAfter =
  | ({ readonly kind: "goesOn" } & AlarmProgress)
  /** Its trigger is deleted, and with it the alarm; `withRules` also the rules of the trigger. */
  | { readonly kind: "deleted"; readonly withRules: boolean };

/**
 * What fires triggers: alarms and webhooks, at most one of each per trigger. Each goes with its trigger. Implemented by
 * internal/postgres; passes feedStoreSuite.
 */
export interface FeedStore {
  /**
   * Creates the alarm of a trigger, or puts it in the place of what is there.
   * @throws notFound TRIGGER_NOT_FOUND; throttled TOO_MANY_ALARMS when the namespace has `max` others
   */
  putAlarm(draft: AlarmDraft, max: number): Promise<Alarm>;
  /** @throws notFound */
  getAlarm(namespace: string, trigger: string): Promise<Alarm>;
  /** Puts it in the place of the version that `alarm` was made from. @throws conflict when there is another, or none */
  updateAlarm(alarm: Alarm): Promise<Alarm>;
  /** Also when there is none. */
  deleteAlarm(namespace: string, trigger: string): Promise<void>;
  /** At most `limit` whose next firing is not later than `wallMs`, the most overdue first. */
  dueAlarms(wallMs: number, limit: number): Promise<readonly Alarm[]>;
  /**
   * Moves an alarm on, and stores what its firing starts (as QueueStore.fire), all or nothing.
   * @param firing undefined: no rule is active
   * @returns false when the alarm is not that version any more: then nothing was done
   */
  fireAlarm(
    alarm: AlarmVersion,
    after: AlarmAfter,
    firing: { readonly record: TriggerActivation; readonly requests: readonly QueuedRequest[] } | undefined,
    ownerBootId: string,
  ): Promise<boolean>;

  /** As putAlarm. @throws notFound TRIGGER_NOT_FOUND; throttled TOO_MANY_WEBHOOKS */
  putWebhook(draft: WebhookDraft, max: number): Promise<Webhook>;
  /** @throws notFound */
  getWebhook(namespace: string, trigger: string): Promise<Webhook>;
  /** @throws conflict when there is another, or none */
  updateWebhook(webhook: Webhook): Promise<Webhook>;
  /** Also when there is none. */
  deleteWebhook(namespace: string, trigger: string): Promise<void>;
  /** By its id. @throws notFound */
  findWebhook(id: string): Promise<Webhook>;
}
