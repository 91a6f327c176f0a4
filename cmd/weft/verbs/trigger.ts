// Triggers: create, change, show, list, remove, fire; and what their feeds are told of it.

import { WeftError } from "../../../internal/base/errors.js";
import { InvokeServiceService } from "../../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { Trigger, TriggerServiceService as Service } from "../../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { Cli } from "../cli-context.js";
import { entriesOf, objectOf, RawJson } from "../json-text.js";
import { parseName, showName, type EntityName } from "../names.js";
import { iso, time } from "../output.js";
import { collect, keyValues, paramsJson } from "../params.js";
import { keyValuesJson, keyValuesText } from "../show.js";
import type { Values, Verb } from "../spec.js";
import { feedAnnotation, feedOf, tellFeed, tellFeedIfAny, urlIn, type LifecycleEvent } from "./feed.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

export const createTrigger: Verb = async (cli, [nameText = ""], values) => {
  const of = parseName(nameText, cli.namespace, 1);
  const feed = values.text("feed");
  const { forFeed, ...given } = await read(cli, values, feed !== undefined);
  if (feed === undefined) {
    done(cli, "created", await cli.call(Service.createTrigger, { trigger: Trigger.fromPartial({ ...of, ...given }) }));
    return;
  }
  const [key, valueJson] = feedAnnotation(parseName(feed, cli.namespace, 2));
  const annotations = [...given.annotations.filter((one) => one.key !== key), { key, valueJson, init: false }];
  const trigger = Trigger.fromPartial({ ...of, ...given, annotations });
  const created = await cli.call(Service.createTrigger, { trigger });
  let answer: ReadonlyMap<string, string>;
  try {
    answer = await tellFeed(cli, feed, "CREATE", of, forFeed);
  } catch (thrown) {
    // What the feed may have begun ends, and the trigger that nothing would fire goes.
    await tellFeedIfAny(cli, created, "DELETE", of);
    await cli.call(Service.deleteTrigger, { ...of, etag: "" });
    throw thrown;
  }
  const url = urlIn(cli, answer);
  if (url !== undefined && !cli.screen.json) cli.screen.print(url);
  done(cli, "created", created, { feed, url });
};

export const updateTrigger: Verb = async (cli, [nameText = ""], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const reading = cli.call(Service.getTrigger, { namespace, name });
  const old = await orMeant(cli, namespace, name, reading);
  const feed = feedOf(old);
  const { forFeed, ...given } = await read(cli, values, feed !== undefined);
  if (feed !== undefined && forFeed.size > 0) await tellFeed(cli, feed, "UPDATE", { namespace, name }, forFeed);
  const own = given.parameters.length > 0 || given.annotations.length > 0;
  if (feed !== undefined && !own) {
    done(cli, "updated", old, { feed });
    return;
  }
  const trigger = Trigger.fromPartial({
    namespace,
    name,
    parameters: given.parameters,
    // A list that is given takes the place of the old one: the feed stays.
    annotations:
      given.annotations.length > 0
        ? [...given.annotations, ...old.annotations.filter(({ key }) => key === "feed")]
        : [],
  });
  const updating = cli.call(Service.updateTrigger, { trigger, updateFields: [], allowMissing: false });
  done(cli, "updated", await orMeant(cli, namespace, name, updating), { feed });
};

export const getTrigger: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const trigger = await orMeant(cli, namespace, name, cli.call(Service.getTrigger, { namespace, name }));
  const feed = await feedState(cli, trigger, { namespace, name });
  if (cli.screen.json) cli.screen.printJson({ ...triggerJson(trigger), feed: feed?.json });
  else {
    cli.screen.fields([
      ["trigger", showName(trigger.namespace, trigger.name)],
      ["version", trigger.version],
      ["parameters", keyValuesText(trigger.parameters)],
      ["annotations", keyValuesText(trigger.annotations)],
      [
        "rules",
        trigger.rules.map((r) => `/${r.rule} runs /${r.action}${r.active ? "" : " (inactive)"}`).join("\n") || "none",
      ],
      ...(feed ? feed.fields : []),
      ["updated", time(trigger.updateTime)],
    ]);
  }
};

export const listTriggers: Verb = async (cli, _args, values) => {
  const triggers = await listed(cli, values, pageOf(cli, cli.namespace));
  if (cli.screen.json) cli.screen.printJson(triggers.map(triggerJson));
  else {
    cli.screen.table(triggers, [
      { title: "TRIGGER", value: (t) => showName(t.namespace, t.name) },
      { title: "VERSION", value: (t) => t.version },
      { title: "UPDATED", value: (t) => time(t.updateTime) },
    ]);
  }
};

export const deleteTrigger: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const trigger = await orMeant(cli, namespace, name, cli.call(Service.getTrigger, { namespace, name }));
  await tellFeedIfAny(cli, trigger, "DELETE", { namespace, name });
  await orMeant(cli, namespace, name, cli.call(Service.deleteTrigger, { namespace, name, etag: "" }));
  if (cli.screen.json) cli.screen.printJson({ deleted: name });
  else cli.screen.say(`deleted trigger ${name}`);
};

