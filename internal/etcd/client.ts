// etcd3 with its judgement taken out: raw calls with deadlines, and streams that only say "something came" and "over".
// Its retries, circuit breakers, lease objects and watchers are not used: they hide errors, resume at the wrong revision
// and report a lost lease one TTL late. What they did is decided in keep-alive.ts and member-feed.ts.

import {
  Etcd3,
  EtcdLeaseInvalidError,
  type ICompare,
  type IKeyValue,
  type ILeaseKeepAliveResponse,
  type IOptions,
  type IRequestOp,
  type IWatchResponse,
} from "etcd3";

import type { Clock } from "../base/clock.js";
import { WeftError } from "../base/errors.js";

export interface EtcdClientOptions {
  /** host:port of each member of the etcd cluster. */
  readonly endpoints: readonly string[];
  readonly clock: Clock;
}

/** A key as it is stored. */
export interface Stored {
  readonly key: string;
  readonly value: Buffer;
  readonly modRevision: number;
  /** "0" for none. */
  readonly leaseId: string;
}

export interface Listing {
  readonly all: readonly Stored[];
  /** Of the store when it answered. */
  readonly revision: number;
}

/** Changes with every change of a range: a key that goes changes the count, every other change the newest revision. */
export interface Fingerprint {
  readonly count: number;
  readonly newestRevision: number;
}

/** A stream of etcd's, watch or keep-alive. */
export interface EtcdStream<Request> {
  write(request: Request): void;
  cancel(): void;
}

/** A unary call that takes longer will not be answered: etcd elects a leader within about two seconds. */
const CALL_TIMEOUT_MS = 3_000;

/** Calls go straight through: retrying is decided here and not in the library. */
const straightThrough = {
  // Asynchronous, so that what a call throws at once is a rejection: the library counts on it.
  execute: async (call: (context: { signal: AbortSignal }) => unknown) =>
    call({ signal: new AbortController().signal }),
};

export class EtcdClient {
  readonly #etcd: Etcd3;

