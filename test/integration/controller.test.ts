// A controller as gateways and invokers see it: over gRPC, with the real Postgres. Invokers are played by the test.

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { silentLog } from "../../internal/base/log.js";
import { MetricsRegistry } from "../../internal/base/metrics.js";
import { bytesToHex, hexToBytes, newActivationId, newBootId } from "../../internal/base/ids.js";
import { WeftError } from "../../internal/base/errors.js";
import { noTracer } from "../../internal/base/trace.js";
import { systemClock, systemRandom } from "../../internal/boot/system.js";
import { Controller, type ControllerSettings } from "../../internal/controller/controller.js";
import { MemoryCoordination } from "../../internal/core/coordination/memory-coordination.js";
import { shardOf } from "../../internal/core/coordination/coordination.js";
import type { DispatchCall } from "../../internal/core/dispatch/call.js";
import type { Activation as StoredActivation } from "../../internal/core/activation/types.js";
import { parseManifest } from "../../internal/core/sandbox/manifest.js";
import { secretHash } from "../../internal/core/tenancy/key.js";
import type { Fate } from "../../internal/dispatch/dispatcher.js";
import { AccessServiceService } from "../../internal/gen/weft/access/v1/access.pb.js";
import {
  Action,
  ActionServiceService,
  DeleteActionRequest,
  GetActionRequest,
  UpdateActionRequest,
} from "../../internal/gen/weft/action/v1/action.pb.js";
import {
  ActivationServiceService,
  ListActivationsRequest,
  Outcome as PublicOutcome,
  Subject,
} from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { ClusterServiceService } from "../../internal/gen/weft/cluster/v1/cluster.pb.js";
import {
  ActivationRecord,
  CodeServiceService,
  FireTriggerRequest,
  RecordServiceService,
  ResolveActionRequest,
  ResolveServiceService,
  SubmitRequest,
  SubmitServiceService,
  type RecordAck,
  type RecordBatch,
  type WatchResponse,
} from "../../internal/gen/weft/link/v1/control.pb.js";
import {
  DescribeFleetResponse,
  DescribeInvokerResponse,
  SandboxState,
} from "../../internal/gen/weft/link/v1/fleet.pb.js";
import { Outcome } from "../../internal/gen/weft/link/v1/work.pb.js";
import {
  NamespaceServiceService,
  UpdateNamespaceLimitsRequest,
} from "../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import {
  ListPackagesRequest,
  Package,
  PackageServiceService,
  UpdatePackageRequest,
} from "../../internal/gen/weft/packages/v1/package.pb.js";
import { Rule, RuleServiceService } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { Trigger, TriggerServiceService } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import { openStores, type Stores } from "../../internal/postgres/stores.js";
import { GrpcNetwork, type UnaryMethod } from "../../internal/rpc/channel.js";
import { recordLink } from "../../internal/rpc/link-methods.js";
import type { Link } from "../../internal/rpc/link.js";
import { MemoryNetwork } from "../../internal/rpc/network.js";
import { readCron } from "../../internal/cron/cron.js";
import { RpcServer } from "../../internal/rpc/server.js";
import { eventually } from "../harness/eventually.js";
import { migratedDatabase, type TestDatabase } from "../harness/postgres.js";
import { describeWith } from "../harness/services.js";
import { zipOf } from "../harness/zip.js";

const random = systemRandom();
const KEY = `23bc46b1-71f6-4ed5-8c54-816aa4f8c502:${"a".repeat(64)}`;
const INVOKER = { invokerId: "i1", invokerBootId: "i1-boot" };

const manifest = parseManifest(
  JSON.stringify({
    runtimes: {
      nodejs: [{ kind: "nodejs:20", default: true, image: "i", command: ["node"] }],
      python: [{ kind: "python:3.11", default: true, image: "i", command: ["python3"] }],
    },
  }),
);

interface Caller {
  readonly namespace: string;
  readonly operator?: boolean;
}

/** One life of a controller. */
class Life {
  readonly calls: DispatchCall[] = [];
  readonly recorded: StoredActivation[] = [];
  readonly bootId = newBootId(random);
  readonly controller: Controller;
  readonly server: RpcServer;
  readonly network = new GrpcNetwork({ clusterKey: "cluster" });
  fate: Fate = { kind: "running" };
  describeInvoker = (_address: string): Promise<DescribeInvokerResponse> =>
    Promise.reject(new WeftError("unavailable", "UNREACHABLE", "nobody listens"));
  address = "";

  constructor(
    stores: Stores,
    private readonly coordination: MemoryCoordination,
    settings: Partial<ControllerSettings> = {},
    kinds = manifest,
  ) {
    this.controller = new Controller({
      ...stores,
      id: "c1",
      bootId: this.bootId,
      coordination,
      network: new MemoryNetwork(),
      describeFleet: async (address) =>
        DescribeFleetResponse.fromPartial({
          invokers: [
            {
              register: { invokerId: "i1", driver: address, memoryMb: 512 },
              capacity: { freeMb: 256 },
              sandboxes: [{ sandbox: 1, state: SandboxState.WARM, actionKey: "guest/hello", kind: "nodejs:20" }],
            },
          ],
        }),
      describeInvoker: (address) => this.describeInvoker(address),
      requestBuild: () => Promise.reject(new WeftError("unavailable", "NO_INVOKER", "there is no invoker")),
      manifest: kinds,
      tokenProviders: new Set(),
      clusterKey: "cluster",
      readCron,
      clock: systemClock,
      random,
      log: silentLog,
      tracer: noTracer,
      metrics: new MetricsRegistry("controller"),
      settings: { bootstrapKey: KEY, ...settings },
      version: "0.0.0-test",
      onRecorded: (activation) => this.recorded.push(activation),
      dispatcher: {
        dispatch: (call) => void this.calls.push(call),
        askFate: async () => this.fate,
      },
    });
    this.server = new RpcServer({
      log: silentLog,
      clock: systemClock,
      clusterKey: "cluster",
      observe: this.controller.observe,
    });
  }

