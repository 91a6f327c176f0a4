// `weft up`: every role in a process of its own, on etcd, Postgres, Docker and Envoy found on this machine. It may be run
// again at any time: what lives is left alone, what has died is started.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join, resolve } from "node:path";
import { descriptorsPath } from "../../../internal/assembly/files.js";
import { socketDirectory } from "../../../internal/assembly/socket-directory.js";
import { WeftError } from "../../../internal/base/errors.js";
import { privateDirectory } from "../../../internal/base/private-directory.js";
import { renderEnvoyBootstrap } from "../../../internal/gateway/rest/envoy-bootstrap.js";
import { banner } from "./banner.js";
import { commandPath, etcdPrefixOf, NODE_FLAGS, packageRoot, roleEnvironment } from "./layout.js";
import { alive, startProcess, stopProcesses, type Started } from "./processes.js";
import { runToEnd } from "./run-to-end.js";
import { findServices, type Services } from "./services.js";
import {
  forgetRunning,
  openState,
  readRunning,
  writeRunning,
  writeWskprops,
  wskpropsPath,
  type LocalProcess,
  type LocalState,
} from "./state.js";

export interface UpOptions {
  readonly stateDir: string;
  readonly grpcAddress: string;
  readonly restAddress: string;
  readonly invokers: number;
  /** The first serves `grpcAddress`, each other the port after the one before; Envoy goes to all of them. */
  readonly gateways: number;
}

/** Where a person reads what happens. */
export interface Talk {
  /** Data. */
  readonly out: (text: string) => void;
  /** Talk. */
  readonly err: (text: string) => void;
}

/** Longest start of a role: a migration of a large database comes first and is not in it. */
const READY_MS = 30_000;
const STOP_GRACE_MS = 15_000;

export async function up(options: UpOptions, talk: Talk): Promise<void> {
  const fromMs = performance.now();
  const state = openState(options.stateDir);
  const running = readRunning(state.dir);
  if (running?.mode === "dev" && running.processes.some(alive)) {
    throw new WeftError("failedPrecondition", "DEV_IS_RUNNING", `weft dev runs in ${resolve(state.dir)}`, {
      fix: "weft down",
    });
  }
  const { services, findings } = await findServices(state.dir, process.env);
  for (const { name, value, problem } of findings) {
    talk.err(
      `${problem === undefined ? "\u2713" : "\u2717"} ${name.padEnd(9)} ${value}${problem === undefined ? "" : ` ${problem}`}\n`,
    );
  }
  const missing = findings.filter((finding) => finding.problem !== undefined);
  if (missing.length > 0) {
    throw new WeftError(
      "failedPrecondition",
      "SERVICE_MISSING",
      `${missing.map((finding) => finding.name).join(", ")} ${missing.length === 1 ? "is" : "are"} missing or down`,
      { fix: `${join(packageRoot, "deploy/local/install")}    (or, without any of them: weft dev)` },
    );
  }

  const installation = new Installation(state, services, options, talk);
  await installation.start();
  const roles = installation.names.join(" ");
  talk.out(
    banner("up", [
      ["gRPC", options.grpcAddress],
      ["REST", `http://${options.restAddress} (Envoy)`],
      ["Credentials", wskpropsPath(options.stateDir)],
      ["Roles", roles],
      ["Sandboxes", "Docker"],
      ["Logs", join(options.stateDir, "log")],
      ["Ready", `${((performance.now() - fromMs) / 1_000).toFixed(1)} s`],
      ["Stop", "weft down"],
    ]),
  );
}

/** Stops what `up` or `dev --detach` started here. @returns names of what was stopped */
export async function down(stateDir: string, talk: Talk): Promise<readonly string[]> {
  const running = readRunning(stateDir);
  if (!running) return [];
  const living = running.processes.filter(alive);
  // Those who send before those who serve: nothing is asked of a role that has gone.
  for (const group of [/^(envoy|dev)/, /^gateway/, /^controller/, /^invoker/, /^scheduler/]) {
    const stopping = living.filter((one) => group.test(one.name));
    const killed = await stopProcesses(stopping, STOP_GRACE_MS);
    for (const one of killed) talk.err(`${one.name} did not stop within ${STOP_GRACE_MS / 1_000} s and was killed\n`);
  }
  forgetRunning(stateDir);
  return living.map((one) => one.name);
}

class Installation {
  readonly #processes = new Map<string, LocalProcess>();
  readonly #logDir: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #envoy: string;
  /** Roles of one machine meet on Unix sockets: cheaper than TCP, and nobody else reaches them. */
  readonly #sockets: string;

  constructor(
    private readonly state: LocalState,
    services: Services,
    private readonly options: UpOptions,
    private readonly talk: Talk,
  ) {
    this.#logDir = join(state.dir, "log");
    mkdirSync(this.#logDir, { recursive: true, mode: 0o700 });
    for (const one of readRunning(state.dir)?.processes ?? []) if (alive(one)) this.#processes.set(one.name, one);
    this.#env = roleEnvironment(process.env, {
      WEFT_ETCD_ENDPOINTS: services.etcdEndpoints,
      WEFT_ETCD_PREFIX: process.env["WEFT_ETCD_PREFIX"] ?? etcdPrefixOf(state.dir),
      WEFT_POSTGRES_URL: services.postgresUrl,
      WEFT_DOCKER_HOST: services.dockerHost,
      WEFT_CLUSTER_KEY: state.clusterKey,
      WEFT_LOG_FORMAT: "json",
    });
    this.#envoy = services.envoy;
    this.#sockets = socketDirectory(join(state.dir, "sockets"));
    privateDirectory(this.#sockets);
  }

