// Requests that must be refused, for gRPC and /v1 alike. What exists when they are sent: the action `good`, the package
// `box` with the action `box/inner`, the trigger `tick`, and the rule `link` between `tick` and `good`.

import { deflateRawSync } from "node:zlib";
import type { ErrorKind } from "../../internal/base/errors.js";
import { CreateKeyRequest, DeleteKeyRequest, ListKeysRequest } from "../../internal/gen/weft/access/v1/access.pb.js";
import {
  CreateActionRequest,
  DeleteActionRequest,
  GetActionRequest,
  ListActionsRequest,
  UpdateActionRequest,
} from "../../internal/gen/weft/action/v1/action.pb.js";
import { GetActivationRequest, ListActivationsRequest } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { CallRequest, FireRequest, InvokeRequest } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import {
  CreateNamespaceRequest,
  DeleteNamespaceRequest,
  GetNamespaceRequest,
  ListNamespacesRequest,
  UpdateNamespaceLimitsRequest,
} from "../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import {
  CreatePackageRequest,
  DeletePackageRequest,
  GetPackageRequest,
  PackageServiceService,
  UpdatePackageRequest,
} from "../../internal/gen/weft/packages/v1/package.pb.js";
import {
  CreateRuleRequest,
  DeleteRuleRequest,
  EnableRuleRequest,
  GetRuleRequest,
  ListRulesRequest,
  UpdateRuleRequest,
} from "../../internal/gen/weft/rule/v1/rule.pb.js";
import {
  CreateTriggerRequest,
  DeleteTriggerRequest,
  GetTriggerRequest,
  ListTriggersRequest,
  UpdateTriggerRequest,
} from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { UnaryMethod } from "../../internal/rpc/channel.js";
import { services as s } from "../harness/client.js";
import { zipOf, type ZipEntry } from "../harness/zip.js";

export interface Refused {
  readonly kind: ErrorKind;
  /** Default INVALID_FIELD for invalidArgument. */
  readonly reason?: string;
  /** Every field that is named, in order. */
  readonly fields?: readonly string[];
  /** What the message says. */
  readonly says?: RegExp;
  /** What HTTP answers when it is not what the kind is: a path cannot say everything. */
  readonly http?: number;
}

export interface BadRequest {
  /** What is refused. */
  readonly what: string;
  readonly method: UnaryMethod<never, unknown>;
  readonly request: unknown;
  readonly refused: Refused;
}

const MIB = 1024 * 1024;
const CODE = Buffer.from("function main() { return {} }");
const EXEC = { kind: "nodejs:20", code: CODE, binary: false, main: "" };

function bad<Req>(what: string, method: UnaryMethod<Req, unknown>, request: Req, refused: Refused): BadRequest {
  return { what, method: method, request, refused };
}

const invalid = (fields: readonly string[], says?: RegExp, reason?: string): Refused => ({
  kind: "invalidArgument",
  fields,
  ...(says ? { says } : {}),
  ...(reason === undefined ? {} : { reason }),
});

// ---- names ----

/** No name of anything. */
const BAD_NAMES: readonly (readonly [what: string, name: string])[] = [
  ["with a first dash", "-a"],
  ["with a first space", " a"],
  ["with a last space", "a "],
  ["with a plus", "a+b"],
  ["with a question mark", "a?b"],
  ["with a letter outside of ASCII", "é"],
  ["with a NUL", "a\0b"],
  ["with a line feed", "a\nb"],
  ["that is a last line feed too long", "a\n"],
  ["of a dot", "."],
  ["of two dots", ".."],
  ["of 257 characters", "x".repeat(257)],
  ["of twenty thousand characters", "x".repeat(20_000)],
];

