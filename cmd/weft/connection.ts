// Where Weft is and which key is presented: flags, then the environment, then a wskprops file.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { usage } from "./output.js";
import { readCertificates, type Trust } from "./trust.js";

export interface Connection {
  /** host:port */
  readonly grpc: string;
  readonly grpcTls: boolean;
  /** Whom to believe where TLS is spoken. */
  readonly trust: Trust;
  /** http(s)://host:port */
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
  readonly ca?: string | undefined;
  readonly insecure?: boolean | undefined;
}

export interface ConnectionSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
}

const DEFAULT_REST = "http://127.0.0.1:3233";
const GRPC_PORT = 3232;
const HTTPS_PORT = 443;

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
    // Over TLS one address serves both: that of a proxy such as Envoy.
    [
      `the host of ${rest.from}`,
      restUrl.protocol === "https:"
        ? `https://${restUrl.hostname}:${restUrl.port || HTTPS_PORT}`
        : `${restUrl.hostname}:${GRPC_PORT}`,
    ],
  ]);
  const grpcTls = grpc.value.startsWith("https://");
  const grpcAddress = grpc.value.replace(/^https:\/\//, "");
  if (!/^(\[[^\]]+\]|[^:/\s]+):\d{1,5}$/.test(grpcAddress)) {
    throw usage(`"${grpc.value}" (${grpc.from}) is no address: write HOST:PORT, or https://HOST:PORT for TLS`);
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
  const ca = first([
    ["--ca", flags.ca],
    ["WEFT_CA", sources.env["WEFT_CA"]],
    [file.path, rest.from === file.path ? file.props.get("CA") : undefined],
  ]);
  const insecure = flags.insecure === true || /^(1|true|yes)$/i.test(sources.env["WEFT_INSECURE"] ?? "");
  return {
    grpc: grpcAddress,
    grpcTls,
    trust: {
      ...(ca.value === "" ? {} : { ca: readCertificates(ca.value, sources.cwd, ca.from) }),
      ...(insecure ? { insecure } : {}),
    },
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
