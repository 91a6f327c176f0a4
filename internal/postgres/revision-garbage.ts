// Forgets revisions that were replaced long enough ago, and code that nothing refers to any more.

import type { Queryable } from "./database.js";

/** How long calls may still refer to a revision that was replaced. */
const KEPT_FOR = "1 hour";
/** How long a build is remembered that nobody asks for. */
const BUILDS_KEPT_FOR = "1 day";
/** Per round: a round is short and holds few locks. */
const ROUND = 100;

/**
 * One round, to be called in a transaction. Every write of an action runs one, so garbage does not outlive the next
 * write. @returns true when there may be more
 */
export async function collectRevisions(transaction: Queryable): Promise<boolean> {
  const forgotten = await transaction.rows<{ readonly code_digest: string; readonly source_digest: string | null }>(
    forgetRevisions,
    [ROUND],
  );
  const builds = await transaction.rows<{ readonly artifact_digest: string | null }>(forgetBuilds, [ROUND]);
  const digests = unique([
    ...forgotten.flatMap((row) => [row.code_digest, row.source_digest]),
    ...builds.map((row) => row.artifact_digest),
  ]);
  if (digests.length === 0) return builds.length === ROUND;
  // First the lock, then the look with a new snapshot: whoever stores the same code now either came first and is seen,
  // or waits for us and inserts it again.
  const locked = await transaction.rows<{ readonly digest: string }>(lockCode, [digests]);
  await transaction.rows(forgetCode, [locked.map((row) => row.digest)]);
  return forgotten.length === ROUND || builds.length === ROUND;
}

function unique(digests: readonly (string | null)[]): string[] {
  return [...new Set(digests.filter((digest) => digest !== null))].sort();
}

const forgetRevisions = `
  delete from revisions where revision_id in (
    select revision_id from revisions where retired_at < now() - interval '${KEPT_FOR}'
    order by retired_at limit $1 for update skip locked)
  returning code_digest, source_digest`;

const forgetBuilds = `
  delete from builds where digest in (
    select digest from builds where used_at < now() - interval '${BUILDS_KEPT_FOR}'
    order by used_at limit $1 for update skip locked)
  returning artifact_digest`;

const lockCode = `select digest from code where digest = any($1::text[]) order by digest for update skip locked`;

const forgetCode = `
  delete from code c where c.digest = any($1::text[])
    and not exists (select from revisions r where r.code_digest = c.digest)
    and not exists (select from revisions r where r.source_digest = c.digest)
    and not exists (select from builds b where b.artifact_digest = c.digest)`;
