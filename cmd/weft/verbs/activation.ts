// Activations: show, list, follow.

import { WeftError } from "../../../internal/base/errors.js";
import {
  ActivationServiceService as Service,
  Outcome,
  Subject,
  type Activation,
} from "../../../internal/gen/weft/activation/v1/activation.pb.js";
import type { Cli } from "../cli-context.js";
import { parseName } from "../names.js";
import { duration, instant, msOf, time, usage, type Instant, type Screen } from "../output.js";
import { activationJson, outcomeOf, resultText, startOf } from "../show.js";
import type { Verb } from "../spec.js";
import { listed } from "./pages.js";

/** A record is there when the activation has ended and its logs are collected: usually soon after the id. */
const DEFAULT_WAIT_S = 2;
const LOOK_AGAIN_MS = 100;
const POLL_MS = 500;

export const getActivation: Verb = async (cli, [id = ""], values) => {
  const waitS = values.number("wait", 0, 86_400) ?? DEFAULT_WAIT_S;
  showActivation(cli.screen, await recordOf(cli, id, waitS));
};

export const printLogs: Verb = async (cli, [id = ""], values) => {
  const { logs } = await recordOf(cli, id, DEFAULT_WAIT_S);
  if (cli.screen.json) cli.screen.printJson(logs);
  else for (const line of logs) cli.screen.print(values.flag("strip") ? stripped(line) : line);
};

export const printResult: Verb = async (cli, [id = ""]) => {
  const activation = await recordOf(cli, id, DEFAULT_WAIT_S);
  cli.screen.print(resultText(activation.resultJson));
  if (activation.outcome === Outcome.SUCCESS) return 0;
  cli.screen.say(outcomeOf(activation.outcome));
  return 1;
};

export const listActivations: Verb = async (cli, [nameText], values) => {
  const of = nameText === undefined ? { namespace: cli.namespace, name: "" } : parseName(nameText, cli.namespace, 2);
  const since = sinceOf(values.text("since"));
  const activations = await listed(cli, values, async (request) => {
    const { activations: entries, nextPageToken } = await cli.call(Service.listActivations, {
      ...of,
      ...request,
      since,
      upto: undefined,
      full: cli.screen.json,
      withTotal: false,
    });
    return { entries, next: nextPageToken };
  });
  if (cli.screen.json) cli.screen.printJson(activations.map(activationJson));
  else {
    cli.screen.table(activations, [
      { title: "STARTED", value: (a) => time(a.startTime) },
      { title: "ACTIVATION", value: (a) => a.activationId },
      { title: "NAME", value: (a) => a.path },
      { title: "OUTCOME", value: (a) => (a.timedOut ? `${outcomeOf(a.outcome)} (time limit)` : outcomeOf(a.outcome)) },
      { title: "START", value: (a) => (a.of === Subject.TRIGGER ? "trigger" : startOf(a.start)) },
      { title: "DURATION", value: (a) => (a.of === Subject.TRIGGER ? "" : duration(a.durationMs)), right: true },
    ]);
  }
};

export const pollActivations: Verb = async (cli, [nameText]) => {
  const of = nameText === undefined ? { namespace: cli.namespace, name: "" } : parseName(nameText, cli.namespace, 2);
  const { signal } = cli.io;
  const seen = new Map<string, number>();
  let sinceMs = Date.now();
  cli.screen.say("showing activations as they end; Ctrl-C ends this");
  while (!signal.aborted) {
    const { activations } = await cli.call(Service.listActivations, {
      ...of,
      since: instant(sinceMs),
      upto: undefined,
      full: true,
      pageSize: 200,
      pageToken: "",
      skip: 0,
      withTotal: false,
    });
    for (const activation of [...activations].reverse()) {
      if (seen.has(activation.activationId)) continue;
      seen.set(activation.activationId, activation.startTime ? msOf(activation.startTime) : 0);
      followed(cli.screen, activation);
    }
    // A record appears at its end and is ordered by its start: those that started within the longest run may still come.
    const longestRunMs = 310_000;
    sinceMs = Math.max(sinceMs, Date.now() - longestRunMs);
    for (const [id, startMs] of seen) if (startMs < sinceMs) seen.delete(id);
    await pause(POLL_MS, signal);
  }
  return 130;
};

