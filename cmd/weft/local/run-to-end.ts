import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { WeftError } from "../../../internal/base/errors.js";
import { lastLines } from "./processes.js";

/** Runs a command to its end, its output in a file. @throws unavailable with the end of that file when it fails */
export async function runToEnd(
  name: string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  logPath: string,
): Promise<void> {
  const log = openSync(logPath, "a", 0o600);
  const child = spawn(command, args, { env, stdio: ["ignore", log, log] });
  closeSync(log);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  if (code !== 0) {
    throw new WeftError(
      "unavailable",
      "START_FAILED",
      `${name} ended with code ${code ?? "?"}\n${lastLines(logPath)}`,
      {
        fix: `see ${logPath}`,
      },
    );
  }
}