function names(): BadRequest[] {
  const { action, package: pack, trigger, rule, namespace, access } = { ...s, package: PackageServiceService };
  const cases = BAD_NAMES.flatMap(([what, name]) => [
    bad(
      `an action ${what}`,
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name, exec: EXEC } }),
      invalid(["name"]),
    ),
    bad(
      `an action in a package ${what}`,
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: `${name}/a`, exec: EXEC } }),
      invalid(["name"]),
    ),
    bad(
      `reading an action ${what}`,
      action.getAction,
      GetActionRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `updating an action ${what}`,
      action.updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name, exec: EXEC }, allowMissing: true }),
      invalid(["name"]),
    ),
    bad(
      `deleting an action ${what}`,
      action.deleteAction,
      DeleteActionRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `invoking an action ${what}`,
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: "_", action: name, blocking: true }),
      invalid(["action"]),
    ),
    bad(
      `calling an action ${what}`,
      s.invoke.call,
      CallRequest.fromPartial({ namespace: "_", action: name }),
      invalid(["action"]),
    ),
    bad(
      `a list of actions of a package ${what}`,
      action.listActions,
      ListActionsRequest.fromPartial({ namespace: "_", package: name }),
      invalid(["package"]),
    ),
    bad(
      `a package ${what}`,
      pack.createPackage,
      CreatePackageRequest.fromPartial({ package: { namespace: "_", name } }),
      invalid(["name"]),
    ),
    bad(
      `reading a package ${what}`,
      pack.getPackage,
      GetPackageRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `updating a package ${what}`,
      pack.updatePackage,
      UpdatePackageRequest.fromPartial({ package: { namespace: "_", name }, allowMissing: true }),
      invalid(["name"]),
    ),
    bad(
      `deleting a package ${what}`,
      pack.deletePackage,
      DeletePackageRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `a trigger ${what}`,
      trigger.createTrigger,
      CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name } }),
      invalid(["name"]),
    ),
    bad(
      `reading a trigger ${what}`,
      trigger.getTrigger,
      GetTriggerRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `updating a trigger ${what}`,
      trigger.updateTrigger,
      UpdateTriggerRequest.fromPartial({ trigger: { namespace: "_", name }, allowMissing: true }),
      invalid(["name"]),
    ),
    bad(
      `deleting a trigger ${what}`,
      trigger.deleteTrigger,
      DeleteTriggerRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `firing a trigger ${what}`,
      s.invoke.fire,
      FireRequest.fromPartial({ namespace: "_", trigger: name }),
      invalid(["trigger"]),
    ),
    bad(
      `a rule ${what}`,
      rule.createRule,
      CreateRuleRequest.fromPartial({ rule: { namespace: "_", name, trigger: "tick", action: "good" } }),
      invalid(["name"]),
    ),
    bad(
      `reading a rule ${what}`,
      rule.getRule,
      GetRuleRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `enabling a rule ${what}`,
      rule.enableRule,
      EnableRuleRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `updating a rule ${what}`,
      rule.updateRule,
      UpdateRuleRequest.fromPartial({
        rule: { namespace: "_", name, trigger: "tick", action: "good" },
        allowMissing: true,
      }),
      invalid(["name"]),
    ),
    bad(
      `deleting a rule ${what}`,
      rule.deleteRule,
      DeleteRuleRequest.fromPartial({ namespace: "_", name }),
      invalid(["name"]),
    ),
    bad(
      `a namespace ${what}`,
      namespace.createNamespace,
      CreateNamespaceRequest.fromPartial({ namespace: name }),
      invalid(["namespace"]),
    ),
    bad(
      `reading a namespace ${what}`,
      namespace.getNamespace,
      GetNamespaceRequest.fromPartial({ namespace: name }),
      invalid(["namespace"]),
    ),
    bad(
      `limits of a namespace ${what}`,
      namespace.updateNamespaceLimits,
      UpdateNamespaceLimitsRequest.fromPartial({ namespace: name, limits: { firesPerMinute: 1 } }),
      invalid(["namespace"]),
    ),
    bad(
      `deleting a namespace ${what}`,
      namespace.deleteNamespace,
      DeleteNamespaceRequest.fromPartial({ namespace: name }),
      invalid(["namespace"]),
    ),
    bad(
      `a list of actions of a namespace ${what}`,
      action.listActions,
      ListActionsRequest.fromPartial({ namespace: name }),
      invalid(["namespace"]),
    ),
    bad(
      `invoking in a namespace ${what}`,
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: name, action: "good", blocking: true }),
      invalid(["namespace"]),
    ),
    bad(
      `firing in a namespace ${what}`,
      s.invoke.fire,
      FireRequest.fromPartial({ namespace: name, trigger: "tick" }),
      invalid(["namespace"]),
    ),
    bad(
      `keys of a namespace ${what}`,
      access.listKeys,
      ListKeysRequest.fromPartial({ namespace: name }),
      invalid(["namespace"]),
    ),
    bad(
      `a key of a namespace ${what}`,
      access.createKey,
      CreateKeyRequest.fromPartial({ namespace: name }),
      invalid(["namespace"]),
    ),
  ]);
  const missing = (fields: readonly string[]): Refused => ({ ...invalid(fields), http: 200 });
  return [
    ...cases,
    bad(
      "an action without a name",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", exec: EXEC } }),
      invalid(["name"]),
    ),
    bad(
      "an action without a namespace",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { name: "a", exec: EXEC } }),
      invalid(["namespace"]),
    ),
    bad("no action at all", action.createAction, CreateActionRequest.fromPartial({}), {
      ...invalid(["action"]),
      http: 400,
    }),
    bad(
      "reading an action without a name",
      action.getAction,
      GetActionRequest.fromPartial({ namespace: "_" }),
      missing(["name"]),
    ),
    bad(
      "invoking an action without a name",
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: "_" }),
      invalid(["action"]),
    ),
    bad(
      "an action three levels deep",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "a/b/c", exec: EXEC } }),
      invalid(["name"]),
    ),
    bad(
      "an action in a package without a name",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "/a", exec: EXEC } }),
      invalid(["name"]),
    ),
    bad(
      "a package in a package",
      pack.createPackage,
      CreatePackageRequest.fromPartial({ package: { namespace: "_", name: "a/b" } }),
      invalid(["name"]),
    ),
    bad(
      "the package default",
      pack.createPackage,
      CreatePackageRequest.fromPartial({ package: { namespace: "_", name: "default" } }),
      invalid(["name"], /default/),
    ),
    bad("no package at all", pack.createPackage, CreatePackageRequest.fromPartial({}), {
      ...invalid(["package"]),
      http: 400,
    }),
    bad(
      "a trigger in a package",
      trigger.createTrigger,
      CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "a/b" } }),
      invalid(["name"]),
    ),
    bad("no trigger at all", trigger.createTrigger, CreateTriggerRequest.fromPartial({}), {
      ...invalid(["trigger"]),
      http: 400,
    }),
    bad(
      "a rule in a package",
      rule.createRule,
      CreateRuleRequest.fromPartial({ rule: { namespace: "_", name: "a/b", trigger: "tick", action: "good" } }),
      invalid(["name"]),
    ),
    bad("no rule at all", rule.createRule, CreateRuleRequest.fromPartial({}), { ...invalid(["rule"]), http: 400 }),
    bad(
      "the namespace _",
      namespace.createNamespace,
      CreateNamespaceRequest.fromPartial({ namespace: "_" }),
      invalid(["namespace"]),
    ),
    bad(
      "deleting the namespace _",
      namespace.deleteNamespace,
      DeleteNamespaceRequest.fromPartial({ namespace: "_" }),
      invalid(["namespace"]),
    ),
    bad(
      "a namespace without a name",
      namespace.createNamespace,
      CreateNamespaceRequest.fromPartial({}),
      invalid(["namespace"]),
    ),
    bad(
      "an action in a package that is not there",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "nobox/a", exec: EXEC } }),
      { kind: "notFound" },
    ),
    bad(
      "an action of somebody else's namespace",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "stranger", name: "a", exec: EXEC } }),
      { kind: "notFound" },
    ),
    bad(
      "an action with a trigger's name",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "tick", exec: EXEC } }),
      { kind: "alreadyExists", reason: "WRONG_COLLECTION" },
    ),
    bad(
      "an action that is there",
      action.createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "good", exec: EXEC } }),
      { kind: "alreadyExists" },
    ),
    bad(
      "reading a trigger as an action",
      action.getAction,
      GetActionRequest.fromPartial({ namespace: "_", name: "tick" }),
      { kind: "failedPrecondition", reason: "WRONG_COLLECTION" },
    ),
    bad(
      "invoking a trigger",
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: "_", action: "tick", blocking: true }),
      { kind: "failedPrecondition", reason: "WRONG_COLLECTION" },
    ),
    bad("firing an action", s.invoke.fire, FireRequest.fromPartial({ namespace: "_", trigger: "good" }), {
      kind: "failedPrecondition",
      reason: "WRONG_COLLECTION",
    }),
    bad(
      "invoking an action that is not there",
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: "_", action: "nobody" }),
      { kind: "notFound" },
    ),
    bad(
      "firing a trigger that is not there",
      s.invoke.fire,
      FireRequest.fromPartial({ namespace: "_", trigger: "nobody" }),
      { kind: "notFound" },
    ),
    bad(
      "deleting a package that has actions",
      pack.deletePackage,
      DeletePackageRequest.fromPartial({ namespace: "_", name: "box" }),
      { kind: "failedPrecondition" },
    ),
    bad(
      "deleting the own namespace",
      namespace.deleteNamespace,
      DeleteNamespaceRequest.fromPartial({ namespace: "guest" }),
      { kind: "failedPrecondition" },
    ),
  ];
}

