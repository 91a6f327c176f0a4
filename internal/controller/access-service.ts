import { invalidField, WeftError } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import { Violations } from "../base/violations.js";
import { cutPage, isText, readPage } from "../core/action/page.js";
import type { EntityChange } from "../core/action/store.js";
import type { KeyRing } from "../core/sealing/key-ring.js";
import { resealAll } from "../core/sealing/rotation.js";
import type { SealStore } from "../core/sealing/store.js";
import { administeredNamespace, requireOperator, type Identity } from "../core/tenancy/identity.js";
import { checkSubject, givenKey, isKeyUuid, newKey, type KeyOwner } from "../core/tenancy/key.js";
import { checkName } from "../core/tenancy/name.js";
import type { Key, NamespaceLimits, Subject, TenancyStore } from "../core/tenancy/store.js";
import { namespaceOfSubject, notOwnSubject, oldKeyUntil, replaceableKey } from "../core/tenancy/subject.js";
import {
  AccessServiceService,
  type BlockSubjectRequest,
  type CreateKeyRequest,
  type CreateKeyResponse,
  type CreateSubjectRequest,
  type CreateSubjectResponse,
  type DeleteKeyRequest,
  type DeleteKeyResponse,
  type DeleteSubjectRequest,
  type DeleteSubjectResponse,
  type GetSubjectRequest,
  type ListKeysRequest,
  type ListKeysResponse,
  type ListSubjectsRequest,
  type ListSubjectsResponse,
  type RotateKeyRequest,
  type RotateKeyResponse,
  type SealParametersRequest,
  type SealParametersResponse,
  type Subject as WireSubject,
  type UnblockSubjectRequest,
  type WhoAmIRequest,
  type WhoAmIResponse,
  type WhoIsRequest,
  type WhoIsResponse,
} from "../gen/weft/access/v1/access.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";
import type { Audit } from "./audit.js";
import { callerOf } from "./caller.js";
import { keyToWire, timestamp } from "./wire.js";

export interface AccessServiceDeps {
  readonly tenancy: TenancyStore;
  readonly seals: SealStore;
  readonly keyRing: KeyRing;
  /** Limits of new namespaces. */
  readonly limits: NamespaceLimits;
  /** Public part of the key that the settings give; "" for none. */
  readonly bootstrapUuid: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly audit: Audit;
  /** Told of namespaces that went. */
  readonly changed: (change: EntityChange) => void;
}

export class AccessService {
  constructor(private readonly deps: AccessServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(AccessServiceService, {
      whoAmI: (ctx: CallContext, request: WhoAmIRequest) => this.whoAmI(ctx, request),
      createKey: (ctx: CallContext, request: CreateKeyRequest) => this.create(ctx, request),
      listKeys: (ctx: CallContext, request: ListKeysRequest) => this.list(ctx, request),
      deleteKey: (ctx: CallContext, request: DeleteKeyRequest) => this.delete(ctx, request),
      rotateKey: (ctx: CallContext, request: RotateKeyRequest) => this.rotate(ctx, request),
      createSubject: (ctx: CallContext, request: CreateSubjectRequest) => this.createSubject(ctx, request),
      getSubject: (ctx: CallContext, request: GetSubjectRequest) => this.getSubject(ctx, request),
      listSubjects: (ctx: CallContext, request: ListSubjectsRequest) => this.listSubjects(ctx, request),
      deleteSubject: (ctx: CallContext, request: DeleteSubjectRequest) => this.deleteSubject(ctx, request),
      blockSubject: (ctx: CallContext, request: BlockSubjectRequest) => this.block(ctx, request),
      unblockSubject: (ctx: CallContext, request: UnblockSubjectRequest) => this.unblock(ctx, request),
      whoIs: (ctx: CallContext, request: WhoIsRequest) => this.whoIs(ctx, request),
      sealParameters: (ctx: CallContext, request: SealParametersRequest) => this.sealParameters(ctx, request),
    });
  }

  async whoAmI(ctx: CallContext, _request: WhoAmIRequest): Promise<WhoAmIResponse> {
    const { subject, namespace, keyUuid, operator } = callerOf(ctx);
    return { subject, namespace, uuid: keyUuid, operator };
  }

