// Group commit: what callers ask for at about the same time goes to the database as one batch, and each gets its own
// answer when the batch has committed. It clocks itself: a batch goes as soon as a lane is idle, so that a single caller
// waits for nobody and a crowd fills the batches while the ones before them commit.

import { WeftError } from "../base/errors.js";

export interface GroupCommitOptions<Item, Answer> {
  /** For error messages: "submissions". */
  readonly name: string;
  /** Commits a batch, all or nothing. @returns an answer per item, in order */
  readonly commit: (batch: readonly Item[]) => Promise<readonly Answer[]>;
  /** How many batches may be on their way at once. */
  readonly lanes: number;
  /** Bounds of a batch; one item alone may be larger. */
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Size of an item. */
  readonly rowsOf: (item: Item) => number;
  readonly bytesOf: (item: Item) => number;
  /** Bound of what waits: beyond it callers are refused. */
  readonly waitingBytesMax: number;
}

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly rows: number;
  readonly bytes: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit<Item, Answer> {
  #waiting: Waiting<Item, Answer>[] = [];
  #waitingBytes = 0;
  #busyLanes = 0;
  #scheduled = false;

  constructor(private readonly options: GroupCommitOptions<Item, Answer>) {}

  /** Resolves when it is durable. @throws unavailable STORE_OVERLOADED when too much waits already */
  add(item: Item): Promise<Answer> {
    const bytes = this.options.bytesOf(item);
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > this.options.waitingBytesMax) {
      return Promise.reject(
        new WeftError("unavailable", "STORE_OVERLOADED", `too many ${this.options.name} wait for Postgres`, {
          retryAfterMs: 1_000,
        }),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, rows: this.options.rowsOf(item), bytes, resolve, reject });
      this.#waitingBytes += bytes;
      this.#schedule();
    });
  }

  /** After what else arrived in this turn of the event loop: those callers come along. */
  #schedule(): void {
    if (this.#scheduled || this.#busyLanes >= this.options.lanes) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#waiting.length > 0 && this.#busyLanes < this.options.lanes) void this.#send(this.#take());
    });
  }

  #take(): readonly Waiting<Item, Answer>[] {
    let rows = 0;
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#waiting) {
      if (count > 0 && (rows + waiting.rows > this.options.rowsMax || bytes + waiting.bytes > this.options.bytesMax)) {
        break;
      }
      rows += waiting.rows;
      bytes += waiting.bytes;
      count += 1;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  /** Never rejects: each caller is told. */
  async #send(batch: readonly Waiting<Item, Answer>[]): Promise<void> {
    this.#busyLanes += 1;
    try {
      await this.#commit(batch);
    } finally {
      this.#busyLanes -= 1;
      if (this.#waiting.length > 0) this.#schedule();
    }
  }

  async #commit(batch: readonly Waiting<Item, Answer>[]): Promise<void> {
    let answers: readonly Answer[];
    try {
      answers = await this.options.commit(batch.map(({ item }) => item));
    } catch (thrown) {
      const retriable = !(thrown instanceof WeftError && thrown.kind === "unavailable");
      if (batch.length > 1 && retriable) {
        // Something in it cannot be stored. Its caller is told, the others are not made to suffer.
        for (const one of batch) await this.#commit([one]);
        return;
      }
      for (const { reject } of batch) reject(thrown);
      return;
    }
    for (const [i, { resolve }] of batch.entries()) resolve(answers[i] as Answer);
  }
}
