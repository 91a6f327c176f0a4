// What every SealStore promises, and what stands on it: checking keys, and sealing everything anew. Each implementation's
// test file calls it.

import { beforeEach, describe, expect, it } from "vitest";

import { newActivationId } from "../../base/ids.js";
import { seededRandom } from "../../base/random.js";
import type { ActivationStore } from "../activation/store.js";
import type { TriggerActivation } from "../activation/types.js";
import type { EntityStore } from "../action/store.js";
import type { KeyValue, Package, Trigger } from "../action/types.js";
import type { QueueStore } from "../queue/store.js";
import type { TenancyStore } from "../tenancy/store.js";
import { aNamespace } from "../tenancy/store.suite.js";
import { KeyRing, sealingKey } from "./key-ring.js";
import { checkKeyRing, resealAll } from "./rotation.js";
import { SealedEntityStore } from "./sealed-entities.js";
import { SealedQueueStore } from "./sealed-queue.js";
import type { SealStore } from "./store.js";

export interface SealWorld {
  readonly seals: SealStore;
  /** As they lie there. */
  readonly entities: EntityStore;
  readonly queue: QueueStore;
  readonly activations: ActivationStore;
  readonly tenancy: TenancyStore;
  /** Everything that is stored, as text. */
  readonly raw: () => Promise<string>;
}

const keyOf = (id: string, fill: number) => sealingKey(id, new Uint8Array(32).fill(fill));
const [k1, k2] = [keyOf("k1", 1), keyOf("k2", 2)];
const SECRET = "a-secret-that-nobody-else-reads";
const parameters: readonly KeyValue[] = [
  { key: "password", valueJson: JSON.stringify(SECRET), init: false },
  { key: "TOKEN", valueJson: JSON.stringify(`${SECRET}-too`), init: true },
];

const entity = (name: string) => ({ namespace: "guest", name, version: "0.0.1", publish: false, annotations: [] });

