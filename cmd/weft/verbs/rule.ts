// Rules: create, change, show, list, enable, disable, remove.

import { Rule, RuleServiceService as Service } from "../../../internal/gen/weft/rule/v1/rule.pb.js";
import type { Cli } from "../cli-context.js";
import { parseName, showName } from "../names.js";
import { iso, time } from "../output.js";
import { collect, keyValues } from "../params.js";
import { keyValuesJson, keyValuesText } from "../show.js";
import type { Values, Verb } from "../spec.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

export const createRule: Verb = async (cli, args, values) => {
  const rule = await given(cli, args, values);
  done(cli, "created", await cli.call(Service.createRule, { rule }));
};

export const updateRule: Verb = async (cli, args, values) => {
  const rule = await given(cli, args, values);
  const updating = cli.call(Service.updateRule, { rule, updateFields: [], allowMissing: false });
  done(cli, "updated", await orMeant(cli, rule.namespace, rule.name, updating));
};

export const getRule: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  const rule = await orMeant(cli, namespace, name, cli.call(Service.getRule, { namespace, name }));
  if (cli.screen.json) cli.screen.printJson(ruleJson(rule));
  else {
    cli.screen.fields([
      ["rule", showName(rule.namespace, rule.name)],
      ["version", rule.version],
      ["state", stateOf(rule)],
      ["trigger", rule.trigger],
      ["action", rule.action],
      ["annotations", keyValuesText(rule.annotations)],
      ["updated", time(rule.updateTime)],
    ]);
  }
};

export const listRules: Verb = async (cli, _args, values) => {
  const rules = await listed(cli, values, pageOf(cli, cli.namespace));
  if (cli.screen.json) cli.screen.printJson(rules.map(ruleJson));
  else {
    cli.screen.table(rules, [
      { title: "RULE", value: (r) => showName(r.namespace, r.name) },
      { title: "STATE", value: stateOf },
      { title: "TRIGGER", value: (r) => r.trigger },
      { title: "ACTION", value: (r) => r.action },
      { title: "UPDATED", value: (r) => time(r.updateTime) },
    ]);
  }
};

export const enableRule: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  done(cli, "enabled", await orMeant(cli, namespace, name, cli.call(Service.enableRule, { namespace, name })));
};

export const disableRule: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  done(cli, "disabled", await orMeant(cli, namespace, name, cli.call(Service.disableRule, { namespace, name })));
};

export const deleteRule: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 1);
  await orMeant(cli, namespace, name, cli.call(Service.deleteRule, { namespace, name, etag: "" }));
  if (cli.screen.json) cli.screen.printJson({ deleted: name });
  else cli.screen.say(`deleted rule ${name}`);
};

function orMeant<T>(cli: Cli, namespace: string, name: string, call: Promise<T>): Promise<T> {
  return cli.meant(name, call, () => somePage(pageOf(cli, namespace), (r) => r.name), "weft rule list");
}

function pageOf(cli: Cli, namespace: string): (request: PageRequest) => Promise<Page<Rule>> {
  return async (request) => {
    const { rules, nextPageToken } = await cli.call(Service.listRules, { namespace, ...request, withTotal: false });
    return { entries: rules, next: nextPageToken };
  };
}

async function given(
  cli: Cli,
  [nameText = "", trigger = "", action = ""]: readonly string[],
  values: Values,
): Promise<Rule> {
  return Rule.fromPartial({
    ...parseName(nameText, cli.namespace, 1),
    trigger,
    action,
    annotations: keyValues(await collect(values.pairs("annotation"), undefined, cli.io)),
  });
}

function stateOf(rule: Rule): string {
  return rule.active ? "active" : "inactive";
}

function done(cli: Cli, what: string, rule: Rule): void {
  if (cli.screen.json) cli.screen.printJson(ruleJson(rule));
  else cli.screen.say(`${what} rule ${rule.name}: ${rule.trigger} runs ${rule.action} (${stateOf(rule)})`);
}

function ruleJson(rule: Rule): unknown {
  return {
    namespace: rule.namespace,
    name: rule.name,
    version: rule.version,
    trigger: rule.trigger,
    action: rule.action,
    active: rule.active,
    annotations: keyValuesJson(rule.annotations),
    updateTime: iso(rule.updateTime),
    etag: rule.etag,
  };
}
