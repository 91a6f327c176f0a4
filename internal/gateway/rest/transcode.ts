// /v1: the native API as JSON over HTTP, from the proto annotations. Envoy does this where there is one; this is for
// where there is none, and its answers are Envoy's: the same statuses, bodies and complaints.
//
// Decided for both: names in lower camel case (proto3's JSON; requests may use the proto's names too), fields without
// presence always printed, enums as names, unknown members of a body ignored, unknown query parameters refused, a value
// that stands both in path or query and in the body refused when they differ, errors as google.rpc.Status.

import {
  create,
  createFileRegistry,
  fromBinary,
  fromJson,
  ScalarType,
  toBinary,
  toJson,
  type DescField,
  type DescMessage,
  type FileRegistry,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { toWeftError } from "../../base/errors.js";
import type { Log } from "../../base/log.js";
import type { Random } from "../../base/random.js";
import type { NativeApi } from "../native-api.js";
import { escapeAsEnvoy } from "./envoy-json.js";
import { decodeSegment, HttpRules, type Match } from "./http-rules.js";
import { jsonResponse, pathOf, queryOf, type RestRequest, type RestResponse } from "./message.js";
import { requestId } from "./request-id.js";
import { badRequest, errorResponse, refusedResponse } from "./status-json.js";

export interface TranscoderDeps {
  readonly api: NativeApi;
  readonly random: Random;
  readonly log: Log;
  /** google.protobuf.FileDescriptorSet of the public API: what `npm run gen` leaves in internal/gen/weft.binpb. */
  readonly descriptors: Uint8Array;
}

/** The services that HTTP callers reach. `deploy/envoy/bootstrap.yaml` lists the same. */
export const TRANSCODED_SERVICES = [
  "weft.access.v1.AccessService",
  "weft.action.v1.ActionService",
  "weft.activation.v1.ActivationService",
  "weft.api.v1.ApiService",
  "weft.cluster.v1.ClusterService",
  "weft.invoke.v1.InvokeService",
  "weft.namespaces.v1.NamespaceService",
  "weft.packages.v1.PackageService",
  "weft.rule.v1.RuleService",
  "weft.trigger.v1.TriggerService",
] as const;

const HTTP_BODY = "google.api.HttpBody";
const NOT_FOUND = 5;
/** Deepest nesting of a body; protobuf's parsers recurse. */
const DEPTH_MAX = 100;

export class Transcoder {
  readonly #registry: FileRegistry;
  readonly #rules: HttpRules;

  constructor(private readonly deps: TranscoderDeps) {
    this.#registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, deps.descriptors));
    const services = TRANSCODED_SERVICES.flatMap((name) => this.#registry.getService(name) ?? []);
    this.#rules = new HttpRules(this.#registry, services);
  }

  /** Never rejects: what goes wrong is a response too. */
  async handle(request: RestRequest): Promise<RestResponse> {
    const id = requestId(request.headers["x-request-id"], this.deps.random);
    const response = await this.#answer(request, id);
    return { ...response, headers: [["x-request-id", id], ...response.headers] };
  }

  async #answer(request: RestRequest, id: string): Promise<RestResponse> {
    const path = pathOf(request.target);
    const match = this.#rules.find(request.method, path);
    if (!match) return refusedResponse(404, NOT_FOUND, `Could not resolve ${path} to a method.`);
    const headers: (readonly [string, string])[] = [];
    try {
      const message = this.#read(request, match);
      const identity = await this.deps.api.identify(request.headers["authorization"]);
      const { api } = this.deps;
      const context = {
        identity,
        transactionId: id,
        traceparent: request.headers["traceparent"] ?? "",
        ...(request.signal ? { signal: request.signal } : {}),
      };
      const answer = await api.callRaw(match.binding.rpc, message, context, (name, value) => {
        headers.push([name, value]);
      });
      return this.#write(match.binding.method.output, answer.message, headers);
    } catch (thrown) {
      if (thrown instanceof Unreadable) return badRequest(thrown.message);
      const error = toWeftError(thrown);
      if (error.kind === "internal") this.deps.log.error("a call over HTTP failed unforeseen", { id, error });
      return errorResponse(error, headers);
    }
  }

  #read(request: RestRequest, { binding, variables }: Match): Buffer {
    const { input } = binding.method;
    const body = readBody(request, binding.body, input, this.#registry);
    const message = reflect(input, body.message);
    const given = [...variables, ...queryParameters(queryOf(request.target))];
    for (const [path, value] of given) assign(message, path.split("."), path, value, body.json);
    const bytes = toBinary(input, message.message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #write(output: DescMessage, bytes: Buffer, headers: RestResponse["headers"]): RestResponse {
    if (output.typeName === HTTP_BODY) {
      const { contentType, data } = fromBinary(output, bytes) as unknown as HttpBodyMessage;
      const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      return { status: 200, headers, contentType, body };
    }
    const message = fromBinary(output, bytes);
    const large = takeLargeBytes(reflect(output, message));
    const json = toJson(output, message, { alwaysEmitImplicit: true, registry: this.#registry });
    for (const put of large) put(json);
    return jsonResponse(200, escapeAsEnvoy(JSON.stringify(json)), headers);
  }
}

/** From here on protobuf-es's base64, a character at a time, is felt: 48 MiB of code would hold up the process for seconds. */
const LARGE_BYTES = 4 * 1024;

type JsonObject = Record<string, JsonValue>;

/** Empties large fields of bytes. @returns what puts them into the message's JSON, in their places */
function takeLargeBytes(message: ReflectMessage): ((json: JsonValue) => void)[] {
  return message.fields.flatMap((field) => {
    if (!message.isSet(field)) return [];
    const { jsonName } = field;
    if (field.fieldKind === "message") {
      const inner = takeLargeBytes(message.get(field));
      return inner.map((put) => (json: JsonValue) => {
        put((json as JsonObject)[jsonName] as JsonValue);
      });
    }
    if (field.fieldKind === "list" && field.listKind === "message") {
      const elements: Iterable<unknown> = message.get(field);
      return [...elements].flatMap((element, i) =>
        takeLargeBytes(element as ReflectMessage).map((put) => (json: JsonValue) => {
          put(((json as JsonObject)[jsonName] as JsonValue[])[i] as JsonValue);
        }),
      );
    }
    if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.BYTES) return [];
    const bytes: unknown = message.get(field);
    if (!(bytes instanceof Uint8Array) || bytes.length < LARGE_BYTES) return [];
    message.clear(field);
    return [
      (json: JsonValue) => {
        const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
        (json as JsonObject)[jsonName] = base64;
      },
    ];
  });
}

type HttpBodyMessage = Message & { contentType: string; data: Uint8Array };

/** The request cannot be made a message: told as Envoy tells it. */
class Unreadable extends Error {}

interface ReadBody {
  readonly message: Message;
  /** The whole request as JSON as far as the body has it; undefined when there is no body. */
  readonly json: JsonValue | undefined;
}

function readBody(request: RestRequest, field: string, input: DescMessage, registry: FileRegistry): ReadBody {
  const target = field === "*" || field === "" ? input : fieldOf(input, field).message;
  if (!target) throw new Unreadable(`the body cannot be field ${field}`);
  const whole = create(input);
  if (target.typeName === HTTP_BODY) {
    const body = create(target) as HttpBodyMessage;
    body.contentType = request.headers["content-type"] ?? "";
    body.data = request.body;
    if (target === input) return { message: body, json: undefined };
    reflect(input, whole).set(fieldOf(input, field), reflect(target, body));
    return { message: whole, json: undefined };
  }
  const json = request.body.length === 0 ? undefined : parse(request.body);
  if (field === "" || json === undefined || json === null) return { message: whole, json: undefined };
  let read: Message;
  try {
    read = fromJson(target, json, { ignoreUnknownFields: true, registry });
  } catch (thrown) {
    const where = field === "*" ? "" : `${field}: `;
    throw new Unreadable(`${where}${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  if (target === input) return { message: read, json };
  reflect(input, whole).set(fieldOf(input, field), reflect(target, read));
  return { message: whole, json: { [field]: json } };
}

function parse(body: Buffer): JsonValue {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new Unreadable("Encountered non UTF-8 code points.");
  }
  checkDepth(text);
  try {
    return JSON.parse(text) as JsonValue;
  } catch (thrown) {
    throw new Unreadable(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function checkDepth(text: string): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i += 1;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) {
      depth += 1;
      if (depth > DEPTH_MAX) throw new Unreadable("Message too deep. Max recursion depth reached.");
    } else if (c === 0x7d || c === 0x5d) depth -= 1;
  }
}

/** A parameter without "=" is not one. Only %XX is decoded: "+" is a plus. */
function queryParameters(query: string): [string, string][] {
  return query.split("&").flatMap((part): [string, string][] => {
    const equals = part.indexOf("=");
    if (equals <= 0) return [];
    return [[decodeSegment(part.slice(0, equals)), decodeSegment(part.slice(equals + 1))]];
  });
}

/**
 * Sets a field named by its path.
 * @param said what the body has in the place of `message`; it must agree
 */
function assign(
  message: ReflectMessage,
  path: readonly string[],
  spelled: string,
  value: string,
  said: JsonValue | undefined,
): void {
  const [name = "", ...rest] = path;
  const field = message.desc.fields.find((f) => f.name === name || f.jsonName === name);
  if (!field) throw new Unreadable(`Could not find field "${name}" in the type "${message.desc.typeName}".`);
  const member = memberOf(said, field);
  if (rest.length > 0) {
    if (field.fieldKind !== "message") throw cannotSet(spelled);
    const inner = message.isSet(field) ? message.get(field) : reflect(field.message);
    assign(inner, rest, spelled, value, member);
    message.set(field, inner);
    return;
  }
  const parsed = valueOf(field, value, spelled);
  if (field.fieldKind === "list") {
    message.get(field).add(parsed.value);
    return;
  }
  if (member !== undefined && member !== null && text(member) !== text(parsed.plain)) {
    throw new Unreadable(
      `The binding value "${value}" of the field ${field.name} is conflicting with the value ${quoted(member)} in the body.`,
    );
  }
  message.set(field, parsed.value);
}

function cannotSet(spelled: string): Unreadable {
  return new Unreadable(`${spelled}: a parameter cannot set this field`);
}

function memberOf(json: JsonValue | undefined, field: DescField): JsonValue | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  return json[field.jsonName] ?? json[field.name];
}

function text(value: JsonValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function quoted(value: JsonValue): string {
  return typeof value === "string" ? `"${value}"` : JSON.stringify(value);
}

interface ParsedValue {
  readonly value: unknown;
  /** As Envoy would print it in a complaint. */
  readonly plain: JsonValue;
}

function valueOf(field: DescField, value: string, spelled: string): ParsedValue {
  const scalar = field.fieldKind === "scalar" || (field.fieldKind === "list" && field.listKind === "scalar");
  if (scalar) return scalarOf(field.scalar, value, spelled);
  if (field.fieldKind === "message" && field.message.typeName.startsWith("google.protobuf.")) {
    try {
      return { value: reflect(field.message, fromJson(field.message, value)), plain: value };
    } catch (thrown) {
      throw new Unreadable(`${spelled}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  }
  throw cannotSet(spelled);
}

const TRUE = new Set(["true", "t", "1", "yes", "y"]);
const FALSE = new Set(["false", "f", "0", "no", "n"]);

function scalarOf(type: ScalarType, value: string, spelled: string): ParsedValue {
  const bad = (): Unreadable =>
    new Unreadable(`${spelled}: invalid value "${value}" for type TYPE_${ScalarType[type]}`);
  switch (type) {
    case ScalarType.STRING:
      return { value, plain: value };
    case ScalarType.BOOL: {
      const lower = value.toLowerCase();
      if (TRUE.has(lower)) return { value: true, plain: true };
      if (FALSE.has(lower)) return { value: false, plain: false };
      throw bad();
    }
    case ScalarType.INT32:
    case ScalarType.UINT32: {
      const number = /^-?\d{1,10}$/.test(value) ? Number(value) : NaN;
      const [min, max] = type === ScalarType.INT32 ? [-2_147_483_648, 2_147_483_647] : [0, 4_294_967_295];
      if (!(number >= min && number <= max)) throw bad();
      return { value: number, plain: number };
    }
    default:
      // The public API has no other types where a path or query could set them.
      throw cannotSet(spelled);
  }
}

function fieldOf(desc: DescMessage, name: string): DescField {
  const field = desc.fields.find((f) => f.name === name);
  if (!field) throw new Unreadable(`Could not find field "${name}" in the type "${desc.typeName}".`);
  return field;
}
