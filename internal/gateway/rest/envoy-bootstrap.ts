// Fills in deploy/envoy/bootstrap.yaml. Pure: who starts Envoy reads the template and writes the result.

import { WeftError } from "../../base/errors.js";
import { BODY_BYTES_MAX } from "./message.js";
import { ALLOWED_HEADERS, ALLOWED_METHODS, EXPOSED_HEADERS, MAX_AGE } from "./native-cors.js";
import { TRANSCODED_SERVICES } from "./transcode.js";

export interface EnvoySettings {
  /** Where clients come in, "host:port". */
  readonly listenAddress: string;
  /** Envoy's own admin interface, "host:port"; on the loopback interface, it has no credentials. */
  readonly adminAddress: string;
  /** Public gRPC addresses of the gateways, "host:port" with numeric hosts. */
  readonly gatewayAddresses: readonly string[];
  /** Absolute path of the descriptor set that `npm run gen` makes (weft.binpb). */
  readonly descriptorsPath: string;
  /** Absolute paths of a certificate with its chain, and of its key, PEM; undefined: clients come without TLS. */
  readonly tls?: { readonly certificatePath: string; readonly keyPath: string };
}

/** @param template text of deploy/envoy/bootstrap.yaml. @throws invalidArgument for an address that is none */
export function renderEnvoyBootstrap(template: string, settings: EnvoySettings): string {
  const listen = splitAddress("listenAddress", settings.listenAddress);
  const admin = splitAddress("adminAddress", settings.adminAddress);
  const gateways = settings.gatewayAddresses.map((address) => splitAddress("gatewayAddresses", address));
  const values: Readonly<Record<string, string>> = {
    LISTEN_HOST: JSON.stringify(listen.host),
    LISTEN_PORT: String(listen.port),
    ADMIN_HOST: JSON.stringify(admin.host),
    ADMIN_PORT: String(admin.port),
    DESCRIPTORS: JSON.stringify(settings.descriptorsPath),
    SERVICES: JSON.stringify(["weft.rest.v1.TunnelService", ...TRANSCODED_SERVICES]),
    // JSON is YAML.
    LISTENER_TLS: JSON.stringify(settings.tls ? listenerTls(settings.tls) : null),
    GATEWAYS: JSON.stringify(
      gateways.map(({ host, port }) => ({
        endpoint: { address: { socket_address: { address: host, port_value: port } } },
      })),
    ),
    BODY_BYTES_MAX: String(BODY_BYTES_MAX),
    CORS_METHODS: ALLOWED_METHODS,
    CORS_HEADERS: ALLOWED_HEADERS,
    CORS_EXPOSED: EXPOSED_HEADERS,
    CORS_MAX_AGE: MAX_AGE,
    NATIVE_LOCAL_REPLIES: localReplies(nativeReply, [header(":path", "/v1/"), header("x-envoy-original-path", "/v1/")]),
    TUNNEL_LOCAL_REPLIES: localReplies(openWhiskReply, [header("weft-path", "/")]),
    UNROUTED_LOCAL_REPLIES: JSON.stringify({
      filter: { header_filter: { header: { name: "x-request-id", present_match: false } } },
      headers_to_add: [requestIdHeader(UNROUTED.code)],
      body_format_override: { json_format: UNROUTED },
    }),
    OTHER_LOCAL_REPLIES: localReplies(openWhiskReply, [], [[404, 5, "The requested resource could not be found."]]),
  };
  return template.replace(/\bWEFT_([A-Z_]+)\b/g, (placeholder, name: string) => {
    const value = values[name];
    if (value === undefined) {
      throw new WeftError("invalidArgument", "BAD_TEMPLATE", `Envoy's bootstrap has an unknown ${placeholder}`);
    }
    return value;
  });
}

/** gRPC wants HTTP/2, which is agreed on while TLS begins. */
function listenerTls({ certificatePath, keyPath }: NonNullable<EnvoySettings["tls"]>): unknown {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
      common_tls_context: {
        alpn_protocols: ["h2", "http/1.1"],
        tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
        tls_certificates: [{ certificate_chain: { filename: certificatePath }, private_key: { filename: keyPath } }],
      },
    },
  };
}

/** What Envoy says itself, by status; 0 stands for every other. The built-in face says the same. */
const OWN_WORDS: readonly (readonly [status: number, grpcCode: number, text: string])[] = [
  [413, 3, `The request is larger than allowed: at most ${BODY_BYTES_MAX} bytes.`],
  [503, 14, "The server is currently unavailable (because it is overloaded or down for maintenance)."],
  [504, 4, "The server did not answer in time."],
  [403, 7, "The connection cannot become one of another protocol."],
  [400, 3, "%LOCAL_REPLY_BODY%"],
  [404, 5, "%LOCAL_REPLY_BODY%"],
  [0, 2, "%LOCAL_REPLY_BODY%"],
];

/** What it says of what it does not even route, where it has no words: the id of a request is made later. */
const UNROUTED = {
  error: "The request is not HTTP that is understood here (%RESPONSE_CODE_DETAILS%).",
  code: "envoy-%CONNECTION_ID%-%START_TIME(%s%3f)%",
};

type Reply = (grpcCode: number, text: string) => unknown;

/** google.rpc.Status. */
const nativeReply: Reply = (code, message) => ({ code, message, details: [] });
/** OpenWhisk's. */
const openWhiskReply: Reply = (_code, error) => ({ error, code: "%REQ(x-request-id)%" });

/** Mappers of a local_reply_config, one a line, for requests of which any of `conditions` holds (none: all). */
function localReplies(reply: Reply, conditions: readonly unknown[], first: typeof OWN_WORDS = []): string {
  const which = conditions.length > 1 ? [{ or_filter: { filters: conditions } }] : conditions;
  const mappers = [...first, ...OWN_WORDS].map(([status, code, text]) => {
    const filters = status === 0 ? which : [hasStatus(status), ...which];
    return {
      // A filter that always holds, since a mapper must have one.
      filter: filters.length > 1 ? { and_filter: { filters } } : (filters[0] ?? hasStatus(100, "GE")),
      headers_to_add: [requestIdHeader("%REQ(x-request-id)%")],
      body_format_override: { json_format: reply(code, text) },
    };
  });
  // The template has the dash of the first.
  return mappers.map((mapper) => JSON.stringify(mapper)).join("\n                    - ");
}

function requestIdHeader(value: string): unknown {
  return { header: { key: "x-request-id", value }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" };
}

function hasStatus(status: number, op: "EQ" | "GE" = "EQ"): unknown {
  const comparison = { op, value: { default_value: status, runtime_key: `weft.local_reply_${op}_${status}` } };
  return { status_code_filter: { comparison } };
}

function header(name: string, prefix: string): unknown {
  return { header_filter: { header: { name, string_match: { prefix } } } };
}

function splitAddress(field: string, address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s"]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new WeftError("invalidArgument", "BAD_ADDRESS", `${field}: not an address "host:port": ${address}`);
  }
  return { host: match[1] ?? match[2] ?? "", port };
}
