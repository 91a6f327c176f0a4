// /namespaces/{ns}/actions

import { WeftError } from "../../../base/errors.js";
import { SEQUENCE_LENGTH_MAX } from "../../../core/action/exec.js";
import { BLACKBOX_KIND, CODE_BYTES_MAX, LIMIT_BOUNDS, SEQUENCE_KIND } from "../../../core/action/types.js";
import { boundsOf, type ActionBounds } from "../../../core/tenancy/overrides.js";
import {
  Action,
  ActionServiceService as Actions,
  CreateActionRequest,
  DeleteActionRequest,
  GetActionRequest,
  ListActionsRequest,
  UpdateActionRequest,
  type Exec,
} from "../../../gen/weft/action/v1/action.pb.js";
import type { Limits } from "../../../gen/weft/common/v1/common.pb.js";
import { GetPackageRequest, PackageServiceService as Packages } from "../../../gen/weft/packages/v1/package.pb.js";
import type { Identity } from "../../native-api.js";
import { jsonResponse, type RestResponse } from "../message.js";
import type { OpenWhiskCall } from "./call.js";
import { epochMs, readBoolean, readQualifiedName, readString, readVersion, writeHead } from "./entity.js";
import { membersOf, typeOf, elementsOf, type JsonText } from "../../../base/json-text.js";
import { mergeKeyValues, readKeyValues, writeKeyValues } from "./key-values.js";
import { listOf } from "./lists.js";
import { malformed, Refusal, tooLarge } from "./refusal.js";
import { removeReturning } from "./remove.js";

export function listActions(call: OpenWhiskCall): Promise<RestResponse> {
  return listOf(
    call,
    "actions",
    Actions.listActions,
    (page) => ListActionsRequest.fromPartial(page),
    (response) => response.actions.map(writeSummary),
  );
}

/** `GET .../actions/{package}/`, with the slash. */
export async function listPackageActions(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.entity("package");
  // A package that is not there is not an empty one.
  await call.native(Packages.getPackage, GetPackageRequest.fromPartial({ namespace, name }), namespace);
  return listOf(
    call,
    "actions",
    Actions.listActions,
    (page) => ListActionsRequest.fromPartial({ ...page, package: name }),
    (response) => response.actions.map(writeSummary),
  );
}

export async function getAction(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.action();
  const withCode = call.query.boolean("code", true);
  const request = GetActionRequest.fromPartial({ namespace, name, withCode });
  const action = await call.native(Actions.getAction, request, namespace);
  const slash = name.indexOf("/");
  if (slash < 0) return jsonResponse(200, writeAction(action, withCode));
  const parent = GetPackageRequest.fromPartial({ namespace, name: name.slice(0, slash) });
  const { parameters } = await call.native(Packages.getPackage, parent, namespace);
  return jsonResponse(
    200,
    writeAction({ ...action, parameters: mergeKeyValues(parameters, action.parameters) }, withCode, action.binding),
  );
}

export async function putAction(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.action();
  const overwrite = call.query.boolean("overwrite", false);
  const draft = readDraft(call.entityBody(), call.identity);
  const action = Action.fromPartial({ namespace, name, ...draft.fields });
  let stored: Action;
  if (!overwrite) {
    if (!draft.fields.exec) throw execUndefined();
    stored = await call.native(
      Actions.createAction,
      CreateActionRequest.fromPartial({ action, keepFailedBuild: true }),
      namespace,
    );
  } else {
    const request = UpdateActionRequest.fromPartial({
      action,
      updateFields: draft.given,
      allowMissing: draft.fields.exec !== undefined,
      deleteAnnotations: draft.deleteAnnotations,
      keepFailedBuild: true,
    });
    try {
      stored = await call.native(Actions.updateAction, request, namespace);
    } catch (thrown) {
      // There is nothing to update and nothing to create it from.
      if (thrown instanceof WeftError && thrown.kind === "notFound" && !draft.fields.exec) throw execUndefined();
      throw thrown;
    }
  }
  return jsonResponse(200, writeAction(await withCode(call, stored, draft.fields.exec), true));
}

