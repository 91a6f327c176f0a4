// Announcements of changes over LISTEN and NOTIFY. They are sent inside the transaction that makes the change: nobody
// hears of what is rolled back, and who hears of it reads it.

import type { Client } from "pg";

import { Backoff } from "../base/backoff.js";
import { sleep, type Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { ChangeListener, EntityChange } from "../core/action/store.js";
import type { Database, Queryable } from "./database.js";
import { fromPostgres } from "./errors.js";

const CHANNEL = "weft_changes";
/** Postgres refuses payloads of 8000 bytes. What would be longer is announced as "anything may have changed". */
const PAYLOAD_BYTES_MAX = 7_900;
const ANYTHING = "";

/** A connection that has died without a word is noticed within this time. */
const PROBE_MS = 10_000;
const PROBE_ANSWER_MS = 5_000;
const RECONNECT = { firstMs: 50, maxMs: 5_000 };

export type Announced = Pick<EntityChange, "namespace" | "name"> & { readonly keyUuid?: string };

/** Announces changes when the transaction commits. */
export async function announce(transaction: Queryable, changes: readonly Announced[]): Promise<void> {
  const payloads = changes.map(({ namespace, name, keyUuid = "" }) => {
    const payload = JSON.stringify([namespace, name, keyUuid]);
    return Buffer.byteLength(payload) > PAYLOAD_BYTES_MAX ? ANYTHING : payload;
  });
  await transaction.rows(`select pg_notify('${CHANNEL}', payload) from unnest($1::text[]) as payload`, [payloads]);
}

export interface ChangeWatchDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly database: Database;
}

/** Listens on one connection of its own until the signal aborts; see EntityStore.watch. Never rejects. */
export async function watchChanges(
  deps: ChangeWatchDeps,
  listener: ChangeListener,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(RECONNECT, deps.random);
  while (!signal.aborted) {
    const client = deps.database.dedicatedClient();
    try {
      await listen(deps, client, listener, signal, () => {
        backoff.reset();
      });
    } catch (thrown) {
      deps.log.warn("changes cannot be watched; trying again", { error: fromPostgres(thrown, deps.database.where) });
    } finally {
      client.removeAllListeners();
      client.on("error", () => undefined); // it is given up: what else goes wrong with it concerns nobody
      client.end().catch(() => undefined); // not awaited: a dead peer does not answer
    }
    await sleep(deps.clock, backoff.nextMs(), signal).catch(() => undefined); // aborted: the loop ends
  }
}

/** Resolves when the signal aborts; throws when the connection breaks. */
async function listen(
  deps: ChangeWatchDeps,
  client: Client,
  listener: ChangeListener,
  signal: AbortSignal,
  listening: () => void,
): Promise<void> {
  const cancels: (() => void)[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => {
        resolve();
      });
      client.on("error", reject);
      client.on("end", () => {
        reject(new Error("connection terminated"));
      });
      client.on("notification", ({ payload = ANYTHING }) => {
        if (payload === ANYTHING) listener.reset();
        else listener.changed(changeOf(payload));
      });

      const probe = (): void => {
        const cancelLimit = deps.clock.after(PROBE_ANSWER_MS, () => {
          reject(new Error("timeout expired: the watching connection does not answer"));
        });
        cancels.push(cancelLimit);
        client.query("select 1").then(() => {
          cancelLimit();
          cancels.length = 0;
          cancels.push(deps.clock.after(PROBE_MS, probe));
        }, reject);
      };
      const begin = async (): Promise<void> => {
        await client.connect();
        await client.query(`listen ${CHANNEL}`);
        if (signal.aborted) return;
        // What changed before this moment was not heard, at the first time as after a break.
        listener.reset();
        listening();
        cancels.push(deps.clock.after(PROBE_MS, probe));
      };
      begin().catch(reject);
      if (signal.aborted) resolve();
    });
  } finally {
    for (const cancel of cancels) cancel();
  }
}

function changeOf(payload: string): EntityChange {
  const [namespace = "", name = "", keyUuid = ""] = JSON.parse(payload) as string[];
  return { namespace, name, keyUuid };
}