// ---- code, kinds, limits ----

function archive(
  change: (bytes: Buffer) => Buffer | void,
  entries: readonly ZipEntry[] = [{ name: "index.js", content: CODE }],
): Buffer {
  const bytes = Buffer.from(zipOf(entries));
  return change(bytes) ?? bytes;
}

const directoryOf = (bytes: Buffer): number => bytes.readUInt32LE(bytes.length - 22 + 16);

/** A hundred entries that are one and the same: small, and unpacks to a hundred times as much. */
function overlapping(): Buffer {
  const one = Buffer.from(zipOf([{ name: "index.js", content: "x".repeat(10_000), deflated: false }]));
  const at = directoryOf(one);
  const listing = one.subarray(at, one.length - 22);
  const end = Buffer.from(one.subarray(one.length - 22));
  end.writeUInt16LE(100, 8);
  end.writeUInt16LE(100, 10);
  end.writeUInt32LE(listing.length * 100, 12);
  return Buffer.concat([one.subarray(0, at), ...Array.from({ length: 100 }, () => listing), end]);
}

const named = (name: string): Buffer => archive(() => undefined, [{ name, content: CODE }]);

const BAD_ARCHIVES: readonly (readonly [what: string, code: Buffer, says: RegExp])[] = [
  ["is source text", CODE, /not a zip archive/],
  ["is random bytes", deflateRawSync("weft".repeat(1_000)), /not a zip archive/],
  ["is base64 of an archive", Buffer.from(archive(() => undefined).toString("base64")), /not a zip archive/],
  ["is a tar's beginning", Buffer.alloc(1024), /not a zip archive/],
  ["is cut off in the middle", archive((b) => b.subarray(0, b.length >> 1)), /not a zip archive/],
  ["is cut off at its last byte", archive((b) => b.subarray(0, b.length - 1)), /not a zip archive/],
  ["lacks its beginning", archive((b) => b.subarray(20)), /damaged/],
  ["is empty", archive(() => undefined, []), /empty/],
  ["has folders only", archive(() => undefined, [{ name: "a/", deflated: false }]), /without files/],
  ["has a name that climbs", named("../evil.js"), /points outside/],
  ["has a name that climbs later", named("a/../../evil.js"), /points outside/],
  ["has a name that climbs as on Windows", named("..\\evil.js"), /points outside/],
  ["has an absolute name", named("/etc/passwd"), /points outside/],
  ["has a name with a NUL", named("index.js\0.txt"), /null character/],
  ["has an entry without a name", named(""), /has no name/],
  [
    "has a symbolic link",
    archive(() => undefined, [{ name: "index.js", content: "/etc/passwd", mode: 0o120777 }]),
    /symbolic link/,
  ],
  ["is encrypted", archive((b) => void b.writeUInt16LE(1, directoryOf(b) + 8)), /encrypted/],
  ["is compressed by an odd method", archive((b) => void b.writeUInt16LE(12, directoryOf(b) + 10)), /method 12/],
  [
    "says that it unpacks to 4 GB",
    archive(() => undefined, [{ name: "index.js", content: CODE, declaredSize: 0xfffffffe }]),
    /unpack to more/,
  ],
  [
    "says that its entries unpack to 600 MB",
    archive(
      () => undefined,
      Array.from({ length: 6 }, (_, i) => ({ name: `${i}.js`, content: CODE, declaredSize: 100 * MIB })),
    ),
    /unpack to more/,
  ],
  ["has entries that overlap", overlapping(), /overlap/],
  ["says that it has more entries than it has", archive((b) => void b.writeUInt16LE(9, b.length - 22 + 10)), /damaged/],
  ["says that it has 65535 entries", archive((b) => void b.writeUInt16LE(0xffff, b.length - 22 + 10)), /zip64/],
  ["has a directory outside of it", archive((b) => void b.writeUInt32LE(0xfffffff0, b.length - 22 + 16)), /damaged/],
  ["is one of several parts", archive((b) => void b.writeUInt16LE(1, b.length - 22 + 4)), /several parts/],
  [
    "has content that is not where it should be",
    archive((b) => void b.writeUInt32LE(7, directoryOf(b) + 42)),
    /damaged/,
  ],
];