  async start(): Promise<this> {
    await this.join("controller", "c1", this.bootId);
    await this.controller.start();
    this.controller.register(this.server);
    this.address = await this.server.listen("127.0.0.1:0");
    return this;
  }

  async join(role: "controller" | "invoker" | "scheduler", id: string, bootId: string) {
    return this.coordination.join({ role, id, bootId, address: `${id}:1`, zone: "", wireVersion: 1 }, 5_000);
  }

  /** As kill -9 would: nothing is finished, nothing is said. */
  async kill(): Promise<void> {
    this.network.close();
    await this.controller.close();
    await this.server.close(0);
  }

  call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, caller?: Caller): Promise<Res> {
    const headers = caller && {
      "weft-caller-namespace": caller.namespace,
      "weft-caller-subject": `${caller.namespace}-subject`,
      "weft-caller-key-uuid": "uuid",
      ...(caller.operator ? { "weft-caller-operator": "1" } : {}),
      "weft-transaction-id": "tid",
    };
    return this.network.unary(this.address, method, request, { deadlineMs: 10_000, ...(headers ? { headers } : {}) });
  }

  /** What the dispatcher was given for an activation. */
  dispatched(id: string): Promise<DispatchCall> {
    return eventually(() => {
      const call = this.calls.findLast((one) => bytesToHex(one.activationId) === id);
      if (!call) throw new Error(`no call of ${id}`);
      return call;
    });
  }
}

const failure = async (call: Promise<unknown>): Promise<WeftError> => {
  try {
    await call;
  } catch (thrown) {
    return thrown as WeftError;
  }
  throw new Error("it did not fail");
};

