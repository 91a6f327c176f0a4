// What firing a trigger starts: its rules' actions as the firing identity sees them, each counted against its limits.

import { toWeftError, WeftError } from "../base/errors.js";
import { newActivationId, type ActivationId } from "../base/ids.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import type { EntityStore } from "../core/action/store.js";
import type { RuleLink } from "../core/action/types.js";
import { mergeParams } from "../core/params/merge.js";
import { splitKey } from "../core/rule/rule.js";
import { forbidden } from "../core/sequence/definition.js";
import { decideFire, type FireDecision, type Firing, type RuleTarget } from "../core/trigger/fire.js";
import type { Admissions } from "./admissions.js";
import { NOT_FOR_CALLER, type Resolved, type Resolver } from "./resolver.js";

export interface FiringsDeps {
  readonly entities: Pick<EntityStore, "getTrigger" | "rulesOf">;
  readonly resolver: Resolver;
  readonly admissions: Pick<Admissions, "invocation" | "mayStart" | "free" | "occupy">;
  readonly clock: Clock;
  readonly random: Random;
}

export class Firings {
  constructor(private readonly deps: FiringsDeps) {}

  /**
   * @param idOf the activation of a rule's action; default: a new one
   * @returns what to store; undefined when no rule is active. Each of its requests has a place, which whoever accepts it
   * takes over.
   * @throws notFound when there is no such trigger
   */
  async decide(
    namespace: string,
    name: string,
    firing: Firing,
    idOf: (link: RuleLink) => ActivationId = () => newActivationId(this.deps.random, this.deps.clock.wallMs()),
  ): Promise<FireDecision | undefined> {
    const { entities } = this.deps;
    const [trigger, links] = await Promise.all([
      entities.getTrigger(namespace, name),
      entities.rulesOf(namespace, name),
    ]);
    const targets = new Map<RuleLink, RuleTarget>();
    const active = links.filter((link) => link.active);
    await Promise.all(
      active.map(async (link) => targets.set(link, await this.#target(link, firing.callerNamespace, idOf))),
    );
    return this.#freeOthers(targets, firing.callerNamespace, () =>
      decideFire(trigger, links, (link) => targets.get(link) ?? notLooked(link), firing),
    );
  }

  /** Before what was decided is accepted once more: the try before gave the places back. */
  occupyAgain({ requests }: FireDecision): void {
    for (const { callerNamespace } of requests) this.deps.admissions.occupy(callerNamespace);
  }

  /** @throws permissionDenied for a component that others have and do not share any more */
  async checkComponents({ action }: Resolved, callerNamespace: string): Promise<void> {
    for (const key of action.exec.components ?? []) {
      const { namespace, name } = splitKey(key);
      try {
        await this.deps.resolver.resolve(namespace, name, callerNamespace);
      } catch (thrown) {
        const { kind, reason } = toWeftError(thrown);
        if (reason === NOT_FOR_CALLER || kind === "permissionDenied") throw forbidden(key);
        // What is not there any more is told by the run.
        if (kind !== "notFound" && kind !== "failedPrecondition") throw thrown;
      }
    }
  }

  /** Decides, and frees the places of rules that start nothing. */
  #freeOthers(
    targets: ReadonlyMap<RuleLink, RuleTarget>,
    callerNamespace: string,
    decide: () => FireDecision | undefined,
  ): FireDecision | undefined {
    const started = new Set<string>();
    try {
      const decision = decide();
      for (const { id } of decision?.requests ?? []) started.add(id);
      return decision;
    } finally {
      for (const target of targets.values()) {
        if (target.kind === "found" && !started.has(target.id)) this.deps.admissions.free(callerNamespace);
      }
    }
  }

  /**
   * The action of a rule as the firing identity sees it. One that is found has a place. Never throws: what is wrong goes
   * into the trigger's log.
   */
  async #target(link: RuleLink, callerNamespace: string, idOf: (link: RuleLink) => ActivationId): Promise<RuleTarget> {
    const { admissions } = this.deps;
    const { namespace, name } = splitKey(link.action);
    try {
      // Before anything else, as an invocation is: one of what does not exist counts as well.
      await admissions.invocation(callerNamespace);
    } catch (thrown) {
      return { kind: "refused", error: toWeftError(thrown) };
    }
    try {
      const resolved = await this.deps.resolver.resolve(namespace, name, callerNamespace);
      const { defaults, final, providesApiKey, composite } = resolved;
      await this.checkComponents(resolved, callerNamespace);
      await admissions.mayStart(callerNamespace, resolved);
      return {
        kind: "found",
        id: idOf(link),
        providesKey: providesApiKey || composite !== undefined,
        check: (params) => {
          mergeParams(defaults, params, final);
        },
      };
    } catch (thrown) {
      admissions.free(callerNamespace);
      return { kind: "refused", error: toWeftError(thrown) };
    }
  }
}

function notLooked(link: RuleLink): RuleTarget {
  return { kind: "refused", error: new WeftError("internal", "NOT_LOOKED_UP", `${link.action} was not looked up`) };
}
