// One authenticated request, and what its handler may ask of it.

import { nameProblem } from "../../../core/tenancy/name.js";
import { NAME_LENGTH_MAX } from "../../../core/tenancy/name.js";
import { WeftError } from "../../../base/errors.js";
import { checkJsonObject } from "../../../core/params/merge.js";
import type { UnaryMethod } from "../../../rpc/channel.js";
import type { Identity, NativeApi, RequestContext } from "../../native-api.js";
import type { RestRequest } from "../message.js";
import { membersOf, type JsonText } from "../../../base/json-text.js";
import type { Query } from "./query.js";
import { malformed, Refusal } from "./refusal.js";

export interface CallParts {
  readonly api: NativeApi;
  readonly request: RestRequest;
  readonly identity: Identity;
  readonly context: RequestContext;
  readonly query: Query;
  /** Path parameters, decoded. */
  readonly params: Readonly<Record<string, string | undefined>>;
}

export class OpenWhiskCall {
  readonly api: NativeApi;
  readonly identity: Identity;
  readonly context: RequestContext;
  readonly query: Query;

  constructor(private readonly parts: CallParts) {
    this.api = parts.api;
    this.identity = parts.identity;
    this.context = parts.context;
    this.query = parts.query;
  }

  /** A segment of the path that has no rules of its own. */
  segment(name: string): string {
    return this.parts.params[name] ?? "";
  }

  /** The namespace of the path, "_" resolved. @throws Refusal 400 for a name that no namespace can have */
  namespace(): string {
    const name = this.segment("namespace");
    return name === "_" ? this.identity.namespace : checkSegment(name, "namespace");
  }

  /** @throws Refusal 400, 404 when it is empty */
  entity(parameter: "name" | "package" = "name"): string {
    return checkSegment(this.segment(parameter), "name of the entity");
  }

  /** "name", or "package/name" when the path has a package. @throws Refusal 400, 404 */
  action(): string {
    const name = this.entity();
    return this.parts.params["package"] === undefined ? name : `${this.entity("package")}/${name}`;
  }

  /** Calls a native rpc about a namespace: what is not there in a foreign one is forbidden, whether or not it exists. */
  async native<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, namespace: string): Promise<Res> {
    try {
      return await this.api.call(method, request, this.context);
    } catch (thrown) {
      throw this.foreign(thrown, namespace);
    }
  }

  /** What an error about a namespace is to this caller. */
  foreign(thrown: unknown, namespace: string): unknown {
    if (!(thrown instanceof WeftError) || namespace === this.identity.namespace) return thrown;
    if (thrown.kind !== "notFound" && thrown.kind !== "permissionDenied") return thrown;
    return new Refusal(403, `The supplied authentication is not authorized to access '${namespace}'.`);
  }

  /** Members of the body of a PUT or of a rule's POST. @throws Refusal 415, 400 */
  entityBody(): Map<string, JsonText> {
    const { body, headers } = this.parts.request;
    if (body.length === 0) throw new Refusal(400, "Request entity expected but not supplied", { rejection: true });
    checkContent(headers);
    checkJson(body);
    return membersOf(body.toString("utf8"));
  }

  /** JSON text of the arguments of an invocation or firing: an object, or empty. @throws Refusal 415, 400 */
  arguments(): Buffer {
    const { body, headers } = this.parts.request;
    if (body.length > 0) checkContent(headers);
    return body;
  }

  /** Every header of the request, for `__ow_headers`. */
  headersJson(): Buffer {
    return Buffer.from(JSON.stringify(this.parts.request.headers));
  }
}

function checkContent(headers: RestRequest["headers"]): void {
  const type = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") throw unsupported("Content-Type", "application/json");
  // Nothing is unpacked, so that nothing is larger than it looks.
  const encoding = (headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (encoding !== "identity") throw unsupported("Content-Encoding", "identity");
}

function unsupported(header: string, expected: string): Refusal {
  return new Refusal(415, `The request's ${header} is not supported. Expected:\n${expected}`, { rejection: true });
}

function checkJson(body: Buffer): void {
  try {
    checkJsonObject("body", body);
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.kind === "invalidArgument") throw malformed(thrown.message);
    throw thrown;
  }
}

/** @throws Refusal 404 for an empty segment, 400 for one that cannot be a name */
function checkSegment(name: string, what: string): string {
  if (name === "") throw new Refusal(404, "The requested resource could not be found.", { rejection: true });
  if (name.length > NAME_LENGTH_MAX) {
    throw new Refusal(400, `The ${what} is longer than allowed: ${name.length} > ${NAME_LENGTH_MAX}.`);
  }
  if (nameProblem(name) !== undefined) throw new Refusal(400, `The ${what} contains illegal characters.`);
  return name;
}