export async function deleteAction(call: OpenWhiskCall): Promise<RestResponse> {
  const namespace = call.namespace();
  const name = call.action();
  const deleted = await removeReturning(
    () => call.native(Actions.getAction, GetActionRequest.fromPartial({ namespace, name, withCode: true }), namespace),
    (etag) => call.native(Actions.deleteAction, DeleteActionRequest.fromPartial({ namespace, name, etag }), namespace),
  );
  return jsonResponse(200, writeAction(deleted, true));
}

/** The stored action with its code: writes are answered without, by the native API. */
async function withCode(call: OpenWhiskCall, stored: Action, sent: Exec | undefined): Promise<Action> {
  const { exec } = stored;
  if (!exec || exec.code.length > 0 || exec.codeSize === 0) return stored;
  if (sent) return { ...stored, exec: { ...exec, code: sent.code } };
  const request = GetActionRequest.fromPartial({ namespace: stored.namespace, name: stored.name, withCode: true });
  const read = await call.native(Actions.getAction, request, stored.namespace);
  return { ...stored, exec: { ...exec, code: read.exec?.code ?? exec.code } };
}

function execUndefined(): Refusal {
  return malformed("exec undefined");
}

// ---- reading ----

interface Draft {
  readonly fields: Partial<Omit<Action, "exec" | "limits">> & {
    readonly exec: Exec | undefined;
    readonly limits: Limits | undefined;
  };
  /** Names of what the body has, as `update_fields`. */
  readonly given: string[];
  readonly deleteAnnotations: string[];
}

function readDraft(body: ReadonlyMap<string, JsonText>, { namespace, quota }: Identity): Draft {
  const exec = readExec(body.get("exec"), namespace);
  const parameters = readKeyValues(body, "parameters");
  const annotations = readKeyValues(body, "annotations");
  const limits = readLimits(body.get("limits"), boundsOf(quota.overrides, quota.concurrentInvocations));
  const version = readVersion(body);
  const publish = readBoolean(body, "publish");
  const read = { exec, parameters, annotations, limits, version, publish };
  const given = Object.entries(read).filter(([, value]) => value !== undefined);
  return {
    fields: { ...Object.fromEntries(given), exec, limits },
    given: given.map(([name]) => name),
    deleteAnnotations: readNames(body.get("delAnnotations")),
  };
}

function readNames(text: JsonText | undefined): string[] {
  if (text === undefined || text === "null") return [];
  const elements = typeOf(text) === "array" ? elementsOf(text) : undefined;
  if (!elements?.every((element) => typeOf(element) === "string")) {
    throw malformed("'delAnnotations' must be an array of strings");
  }
  return elements.map((element) => JSON.parse(element) as string);
}

function readExec(text: JsonText | undefined, own: string): Exec | undefined {
  if (text === undefined || text === "null") return undefined;
  if (typeOf(text) !== "object") throw malformed("'exec' must be an object");
  const members = membersOf(text);
  const noKind = "'kind' must be a string defined in 'exec'";
  const kind = readString(members, "kind", noKind)?.trim().toLowerCase();
  if (!kind) throw malformed(noKind);
  if (kind === SEQUENCE_KIND) return { ...NO_CODE, kind, components: readComponents(members.get("components"), own) };
  const noCode = `'code' must be a string defined in 'exec' for '${kind}' actions`;
  const source = readString(members, "code", noCode) ?? readString(members, "jar", noCode);
  const main = readString(members, "main", `'main' must be a string defined in 'exec' for '${kind}' actions`) ?? "";
  if (source === undefined && kind !== BLACKBOX_KIND) throw malformed(noCode);
  const image = kind === BLACKBOX_KIND ? readImage(members) : "";
  const sent = source ?? "";
  const sentBytes = Buffer.byteLength(sent);
  if (sentBytes > CODE_BYTES_MAX) throw tooLarge("exec", sentBytes, CODE_BYTES_MAX);
  const archive = decodeArchive(sent);
  return {
    kind,
    code: archive ?? Buffer.from(sent),
    binary: archive !== undefined,
    main,
    codeDigest: "",
    codeSize: 0,
    components: [],
    image,
    build: undefined,
    unchecked: "",
  };
}

