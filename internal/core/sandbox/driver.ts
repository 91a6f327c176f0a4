import type { MessageLink } from "../../base/socket-link.js";

/** What a sandbox is made of. */
export interface SandboxSpec {
  /** Number on this invoker, unique within its boot. */
  readonly sandbox: number;
  /** Kind of the manifest, for example "nodejs:20", or "blackbox:<image>" (core/action/image.ts). */
  readonly kind: string;
  readonly memoryMb: number;
  /** Most processes and threads inside. */
  readonly pidsMax: number;
  /** Environment set at creation, before any code: only what is the same for every action. */
  readonly env: Readonly<Record<string, string>>;
  /** True for a sandbox in which an action of the kind is built: its runtime answers Build, and nothing else. */
  readonly build?: true;
  /** True for a build that reaches package registries, through what the driver was told of them. */
  readonly registries?: boolean;
}

/** Why a sandbox ended by itself. */
export type SandboxExit =
  | { readonly kind: "exited"; readonly code: number | undefined; readonly signal: string | undefined }
  | { readonly kind: "outOfMemory"; readonly limitMb: number }
  | { readonly kind: "tooManyProcesses"; readonly limit: number }
  /** It wrote more to its root than it may. */
  | { readonly kind: "outOfDisk"; readonly limitMb: number };

/** Bytes that user code wrote past the runtime, straight to its standard output or error. */
export interface RawOutput {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Uint8Array;
}

/**
 * A running sandbox. Its runtime has connected; messages are those of weft.runtime.v1, already framed: each item is
 * one encoded ToSandbox (out) or FromSandbox (in).
 */
export interface SandboxProcess {
  /** Name by which a later life of the invoker finds it again; undefined when it ends with the invoker's process. */
  readonly survivesAs?: string | undefined;
  /**
   * Ends when the runtime's connection ends; the driver then ends the sandbox. Its Hello was read by the driver; nothing
   * else is said before Init, so `onMessage` may be set any time before that is sent.
   */
  readonly link: MessageLink;
  /** The exact version of the language inside, from its Hello. */
  readonly languageVersion: string;
  /** Resolves when it ended by itself or was stopped. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  /**
   * Called for raw output; set it before the first run. What nobody takes is dropped, and more than
   * RAW_OUTPUT_BYTES_PER_SECOND_MAX makes the writer wait.
   */
  onRawOutput: (output: RawOutput) => void;
  /** Stops all its processes without ending them. May be repeated. */
  freeze(): Promise<void>;
  /** Lets them run again. May be repeated. */
  unfreeze(): Promise<void>;
  /** Lets go of it without ending it: a later life of the invoker takes it over. Only of one that `survivesAs` something. */
  leave?(): Promise<void>;
  /** Kills everything inside at once and removes it. May be repeated; resolves when nothing is left. */
  destroy(): Promise<void>;
}

/**
 * How firmly a limit holds. "exact": the kernel refuses what is above it. "watched": the driver looks every so often and
 * ends a sandbox that is above it, which may be too late for the machine. "none": nobody looks.
 */
export type Enforcement = "exact" | "watched" | "none";

/** What a driver can do; shown to people, and decided by. */
export interface DriverAbilities {
  readonly name: "docker" | "process";
  /** True when code inside cannot reach the host, the network's control ports or other sandboxes. */
  readonly isolation: boolean;
  readonly memoryLimit: Enforcement;
  readonly pidsLimit: Enforcement;
  readonly freeze: boolean;
  /** What is not held, one sentence each, for people. Empty when everything is. */
  readonly caveats: readonly string[];
}

/** A sandbox of an earlier life, as that life wrote it down. */
export interface Survivor {
  readonly mark: string;
  /** What it was made of, with its number in this life. */
  readonly spec: SandboxSpec;
}

/** A sandbox that was taken over. */
export interface AdoptedSandbox {
  readonly mark: string;
  readonly process: SandboxProcess;
  /** True when its runtime has loaded code. */
  readonly loaded: boolean;
}

/** Makes sandboxes. Implemented by internal/docker and internal/process; both pass sandboxDriverSuite. */
export interface SandboxDriver {
  /** Complete once `kinds` has resolved for the first time: some of it is found out by trying. */
  readonly abilities: DriverAbilities;
  /** Kinds it can make, "blackbox" for images of actions, given the images or interpreters found. */
  kinds(): Promise<readonly string[]>;
  /**
   * Creates and starts a sandbox and resolves when its runtime has said Hello.
   * @throws failedPrecondition IMAGE_MISSING with a fix, unavailable DRIVER_UNAVAILABLE, deadlineExceeded when the
   * runtime does not say hello within `timeoutMs`, canceled when the signal aborts. Nothing is left behind then.
   */
  create(spec: SandboxSpec, timeoutMs: number, signal: AbortSignal): Promise<SandboxProcess>;
  /**
   * Takes over those sandboxes of earlier lives of this invoker that still run and whose runtime comes back within
   * `timeoutMs`. What had something to do when the earlier life ended does not come back. Call it before `cleanUp`, which
   * removes all others. A driver whose sandboxes end with the invoker's process does not have it.
   * @returns those that are there, in no order
   */
  adopt?(survivors: readonly Survivor[], timeoutMs: number): Promise<readonly AdoptedSandbox[]>;
  /**
   * Removes what earlier lives of this invoker (same id) left behind and nobody adopted; call it before the first
   * `create`. @returns how many
   */
  cleanUp(): Promise<number>;
  /** Destroys every sandbox that was not left, and removes what the driver keeps on disk. May be repeated. */
  close(): Promise<void>;
}
