import pc from "picocolors";
import type { Activation } from "../../../internal/core/activation/types.js";

/** One activation, one line: when, how it ended, what, how its sandbox came, how long, its id. */
export function activationLine(activation: Activation, colour: boolean): string {
  const paint = pc.createColors(colour);
  const at = new Date(activation.startWallMs).toTimeString().slice(0, 8);
  const name = activation.path.slice(activation.path.indexOf("/") + 1).padEnd(20);
  if (activation.of === "trigger")
    return `${paint.dim(at)} ${paint.cyan("\u26a1")} ${name} fired${" ".repeat(17)} ${paint.dim(activation.id)}`;
  const good = activation.outcome === "success";
  const mark = good ? paint.green("\u2713") : paint.red("\u2717");
  const start = (activation.startKind ?? "").padEnd(6);
  const took = `${activation.durationMs} ms`.padStart(8);
  return `${paint.dim(at)} ${mark} ${name} ${start} ${took} ${OUTCOMES[activation.outcome].padEnd(5)} ${paint.dim(activation.id)}`;
}

const OUTCOMES: Readonly<Record<Extract<Activation, { of: "action" }>["outcome"], string>> = {
  success: "ok",
  applicationError: "app error",
  developerError: "dev error",
  platformError: "lost",
};
