import type { TurnsOptions } from "../base/turns.js";

const MIB = 1024 * 1024;

/**
 * Requests with much code: what is made of one on its way takes several times its size, and reading it as JSON keeps the
 * thread for a while. Those of gRPC have these turns, and those of REST have them once more.
 */
export const LARGE_REQUESTS: TurnsOptions = {
  countsFrom: 4 * MIB,
  /** The largest one. */
  bytesAtOnce: 64 * MIB,
  /** Ten of the largest, in the form that takes most. */
  waitingBytesMax: 680 * MIB,
};
