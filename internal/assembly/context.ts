import type { CommandContext } from "../boot/command.js";
import type { Schema } from "../base/config.js";
import { sleep } from "../base/clock.js";

/** What a role gets of the process it lives in. Several roles of one process share all of it but names and logs. */
export type RoleContext = Pick<
  CommandContext<Schema>,
  "scope" | "log" | "clock" | "random" | "metrics" | "tracer" | "admin" | "bootId" | "instanceId" | "signal"
>;

const LOOK_MS = 20;
/** What keeps a role from being ready is told this often. */
const TELL_MS = 5_000;

/** Resolves when a role can serve; says now and then what it waits for. @throws when the process is told to stop */
export async function untilReady(context: RoleContext, readiness: () => true | string): Promise<void> {
  let toldMonoMs = context.clock.monoMs();
  for (;;) {
    const answer = readiness();
    if (answer === true) return;
    const now = context.clock.monoMs();
    if (now - toldMonoMs >= TELL_MS) {
      toldMonoMs = now;
      context.log.warn("not ready yet", { reason: answer });
    }
    await sleep(context.clock, LOOK_MS, context.signal);
  }
}