export function sealStoreSuite(name: string, open: () => Promise<SealWorld>): void {
  describe(`${name} keeps the SealStore contract`, () => {
    let world: SealWorld;
    beforeEach(async () => {
      world = await open();
      await world.tenancy.ensureNamespace(aNamespace());
    });

    const through = (ring: KeyRing): SealedEntityStore => new SealedEntityStore(world.entities, ring);

    /** A package with an action, a trigger and their parameters. */
    async function fill(ring: KeyRing): Promise<void> {
      const entities = through(ring);
      await entities.createPackage({ ...entity("box"), parameters, binding: undefined });
      await entities.createTrigger({ ...entity("bell"), parameters });
      const code = Buffer.from("code");
      const exec = { kind: "nodejs:20", main: undefined, binary: false, codeDigest: "d", codeSize: code.length };
      const limits = { timeoutMs: 1_000, memoryMb: 128, logsMb: 1, concurrency: 1 };
      const action = { ...entity("box/act"), exec, limits, parameters, revisionId: "r1" };
      await entities.createAction(action, code, {
        revisionId: "r1",
        actionKey: "guest/box/act",
        version: "0.0.1",
        exec,
        limits,
        initParameters: parameters,
      });
    }

    async function expectReadable(ring: KeyRing): Promise<void> {
      const entities = through(ring);
      const read: (Package | Trigger)[] = [
        await entities.getPackage("guest", "box"),
        await entities.getTrigger("guest", "bell"),
        await entities.getAction("guest", "box/act"),
        ...(await entities.listActions({ namespace: "guest", limit: 10, bytesMax: 1e6, skip: 0, package: "box" }))
          .entries,
      ] as (Package | Trigger)[];
      for (const one of read) expect(one.parameters).toEqual(parameters);
      expect((await entities.getRevision("r1")).initParameters).toEqual(parameters);
      expect((await entities.getRevisionWithCode("r1")).revision.initParameters).toEqual(parameters);
    }

    it("holds nothing that anybody could read, and gives it back to who has the key", async () => {
      await fill(new KeyRing(k1, []));
      expect(await world.raw()).not.toContain("a-secret");
      await expectReadable(new KeyRing(k1, []));
      await expectReadable(new KeyRing(k2, [k1]));
      await expect(through(new KeyRing(k2, [])).getPackage("guest", "box")).rejects.toMatchObject({
        kind: "internal",
        reason: "PARAMETER_KEY_MISSING",
      });
      expect(await world.seals.plainStored()).toBe(false);
      expect(await world.seals.keyInUse("k1")).toBe(true);
      expect(await world.seals.keyInUse("k")).toBe(false);
    });

    it("holds what was stored without a key, which stays readable, and tells of it", async () => {
      await fill(new KeyRing(undefined, []));
      expect(await world.raw()).toContain(SECRET);
      expect(await world.seals.plainStored()).toBe(true);
      await expectReadable(new KeyRing(k1, []));
      expect(await checkKeyRing(new KeyRing(k1, []), world.seals)).toEqual({ plainStored: true });
    });

    it("is sealed anew: from plain, to another key, and back, each time with nothing left of before", async () => {
      await fill(new KeyRing(undefined, []));
      const steps: readonly (readonly [ring: KeyRing, unused: readonly string[]])[] = [
        [new KeyRing(k1, []), []],
        [new KeyRing(k2, [k1]), ["k1"]],
        [new KeyRing(undefined, [k2, k1]), ["k1", "k2"]],
      ];
      for (const [ring, unused] of steps) {
        await checkKeyRing(ring, world.seals);
        const revisions = (await world.entities.getPackage("guest", "box")).revision;
        expect(await resealAll(ring, world.seals)).toEqual({ lists: 4, unusedKeys: unused });
        expect(await resealAll(ring, world.seals)).toEqual({ lists: 0, unusedKeys: unused });
        await expectReadable(ring);
        expect((await world.raw()).includes(SECRET)).toBe(ring.current === undefined);
        expect((await world.entities.getPackage("guest", "box")).revision).toBe(revisions);
      }
    });

    it("is not sealed over what somebody else wrote meanwhile", async () => {
      await fill(new KeyRing(k1, []));
      const [first] = await world.seals.listParameters("entities", 1, undefined);
      if (!first) throw new Error("nothing is stored");
      const ring = new KeyRing(k1, []);
      const bell = await through(ring).getTrigger("guest", "bell");
      expect(first.parameters).toHaveLength(2);
      await through(ring).updateTrigger({ ...bell, parameters: [] }, bell.revision);
      expect(await world.seals.replaceParameters(first, [])).toBe(false);
      expect((await through(ring).getTrigger("guest", "bell")).parameters).toEqual([]);
    });

    it("is listed to its end, whatever the size of the pieces", async () => {
      await fill(new KeyRing(k1, []));
      const found: string[] = [];
      for (let after: string | undefined; ;) {
        const [one] = await world.seals.listParameters("entities", 1, after);
        if (!one) break;
        found.push(one.position);
        after = one.position;
      }
      expect(found).toHaveLength(3);
      expect(await world.seals.listParameters("revisions", 10, undefined)).toMatchObject([{ namespace: "guest" }]);
    });

    it("knows its keys again, and refuses another secret under the same id", async () => {
      await checkKeyRing(new KeyRing(k1, []), world.seals);
      await checkKeyRing(new KeyRing(k1, [k2]), world.seals);
      await expect(checkKeyRing(new KeyRing(keyOf("k1", 9), []), world.seals)).rejects.toMatchObject({
        kind: "failedPrecondition",
        reason: "PARAMETER_KEY_WRONG",
        message: expect.stringContaining("k1") as unknown,
      });
    });

    it("does without a key that sealed nothing, and not without one that did, whether or not there is another", async () => {
      await checkKeyRing(new KeyRing(k1, [k2]), world.seals);
      await fill(new KeyRing(k1, []));
      await checkKeyRing(new KeyRing(k1, []), world.seals);
      expect((await world.seals.knownKeys()).map(({ id }) => id)).toEqual(["k1"]);
      for (const ring of [new KeyRing(k2, []), new KeyRing(undefined, [])]) {
        await expect(checkKeyRing(ring, world.seals)).rejects.toMatchObject({
          reason: "PARAMETER_KEY_MISSING",
          message: expect.stringContaining("k1") as unknown,
        });
      }
    });

    it("keeps the arguments of firings sealed until they have run, and counts them as uses of the key", async () => {
      const ring = new KeyRing(k1, []);
      const queue = new SealedQueueStore(world.queue, ring);
      const random = seededRandom(3);
      const wallMs = Date.UTC(2026, 0, 1);
      const request = (paramsJson: string) => ({
        id: newActivationId(random, wallMs),
        namespace: "guest",
        name: "act",
        paramsJson,
        callerNamespace: "guest",
        subject: "guest",
        transactionId: "t",
        keyUuid: "",
        traceparent: "",
        acceptedWallMs: wallMs,
      });
      const record: TriggerActivation = {
        of: "trigger",
        id: newActivationId(random, wallMs),
        namespace: "guest",
        subject: "guest",
        name: "bell",
        path: "guest/bell",
        version: "0.0.1",
        startWallMs: wallMs,
        resultJson: "{}",
        logs: [],
        transactionId: "t",
        traceId: "",
      };
      await checkKeyRing(ring, world.seals);
      const [fired, sent] = [request(JSON.stringify({ password: SECRET })), request('{"open":"argument"}')];
      await queue.fire(record, [fired], "gone");
      await queue.submit([sent], "gone");
      expect(await world.raw()).not.toContain("a-secret");
      expect(await world.raw()).toContain("argument");
      expect(await world.seals.keyInUse("k1")).toBe(true);
      const recovered = await queue.recover("me", [], 10);
      expect(recovered.map((one) => one.request.paramsJson).sort()).toEqual([fired.paramsJson, sent.paramsJson].sort());
    });
  });
}
