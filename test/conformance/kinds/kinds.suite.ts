// One suite for all kinds. README.md says what a language brings; rows.ts is the table.
//
// A kind's lanes begin together when its first test does, and each test looks at its row's end: what can run at the same
// time does.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { readManifest } from "../../../internal/assembly/files.js";
import type { SandboxDriver } from "../../../internal/core/sandbox/driver.js";
import type { OpenFabric } from "../../e2e/fabrics.js";
import { PublicClient } from "../../harness/client.js";
import { Registries } from "../../harness/registries.js";
import { Family } from "./family.js";
import { lanes, type Lane, type Row } from "./rows.js";
import { KindWorld } from "./world.js";

/** Lanes at once: more would only make time limits doubtful on two processors. */
const LANES_AT_ONCE = 4;

export interface KindsUnderTest {
  /** @param env more variables of its processes */
  readonly open: (env: Readonly<Record<string, string>>) => Promise<OpenFabric>;
  /** The driver of that fabric, in a folder of its own. */
  readonly driver: (directory: string) => SandboxDriver;
  /** Kinds that must be there in CI. */
  readonly must: (kind: string) => boolean;
}

export async function kindsSuite(mode: string, { open, driver: driverIn, must }: KindsUnderTest): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "weft-"));
  const driver = driverIn(join(scratch, "d"));
  const here = await driver.kinds();
  const manifest = readManifest().kinds.filter((kind) => !kind.deprecated);

  describe(`${mode}: a kind`, () => {
    let opened: OpenFabric;
    let client: PublicClient;
    let registries: Registries;
    beforeAll(async () => {
      registries = await Registries.start();
      opened = await open(registries.env);
      client = new PublicClient(opened.fabric.grpc, opened.fabric.authorization);
      await client.raiseLimits("guest");
    });
    afterAll(async () => {
      client.close();
      await opened.close();
      await registries.close();
      await driver.close();
      rmSync(scratch, { recursive: true });
    });

    for (const { kind, family, default: isDefault } of manifest) {
      const name = `${kind}, which`;
      if (here.includes(kind)) {
        describe(name, () => {
          const of = Family.read(family);
          rowsOf(of, isDefault, () => new KindWorld(kind, of, client, driver, opened.fabric.rest, registries));
        });
      } else if (process.env["CI"] && must(kind)) {
        it(name, () => {
          throw new Error(`CI must not skip: no ${kind} here; deploy/local/images makes it`);
        });
      } else if (!process.env["CI"]) describe.skip(`${name} (skipped: it is not here)`, () => {});
    }
  });
}

function rowsOf(family: Family, isDefault: boolean, world: () => KindWorld): void {
  const keys = new Set(lanes.flatMap(({ rows }) => rows.map(({ key }) => key)));
  for (const key of [...Object.keys(family.can.lacks), ...Object.keys(family.can.expects)]) {
    if (!keys.has(key)) throw new Error(`family.json of ${family.name} names a row that does not exist: ${key}`);
  }
  const wanted = lanes.map((lane) => ({
    ...lane,
    rows: lane.rows.filter(({ key, isFor }) => !(key in family.can.lacks) && isFor?.(family.can, isDefault) !== false),
  }));
  const ends = new Map<Row, Promise<Error | undefined>>();

  beforeAll(() => {
    const begun = begin(wanted, world());
    for (const [row, end] of begun) ends.set(row, end);
  });
  afterAll(async () => {
    await Promise.all(ends.values());
  });
  for (const row of wanted.flatMap(({ rows }) => rows)) {
    it(row.name, async () => {
      const thrown = await ends.get(row);
      if (thrown) throw thrown;
    });
  }
  for (const [key, reason] of Object.entries(family.can.lacks)) {
    it(`has no row "${key}": ${reason}`, () => {
      expect([...ends.keys()].filter((row) => row.key === key)).toEqual([]);
    });
  }
}

/** Runs the lanes; a row's promise resolves to what its check threw, undefined when nothing. */
function begin(all: readonly Lane[], world: KindWorld): ReadonlyMap<Row, Promise<Error | undefined>> {
  const ends = new Map<Row, Promise<Error | undefined>>();
  let turn = 0;
  const free: (() => void)[] = [];
  const enter = async (): Promise<void> => {
    if (turn >= LANES_AT_ONCE) await new Promise<void>((resolve) => free.push(resolve));
    else turn += 1;
  };
  const leave = (): void => {
    const next = free.shift();
    if (next) next();
    else turn -= 1;
  };
  // All at once, before anything runs: it is one request each.
  const deployed = new Map(
    all.flatMap(({ actions, rows }) =>
      rows.length === 0
        ? []
        : Object.entries(actions).map(([name, use]) => [name, settled(() => world.deploy(name, use))]),
    ),
  );
  for (const { actions, rows } of all) {
    let before: Promise<unknown> = (async () => {
      await Promise.all(deployed.values());
      await enter();
    })();
    for (const row of rows) {
      const previous = before;
      const end = (async () => {
        await previous;
        for (const name of Object.keys(actions)) {
          const refused = await deployed.get(name);
          if (refused !== undefined) return refused;
        }
        return settled(() => row.check(world));
      })();
      ends.set(row, end);
      before = end;
    }
    void before.then(leave);
  }
  return ends;
}

async function settled(act: () => Promise<unknown>): Promise<Error | undefined> {
  try {
    await act();
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}
