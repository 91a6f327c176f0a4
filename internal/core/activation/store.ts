import type { ActivationId } from "../../base/ids.js";
import type { Listed } from "../action/page.js";
import type { ActionActivation, Activation } from "./types.js";

/** Which records, latest start first, ties by id descending. */
export interface ActivationQuery {
  readonly namespace: string;
  /**
   * "name" (default package, or trigger) or "package/name"; undefined for all. What was invoked through a binding has the
   * binding's name in place of the package's.
   */
  readonly name?: string | undefined;
  /** Both inclusive, compared with the start. */
  readonly sinceWallMs?: number | undefined;
  readonly uptoWallMs?: number | undefined;
  /** False leaves results and logs empty. */
  readonly full: boolean;
  /** Most records, 1 to 200. */
  readonly limit: number;
  /** The record with which results and logs have so many bytes is the last one. Only of what is full. */
  readonly bytesMax: number;
  readonly skip: number;
  readonly after?: { readonly startWallMs: number; readonly id: ActivationId } | undefined;
}

/** A record to keep; a durable request is settled by the record of its id in the same transaction. */
export interface RecordedActivation {
  readonly activation: ActionActivation;
  /** True when a durable request waits to be settled by it. */
  readonly async: boolean;
  /** True: it only settles. */
  readonly unstored?: boolean | undefined;
}

/**
 * Activation records. Implemented by internal/postgres (time partitions, logs apart); passes activationStoreSuite.
 * Exactly one record per id: the first one stays.
 */
export interface ActivationStore {
  /** All or nothing; at most 500. May be repeated. */
  record(batch: readonly RecordedActivation[]): Promise<void>;
  /** @throws notFound, also for another namespace's */
  get(namespace: string, id: ActivationId): Promise<Activation>;
  list(query: ActivationQuery): Promise<Listed<Activation>>;
  /** How many match, without limit and skip. */
  count(query: ActivationQuery): Promise<number>;
  /** Makes the partitions of the days to come and drops those older than `retentionDays`. May be repeated. */
  maintain(retentionDays: number): Promise<void>;
}
