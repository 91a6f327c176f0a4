// A pool of connections to one database, with the habits that every statement here relies on: bounded waits, one retry
// policy, errors as kinds.

import { Client, Pool, types, type ClientConfig, type PoolClient, type QueryResultRow } from "pg";

import { WeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import { CopyIn } from "./copy.js";
import { fromPostgres, isSerializationFailure, leavesConnection } from "./errors.js";

export interface DatabaseOptions {
  /** Shown in pg_stat_activity: "weft-controller". */
  readonly applicationName: string;
  /** Most connections. Default 10: two of them saturate the batch lanes, the rest is for reads and entity writes. */
  readonly connectionsMax?: number;
  /** Longest wait for a connection. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** Longest run of one statement; Postgres ends it then. Default 15 000. */
  readonly statementTimeoutMs?: number;
}

/** A statement that is parsed once per connection; the name is unique in the program. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** null stands for SQL's null; a Buffer is sent in the binary format. */
export type Value = string | number | boolean | Uint8Array | readonly string[] | null | undefined;

/** Where statements run: the pool, or one transaction. */
export interface Queryable {
  rows<Row extends QueryResultRow>(statement: string | Statement, values?: readonly Value[]): Promise<readonly Row[]>;
}

const CONNECTIONS_MAX = 10;
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 15_000;
/** Beyond the server's own limit, for a server that has gone silent. */
const ANSWER_MARGIN_MS = 5_000;
const KEEP_ALIVE_AFTER_MS = 10_000;
const IDLE_CONNECTION_MS = 60_000;
const IDLE_IN_TRANSACTION_MS = 30_000;
/** A deadlock's loser wins the second time; a third is for bad luck. */
const TRIES = 3;

/**
 * Compiling a plan costs more than any of these statements; partitions make Postgres think otherwise. Planning one costs
 * as much as running it, and the best plan does not depend on the parameters: where it would, as with the length of a
 * page, the number is written into the text.
 */
const SETTINGS = "-c jit=off -c plan_cache_mode=force_generic_plan";

const INT8_OID: number = types.builtins.INT8;

/** bigint columns hold milliseconds, revisions and counts, all far below 2^53. */
const parsers = {
  getTypeParser: (oid: number): ((text: string) => unknown) =>
    oid === INT8_OID ? Number : (types.getTypeParser(oid, "text") as (text: string) => unknown),
};

export class Database implements Queryable {
  /** Host and port or socket, and the database; without the password. */
  readonly where: string;
  readonly #pool: Pool;

  constructor(
    private readonly deps: { readonly log: Log },
    readonly url: string,
    private readonly options: DatabaseOptions,
  ) {
    this.where = describeUrl(url);
    this.#pool = new Pool({
      ...this.#clientConfig(),
      max: options.connectionsMax ?? CONNECTIONS_MAX,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
      allowExitOnIdle: true,
    });
    // Without listeners the process would end. A connection in use says so to its statement, too.
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
    this.#pool.on("error", (error) => {
      this.deps.log.debug("an idle connection to Postgres was lost", { error: fromPostgres(error, this.where) });
    });
  }

  /** Runs one statement in a transaction of its own. */
  async rows<Row extends QueryResultRow>(
    statement: string | Statement,
    values: readonly Value[] = [],
  ): Promise<readonly Row[]> {
    return this.#withClient((client) => run<Row>(client, statement, values));
  }

  /** Copies rows in a transaction of its own. @param text "copy ... from stdin (format binary)" */
  async copy(text: string, chunks: readonly Buffer[]): Promise<void> {
    await this.#withClient(
      (client) =>
        new Promise<void>((resolve, reject) => {
          client.query(
            new CopyIn(text, chunks, (error) => {
              // pg gives null when there is none, whatever its types say.
              if (error) reject(error);
              else resolve();
            }),
          );
        }),
    );
  }

  /**
   * Runs `act` in one transaction, which is committed when it resolves and rolled back when it throws. It may run more
   * than once: it touches nothing but the database.
   */
  async transaction<T>(act: (transaction: Queryable) => Promise<T>): Promise<T> {
    return this.#withClient(async (client) => {
      await client.query("begin");
      try {
        const value = await act({ rows: (statement, values = []) => run(client, statement, values) });
        await client.query("commit");
        return value;
      } catch (thrown) {
        // A connection that cannot roll back is broken; withClient sees that by what is thrown and drops it.
        await client.query("rollback").catch((error: unknown) => {
          throw new WeftError("unavailable", "STORE_UNAVAILABLE", `a transaction at ${this.where} broke off`, {
            cause: new AggregateError([thrown, error]),
          });
        });
        throw thrown;
      }
    });
  }

  /** A connection outside the pool, not yet connected, for LISTEN. The caller ends it. */
  dedicatedClient(): Client {
    return new Client(this.#clientConfig());
  }

  /** Waits for what is running. */
  close(): Promise<void> {
    return this.#pool.end();
  }

  async #withClient<T>(act: (client: PoolClient) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      let client: PoolClient;
      try {
        client = await this.#pool.connect();
      } catch (thrown) {
        throw fromPostgres(thrown, this.where);
      }
      let broken = true;
      try {
        const value = await act(client);
        broken = false;
        return value;
      } catch (thrown) {
        broken = !leavesConnection(thrown);
        if (isSerializationFailure(thrown) && tried < TRIES) continue;
        throw fromPostgres(thrown, this.where);
      } finally {
        client.release(broken);
      }
    }
  }

  #clientConfig(): ClientConfig {
    const statementTimeoutMs = this.options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
    return {
      connectionString: this.url,
      application_name: this.options.applicationName,
      connectionTimeoutMillis: this.options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + ANSWER_MARGIN_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
      options: SETTINGS,
      types: parsers,
    };
  }
}

async function run<Row extends QueryResultRow>(
  client: PoolClient,
  statement: string | Statement,
  values: readonly Value[],
): Promise<readonly Row[]> {
  const config =
    typeof statement === "string"
      ? { text: statement, values: [...values] }
      : { name: statement.name, text: statement.text, values: [...values] };
  return (await client.query<Row>(config)).rows;
}

/** The row of a statement that returns exactly one. */
export function only<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined || rows.length > 1) {
    throw new WeftError("internal", "INVARIANT", `invariant broken: one row expected, not ${rows.length}`);
  }
  return row;
}

function describeUrl(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new WeftError("invalidArgument", "BAD_STORE_URL", "the URL of Postgres cannot be read", {
      cause: (cause as Error).message.includes("@") ? undefined : cause,
      fix: "write it as postgres://user:password@host:5432/database",
    });
  }
  if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:") {
    throw new WeftError("invalidArgument", "BAD_STORE_URL", `the URL of Postgres begins with ${parsed.protocol}//`, {
      fix: "write it as postgres://user:password@host:5432/database",
    });
  }
  const host = parsed.searchParams.get("host") ?? parsed.hostname;
  return `${host}${host.startsWith("/") ? "" : `:${parsed.port || "5432"}`}${parsed.pathname}`;
}
