import { describe, expect, it } from "vitest";

import type { Machine } from "./machine.js";

/** States that nothing leads to from the initial one. */
export function unreachableStates<S extends string>(machine: Machine<S, string>): S[] {
  const reached = new Set<S>([machine.initial]);
  for (const state of reached) {
    for (const arrow of machine.arrows) if (arrow.from === state) reached.add(arrow.to); // a Set walks what is added
  }
  return machine.states.filter((state) => !reached.has(state));
}

/** States from which no end can be reached. */
export function endlessStates<S extends string>(machine: Machine<S, string>): S[] {
  const ending = new Set<S>(machine.states.filter((state) => machine.isTerminal(state)));
  for (const state of ending) {
    for (const arrow of machine.arrows) if (arrow.to === state) ending.add(arrow.from);
  }
  return machine.states.filter((state) => !ending.has(state));
}

/**
 * What every table promises.
 * @param forbidden arrows, as [from, to], that must not exist whatever the event: the ones a reader would miss if they
 *   were added by mistake
 */
export function machineSuite<S extends string, E extends string>(
  machine: Machine<S, E>,
  forbidden: readonly (readonly [from: S, to: S])[] = [],
): void {
  const plain = machine as Machine<S, string>;

  describe(`the states of ${machine.name}`, () => {
    it("can each be reached", () => {
      expect(unreachableStates(plain)).toEqual([]);
    });

    it("can each come to an end", () => {
      expect(endlessStates(plain)).toEqual([]);
    });

    it("are joined only by arrows between known states, never by a forbidden one, and ends stay ends", () => {
      for (const { from, event, to } of machine.arrows) {
        expect(machine.states, `${event} from ${from}`).toContain(to);
        expect(
          forbidden.some(([f, t]) => f === from && t === to),
          `${event} leads from ${from} to ${to}`,
        ).toBe(false);
        expect(machine.isTerminal(from)).toBe(false);
      }
    });
  });
}
