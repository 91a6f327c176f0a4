import { WeftError } from "./errors.js";

/** For every state, the events it accepts and the state each one leads to. A state that accepts none is an end. */
export type TransitionTable<S extends string, E extends string> = {
  readonly [state in S]: { readonly [event in E]?: S };
};

/** A life cycle as a table. Every machine passes `machineSuite`. */
export class Machine<S extends string, E extends string> {
  constructor(
    readonly name: string,
    readonly initial: S,
    readonly table: TransitionTable<S, E>,
  ) {}

  /** For events that come from elsewhere: undefined means late or repeated, so count it and drop it. */
  next(from: S, event: E): S | undefined {
    const row: { readonly [event in E]?: S } = this.table[from];
    return Object.hasOwn(row, event) ? row[event] : undefined;
  }

  /**
   * For events this process raises itself.
   * @throws internal: a missing arrow is a bug in this process
   */
  step(from: S, event: E): S {
    const to = this.next(from, event);
    if (to === undefined) {
      throw new WeftError("internal", "ILLEGAL_TRANSITION", `${this.name}: ${event} from ${from}`);
    }
    return to;
  }

  isTerminal(state: S): boolean {
    return Object.keys(this.table[state]).length === 0;
  }

  get states(): readonly S[] {
    return Object.keys(this.table) as S[];
  }

  /** Every arrow of the table, in its order. */
  get arrows(): readonly { readonly from: S; readonly event: E; readonly to: S }[] {
    return this.states.flatMap((from) =>
      (Object.entries(this.table[from]) as [E, S][]).map(([event, to]) => ({ from, event, to })),
    );
  }

  /** The table as a Mermaid state diagram, for docs/states.md. */
  toMermaid(): string {
    return [
      "stateDiagram-v2",
      `  [*] --> ${this.initial}`,
      ...this.arrows.map(({ from, event, to }) => `  ${from} --> ${to}: ${event}`),
      ...this.states.filter((state) => this.isTerminal(state)).map((state) => `  ${state} --> [*]`),
    ].join("\n");
  }
}
