/** A parameter or annotation. Values are JSON text: numbers keep every digit. */
export interface KeyValue {
  readonly key: string;
  readonly valueJson: string;
  /** Parameters only: an environment variable at init instead of an argument. */
  readonly init: boolean;
  /** In the store only: id of the key that sealed the value, which is an envelope in base64 then (see core/sealing). */
  readonly sealedBy?: string | undefined;
}

export interface ActionLimits {
  readonly timeoutMs: number;
  readonly memoryMb: number;
  readonly logsMb: number;
  readonly concurrency: number;
}

/** Bounds and defaults of limits; OpenWhisk's, except concurrency, which operators there usually raise. */
export const LIMIT_BOUNDS = {
  timeoutMs: { min: 100, max: 300_000, default: 60_000 },
  memoryMb: { min: 128, max: 512, default: 256 },
  logsMb: { min: 0, max: 10, default: 10 },
  concurrency: { min: 1, max: 500, default: 1 },
} as const;

/** Largest code, bytes as stored. */
export const CODE_BYTES_MAX = 48 * 1024 * 1024;
/** Largest parameters or annotations of one entity, bytes of JSON. */
export const PARAMETERS_BYTES_MAX = 1024 * 1024;
/** Largest arguments of an invocation or firing, bytes. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024;
/** Largest result, bytes; above it the activation ends as an application error with an excerpt. */
export const RESULT_BYTES_MAX = 1024 * 1024;
/** Longest wait of a blocking call. */
export const BLOCKING_WAIT_MS_MAX = 60_000;

/** Kind of an action that is a sequence of others. */
export const SEQUENCE_KIND = "sequence";
/** Kind of an action of a system package that a controller runs itself (see Builtin). Nobody can make one. */
export const BUILTIN_KIND = "builtin";

/** Kind of an action that runs an image of its own, with or without code. */
export const BLACKBOX_KIND = "blackbox";

export interface Exec {
  /**
   * Concrete kind, for example "nodejs:20", or BLACKBOX_KIND, or SEQUENCE_KIND or BUILTIN_KIND, which have no code (digest
   * "", size 0).
   */
  readonly kind: string;
  /** Set for blackbox actions only. */
  readonly image?: string | undefined;
  /** Function to call; undefined means "main". */
  readonly main: string | undefined;
  /** True when the code is a zip archive. */
  readonly binary: boolean;
  /** SHA-256 of the code, hex. */
  readonly codeDigest: string;
  readonly codeSize: number;
  /** Keys of what runs one after the other; set for sequences only. */
  readonly components?: readonly string[] | undefined;
  /** How the code was built, or that it does not build; undefined for what is loaded as it is. */
  readonly build?: Build | undefined;
}

/** How a source was built. */
export interface Build {
  /** What it is remembered by: see `buildDigest`. */
  readonly digest: string;
  /** What was done; undefined in what older versions stored: it was compiled. */
  readonly step?: "compile" | "resolve" | "check" | undefined;
  /** What sandboxes load, a zip archive; undefined when it failed, or when they load the code as it is. */
  readonly artifact: { readonly digest: string; readonly size: number } | undefined;
  /** What was resolved, as the language's tools write it down; "" when nothing was. */
  readonly lock: string;
  /** When it failed: what is wrong with which place. */
  readonly diagnostics: readonly Diagnostic[];
  /** Why it failed, as the tools said it; "" when it did not. */
  readonly problem: string;
  readonly durationMs: number;
}

export interface Diagnostic {
  readonly file: string;
  readonly line: number;
  /** 0 when it is not known. */
  readonly column: number;
  readonly text: string;
}

/** What every stored entity has. */
export interface Stored {
  readonly namespace: string;
  /** "name"; for actions possibly "package/name". */
  readonly name: string;
  /** "major.minor.patch" */
  readonly version: string;
  readonly publish: boolean;
  readonly annotations: readonly KeyValue[];
  readonly updatedWallMs: number;
  /** Counts writes of this entity, from 1; a writer names the one it read. Shown as the etag. */
  readonly revision: number;
}

export interface Action extends Stored {
  readonly exec: Exec;
  readonly parameters: readonly KeyValue[];
  readonly limits: ActionLimits;
  /** Most sandboxes of it at once; undefined: as many as its namespace may have. */
  readonly maxInstances?: number | undefined;
  /** Random, new with each write: a sandbox serves exactly one. */
  readonly revisionId: string;
}

export interface Package extends Stored {
  readonly parameters: readonly KeyValue[];
  /** What a binding is bound to; undefined for a package with actions of its own. */
  readonly binding: Binding | undefined;
}

/** A package as a binding names it. */
export interface Binding {
  readonly namespace: string;
  readonly name: string;
}

export interface Trigger extends Stored {
  readonly parameters: readonly KeyValue[];
}

export interface Rule extends Stored {
  /** "namespace/name" of the trigger. */
  readonly trigger: string;
  /** "namespace/name" or "namespace/package/name" of the action. */
  readonly action: string;
  /** True when firing the trigger runs the action. False when the trigger is gone. */
  readonly active: boolean;
}

/** A rule as its trigger sees it. */
export interface RuleLink {
  /** "namespace/name" of the rule. */
  readonly rule: string;
  /** Key of the action. */
  readonly action: string;
  readonly active: boolean;
}
