// How entities are written, whatever their kind.

import { WeftError, toWeftError } from "../base/errors.js";
import type { Stored } from "../core/action/types.js";

/** Tries of a write without an etag when others write at the same time. */
const TRIES_MAX = 5;

/** Creates; a name that an entity of another kind has is taken too. @throws alreadyExists */
export async function created<T>(create: () => Promise<T>): Promise<T> {
  try {
    return await create();
  } catch (thrown) {
    const error = toWeftError(thrown);
    if (error.reason !== "WRONG_COLLECTION") throw thrown;
    throw new WeftError("alreadyExists", error.reason, error.message, { cause: thrown });
  }
}

/** Makes a write again that somebody else's came before. @throws conflict when that happened too often */
export async function retried<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await write();
    } catch (thrown) {
      if (toWeftError(thrown).kind !== "conflict" || tries >= TRIES_MAX) throw thrown;
    }
  }
}

export interface Update<T extends Stored> {
  /** Revision that the writer read; undefined for whatever it is. */
  readonly expected: number | undefined;
  readonly read: () => Promise<T>;
  /** @throws conflict when it is not at the revision any more */
  readonly write: (old: T, revision: number) => Promise<T>;
  /** What makes it when there is none; undefined: then there must be one. */
  readonly create: (() => Promise<T>) | undefined;
}

/**
 * Reads, changes and writes. Without an expected revision, a write that somebody else's came before is made again over
 * theirs.
 * @throws notFound, conflict
 */
export async function updated<T extends Stored>(update: Update<T>): Promise<T> {
  const { expected, create } = update;
  for (let tries = 1; ; tries++) {
    try {
      return await once(update, create);
    } catch (thrown) {
      const { kind, reason } = toWeftError(thrown);
      const raced = kind === "conflict" || (kind === "alreadyExists" && reason !== "WRONG_COLLECTION");
      if (!raced || expected !== undefined || tries >= TRIES_MAX) throw thrown;
    }
  }
}

async function once<T extends Stored>(update: Update<T>, create: (() => Promise<T>) | undefined): Promise<T> {
  const { expected } = update;
  let old: T;
  try {
    old = await update.read();
  } catch (thrown) {
    // What has an etag was there once: it is not made again.
    if (!create || expected !== undefined || toWeftError(thrown).kind !== "notFound") throw thrown;
    return created(create);
  }
  if (expected !== undefined && expected !== old.revision) {
    throw new WeftError("conflict", "STALE_ETAG", `${old.name} was changed meanwhile: its etag is ${old.revision}`);
  }
  return update.write(old, old.revision);
}
