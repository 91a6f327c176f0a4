// Alarms and webhooks in memory: what the tables of internal/postgres do, as far as their users can see.

import { WeftError } from "../../internal/base/errors.js";
import type { TriggerActivation } from "../../internal/core/activation/types.js";
import { noAlarm, type Alarm, type AlarmDraft } from "../../internal/core/feed/alarm.js";
import type { AlarmAfter, AlarmVersion, FeedStore } from "../../internal/core/feed/store.js";
import { noWebhook, type Webhook, type WebhookDraft } from "../../internal/core/feed/webhook.js";
import type { QueuedRequest } from "../../internal/core/queue/store.js";

interface Place {
  readonly namespace: string;
  readonly trigger: string;
}

const keyOf = ({ namespace, trigger }: Place): string => `${namespace}/${trigger}`;

export class FeedTable implements FeedStore {
  readonly alarms = new Map<string, Alarm>();
  readonly webhooks = new Map<string, Webhook>();
  /** Keys of triggers, and of the rules of each. */
  readonly triggers = new Map<string, Set<string>>();
  /** Records of triggers that fired. */
  readonly records: TriggerActivation[] = [];

  /** @param submit takes what a firing starts */
  constructor(private readonly submit: (requests: readonly QueuedRequest[], ownerBootId: string) => void = () => {}) {}

  async putAlarm(draft: AlarmDraft, max: number): Promise<Alarm> {
    await Promise.resolve();
    return this.#put(this.alarms, draft, max, "TOO_MANY_ALARMS");
  }

  async getAlarm(namespace: string, trigger: string): Promise<Alarm> {
    await Promise.resolve();
    const alarm = this.alarms.get(keyOf({ namespace, trigger }));
    if (!alarm) throw noAlarm(namespace, trigger);
    return alarm;
  }

  async updateAlarm(alarm: Alarm): Promise<Alarm> {
    await Promise.resolve();
    return this.#update(this.alarms, alarm);
  }

  async deleteAlarm(namespace: string, trigger: string): Promise<void> {
    await Promise.resolve();
    this.alarms.delete(keyOf({ namespace, trigger }));
  }

  async dueAlarms(wallMs: number, limit: number): Promise<readonly Alarm[]> {
    await Promise.resolve();
    return [...this.alarms.values()]
      .filter((alarm) => (alarm.nextMs ?? Infinity) <= wallMs)
      .sort((a, b) => (a.nextMs ?? 0) - (b.nextMs ?? 0))
      .slice(0, limit);
  }

  async fireAlarm(
    version: AlarmVersion,
    after: AlarmAfter,
    firing: { readonly record: TriggerActivation; readonly requests: readonly QueuedRequest[] } | undefined,
    ownerBootId: string,
  ): Promise<boolean> {
    await Promise.resolve();
    const key = keyOf(version);
    const alarm = this.alarms.get(key);
    if (alarm?.id !== version.id || alarm.revision !== version.revision) return false;
    if (after.kind === "deleted") this.deleteTrigger(key);
    else {
      const { kind: _, ...progress } = after;
      this.alarms.set(key, { ...alarm, ...progress, revision: alarm.revision + 1 });
    }
    if (firing && !this.records.some(({ id }) => id === firing.record.id)) {
      this.records.push(firing.record);
      this.submit(firing.requests, ownerBootId);
    }
    return true;
  }

  async putWebhook(draft: WebhookDraft, max: number): Promise<Webhook> {
    await Promise.resolve();
    return this.#put(this.webhooks, draft, max, "TOO_MANY_WEBHOOKS");
  }

  async getWebhook(namespace: string, trigger: string): Promise<Webhook> {
    await Promise.resolve();
    const webhook = this.webhooks.get(keyOf({ namespace, trigger }));
    if (!webhook) throw noWebhook(namespace, trigger);
    return webhook;
  }

  async updateWebhook(webhook: Webhook): Promise<Webhook> {
    await Promise.resolve();
    return this.#update(this.webhooks, webhook);
  }

  async deleteWebhook(namespace: string, trigger: string): Promise<void> {
    await Promise.resolve();
    this.webhooks.delete(keyOf({ namespace, trigger }));
  }

  async findWebhook(id: string): Promise<Webhook> {
    await Promise.resolve();
    const webhook = [...this.webhooks.values()].find((one) => one.id === id);
    if (!webhook) throw new WeftError("notFound", "WEBHOOK_NOT_FOUND", "there is no such webhook");
    return webhook;
  }

  /** What hangs on it goes with it. */
  deleteTrigger(key: string): void {
    this.triggers.delete(key);
    this.alarms.delete(key);
    this.webhooks.delete(key);
  }

  #put<D extends Place, S extends D & { readonly revision: number }>(
    table: Map<string, S>,
    draft: D,
    max: number,
    reason: string,
  ): S {
    const key = keyOf(draft);
    if (!this.triggers.has(key)) throw new WeftError("notFound", "TRIGGER_NOT_FOUND", `there is no trigger ${key}`);
    const others = [...table.values()].filter((one) => one.namespace === draft.namespace && keyOf(one) !== key);
    if (others.length >= max) throw new WeftError("throttled", reason, `more than ${max}`);
    const stored = { ...draft, revision: (table.get(key)?.revision ?? 0) + 1 } as unknown as S;
    table.set(key, stored);
    return stored;
  }

  #update<S extends Place & { readonly revision: number }>(table: Map<string, S>, changed: S): S {
    const key = keyOf(changed);
    if (table.get(key)?.revision !== changed.revision) throw new WeftError("conflict", "FEED_CHANGED", key);
    const stored = { ...changed, revision: changed.revision + 1 };
    table.set(key, stored);
    return stored;
  }
}
