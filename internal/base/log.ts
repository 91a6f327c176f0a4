/** Values of a log line; names are the glossary's and fixed in docs/observability.md. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Log sentences: a constant message, values in fields. One JSON object per line.
 * debug: normal detail; info: a life-cycle event a person would like to know; warn: coped, but someone may have to
 * look; error: something was lost or a promise broken. The caller's mistakes are never above info.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** `error` in the fields is written with its kind, reason and cause chain. */
  error(message: string, fields?: LogFields): void;
  /** A log that adds these fields to every line. */
  with(fields: LogFields): Log;
}

/** Keeps nothing. For tests that do not look at logs. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};
