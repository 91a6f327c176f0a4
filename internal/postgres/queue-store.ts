import type { ActivationId } from "../base/ids.js";
import type { TriggerActivation } from "../core/activation/types.js";
import type { Attempt, QueuedRequest, QueueStore, RecoveredRequest } from "../core/queue/store.js";
import {
  ACTIVATION_PARAMETERS,
  activationBytes,
  activationParameters,
  byId,
  idOf,
  idParameter,
  insertActivations,
} from "./activation-columns.js";
import { int8Array, storable, textArray, uuidArray } from "./binary-array.js";
import type { Database, Queryable, Statement } from "./database.js";
import { GroupCommit } from "./group-commit.js";

/** Rows of one batch. */
const BATCH_MAX = 500;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
const WAITING_BYTES_MAX = 128 * 1024 * 1024;
/** One batch is encoded while the other commits; more lanes make smaller batches, which cost more. */
const LANES = 2;

/** What one caller wants durable, all or nothing. */
interface Submission {
  readonly trigger: TriggerActivation | undefined;
  readonly requests: readonly QueuedRequest[];
  readonly ownerBootId: string;
}

interface Start {
  readonly ids: readonly ActivationId[];
  readonly attempt: Attempt;
}

export class PostgresQueueStore implements QueueStore {
  readonly #submissions: GroupCommit<Submission, undefined>;
  readonly #starts: GroupCommit<Start, readonly ActivationId[]>;

  constructor(private readonly database: Database) {
    this.#submissions = new GroupCommit({
      name: "submissions",
      commit: (batch) => this.#submit(batch),
      lanes: LANES,
      rowsMax: BATCH_MAX,
      bytesMax: BATCH_BYTES_MAX,
      rowsOf: ({ trigger, requests }) => requests.length + (trigger ? 1 : 0),
      bytesOf: ({ trigger, requests }) =>
        requests.reduce((sum, { paramsJson }) => sum + 500 + paramsJson.length, trigger ? activationBytes(trigger) : 0),
      waitingBytesMax: WAITING_BYTES_MAX,
    });
    this.#starts = new GroupCommit({
      name: "starts",
      commit: (batch) => this.#markStarted(batch),
      lanes: LANES,
      rowsMax: BATCH_MAX,
      bytesMax: BATCH_BYTES_MAX,
      rowsOf: ({ ids }) => ids.length,
      bytesOf: ({ ids }) => ids.length * 100,
      waitingBytesMax: WAITING_BYTES_MAX,
    });
  }

  async submit(requests: readonly QueuedRequest[], ownerBootId: string): Promise<void> {
    if (requests.length > 0) await this.#submissions.add({ trigger: undefined, requests, ownerBootId });
  }

  async fire(trigger: TriggerActivation, requests: readonly QueuedRequest[], ownerBootId: string): Promise<void> {
    await this.#submissions.add({ trigger, requests, ownerBootId });
  }

  async markStarted(ids: readonly ActivationId[], attempt: Attempt): Promise<readonly ActivationId[]> {
    return ids.length === 0 ? [] : this.#starts.add({ ids, attempt });
  }

  async markNotStarted(ids: readonly ActivationId[], ownerBootId: string): Promise<void> {
    if (ids.length > 0) await this.database.rows(forgetAttempts, [uuidArray(ids), ownerBootId]);
  }

  async recover(
    ownerBootId: string,
    liveBootIds: readonly string[],
    limit: number,
  ): Promise<readonly RecoveredRequest[]> {
    const owners = await this.database.rows<{ readonly owner: string }>(selectOwners);
    const dead = owners.map(({ owner }) => owner).filter((o) => o !== ownerBootId && !liveBootIds.includes(o));
    if (dead.length === 0) return [];
    const rows = await this.database.rows<QueueRow>(takeOver, [ownerBootId, dead, limit]);
    return rows.map(recoveredOf).sort((a, b) => byId(a.request, b.request));
  }

  async advance(
    run: { readonly id: ActivationId; readonly run: string; readonly ownerBootId: string },
    component: QueuedRequest | undefined,
    componentOwnerBootId: string,
  ): Promise<boolean> {
    const moved = [idParameter(run.id), storable(run.run), run.ownerBootId];
    const rows = component
      ? await this.database.rows(advanceRun, [
          ...moved,
          ...queuedParameters([{ request: component, owner: componentOwnerBootId }]),
        ])
      : await this.database.rows(noteRun, moved);
    return rows.length > 0;
  }

  async unsettled(ids: readonly ActivationId[]): Promise<readonly ActivationId[]> {
    if (ids.length === 0) return [];
    const rows = await this.database.rows<{ readonly id: string }>("select id from queue where id = any($1::uuid[])", [
      uuidArray(ids),
    ]);
    return rows.map(({ id }) => idOf(id));
  }

  async depth(): Promise<number> {
    const [row] = await this.database.rows<{ readonly total: number }>("select count(*) as total from queue");
    return row?.total ?? 0;
  }

  async #submit(batch: readonly Submission[]): Promise<undefined[]> {
    const triggers = new Map<ActivationId, TriggerActivation>();
    const rows: {
      readonly id: ActivationId;
      readonly request: QueuedRequest;
      readonly owner: string;
      readonly trigger: ActivationId | undefined;
    }[] = [];
    for (const { trigger, requests, ownerBootId } of batch) {
      if (trigger) {
        if (triggers.has(trigger.id)) continue; // the same firing again, with other ids for its requests
        triggers.set(trigger.id, trigger);
      }
      for (const request of requests) rows.push({ id: request.id, request, owner: ownerBootId, trigger: trigger?.id });
    }
    rows.sort(byId);

    const queued = queuedParameters(rows);
    if (triggers.size === 0) await this.database.rows(submitRequests, queued);
    else {
      const records = activationParameters([...triggers.values()].sort(byId));
      await this.database.rows(fireTriggers, [...records, ...queued, uuidArray(rows.map((row) => row.trigger))]);
    }
    return batch.map(() => undefined);
  }

  async #markStarted(batch: readonly Start[]): Promise<readonly (readonly ActivationId[])[]> {
    const attempts = new Map<ActivationId, Attempt>();
    for (const { ids, attempt } of batch) for (const id of ids) attempts.set(id, attempt);
    const rows = [...attempts].map(([id, attempt]) => ({ id, attempt })).sort(byId);
    const started = await this.database.rows<{ readonly id: string }>(noteAttempts, [
      uuidArray(rows.map(({ id }) => id)),
      textArray(rows.map(({ attempt }) => attempt.invokerId)),
      textArray(rows.map(({ attempt }) => attempt.invokerBootId)),
      textArray(rows.map(({ attempt }) => attempt.ownerBootId)),
    ]);
    const ids = new Set(started.map((row) => idOf(row.id)));
    return batch.map((start) => start.ids.filter((id) => ids.has(id) && attempts.get(id) === start.attempt));
  }
}