  async create(ctx: CallContext, request: CreateKeyRequest): Promise<CreateKeyResponse> {
    const caller = callerOf(ctx);
    const namespace = administeredNamespace(caller, "namespace", request.namespace);
    const violations = new Violations();
    const subject = request.subject === "" ? caller.subject : request.subject;
    if (request.subject !== "") checkSubject("subject", subject, violations);
    violations.check();
    const { clock, random, tenancy } = this.deps;
    const { key, auth } = newKey({ namespace, subject, operator: false }, random, clock.wallMs());
    await tenancy.addKey(key);
    this.deps.audit(caller, "key.create", aboutKey(key));
    return { key: keyToWire(key), auth };
  }

  async list(ctx: CallContext, request: ListKeysRequest): Promise<ListKeysResponse> {
    const namespace = administeredNamespace(callerOf(ctx), "namespace", request.namespace);
    return { keys: (await this.deps.tenancy.listKeys(namespace)).map(keyToWire) };
  }

  async delete(ctx: CallContext, request: DeleteKeyRequest): Promise<DeleteKeyResponse> {
    const caller = callerOf(ctx);
    const namespace = administeredNamespace(caller, "namespace", request.namespace);
    if (!isKeyUuid(request.uuid)) throw invalidField("uuid", "must be the part of a key before its colon");
    await this.deps.tenancy.deleteKey(namespace, request.uuid, caller.operator);
    this.deps.audit(caller, "key.delete", { namespace, key: request.uuid });
    return {};
  }

  async rotate(ctx: CallContext, request: RotateKeyRequest): Promise<RotateKeyResponse> {
    const caller = callerOf(ctx);
    const namespace = administeredNamespace(caller, "namespace", request.namespace);
    const { bootstrapUuid, clock, random, tenancy } = this.deps;
    const violations = new Violations();
    const wallMs = clock.wallMs();
    const until = oldKeyUntil(request.graceSeconds, wallMs, violations);
    const uuid = replaceableKey(caller, request.uuid, bootstrapUuid, violations);
    violations.check();
    const old = await tenancy.getKey(uuid);
    if (old.namespace !== namespace) throw noKey(uuid, namespace);
    const { key, auth } = newKey({ namespace, subject: old.subject, operator: old.operator }, random, wallMs);
    const replaced = await tenancy.replaceKey(uuid, key, until);
    this.deps.audit(caller, "key.rotate", { ...aboutKey(key), replaced: uuid, graceSeconds: request.graceSeconds });
    return {
      key: keyToWire(key),
      auth,
      oldExpireTime: until === undefined ? undefined : timestamp(replaced.expiresWallMs ?? until),
    };
  }

  async createSubject(ctx: CallContext, request: CreateSubjectRequest): Promise<CreateSubjectResponse> {
    const caller = operatorOf(ctx);
    const { clock, limits, random, tenancy } = this.deps;
    const { subject } = request;
    const violations = new Violations();
    checkSubject("subject", subject, violations);
    const name = namespaceOfSubject(
      subject,
      request.namespace === "_" ? caller.namespace : request.namespace,
      violations,
    );
    const wallMs = clock.wallMs();
    const owner: KeyOwner = { namespace: name, subject, operator: false };
    const made =
      request.auth === ""
        ? newKey(owner, random, wallMs)
        : violations.try(() => givenKey("auth", request.auth, owner, wallMs));
    violations.check();
    if (!made) throw invalidField("auth", "is no key");
    const namespaceCreated = await tenancy.createSubject({ name, limits, createdWallMs: wallMs }, made.key);
    this.deps.audit(caller, "subject.create", { ...aboutKey(made.key), namespaceCreated });
    return { key: keyToWire(made.key), auth: made.auth, namespaceCreated };
  }

  async getSubject(ctx: CallContext, request: GetSubjectRequest): Promise<WireSubject> {
    operatorOf(ctx);
    return subjectToWire(await this.deps.tenancy.getSubject(named(request.subject)));
  }

  async listSubjects(ctx: CallContext, request: ListSubjectsRequest): Promise<ListSubjectsResponse> {
    const caller = operatorOf(ctx);
    const violations = new Violations();
    const page = readPage({ ...request, skip: 0 }, ["subjects", request.namespace], isText, violations);
    const namespace =
      request.namespace === ""
        ? undefined
        : violations.try(() => administeredNamespace(caller, "namespace", request.namespace));
    violations.check();
    const { tenancy } = this.deps;
    if (namespace !== undefined) await tenancy.getNamespace(namespace);
    const found = await tenancy.listSubjects(page.size + 1, page.after, namespace);
    const { entries, more } = cutPage(found, page.size);
    const last = entries.at(-1);
    return { subjects: entries.map(subjectToWire), nextPageToken: more && last ? page.next(last.name) : "" };
  }

