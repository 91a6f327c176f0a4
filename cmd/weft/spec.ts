// What a command is, as data: parsing, help and completion are made from it. What it does is loaded when it is run.

import type { Cli } from "./cli-context.js";
import { usage } from "./output.js";

export interface OptionSpec {
  /** Long name without dashes. */
  readonly name: string;
  readonly short?: string;
  /** Placeholder of its value; without one it is a switch. */
  readonly value?: string;
  /** Its value may be left out, and is told by "=": `--inspect`, `--inspect=9230`. */
  readonly optional?: boolean;
  /** Takes a key and a value: `--param name Ada`. May be repeated. */
  readonly pair?: boolean;
  readonly help: string;
  readonly choices?: readonly string[];
}

export interface ArgumentSpec {
  readonly name: string;
  readonly optional?: boolean;
  readonly help: string;
}

/** @returns an exit code, when it is not 0 */
export type Verb = (cli: Cli, args: readonly string[], values: Values) => Promise<number | undefined | void>;

export interface VerbSpec {
  /** One word, or two: then the first stands for all verbs that begin with it. */
  readonly name: string;
  readonly help: string;
  readonly args: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  /** Speaks with a running Weft: has the options that say where it is. */
  readonly remote: boolean;
  readonly example?: string;
  readonly load: () => Promise<Verb>;
}

export interface NounSpec {
  readonly name: string;
  readonly help: string;
  readonly verbs: readonly VerbSpec[];
  /** Help of the first words of verbs of two. */
  readonly groups?: Readonly<Record<string, string>>;
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The values of a command's options. */
export class Values {
  constructor(private readonly all: ReadonlyMap<string, readonly string[]>) {}

  flag(name: string): boolean {
    return this.all.has(name);
  }

  /** The last one given. */
  text(name: string): string | undefined {
    return this.all.get(name)?.at(-1);
  }

  /** @throws invalidArgument when it is not a whole number from min to max */
  number(name: string, min: number, max: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw usage(`--${name} ${text}: must be a whole number from ${min} to ${max}`);
    }
    return value;
  }

  /** Milliseconds of "90s", "30m", "24h", "7d" or "0". @throws invalidArgument */
  duration(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const [, digits = "", unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
    if (text !== "0" && digits === "") throw usage(`--${name} ${text}: must be such as 90s, 30m, 24h or 7d`);
    return Number(digits) * (UNIT_MS[unit] ?? 0);
  }

  pairs(name: string): readonly (readonly [key: string, value: string])[] {
    return (this.all.get(name) ?? []).map((text) => JSON.parse(text) as [string, string]);
  }
}
