// The feed action of /whisk.system/webhooks, and what stands behind the URLs that it gives.

import type { Clock } from "../base/clock.js";
import { invalidField, toWeftError, WeftError } from "../base/errors.js";
import { bytesToHex } from "../base/ids.js";
import type { JsonText } from "../base/json-text.js";
import type { Log } from "../base/log.js";
import type { Random } from "../base/random.js";
import type { Builtin, BuiltinCaller } from "../core/builtin/builtin.js";
import { readFeedRequest, type FeedRequest } from "../core/feed/lifecycle.js";
import type { FeedStore } from "../core/feed/store.js";
import { describeWebhook, WEBHOOK_PATH, webhookSecretOf, type Webhook } from "../core/feed/webhook.js";
import { SYSTEM_NAMESPACE } from "../core/package/catalogue.js";
import type { FeedKeys } from "./feed-keys.js";

export interface WebhookFeedDeps {
  readonly feeds: Pick<FeedStore, "putWebhook" | "getWebhook" | "updateWebhook" | "deleteWebhook" | "findWebhook">;
  readonly keys: FeedKeys;
  /** Webhooks of one namespace. */
  readonly perNamespaceMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface FoundWebhook {
  readonly webhook: Webhook;
  /** Requests must be signed with it. */
  readonly secret: string | undefined;
}

export class WebhookFeed {
  constructor(private readonly deps: WebhookFeedDeps) {}

  get builtins(): readonly (readonly [key: string, builtin: Builtin])[] {
    return [[`${SYSTEM_NAMESPACE}/webhooks/webhook`, (caller, paramsJson) => this.handle(caller, paramsJson)]];
  }

  async handle(caller: BuiltinCaller, paramsJson: JsonText): Promise<JsonText> {
    const { feeds, keys } = this.deps;
    const { namespace } = caller;
    const request = readFeedRequest(paramsJson, namespace);
    const { trigger } = request;
    switch (request.event) {
      case "CREATE":
        return this.#create(caller, request);
      case "READ": {
        const webhook = await feeds.getWebhook(namespace, trigger);
        return describeWebhook(webhook, keys.tokenOf(webhook.id));
      }
      case "UPDATE":
        await this.#update(namespace, request);
        break;
      case "PAUSE":
        await this.#setActive(await feeds.getWebhook(namespace, trigger), false);
        break;
      case "UNPAUSE":
        await this.#setActive(await feeds.getWebhook(namespace, trigger), true);
        break;
      case "DELETE":
        await feeds.deleteWebhook(namespace, trigger);
        break;
    }
    return '{"status":"success"}';
  }

  /**
   * What the secret part of a URL stands for.
   * @throws notFound for what is none, is paused, or has a key that does not hold any more
   */
  async resolve(token: string): Promise<FoundWebhook> {
    const { feeds, keys } = this.deps;
    const id = keys.idOfToken(token);
    if (id === undefined) throw noSuchWebhook();
    const webhook = await feeds.findWebhook(id);
    if (!webhook.status.active) throw noSuchWebhook();
    const key = await keys.check(webhook);
    if (key.kind === "gone") {
      await this.#disable(webhook, key.message);
      throw noSuchWebhook();
    }
    const secret = webhook.secret && keys.unseal(webhook, webhook.secret);
    // Rather none is served than one whose signature cannot be checked.
    if (webhook.secret && secret === undefined) {
      await this.#disable(webhook, "its secret cannot be read any more");
      throw noSuchWebhook();
    }
    return { webhook, secret };
  }

  async #create({ namespace, keyUuid }: BuiltinCaller, request: FeedRequest): Promise<JsonText> {
    const { clock, feeds, keys, perNamespaceMax, random } = this.deps;
    const { trigger, params, authKey } = request;
    const secret = webhookSecretOf(params);
    const id = bytesToHex(random.bytes(16));
    await feeds.putWebhook(
      {
        namespace,
        trigger,
        id,
        key: await (authKey === undefined ? keys.ofCaller(namespace, keyUuid) : keys.make(namespace, authKey)),
        secret: secret === undefined ? undefined : keys.seal({ namespace, trigger }, secret),
        status: { active: true, changedWallMs: clock.wallMs() },
      },
      perNamespaceMax,
    );
    return JSON.stringify({ status: "success", path: WEBHOOK_PATH + keys.tokenOf(id) });
  }

  /** An empty secret asks for no signature any more. One that is updated is active again. */
  async #update(namespace: string, request: FeedRequest): Promise<void> {
    const { clock, feeds, keys } = this.deps;
    const { trigger, params, authKey } = request;
    if (!params.has("secret")) throw invalidField("secret", "no updatable parameters were specified");
    const secret = webhookSecretOf(params);
    const old = await feeds.getWebhook(namespace, trigger);
    await feeds.updateWebhook({
      ...old,
      key: authKey === undefined ? old.key : await keys.make(namespace, authKey),
      secret: secret === undefined ? undefined : keys.seal(old, secret),
      status: { active: true, changedWallMs: clock.wallMs() },
    });
  }

  async #setActive(webhook: Webhook, active: boolean): Promise<void> {
    if (webhook.status.active === active) return;
    const reason = { kind: "USER", message: "Paused" } as const;
    const changedWallMs = this.deps.clock.wallMs();
    const status = active ? { active, changedWallMs } : { active, changedWallMs, reason };
    await this.deps.feeds.updateWebhook({ ...webhook, status });
  }

  async #disable(webhook: Webhook, message: string): Promise<void> {
    const { clock, feeds, log } = this.deps;
    const { namespace, trigger } = webhook;
    const reason = { kind: "AUTO", statusCode: 401, message: `Trigger automatically disabled: ${message}` } as const;
    try {
      await feeds.updateWebhook({ ...webhook, status: { active: false, changedWallMs: clock.wallMs(), reason } });
      log.info("a webhook was disabled", { namespace, trigger, reason: message });
    } catch (thrown) {
      // Somebody else did so, or its owner changed it.
      if (toWeftError(thrown).kind !== "conflict") throw thrown;
    }
  }
}

function noSuchWebhook(): WeftError {
  return new WeftError("notFound", "WEBHOOK_NOT_FOUND", "there is no such webhook");
}
