// How the roles of a process reach other roles: over etcd and gRPC, or, when all of them live in one process, in memory.

import type { Coordination } from "../core/coordination/coordination.js";
import { MemoryCoordination } from "../core/coordination/memory-coordination.js";
import { EtcdCoordination } from "../etcd/etcd-coordination.js";
import { GrpcNetwork } from "../rpc/channel.js";
import type { Link, LinkMethod } from "../rpc/link.js";
import { MemoryNetwork, type Network } from "../rpc/network.js";
import { RpcServer, type LinkCall, type RpcServerDeps } from "../rpc/server.js";
import type { RoleContext } from "./context.js";

export interface Wiring {
  readonly coordination: Coordination;
  /** Unary and server-streaming rpcs between roles. */
  readonly grpc: GrpcNetwork;
  readonly links: Network;
  readonly clusterKey: string;
  /** A server that admits roles only. */
  server(deps: Omit<RpcServerDeps, "clusterKey">): RpcServer;
}

export interface ClusterOptions {
  readonly etcdEndpoints: readonly string[];
  readonly etcdPrefix: string;
  readonly clusterKey: string;
}

/** Processes of a cluster. What is opened belongs to the context's scope. */
export function distributedWiring(context: RoleContext, options: ClusterOptions): Wiring {
  const { clock, random, log, scope } = context;
  const { clusterKey } = options;
  const coordination = scope.use(
    "etcd",
    new EtcdCoordination({ endpoints: options.etcdEndpoints, prefix: options.etcdPrefix, clock, random, log }),
    (c) => c.close(),
  );
  const grpc = scope.use("grpc", new GrpcNetwork({ clusterKey }), (network) => network.close());
  return { coordination, grpc, links: grpc, clusterKey, server: (deps) => new RpcServer({ ...deps, clusterKey }) };
}

/** All roles in this process: links hand their items over in memory, rpcs go over the loopback interface. */
export function localWiring(context: RoleContext, clusterKey: string): Wiring {
  const { clock, scope } = context;
  const coordination = scope.use("coordination", new MemoryCoordination(clock), (c) => c.close());
  const grpc = scope.use("grpc", new GrpcNetwork({ clusterKey }), (network) => network.close());
  const memory = new MemoryNetwork();
  return {
    coordination,
    grpc,
    links: memory,
    clusterKey,
    server: (deps) => new LocalServer({ ...deps, clusterKey }, memory),
  };
}

/** Serves its links in memory as well, under the address that it listens on. */
class LocalServer extends RpcServer {
  readonly #links: (readonly [method: LinkMethod<unknown, unknown>, accept: (link: Link<unknown, unknown>) => void])[] =
    [];

  constructor(
    deps: RpcServerDeps,
    private readonly memory: MemoryNetwork,
  ) {
    super(deps);
  }

  override serveLink<Up, Down>(
    method: LinkMethod<Up, Down>,
    accept: (link: Link<Up, Down>, call: LinkCall) => void,
  ): void {
    super.serveLink(method, accept);
    this.#links.push([method, (link) => accept(link, { peer: "memory", header: () => undefined })]);
  }

  override async listen(address: string): Promise<string> {
    const bound = await super.listen(address);
    for (const [method, accept] of this.#links) this.memory.serve(bound, method, accept);
    return bound;
  }
}
