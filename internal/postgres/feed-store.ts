import { WeftError } from "../base/errors.js";
import { noAlarm, type Alarm, type AlarmDraft, type AlarmStatus } from "../core/feed/alarm.js";
import type { Schedule } from "../core/feed/schedule.js";
import type { AlarmAfter, AlarmVersion, FeedStore } from "../core/feed/store.js";
import { noWebhook, type Webhook, type WebhookDraft, type WebhookStatus } from "../core/feed/webhook.js";
import { idOf } from "./activation-columns.js";
import { announce } from "./changes.js";
import type { Database, Queryable, Value } from "./database.js";
import { insertFiring } from "./queue-store.js";

export class PostgresFeedStore implements FeedStore {
  constructor(private readonly database: Database) {}

  async putAlarm(draft: AlarmDraft, max: number): Promise<Alarm> {
    return this.database.transaction(async (transaction) => {
      await checkRoom(transaction, "alarms", draft, max);
      const [row] = await transaction.rows<AlarmRow>(insertAlarm, alarmValues(draft));
      if (!row) throw noTrigger(draft);
      return alarmOf(row);
    });
  }

  async getAlarm(namespace: string, trigger: string): Promise<Alarm> {
    const [row] = await this.database.rows<AlarmRow>(
      `select ${ALARM_READ} from alarms a where a.namespace = $1 and a.trigger_name = $2`,
      [namespace, trigger],
    );
    if (!row) throw noAlarm(namespace, trigger);
    return alarmOf(row);
  }

  async updateAlarm(alarm: Alarm): Promise<Alarm> {
    const [row] = await this.database.rows<AlarmRow>(updateAlarm, [...alarmValues(alarm), alarm.revision]);
    if (!row) throw changed(alarm);
    return alarmOf(row);
  }

  async deleteAlarm(namespace: string, trigger: string): Promise<void> {
    await this.database.rows("delete from alarms where namespace = $1 and trigger_name = $2", [namespace, trigger]);
  }

  async dueAlarms(wallMs: number, limit: number): Promise<readonly Alarm[]> {
    const rows = await this.database.rows<AlarmRow>(
      `select ${ALARM_READ} from alarms a where a.next_ms <= $1 order by a.next_ms limit $2`,
      [wallMs, limit],
    );
    return rows.map(alarmOf);
  }

  async fireAlarm(
    alarm: AlarmVersion,
    after: AlarmAfter,
    firing: Parameters<FeedStore["fireAlarm"]>[2],
    ownerBootId: string,
  ): Promise<boolean> {
    return this.database.transaction(async (transaction) => {
      const { namespace, trigger, id, revision } = alarm;
      // The trigger before its alarm, as whoever deletes the trigger does.
      if (after.kind === "deleted") {
        await transaction.rows("select from entities where namespace = $1 and name = $2 for update", [
          namespace,
          trigger,
        ]);
      }
      const version: Value[] = [namespace, trigger, id, revision];
      const moved =
        after.kind === "goesOn"
          ? await transaction.rows(moveAlarm, [
              ...version,
              after.fired,
              after.skips,
              after.lastMs,
              after.nextMs,
              JSON.stringify(after.status),
            ])
          : await transaction.rows(lockAlarm, version);
      if (moved.length === 0) return false;
      if (firing) await insertFiring(transaction, firing.record, firing.requests, ownerBootId);
      if (after.kind === "deleted") await deleteTrigger(transaction, namespace, trigger, after.withRules);
      return true;
    });
  }

  async putWebhook(draft: WebhookDraft, max: number): Promise<Webhook> {
    return this.database.transaction(async (transaction) => {
      await checkRoom(transaction, "webhooks", draft, max);
      const [row] = await transaction.rows<WebhookRow>(insertWebhook, webhookValues(draft));
      if (!row) throw noTrigger(draft);
      return webhookOf(row);
    });
  }

  async getWebhook(namespace: string, trigger: string): Promise<Webhook> {
    const [row] = await this.database.rows<WebhookRow>(
      `select ${WEBHOOK_READ} from webhooks a where a.namespace = $1 and a.trigger_name = $2`,
      [namespace, trigger],
    );
    if (!row) throw noWebhook(namespace, trigger);
    return webhookOf(row);
  }

