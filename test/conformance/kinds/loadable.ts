// What a sandbox loads of a kind's `action`, for a row that speaks with a sandbox and not with a fabric.

import { expect } from "vitest";

import { readManifest } from "../../../internal/assembly/files.js";
import type { SandboxDriver } from "../../../internal/core/sandbox/driver.js";
import { BuildOutcome, BuildStep, FromSandbox, ToSandbox } from "../../../internal/gen/weft/runtime/v1/sandbox.pb.js";
import type { Family } from "./family.js";

/** What must be compiled is built as an invoker does it. */
export async function loadable(
  driver: SandboxDriver,
  kind: string,
  family: Family,
): Promise<{ readonly code: Uint8Array; readonly main: string; readonly binary: boolean }> {
  const source = family.source("action");
  const main = family.can.main ?? "";
  const build = readManifest().kinds.find((one) => one.kind === kind)?.build;
  if (!build?.compiles) return { code: source, main, binary: false };
  const spec = { sandbox: 2, kind, memoryMb: build.memoryMb, pidsMax: 1_024, env: {}, build: true } as const;
  const sandbox = await driver.create(spec, 30_000, new AbortController().signal);
  try {
    const value = { actionName: "action", main, source, binary: false, step: BuildStep.COMPILE };
    const answer = new Promise<Uint8Array>((resolve) => (sandbox.link.onMessage = resolve));
    sandbox.link.send(ToSandbox.encode({ message: { $case: "build", value } }).finish());
    const { message } = FromSandbox.decode(await answer);
    const built = message?.$case === "buildResult" ? message.value : undefined;
    expect(built).toMatchObject({ outcome: BuildOutcome.BUILT });
    // A source that is loaded as it is when nothing came out: as the controller has it.
    const { artifact = new Uint8Array() } = built ?? {};
    return artifact.length === 0 ? { code: source, main, binary: false } : { code: artifact, main, binary: true };
  } finally {
    await sandbox.destroy();
  }
}
