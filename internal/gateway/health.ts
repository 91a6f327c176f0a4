// grpc.health.v1.Health: what load balancers ask. Two messages of one field each do not earn generated files.

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { WeftError } from "../base/errors.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

export class Health {
  #serving = true;
  readonly #changed = new Set<() => void>();

  /** @param services those that may be asked for by name; "" is the whole server */
  constructor(private readonly services: readonly string[]) {}

  setServing(serving: boolean): void {
    if (this.#serving === serving) return;
    this.#serving = serving;
    for (const tell of [...this.#changed]) tell();
  }

  serve(server: RpcServer): void {
    const codec = {
      requestStream: false,
      requestSerialize: (message: Buffer): Buffer => message,
      requestDeserialize: (message: Buffer): string => serviceIn(message),
      responseSerialize: (status: number): Buffer =>
        Buffer.from(new BinaryWriter().tag(1, WireType.Varint).int32(status).finish()),
      responseDeserialize: (message: Buffer): Buffer => message,
    };
    server.serveService(
      {
        check: { ...codec, path: "/grpc.health.v1.Health/Check", responseStream: false },
        watch: { ...codec, path: "/grpc.health.v1.Health/Watch", responseStream: true },
      },
      {
        check: (_ctx: CallContext, service: string) => Promise.resolve(this.#check(service)),
        watch: (ctx: CallContext, service: string, send: (status: never) => Promise<void>) =>
          this.#watch(ctx, service, send as (status: number) => Promise<void>),
      },
    );
  }

  #check(service: string): number {
    const status = this.#statusOf(service);
    if (status === SERVICE_UNKNOWN) throw new WeftError("notFound", "NO_SUCH_SERVICE", `no service ${service} here`);
    return status;
  }

  /** Tells the status now and whenever it changes, until the caller goes. */
  async #watch({ signal }: CallContext, service: string, send: (status: number) => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      const told = this.#statusOf(service);
      await send(told);
      await this.#change(signal, () => this.#statusOf(service) !== told);
    }
  }

  #statusOf(service: string): number {
    if (service !== "" && !this.services.includes(service)) return SERVICE_UNKNOWN;
    return this.#serving ? SERVING : NOT_SERVING;
  }

  #change(signal: AbortSignal, already: () => boolean): Promise<void> {
    if (already() || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#changed.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#changed.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

function serviceIn(message: Buffer): string {
  const reader = new BinaryReader(message);
  let service = "";
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) service = reader.string();
    else reader.skip(type);
  }
  return service;
}