  async updateWebhook(webhook: Webhook): Promise<Webhook> {
    const [row] = await this.database.rows<WebhookRow>(updateWebhook, [...webhookValues(webhook), webhook.revision]);
    if (!row) throw changed(webhook);
    return webhookOf(row);
  }

  async deleteWebhook(namespace: string, trigger: string): Promise<void> {
    await this.database.rows("delete from webhooks where namespace = $1 and trigger_name = $2", [namespace, trigger]);
  }

  async findWebhook(id: string): Promise<Webhook> {
    const [row] = await this.database.rows<WebhookRow>(`select ${WEBHOOK_READ} from webhooks a where a.id = $1::uuid`, [
      id,
    ]);
    if (!row) throw new WeftError("notFound", "WEBHOOK_NOT_FOUND", "there is no such webhook");
    return webhookOf(row);
  }
}

// ---- alarms ----

interface AlarmRow {
  readonly namespace: string;
  readonly trigger_name: string;
  readonly id: string;
  readonly key_uuid: string;
  readonly subject: string;
  readonly schedule: string;
  readonly payload: string;
  readonly status: string;
  readonly fired: number;
  readonly skips: number;
  readonly last_ms: number | null;
  readonly next_ms: number | null;
  readonly revision: number;
  readonly [column: string]: unknown;
}

/** What a writer sets, in the order of `alarmValues`; the first two say which. */
const ALARM_COLUMNS = [
  "namespace",
  "trigger_name",
  "id",
  "key_uuid",
  "subject",
  "sealed_key",
  "schedule",
  "payload",
  "status",
  "fired",
  "skips",
  "last_ms",
  "next_ms",
] as const;
const ALARM_READ = read(ALARM_COLUMNS);
const insertAlarm = insertInto("alarms", ALARM_COLUMNS);
const updateAlarm = update("alarms", ALARM_COLUMNS);

const thatVersion = "namespace = $1 and trigger_name = $2 and id = $3::uuid and revision = $4";
const moveAlarm = `
  update alarms
  set fired = $5, skips = $6, last_ms = $7, next_ms = $8, status = $9, revision = revision + 1
  where ${thatVersion} returning id`;
const lockAlarm = `select id from alarms where ${thatVersion} for update`;

function alarmValues(alarm: AlarmDraft): Value[] {
  return [
    alarm.namespace,
    alarm.trigger,
    alarm.id,
    alarm.key.uuid,
    alarm.key.subject,
    NO_SEALED_KEY,
    JSON.stringify(alarm.schedule),
    alarm.payloadJson,
    JSON.stringify(alarm.status),
    alarm.fired,
    alarm.skips,
    alarm.lastMs,
    alarm.nextMs,
  ];
}

function alarmOf(row: AlarmRow): Alarm {
  return {
    namespace: row.namespace,
    trigger: row.trigger_name,
    id: idOf(row.id),
    key: { uuid: row.key_uuid, subject: row.subject },
    schedule: JSON.parse(row.schedule) as Schedule,
    payloadJson: row.payload,
    status: JSON.parse(row.status) as AlarmStatus,
    fired: row.fired,
    skips: row.skips,
    lastMs: row.last_ms ?? undefined,
    nextMs: row.next_ms ?? undefined,
    revision: row.revision,
  };
}

// ---- webhooks ----

interface WebhookRow {
  readonly namespace: string;
  readonly trigger_name: string;
  readonly id: string;
  readonly key_uuid: string;
  readonly subject: string;
  readonly secret: Buffer | null;
  readonly status: string;
  readonly revision: number;
  readonly [column: string]: unknown;
}

const WEBHOOK_COLUMNS = [
  "namespace",
  "trigger_name",
  "id",
  "key_uuid",
  "subject",
  "sealed_key",
  "secret",
  "status",
] as const;
const WEBHOOK_READ = read(WEBHOOK_COLUMNS);
const insertWebhook = insertInto("webhooks", WEBHOOK_COLUMNS);
const updateWebhook = update("webhooks", WEBHOOK_COLUMNS);

function webhookValues(webhook: WebhookDraft): Value[] {
  return [
    webhook.namespace,
    webhook.trigger,
    webhook.id,
    webhook.key.uuid,
    webhook.key.subject,
    NO_SEALED_KEY,
    webhook.secret && Buffer.from(webhook.secret),
    JSON.stringify(webhook.status),
  ];
}

