// Which hosts builds reach: the package registries, and nothing else.

import { BlockList, isIP } from "node:net";

import { invalidField } from "../../base/errors.js";

/** Where packages of npm, PyPI, Go, crates.io, RubyGems and Packagist are; Packagist's lie on GitHub. */
export const PUBLIC_REGISTRIES: readonly string[] = [
  "registry.npmjs.org",
  "pypi.org",
  "files.pythonhosted.org",
  "proxy.golang.org",
  "sum.golang.org",
  "index.crates.io",
  "static.crates.io",
  "rubygems.org",
  "index.rubygems.org",
  "repo.packagist.org",
  "api.github.com",
  "codeload.github.com",
];

/** A host that builds may reach. */
export interface Registry {
  /** In lower case. */
  readonly host: string;
  readonly port: number;
  /** Where it is reached instead of what its name resolves to. */
  readonly at: { readonly host: string; readonly port: number } | undefined;
  /** Whether it may be in a private network: an operator wrote it down. */
  readonly named: boolean;
}

export type Registries = ReadonlyMap<string, Registry>;

const HTTPS_PORT = 443;
const AUTHORITY = /^(\[([0-9a-f:.]+)\]|[^:[\]]+)(?::(\d{1,5}))?$/i;
const HOST = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;

/** Where nobody's registry is: this host, link-local (with the metadata services of clouds), multicast, unspecified. */
const NEVER = blocked(
  [
    ["0.0.0.0", 8],
    ["169.254.0.0", 16],
    ["224.0.0.0", 4],
    ["240.0.0.0", 4],
  ],
  [
    ["::", 128],
    ["fe80::", 10],
    ["ff00::", 8],
  ],
);
const PRIVATE = blocked(
  [
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
    ["172.16.0.0", 12],
    ["192.168.0.0", 16],
  ],
  [
    ["::1", 128],
    ["fc00::", 7],
    ["64:ff9b::", 96],
  ],
);

/**
 * @param entries `host`, `host:port` (default 443), `host:port=address:port` to reach it there; `public` for PUBLIC_REGISTRIES; `none`
 *   alone for none
 * @throws invalidArgument naming the entry
 */
export function parseRegistries(entries: readonly string[]): Registries {
  const registries = new Map<string, Registry>();
  if (entries.length === 1 && entries[0] === "none") return registries;
  for (const entry of entries) {
    if (entry === "public") {
      for (const host of PUBLIC_REGISTRIES) {
        const one = { host, port: HTTPS_PORT, at: undefined, named: false };
        if (!registries.has(keyOf(one))) registries.set(keyOf(one), one);
      }
      continue;
    }
    const [name = "", where, ...more] = entry.split("=");
    const asked = placeOf(name, HTTPS_PORT);
    const at = where === undefined ? undefined : placeOf(where, undefined);
    if (!asked || more.length > 0 || (where !== undefined && !at)) {
      throw invalidField("buildRegistries", `"${entry}" is no host, host:port or host:port=address:port`);
    }
    const one = { ...asked, at, named: true };
    registries.set(keyOf(one), one);
  }
  return registries;
}

/**
 * @param json an object of variables for builds, which may hold what opens registries; undefined for none
 * @throws invalidArgument naming the variable, never a value
 */
export function parseBuildEnv(json: string | undefined): Readonly<Record<string, string>> {
  if (json === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    throw invalidField("buildEnv", "is not JSON");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw invalidField("buildEnv", "must be an object of variables");
  }
  return Object.fromEntries(
    Object.entries(parsed).map(([name, value]): [string, string] => {
      if (!/^[A-Za-z_]\w*$/.test(name) || /^(WEFT_|__OW_)/.test(name)) {
        throw invalidField("buildEnv", `"${name}" is no name of a variable, or one of Weft's`);
      }
      if (typeof value !== "string" || value.includes("\0")) {
        throw invalidField("buildEnv", `"${name}" must be a text without NUL`);
      }
      return [name, value];
    }),
  );
}

/** @param authority host:port as a request names it. @returns undefined when it is not among them */
export function registryAt(registries: Registries, authority: string, defaultPort: number): Registry | undefined {
  const place = placeOf(authority, defaultPort);
  return place && registries.get(keyOf(place));
}

/** Whether a registry may be at an address that its name resolved to. */
export function mayBeAt({ named }: Pick<Registry, "named">, address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  // ::ffff:1.2.3.4 is 1.2.3.4.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mayBeAt({ named }, mapped);
  const type = family === 4 ? "ipv4" : "ipv6";
  return !NEVER.check(address, type) && (named || !PRIVATE.check(address, type));
}

/** @param defaultPort undefined when there must be one */
function placeOf(
  authority: string,
  defaultPort: number | undefined,
): { readonly host: string; readonly port: number } | undefined {
  const [, given = "", bracketed, portText] = AUTHORITY.exec(authority) ?? [];
  const host = (bracketed ?? given).toLowerCase().replace(/\.$/, "");
  const port = portText === undefined ? defaultPort : Number(portText);
  if (port === undefined || port < 1 || port > 65_535) return undefined;
  if (bracketed !== undefined ? isIP(bracketed) !== 6 : !HOST.test(host)) return undefined;
  return { host, port };
}

function keyOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host} ${port}`;
}

function blocked(
  ipv4: readonly (readonly [network: string, prefix: number])[],
  ipv6: readonly (readonly [network: string, prefix: number])[],
): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of ipv4) list.addSubnet(network, prefix, "ipv4");
  for (const [network, prefix] of ipv6) list.addSubnet(network, prefix, "ipv6");
  return list;
}