export const fireTrigger: Verb = async (cli, [nameText = ""], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const params = await paramsJson(values.pairs("param"), values.text("param-file"), cli.io);
  const { activationId } = await orMeant(
    cli,
    namespace,
    name,
    cli.call(InvokeServiceService.fire, { namespace, trigger: name, paramsJson: params }),
  );
  if (cli.screen.json) cli.screen.printJson({ activationId: activationId || undefined, fired: activationId !== "" });
  else if (activationId !== "") cli.screen.print(activationId);
  if (activationId === "") {
    cli.screen.say(`nothing happened: no active rule listens to ${name}`);
    cli.screen.say(`weft rule create RULE ${name} ACTION`);
  }
};

export const pauseTrigger: Verb = (cli, [nameText = ""]) => changeFeed(cli, nameText, "PAUSE", "paused");

export const unpauseTrigger: Verb = (cli, [nameText = ""]) => changeFeed(cli, nameText, "UNPAUSE", "unpaused");

async function changeFeed(cli: Cli, nameText: string, event: LifecycleEvent, what: string): Promise<void> {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const trigger = await orMeant(cli, namespace, name, cli.call(Service.getTrigger, { namespace, name }));
  const feed = feedOf(trigger);
  if (feed === undefined) {
    throw new WeftError("failedPrecondition", "NO_FEED", `${name} has no feed that could be ${what}`, {
      fix: "weft rule disable RULE    stops what it starts",
    });
  }
  await tellFeed(cli, feed, event, { namespace, name });
  done(cli, what, trigger, { feed });
}

function orMeant<T>(cli: Cli, namespace: string, name: string, call: Promise<T>): Promise<T> {
  return cli.meant(name, call, () => somePage(pageOf(cli, namespace), (t) => t.name), "weft trigger list");
}

function pageOf(cli: Cli, namespace: string): (request: PageRequest) => Promise<Page<Trigger>> {
  return async (request) => {
    const { triggers, nextPageToken } = await cli.call(Service.listTriggers, {
      namespace,
      ...request,
      withTotal: false,
    });
    return { entries: triggers, next: nextPageToken };
  };
}

/** What the command line gives; with a feed its parameters are the feed's, and the trigger has options of its own. */
async function read(cli: Cli, values: Values, hasFeed: boolean) {
  const params = await collect(values.pairs("param"), values.text("param-file"), cli.io);
  const own = await collect(values.pairs("trigger-param"), undefined, cli.io);
  return {
    parameters: keyValues(hasFeed ? own : new Map([...params, ...own])),
    annotations: keyValues(await collect(values.pairs("annotation"), undefined, cli.io)),
    forFeed: hasFeed ? params : new Map<string, string>(),
  };
}

interface FeedState {
  readonly json: unknown;
  readonly fields: readonly (readonly [title: string, text: string])[];
}

/** What the feed of a trigger says of itself; undefined without one. */
async function feedState(cli: Cli, trigger: Trigger, of: EntityName): Promise<FeedState | undefined> {
  const name = feedOf(trigger);
  if (name === undefined) return undefined;
  try {
    const answer = await tellFeed(cli, name, "READ", of);
    const url = urlIn(cli, entriesOf(answer.get("config") ?? "{}", `the configuration of ${name}`));
    const lines = [...answer].map(([key, value]) => [key, linesOf(value)] as const);
    return {
      json: { name, url, answer: new RawJson(objectOf(answer)) },
      fields: [["feed", name], ...(url === undefined ? [] : [["url", url] as const]), ...lines],
    };
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.kind === "canceled") throw thrown;
    const error = thrown.message;
    return { json: { name, error }, fields: [["feed", `${name} (${error})`]] };
  }
}

/** "key = value" lines of an object, or the value itself. */
function linesOf(valueJson: string): string {
  if (!valueJson.startsWith("{")) return valueJson;
  return [...entriesOf(valueJson, "the answer of the feed")].map(([key, value]) => `${key} = ${value}`).join("\n");
}

function done(
  cli: Cli,
  what: string,
  trigger: Trigger,
  more: { readonly feed?: string | undefined; readonly url?: string | undefined } = {},
): void {
  const { feed, url } = more;
  if (cli.screen.json) cli.screen.printJson({ ...triggerJson(trigger), feed: feed && { name: feed, url } });
  else cli.screen.say(`${what} trigger ${trigger.name}, version ${trigger.version}${feed ? `, fed by ${feed}` : ""}`);
}

function triggerJson(trigger: Trigger): object {
  return {
    namespace: trigger.namespace,
    name: trigger.name,
    version: trigger.version,
    parameters: keyValuesJson(trigger.parameters),
    annotations: keyValuesJson(trigger.annotations),
    rules: trigger.rules.map(({ rule, action, active }) => ({ rule, action, active })),
    updateTime: iso(trigger.updateTime),
    etag: trigger.etag,
  };
}