  constructor(private readonly options: EtcdClientOptions) {
    const policy = straightThrough as unknown as NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;
    this.#etcd = new Etcd3({
      hosts: options.endpoints.map((endpoint) => endpoint.replace(/^http:\/\//, "")),
      defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: options.clock.wallMs() + CALL_TIMEOUT_MS }),
      faultHandling: { global: policy, host: () => policy },
      grpcOptions: {
        // A silent partition is noticed within five seconds instead of minutes.
        "grpc.keepalive_time_ms": 3_000,
        "grpc.keepalive_timeout_ms": 2_000,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1_000,
      },
    });
  }

  list(prefix: string): Promise<Listing> {
    return this.#call(async () => {
      const response = await this.#etcd.kv.range(rangeOf(prefix));
      return { all: response.kvs.map(storedOf), revision: Number(response.header.revision) };
    });
  }

  get(key: string): Promise<Stored | undefined> {
    return this.#call(async () => {
      const { kvs } = await this.#etcd.kv.range({ key: Buffer.from(key) });
      return kvs[0] && storedOf(kvs[0]);
    });
  }

  fingerprint(prefix: string): Promise<Fingerprint> {
    return this.#call(async () => {
      const { kvs, count } = await this.#etcd.kv.range({
        ...rangeOf(prefix),
        limit: 1,
        keys_only: true,
        sort_order: "Descend",
        sort_target: "Mod",
      });
      return { count: Number(count), newestRevision: Number(kvs[0]?.mod_revision ?? 0) };
    });
  }

  /** @returns the revision of the change, or undefined when a condition did not hold */
  async transact(compare: readonly ICompare[], success: readonly IRequestOp[]): Promise<number | undefined> {
    return this.#call(async () => {
      const response = await this.#etcd.kv.txn({ compare: [...compare], success: [...success] });
      return response.succeeded ? Number(response.header.revision) : undefined;
    });
  }

  /** @param ttlMs rounded up to seconds; etcd may give more */
  async grant(ttlMs: number): Promise<{ readonly leaseId: string; readonly ttlMs: number }> {
    return this.#call(async () => {
      const { ID, TTL } = await this.#etcd.leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1000) });
      return { leaseId: ID, ttlMs: Number(TTL) * 1000 };
    });
  }

  /** Ends a lease and deletes its keys; one that is over already is fine. */
  async revoke(leaseId: string): Promise<void> {
    await this.#call(async () => {
      try {
        await this.#etcd.leaseClient.leaseRevoke({ ID: leaseId });
      } catch (thrown) {
        if (!(thrown instanceof EtcdLeaseInvalidError)) throw thrown;
      }
    });
  }

  /**
   * Opens a keep-alive stream. `onAnswer` gets the TTL left in milliseconds, 0 when the lease is over; answers come in
   * the order of the questions. `onOver` comes once, however it ends, unless it was cancelled.
   */
  keepAliveStream(onAnswer: (ttlMs: number) => void, onOver: (why: WeftError) => void): EtcdStream<string> {
    return this.#stream(
      () => this.#etcd.leaseClient.leaseKeepAlive(),
      (leaseId: string) => ({ ID: leaseId }),
      (answer: ILeaseKeepAliveResponse) => {
        onAnswer(Math.max(0, Number(answer.TTL)) * 1000);
      },
      onOver,
    );
  }

  /** Opens a watch of a prefix. `onHint` comes when it stands and whenever something changed. */
  watchStream(prefix: string, onHint: () => void, onOver: (why: WeftError) => void): EtcdStream<never> {
    const stream = this.#stream(
      () => this.#etcd.watchClient.watch(),
      (wanted: string) => ({ create_request: rangeOf(wanted) }),
      (answer: IWatchResponse) => {
        if (answer.canceled)
          over(new WeftError("unavailable", "WATCH_CANCELED", `etcd ended a watch: ${answer.cancel_reason}`));
        else onHint();
      },
      onOver,
    );
    const over = (why: WeftError): void => {
      stream.cancel();
      onOver(why);
    };
    stream.write(prefix);
    return stream;
  }

  close(): void {
    this.#etcd.close();
  }

  #stream<Request, Wire, Answer>(
    open: () => Promise<{
      write(item: Wire): void;
      cancel(): void;
      on(event: "data", act: (answer: Answer) => void): unknown;
      on(event: "end", act: () => void): unknown;
      on(event: "error", act: (error: Error) => void): unknown;
    }>,
    toWire: (request: Request) => Wire,
    onAnswer: (answer: Answer) => void,
    onOver: (why: WeftError) => void,
  ): EtcdStream<Request> {
    let over = false;
    let opened: { write(item: Wire): void; cancel(): void } | undefined;
    const early: Wire[] = [];
    const end = (why: unknown): void => {
      if (over) return;
      over = true;
      onOver(this.#error(why));
    };
    open().then(
      (stream) => {
        opened = stream;
        stream.on("data", (answer) => {
          if (!over) onAnswer(answer);
        });
        stream.on("error", end);
        stream.on("end", () => {
          end(new Error("etcd ended the stream"));
        });
        if (over) stream.cancel();
        else for (const item of early.splice(0)) stream.write(item);
      },
      (thrown: unknown) => {
        end(thrown);
      },
    );
    return {
      write(request) {
        if (over) return;
        if (opened) opened.write(toWire(request));
        else early.push(toWire(request));
      },
      cancel() {
        over = true;
        opened?.cancel();
      },
    };
  }

  async #call<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (thrown) {
      throw this.#error(thrown);
    }
  }

  /** What went wrong, in one line that names the endpoints; a lost lease by its own reason. */
  #error(thrown: unknown): WeftError {
    if (thrown instanceof WeftError) return thrown;
    if (thrown instanceof EtcdLeaseInvalidError) {
      return new WeftError("unavailable", "LEASE_LOST", "the lease is lost; join again", { cause: thrown });
    }
    const said = thrown instanceof Error ? thrown.message.split("\n")[0] : String(thrown);
    return new WeftError(
      "unavailable",
      "ETCD_UNREACHABLE",
      `etcd does not answer at ${this.options.endpoints.join(", ")} (${said})`,
      {
        cause: thrown,
        fix: "deploy/local/install starts one on this machine; the setting etcd.endpoints says where it is",
      },
    );
  }
}

function rangeOf(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const key = Buffer.from(prefix);
  const end = Buffer.from(prefix);
  // Prefixes end in "/", so that the last byte can always be raised.
  end.writeUInt8((end.at(-1) ?? 0) + 1, end.length - 1);
  return { key, range_end: end };
}

function storedOf(kv: IKeyValue): Stored {
  return {
    key: kv.key.toString("utf8"),
    value: kv.value,
    modRevision: Number(kv.mod_revision),
    leaseId: kv.lease,
  };
}
