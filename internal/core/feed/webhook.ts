// Webhooks: secret URLs that fire a trigger when something is posted to them.

import { createHmac, timingSafeEqual } from "node:crypto";

import { invalidField, WeftError } from "../../base/errors.js";
import type { JsonText } from "../../base/json-text.js";
import type { AlarmReason, FeedKey } from "./alarm.js";
import { textOf } from "./lifecycle.js";

export interface Webhook {
  readonly namespace: string;
  readonly trigger: string;
  /** Random; with a signature of it the secret part of the URL. 32 hex characters. */
  readonly id: string;
  readonly key: FeedKey;
  /** Sealed; undefined when requests need no signature. */
  readonly secret: Uint8Array | undefined;
  readonly status: WebhookStatus;
  /** Counts writes, from 1. */
  readonly revision: number;
}

export interface WebhookStatus {
  readonly active: boolean;
  readonly changedWallMs: number;
  readonly reason?: AlarmReason;
}

export type WebhookDraft = Omit<Webhook, "revision">;

/** Path that the secret part follows. */
export const WEBHOOK_PATH = "/api/v1/hooks/";
/** Header with "sha256=" and the HMAC-SHA-256 of the body in hex, as GitHub sends it. */
export const SIGNATURE_HEADER = "x-hub-signature-256";
const SECRET_LENGTH_MAX = 1_024;

/** Secret with which senders sign, as a request gives it; undefined when it gives none. @throws invalidArgument */
export function webhookSecretOf(params: ReadonlyMap<string, JsonText>): string | undefined {
  const secret = textOf(params, "secret");
  if (secret !== undefined && secret.length > SECRET_LENGTH_MAX) {
    throw invalidField("secret", `longer than allowed: ${secret.length} > ${SECRET_LENGTH_MAX} characters`);
  }
  return secret;
}

/** @throws permissionDenied unless the signature is that of the body */
export function checkSignature(secret: string, body: Uint8Array, signature: string | undefined): void {
  const expected = Buffer.from(`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`);
  const given = Buffer.from(signature ?? "");
  if (given.length === expected.length && timingSafeEqual(given, expected)) return;
  const what = signature === undefined ? "is missing" : "is not that of the body";
  throw new WeftError("permissionDenied", "BAD_SIGNATURE", `the signature in ${SIGNATURE_HEADER} ${what}`);
}

/** What READ answers. JSON text. @param token secret part of the URL */
export function describeWebhook(webhook: Webhook, token: string): JsonText {
  const { namespace, trigger, secret, status } = webhook;
  return JSON.stringify({
    config: { name: trigger, namespace, path: WEBHOOK_PATH + token, signed: secret !== undefined },
    status: {
      active: status.active,
      dateChanged: status.changedWallMs,
      dateChangedISO: new Date(status.changedWallMs).toISOString(),
      reason: status.reason,
    },
  });
}

export function noWebhook(namespace: string, trigger: string): WeftError {
  return new WeftError("notFound", "WEBHOOK_NOT_FOUND", `the trigger ${namespace}/${trigger} has no webhook`);
}