/** Stores a trigger's record and the requests of its rules, as QueueStore.fire, within a transaction. */
export async function insertFiring(
  transaction: Queryable,
  record: TriggerActivation,
  requests: readonly QueuedRequest[],
  ownerBootId: string,
): Promise<void> {
  const rows = requests.map((request) => ({ request, owner: ownerBootId }));
  await transaction.rows(fireTriggers, [
    ...activationParameters([record]),
    ...queuedParameters(rows),
    uuidArray(rows.map(() => record.id)),
  ]);
}

function queuedParameters(rows: readonly { readonly request: QueuedRequest; readonly owner: string }[]): Buffer[] {
  const text = (read: (request: QueuedRequest) => string): Buffer =>
    textArray(rows.map(({ request }) => storable(read(request))));
  return [
    uuidArray(rows.map(({ request }) => request.id)),
    int8Array(rows.map(({ request }) => request.acceptedWallMs)),
    textArray(rows.map(({ owner }) => owner)),
    text((r) => r.namespace),
    text((r) => r.name),
    text((r) => r.callerNamespace),
    text((r) => r.subject),
    text((r) => r.transactionId),
    text((r) => r.keyUuid),
    text((r) => r.traceparent),
    text((r) => r.paramsJson),
    uuidArray(rows.map(({ request }) => request.cause)),
    text((r) => r.run ?? ""),
  ];
}

interface QueueRow {
  readonly id: string;
  readonly accepted_ms: number;
  readonly invoker_id: string | null;
  readonly invoker_boot_id: string | null;
  readonly attempt_owner: string | null;
  readonly namespace: string;
  readonly name: string;
  readonly caller_namespace: string;
  readonly subject: string;
  readonly transaction_id: string;
  readonly api_key: string;
  readonly traceparent: string;
  readonly params: string;
  readonly cause: string | null;
  readonly run: string;
}

/** Rows of former versions have whole keys, "uuid:key". */
function publicPart(apiKey: string): string {
  return apiKey.split(":", 1)[0] ?? "";
}

