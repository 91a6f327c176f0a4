// What a feed action is asked to do, as OpenWhisk's clients say it in its arguments.

import { invalidField, WeftError } from "../../base/errors.js";
import { membersOf, typeOf, type JsonText } from "../../base/json-text.js";
import { isKeyUuid } from "../tenancy/key.js";
import { checkName, resolveName } from "../tenancy/name.js";

export const LIFECYCLE_EVENTS = ["CREATE", "READ", "UPDATE", "PAUSE", "UNPAUSE", "DELETE"] as const;

export type LifecycleEvent = (typeof LIFECYCLE_EVENTS)[number];

/** Annotation of a trigger that names its feed. */
export const FEED_ANNOTATION = "feed";

export interface FeedRequest {
  readonly event: LifecycleEvent;
  /** The trigger that the feed is to fire; it is the caller's. */
  readonly trigger: string;
  /** "uuid:key" with which it fires; undefined when the request has none. */
  readonly authKey: string | undefined;
  /** Everything else, JSON text by key. */
  readonly params: ReadonlyMap<string, JsonText>;
}

const OWN = ["lifecycleEvent", "triggerName", "authKey"] as const;

/**
 * @param paramsJson arguments of the feed action
 * @param namespace the caller's
 * @throws invalidArgument; permissionDenied for a trigger of another namespace
 */
export function readFeedRequest(paramsJson: JsonText, namespace: string): FeedRequest {
  const params = membersOf(paramsJson);
  const event = LIFECYCLE_EVENTS.find((one) => one === textOf(params, "lifecycleEvent"));
  if (!event) throw invalidField("lifecycleEvent", `must be one of ${LIFECYCLE_EVENTS.join(", ")}`);
  const triggerName = textOf(params, "triggerName");
  if (triggerName === undefined) throw invalidField("triggerName", "no trigger name parameter was provided");
  const named = resolveName("triggerName", triggerName, namespace);
  if (named.namespace !== namespace) {
    throw new WeftError(
      "permissionDenied",
      "TRIGGER_NOT_OWN",
      `Trigger authentication request failed: ${triggerName} is not a trigger of ${namespace}`,
    );
  }
  const trigger = checkName("triggerName", named.name);
  const authKey = textOf(params, "authKey");
  for (const key of OWN) params.delete(key);
  return { event, trigger, authKey, params };
}

/** The key that a feed was given. @throws invalidArgument */
export function readAuthKey(authKey: string): { readonly uuid: string; readonly secret: string } {
  const colon = authKey.indexOf(":");
  const [uuid, secret] = [authKey.slice(0, Math.max(0, colon)), authKey.slice(colon + 1)];
  if (isKeyUuid(uuid) && secret !== "") return { uuid, secret };
  throw invalidField("authKey", 'must be a key "uuid:key" of the trigger\'s namespace');
}

/** A text that is there and not empty. @throws invalidArgument for something else */
export function textOf(params: ReadonlyMap<string, JsonText>, key: string): string | undefined {
  const valueJson = params.get(key);
  if (valueJson === undefined || valueJson === "null" || valueJson === '""') return undefined;
  if (typeOf(valueJson) !== "string") throw invalidField(key, "must be a text");
  return JSON.parse(valueJson) as string;
}
