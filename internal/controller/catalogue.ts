// Installs the packages that come with Weft, and brings them up to date. What is as it shall be is not written: versions
// rise with content. Several controllers may do so at once.

import type { Clock } from "../base/clock.js";
import { toWeftError } from "../base/errors.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import { revisionOf, type ActionChange } from "../core/action/action.js";
import type { EntityChange, EntityStore } from "../core/action/store.js";
import type { Package } from "../core/action/types.js";
import {
  installedAction,
  installedPackage,
  SYSTEM_NAMESPACE,
  type CataloguePackage,
} from "../core/package/catalogue.js";
import { initParametersChanged, revisionsOfPackage } from "../core/package/package.js";
import type { RuntimeManifest } from "../core/sandbox/manifest.js";
import type { NamespaceLimits, TenancyStore } from "../core/tenancy/store.js";
import { everyEntry } from "./entity-list.js";

/** Tries of a package that somebody else writes at the same time: another controller that starts. */
const TRIES_MAX = 5;

export interface CatalogueDeps {
  readonly entities: EntityStore;
  readonly tenancy: Pick<TenancyStore, "ensureNamespace">;
  readonly manifest: RuntimeManifest;
  readonly limits: NamespaceLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told of what was written. */
  readonly changed: (change: EntityChange) => void;
}

/** A package that cannot be installed is logged and left out: users' own work does not depend on it. */
export async function installCatalogue(deps: CatalogueDeps, catalogue: readonly CataloguePackage[]): Promise<void> {
  const { clock, limits, log, tenancy } = deps;
  await tenancy.ensureNamespace({ name: SYSTEM_NAMESPACE, limits, createdWallMs: clock.wallMs() });
  await Promise.all(
    catalogue.map(async (one) => {
      try {
        await retried(() => install(deps, one));
      } catch (thrown) {
        log.warn("a package of the catalogue could not be installed", {
          package: one.package.name,
          error: toWeftError(thrown),
        });
      }
    }),
  );
}

async function install(deps: CatalogueDeps, { package: wanted, actions }: CataloguePackage): Promise<void> {
  const inPackage = await installPackage(deps, wanted);
  for (const action of actions) await installAction(deps, action, inPackage);
}

async function installPackage(deps: CatalogueDeps, wanted: CataloguePackage["package"]): Promise<Package> {
  const { changed, entities, random } = deps;
  const { namespace, name } = wanted;
  const old = await found(entities.getPackage(namespace, name));
  const draft = installedPackage(old, wanted);
  if (!draft) return old as Package;
  let stored: Package;
  if (!old) stored = await entities.createPackage(draft);
  else {
    const revised = initParametersChanged(old, draft);
    const actions = revised
      ? await everyEntry((query) => entities.listActions({ ...query, package: name }), namespace)
      : [];
    stored = await entities.updatePackage(draft, old.revision, revisionsOfPackage(draft, actions, random), revised);
  }
  changed({ namespace, name, keyUuid: "" });
  return stored;
}

async function installAction(deps: CatalogueDeps, wanted: ActionChange, inPackage: Package): Promise<void> {
  const { changed, entities, manifest, random } = deps;
  const { namespace, name } = wanted;
  const old = await found(entities.getAction(namespace, name));
  const write = installedAction(old, wanted, manifest, random);
  if (!write) return;
  const revision = revisionOf(write.draft, inPackage);
  if (old) await entities.updateAction(write.draft, old.revision, write.code, revision);
  else await entities.createAction(write.draft, write.code, revision, inPackage.revision);
  changed({ namespace, name, keyUuid: "" });
}

async function found<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (thrown) {
    if (toWeftError(thrown).kind !== "notFound") throw thrown;
    return undefined;
  }
}

async function retried(work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await work();
      return;
    } catch (thrown) {
      const { kind } = toWeftError(thrown);
      if ((kind !== "conflict" && kind !== "alreadyExists") || tries === TRIES_MAX) throw thrown;
    }
  }
}