const BAD_KINDS: readonly (readonly [what: string, kind: string])[] = [
  ["none", ""],
  ["a family", "nodejs"],
  ["an unknown version", "nodejs:99"],
  ["an unknown family", "cobol:default"],
  ["ten thousand characters", "k".repeat(10_000)],
  ["a NUL", "nodejs:20\0"],
];

const BAD_LIMITS: readonly (readonly [
  field: string,
  name: "timeoutMs" | "memoryMb" | "logsMb" | "concurrency",
  value: number,
])[] = [
  ["timeout_ms", "timeoutMs", 1],
  ["timeout_ms", "timeoutMs", 99],
  ["timeout_ms", "timeoutMs", 300_001],
  ["timeout_ms", "timeoutMs", 4_294_967_295],
  ["memory_mb", "memoryMb", 1],
  ["memory_mb", "memoryMb", 127],
  ["memory_mb", "memoryMb", 513],
  ["logs_mb", "logsMb", 11],
  ["logs_mb", "logsMb", 4_294_967_295],
  ["concurrency", "concurrency", 501],
];

const BAD_VERSIONS = ["0.0.0", "1.2.3.4", "-1.0.0", "a.b.c", "1.2.x", "1.0.0 ", "9999999999.0.0", "v1.0.0"];

function actions(): BadRequest[] {
  const { createAction, updateAction } = s.action;
  const both = (
    what: string,
    change: Parameters<typeof CreateActionRequest.fromPartial>[0]["action"],
    refused: Refused,
  ): BadRequest[] => [
    bad(
      `an action ${what}`,
      createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "new", exec: EXEC, ...change } }),
      refused,
    ),
    bad(
      `an update to an action ${what}`,
      updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good", ...change } }),
      refused,
    ),
  ];
  return [
    ...BAD_ARCHIVES.flatMap(([what, code, says]) =>
      both(`whose archive ${what}`, { exec: { ...EXEC, code, binary: true } }, invalid(["exec.code"], says)),
    ),
    ...BAD_KINDS.flatMap(([what, kind]) =>
      both(`whose kind is ${what}`, { exec: { ...EXEC, kind } }, invalid(["exec.kind"], /nodejs:20/)),
    ),
    ...["", "Me/Image", "me/image:", "a".repeat(600)].flatMap((image) =>
      both(
        `of a blackbox with the image "${image.slice(0, 20)}"`,
        { exec: { ...EXEC, kind: "blackbox", image } },
        invalid(["exec.image"]),
      ),
    ),
    ...both("of nodejs with an image", { exec: { ...EXEC, image: "me/image" } }, invalid(["exec.image"], /blackbox/)),
    ...BAD_LIMITS.flatMap(([field, name, value]) =>
      both(
        `with ${field} of ${value}`,
        { limits: { [name]: value } },
        invalid([`limits.${field}`], new RegExp(`not ${value}`)),
      ),
    ),
    ...BAD_VERSIONS.flatMap((version) => both(`with version "${version}"`, { version }, invalid(["version"]))),
    ...both("without code", { exec: { ...EXEC, code: Buffer.alloc(0) } }, invalid(["exec.code"], /empty/)),
    ...both(
      "whose source is not UTF-8",
      { exec: { ...EXEC, code: Buffer.from([0x66, 0xff, 0xfe]) } },
      invalid(["exec.code"], /UTF-8/),
    ),
    ...both(
      "with code of 48 MiB and a byte",
      { exec: { ...EXEC, code: Buffer.alloc(48 * MIB + 1, 0x20) } },
      invalid(["exec.code"], /50331649 > 50331648/, "TOO_LARGE"),
    ),
    ...both("whose main has a line feed", { exec: { ...EXEC, main: "ma\nin" } }, invalid(["exec.main"])),
    ...both("whose main is too long", { exec: { ...EXEC, main: "m".repeat(257) } }, invalid(["exec.main"])),
    bad(
      "an action without exec",
      createAction,
      CreateActionRequest.fromPartial({ action: { namespace: "_", name: "new" } }),
      invalid(["exec"]),
    ),
    bad(
      "an action with everything wrong, all of it at once",
      createAction,
      CreateActionRequest.fromPartial({
        action: {
          namespace: "_",
          name: "é",
          version: "x",
          exec: { kind: "cobol", code: Buffer.alloc(0), main: "\n" },
          limits: { timeoutMs: 1, memoryMb: 1, logsMb: 11, concurrency: 501 },
          parameters: [{ key: "", valueJson: "" }],
          annotations: [{ key: "a", valueJson: "{", init: true }],
        },
      }),
      invalid([
        "name",
        "parameters[0].key",
        "parameters[0].value_json",
        "annotations[0].init",
        "annotations[0].value_json",
        "version",
        "limits.timeout_ms",
        "limits.memory_mb",
        "limits.logs_mb",
        "limits.concurrency",
        "exec.kind",
        "exec.code",
        "exec.main",
      ]),
    ),
    bad(
      "an update of a field that actions do not have",
      updateAction,
      UpdateActionRequest.fromPartial({
        action: { namespace: "_", name: "good" },
        updateFields: ["publish", "colour"],
      }),
      invalid(["update_fields[1]"], /colour/),
    ),
    bad(
      "an update of code that is not given",
      updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good" }, updateFields: ["exec"] }),
      invalid(["exec"]),
    ),
    bad(
      "an update of limits that are not given",
      updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good" }, updateFields: ["limits"] }),
      invalid(["limits"]),
    ),
    bad(
      "an update of a version that is not given",
      updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good" }, updateFields: ["version"] }),
      invalid(["version"]),
    ),
    bad(
      "an update of an action that is not there",
      updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "nobody", publish: true } }),
      { kind: "notFound" },
    ),
    bad(
      "an action made by an update without code",
      updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "nobody" }, allowMissing: true }),
      invalid(["exec"]),
    ),
  ];
}