  get names(): readonly string[] {
    return [...this.#processes.keys()];
  }

  async start(): Promise<void> {
    const { grpcAddress } = this.options;
    const gateways = gatewayAddresses(this.options);
    await this.#stage("migrate", () => this.#migrate());
    await Promise.all([
      this.#ensure("scheduler-1", "scheduler", {}),
      this.#ensure("controller-1", "controller", {
        WEFT_BOOTSTRAP_KEY: this.state.auth,
        ...this.#parameterKeys(),
      }),
    ]);
    const invokers = Array.from({ length: this.options.invokers }, (_, i) => `invoker-${i + 1}`);
    await Promise.all([
      ...invokers.map((name) =>
        this.#ensure(name, "invoker", {
          WEFT_STATE_DIR: resolve(this.state.dir, name),
          WEFT_DRIVER: process.env["WEFT_DRIVER"] ?? "docker",
          WEFT_API_HOST: process.env["WEFT_API_HOST"] ?? `http://${this.options.restAddress}`,
        }),
      ),
      ...gateways.map((address, i) => this.#ensure(`gateway-${i + 1}`, "gateway", { WEFT_GRPC_ADDRESS: address })),
    ]);
    await this.#ensureEnvoy();
    writeWskprops(this.state, `http://${this.options.restAddress}`, grpcAddress);
  }

  /** Those that the environment names, which is passed on; else those kept in the state folder. */
  #parameterKeys(): Readonly<Record<string, string>> {
    const { WEFT_PARAMETER_KEYS: keys, WEFT_PARAMETER_KEYS_FILE: file } = process.env;
    return keys === undefined && file === undefined ? { WEFT_PARAMETER_KEYS: this.state.parameterKeys } : {};
  }

  async #migrate(): Promise<void> {
    await runToEnd("migrate", process.execPath, [commandPath("migrate")], this.#env, join(this.#logDir, "migrate.log"));
  }

  async #ensure(name: string, command: string, more: Readonly<Record<string, string>>): Promise<void> {
    if (this.#processes.has(name)) return;
    await this.#stage(name, async () => {
      const started = await startProcess({
        name,
        command: process.execPath,
        args: [...NODE_FLAGS, commandPath(command)],
        env: {
          ...this.#env,
          WEFT_INSTANCE_ID: name,
          WEFT_LISTEN_ADDRESS: `unix:${join(this.#sockets, name)}`,
          ...more,
        },
        logPath: join(this.#logDir, `${name}.log`),
        readyWithinMs: READY_MS,
      });
      this.#remember(started);
    });
  }

  async #ensureEnvoy(): Promise<void> {
    if (this.#processes.has("envoy")) return;
    await this.#stage("envoy", async () => {
      const configPath = join(this.state.dir, "envoy.yaml");
      const bootstrap = renderEnvoyBootstrap(readFileSync(join(packageRoot, "deploy/envoy/bootstrap.yaml"), "utf8"), {
        listenAddress: this.options.restAddress,
        adminAddress: "127.0.0.1:0",
        gatewayAddresses: gatewayAddresses(this.options),
        descriptorsPath,
      });
      writeFileSync(configPath, bootstrap, { mode: 0o600 });
      const logPath = join(this.#logDir, "envoy.log");
      const started = await startProcess({
        name: "envoy",
        command: this.#envoy,
        // With hot restart Envoy asks the kernel to end it with the process that started it: this one, which leaves.
        args: ["-c", configPath, "--log-level", "warn", "--concurrency", "1", "--disable-hot-restart"],
        env: this.#env,
        logPath,
        readyWithinMs: undefined,
      });
      this.#remember(started);
      await answers(`http://${this.options.restAddress}/ping`, READY_MS, () => alive(started), logPath);
    });
  }

  #remember({ name, pid, startId }: Started): void {
    this.#processes.set(name, { name, pid, startId });
    // After each: an `up` that is cut short leaves nothing that `down` does not know.
    writeRunning(this.state.dir, {
      mode: "up",
      rest: `http://${this.options.restAddress}`,
      grpc: this.options.grpcAddress,
      processes: [...this.#processes.values()],
    });
  }

  async #stage(name: string, act: () => Promise<void>): Promise<void> {
    const fromMs = performance.now();
    await act();
    this.talk.err(`\u2713 ${name.padEnd(13)} ${((performance.now() - fromMs) / 1_000).toFixed(1)} s\n`);
  }
}

function gatewayAddresses({ grpcAddress, gateways }: UpOptions): readonly string[] {
  const colon = grpcAddress.lastIndexOf(":");
  const [host, port] = [grpcAddress.slice(0, colon), Number(grpcAddress.slice(colon + 1))];
  return Array.from({ length: gateways }, (_, i) => (i === 0 ? grpcAddress : `${host}:${port + i}`));
}

const POLL_MS = 50;

async function answers(url: string, withinMs: number, living: () => boolean, logPath: string): Promise<void> {
  const until = performance.now() + withinMs;
  let last = "";
  while (performance.now() < until && living()) {
    last = await new Promise<string>((done) => {
      const asked = request(url, { timeout: 1_000 }, (response) => {
        response.resume();
        done(response.statusCode === 200 ? "" : `answers ${response.statusCode ?? 0}`);
      });
      asked.on("timeout", () => asked.destroy(new Error("no answer within 1 s")));
      asked.on("error", (error) => done(error.message));
      asked.end();
    });
    if (last === "") return;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new WeftError("unavailable", "START_FAILED", `${url} does not answer: ${last}`, { fix: `see ${logPath}` });
}
