// Where a sandbox is started. Pure: the same ask, fleet and chance always give the same answer.
//
// An action's sandboxes are sought on the first few invokers of its own chain (consistent hashing), so that its code and
// its stem cells are likely there, and on two at random, so that a hot stretch of the ring spills over. Only when all of
// these refuse is the whole fleet looked at: a refusal is then the truth, with the reason of every invoker counted.

import { neededKind } from "../action/image.js";
import type { HashRing } from "./hash-ring.js";

/** What is to be placed. */
export interface PlacementAsk {
  /** Key of the action: where its chain begins. */
  readonly actionKey: string;
  readonly kind: string;
  readonly memoryMb: number;
}

/** An invoker as far as placement cares. */
export interface InvokerView {
  readonly id: string;
  readonly bootId: string;
  readonly kinds: ReadonlySet<string>;
  readonly memoryMb: number;
  /** Free, what was ordered and not yet counted by the invoker taken off. */
  readonly freeMb: number;
  /** Could be freed by ending idle sandboxes. */
  readonly evictableMb: number;
  /** Sandboxes being started. */
  readonly starting: number;
  readonly draining: boolean;
  /** Silent, or its link is down. */
  readonly suspect: boolean;
  /** It has just refused sandboxes of this size or more; Infinity when it has not. */
  readonly fullAtMb: number;
  stems(kind: string, memoryMb: number): number;
}

export interface Filter {
  readonly name: RefusalReason;
  admits(invoker: InvokerView, ask: PlacementAsk): boolean;
}

export interface Scorer {
  readonly name: string;
  readonly weight: number;
  /** Between 0 and 1; higher is better. */
  score(invoker: InvokerView, ask: PlacementAsk, context: ScoreContext): number;
}

export interface ScoreContext {
  /** Share of the fleet's memory in use. */
  readonly meanLoad: number;
  /** Position in the action's chain, from 0; CHAIN_LENGTH for an invoker outside it. */
  readonly position: number;
}

export type RefusalReason = "kind" | "draining" | "suspect" | "memory";

export type Placement =
  | {
      readonly kind: "placed";
      readonly invoker: InvokerView;
      readonly stem: boolean;
      /** True when idle sandboxes must end to make room. */
      readonly evicts: boolean;
      readonly candidates: number;
      readonly score: number;
    }
  | { readonly kind: "noInvokers" }
  /** Every invoker is another kind's: none of them will ever run this. */
  | { readonly kind: "unknownKind"; readonly invokers: number }
  | { readonly kind: "noCapacity"; readonly rejectedBy: ReadonlyMap<RefusalReason, number> };

/** Invokers of an action's chain that are looked at first. */
export const CHAIN_LENGTH = 8;
/** Further ones, by chance. */
const SPILL = 2;
/** Above this multiple of the mean load an invoker of the chain is passed over. */
const BOUNDED_LOAD = 1.15;

/** In the order in which a refusal is told: the first that turns an invoker away counts. */
export const FILTERS: readonly Filter[] = [
  { name: "kind", admits: (invoker, ask) => invoker.kinds.has(neededKind(ask.kind)) },
  { name: "draining", admits: (invoker) => !invoker.draining },
  { name: "suspect", admits: (invoker) => !invoker.suspect },
  {
    name: "memory",
    admits: (invoker, ask) =>
      (invoker.freeMb + invoker.evictableMb >= ask.memoryMb && ask.memoryMb < invoker.fullAtMb) ||
      // A stem cell takes no further memory.
      invoker.stems(ask.kind, ask.memoryMb) > 0,
  },
];

export const SCORERS: readonly Scorer[] = [
  // A stem cell saves the creation of a sandbox, which is nearly all of a cold start.
  { name: "stem", weight: 8, score: (invoker, ask) => (invoker.stems(ask.kind, ask.memoryMb) > 0 ? 1 : 0) },
  // Evicting somebody's idle sandbox costs a cold start later.
  { name: "room", weight: 4, score: (invoker, ask) => (invoker.freeMb >= ask.memoryMb ? 1 : 0) },
  {
    // One sandbox above the bound is allowed, or an empty fleet could take none.
    name: "boundedLoad",
    weight: 4,
    score: (invoker, ask, { meanLoad }) => {
      const loadAfter = (invoker.memoryMb - invoker.freeMb + ask.memoryMb) / Math.max(1, invoker.memoryMb);
      const bound = BOUNDED_LOAD * meanLoad + ask.memoryMb / Math.max(1, invoker.memoryMb);
      return loadAfter <= bound + 1e-9 ? 1 : Math.max(0, 1 - loadAfter);
    },
  },
  { name: "startQueue", weight: 2, score: (invoker) => 1 / (1 + invoker.starting) },
  { name: "chain", weight: 1, score: (_invoker, _ask, { position }) => 1 - position / (CHAIN_LENGTH + 1) },
];