/** One activation with everything that is known of it. */
export function showActivation(screen: Screen, activation: Activation): void {
  if (screen.json) {
    screen.printJson(activationJson(activation));
    return;
  }
  const { bold } = screen.colours;
  const trigger = activation.of === Subject.TRIGGER;
  const outcome = `${outcomeOf(activation.outcome)}${activation.timedOut ? " (its time limit ended it)" : ""}`;
  const init = activation.initMs === undefined ? "" : `, of which init ${duration(activation.initMs)}`;
  screen.fields([
    ["activation", bold(activation.activationId)],
    [trigger ? "trigger" : "action", `/${activation.path}`],
    ["version", activation.version],
    ["kind", activation.kind],
    ["outcome", outcomeColour(screen, activation)(outcome)],
    ["started", time(activation.startTime)],
    ["duration", trigger ? undefined : `${duration(activation.durationMs)}${init}`],
    ["waited", trigger ? undefined : duration(activation.waitMs)],
    ["start", startOf(activation.start)],
    ["cause", activation.cause],
    ["trace", activation.traceId],
    [trigger ? "payload" : "result", resultText(activation.resultJson)],
    ["logs", activation.logs.join("\n")],
    ["reproduce", reproduceText(activation)],
  ]);
}

/** How to see the code's own failure on one's own machine. Arguments are nowhere kept: who called knows them. */
function reproduceText({ outcome, of, kind, path }: Activation): string | undefined {
  const ofCode = outcome === Outcome.APPLICATION_ERROR || outcome === Outcome.DEVELOPER_ERROR;
  if (of === Subject.TRIGGER || !ofCode || NOT_CODE.includes(kind)) return undefined;
  return `weft action invoke --local /${path}    (and what it was given: --param, --param-file)`;
}

/** Kinds without code of their own. */
const NOT_CODE = ["", "sequence", "builtin"];

/** @throws notFound when there is none by the end of the wait */
async function recordOf(cli: Cli, id: string, waitS: number): Promise<Activation> {
  const activationId = id === "last" ? await lastId(cli) : id;
  const until = performance.now() + waitS * 1_000;
  const look = async (): Promise<Activation> => {
    for (;;) {
      try {
        return await cli.call(Service.getActivation, { namespace: cli.namespace, activationId });
      } catch (thrown) {
        if (!(thrown instanceof WeftError) || thrown.kind !== "notFound") throw thrown;
        if (performance.now() >= until) {
          throw new WeftError("notFound", thrown.reason, `${thrown.message}; it may still be running`, {
            cause: thrown,
            fix: `weft activation get ${activationId} --wait 60`,
          });
        }
        await pause(LOOK_AGAIN_MS, cli.io.signal);
      }
    }
  };
  return cli.screen.progress("waiting for the activation to end", look());
}

async function lastId(cli: Cli): Promise<string> {
  const { activations } = await cli.call(Service.listActivations, {
    namespace: cli.namespace,
    name: "",
    since: undefined,
    upto: undefined,
    full: false,
    pageSize: 1,
    pageToken: "",
    skip: 0,
    withTotal: false,
  });
  const [last] = activations;
  if (!last)
    throw new WeftError("notFound", "NO_ACTIVATIONS", "there are no activations yet", {
      fix: "weft action invoke NAME",
    });
  return last.activationId;
}

function followed(screen: Screen, activation: Activation): void {
  if (screen.json) {
    screen.print(JSON.stringify({ activationId: activation.activationId, outcome: outcomeOf(activation.outcome) }));
    return;
  }
  const took = activation.of === Subject.TRIGGER ? "fired" : duration(activation.durationMs);
  const outcome = outcomeColour(screen, activation)(outcomeOf(activation.outcome));
  screen.print(
    [time(activation.startTime), activation.activationId, activation.path, startOf(activation.start), took, outcome]
      .filter((part) => part !== "")
      .join("  "),
  );
  for (const line of activation.logs) screen.print(`  ${line}`);
}

function outcomeColour(screen: Screen, { outcome }: Activation): (text: string) => string {
  return outcome === Outcome.SUCCESS ? screen.colours.green : screen.colours.red;
}

/** "<time> stdout: text" without its front. */
function stripped(line: string): string {
  return line.replace(/^\S+\s+(stdout|stderr): ?/, "");
}

/** @throws invalidArgument */
export function sinceOf(text: string | undefined, nowMs = Date.now()): Instant | undefined {
  if (text === undefined) return undefined;
  const ago = /^(\d+)(s|m|h|d)$/.exec(text);
  if (ago) {
    const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[ago[2] as "s" | "m" | "h" | "d"];
    return instant(nowMs - Number(ago[1]) * unitMs);
  }
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw usage(`--since ${text}: write a time like 2026-01-31T12:00:00Z, or 10m, 2h, 1d`);
  return instant(at);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    signal.addEventListener("abort", end, { once: true });
  });
}
