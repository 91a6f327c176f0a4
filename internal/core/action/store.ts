import type { Listed } from "./page.js";
import type { Action, KeyValue, Package, Rule, RuleLink, Stored, Trigger, Exec, ActionLimits } from "./types.js";

/** A page of a list: latest change first, ties by name. */
export interface ListQuery {
  readonly namespace: string;
  /** Most entries, 1 to 200. */
  readonly limit: number;
  /** The entry with which annotations and parameters have so many bytes is the last one. */
  readonly bytesMax: number;
  /** Entries to leave out at the start, for OpenWhisk's paging; 0 for none. */
  readonly skip: number;
  /** Continue after this entry, for page tokens. */
  readonly after?: { readonly updatedWallMs: number; readonly name: string } | undefined;
}

/** An entity without what the store sets. */
export type Draft<T extends Stored> = Omit<T, "revision" | "updatedWallMs">;

/** What an invoker loads: kept after an update or delete for as long as calls may still refer to it (an hour). */
export interface Revision {
  readonly revisionId: string;
  /** "namespace/name" or "namespace/package/name". */
  readonly actionKey: string;
  readonly version: string;
  readonly exec: Exec;
  /** Of the source that `exec` was built from: kept as long as this revision. Undefined when it was not built, or when read. */
  readonly sourceDigest?: string | undefined;
  readonly limits: ActionLimits;
  /** Init parameters (package's, overridden by the binding's if there is one, then by the action's), as environment variables. */
  readonly initParameters: readonly KeyValue[];
}

/**
 * Packages, actions, triggers and rules. One key space per namespace: a package, trigger, rule and action of the
 * default package cannot share a name. Implemented by internal/postgres; passes entityStoreSuite.
 *
 * Every write is one transaction and announces the change to `watch`ers of every process when it commits. Writers name
 * the revision they read: conflict when somebody else wrote in between. The store sets revision and update time.
 *
 * create*: @throws alreadyExists when the name is taken by the same kind, or failedPrecondition with reason
 * WRONG_COLLECTION when by another kind; notFound when the namespace or the package of an action does not exist.
 * get*: @throws notFound, or failedPrecondition WRONG_COLLECTION when the name belongs to another kind.
 * update*: @throws notFound, conflict. delete*: @throws notFound, conflict; `revision` undefined means whatever it is.
 */
export interface RevisionWithCode {
  readonly revision: Revision;
  readonly code: Uint8Array;
}

export interface EntityStore {
  /**
   * `code` and `revision` undefined: a sequence has neither, nor has a built-in action. Actions are not created in bindings.
   * `packageRevision`: revision of its package whose init parameters are in `revision`.
   * @throws failedPrecondition PACKAGE_IS_BINDING; conflict when the package is at another revision
   */
  createAction(
    action: Draft<Action>,
    code: Uint8Array | undefined,
    revision: Revision | undefined,
    packageRevision?: number,
  ): Promise<Action>;
  getAction(namespace: string, name: string): Promise<Action>;
  /** `package`: only actions of it. */
  listActions(query: ListQuery & { readonly package?: string | undefined }): Promise<Listed<Action>>;
  countActions(namespace: string, packageName: string | undefined): Promise<number>;
  /** `code` undefined keeps the stored one, unless it becomes a sequence, which has none and no revision. */
  updateAction(
    action: Draft<Action>,
    expected: number,
    code: Uint8Array | undefined,
    revision: Revision | undefined,
  ): Promise<Action>;
  deleteAction(namespace: string, name: string, expected: number | undefined): Promise<Action>;
  /** @throws notFound */
  getCode(digest: string): Promise<Uint8Array>;
  /** @throws notFound */
  getRevision(revisionId: string): Promise<Revision>;
  /** The same with its code, at once: a start waits for both. @throws notFound */
  getRevisionWithCode(revisionId: string): Promise<RevisionWithCode>;
  /**
   * Keeps a revision of an action that differs from the action's own in what a binding hands over at init: until the
   * action gets another revision, or the binding is written. May be repeated.
   * @throws conflict when either happened already
   */
  keepRevision(revision: Revision, basedOn: string, binding: Package): Promise<void>;

  /** Also of a binding. Nothing is checked of what it is bound to, which may go or change at any time. */
  createPackage(draft: Draft<Package>): Promise<Package>;
  getPackage(namespace: string, name: string): Promise<Package>;
  listPackages(query: ListQuery): Promise<Listed<Package>>;
  countPackages(namespace: string): Promise<number>;
  /**
   * Actions of the package get new revision ids when its init parameters changed: `revisions` has one per action that is
   * no sequence. `revised` (default: when there are revisions) says that they changed: then `revisions` must be complete,
   * also when it is empty.
   * @throws conflict also when an action was made meanwhile
   */
  updatePackage(
    draft: Draft<Package>,
    expected: number,
    revisions: readonly Revision[],
    revised?: boolean,
  ): Promise<Package>;
  /** @throws failedPrecondition PACKAGE_NOT_EMPTY when it has actions and `force` is false */
  deletePackage(namespace: string, name: string, expected: number | undefined, force: boolean): Promise<Package>;

  createTrigger(draft: Draft<Trigger>): Promise<Trigger>;
  getTrigger(namespace: string, name: string): Promise<Trigger>;
  /** Rules attached to a trigger, by name. Empty when the trigger does not exist. */
  rulesOf(namespace: string, trigger: string): Promise<readonly RuleLink[]>;
  listTriggers(query: ListQuery): Promise<Listed<Trigger>>;
  countTriggers(namespace: string): Promise<number>;
  updateTrigger(draft: Draft<Trigger>, expected: number): Promise<Trigger>;
  /** Its rules stay and lose their link: they read inactive. */
  deleteTrigger(namespace: string, name: string, expected: number | undefined): Promise<Trigger>;

  /**
   * Links it to its trigger, active. Its action may be named through a binding.
   * @throws failedPrecondition NO_SUCH_TRIGGER, NO_SUCH_ACTION
   */
  createRule(draft: Draft<Rule>): Promise<Rule>;
  getRule(namespace: string, name: string): Promise<Rule>;
  listRules(query: ListQuery): Promise<Listed<Rule>>;
  countRules(namespace: string): Promise<number>;
  /** Keeps the state; moves the link when the trigger changed. @throws failedPrecondition as createRule */
  updateRule(draft: Draft<Rule>, expected: number): Promise<Rule>;
  /** Does not count as a write of the rule. @throws notFound; failedPrecondition NO_SUCH_TRIGGER when enabling */
  setRuleActive(namespace: string, name: string, active: boolean): Promise<Rule>;
  deleteRule(namespace: string, name: string, expected: number | undefined): Promise<Rule>;

  /**
   * Calls `changed` for each committed change of any process until the signal aborts, and `reset` whenever changes may
   * have been missed (the connection broke): then nothing that was cached may be trusted.
   */
  watch(listener: ChangeListener, signal: AbortSignal): Promise<void>;
}

export interface EntityChange {
  readonly namespace: string;
  /** "" when the namespace itself (its limits, its end). */
  readonly name: string;
  /** "" unless a key was revoked. */
  readonly keyUuid: string;
}

export interface ChangeListener {
  changed(change: EntityChange): void;
  reset(): void;
}
