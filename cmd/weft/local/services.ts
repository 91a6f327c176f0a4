// What `weft up` needs to find on the machine, where it looked, and what brings what is missing.

import { existsSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { valueIn } from "./state.js";

export interface Services {
  readonly etcdEndpoints: string;
  readonly postgresUrl: string;
  readonly dockerHost: string;
  readonly envoy: string;
}

export interface Finding {
  readonly name: "etcd" | "Postgres" | "Docker" | "Envoy";
  /** What is used. */
  readonly value: string;
  /** undefined: it is there. */
  readonly problem: string | undefined;
}

/** Everything at once, so that a person sees all that is missing. */
export async function findServices(
  stateDir: string,
  env: NodeJS.ProcessEnv,
): Promise<{
  readonly services: Services;
  readonly findings: readonly Finding[];
}> {
  const given = (name: string): string | undefined => env[name] ?? valueIn(join(stateDir, "services.env"), name);
  const services: Services = {
    etcdEndpoints: given("WEFT_ETCD_ENDPOINTS") ?? "127.0.0.1:2379",
    postgresUrl: given("WEFT_POSTGRES_URL") ?? "",
    dockerHost: given("WEFT_DOCKER_HOST") ?? env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock",
    envoy: given("WEFT_ENVOY") ?? onPath("envoy", env["PATH"]) ?? installedEnvoy() ?? "",
  };
  const [etcd, postgres, docker] = await Promise.all([
    probeTcp(services.etcdEndpoints.split(",")[0] ?? "", 2379),
    services.postgresUrl === ""
      ? Promise.resolve("no WEFT_POSTGRES_URL, in the environment or in .weft/services.env")
      : probeTcp(hostOf(services.postgresUrl), 5432),
    probeDocker(services.dockerHost),
  ]);
  return {
    services,
    findings: [
      { name: "etcd", value: services.etcdEndpoints, problem: etcd },
      { name: "Postgres", value: shownUrl(services.postgresUrl), problem: postgres },
      { name: "Docker", value: services.dockerHost, problem: docker },
      {
        name: "Envoy",
        value: services.envoy,
        problem:
          services.envoy === ""
            ? "no WEFT_ENVOY, none on the PATH, none installed by deploy/local/install"
            : existsSync(services.envoy)
              ? undefined
              : "there is no such file",
      },
    ],
  };
}

/** Which runtime images an engine has is the invoker's to say; here only whether it answers. */
function probeDocker(host: string): Promise<string | undefined> {
  if (host.startsWith("unix://")) return probe({ path: host.slice("unix://".length) });
  return probeTcp(hostOf(host), 2375);
}

function probeTcp(address: string, defaultPort: number): Promise<string | undefined> {
  const [host = "", port = String(defaultPort)] = address.replace(/^https?:\/\//, "").split(":");
  return probe({ host, port: Number(port) });
}

const PROBE_MS = 2_000;

function probe(
  where: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(where);
    socket.setTimeout(PROBE_MS, () => {
      socket.destroy();
      resolve(`does not answer within ${PROBE_MS / 1000} s`);
    });
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(`does not answer: ${error.code ?? error.message}`));
  });
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

function shownUrl(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.password !== "") parsed.password = "***";
    return parsed.toString();
  } catch {
    return url;
  }
}

function onPath(name: string, path: string | undefined): string | undefined {
  return (path ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** Where deploy/local/install puts it, newest version first. */
function installedEnvoy(): string | undefined {
  const dir = "/var/lib/weft/envoy";
  if (!existsSync(dir)) return undefined;
  return readdirSync(dir)
    .sort()
    .reverse()
    .map((version) => join(dir, version, "envoy"))
    .find((file) => existsSync(file));
}