// ---- JSON ----

/** What is no JSON value. */
const BAD_JSON: readonly (readonly [what: string, text: string])[] = [
  ["an open object", "{"],
  ["an open text", '"a'],
  ["half a word", "nul"],
  ["a name", "undefined"],
  ["not a number", "NaN"],
  ["single quotes", "'a'"],
  ["a leading zero", "01"],
  ["a lone sign", "-"],
  ["a plus sign", "+1"],
  ["an open fraction", "1."],
  ["an unknown escape", '"\\x41"'],
  ["half an escape", '"\\u00"'],
  ["a raw line feed in a text", '"a\nb"'],
  ["a raw NUL in a text", '"a\0b"'],
  ["a NUL after it", "1\0"],
  ["a last comma", "[1,]"],
  ["two values", "1 2"],
  ["a comment", "/* */ 1"],
  ["spaces only", "   "],
  ["a byte order mark", "\ufeff1"],
  ["a hundred thousand levels of arrays", "[".repeat(100_000) + "]".repeat(100_000)],
  ["a hundred thousand levels of objects", '{"a":'.repeat(100_000) + "1" + "}".repeat(100_000)],
  ["a hundred thousand open levels", "[".repeat(100_000)],
  ["501 levels", "[".repeat(501) + "]".repeat(501)],
];

type KeyValues = readonly { readonly key: string; readonly valueJson: string; readonly init?: boolean }[];

function badKeyValues(): (readonly [what: string, list: KeyValues, at: readonly string[], reason?: string])[] {
  const one = (key: string, valueJson = "1", init = false): KeyValues => [
    { key: "first", valueJson: "1" },
    { key, valueJson, init },
  ];
  return [
    ...BAD_JSON.map(([what, text]) => [`that is ${what}`, one("a", text), ["[1].value_json"]] as const),
    ["without a value", one("a", ""), ["[1].value_json"]],
    ["without a key", one(""), ["[1].key"]],
    ["with a key of 257 characters", one("k".repeat(257)), ["[1].key"]],
    ["with a NUL in its key", one("a\0"), ["[1].key"]],
    ["whose key is there twice", one("first"), ["[1].key"]],
    ["of more than 1 MiB", one("a", JSON.stringify("x".repeat(MIB))), [""], "TOO_LARGE"],
    [
      "of more than 1 MiB together",
      Array.from({ length: 1_100 }, (_, i) => ({ key: `k${i}`, valueJson: JSON.stringify("x".repeat(1_000)) })),
      [""],
      "TOO_LARGE",
    ],
  ];
}

