// The durable queue in memory: what the table of internal/postgres does, as far as its users can see.

import type { WeftError } from "../../internal/base/errors.js";
import type { ActivationId } from "../../internal/base/ids.js";
import type { Attempt, QueuedRequest, QueueStore, RecoveredRequest } from "../../internal/core/queue/store.js";

/** The queue's table. */
export class QueueTable implements QueueStore {
  readonly rows = new Map<ActivationId, { request: QueuedRequest; owner: string; attempt: Attempt | undefined }>();
  /** Thrown by the next uses, one each. */
  readonly failures: WeftError[] = [];
  notStarted = 0;
  /** Runs move on only after this. */
  gate: Promise<void> | undefined;

  async submit(requests: readonly QueuedRequest[], owner: string): Promise<void> {
    await this.#turn();
    for (const request of requests) {
      if (!this.rows.has(request.id)) this.rows.set(request.id, { request, owner, attempt: undefined });
    }
  }

  fire(_trigger: unknown, requests: readonly QueuedRequest[], owner: string): Promise<void> {
    return this.submit(requests, owner);
  }

  async markStarted(ids: readonly ActivationId[], attempt: Attempt): Promise<readonly ActivationId[]> {
    await this.#turn();
    return ids.filter((id) => {
      const row = this.rows.get(id);
      if (row?.owner !== attempt.ownerBootId) return false;
      row.attempt = attempt;
      return true;
    });
  }

  async markNotStarted(ids: readonly ActivationId[], owner: string): Promise<void> {
    await this.#turn();
    this.notStarted += ids.length;
    for (const id of ids) {
      const row = this.rows.get(id);
      if (row?.owner === owner) row.attempt = undefined;
    }
  }

  async advance(
    run: { readonly id: ActivationId; readonly run: string; readonly ownerBootId: string },
    component: QueuedRequest | undefined,
    owner: string,
  ): Promise<boolean> {
    await this.gate;
    await this.#turn();
    const row = this.rows.get(run.id);
    if (row?.owner !== run.ownerBootId) return false;
    row.request = { ...row.request, run: run.run };
    if (component && !this.rows.has(component.id)) {
      this.rows.set(component.id, { request: component, owner, attempt: undefined });
    }
    return true;
  }

  async unsettled(ids: readonly ActivationId[]): Promise<readonly ActivationId[]> {
    await this.#turn();
    return ids.filter((id) => this.rows.has(id));
  }

  async recover(owner: string, live: readonly string[], limit: number): Promise<readonly RecoveredRequest[]> {
    await this.#turn();
    const found = [...this.rows.values()].filter((row) => !live.includes(row.owner)).slice(0, limit);
    for (const row of found) row.owner = owner;
    return found.map(({ request, attempt }) => ({ request, attempt }));
  }

  async depth(): Promise<number> {
    return this.rows.size;
  }

  async #turn(): Promise<void> {
    await Promise.resolve();
    const failure = this.failures.shift();
    if (failure) throw failure;
  }
}
