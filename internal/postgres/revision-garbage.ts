// Forgets revisions that were replaced long enough ago, and code that nothing refers to any more.

import type { Queryable } from "./database.js";

/** How long calls may still refer to a revision that was replaced. */
const KEPT_FOR = "1 hour";
/** Per round: a round is short and holds few locks. */
const ROUND = 100;

/**
 * One round, to be called in a transaction. Every write of an action runs one, so garbage does not outlive the next
 * write. @returns true when there may be more
 */
export async function collectRevisions(transaction: Queryable): Promise<boolean> {
  const forgotten = await transaction.rows<{ readonly code_digest: string }>(forgetRevisions, [ROUND]);
  if (forgotten.length === 0) return false;
  const digests = [...new Set(forgotten.map((row) => row.code_digest))].sort();
  // First the lock, then the look with a new snapshot: whoever stores the same code now either came first and is seen,
  // or waits for us and inserts it again.
  const locked = await transaction.rows<{ readonly digest: string }>(lockCode, [digests]);
  await transaction.rows(forgetCode, [locked.map((row) => row.digest)]);
  return forgotten.length === ROUND;
}

const forgetRevisions = `
  delete from revisions where revision_id in (
    select revision_id from revisions where retired_at < now() - interval '${KEPT_FOR}'
    order by retired_at limit $1 for update skip locked)
  returning code_digest`;

const lockCode = `select digest from code where digest = any($1::text[]) order by digest for update skip locked`;

const forgetCode = `
  delete from code c where c.digest = any($1::text[])
    and not exists (select from revisions r where r.code_digest = c.digest)`;