  async deleteSubject(ctx: CallContext, request: DeleteSubjectRequest): Promise<DeleteSubjectResponse> {
    const caller = operatorOf(ctx);
    const subject = named(request.subject);
    notOwnSubject(caller, subject);
    const only = request.namespace === "" ? undefined : checkName("namespace", request.namespace);
    const { tenancy } = this.deps;
    const keys = await tenancy.deleteSubject(subject, only);
    this.deps.audit(caller, "subject.delete", { subject, namespace: only, keys: keys.map(({ uuid }) => uuid) });
    const deletedNamespaces: string[] = [];
    const keylessNamespaces: string[] = [];
    for (const namespace of [...new Set(keys.map((key) => key.namespace))].sort()) {
      if ((await tenancy.listKeys(namespace)).length > 0) continue;
      if (!request.withNamespaces) keylessNamespaces.push(namespace);
      else {
        await tenancy.deleteNamespace(namespace);
        this.deps.changed({ namespace, name: "", keyUuid: "" });
        this.deps.audit(caller, "namespace.delete", { namespace });
        deletedNamespaces.push(namespace);
      }
    }
    return { keys: keys.length, deletedNamespaces, keylessNamespaces };
  }

  async block(ctx: CallContext, request: BlockSubjectRequest): Promise<WireSubject> {
    const caller = operatorOf(ctx);
    const subject = named(request.subject);
    notOwnSubject(caller, subject);
    const blocked = await this.deps.tenancy.setBlocked(subject, this.deps.clock.wallMs());
    this.deps.audit(caller, "subject.block", { subject });
    return subjectToWire(blocked);
  }

  async unblock(ctx: CallContext, request: UnblockSubjectRequest): Promise<WireSubject> {
    const caller = operatorOf(ctx);
    const subject = named(request.subject);
    const unblocked = await this.deps.tenancy.setBlocked(subject, undefined);
    this.deps.audit(caller, "subject.unblock", { subject });
    return subjectToWire(unblocked);
  }

  async whoIs(ctx: CallContext, request: WhoIsRequest): Promise<WhoIsResponse> {
    operatorOf(ctx);
    if (!isKeyUuid(request.uuid)) throw invalidField("uuid", "must be the part of a key before its colon");
    const key = await this.deps.tenancy.getKey(request.uuid);
    return { key: keyToWire(key), blocked: key.blocked ?? false, operator: key.operator };
  }

  async sealParameters(ctx: CallContext, _request: SealParametersRequest): Promise<SealParametersResponse> {
    const caller = operatorOf(ctx);
    const { keyRing, seals } = this.deps;
    const keyId = keyRing.current?.id ?? "";
    const { lists, unusedKeys } = await resealAll(keyRing, seals, ctx.signal);
    this.deps.audit(caller, "parameters.seal", { keyId, lists });
    return { lists, keyId, unusedKeyIds: [...unusedKeys] };
  }
}

/** @throws permissionDenied */
function operatorOf(ctx: CallContext): Identity {
  const caller = callerOf(ctx);
  requireOperator(caller);
  return caller;
}

/** @throws invalidArgument for what no subject can be called */
function named(subject: string): string {
  const violations = new Violations();
  checkSubject("subject", subject, violations);
  violations.check();
  return subject;
}

function noKey(uuid: string, namespace: string): WeftError {
  return new WeftError("notFound", "KEY_NOT_FOUND", `no key ${uuid} in namespace ${namespace}`);
}

function aboutKey({ uuid, namespace, subject, operator }: Key): Readonly<Record<string, unknown>> {
  return { key: uuid, namespace, subject, operator };
}

function subjectToWire({ name, blockedWallMs, keys }: Subject): WireSubject {
  return {
    subject: name,
    blocked: blockedWallMs !== undefined,
    blockTime: blockedWallMs === undefined ? undefined : timestamp(blockedWallMs),
    keys: keys.map(keyToWire),
  };
}
