import type { KeyValue } from "../core/action/types.js";
import { SEALED_MARK } from "../core/sealing/sealed-queue.js";
import type { KnownKey, SealStore, StoredParameters } from "../core/sealing/store.js";
import { only, type Database } from "./database.js";
import { keyValuesOf, keyValuesText } from "./entity-sql.js";

interface KnownKeyRow {
  readonly id: string;
  readonly check_bytes: Uint8Array;
}

interface ListRow {
  readonly position: string;
  readonly namespace: string;
  readonly list: string;
}

export class PostgresSealStore implements SealStore {
  constructor(private readonly database: Database) {}

  async knownKeys(): Promise<readonly KnownKey[]> {
    const rows = await this.database.rows<KnownKeyRow & Record<string, unknown>>(
      "select id, check_bytes from parameter_keys order by id",
    );
    return rows.map(keyOf);
  }

  async rememberKey({ id, check }: KnownKey): Promise<KnownKey> {
    await this.database.rows(
      "insert into parameter_keys (id, check_bytes) values ($1, $2) on conflict (id) do nothing",
      [id, Buffer.from(check)],
    );
    const rows = await this.database.rows<KnownKeyRow & Record<string, unknown>>(
      "select id, check_bytes from parameter_keys where id = $1",
      [id],
    );
    return keyOf(only(rows));
  }

  async forgetKey(id: string): Promise<void> {
    await this.database.rows("delete from parameter_keys where id = $1", [id]);
  }

  async keyInUse(id: string): Promise<boolean> {
    // The end of a sealed entry. Inside of texts, quotes have a backslash before them.
    if (await this.#holds("strpos(%, $1) > 0", [`,${JSON.stringify(id)}]`])) return true;
    const { found } = only(
      await this.database.rows<{ readonly found: boolean }>(
        "select exists (select from queue where starts_with(params, $1)) as found",
        [`${SEALED_MARK}${id}:`],
      ),
    );
    return found;
  }

  async plainStored(): Promise<boolean> {
    // The end of an entry that is not sealed.
    return this.#holds("(strpos(%, $1) > 0 or strpos(%, $2) > 0)", ['",true]', '",false]']);
  }

  async listParameters(
    table: StoredParameters["table"],
    limit: number,
    after: string | undefined,
  ): Promise<readonly StoredParameters[]> {
    const rows = await this.database.rows<ListRow & Record<string, unknown>>(LISTS[table].select, [after ?? "", limit]);
    return rows.map(({ position, namespace, list }) => ({ table, position, namespace, parameters: keyValuesOf(list) }));
  }

  async replaceParameters(was: StoredParameters, parameters: readonly KeyValue[]): Promise<boolean> {
    const replaced = await this.database.rows(LISTS[was.table].replace, [
      was.position,
      keyValuesText(was.parameters),
      keyValuesText(parameters),
    ]);
    return replaced.length > 0;
  }

  async #holds(condition: string, values: readonly string[]): Promise<boolean> {
    const { found } = only(
      await this.database.rows<{ readonly found: boolean }>(
        `select exists (select from entities where ${condition.replaceAll("%", "parameters")})
           or exists (select from revisions where ${condition.replaceAll("%", "init_parameters")}) as found`,
        values,
      ),
    );
    return found;
  }
}

function keyOf(row: KnownKeyRow): KnownKey {
  return { id: row.id, check: new Uint8Array(row.check_bytes) };
}

// Names have no line feed, so that "namespace<LF>name" is one text for one row.
const LISTS: Readonly<Record<StoredParameters["table"], { readonly select: string; readonly replace: string }>> = {
  entities: {
    select: `
      select namespace || e'\\n' || name as position, namespace, parameters as list from entities
      where (namespace, name) > (split_part($1, e'\\n', 1) collate "C", split_part($1, e'\\n', 2) collate "C")
        and parameters <> '[]'
      order by namespace, name limit $2`,
    replace: `
      update entities set parameters = $3
      where namespace = split_part($1, e'\\n', 1) collate "C" and name = split_part($1, e'\\n', 2) collate "C"
        and parameters = $2
      returning name`,
  },
  revisions: {
    select: `
      select revision_id as position, split_part(action_key, '/', 1) as namespace, init_parameters as list
      from revisions where revision_id > $1 and init_parameters <> '[]' order by revision_id limit $2`,
    replace:
      "update revisions set init_parameters = $3 where revision_id = $1 and init_parameters = $2 returning revision_id",
  },
};
