// Webhooks: a POST to a secret URL fires a trigger. The order of checks: is there such a webhook, is the request not too
// large, is it signed as it must be, then the owner's throttles.

import { invalidField, toWeftError } from "../../../base/errors.js";
import { membersOf, objectOf } from "../../../base/json-text.js";
import { PAYLOAD_BYTES_MAX } from "../../../core/action/types.js";
import { checkSignature, SIGNATURE_HEADER, WEBHOOK_PATH } from "../../../core/feed/webhook.js";
import { webArguments } from "../../../core/web/arguments.js";
import type { NativeApi } from "../../native-api.js";
import { emptyResponse, jsonResponse, pathOf, queryOf, type RestRequest, type RestResponse } from "../message.js";
import { Refusal, refusalOf, tooLarge } from "../openwhisk/refusal.js";

export interface HooksDeps {
  readonly api: Pick<NativeApi, "webhook">;
  /** Tells of what nobody foresaw. */
  readonly unforeseen: (error: unknown, transactionId: string) => void;
}

/** Secret part of a URL; undefined when it is about something else. */
export function hookTokenOf(target: string): string | undefined {
  const path = pathOf(target);
  return path.startsWith(WEBHOOK_PATH) ? path.slice(WEBHOOK_PATH.length) : undefined;
}

/** What a web action would be given and an event is not: that it was posted, and where. */
const NOT_OF_EVENT = ["__ow_method", "__ow_path"];
const HEADERS = "__ow_headers";

export class Hooks {
  constructor(private readonly deps: HooksDeps) {}

  /** Never rejects. Without the headers that every answer of the API has. */
  async handle(request: RestRequest, token: string, transactionId: string): Promise<RestResponse> {
    try {
      return await this.#fire(request, token, transactionId);
    } catch (thrown) {
      const refusal = this.#refusalOf(thrown, transactionId);
      const body = `{"error":${JSON.stringify(refusal.message)},"code":${JSON.stringify(transactionId)}}`;
      return jsonResponse(refusal.status, body, refusal.headers);
    }
  }

  async #fire(request: RestRequest, token: string, transactionId: string): Promise<RestResponse> {
    const { method, headers, target, body } = request;
    if (method !== "POST") {
      throw new Refusal(405, "HTTP method not allowed, supported methods: POST", { headers: [["Allow", "POST"]] });
    }
    const hook = await this.deps.api.webhook(token);
    if (body.length > PAYLOAD_BYTES_MAX) throw tooLarge("Request", body.length, PAYLOAD_BYTES_MAX);
    if (hook.signingSecret !== undefined) checkSignature(hook.signingSecret, body, headers[SIGNATURE_HEADER]);
    const built = webArguments(
      { method, headers, query: queryOf(target), path: "", body, user: undefined },
      false,
      NOTHING,
    );
    if (built.kind === "refused") throw invalidField("body", built.message);
    const event = membersOf(built.json);
    const headersJson = event.get(HEADERS) ?? "{}";
    for (const name of [HEADERS, ...NOT_OF_EVENT]) event.delete(name);
    const context = { transactionId, traceparent: headers["traceparent"] ?? "" };
    const { activationId } = await hook.fire(Buffer.from(objectOf(event)), Buffer.from(headersJson), context);
    if (activationId === undefined) return emptyResponse(204);
    return jsonResponse(202, `{"activationId":"${activationId}"}`, [["x-openwhisk-activation-id", activationId]]);
  }

  #refusalOf(thrown: unknown, transactionId: string): Refusal {
    if (thrown instanceof Refusal) return thrown;
    const error = toWeftError(thrown);
    if (error.kind === "internal") this.deps.unforeseen(error, transactionId);
    return refusalOf(error);
  }
}

const NOTHING: ReadonlySet<string> = new Set();
