// Where Weft is and which key is presented: flags, then the environment, then a wskprops file.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { usage } from "./output.js";

export interface Connection {
  /** host:port */
  readonly grpc: string;
  /** http://host:port */
  readonly rest: string;
  /** "uuid:key", or "" when there is none. */
  readonly auth: string;
  /** Where each came from, for `weft doctor`. */
  readonly from: { readonly grpc: string; readonly rest: string; readonly auth: string };
}

export interface ConnectionFlags {
  readonly apihost?: string | undefined;
  readonly auth?: string | undefined;
  readonly grpc?: string | undefined;
}

export interface ConnectionSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
}

const DEFAULT_REST = "http://127.0.0.1:3233";
const GRPC_PORT = 3232;

/** @throws invalidArgument for addresses that are none */
export function findConnection(flags: ConnectionFlags, sources: ConnectionSources): Connection {
  const file = findProps(sources);
  const rest = first([
    ["--apihost", flags.apihost],
    ["WEFT_APIHOST", sources.env["WEFT_APIHOST"]],
    ["__OW_API_HOST", sources.env["__OW_API_HOST"]],
    [file.path, file.props.get("APIHOST")],
    ["the default", DEFAULT_REST],
  ]);
  const restUrl = urlOf(rest.value, rest.from);
  const grpc = first([
    ["--grpc", flags.grpc],
    ["WEFT_GRPC", sources.env["WEFT_GRPC"]],
    // The file's line belongs to the file's address, not to another one that was given.
    [file.path, rest.from === file.path ? file.props.get("GRPC") : undefined],
    [`the host of ${rest.from}`, restUrl.protocol === "https:" ? undefined : `${restUrl.hostname}:${GRPC_PORT}`],
  ]);
  if (grpc.value === "") {
    throw usage(
      `${rest.value} is https, and this command line speaks gRPC without TLS only: say where`,
      `weft … --grpc ${restUrl.hostname}:${GRPC_PORT}    (a tunnel, for example)`,
    );
  }
  if (!/^(\[[^\]]+\]|[^:/\s]+):\d{1,5}$/.test(grpc.value)) {
    throw usage(`"${grpc.value}" (${grpc.from}) is no address: write HOST:PORT`);
  }
  const auth = first([
    ["--auth", flags.auth],
    ["WEFT_AUTH", sources.env["WEFT_AUTH"]],
    ["__OW_API_KEY", sources.env["__OW_API_KEY"]],
    [file.path, file.props.get("AUTH")],
  ]);
  if (auth.value !== "" && !/^[^:\s]+:[^\s]+$/.test(auth.value)) {
    throw usage(`the key from ${auth.from} is none: it looks like UUID:KEY`);
  }
  return {
    grpc: grpc.value,
    rest: restUrl.origin,
    auth: auth.value,
    from: { grpc: grpc.from, rest: rest.from, auth: auth.from },
  };
}

interface Props {
  readonly path: string;
  readonly props: ReadonlyMap<string, string>;
}

/** WEFT_WSKPROPS or WSK_CONFIG_FILE, else .weft/wskprops here or in a folder above, else ~/.wskprops. */
function findProps({ env, cwd, home }: ConnectionSources): Props {
  const named = env["WEFT_WSKPROPS"] ?? env["WSK_CONFIG_FILE"];
  if (named !== undefined && named !== "") {
    if (!existsSync(named)) throw usage(`there is no file ${named}, which WEFT_WSKPROPS or WSK_CONFIG_FILE names`);
    return readProps(named);
  }
  for (let folder = cwd; ; folder = dirname(folder)) {
    const path = join(folder, ".weft", "wskprops");
    if (existsSync(path)) return readProps(path);
    if (dirname(folder) === folder) break;
  }
  const own = join(home, ".wskprops");
  return home !== "" && existsSync(own) ? readProps(own) : { path: "", props: new Map() };
}

function readProps(path: string): Props {
  return { path, props: parseProps(readFileSync(path, "utf8")) };
}

/** The lines of a wskprops file. */
export function parseProps(text: string): ReadonlyMap<string, string> {
  const props = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\s*([A-Z_]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) props.set(match[1], match[2]);
  }
  return props;
}

function first(candidates: readonly (readonly [from: string, value: string | undefined])[]): {
  readonly from: string;
  readonly value: string;
} {
  for (const [from, value] of candidates) if (value !== undefined && value !== "") return { from, value };
  return { from: "nowhere", value: "" };
}

function urlOf(text: string, from: string): URL {
  const withScheme = /^https?:\/\//.test(text) ? text : `http://${text}`;
  try {
    return new URL(withScheme);
  } catch {
    throw usage(`"${text}" (${from}) is no address: write http://HOST:PORT`);
  }
}