function keyValues(): BadRequest[] {
  const lists = badKeyValues();
  const of = (
    field: "parameters" | "annotations",
    make: (what: string, list: KeyValues, refused: Refused) => BadRequest,
  ): BadRequest[] => [
    ...lists.map(([what, list, at, reason]) =>
      make(
        `${field === "parameters" ? "a parameter" : "an annotation"} ${what}`,
        list,
        invalid(
          at.map((where) => `${field}${where}`),
          undefined,
          reason,
        ),
      ),
    ),
    field === "parameters"
      ? make(
          "an init parameter that cannot name a variable",
          [{ key: "a=b", valueJson: "1", init: true }],
          invalid(["parameters[0].key"]),
        )
      : make("an annotation for init", [{ key: "a", valueJson: "1", init: true }], invalid(["annotations[0].init"])),
  ];
  return (["parameters", "annotations"] as const).flatMap((field) => [
    ...of(field, (what, list, refused) =>
      bad(
        `an action with ${what}`,
        s.action.createAction,
        CreateActionRequest.fromPartial({ action: { namespace: "_", name: "new", exec: EXEC, [field]: [...list] } }),
        refused,
      ),
    ),
    ...of(field, (what, list, refused) =>
      bad(
        `an update to an action with ${what}`,
        s.action.updateAction,
        UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good", [field]: [...list] } }),
        refused,
      ),
    ),
    ...of(field, (what, list, refused) =>
      bad(
        `a package with ${what}`,
        PackageServiceService.createPackage,
        CreatePackageRequest.fromPartial({ package: { namespace: "_", name: "new", [field]: [...list] } }),
        refused,
      ),
    ),
    ...of(field, (what, list, refused) =>
      bad(
        `a trigger with ${what}`,
        s.trigger.createTrigger,
        CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "new", [field]: [...list] } }),
        refused,
      ),
    ),
    ...(field === "parameters"
      ? []
      : of(field, (what, list, refused) =>
          bad(
            `a rule with ${what}`,
            s.rule.createRule,
            CreateRuleRequest.fromPartial({
              rule: { namespace: "_", name: "new", trigger: "tick", action: "good", [field]: [...list] },
            }),
            refused,
          ),
        )),
  ]);
}

function args(): BadRequest[] {
  const big = JSON.stringify({ x: "x".repeat(MIB - 8) }) + " ";
  const texts: readonly (readonly [string, string, string?])[] = [
    ...BAD_JSON.map(([what, text]) => [what, text] as const),
    ["an array", "[]"],
    ["a text", '"a"'],
    ["a number", "1"],
    ["null", "null"],
    ["an object and more", "{} {}"],
    ["an object with a bad member", '{"a":1,"b":}'],
    ["1 MiB and a byte", big, "TOO_LARGE"],
    ["20 MiB", JSON.stringify({ x: "x".repeat(20 * MIB) }), "TOO_LARGE"],
  ];
  return texts.flatMap(([what, paramsJson, reason]) => {
    const refused = invalid(["params"], undefined, reason);
    return [
      bad(
        `a blocking call with ${what}`,
        s.invoke.invoke,
        InvokeRequest.fromPartial({ namespace: "_", action: "good", paramsJson, blocking: true }),
        refused,
      ),
      bad(
        `a call in a package with ${what}`,
        s.invoke.invoke,
        InvokeRequest.fromPartial({ namespace: "_", action: "box/inner", paramsJson, blocking: true }),
        refused,
      ),
      bad(
        `a durable request with ${what}`,
        s.invoke.invoke,
        InvokeRequest.fromPartial({ namespace: "_", action: "good", paramsJson }),
        refused,
      ),
      bad(
        `a bare call with ${what}`,
        s.invoke.call,
        CallRequest.fromPartial({
          namespace: "_",
          action: "good",
          params: { contentType: "application/json", data: Buffer.from(paramsJson) },
        }),
        refused,
      ),
      bad(
        `a firing with ${what}`,
        s.invoke.fire,
        FireRequest.fromPartial({ namespace: "_", trigger: "tick", paramsJson }),
        refused,
      ),
    ];
  });
}

// ---- the rest ----

function rules(): BadRequest[] {
  const make = (what: string, change: object, refused: Refused): BadRequest =>
    bad(
      `a rule ${what}`,
      s.rule.createRule,
      CreateRuleRequest.fromPartial({
        rule: { namespace: "_", name: "new", trigger: "tick", action: "good", ...change },
      }),
      refused,
    );
  return [
    make("without a trigger", { trigger: "" }, invalid(["trigger"])),
    make("without an action", { action: "" }, invalid(["action"])),
    make("without both", { trigger: "", action: "" }, invalid(["trigger", "action"])),
    make("for a trigger that cannot be", { trigger: "é" }, invalid(["trigger"])),
    make("for an action that cannot be", { action: "a/b/c" }, invalid(["action"])),
    make("for a name that is cut off", { action: "/guest" }, invalid(["action"])),
    make("for a trigger in a package", { trigger: "a/b" }, invalid(["trigger"])),
    make("for a trigger that is not there", { trigger: "nobody" }, invalid(["trigger"])),
    make("for an action that is not there", { action: "nobody" }, invalid(["action"])),
    make("for somebody else's trigger", { trigger: "/stranger/tick" }, invalid(["trigger"])),
    make("for somebody else's action", { action: "/stranger/good" }, invalid(["action"])),
    make("for a trigger that is an action", { trigger: "good" }, invalid(["trigger"])),
    make("of an odd version", { version: "x" }, invalid(["version"])),
    bad(
      "an update of a field that rules do not have",
      s.rule.updateRule,
      UpdateRuleRequest.fromPartial({ rule: { namespace: "_", name: "link" }, updateFields: ["active"] }),
      invalid(["update_fields[0]"]),
    ),
    bad(
      "a trigger whose feed is no name",
      s.trigger.createTrigger,
      CreateTriggerRequest.fromPartial({
        trigger: { namespace: "_", name: "new", annotations: [{ key: "feed", valueJson: "42" }] },
      }),
      invalid(["annotations[0].value_json"]),
    ),
    bad(
      "an update of a field that triggers do not have",
      s.trigger.updateTrigger,
      UpdateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "tick" }, updateFields: ["exec"] }),
      invalid(["update_fields[0]"]),
    ),
    bad(
      "an update of a field that packages do not have",
      PackageServiceService.updatePackage,
      UpdatePackageRequest.fromPartial({ package: { namespace: "_", name: "box" }, updateFields: ["exec"] }),
      invalid(["update_fields[0]"]),
    ),
  ];
}

