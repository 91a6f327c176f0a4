// `weft doctor`: what may be wrong on this machine and with what is configured, each finding with what mends it.

import { existsSync, statfsSync } from "node:fs";
import { connect } from "node:net";

import { toWeftError } from "../../../internal/base/errors.js";
import { AccessServiceService } from "../../../internal/gen/weft/access/v1/access.pb.js";
import type { Cli } from "../cli-context.js";
import { packageRoot } from "../local/layout.js";
import { findServices } from "../local/services.js";
import { resolve } from "node:path";
import { size } from "../output.js";
import type { Verb } from "../spec.js";

interface Finding {
  readonly what: string;
  /** missing is only in the way of `weft up`. */
  readonly state: "ok" | "missing" | "wrong";
  readonly detail: string;
  readonly fix?: string;
}

/** Code caches, images and records fill a disk; below this a start may fail halfway. */
const DISK_FREE_BYTES_MIN = 2 * 1024 ** 3;
const NODE_MIN = [20, 20] as const;

export const doctor: Verb = async (cli) => {
  const findings: Finding[] = [node(), disk(cli), ...(await services(cli)), ...(await weft(cli))];
  const { screen } = cli;
  if (screen.json) screen.printJson({ findings });
  else {
    const { green, red, yellow } = screen.colours;
    const mark = { ok: green("✓"), missing: yellow("-"), wrong: red("✗") };
    const widest = Math.max(...findings.map((one) => one.what.length));
    for (const { what, state, detail, fix } of findings) {
      screen.print(`${mark[state]} ${what.padEnd(widest)}  ${detail}`);
      if (fix !== undefined) screen.print(`  ${" ".repeat(widest)}  ${fix}`);
    }
  }
  return findings.some((one) => one.state === "wrong") ? 1 : 0;
};

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const enough = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  return enough
    ? { what: "Node", state: "ok", detail: process.version }
    : {
        what: "Node",
        state: "wrong",
        detail: `${process.version} is too old`,
        fix: `install Node ${NODE_MIN.join(".")} or later`,
      };
}

function disk(cli: Cli): Finding {
  const { bavail, bsize } = statfsSync(cli.io.cwd);
  const free = bavail * bsize;
  const detail = `${size(free)} free`;
  if (free >= DISK_FREE_BYTES_MIN) return { what: "disk", state: "ok", detail };
  return { what: "disk", state: "wrong", detail, fix: `df -h .    (Weft wants ${size(DISK_FREE_BYTES_MIN)})` };
}

/** What `weft up` runs on; `weft dev` needs none of it. */
async function services(cli: Cli): Promise<Finding[]> {
  const { findings } = await findServices(resolve(cli.io.cwd, ".weft"), cli.io.env);
  const install = `${resolve(packageRoot, "deploy/local/install")}    (weft dev needs none of it)`;
  return findings.map(({ name, value, problem }) =>
    problem === undefined
      ? { what: name, state: "ok", detail: value }
      : { what: name, state: "missing", detail: `${value} ${problem}`.trim(), fix: install },
  );
}

async function weft(cli: Cli): Promise<Finding[]> {
  let connection: Cli["connection"];
  try {
    ({ connection } = cli);
  } catch (thrown) {
    const { message, fix } = toWeftError(thrown);
    return [{ what: "settings", state: "wrong", detail: message, ...(fix === undefined ? {} : { fix }) }];
  }
  const { grpc, rest, auth, from } = connection;
  const findings: Finding[] = [];
  const gateway = await reach(grpc);
  findings.push(
    gateway === undefined
      ? { what: "gRPC", state: "ok", detail: `${grpc} (${from.grpc})` }
      : { what: "gRPC", state: "wrong", detail: `${grpc} (${from.grpc}) ${gateway}`, fix: "weft dev    (or weft up)" },
  );
  const face = await reach(new URL(rest).host, new URL(rest).protocol === "https:" ? 443 : 80);
  findings.push(
    face === undefined
      ? { what: "REST", state: "ok", detail: `${rest} (${from.rest})` }
      : { what: "REST", state: "wrong", detail: `${rest} (${from.rest}) ${face}`, fix: "weft dev    (or weft up)" },
  );
  if (auth === "") {
    findings.push({ what: "key", state: "wrong", detail: "there is none", fix: "weft dev    (writes .weft/wskprops)" });
  } else if (gateway === undefined) {
    findings.push(await identity(cli));
  }
  const props = resolve(cli.io.cwd, ".weft/wskprops");
  if (existsSync(props) && from.auth !== props && from.auth !== "") {
    findings.push({ what: "key", state: "ok", detail: `taken from ${from.auth}, not from ${props}` });
  }
  return findings;
}

async function identity(cli: Cli): Promise<Finding> {
  try {
    const { namespace, operator } = await cli.call(AccessServiceService.whoAmI, {}, { deadlineMs: 5_000 });
    const detail = `opens ${namespace}${operator ? ", operator" : ""} (${cli.connection.from.auth})`;
    return { what: "key", state: "ok", detail };
  } catch (thrown) {
    const { message, fix } = toWeftError(thrown);
    const detail = `${message} (${cli.connection.from.auth})`;
    return { what: "key", state: "wrong", detail, ...(fix === undefined ? {} : { fix }) };
  }
}

/** @returns what is wrong, or undefined */
function reach(address: string, defaultPort = 0): Promise<string | undefined> {
  const { hostname, port } = new URL(`tcp://${address}`);
  return new Promise((done) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? defaultPort : Number(port) });
    const end = (problem: string | undefined): void => {
      socket.destroy();
      done(problem);
    };
    socket.setTimeout(2_000, () => {
      end("does not answer within 2 s");
    });
    socket.once("connect", () => {
      end(undefined);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      end(`does not answer: ${error.code ?? error.message}`);
    });
  });
}
