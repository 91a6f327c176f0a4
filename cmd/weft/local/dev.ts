// `weft dev`: the whole fabric in this process. Embedded Postgres, coordination in memory, child processes as sandboxes (or
// Docker where asked), the built-in REST face. It stays in the foreground with a line per activation.

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { startController } from "../../../internal/assembly/controller.js";
import { startGateway } from "../../../internal/assembly/gateway.js";
import { startInvoker } from "../../../internal/assembly/invoker.js";
import { startScheduler } from "../../../internal/assembly/scheduler.js";
import { apiSettings, buildNetworkSettings, INVOKER_DEFAULTS } from "../../../internal/assembly/settings.js";
import { boolean, choice, integer, optional, secret, text } from "../../../internal/base/config.js";
import { WeftError } from "../../../internal/base/errors.js";
import { newBootId } from "../../../internal/base/ids.js";
import { LOG_LEVELS } from "../../../internal/base/pino-log.js";
import { localWiring } from "../../../internal/assembly/wiring.js";
import { processEdge, runCommandAt, type CommandContext } from "../../../internal/boot/command.js";
import { startEmbeddedPostgres } from "../../../internal/postgres/embedded.js";
import { activationLine } from "./activation-line.js";
import { banner } from "./banner.js";
import {
  DEFAULT_GRPC_ADDRESS,
  DEFAULT_REST_ADDRESS,
  DEFAULT_STATE_DIR,
  commandPath,
  NODE_FLAGS,
  roleEnvironment,
} from "./layout.js";
import { alive, startIdOf, startProcess } from "./processes.js";
import { forgetRunning, openState, readRunning, writeRunning, writeWskprops, wskpropsPath } from "./state.js";
import type { Talk } from "./up.js";

export const devSettings = {
  stateDir: text("where credentials and data are kept", DEFAULT_STATE_DIR),
  grpc: text("where gRPC clients reach it", DEFAULT_GRPC_ADDRESS),
  rest: text("where REST clients reach it", DEFAULT_REST_ADDRESS),
  driver: choice("what makes sandboxes; process: child processes, no isolation", ["process", "docker"], "process"),
  dockerHost: text("where the Docker engine answers, with --driver docker", "unix:///var/run/docker.sock"),
  apiHost: optional(text("URL of the REST API as code in sandboxes is told it, __OW_API_HOST; default: --rest")),
  memoryMb: integer("memory for sandboxes, MiB", { default: 4_096, min: 128 }),
  postgresUrl: optional(secret("a Postgres of yours instead of the embedded one")),
  parameterKeys: optional(
    secret(
      "keys to encrypt default parameters with, see weft-controller; without it parameter.keys in the state folder",
    ),
  ),
  hideParameters: boolean("show default parameters encrypted when they are read", false),
  ...apiSettings,
  ...buildNetworkSettings,
  // A person at a terminal reads activations, not the life of roles.
  logLevel: choice("least level that is logged", LOG_LEVELS, "warn"),
};

/** First start: a database is made. */
const READY_MS = 60_000;
const MEMBER_TTL_MS = 10_000;
const POSTGRES_CONNECTIONS = 8;