function etags(): BadRequest[] {
  const none = invalid(["etag"]);
  const stale: Refused = { kind: "conflict", reason: "STALE_ETAG" };
  return [
    ...["0", "-1", "x", "1e3", "9".repeat(30), 'W/"1"'].flatMap((etag) => [
      bad(
        `an update with the etag ${etag}`,
        s.action.updateAction,
        UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good", publish: true, etag } }),
        none,
      ),
      bad(
        `deleting an action with the etag ${etag}`,
        s.action.deleteAction,
        DeleteActionRequest.fromPartial({ namespace: "_", name: "good", etag }),
        none,
      ),
      bad(
        `deleting a trigger with the etag ${etag}`,
        s.trigger.deleteTrigger,
        DeleteTriggerRequest.fromPartial({ namespace: "_", name: "tick", etag }),
        none,
      ),
      bad(
        `deleting a rule with the etag ${etag}`,
        s.rule.deleteRule,
        DeleteRuleRequest.fromPartial({ namespace: "_", name: "link", etag }),
        none,
      ),
      bad(
        `deleting a package with the etag ${etag}`,
        PackageServiceService.deletePackage,
        DeletePackageRequest.fromPartial({ namespace: "_", name: "box", etag, force: true }),
        none,
      ),
    ]),
    bad(
      "an update with somebody else's etag",
      s.action.updateAction,
      UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "good", publish: true, etag: "77" } }),
      stale,
    ),
    bad(
      "an update of a trigger with somebody else's etag",
      s.trigger.updateTrigger,
      UpdateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "tick", publish: true, etag: "77" } }),
      stale,
    ),
    bad(
      "an update of a rule with somebody else's etag",
      s.rule.updateRule,
      UpdateRuleRequest.fromPartial({ rule: { namespace: "_", name: "link", publish: true, etag: "77" } }),
      stale,
    ),
    bad(
      "an update of a package with somebody else's etag",
      PackageServiceService.updatePackage,
      UpdatePackageRequest.fromPartial({ package: { namespace: "_", name: "box", publish: true, etag: "77" } }),
      stale,
    ),
    bad(
      "deleting an action with somebody else's etag",
      s.action.deleteAction,
      DeleteActionRequest.fromPartial({ namespace: "_", name: "good", etag: "77" }),
      { kind: "conflict" },
    ),
    bad(
      "deleting a trigger with somebody else's etag",
      s.trigger.deleteTrigger,
      DeleteTriggerRequest.fromPartial({ namespace: "_", name: "tick", etag: "77" }),
      { kind: "conflict" },
    ),
    bad(
      "deleting a rule with somebody else's etag",
      s.rule.deleteRule,
      DeleteRuleRequest.fromPartial({ namespace: "_", name: "link", etag: "77" }),
      { kind: "conflict" },
    ),
    bad(
      "deleting a package with somebody else's etag",
      PackageServiceService.deletePackage,
      DeletePackageRequest.fromPartial({ namespace: "_", name: "box", etag: "77", force: true }),
      { kind: "conflict" },
    ),
  ];
}

const BAD_TOKENS = ["x", "!!!", "AAAAAAAAAAAAAAAA", "x".repeat(10_000), "eyJuYW1lIjoiYSJ9", "\0", "é"];