function recoveredOf(row: QueueRow): RecoveredRequest {
  return {
    request: {
      id: idOf(row.id),
      namespace: row.namespace,
      name: row.name,
      paramsJson: row.params,
      callerNamespace: row.caller_namespace,
      subject: row.subject,
      transactionId: row.transaction_id,
      keyUuid: publicPart(row.api_key),
      traceparent: row.traceparent,
      acceptedWallMs: row.accepted_ms,
      ...(row.cause === null ? {} : { cause: idOf(row.cause) }),
      ...(row.run === "" ? {} : { run: row.run }),
    },
    attempt:
      row.invoker_id === null
        ? undefined
        : {
            invokerId: row.invoker_id,
            invokerBootId: row.invoker_boot_id ?? "",
            ownerBootId: row.attempt_owner ?? "",
          },
  };
}

const inserted = `insert into queue (id, accepted_ms, owner, namespace, name, caller_namespace, subject, transaction_id,
    api_key, traceparent, params, cause, run)`;

const requestTypes = ["uuid", "int8", ...Array.from({ length: 9 }, () => "text"), "uuid", "text"];
const requestParameters = (first: number): string =>
  requestTypes.map((type, i) => `$${first + i}::${type}[]`).join(", ");
const requestColumns = `r.id, r.accepted_ms, r.owner, r.namespace, r.name, r.caller_namespace, r.subject,
    r.transaction_id, r.api_key, r.traceparent, r.params, r.cause, r.run`;
const requestAlias = requestColumns.replaceAll("r.", "");

// A request that is repeated may have been settled meanwhile: then its record is there and it must not run again. (While
// it is in the queue its owner has it in hand and knows of the repetition.)
const notSettled = `not exists (select from activations a where a.id = r.id)`;

const submitRequests: Statement = {
  name: "submit-requests",
  text: `
    ${inserted}
    select ${requestColumns} from unnest(${requestParameters(1)}) as r (${requestAlias})
    where ${notSettled}
    on conflict (id) do nothing`,
};

// The requests of a firing are new ids each time it is repeated: only those of the firing that was recorded count.
const firstRequest = ACTIVATION_PARAMETERS + 1;
const fireTriggers: Statement = {
  name: "fire-triggers",
  text: `
    with ${insertActivations(1)}
    ${inserted}
    select ${requestColumns}
    from unnest(${requestParameters(firstRequest)}, $${firstRequest + requestTypes.length}::uuid[])
      as r (${requestAlias}, trigger_id)
    where (r.trigger_id is null or r.trigger_id in (select id from recorded)) and ${notSettled}
    on conflict (id) do nothing`,
};

const noteRun: Statement = {
  name: "note-run",
  text: `update queue set run = $2 where id = $1::uuid and owner = $3 returning id`,
};

// The component follows from the run: it is queued only when the run is still its owner's.
const advanceRun: Statement = {
  name: "advance-run",
  text: `
    with moved as (update queue set run = $2 where id = $1::uuid and owner = $3 returning id),
    queued as (
      ${inserted}
      select ${requestColumns} from unnest(${requestParameters(4)}) as r (${requestAlias})
      where exists (select from moved) and ${notSettled}
      on conflict (id) do nothing)
    select id from moved`,
};

const noteAttempts: Statement = {
  name: "note-attempts",
  text: `
    update queue q
    set invoker_id = s.invoker_id, invoker_boot_id = s.invoker_boot_id, attempt_owner = s.owner
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as s (id, invoker_id, invoker_boot_id, owner)
    where q.id = s.id and q.owner = s.owner
    returning q.id`,
};

const forgetAttempts = `
  update queue set invoker_id = null, invoker_boot_id = null, attempt_owner = null
  where id = any($1::uuid[]) and owner = $2`;

// A step per owner along the index, however many requests each has.
const selectOwners = `
  with recursive owners as (
    (select owner from queue order by owner limit 1)
    union all
    select (select q.owner from queue q where q.owner > o.owner order by q.owner limit 1) from owners o
    where o.owner is not null)
  select owner from owners where owner is not null`;

const takeOver = `
  update queue set owner = $1
  where id in (select id from queue where owner = any($2::text[]) order by id limit $3 for update skip locked)
  returning id, accepted_ms, invoker_id, invoker_boot_id, attempt_owner, namespace, name, caller_namespace, subject,
    transaction_id, api_key, traceparent, params, cause, run`;