/** Runs until it is told to stop. @returns the exit code */
export function dev(argv: readonly string[], talk: Talk): Promise<number> {
  const fromMs = performance.now();
  return runCommandAt({ ...processEdge(), argv }, "dev", devSettings, async (context) => {
    const { config, scope, log, ready } = context;
    const state = openState(config.stateDir);
    const other = readRunning(state.dir);
    if (other?.processes.some((one) => one.pid !== process.pid && alive(one))) {
      throw new WeftError("failedPrecondition", "ALREADY_RUNNING", `weft ${other.mode} runs in ${resolve(state.dir)}`, {
        fix: `weft down --state-dir ${config.stateDir}`,
      });
    }
    const postgresUrl = config.postgresUrl ?? (await embedded(context, join(state.dir, "postgres")));

    const wiring = localWiring(context, state.clusterKey);
    const role = (name: string): CommandContext<typeof devSettings> => ({
      ...context,
      log: log.with({ role: name }),
      instanceId: `${name}-1`,
      // Of its own: a scheduler takes two dispatchers of one boot for one that came again, and ends the first.
      bootId: newBootId(context.random),
    });
    const common = { listenAddress: "127.0.0.1:0", memberTtlMs: MEMBER_TTL_MS };
    await startScheduler(role("scheduler"), wiring, common);
    await startController(
      role("controller"),
      wiring,
      {
        ...common,
        postgresUrl,
        postgresConnections: POSTGRES_CONNECTIONS,
        bootstrapKey: state.auth,
        bootstrapNamespace: "guest",
        catalogue: true,
        feedsMax: 1_000,
        blackboxImages: ["*"],
        alarmIntervalMs: 1_000,
        retentionDays: 7,
        parameterKeys: config.parameterKeys ?? state.parameterKeys,
        hideParameters: config.hideParameters,
        tokenProviders: config.tokenProviders,
      },
      {
        migrate: true,
        onRecorded: (activation) => talk.out(`${activationLine(activation, process.stdout.isTTY)}\n`),
      },
    );
    const stateDir = join(state.dir, "invoker-1");
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    await startInvoker(role("invoker"), wiring, {
      ...INVOKER_DEFAULTS,
      ...common,
      driver: config.driver,
      dockerHost: config.dockerHost,
      apiHost: config.apiHost ?? `http://${config.rest}`,
      memoryMb: config.memoryMb,
      buildRegistries: config.buildRegistries,
      buildEnv: config.buildEnv,
      buildCaFile: config.buildCaFile,
      stateDir,
      programPath: process.env["PATH"] ?? "",
    });
    const { grpc, http } = await startGateway(role("gateway"), wiring, {
      grpcAddress: config.grpc,
      httpAddress: config.rest,
      tokenProviders: config.tokenProviders,
      memberTtlMs: MEMBER_TTL_MS,
    });

    const rest = `http://${http ?? config.rest}`;
    writeWskprops(state, rest, grpc);
    writeRunning(state.dir, {
      mode: "dev",
      rest,
      grpc,
      processes: [{ name: "dev", pid: process.pid, startId: startIdOf(process.pid) ?? "" }],
    });
    scope.use("running.json", state.dir, forgetRunning);
    talk.out(
      banner("dev", [
        ["gRPC", grpc],
        ["REST", rest],
        ["Credentials", wskpropsPath(config.stateDir)],
        [
          "Embedded",
          config.postgresUrl === undefined
            ? `Postgres (${join(config.stateDir, "postgres")}), coordination`
            : "coordination",
        ],
        ["Sandboxes", config.driver === "process" ? "child processes: no isolation" : "Docker"],
        ["Ready", `${((performance.now() - fromMs) / 1_000).toFixed(1)} s`],
      ]),
    );
    ready({ grpc, rest });
  });
}

async function embedded(context: CommandContext<typeof devSettings>, directory: string): Promise<string> {
  const postgres = context.scope.use("embedded postgres", await startEmbeddedPostgres(context, directory), (p) =>
    p.stop(),
  );
  void postgres.exited.then(() => {
    if (!context.signal.aborted)
      context.fail(new WeftError("unavailable", "POSTGRES_ENDED", "the embedded Postgres ended"));
  });
  return postgres.url;
}

/** `weft dev --detach`: the same in a process of its own. Resolves when it serves. */
export async function devDetached(argv: readonly string[], stateDir: string, talk: Talk): Promise<void> {
  const logPath = join(openState(stateDir).dir, "dev.log");
  const started = await startProcess({
    name: "dev",
    command: process.execPath,
    args: [...NODE_FLAGS, commandPath("weft"), "dev", ...argv],
    env: roleEnvironment(process.env, {}),
    logPath,
    readyWithinMs: READY_MS,
  });
  talk.out(
    banner("dev", [
      ["gRPC", String(started.details["grpc"])],
      ["REST", String(started.details["rest"])],
      ["Credentials", wskpropsPath(stateDir)],
      ["Log", logPath],
      ["Stop", stateDir === DEFAULT_STATE_DIR ? "weft down" : `weft down --state-dir ${stateDir}`],
    ]),
  );
}