function pages(): BadRequest[] {
  return [
    ...BAD_TOKENS.flatMap((pageToken) => {
      const what = `with the page token ${JSON.stringify(pageToken.slice(0, 20))}`;
      return [
        bad(
          `actions ${what}`,
          s.action.listActions,
          ListActionsRequest.fromPartial({ namespace: "_", pageToken }),
          invalid(["page_token"]),
        ),
        bad(
          `triggers ${what}`,
          s.trigger.listTriggers,
          ListTriggersRequest.fromPartial({ namespace: "_", pageToken }),
          invalid(["page_token"]),
        ),
        bad(
          `rules ${what}`,
          s.rule.listRules,
          ListRulesRequest.fromPartial({ namespace: "_", pageToken }),
          invalid(["page_token"]),
        ),
        bad(
          `activations ${what}`,
          s.activation.listActivations,
          ListActivationsRequest.fromPartial({ namespace: "_", pageToken }),
          invalid(["page_token"]),
        ),
        bad(
          `namespaces ${what}`,
          s.namespace.listNamespaces,
          ListNamespacesRequest.fromPartial({ pageToken }),
          invalid(["page_token"]),
        ),
      ];
    }),
    ...[-1, 201, 2_147_483_647, -2_147_483_648].flatMap((pageSize) => [
      bad(
        `a page of ${pageSize} actions`,
        s.action.listActions,
        ListActionsRequest.fromPartial({ namespace: "_", pageSize }),
        invalid(["page_size"]),
      ),
      bad(
        `a page of ${pageSize} activations`,
        s.activation.listActivations,
        ListActivationsRequest.fromPartial({ namespace: "_", pageSize }),
        invalid(["page_size"]),
      ),
      bad(
        `a page of ${pageSize} namespaces`,
        s.namespace.listNamespaces,
        ListNamespacesRequest.fromPartial({ pageSize }),
        invalid(["page_size"]),
      ),
    ]),
    ...[-1, 1_000_001].map((skip) =>
      bad(
        `skipping ${skip} actions`,
        s.action.listActions,
        ListActionsRequest.fromPartial({ namespace: "_", skip }),
        invalid(["skip"]),
      ),
    ),
    bad(
      "activations of a name three levels deep",
      s.activation.listActivations,
      ListActivationsRequest.fromPartial({ namespace: "_", name: "a/b/c" }),
      invalid(["name"]),
    ),
    bad(
      "activations since after they end",
      s.activation.listActivations,
      ListActivationsRequest.fromPartial({ namespace: "_", since: { seconds: 2 }, upto: { seconds: 1 } }),
      invalid(["since"]),
    ),
    ...[
      "",
      "0",
      "0".repeat(31),
      "0".repeat(33),
      "g".repeat(32),
      `${"0".repeat(31)}\0`,
      "../../../../../../../../../../..",
      "é".repeat(32),
    ].map((activationId) =>
      bad(
        `the activation ${JSON.stringify(activationId)}`,
        s.activation.getActivation,
        GetActivationRequest.fromPartial({ namespace: "_", activationId }),
        {
          ...invalid(["activation_id"], undefined, "BAD_ACTIVATION_ID"),
          ...(activationId === "" ? { http: 200 } : {}),
        },
      ),
    ),
    bad(
      "an activation that nobody has",
      s.activation.getActivation,
      GetActivationRequest.fromPartial({ namespace: "_", activationId: "0".repeat(32) }),
      { kind: "notFound" },
    ),
    bad(
      "a wait of more than a minute",
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: "_", action: "good", blocking: true, waitMs: 60_001 }),
      invalid(["wait_ms"]),
    ),
    bad(
      "the longest wait there is",
      s.invoke.invoke,
      InvokeRequest.fromPartial({ namespace: "_", action: "good", blocking: true, waitMs: 4_294_967_295 }),
      invalid(["wait_ms"]),
    ),
    ...["abcd", "x".repeat(257), " abcde", "abcdé", "abc\nde"].flatMap((subject) => [
      bad(
        `a namespace for the subject ${JSON.stringify(subject.slice(0, 10))}`,
        s.namespace.createNamespace,
        CreateNamespaceRequest.fromPartial({ namespace: "fine", subject }),
        invalid(["subject"]),
      ),
      bad(
        `a key for the subject ${JSON.stringify(subject.slice(0, 10))}`,
        s.access.createKey,
        CreateKeyRequest.fromPartial({ namespace: "_", subject }),
        invalid(["subject"]),
      ),
    ]),
    bad(
      "deleting a key that is not there",
      s.access.deleteKey,
      DeleteKeyRequest.fromPartial({ namespace: "_", uuid: "00000000-0000-0000-0000-000000000000" }),
      { kind: "notFound" },
    ),
    bad(
      "a namespace that is there",
      s.namespace.createNamespace,
      CreateNamespaceRequest.fromPartial({ namespace: "guest" }),
      { kind: "alreadyExists" },
    ),
    bad(
      "a namespace that is not there",
      s.namespace.getNamespace,
      GetNamespaceRequest.fromPartial({ namespace: "nobody" }),
      { kind: "notFound" },
    ),
    bad(
      "limits of a namespace that is not there",
      s.namespace.updateNamespaceLimits,
      UpdateNamespaceLimitsRequest.fromPartial({ namespace: "nobody", limits: { firesPerMinute: 1 } }),
      { kind: "notFound" },
    ),
    bad(
      "a key of a namespace that is not there",
      s.access.createKey,
      CreateKeyRequest.fromPartial({ namespace: "nobody" }),
      { kind: "notFound" },
    ),
    ...["x", "é", "a\0b"].map((uuid) =>
      bad(
        `deleting the key ${JSON.stringify(uuid)}`,
        s.access.deleteKey,
        DeleteKeyRequest.fromPartial({ namespace: "_", uuid }),
        invalid(["uuid"]),
      ),
    ),
  ];
}

export const BAD_REQUESTS: readonly BadRequest[] = [
  ...names(),
  ...actions(),
  ...keyValues(),
  ...args(),
  ...rules(),
  ...etags(),
  ...pages(),
];