const NO_CODE = {
  code: Buffer.alloc(0),
  binary: false,
  main: "",
  codeDigest: "",
  codeSize: 0,
  image: "",
  build: undefined,
  unchecked: "",
};

function readImage(members: ReadonlyMap<string, JsonText>): string {
  const noImage = "'image' must be a string defined in 'exec' for 'blackbox' actions";
  const image = readString(members, "image", noImage);
  if (image === undefined) throw malformed(noImage);
  return image;
}

function readComponents(text: JsonText | undefined, own: string): string[] {
  if (text === undefined || text === "null") throw malformed("'components' must be defined for sequence kind");
  if (typeOf(text) !== "array") throw malformed("'components' must be an array");
  const names = elementsOf(text).map((element) => `/${readQualifiedName(element, "components", own).join("/")}`);
  if (names.length === 0) throw malformed("No component specified for the sequence.");
  if (names.length > SEQUENCE_LENGTH_MAX) throw malformed("Too many actions in the sequence.");
  return names;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/**
 * Base64 of the first three bytes of a zip archive, of one without entries, which starts with its end record, and of a tar
 * archive packed with gzip; and of an executable.
 */
const ARCHIVE_STARTS = ["UEsD", "UEsF", "H4sI", "f0VMR"];

/**
 * Code is an archive when it is base64 of one. OpenWhisk takes everything that could be base64 for binary, which
 * misjudges short source text; looking at the archive's first bytes does not.
 */
function decodeArchive(code: string): Buffer | undefined {
  if (!ARCHIVE_STARTS.some((start) => code.startsWith(start))) return undefined;
  return code.length % 4 === 0 && isBase64(code) ? Buffer.from(code, "base64") : undefined;
}

/** In pieces: one match over 48 MiB would exhaust the stack of the regular expression. */
function isBase64(text: string): boolean {
  const piece = 65_536;
  for (let at = 0; at < text.length; at += piece) {
    const part = text.slice(at, at + piece);
    const last = at + piece >= text.length;
    if (last ? !BASE64.test(part) : !/^[A-Za-z0-9+/]*$/.test(part)) return false;
  }
  return true;
}

interface LimitRule {
  readonly limit: "timeoutMs" | "memoryMb" | "logsMb" | "concurrency";
  readonly wholeNumber: string;
  readonly above: (value: number, max: number) => string;
  readonly below: (value: number, min: number) => string;
}

const LIMIT_RULES = {
  timeout: {
    limit: "timeoutMs",
    wholeNumber: "time",
    above: (v, max) => `duration ${v} milliseconds exceeds allowed threshold of ${max} milliseconds`,
    below: (v, min) => `duration ${v} milliseconds below allowed threshold of ${min} milliseconds`,
  },
  memory: {
    limit: "memoryMb",
    wholeNumber: "memory",
    above: (v, max) => `memory size ${v} MB exceeds allowed threshold of ${max} MB`,
    below: (v, min) => `memory size ${v} MB below allowed threshold of ${min} MB`,
  },
  logs: {
    limit: "logsMb",
    wholeNumber: "log",
    above: (v, max) => `log size ${v} MB exceeds allowed threshold of ${max} MB`,
    below: (v, min) => `log size ${v} MB below allowed threshold of ${min} MB`,
  },
  concurrency: {
    limit: "concurrency",
    wholeNumber: "intra concurrency",
    above: (v, max) => `concurrency ${v} exceeds allowed threshold of ${max}`,
    below: (v, min) => `concurrency ${v} below allowed threshold of ${min}`,
  },
} as const satisfies Record<string, LimitRule>;

function readLimits(text: JsonText | undefined, bounds: ActionBounds): Limits | undefined {
  if (text === undefined || text === "null") return undefined;
  if (typeOf(text) !== "object") throw malformed("'limits' must be an object");
  const members = membersOf(text);
  const read = (name: keyof typeof LIMIT_RULES): number | undefined => readLimit(members, name, bounds);
  return {
    timeoutMs: read("timeout") ?? 0,
    memoryMb: read("memory") ?? 0,
    logsMb: read("logs"),
    concurrency: read("concurrency") ?? 0,
    instances: readInstances(members.get("instances"), bounds.instancesMax),
  };
}

function readInstances(text: JsonText | undefined, max: number): number | undefined {
  if (text === undefined || text === "null") return undefined;
  const value = typeOf(text) === "number" ? Number(text) : NaN;
  if (!Number.isInteger(value)) throw malformed("instance concurrency limit must be whole number");
  if (value < 0) throw malformed("Action container concurrency must be greater than or equal to 0.");
  if (value > max)
    throw malformed(`Max action instance concurrency must not exceed your namespace concurrency of ${max}.`);
  return value;
}

function readLimit(
  members: ReadonlyMap<string, JsonText>,
  name: keyof typeof LIMIT_RULES,
  bounds: ActionBounds,
): number | undefined {
  const text = members.get(name);
  if (text === undefined || text === "null") return undefined;
  const rule: LimitRule = LIMIT_RULES[name];
  const value = typeOf(text) === "number" ? Number(text) : NaN;
  if (!Number.isInteger(value)) throw malformed(`${rule.wholeNumber} limit must be whole number`);
  const { min, max } = bounds[rule.limit];
  if (value > max) throw malformed(`requirement failed: ${rule.above(value, max)}`);
  if (value < min) throw malformed(`requirement failed: ${rule.below(value, min)}`);
  return value;
}

// ---- writing ----

/** @param binding "namespace/name" of that through which it was read without its code, or "" */
function writeAction(action: Action, withCode: boolean, binding = ""): JsonText {
  const exec = action.exec ?? { ...NO_CODE, kind: "", components: [] };
  return (
    `{${writeHead(action)},"exec":${writeExec(exec, withCode)},"parameters":${writeKeyValues(action.parameters)}` +
    `,"annotations":${writeKeyValues(action.annotations)},"limits":${writeLimits(action.limits)}` +
    (withCode || binding === "" ? "" : `,"binding":${JSON.stringify(binding)}`) +
    `,"updated":${epochMs(action.updateTime)}}`
  );
}

function writeExec(exec: Exec, withCode: boolean): JsonText {
  if (exec.kind === SEQUENCE_KIND) return `{"kind":"sequence","components":${JSON.stringify(exec.components)}}`;
  const code = Buffer.from(exec.code.buffer, exec.code.byteOffset, exec.code.byteLength);
  return (
    `{"kind":${JSON.stringify(exec.kind)}` +
    (exec.image === "" ? "" : `,"image":${JSON.stringify(exec.image)}`) +
    (withCode && (exec.image === "" || exec.codeSize > 0)
      ? `,"code":${JSON.stringify(code.toString(exec.binary ? "base64" : "utf8"))}`
      : "") +
    (exec.main === "" ? "" : `,"main":${JSON.stringify(exec.main)}`) +
    `,"binary":${exec.binary}}`
  );
}

function writeSummary(action: Action): JsonText {
  return (
    `{${writeHead(action)},"annotations":${writeKeyValues(action.annotations)},"limits":${writeLimits(action.limits)}` +
    `,"exec":{"binary":${action.exec?.binary ?? false}},"updated":${epochMs(action.updateTime)}}`
  );
}

function writeLimits(limits: Limits | undefined): JsonText {
  const { timeoutMs, memoryMb, logsMb, concurrency } = LIMIT_BOUNDS;
  return (
    `{"timeout":${limits?.timeoutMs ?? timeoutMs.default},"memory":${limits?.memoryMb ?? memoryMb.default}` +
    `,"logs":${limits?.logsMb ?? logsMb.default},"concurrency":${limits?.concurrency ?? concurrency.default}` +
    `${limits?.instances === undefined ? "" : `,"instances":${limits.instances}`}}`
  );
}
