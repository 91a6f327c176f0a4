// `weft status`: who lives, what invokers have, which sandboxes there are.

import {
  ClusterServiceService as Service,
  type ClusterStatus,
  type Invoker,
  type Sandbox,
} from "../../../internal/gen/weft/cluster/v1/cluster.pb.js";
import { duration } from "../output.js";
import type { Verb } from "../spec.js";

export const status: Verb = async (cli) => {
  const state = await cli.call(Service.getStatus, {});
  const { screen } = cli;
  if (screen.json) {
    screen.printJson(statusJson(state, cli.connection));
    return;
  }
  const { bold, dim } = screen.colours;
  const people = cli.io.out.isTty;
  const title = (text: string): void => {
    if (people) screen.print(`\n${bold(text)}`);
  };
  if (people) {
    const sandboxes = state.invokers.reduce((sum, invoker) => sum + invoker.sandboxes.length, 0);
    screen.print(
      `weft ${state.version}  ${counted(state.members.length, "process", "processes")}, ` +
        `${counted(state.invokers.length, "invoker")}, ${counted(sandboxes, "sandbox", "sandboxes")}, ` +
        `${counted(state.queued, "durable request")} not finished`,
    );
    screen.print(dim(`gRPC ${cli.connection.grpc}  REST ${cli.connection.rest}`));
  }
  title("Processes");
  screen.table(state.members, [
    { title: "ROLE", value: (m) => m.role },
    { title: "ID", value: (m) => m.id },
    { title: "ADDRESS", value: (m) => m.address },
    { title: "BOOT", value: (m) => m.bootId },
  ]);
  title("Invokers");
  screen.table(state.invokers, [
    { title: "INVOKER", value: (i) => i.id },
    { title: "DRIVER", value: (i) => i.driver },
    { title: "FREE", value: (i) => `${i.freeMb} MiB`, right: true },
    { title: "MEMORY", value: (i) => `${i.memoryMb} MiB`, right: true },
    { title: "SANDBOXES", value: (i) => summary(i.sandboxes) },
    { title: "STATE", value: (i) => (i.suspect ? "suspect: heartbeats are missing" : "ok") },
  ]);
  if (people) {
    for (const { caveat, invokers } of caveatsOf(state)) screen.print(`! ${invokers.join(", ")}: ${caveat}`);
  }
  const sandboxes = state.invokers.flatMap((invoker) => invoker.sandboxes.map((sandbox) => ({ invoker, sandbox })));
  if (sandboxes.length === 0) return;
  title("Sandboxes");
  screen.table(sandboxes, [
    { title: "SANDBOX", value: ({ invoker, sandbox }) => `${invoker.id}/${sandbox.number}` },
    { title: "STATE", value: ({ sandbox }) => sandbox.state },
    { title: "ACTION", value: ({ sandbox }) => sandbox.action || "-" },
    { title: "KIND", value: ({ sandbox }) => sandbox.kind },
    { title: "MEMORY", value: ({ sandbox }) => `${sandbox.memoryMb} MiB`, right: true },
    { title: "RUNNING", value: ({ sandbox }) => sandbox.running, right: true },
    { title: "IDLE", value: ({ sandbox }) => duration(sandbox.idleMs), right: true },
  ]);
};

/** Each once, with those that have it. */
function caveatsOf({ invokers }: ClusterStatus): readonly { readonly caveat: string; readonly invokers: string[] }[] {
  const having = new Map<string, string[]>();
  for (const { id, caveats } of invokers) {
    for (const caveat of caveats) having.set(caveat, [...(having.get(caveat) ?? []), id]);
  }
  return [...having].map(([caveat, ids]) => ({ caveat, invokers: ids }));
}

/** "2 warm, 1 stem". */
function summary(sandboxes: readonly Sandbox[]): string {
  const counts = new Map<string, number>();
  for (const { state } of sandboxes) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ") || "none";
}

function statusJson(state: ClusterStatus, { grpc, rest }: { readonly grpc: string; readonly rest: string }): unknown {
  return {
    version: state.version,
    grpc,
    rest,
    queued: state.queued,
    members: state.members.map(({ role, id, address, bootId }) => ({ role, id, address, bootId })),
    invokers: state.invokers.map((invoker: Invoker) => ({
      id: invoker.id,
      driver: invoker.driver,
      memoryMb: invoker.memoryMb,
      freeMb: invoker.freeMb,
      suspect: invoker.suspect,
      caveats: invoker.caveats,
      sandboxes: invoker.sandboxes.map(({ number, state: of, action, kind, memoryMb, running, idleMs }) => ({
        number,
        state: of,
        action: action || undefined,
        kind,
        memoryMb,
        running,
        idleMs,
      })),
    })),
  };
}

function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