/** @param random between 0 and 1, one number per call; only the two spill candidates depend on it */
export function place(
  ask: PlacementAsk,
  fleet: ReadonlyMap<string, InvokerView>,
  ring: HashRing,
  random: () => number,
): Placement {
  if (fleet.size === 0) return { kind: "noInvokers" };
  const chain = ring.chain(ask.actionKey, CHAIN_LENGTH);
  const candidates = new Map<string, number>();
  chain.forEach((id, position) => candidates.set(id, position));
  if (fleet.size > chain.length) {
    for (let i = 0; i < SPILL; i++) {
      const id = ring.at(random());
      if (id !== undefined && !candidates.has(id)) candidates.set(id, CHAIN_LENGTH);
    }
  }
  const meanLoad = meanLoadOf(fleet.values());
  let best: { invoker: InvokerView; score: number } | undefined;
  for (const [id, position] of candidates) {
    const invoker = fleet.get(id);
    if (!invoker || refusalOf(invoker, ask)) continue;
    best = better(best, invoker, scoreOf(invoker, ask, { meanLoad, position }));
  }
  if (best) return placed(best, ask, candidates.size);

  const rejectedBy = new Map<RefusalReason, number>();
  for (const invoker of fleet.values()) {
    const refusal = refusalOf(invoker, ask);
    if (refusal) rejectedBy.set(refusal, (rejectedBy.get(refusal) ?? 0) + 1);
    else best = better(best, invoker, scoreOf(invoker, ask, { meanLoad, position: CHAIN_LENGTH }));
  }
  if (best) return placed(best, ask, fleet.size);
  if (rejectedBy.get("kind") === fleet.size) return { kind: "unknownKind", invokers: fleet.size };
  return { kind: "noCapacity", rejectedBy };
}

/** A refusal as a sentence: what it is short of and where. */
export function explainRefusal(ask: PlacementAsk, rejectedBy: ReadonlyMap<RefusalReason, number>): string {
  const parts = [...rejectedBy].map(([reason, count]) => {
    const invokers = count === 1 ? "1 invoker" : `${count} invokers`;
    switch (reason) {
      case "kind":
        return `${invokers} cannot run ${ask.kind}`;
      case "draining":
        return `${invokers} ${count === 1 ? "drains" : "drain"}`;
      case "suspect":
        return `${invokers} ${count === 1 ? "does" : "do"} not answer`;
      case "memory":
        return `${invokers} ${count === 1 ? "has" : "have"} no ${ask.memoryMb} MiB to spare`;
    }
  });
  return `no room for a sandbox of ${ask.actionKey}: ${parts.join(", ")}`;
}

function refusalOf(invoker: InvokerView, ask: PlacementAsk): RefusalReason | undefined {
  return FILTERS.find((filter) => !filter.admits(invoker, ask))?.name;
}

function scoreOf(invoker: InvokerView, ask: PlacementAsk, context: ScoreContext): number {
  let sum = 0;
  for (const scorer of SCORERS) sum += scorer.weight * scorer.score(invoker, ask, context);
  return sum;
}

/** Equal scores fall to the smaller id, so that replays agree. */
function better(
  best: { invoker: InvokerView; score: number } | undefined,
  invoker: InvokerView,
  score: number,
): { invoker: InvokerView; score: number } {
  if (!best || score > best.score || (score === best.score && invoker.id < best.invoker.id)) return { invoker, score };
  return best;
}

function placed(best: { invoker: InvokerView; score: number }, ask: PlacementAsk, candidates: number): Placement {
  const stem = best.invoker.stems(ask.kind, ask.memoryMb) > 0;
  return {
    kind: "placed",
    invoker: best.invoker,
    stem,
    evicts: !stem && best.invoker.freeMb < ask.memoryMb,
    candidates,
    score: best.score,
  };
}

function meanLoadOf(fleet: Iterable<InvokerView>): number {
  let used = 0;
  let all = 0;
  for (const invoker of fleet) {
    if (invoker.suspect || invoker.draining) continue;
    used += invoker.memoryMb - invoker.freeMb;
    all += invoker.memoryMb;
  }
  return all === 0 ? 0 : Math.max(0, used / all);
}
