// Entities and activations as the CLI shows them: as JSON for programs, and in words.

import { Outcome, Start, Subject, type Activation } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import type { KeyValue, Limits } from "../../internal/gen/weft/common/v1/common.pb.js";
import { pretty, RawJson } from "./json-text.js";
import { iso } from "./output.js";

export const OUTCOMES: Readonly<Record<number, string>> = {
  [Outcome.SUCCESS]: "success",
  [Outcome.APPLICATION_ERROR]: "application error",
  [Outcome.DEVELOPER_ERROR]: "developer error",
  [Outcome.PLATFORM_ERROR]: "platform error",
};

export const STARTS: Readonly<Record<number, string>> = {
  [Start.WARM]: "warm",
  [Start.FROZEN]: "frozen",
  [Start.STEM]: "stem",
  [Start.COLD]: "cold",
};

export function outcomeOf(outcome: number): string {
  return OUTCOMES[outcome] ?? `unknown (${outcome})`;
}

/** "warm", "cold", …; "" for triggers. */
export function startOf(start: number): string {
  return STARTS[start] ?? "";
}

export function keyValuesJson(all: readonly KeyValue[]): unknown[] {
  return all.map(({ key, valueJson, init, encryption }) => ({
    key,
    value: new RawJson(valueJson),
    init: init || undefined,
    encryption,
  }));
}

/** "name = "Ada"" lines. */
export function keyValuesText(all: readonly KeyValue[]): string {
  return all.map(({ key, valueJson }) => `${key} = ${valueJson}`).join("\n");
}

export function limitsJson(limits: Limits | undefined): unknown {
  return (
    limits && {
      timeoutMs: limits.timeoutMs,
      memoryMb: limits.memoryMb,
      logsMb: limits.logsMb,
      concurrency: limits.concurrency,
      instances: limits.instances,
    }
  );
}

export function limitsText(limits: Limits | undefined): string | undefined {
  if (!limits) return undefined;
  const { timeoutMs, memoryMb, logsMb, concurrency, instances } = limits;
  const most = instances === undefined ? "" : `, at most ${instances} ${instances === 1 ? "sandbox" : "sandboxes"}`;
  return `${timeoutMs} ms, ${memoryMb} MiB, logs ${logsMb ?? 10} MiB, concurrency ${concurrency}${most}`;
}

export function activationJson(activation: Activation): unknown {
  const { of, limits } = activation;
  return {
    activationId: activation.activationId,
    namespace: activation.namespace,
    name: activation.name,
    path: activation.path,
    version: activation.version,
    subject: activation.subject,
    of: of === Subject.TRIGGER ? "trigger" : "action",
    kind: activation.kind || undefined,
    startTime: iso(activation.startTime),
    endTime: iso(activation.endTime),
    durationMs: activation.durationMs,
    initMs: activation.initMs,
    waitMs: activation.waitMs,
    outcome: outcomeOf(activation.outcome).replace(/ (\w)/, (_, letter: string) => letter.toUpperCase()),
    timedOut: activation.timedOut,
    start: startOf(activation.start) || undefined,
    result: new RawJson(activation.resultJson),
    resultSize: activation.resultSize,
    logs: activation.logs,
    limits: limits && {
      timeoutMs: limits.timeoutMs,
      memoryMb: limits.memoryMb,
      logsMb: limits.logsMb,
      concurrency: limits.concurrency,
    },
    cause: activation.cause || undefined,
    traceId: activation.traceId || undefined,
  };
}

/** The result as text, indented; "null" when there is none. */
export function resultText(resultJson: string): string {
  return resultJson.trim() === "" ? "null" : pretty(resultJson);
}
