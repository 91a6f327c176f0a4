// Triggers: create, change, show, list, remove, fire.

import { InvokeServiceService } from "../../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { Trigger, TriggerServiceService as Service } from "../../../internal/gen/weft/trigger/v1/trigger.pb.js";
import type { Cli } from "../cli-context.js";
import { parseName, showName } from "../names.js";
import { iso, time } from "../output.js";
import { collect, keyValues, paramsJson } from "../params.js";
import { keyValuesJson, keyValuesText } from "../show.js";
import type { Values, Verb } from "../spec.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

export const createTrigger: Verb = async (cli, [nameText = ""], values) => {
  const trigger = Trigger.fromPartial({ ...parseName(nameText, cli.namespace, 1), ...(await given(cli, values)) });
  done(cli, "created", await cli.call(Service.createTrigger, { trigger }));
};

export const updateTrigger: Verb = async (cli, [nameText = ""], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const trigger = Trigger.fromPartial({ namespace, name, ...(await given(cli, values)) });
  const updating = cli.call(Service.updateTrigger, { trigger, updateFields: [], allowMissing: false });
  done(cli, "updated", await orMeant(cli, namespace, name, updating));
};

export const getTrigger: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const trigger = await orMeant(cli, namespace, name, cli.call(Service.getTrigger, { namespace, name }));
  if (cli.screen.json) cli.screen.printJson(triggerJson(trigger));
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

async function given(cli: Cli, values: Values) {
  return {
    parameters: keyValues(await collect(values.pairs("param"), values.text("param-file"), cli.io)),
    annotations: keyValues(await collect(values.pairs("annotation"), undefined, cli.io)),
  };
}

function done(cli: Cli, what: string, trigger: Trigger): void {
  if (cli.screen.json) cli.screen.printJson(triggerJson(trigger));
  else cli.screen.say(`${what} trigger ${trigger.name}, version ${trigger.version}`);
}

function triggerJson(trigger: Trigger): unknown {
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
