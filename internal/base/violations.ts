import { WeftError, type FieldViolation } from "./errors.js";

/** Reason of the error for what is well formed but too large: 413 for faces that speak HTTP. */
export const TOO_LARGE = "TOO_LARGE";

/** Collects everything that is wrong with a request, so that its author hears of all of it at once. */
export class Violations {
  readonly #found: FieldViolation[] = [];
  #tooLarge = false;

  get found(): readonly FieldViolation[] {
    return this.#found;
  }

  /** @param field path of the field as the caller wrote it */
  add(field: string, description: string): void {
    this.#found.push({ field, description });
  }

  /** As `add`, for sizes: when nothing worse is found, the error's reason is TOO_LARGE. */
  addTooLarge(field: string, description: string): void {
    if (this.#found.length === 0) this.#tooLarge = true;
    this.#found.push({ field, description });
  }

  /** Runs a check that throws an invalidArgument, and keeps what it found. @returns undefined when it threw */
  try<T>(check: () => T): T | undefined {
    try {
      return check();
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.kind !== "invalidArgument") throw thrown;
      this.#found.push(...thrown.fields);
      return undefined;
    }
  }

  /** @throws invalidArgument with every violation; does nothing when there is none */
  check(): void {
    const [first] = this.#found;
    if (!first) return;
    const more = this.#found.length > 1 ? ` (and ${this.#found.length - 1} more)` : "";
    throw new WeftError(
      "invalidArgument",
      this.#tooLarge && this.#found.length === 1 ? TOO_LARGE : "INVALID_FIELD",
      `${first.field}: ${first.description}${more}`,
      { fields: this.#found },
    );
  }
}