function webhookOf(row: WebhookRow): Webhook {
  return {
    namespace: row.namespace,
    trigger: row.trigger_name,
    id: idOf(row.id),
    key: { uuid: row.key_uuid, subject: row.subject },
    secret: row.secret ? Uint8Array.from(row.secret) : undefined,
    status: JSON.parse(row.status) as WebhookStatus,
    revision: row.revision,
  };
}

// ---- both ----

type Table = "alarms" | "webhooks";

function read(columns: readonly string[]): string {
  return [...columns, "revision"].map((name) => `a.${name}`).join(", ");
}

/** Inserts nothing when there is no such trigger. */
function insertInto(table: Table, columns: readonly string[]): string {
  const values = columns.map((name, i) => `$${i + 1}${castOf(name)}`);
  const changes = columns.slice(2).map((name) => `${name} = excluded.${name}`);
  return `
    insert into ${table} as a (${columns.join(", ")}, revision)
    select ${values.join(", ")}, 1
    where exists (select from entities e where e.namespace = $1 and e.name = $2 and e.kind = 'trigger')
    on conflict (namespace, trigger_name) do update set ${changes.join(", ")}, revision = a.revision + 1
    returning ${read(columns)}`;
}

function update(table: Table, columns: readonly string[]): string {
  const changes = columns.slice(2).map((name, i) => `${name} = $${i + 3}${castOf(name)}`);
  return `
    update ${table} a set ${changes.join(", ")}, revision = a.revision + 1
    where a.namespace = $1 and a.trigger_name = $2 and a.revision = $${columns.length + 1}
    returning ${read(columns)}`;
}

/** The column is of former versions, which kept whole keys there. */
const NO_SEALED_KEY = Buffer.alloc(0);

function castOf(column: string): string {
  switch (column) {
    case "id":
      return "::uuid";
    case "sealed_key":
    case "secret":
      return "::bytea";
    case "fired":
    case "skips":
    case "last_ms":
    case "next_ms":
      return "::bigint";
    default:
      return "::text";
  }
}

/** Others of the namespace are counted while nobody adds one. @throws throttled */
async function checkRoom(
  transaction: Queryable,
  table: Table,
  { namespace, trigger }: { readonly namespace: string; readonly trigger: string },
  max: number,
): Promise<void> {
  await transaction.rows("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`${table} ${namespace}`]);
  const [row] = await transaction.rows<{ readonly others: number }>(
    `select count(*) as others from ${table} where namespace = $1 and trigger_name <> $2`,
    [namespace, trigger],
  );
  if ((row?.others ?? 0) < max) return;
  throw new WeftError(
    "throttled",
    table === "alarms" ? "TOO_MANY_ALARMS" : "TOO_MANY_WEBHOOKS",
    `${namespace} has as many ${table} as a namespace may have: ${max}`,
  );
}

async function deleteTrigger(
  transaction: Queryable,
  namespace: string,
  trigger: string,
  withRules: boolean,
): Promise<void> {
  const rules = withRules
    ? await transaction.rows<{ readonly namespace: string; readonly name: string }>(
        `delete from entities e using rule_links l
         where l.trigger_namespace = $1 and l.trigger_name = $2
           and e.namespace = l.rule_namespace and e.name = l.rule_name and e.kind = 'rule'
         returning e.namespace, e.name`,
        [namespace, trigger],
      )
    : [];
  await transaction.rows("delete from entities where namespace = $1 and name = $2 and kind = 'trigger'", [
    namespace,
    trigger,
  ]);
  await announce(transaction, [...rules, { namespace, name: trigger }]);
}

function noTrigger({ namespace, trigger }: { readonly namespace: string; readonly trigger: string }): WeftError {
  return new WeftError("notFound", "TRIGGER_NOT_FOUND", `there is no trigger ${namespace}/${trigger}`);
}

function changed({ namespace, trigger }: { readonly namespace: string; readonly trigger: string }): WeftError {
  return new WeftError("conflict", "FEED_CHANGED", `the feed of ${namespace}/${trigger} was changed by somebody else`);
}
