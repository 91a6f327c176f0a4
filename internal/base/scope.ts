import { toWeftError, type WeftError } from "./errors.js";

/** Things that were opened, closed in reverse: the last opened is the first closed. */
export class Scope {
  readonly #closers: { readonly name: string; readonly close: () => unknown }[] = [];
  #closing: Promise<readonly WeftError[]> | undefined;

  /** Keeps `value` open until the scope closes. @returns the value */
  use<T>(name: string, value: T, close: (value: T) => unknown): T {
    this.#closers.push({ name, close: () => close(value) });
    return value;
  }

  /** Names of what is still open, in the order of closing. */
  get open(): readonly string[] {
    return this.#closers.map((c) => c.name).reverse();
  }

  /** Closes everything, one after the other; what fails to close does not keep the rest open. May be repeated. */
  close(): Promise<readonly WeftError[]> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<readonly WeftError[]> {
    const errors: WeftError[] = [];
    for (;;) {
      const last = this.#closers.at(-1);
      if (!last) return errors;
      try {
        await last.close();
      } catch (thrown) {
        errors.push(toWeftError(thrown));
      }
      // By itself and not from the end: something may have been opened while it closed.
      this.#closers.splice(this.#closers.indexOf(last), 1);
    }
  }
}
