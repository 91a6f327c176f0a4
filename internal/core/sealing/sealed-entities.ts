// An EntityStore whose parameters are encrypted where they are stored: those of packages, bindings, actions and triggers,
// and what revisions hand over at init. Whoever uses the store sees them plain. Annotations and code are stored as they
// are: the first are for showing, the second is found by what it is.

import type { Listed } from "../action/page.js";
import type { ChangeListener, Draft, EntityStore, ListQuery, Revision, RevisionWithCode } from "../action/store.js";
import type { Action, KeyValue, Package, Rule, RuleLink, Trigger } from "../action/types.js";
import type { KeyRing } from "./key-ring.js";
import { openedParameters, sealedParameters } from "./parameters.js";

interface Parametered {
  readonly namespace: string;
  readonly parameters: readonly KeyValue[];
}

export class SealedEntityStore implements EntityStore {
  constructor(
    private readonly stored: EntityStore,
    private readonly ring: KeyRing,
  ) {}

  async createAction(
    action: Draft<Action>,
    code: Uint8Array | undefined,
    revision: Revision | undefined,
    packageRevision?: number,
  ): Promise<Action> {
    const sealed = this.#sealed(action);
    return this.#opened(await this.stored.createAction(sealed, code, this.#sealedRevision(revision), packageRevision));
  }

  async getAction(namespace: string, name: string): Promise<Action> {
    return this.#opened(await this.stored.getAction(namespace, name));
  }

  async listActions(query: ListQuery & { readonly package?: string | undefined }): Promise<Listed<Action>> {
    return this.#openedList(await this.stored.listActions(query));
  }

  countActions(namespace: string, packageName: string | undefined): Promise<number> {
    return this.stored.countActions(namespace, packageName);
  }

  async updateAction(
    action: Draft<Action>,
    expected: number,
    code: Uint8Array | undefined,
    revision: Revision | undefined,
  ): Promise<Action> {
    const sealed = this.#sealed(action);
    return this.#opened(await this.stored.updateAction(sealed, expected, code, this.#sealedRevision(revision)));
  }

  async deleteAction(namespace: string, name: string, expected: number | undefined): Promise<Action> {
    return this.#opened(await this.stored.deleteAction(namespace, name, expected));
  }

  getCode(digest: string): Promise<Uint8Array> {
    return this.stored.getCode(digest);
  }

  async getRevision(revisionId: string): Promise<Revision> {
    return this.#openedRevision(await this.stored.getRevision(revisionId));
  }

  async getRevisionWithCode(revisionId: string): Promise<RevisionWithCode> {
    const { revision, code } = await this.stored.getRevisionWithCode(revisionId);
    return { revision: this.#openedRevision(revision), code };
  }

  keepRevision(revision: Revision, basedOn: string, binding: Package): Promise<void> {
    return this.stored.keepRevision(this.#sealedRevision(revision), basedOn, binding);
  }

  async createPackage(draft: Draft<Package>): Promise<Package> {
    return this.#opened(await this.stored.createPackage(this.#sealed(draft)));
  }

  async getPackage(namespace: string, name: string): Promise<Package> {
    return this.#opened(await this.stored.getPackage(namespace, name));
  }

  async listPackages(query: ListQuery): Promise<Listed<Package>> {
    return this.#openedList(await this.stored.listPackages(query));
  }

  countPackages(namespace: string): Promise<number> {
    return this.stored.countPackages(namespace);
  }

  async updatePackage(
    draft: Draft<Package>,
    expected: number,
    revisions: readonly Revision[],
    revised?: boolean,
  ): Promise<Package> {
    const sealed = revisions.map((revision) => this.#sealedRevision(revision));
    return this.#opened(await this.stored.updatePackage(this.#sealed(draft), expected, sealed, revised));
  }

  async deletePackage(namespace: string, name: string, expected: number | undefined, force: boolean): Promise<Package> {
    return this.#opened(await this.stored.deletePackage(namespace, name, expected, force));
  }

  async createTrigger(draft: Draft<Trigger>): Promise<Trigger> {
    return this.#opened(await this.stored.createTrigger(this.#sealed(draft)));
  }

  async getTrigger(namespace: string, name: string): Promise<Trigger> {
    return this.#opened(await this.stored.getTrigger(namespace, name));
  }

  rulesOf(namespace: string, trigger: string): Promise<readonly RuleLink[]> {
    return this.stored.rulesOf(namespace, trigger);
  }

  async listTriggers(query: ListQuery): Promise<Listed<Trigger>> {
    return this.#openedList(await this.stored.listTriggers(query));
  }

  countTriggers(namespace: string): Promise<number> {
    return this.stored.countTriggers(namespace);
  }

  async updateTrigger(draft: Draft<Trigger>, expected: number): Promise<Trigger> {
    return this.#opened(await this.stored.updateTrigger(this.#sealed(draft), expected));
  }

  async deleteTrigger(namespace: string, name: string, expected: number | undefined): Promise<Trigger> {
    return this.#opened(await this.stored.deleteTrigger(namespace, name, expected));
  }

  createRule(draft: Draft<Rule>): Promise<Rule> {
    return this.stored.createRule(draft);
  }

  getRule(namespace: string, name: string): Promise<Rule> {
    return this.stored.getRule(namespace, name);
  }

  listRules(query: ListQuery): Promise<Listed<Rule>> {
    return this.stored.listRules(query);
  }

  countRules(namespace: string): Promise<number> {
    return this.stored.countRules(namespace);
  }

  updateRule(draft: Draft<Rule>, expected: number): Promise<Rule> {
    return this.stored.updateRule(draft, expected);
  }

  setRuleActive(namespace: string, name: string, active: boolean): Promise<Rule> {
    return this.stored.setRuleActive(namespace, name, active);
  }

  deleteRule(namespace: string, name: string, expected: number | undefined): Promise<Rule> {
    return this.stored.deleteRule(namespace, name, expected);
  }

  watch(listener: ChangeListener, signal: AbortSignal): Promise<void> {
    return this.stored.watch(listener, signal);
  }

  #sealed<T extends Parametered>(entity: T): T {
    return { ...entity, parameters: sealedParameters(this.ring, entity.namespace, entity.parameters) };
  }

  #opened<T extends Parametered>(entity: T): T {
    return { ...entity, parameters: openedParameters(this.ring, entity.namespace, entity.parameters) };
  }

  #openedList<T extends Parametered>(list: Listed<T>): Listed<T> {
    return { ...list, entries: list.entries.map((entity) => this.#opened(entity)) };
  }

  #openedRevision(revision: Revision): Revision {
    const initParameters = openedParameters(this.ring, namespaceOf(revision), revision.initParameters);
    return { ...revision, initParameters };
  }

  #sealedRevision<R extends Revision | undefined>(revision: R): R {
    if (!revision) return revision;
    const initParameters = sealedParameters(this.ring, namespaceOf(revision), revision.initParameters);
    return { ...revision, initParameters };
  }
}

/** What a revision hands over belongs to the action's namespace, wherever it came from. */
function namespaceOf({ actionKey }: Revision): string {
  return actionKey.slice(0, actionKey.indexOf("/"));
}
