import type { Queryable } from "./database.js";

/** Stores code once, and keeps it from being collected until the transaction ends. */
export async function storeCode(transaction: Queryable, digest: string, code: Uint8Array): Promise<void> {
  const [present] = await transaction.rows("select from code where digest = $1 for key share", [digest]);
  if (present) return;
  await transaction.rows(insertCode, [digest, Buffer.from(code.buffer, code.byteOffset, code.byteLength)]);
}

// The row is written again when it is there already, which locks it against the collection of garbage.
const insertCode = `
  insert into code (digest, bytes) values ($1, $2)
  on conflict (digest) do update set digest = excluded.digest`;
