// Feeds, as OpenWhisk's clients do them: the client calls the action that a trigger names as its feed.

import { WeftError } from "../../../internal/base/errors.js";
import { Outcome } from "../../../internal/gen/weft/activation/v1/activation.pb.js";
import { InvokeServiceService } from "../../../internal/gen/weft/invoke/v1/invoke.pb.js";
import type { Trigger } from "../../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { Cli } from "../cli-context.js";
import { entriesOf, objectOf } from "../json-text.js";
import { parseName, type EntityName } from "../names.js";

export type LifecycleEvent = "CREATE" | "READ" | "UPDATE" | "PAUSE" | "UNPAUSE" | "DELETE";

/** The server ends the waiting after 60 s; the answer has to come back. */
const FEED_MS = 65_000;
const FEED = "feed";
/** Member of a feed's answer that is the path of a URL at this Weft. */
const PATH = "path";

/** "/namespace/[package/]name" of the feed action that a trigger names; undefined without one. */
export function feedOf(trigger: Pick<Trigger, "annotations">): string | undefined {
  const valueJson = trigger.annotations.find(({ key }) => key === FEED)?.valueJson;
  const feed: unknown = valueJson === undefined ? undefined : JSON.parse(valueJson);
  return typeof feed === "string" ? feed : undefined;
}

/** As a trigger names it. */
export function feedAnnotation({ namespace, name }: EntityName): readonly [key: string, valueJson: string] {
  return [FEED, JSON.stringify(`/${namespace}/${name}`)];
}

/**
 * Tells the feed what becomes of a trigger, and waits for its answer.
 * @param params JSON text by key
 * @returns its answer: JSON text by key
 * @throws failedPrecondition FEED_REFUSED when it refuses
 */
export async function tellFeed(
  cli: Cli,
  feed: string,
  event: LifecycleEvent,
  trigger: EntityName,
  params: ReadonlyMap<string, string> = new Map(),
): Promise<Map<string, string>> {
  const { namespace, name } = parseName(feed, cli.namespace, 2);
  const given = new Map(params)
    .set("lifecycleEvent", JSON.stringify(event))
    .set("triggerName", JSON.stringify(`/${trigger.namespace}/${trigger.name}`))
    .set("authKey", JSON.stringify(cli.connection.auth));
  const { activationId, activation } = await cli.call(
    InvokeServiceService.invoke,
    { namespace, action: name, paramsJson: objectOf(given), blocking: true, waitMs: 0 },
    { what: `${feed} is at work`, deadlineMs: FEED_MS },
  );
  if (!activation) {
    throw new WeftError("deadlineExceeded", "FEED_SLOW", `the feed ${feed} goes on after 60 s`, {
      fix: `weft activation get ${activationId} --wait 600`,
    });
  }
  const answer = entriesOf(activation.resultJson === "" ? "{}" : activation.resultJson, `the answer of ${feed}`);
  if (activation.outcome === Outcome.SUCCESS) return answer;
  throw new WeftError(
    "failedPrecondition",
    "FEED_REFUSED",
    `the feed ${feed} refuses: ${textOf(answer.get("error"))}`,
    {
      fix: `weft activation get ${activationId}`,
    },
  );
}

/** As `tellFeed`, when the trigger has a feed. A refusal is told and stands in nobody's way. */
export async function tellFeedIfAny(cli: Cli, trigger: Trigger, event: LifecycleEvent, of: EntityName): Promise<void> {
  const feed = feedOf(trigger);
  if (feed === undefined) return;
  try {
    await tellFeed(cli, feed, event, of);
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.kind === "canceled") throw thrown;
    cli.screen.say(thrown.message);
  }
}

/** The URL in a feed's answer, for programs outside; undefined when it gives none. */
export function urlIn(cli: Cli, answer: ReadonlyMap<string, string>): string | undefined {
  const valueJson = answer.get(PATH);
  const path: unknown = valueJson === undefined ? undefined : JSON.parse(valueJson);
  return typeof path === "string" && path.startsWith("/") ? cli.connection.rest + path : undefined;
}

/** Texts as they are, everything else as JSON. */
function textOf(valueJson = "null"): string {
  const value: unknown = JSON.parse(valueJson);
  return typeof value === "string" ? value : valueJson;
}
