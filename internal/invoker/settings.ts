/** Stem cells to keep of one kind and memory class. */
export interface StemSetting {
  readonly kind: string;
  readonly memoryMb: number;
  /** Kept even when nobody asks. */
  readonly min: number;
  /** Kept when many ask. */
  readonly max: number;
}

export interface InvokerSettings {
  /** Memory for sandboxes, MiB. */
  readonly memoryMb: number;
  /** Failure domain; "" when there is one. */
  readonly zone: string;
  /** Kinds to run; undefined: whatever the driver can make. */
  readonly kinds: readonly string[] | undefined;
  readonly stems: readonly StemSetting[];
  /** Most stem cells of a kind and memory class that is not in `stems` but is asked for; 0: none are kept. */
  readonly stemDemandMax: number;
  /** Part of the memory that stem cells may take, 0 to 1. */
  readonly stemShare: number;
  /** A sandbox without calls is frozen after so long; Infinity: never. */
  readonly freezeAfterMs: number;
  /** A sandbox without calls ends after so long, until more is known of its action's calls. */
  readonly idleTimeoutMs: number;
  /** The same when more is known: it ends when keeping it costs more than it saves, and after so long in any case. */
  readonly keepMaxMs: number;
  /** Part of the memory that idle sandboxes should take, 0 to 1: what they are worth is measured by it. */
  readonly idleShare: number;
  /** Sandboxes made at the same time: more only makes each slower. */
  readonly parallelStarts: number;
  /** Longest time until a runtime says hello. */
  readonly startTimeoutMs: number;
  /** Most processes and threads in a sandbox. */
  readonly pidsMax: number;
  /** Environment of every sandbox, before any code. */
  readonly sandboxEnv: Readonly<Record<string, string>>;
  /** A call that was asked to stop is stopped after so long. */
  readonly cancelGraceMs: number;
  /** How long calls may go on when the invoker stops. */
  readonly drainGraceMs: number;
  /** When it stops, idle sandboxes are left for the next life to take over. */
  readonly leaveSandboxes: boolean;
  /** Calls a dispatcher may have unfinished on a link. */
  readonly callCredits: number;
  /** Payload bytes a dispatcher may have unfinished on a link. */
  readonly byteCredits: number;
  /** How long the invoker counts as alive after its last sign in the coordination store. */
  readonly leaseTtlMs: number;
  /** Code kept in memory, bytes. */
  readonly codeMemoryBytes: number;
  /** How long controllers that do not answer are asked for code. */
  readonly codePatienceMs: number;
  /** Records that may wait for a controller. */
  readonly spoolRecords: number;
  /** The same in bytes. */
  readonly spoolBytes: number;
}

/** What an invoker uses unless it is told otherwise. */
export function invokerSettings(given: Partial<InvokerSettings> & { readonly memoryMb: number }): InvokerSettings {
  return {
    zone: "",
    kinds: undefined,
    stems: [],
    stemDemandMax: 0,
    stemShare: 0.25,
    freezeAfterMs: 10_000,
    idleTimeoutMs: 600_000,
    keepMaxMs: 14_400_000,
    idleShare: 0.5,
    parallelStarts: 4,
    startTimeoutMs: 30_000,
    pidsMax: 1_024,
    sandboxEnv: {},
    cancelGraceMs: 2_000,
    drainGraceMs: 30_000,
    leaveSandboxes: false,
    callCredits: 1_024,
    byteCredits: 32 * 1024 * 1024,
    leaseTtlMs: 30_000,
    codeMemoryBytes: 128 * 1024 * 1024,
    codePatienceMs: 10_000,
    spoolRecords: 100_000,
    spoolBytes: 64 * 1024 * 1024,
    ...given,
  };
}
