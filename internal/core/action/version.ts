import { invalidField } from "../../base/errors.js";

/** What a new entity has unless it names one. */
export const FIRST_VERSION = "0.0.1";

// Nine digits: what every client's 32-bit integers can hold.
const VERSION = /^(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?$/;

/** Reads "major.minor.patch"; missing parts are 0. @throws invalidArgument naming the field */
export function parseVersion(field: string, text: string): string {
  const parts = VERSION.exec(text);
  if (!parts) throw invalidField(field, `must be "major.minor.patch", got "${text.slice(0, 64)}"`);
  const version = [parts[1], parts[2], parts[3]].map((part) => Number(part ?? "0")).join(".");
  if (version === "0.0.0") throw invalidField(field, "must be above 0.0.0");
  return version;
}

/** The version of the next write. */
export function nextVersion(version: string): string {
  const [major = "0", minor = "0", patch = "0"] = version.split(".");
  return `${major}.${minor}.${Number(patch) + 1}`;
}
