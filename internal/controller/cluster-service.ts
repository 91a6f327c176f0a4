import type { Log } from "../base/log.js";
import { toWeftError } from "../base/errors.js";
import type { Coordination, Role } from "../core/coordination/coordination.js";
import type { QueueStore } from "../core/queue/store.js";
import { requireOperator } from "../core/tenancy/identity.js";
import {
  ClusterServiceService,
  type ClusterStatus,
  type GetStatusRequest,
  type Invoker,
} from "../gen/weft/cluster/v1/cluster.pb.js";
import {
  SandboxState,
  type DescribeFleetResponse,
  type DescribeInvokerResponse,
  type InvokerView,
} from "../gen/weft/link/v1/fleet.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import { callerOf } from "./caller.js";

export interface ClusterServiceDeps {
  readonly coordination: Pick<Coordination, "listMembers">;
  readonly queue: Pick<QueueStore, "depth">;
  /** Asks a scheduler what it knows of its fleet. @throws unavailable */
  readonly describeFleet: (address: string) => Promise<DescribeFleetResponse>;
  /** Asks an invoker what it has. @throws unavailable, deadlineExceeded: soon */
  readonly describeInvoker: (address: string) => Promise<DescribeInvokerResponse>;
  /** Version of Weft. */
  readonly version: string;
  readonly log: Log;
}

export class ClusterService {
  constructor(private readonly deps: ClusterServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(ClusterServiceService, {
      getStatus: (ctx: CallContext, request: GetStatusRequest) => this.status(ctx, request),
    });
  }

  async status(ctx: CallContext, _request: GetStatusRequest): Promise<ClusterStatus> {
    requireOperator(callerOf(ctx));
    const [members, queued] = await Promise.all([this.deps.coordination.listMembers(), this.deps.queue.depth()]);
    const [fleets, snapshots] = await Promise.all([
      Promise.all(members.filter((m) => m.role === "scheduler").map(({ id, address }) => this.#fleet(id, address))),
      Promise.all(members.filter((m) => m.role === "invoker").map(({ id, address }) => this.#invoker(id, address))),
    ]);
    // An invoker may have registered with an old scheduler and a new one: one entry is enough.
    const views = new Map<string, InvokerView>();
    for (const view of fleets.flat()) if (view.register) views.set(view.register.invokerId, view);
    // Schedulers are told when a sandbox changes its state, not of each call: what an invoker says itself is newer.
    for (const snapshot of snapshots) {
      if (!snapshot?.register) continue;
      const { register, inventory, capacity } = snapshot;
      const known = views.get(register.invokerId);
      views.set(register.invokerId, {
        register,
        capacity,
        sandboxes: inventory?.sandboxes ?? [],
        suspect: known?.suspect ?? false,
      });
    }
    return {
      members: members
        .map(({ role, id, address, bootId }) => ({ role, id, address, bootId }))
        .sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role) || (a.id < b.id ? -1 : 1)),
      invokers: [...views.values()].map(invokerToWire).sort((a, b) => (a.id < b.id ? -1 : 1)),
      queued,
      version: this.deps.version,
    };
  }

  /** A scheduler that is not there, or going, does not hide the rest. */
  async #fleet(schedulerId: string, address: string): Promise<readonly InvokerView[]> {
    try {
      return (await this.deps.describeFleet(address)).invokers;
    } catch (thrown) {
      this.deps.log.warn("a scheduler does not describe its fleet", { schedulerId, error: toWeftError(thrown) });
      return [];
    }
  }

  /** One that starts, hangs or went a moment ago: what a scheduler remembers of it must do. */
  async #invoker(invokerId: string, address: string): Promise<DescribeInvokerResponse | undefined> {
    try {
      return await this.deps.describeInvoker(address);
    } catch (thrown) {
      this.deps.log.info("an invoker does not describe itself", { invokerId, error: toWeftError(thrown) });
      return undefined;
    }
  }
}

const ROLES: readonly Role[] = ["controller", "gateway", "invoker", "scheduler"];

const STATES: Readonly<Record<number, string>> = {
  [SandboxState.STARTING]: "starting",
  [SandboxState.STEM]: "stem",
  [SandboxState.WARM]: "warm",
  [SandboxState.FROZEN]: "frozen",
};

function invokerToWire({ register, capacity, sandboxes, suspect }: InvokerView): Invoker {
  return {
    id: register?.invokerId ?? "",
    driver: register?.driver ?? "",
    memoryMb: register?.memoryMb ?? 0,
    freeMb: capacity?.freeMb ?? 0,
    suspect,
    sandboxes: sandboxes
      .filter((sandbox) => STATES[sandbox.state] !== undefined)
      .map((sandbox) => ({
        number: sandbox.sandbox,
        state: STATES[sandbox.state] ?? "",
        action: sandbox.actionKey,
        kind: sandbox.kind,
        memoryMb: sandbox.memoryMb,
        running: sandbox.running,
        idleMs: Math.min(sandbox.idleMs, 0xffffffff),
      })),
    caveats: register?.caveats ?? [],
  };
}
