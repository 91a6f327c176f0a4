import { WeftError } from "../../../base/errors.js";

/** Tries at reading and deleting the same revision; losing that often in a row means a writer in a loop. */
const TRIES = 4;

/**
 * Deletes an entity and returns what it was: OpenWhisk answers a DELETE with the entity. The native API deletes by etag,
 * so what is returned is what was deleted; when somebody writes in between, both are done again.
 */
export async function removeReturning<T extends { readonly etag: string }>(
  read: () => Promise<T>,
  remove: (etag: string) => Promise<unknown>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const entity = await read();
    try {
      await remove(entity.etag);
      return entity;
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.kind !== "conflict" || tries === TRIES) throw thrown;
    }
  }
}