describeWith(["postgres"], "a controller", () => {
  let database: TestDatabase;
  let stores: Stores;
  let coordination: MemoryCoordination;
  let life: Life;
  let number = 0;
  /** A namespace of this test alone. */
  let me: Caller;
  const lives: Life[] = [];

  const start = async (settings: Partial<ControllerSettings> = {}, kinds = manifest): Promise<Life> => {
    const one = new Life(stores, coordination, settings, kinds);
    lives.push(one);
    return one.start();
  };

  const newNamespace = async (): Promise<Caller> => {
    number += 1;
    const namespace = `ns${number}`;
    await life.call(NamespaceServiceService.createNamespace, { namespace, limits: undefined, subject: "" }, operator);
    return { namespace };
  };

  const operator: Caller = { namespace: "guest", operator: true };

  beforeAll(async () => {
    database = await migratedDatabase();
    stores = await openStores({ clock: systemClock, random, log: silentLog }, database.url, {
      applicationName: "weft-test",
      connectionsMax: 5,
    });
  });

  afterAll(async () => {
    await stores.close();
    await database.drop();
  });

  afterEach(async () => {
    await Promise.all(lives.splice(0).map((one) => one.kill()));
    await coordination.close();
  });

  const begin = async (): Promise<void> => {
    coordination = new MemoryCoordination(systemClock);
    life = await start();
    me = await newNamespace();
  };

  const anAction = (more: Parameters<typeof Action.fromPartial>[0] = {}): Action =>
    Action.fromPartial({
      namespace: "_",
      name: "hello",
      exec: { kind: "nodejs:default", code: Buffer.from("function main() {}") },
      ...more,
    });

  const createAction = (more: Parameters<typeof Action.fromPartial>[0] = {}, caller = me): Promise<Action> =>
    life.call(ActionServiceService.createAction, { action: anAction(more), keepFailedBuild: false }, caller);

  const getAction = (name: string, caller = me, namespace = "_"): Promise<Action> =>
    life.call(ActionServiceService.getAction, { namespace, name, withCode: true }, caller);

  describe("with entities", () => {
    it("creates, reads, lists, updates and deletes actions", async () => {
      await begin();
      const made = await createAction({ parameters: [{ key: "n", valueJson: "1.10", init: false }] });
      expect(made).toMatchObject({
        namespace: me.namespace,
        version: "0.0.1",
        etag: "1",
        exec: { kind: "nodejs:20", codeSize: 18 },
      });
      expect(made.exec?.code).toHaveLength(0);
      expect(made.limits).toEqual({ timeoutMs: 60_000, memoryMb: 256, logsMb: 10, concurrency: 1 });
      const read = await getAction("hello");
      expect(Buffer.from(read.exec?.code ?? []).toString()).toBe("function main() {}");
      expect(read.parameters).toEqual([{ key: "n", valueJson: "1.10", init: false }]);

      const update = (more: Parameters<typeof UpdateActionRequest.fromPartial>[0]) =>
        life.call(ActionServiceService.updateAction, UpdateActionRequest.fromPartial(more), me);
      const changed = await update({
        action: {
          namespace: "_",
          name: "hello",
          limits: { memoryMb: 512 },
          annotations: [{ key: "note", valueJson: "1" }],
        },
      });
      expect(changed).toMatchObject({ version: "0.0.2", etag: "2", limits: { timeoutMs: 60_000, memoryMb: 512 } });
      expect(changed.annotations.map((one) => one.key)).toEqual(["provide-api-key", "exec", "note"]);
      expect(await failure(update({ action: { namespace: "_", name: "hello", etag: "1" } }))).toMatchObject({
        kind: "conflict",
      });
      expect(await failure(update({ action: { namespace: "_", name: "hello", etag: "x" } }))).toMatchObject({
        fields: [{ field: "etag" }],
      });
      expect(await failure(update({ action: { namespace: "_", name: "other" } }))).toMatchObject({ kind: "notFound" });
      const upserted = await update({ action: anAction({ name: "other" }), allowMissing: true });
      expect(upserted).toMatchObject({ name: "other", version: "0.0.1" });

      const list = await life.call(
        ActionServiceService.listActions,
        { namespace: "_", package: "", pageSize: 1, pageToken: "", skip: 0, withTotal: true },
        me,
      );
      expect(list).toMatchObject({ actions: [{ name: "other" }], totalSize: 2 });
      const rest = await life.call(
        ActionServiceService.listActions,
        { namespace: "_", package: "", pageSize: 1, pageToken: list.nextPageToken, skip: 0, withTotal: false },
        me,
      );
      expect(rest).toMatchObject({ actions: [{ name: "hello" }], nextPageToken: "", totalSize: undefined });

      await life.call(ActionServiceService.deleteAction, { namespace: "_", name: "hello", etag: "" }, me);
      expect(await failure(getAction("hello"))).toMatchObject({ kind: "notFound" });
    });

    it("refuses what is wrong with every field, and stores nothing", async () => {
      await begin();
      const error = await failure(
        createAction({
          name: "bad+name",
          version: "x",
          limits: { timeoutMs: 1, memoryMb: 1_000 },
          exec: { kind: "cobol:1", code: Buffer.from("PK"), binary: true },
          parameters: [{ key: "a", valueJson: "{" }],
        }),
      );
      expect(error.kind).toBe("invalidArgument");
      expect(error.fields.map((one) => one.field).sort()).toEqual(
        [
          "name",
          "version",
          "limits.timeout_ms",
          "limits.memory_mb",
          "exec.kind",
          "exec.code",
          "parameters[0].value_json",
        ].sort(),
      );
      const { actions } = await life.call(
        ActionServiceService.listActions,
        { namespace: "_", package: "", pageSize: 0, pageToken: "", skip: 0, withTotal: false },
        me,
      );
      expect(actions).toEqual([]);
    });

    it("lets actions of a kind of the past be read and deleted, not updated or invoked (#31)", async () => {
      await begin();
      await createAction();
      const nodes = ["nodejs:20", "nodejs:22"].map((kind) => ({
        kind,
        default: kind === "nodejs:22",
        deprecated: kind === "nodejs:20",
        image: "i",
        command: ["node"],
      }));
      const later = await start({}, parseManifest(JSON.stringify({ runtimes: { nodejs: nodes } })));
      const named = { namespace: "_", name: "hello", etag: "", codeDigest: "", withoutCode: true };
      const read = GetActionRequest.fromPartial(named);
      expect(await later.call(ActionServiceService.getAction, read, me)).toMatchObject({ exec: { kind: "nodejs:20" } });
      const resolve = ResolveActionRequest.fromPartial({ ...me, name: "hello", callerNamespace: me.namespace });
      expect(await failure(later.call(ResolveServiceService.resolveAction, resolve))).toMatchObject({
        kind: "failedPrecondition",
        reason: "KIND_DEPRECATED",
        message: expect.stringContaining("nodejs:20 is no longer supported") as string,
      });
      const update = (change: Parameters<typeof Action.fromPartial>[0]): Promise<Action> => {
        const request = { action: { namespace: "_", name: "hello", ...change } };
        return later.call(ActionServiceService.updateAction, UpdateActionRequest.fromPartial(request), me);
      };
      expect(await failure(update({ publish: true }))).toMatchObject({ kind: "invalidArgument" });
      await update({ exec: { kind: "nodejs:22", code: Buffer.from("x") } });
      expect((await later.call(ResolveServiceService.resolveAction, resolve)).ask?.kind).toBe("nodejs:22");
      await createAction({ name: "old" });
      const gone = DeleteActionRequest.fromPartial({ namespace: "_", name: "old" });
      await later.call(ActionServiceService.deleteAction, gone, me);
    });

    it("takes and gives code far above gRPC's usual four MiB, and streams it to invokers in pieces", async () => {
      await begin();
      const content = Buffer.alloc(9 * 1024 * 1024, "y");
      const code = zipOf([{ name: "index.js", content, deflated: false }]);
      const made = await createAction({
        exec: { kind: "nodejs:20", code, binary: true, main: "run" },
        parameters: [
          { key: "SECRET", valueJson: '"x"', init: true },
          { key: "a", valueJson: "1" },
        ],
      });
      expect(Buffer.from((await getAction("hello")).exec?.code ?? []).equals(code)).toBe(true);
      const { ask } = await life.call(ResolveServiceService.resolveAction, {
        namespace: me.namespace,
        name: "hello",
        callerNamespace: me.namespace,
      });
      const parts = [];
      for await (const { part } of life.network.serverStream(
        life.address,
        CodeServiceService.fetchRevision,
        { actionKey: `${me.namespace}/hello`, revisionId: ask?.revisionId ?? "", withoutCode: false },
        { deadlineMs: 10_000 },
      )) {
        parts.push(part);
      }
      expect(parts[0]).toMatchObject({
        $case: "spec",
        value: {
          ask,
          main: "run",
          binary: true,
          codeDigest: made.exec?.codeDigest,
          codeSize: code.length,
          env: { SECRET: "x" },
        },
      });
      const pieces = parts.slice(1).map((part) => (part?.$case === "code" ? part.value : new Uint8Array()));
      expect(Math.max(...pieces.map((piece) => piece.length))).toBe(1024 * 1024);
      expect(Buffer.concat(pieces).equals(code)).toBe(true);

      const wrong = life.network.serverStream(
        life.address,
        CodeServiceService.fetchRevision,
        { actionKey: "other/hello", revisionId: ask?.revisionId ?? "", withoutCode: true },
        { deadlineMs: 10_000 },
      );
      expect(await failure(wrong.next())).toMatchObject({ kind: "notFound" });
    });

    it("knows one name for one thing", async () => {
      await begin();
      await createAction({ name: "same" });
      const trigger = { trigger: Trigger.fromPartial({ namespace: "_", name: "same" }) };
      expect(await failure(life.call(TriggerServiceService.createTrigger, trigger, me))).toMatchObject({
        kind: "alreadyExists",
        reason: "WRONG_COLLECTION",
      });
      expect(
        await failure(life.call(TriggerServiceService.getTrigger, { namespace: "_", name: "same" }, me)),
      ).toMatchObject({ kind: "failedPrecondition", reason: "WRONG_COLLECTION" });
      expect(await failure(createAction({ name: "same" }))).toMatchObject({ kind: "alreadyExists" });
      expect(await failure(createAction({ name: "nowhere/a" }))).toMatchObject({ kind: "notFound" });
    });

    it("hides what is somebody else's, but for what is in a published package", async () => {
      await begin();
      const other = await newNamespace();
      const create = (name: string, publish: boolean) =>
        life.call(
          PackageServiceService.createPackage,
          { package: Package.fromPartial({ namespace: "_", name, publish }) },
          me,
        );
      await create("open", true);
      await create("closed", false);
      for (const name of ["open/a", "closed/a", "plain"]) await createAction({ name });

      expect(await getAction("open/a", other, me.namespace)).toMatchObject({ name: "open/a" });
      for (const name of ["closed/a", "plain", "open/gone"]) {
        expect(await failure(getAction(name, other, me.namespace))).toMatchObject({ kind: "notFound" });
        const asked = { namespace: me.namespace, name, callerNamespace: other.namespace };
        expect(await failure(life.call(ResolveServiceService.resolveAction, asked))).toMatchObject({
          kind: "notFound",
        });
      }
      const listed = await life.call(
        PackageServiceService.listPackages,
        ListPackagesRequest.fromPartial({ namespace: me.namespace, withTotal: true }),
        other,
      );
      expect(listed).toMatchObject({ packages: [{ name: "open" }], totalSize: 1 });
      expect(await failure(createAction({ namespace: me.namespace, name: "open/b" }, other))).toMatchObject({
        kind: "notFound",
      });
      expect(
        await failure(
          life.call(
            ActivationServiceService.getActivation,
            { namespace: me.namespace, activationId: "0".repeat(32) },
            operator,
          ),
        ),
      ).toMatchObject({ kind: "notFound" });
    });

    it("resolves web actions for callers without a key: what was exported, and nothing else", async () => {
      await begin();
      const other = await newNamespace();
      const annotations = (valueJson: string) => [{ key: "web-export", valueJson }];
      for (const publish of [true, false]) {
        const name = publish ? "open" : "closed";
        const made = { package: Package.fromPartial({ namespace: "_", name, publish }) };
        await life.call(PackageServiceService.createPackage, made, me);
        await createAction({ name: `${name}/hidden` });
        await createAction({ name: `${name}/web`, annotations: annotations("true") });
      }
      for (const [name, value] of [
        ["web", " true "],
        ["no", "false"],
        ["text", '"true"'],
        ["one", "1"],
      ] as const) {
        await createAction({ name, annotations: annotations(value) });
      }
      const trigger = { trigger: Trigger.fromPartial({ namespace: "_", name: "trigger" }) };
      await life.call(TriggerServiceService.createTrigger, trigger, me);
      const resolve = (name: string, namespace = me.namespace, callerNamespace = namespace) =>
        life.call(ResolveServiceService.resolveWebAction, { namespace, name, callerNamespace });

      for (const name of ["web", "open/web", "closed/web"]) {
        const { webOwner, ...resolved } = await resolve(name);
        expect(resolved).toMatchObject({ namespace: me.namespace, name });
        expect(webOwner).toMatchObject({ namespace: me.namespace, operator: false });
        expect(webOwner?.uuid).toMatch(/^[0-9a-f-]{36}$/);
        expect(webOwner?.subject).toMatch(new RegExp(`^${me.namespace}`));
        expect(webOwner?.secretHash).toHaveLength(0);
        expect(webOwner?.quota?.invocationsPerMinute).toBeGreaterThan(0);
      }
      for (const name of [
        "no",
        "text",
        "one",
        "open/hidden",
        "none",
        "none/web",
        "trigger",
        "open",
        "",
        "a/b/c",
        "$",
        "a\0",
      ]) {
        expect(await failure(resolve(name)), name).toMatchObject({ kind: "notFound", reason: "WEB_ACTION_NOT_FOUND" });
      }
      for (const [namespace, caller] of [
        [me.namespace, other.namespace],
        [other.namespace, other.namespace],
        ["nosuch", "nosuch"],
        ["_", "_"],
        ["", ""],
      ] as const) {
        expect(await failure(resolve("open/web", namespace, caller))).toMatchObject({ reason: "WEB_ACTION_NOT_FOUND" });
      }
      // For those with a key nothing changed.
      const keyed = { namespace: me.namespace, name: "web", callerNamespace: other.namespace };
      expect(await failure(life.call(ResolveServiceService.resolveAction, keyed))).toMatchObject({ kind: "notFound" });
    });

    it("gives actions of a package new revisions when what they are given at init changes", async () => {
      await begin();
      const parameters = [{ key: "S", valueJson: '"one"', init: true }];
      await life.call(
        PackageServiceService.createPackage,
        { package: Package.fromPartial({ namespace: "_", name: "p", parameters }) },
        me,
      );
      await createAction({ name: "p/a" });
      const resolve = () =>
        life.call(ResolveServiceService.resolveAction, {
          namespace: me.namespace,
          name: "p/a",
          callerNamespace: me.namespace,
        });
      const before = await resolve();
      const update = (more: Parameters<typeof Package.fromPartial>[0]) =>
        life.call(
          PackageServiceService.updatePackage,
          UpdatePackageRequest.fromPartial({ package: { namespace: "_", name: "p", ...more } }),
          me,
        );
      await update({ parameters: [...parameters, { key: "a", valueJson: "1" }] });
      const merged = await resolve();
      expect(merged.ask?.revisionId).toBe(before.ask?.revisionId);
      expect(merged.defaults).toEqual([{ key: "a", valueJson: Buffer.from("1") }]);
      await update({ parameters: [{ key: "S", valueJson: '"two"', init: true }] });
      const after = await resolve();
      expect(after.ask?.revisionId).not.toBe(before.ask?.revisionId);
      expect((await stores.entities.getRevision(after.ask?.revisionId ?? "")).initParameters).toMatchObject([
        { key: "S", valueJson: '"two"' },
      ]);
      const read = await life.call(
        PackageServiceService.getPackage,
        { namespace: "_", name: "p", asStored: false },
        me,
      );
      expect(read).toMatchObject({ actions: ["a"], version: "0.0.3" });
      const remove = (force: boolean) =>
        life.call(PackageServiceService.deletePackage, { namespace: "_", name: "p", force, etag: "" }, me);
      expect(await failure(remove(false))).toMatchObject({ kind: "failedPrecondition", reason: "PACKAGE_NOT_EMPTY" });
      await remove(true);
      expect(await failure(resolve())).toMatchObject({ kind: "notFound" });
    });

    it("joins triggers and actions that exist, and keeps the state of rules", async () => {
      await begin();
      const create = (more: Parameters<typeof Rule.fromPartial>[0]) =>
        life.call(
          RuleServiceService.createRule,
          { rule: Rule.fromPartial({ namespace: "_", name: "r", trigger: "t", action: "hello", ...more }) },
          me,
        );
      await createAction();
      expect(await failure(create({}))).toMatchObject({ kind: "invalidArgument", fields: [{ field: "trigger" }] });
      await life.call(
        TriggerServiceService.createTrigger,
        { trigger: Trigger.fromPartial({ namespace: "_", name: "t" }) },
        me,
      );
      expect(await failure(create({ action: "gone" }))).toMatchObject({
        kind: "invalidArgument",
        fields: [{ field: "action" }],
      });
      expect(await failure(create({ action: "/guest/x" }))).toMatchObject({
        kind: "invalidArgument",
        fields: [{ field: "action" }],
      });
      expect(await create({})).toMatchObject({
        active: true,
        trigger: `/${me.namespace}/t`,
        action: `/${me.namespace}/hello`,
      });
      const name = { namespace: "_", name: "r" };
      expect(await life.call(RuleServiceService.disableRule, name, me)).toMatchObject({ active: false });
      const update = { rule: Rule.fromPartial({ ...name, publish: true }), updateFields: [], allowMissing: false };
      expect(await life.call(RuleServiceService.updateRule, update, me)).toMatchObject({
        active: false,
        version: "0.0.2",
      });
      expect(await life.call(RuleServiceService.enableRule, name, me)).toMatchObject({ active: true });
      const trigger = await life.call(TriggerServiceService.getTrigger, { namespace: "_", name: "t" }, me);
      expect(trigger.rules).toEqual([{ rule: `${me.namespace}/r`, action: `${me.namespace}/hello`, active: true }]);
      await life.call(TriggerServiceService.deleteTrigger, { namespace: "_", name: "t", etag: "" }, me);
      expect(await life.call(RuleServiceService.getRule, name, me)).toMatchObject({ active: false });
      expect(await failure(life.call(RuleServiceService.enableRule, name, me))).toMatchObject({
        kind: "failedPrecondition",
      });
    });

    it("lets writers without an etag write over each other, one after the other", async () => {
      await begin();
      await createAction();
      const note = (n: number) => [{ key: `n${n}`, valueJson: "1", init: false }];
      await Promise.all(
        [1, 2, 3, 4].map((n) =>
          life.call(
            ActionServiceService.updateAction,
            UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "hello", annotations: note(n) } }),
            me,
          ),
        ),
      );
      const { annotations, version } = await getAction("hello");
      expect(annotations.map((one) => one.key)).toEqual(expect.arrayContaining(["n1", "n2", "n3", "n4"]));
      expect(version).toBe("0.0.5");
    });
  });

  describe("with keys and namespaces", () => {
    it("makes sure of the operator's key, shows new ones once, and lets only the operator administer", async () => {
      await begin();
      const [uuid = "", secret = ""] = KEY.split(":");
      const identity = await life.call(ResolveServiceService.authenticate, { uuid });
      expect(identity).toMatchObject({
        namespace: "guest",
        subject: "guest",
        operator: true,
        quota: { firesPerMinute: 600 },
      });
      expect(Buffer.from(identity.secretHash).equals(secretHash(secret))).toBe(true);
      for (const wrong of ["", "x", "' or 1=1", "23bc46b1-71f6-4ed5-8c54-816aa4f8c503"]) {
        expect(await failure(life.call(ResolveServiceService.authenticate, { uuid: wrong }))).toMatchObject({
          kind: "notFound",
        });
      }

      const { key, auth } = await life.call(AccessServiceService.createKey, { namespace: "_", subject: "" }, me);
      expect(auth).toMatch(/^[0-9a-f-]{36}:[A-Za-z0-9]{64}$/);
      expect(await life.call(ResolveServiceService.authenticate, { uuid: key?.uuid ?? "" })).toMatchObject({
        namespace: me.namespace,
        operator: false,
      });
      const { keys } = await life.call(AccessServiceService.listKeys, { namespace: "_" }, me);
      expect(keys).toHaveLength(2);
      for (const one of keys.slice(1))
        await life.call(AccessServiceService.deleteKey, { namespace: "_", uuid: one.uuid }, me);
      const last = { namespace: me.namespace, uuid: keys[0]?.uuid ?? "" };
      expect(await failure(life.call(AccessServiceService.deleteKey, last, me))).toMatchObject({
        kind: "failedPrecondition",
      });
      await life.call(AccessServiceService.deleteKey, last, operator);
      expect(await failure(life.call(AccessServiceService.deleteKey, { ...last, uuid: "nonsense" }, me))).toMatchObject(
        {
          fields: [{ field: "uuid" }],
        },
      );

      const set = UpdateNamespaceLimitsRequest.fromPartial({
        namespace: me.namespace,
        limits: { invocationsPerMinute: 7 },
      });
      expect(await failure(life.call(NamespaceServiceService.updateNamespaceLimits, set, me))).toMatchObject({
        kind: "permissionDenied",
      });
      expect(await life.call(NamespaceServiceService.updateNamespaceLimits, set, operator)).toMatchObject({
        limits: { invocationsPerMinute: 7, firesPerMinute: 600, concurrentInvocations: 100 },
      });
      expect(await failure(life.call(NamespaceServiceService.getNamespace, { namespace: "guest" }, me))).toMatchObject({
        kind: "notFound",
      });
      const listed = await life.call(NamespaceServiceService.listNamespaces, { pageSize: 0, pageToken: "" }, me);
      expect(listed.namespaces.map((one) => one.name)).toEqual([me.namespace]);
      const taken = { namespace: me.namespace, limits: undefined, subject: "" };
      expect(await failure(life.call(NamespaceServiceService.createNamespace, taken, operator))).toMatchObject({
        kind: "alreadyExists",
      });
      expect(await failure(life.call(NamespaceServiceService.createNamespace, taken, me))).toMatchObject({
        kind: "permissionDenied",
      });
      for (const namespace of ["_", "guest"]) {
        expect(
          (await failure(life.call(NamespaceServiceService.deleteNamespace, { namespace }, operator))).kind,
        ).toMatch(/invalidArgument|failedPrecondition/);
      }
      await life.call(NamespaceServiceService.deleteNamespace, { namespace: me.namespace }, operator);
      expect(await life.call(AccessServiceService.whoAmI, {}, operator)).toEqual({
        subject: "guest-subject",
        namespace: "guest",
        uuid: "uuid",
        operator: true,
      });
    });

    it("takes another secret for the operator's key at the next start", async () => {
      await begin();
      const other = `${KEY.split(":")[0]}:${"b".repeat(64)}`;
      const next = await start({ bootstrapKey: other });
      const identity = await next.call(ResolveServiceService.authenticate, { uuid: KEY.split(":")[0] ?? "" });
      expect(Buffer.from(identity.secretHash).equals(secretHash("b".repeat(64)))).toBe(true);
      await expect(start({ bootstrapKey: "nonsense" })).rejects.toMatchObject({ fields: [{ field: "bootstrapKey" }] });
    });

    it("answers nobody who does not say on whose behalf, or has no cluster key", async () => {
      await begin();
      expect(await failure(life.call(AccessServiceService.whoAmI, {}))).toMatchObject({ kind: "unauthenticated" });
      const stranger = new GrpcNetwork({ clusterKey: "" });
      const call = stranger.unary(life.address, AccessServiceService.whoAmI, {}, { deadlineMs: 5_000 });
      expect(await failure(call)).toMatchObject({ kind: "unauthenticated", reason: "NOT_OF_THIS_CLUSTER" });
      stranger.close();
    });

    it("describes the fabric to the operator", async () => {
      await begin();
      await life.join("scheduler", "s1", "s-boot");
      const status = await life.call(ClusterServiceService.getStatus, {}, operator);
      expect(status).toMatchObject({
        members: [
          { role: "controller", id: "c1" },
          { role: "scheduler", id: "s1" },
        ],
        invokers: [{ id: "i1", driver: "s1:1", freeMb: 256, sandboxes: [{ state: "warm", action: "guest/hello" }] }],
        version: "0.0.0-test",
      });
      expect(await failure(life.call(ClusterServiceService.getStatus, {}, me))).toMatchObject({
        kind: "permissionDenied",
      });
    });

    it("describes invokers by what they say themselves, and one that says nothing by what its scheduler knows", async () => {
      await begin();
      for (const [role, id] of [
        ["scheduler", "s1"],
        ["invoker", "i1"],
        ["invoker", "i2"],
      ] as const) {
        await life.join(role, id, `${id}-boot`);
      }
      const running = { sandbox: 1, state: SandboxState.WARM, actionKey: "guest/hello", running: 3 };
      const asked: string[] = [];
      life.describeInvoker = async (address) => {
        asked.push(address);
        if (address === "i1:1") throw new WeftError("deadlineExceeded", "TOO_SLOW", "it hangs");
        return DescribeInvokerResponse.fromPartial({
          register: { invokerId: "i2", driver: "process", caveats: ["no isolation"] },
          capacity: { freeMb: 64 },
          inventory: { sandboxes: [running] },
        });
      };
      const { invokers } = await life.call(ClusterServiceService.getStatus, {}, operator);
      expect(asked.sort()).toEqual(["i1:1", "i2:1"]);
      expect(invokers).toMatchObject([
        { id: "i1", driver: "s1:1", freeMb: 256, sandboxes: [{ state: "warm", running: 0 }] },
        {
          id: "i2",
          driver: "process",
          caveats: ["no isolation"],
          freeMb: 64,
          sandboxes: [{ state: "warm", running: 3 }],
        },
      ]);
    });
  });

  describe("telling of changes", () => {
    it("tells every watcher of what any process changed, after a welcome", async () => {
      await begin();
      const stop = new AbortController();
      const seen: WatchResponse[] = [];
      // The first watch may end because the feed has just begun: a gateway comes back then.
      const watching = (async () => {
        const over = (): boolean => stop.signal.aborted;
        while (!over()) {
          try {
            for await (const response of life.network.serverStream(
              life.address,
              ResolveServiceService.watch,
              {},
              { signal: stop.signal },
            )) {
              seen.push(response);
            }
          } catch (thrown) {
            if (!over()) expect(thrown).toMatchObject({ reason: "CHANGES_MISSED" });
          }
        }
      })();
      await eventually(() => seen.length > 0 && seen[0]?.changes.length === 0);
      await eventually(async () => {
        // Written past this controller, as another process would.
        await stores.tenancy.updateLimits(me.namespace, { firesPerMinute: 1 });
        return seen.some(({ changes }) => changes.some((one) => one.namespace === me.namespace && one.name === ""));
      });
      await createAction({ name: "watched" });
      await eventually(() => seen.some(({ changes }) => changes.some((one) => one.name === "watched")));
      stop.abort();
      await watching;
    });

    it("resolves anew what another process changed", async () => {
      await begin();
      await createAction();
      const other = await start();
      const resolve = (at: Life) =>
        at.call(ResolveServiceService.resolveAction, {
          namespace: me.namespace,
          name: "hello",
          callerNamespace: me.namespace,
        });
      const before = await resolve(other);
      expect(before).toMatchObject({
        shard: shardOf(`${me.namespace}/hello`),
        version: "0.0.1",
        provideApiKey: false,
        revision: 1,
      });
      expect(JSON.parse(Buffer.from(before.annotationsJson).toString())).toEqual([
        { key: "provide-api-key", value: false },
        { key: "exec", value: "nodejs:20" },
      ]);
      await life.call(
        ActionServiceService.updateAction,
        UpdateActionRequest.fromPartial({ action: { namespace: "_", name: "hello", limits: { memoryMb: 128 } } }),
        me,
      );
      // At once where it was written, soon everywhere.
      expect(await resolve(life)).toMatchObject({ version: "0.0.2", ask: { memoryMb: 128 } });
      await eventually(async () => (await resolve(other)).version === "0.0.2");
    });
  });

  const caller = () => ({ namespace: me.namespace, subject: "ada__", transactionId: "tid", apiKey: "", cause: "" });

  const submit = async (at: Life, more: Partial<SubmitRequest> = {}): Promise<string> => {
    const id = newActivationId(random, systemClock.wallMs());
    await at.call(
      SubmitServiceService.submit,
      SubmitRequest.fromPartial({
        activationId: hexToBytes(id),
        namespace: me.namespace,
        name: "hello",
        paramsJson: Buffer.from('{"a":1.10}'),
        caller: caller(),
        ...more,
      }),
    );
    return id;
  };

  const recordOf = (id: string, more: Partial<ActivationRecord> = {}): ActivationRecord =>
    ActivationRecord.fromPartial({
      activationId: hexToBytes(id),
      namespace: me.namespace,
      subject: "ada__",
      path: `${me.namespace}/hello`,
      version: "0.0.1",
      kind: "nodejs:20",
      startWallMs: systemClock.wallMs(),
      durationMs: 5,
      outcome: Outcome.SUCCESS,
      resultJson: Buffer.from('{"ok":1.0}'),
      logs: ["2026-01-01T00:00:00.000000000Z stdout: hi"],
      async: true,
      invokerId: "i1",
      ...more,
    });

  const activation = (at: Life, id: string) =>
    at.call(ActivationServiceService.getActivation, { namespace: "_", activationId: id }, me);

  describe("with durable requests", () => {
    it("runs them, and settles them by the record of their invoker", async () => {
      await begin();
      await createAction();
      const id = await submit(life);
      expect(await stores.queue.depth()).toBe(1);
      const call = await life.dispatched(id);
      expect(Buffer.from(call.paramsJson).toString()).toBe('{"a":1.10}');
      expect(await call.beforeSend?.(INVOKER)).toBe(true);

      const link: Link<RecordAck, RecordBatch> = life.network.dial(life.address, recordLink);
      const acks: number[] = [];
      link.onItem = ({ sequence }) => acks.push(sequence);
      link.send({ sequence: 1, invokerId: "i1", records: [recordOf(id)] });
      await eventually(() => acks.includes(1));
      expect(await stores.queue.depth()).toBe(0);
      expect(await activation(life, id)).toMatchObject({
        activationId: id,
        outcome: PublicOutcome.SUCCESS,
        of: Subject.ACTION,
        name: "hello",
        resultJson: '{"ok":1.0}',
        logs: ["2026-01-01T00:00:00.000000000Z stdout: hi"],
        endTime: expect.anything() as unknown,
      });
      expect(life.recorded).toHaveLength(1);
      // Sent again after a break, it is acknowledged again and changes nothing.
      link.send({ sequence: 2, invokerId: "i1", records: [recordOf(id, { outcome: Outcome.PLATFORM_ERROR })] });
      await eventually(() => acks.includes(2));
      expect(await activation(life, id)).toMatchObject({ outcome: PublicOutcome.SUCCESS });
      link.close();
      expect(life.controller.debug()).toMatchObject({ queue: { states: {}, inFlight: 0 } });
    });

    it("keeps records that a gateway writes for an invoker that is lost", async () => {
      await begin();
      const id = newActivationId(random, systemClock.wallMs());
      const batch = { sequence: 9, invokerId: "", records: [recordOf(id, { async: false })] };
      expect(await life.call(RecordServiceService.record, batch)).toEqual({ sequence: 9 });
      expect(await activation(life, id)).toMatchObject({ activationId: id });
    });

    it("refuses what is no request", async () => {
      await begin();
      expect(await failure(submit(life, { activationId: new Uint8Array(3) }))).toMatchObject({
        fields: [{ field: "activation_id" }],
      });
      expect(await failure(submit(life, { paramsJson: Buffer.from("[]") }))).toMatchObject({ kind: "invalidArgument" });
      expect(await failure(submit(life, { caller: undefined }))).toMatchObject({ fields: [{ field: "caller" }] });
      expect(
        await failure(submit(life, { paramsJson: Buffer.from(`{"a":"${"x".repeat(1024 * 1024)}"}`) })),
      ).toMatchObject({
        reason: "TOO_LARGE",
      });
      expect(await stores.queue.depth()).toBe(0);
    });

    it("finishes after an abrupt end what was accepted before it", async () => {
      await begin();
      await createAction();
      const [unsent, sent, finished] = [await submit(life), await submit(life), await submit(life)];
      expect(await (await life.dispatched(sent)).beforeSend?.(INVOKER)).toBe(true);
      expect(await (await life.dispatched(finished)).beforeSend?.(INVOKER)).toBe(true);
      const calls = life.calls.length;
      await life.kill();
      expect(await stores.queue.depth()).toBe(3);

      await life.join("invoker", INVOKER.invokerId, INVOKER.invokerBootId);
      const next = await start();
      // What was never sent runs; what was sent is asked about and not run meanwhile.
      expect(await (await next.dispatched(unsent)).beforeSend?.(INVOKER)).toBe(true);
      expect(next.calls).toHaveLength(1);
      // An invoker that finished one sends its record to whoever is there.
      await next.call(RecordServiceService.record, { sequence: 1, invokerId: "i1", records: [recordOf(finished)] });
      // It proves that the other never began.
      next.fate = { kind: "notStarted" };
      expect(await (await next.dispatched(sent)).beforeSend?.(INVOKER)).toBe(true);
      await next.call(RecordServiceService.record, {
        sequence: 2,
        invokerId: "i1",
        records: [recordOf(unsent), recordOf(sent)],
      });
      expect(await stores.queue.depth()).toBe(0);
      for (const id of [unsent, sent, finished]) {
        expect(await activation(next, id)).toMatchObject({ outcome: PublicOutcome.SUCCESS });
      }
      expect(next.calls).toHaveLength(2);
      expect(life.calls).toHaveLength(calls);
      // The old life, if it is only slow, starts nothing.
      expect(await stores.queue.markStarted([unsent as never], { ...INVOKER, ownerBootId: life.bootId })).toEqual([]);
    });

    it("ends with a platform error what ran on an invoker that died with it", async () => {
      await begin();
      await createAction();
      const id = await submit(life);
      await (await life.dispatched(id)).beforeSend?.(INVOKER);
      await life.kill();
      const next = await start();
      const record = await eventually(() => activation(next, id), { withinMs: 10_000, everyMs: 100 });
      expect(record).toMatchObject({
        outcome: PublicOutcome.PLATFORM_ERROR,
        kind: "nodejs:20",
        resultJson: expect.stringContaining("invoker i1 was lost") as string,
      });
      expect(next.calls).toEqual([]);
      expect(await stores.queue.depth()).toBe(0);
    });

    it("ends with an application error what asks for an action that is gone", async () => {
      await begin();
      const id = await submit(life, { name: "gone" });
      expect(await eventually(() => activation(life, id))).toMatchObject({
        outcome: PublicOutcome.APPLICATION_ERROR,
        resultJson: JSON.stringify({ error: `the action ${me.namespace}/gone does not exist any more` }),
      });
      expect(await stores.queue.depth()).toBe(0);
    });
  });

  describe("firing a trigger", () => {
    const fire = (more: Partial<FireTriggerRequest> = {}): Promise<{ readonly fired: boolean }> =>
      life.call(
        SubmitServiceService.fire,
        FireTriggerRequest.fromPartial({
          activationId: hexToBytes(newActivationId(random, systemClock.wallMs())),
          namespace: me.namespace,
          name: "t",
          paramsJson: Buffer.from('{"name":"Bob"}'),
          caller: caller(),
          ...more,
        }),
      );

    it("stores the firing and starts every active rule's action", async () => {
      await begin();
      expect(await failure(fire())).toMatchObject({ kind: "notFound" });
      expect(await failure(fire({ namespace: "guest" }))).toMatchObject({ kind: "notFound" });
      await createAction();
      await createAction({ name: "gone" });
      const parameters = [{ key: "d", valueJson: "1", init: false }];
      await life.call(
        TriggerServiceService.createTrigger,
        { trigger: Trigger.fromPartial({ namespace: "_", name: "t", parameters }) },
        me,
      );
      expect(await fire()).toEqual({ fired: false });
      for (const [name, action] of [
        ["r1", "hello"],
        ["r2", "gone"],
        ["r3", "hello"],
      ] as const) {
        const rule = Rule.fromPartial({ namespace: "_", name, trigger: "t", action });
        await life.call(RuleServiceService.createRule, { rule }, me);
      }
      await life.call(ActionServiceService.deleteAction, { namespace: "_", name: "gone", etag: "" }, me);
      await life.call(RuleServiceService.disableRule, { namespace: "_", name: "r3" }, me);
      const id = newActivationId(random, systemClock.wallMs());
      expect(await fire({ activationId: hexToBytes(id), headersJson: Buffer.from('{"x":"y"}') })).toEqual({
        fired: true,
      });

      const record = await activation(life, id);
      expect(record).toMatchObject({
        of: Subject.TRIGGER,
        name: "t",
        resultJson: '{"name":"Bob"}',
        endTime: undefined,
      });
      const logs = record.logs.map(
        (line) => JSON.parse(line) as { readonly rule: string; readonly activationId?: string },
      );
      expect(logs).toMatchObject([
        { rule: `${me.namespace}/r1`, success: true, statusCode: 0 },
        { rule: `${me.namespace}/r2`, success: false, statusCode: 1 },
        { rule: `${me.namespace}/r3`, success: false, statusCode: 1 },
      ]);
      const call = await life.dispatched(logs[0]?.activationId ?? "");
      expect(JSON.parse(Buffer.from(call.paramsJson).toString())).toEqual({
        d: 1,
        __ow_headers: { x: "y" },
        name: "Bob",
      });
      expect(call.caller).toMatchObject({ namespace: me.namespace, subject: "ada__", cause: "" });
      expect(life.calls).toHaveLength(1);
      expect(life.recorded).toMatchObject([{ of: "trigger" }]);

      const list = await life.call(
        ActivationServiceService.listActivations,
        ListActivationsRequest.fromPartial({ namespace: "_", name: "t", withTotal: true }),
        me,
      );
      expect(list).toMatchObject({ activations: [{ activationId: id, logs: [], resultJson: "" }], totalSize: 1 });
    });
  });
});
