// When what was written in one turn of the event loop leaves: the first of a turn when its callback ends, so that what is
// alone waits for nothing; what follows in the same turn together, when the turn ends. A write for each costs more than all
// else that is done for it.

export class TurnFlush {
  #isDue = false;
  #flushedThisTurn = false;

  /** @param flush writes what has gathered; there may be nothing */
  constructor(private readonly flush: () => void) {}

  /** Something is there to be written. May be repeated. */
  schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    if (this.#flushedThisTurn) setImmediate(this.#flushDue);
    else process.nextTick(this.#flushFirst);
  }

  readonly #flushFirst = (): void => {
    this.#flushedThisTurn = true;
    setImmediate(this.#turnEnded);
    this.#flushDue();
  };

  readonly #turnEnded = (): void => {
    this.#flushedThisTurn = false;
  };

  readonly #flushDue = (): void => {
    this.#isDue = false;
    this.flush();
  };
}
