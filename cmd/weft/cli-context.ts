// What a command is given: where it says things, and Weft itself, reached when it is first asked for.

import { WeftError } from "../../internal/base/errors.js";
import type { GrpcNetwork, UnaryMethod } from "../../internal/rpc/channel.js";
import { findConnection, type Connection, type ConnectionFlags } from "./connection.js";
import type { Io } from "./io.js";
import { didYouMean } from "./names.js";
import type { Screen } from "./output.js";
import { tlsProblem } from "./trust.js";

/** Longest wait for an answer that is not that of an invocation. */
const CALL_MS = 30_000;

export interface CallOptions {
  /** What is waited for, when it takes longer than a second. */
  readonly what?: string;
  readonly deadlineMs?: number;
}

export class Cli {
  #connection: Connection | undefined;
  #network: GrpcNetwork | undefined;

  constructor(
    readonly screen: Screen,
    /** Of entities that are named without one; "_" is the caller's own. */
    readonly namespace: string,
    private readonly flags: ConnectionFlags,
  ) {}

  get io(): Io {
    return this.screen.io;
  }

  /** @throws invalidArgument when what is configured is no address or key */
  get connection(): Connection {
    this.#connection ??= findConnection(this.flags, this.io);
    return this.#connection;
  }

  /** What else is asked just now, instead of Weft here. */
  elsewhere: string | undefined;

  /** Where an error came from: the address, once it was called. */
  get called(): string | undefined {
    return this.elsewhere ?? (this.#network && this.#connection?.grpc);
  }

  /** Calls an rpc of Weft. @throws WeftError as the server said it, with what mends it here */
  async call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, options: CallOptions = {}): Promise<Res> {
    const { grpc, grpcTls, trust, auth, rest } = this.connection;
    if (auth === "") {
      throw new WeftError("unauthenticated", "NO_CREDENTIALS", "no key: there is no .weft/wskprops here or above", {
        fix: "weft dev    (or weft up) writes one; else --auth UUID:KEY, WEFT_AUTH, or AUTH= in ~/.wskprops",
      });
    }
    // grpc-js takes longer to load than everything else: only when it is needed.
    this.#network ??= new (await import("../../internal/rpc/channel.js")).GrpcNetwork({
      clusterKey: "",
      ...(grpcTls ? { tls: trust } : {}),
    });
    try {
      return await this.screen.progress(
        options.what ?? `waiting for ${grpc}`,
        this.#network.unary(grpc, method, request, {
          deadlineMs: options.deadlineMs ?? CALL_MS,
          headers: { authorization: `Basic ${Buffer.from(auth).toString("base64")}` },
          signal: this.io.signal,
        }),
      );
    } catch (thrown) {
      if (!(thrown instanceof WeftError)) throw thrown;
      if (thrown.kind !== "unavailable" || thrown.fix !== undefined) throw thrown;
      if (thrown.reason !== "NOT_CONNECTED" && thrown.reason !== "UNAVAILABLE") throw thrown;
      const tls = grpcTls ? tlsProblem(thrown.message) : undefined;
      if (tls)
        throw new WeftError("unavailable", "BAD_TLS", `https://${grpc}: ${tls.what}`, { cause: thrown, fix: tls.fix });
      throw new WeftError("unavailable", thrown.reason, `no Weft answers at ${grpc} (REST ${rest})`, {
        cause: thrown,
        fix: "weft dev    (or weft up) starts one here; weft doctor says more",
      });
    }
  }

  /** Adds to a "not found" what was probably meant, from what there is. */
  async meant<T>(name: string, work: Promise<T>, existing: () => Promise<readonly string[]>, run: string): Promise<T> {
    try {
      return await work;
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.kind !== "notFound") throw thrown;
      const names = await existing().catch((failed: unknown) => {
        if (failed instanceof WeftError) return []; // the first error is the one that counts
        throw failed;
      });
      const near = didYouMean(name, names);
      const hint = near === undefined ? "" : `; did you mean ${near}?`;
      throw new WeftError("notFound", thrown.reason, `${thrown.message}${hint}`, {
        cause: thrown,
        fields: thrown.fields,
        fix: thrown.fix ?? run,
      });
    }
  }

  close(): void {
    this.#network?.close();
  }
}
