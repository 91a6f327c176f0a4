// The feed actions of /whisk.system/alarms.

import type { Clock } from "../base/clock.js";
import { invalidField } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import type { JsonText } from "../base/json-text.js";
import type { Random } from "../base/random.js";
import type { Builtin, BuiltinCaller } from "../core/builtin/builtin.js";
import {
  ALARM_FEEDS,
  changedSchedule,
  describeAlarm,
  firstFiring,
  newSchedule,
  payloadOf,
  type Alarm,
  type AlarmFeed as FeedName,
  type AlarmLimits,
} from "../core/feed/alarm.js";
import { readFeedRequest, type FeedRequest } from "../core/feed/lifecycle.js";
import type { ReadCron } from "../core/feed/schedule.js";
import type { FeedStore } from "../core/feed/store.js";
import { SYSTEM_NAMESPACE } from "../core/package/catalogue.js";
import type { FeedKeys } from "./feed-keys.js";

export interface AlarmFeedDeps {
  readonly feeds: Pick<FeedStore, "putAlarm" | "getAlarm" | "updateAlarm" | "deleteAlarm">;
  readonly keys: Pick<FeedKeys, "make" | "ofCaller">;
  readonly limits: AlarmLimits;
  readonly readCron: ReadCron;
  readonly clock: Clock;
  readonly random: Random;
  /** Told when a firing may be due sooner than was known. */
  readonly changed: () => void;
}

export class AlarmFeed {
  constructor(private readonly deps: AlarmFeedDeps) {}

  get builtins(): readonly (readonly [key: string, builtin: Builtin])[] {
    return (Object.keys(ALARM_FEEDS) as FeedName[]).map((feed) => [
      `${SYSTEM_NAMESPACE}/alarms/${feed}`,
      (caller, paramsJson) => this.handle(feed, caller, paramsJson),
    ]);
  }

  async handle(feed: FeedName, caller: BuiltinCaller, paramsJson: JsonText): Promise<JsonText> {
    const request = readFeedRequest(paramsJson, caller.namespace);
    const { namespace } = caller;
    const { trigger } = request;
    const { feeds } = this.deps;
    switch (request.event) {
      case "CREATE":
        await this.#create(feed, caller, request);
        break;
      case "READ":
        return describeAlarm(await feeds.getAlarm(namespace, trigger));
      case "UPDATE":
        await this.#update(namespace, request);
        break;
      case "PAUSE":
        await this.#pause(await feeds.getAlarm(namespace, trigger));
        break;
      case "UNPAUSE":
        await this.#unpause(await feeds.getAlarm(namespace, trigger));
        break;
      case "DELETE":
        await feeds.deleteAlarm(namespace, trigger);
        break;
    }
    return SUCCESS;
  }

  async #create(feed: FeedName, { namespace, keyUuid }: BuiltinCaller, request: FeedRequest): Promise<void> {
    const { clock, feeds, keys, limits, random, readCron } = this.deps;
    const { trigger, params, authKey } = request;
    const wallMs = clock.wallMs();
    const schedule = newSchedule(feed, params, wallMs);
    const nextMs = firstFiring(schedule, trigger, wallMs, readCron, limits);
    const payloadJson = payloadOf(params) ?? "{}";
    const key = await (authKey === undefined ? keys.ofCaller(namespace, keyUuid) : keys.make(namespace, authKey));
    await feeds.putAlarm(
      {
        namespace,
        trigger,
        id: bytesToHex(random.bytes(16)),
        key,
        schedule,
        payloadJson,
        status: { active: true, changedWallMs: wallMs },
        fired: 0,
        skips: 0,
        lastMs: undefined,
        nextMs,
      },
      limits.perNamespaceMax,
    );
    this.deps.changed();
  }

  /** An alarm that is updated is active again, as in OpenWhisk. */
  async #update(namespace: string, { trigger, params, authKey }: FeedRequest): Promise<void> {
    const { clock, feeds, keys } = this.deps;
    const wallMs = clock.wallMs();
    const old = await feeds.getAlarm(namespace, trigger);
    const schedule = changedSchedule(old.schedule, params, wallMs);
    const payloadJson = payloadOf(params);
    if (schedule === undefined && payloadJson === undefined) {
      throw invalidField("params", "no updatable parameters were specified");
    }
    const key = authKey === undefined ? old.key : await keys.make(namespace, authKey);
    const changed = { ...old, key, payloadJson: payloadJson ?? old.payloadJson };
    const begins = schedule !== undefined || !old.status.active;
    await feeds.updateAlarm(begins ? this.#begun({ ...changed, schedule: schedule ?? old.schedule }, wallMs) : changed);
    this.deps.changed();
  }

  async #pause(alarm: Alarm): Promise<void> {
    if (!alarm.status.active) return;
    const reason = { kind: "USER", message: "Paused" } as const;
    const status = { active: false, changedWallMs: this.deps.clock.wallMs(), reason };
    await this.deps.feeds.updateAlarm({ ...alarm, nextMs: undefined, status });
  }

  /** What was due meanwhile is not made up for: it was paused. */
  async #unpause(alarm: Alarm): Promise<void> {
    if (alarm.status.active) return;
    const { fired, skips } = alarm;
    await this.deps.feeds.updateAlarm({ ...this.#begun(alarm, this.deps.clock.wallMs()), fired, skips });
    this.deps.changed();
  }

  /** @throws invalidArgument when it would never fire */
  #begun(alarm: Alarm, wallMs: number): Alarm {
    const { limits, readCron } = this.deps;
    const nextMs = firstFiring(alarm.schedule, alarm.trigger, wallMs, readCron, limits);
    return { ...alarm, nextMs, fired: 0, skips: 0, status: { active: true, changedWallMs: wallMs } };
  }
}

const SUCCESS = '{"status":"success"}';
