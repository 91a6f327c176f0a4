import { describe, expect, it } from "vitest";

import type { Rule } from "../action/types.js";
import { changedRule, newRule, splitKey, type RuleChange } from "./rule.js";

const input = (more: Partial<RuleChange> = {}): RuleChange => ({
  namespace: "guest",
  name: "r",
  version: "",
  publish: false,
  annotations: [],
  trigger: "t",
  action: "hello",
  updateFields: [],
  ...more,
});

describe("a new rule", () => {
  it.each<[string, string, string, string]>([
    ["t", "hello", "guest/t", "guest/hello"],
    ["/_/t", "/_/utils/echo", "guest/t", "guest/utils/echo"],
    ["/guest/t", "/other/utils/echo", "guest/t", "other/utils/echo"],
    ["t", "utils/echo", "guest/t", "guest/utils/echo"],
  ])("joins %s and %s", (trigger, action, fullTrigger, fullAction) => {
    expect(newRule(input({ trigger, action }))).toMatchObject({
      trigger: fullTrigger,
      action: fullAction,
      active: true,
      version: "0.0.1",
    });
  });

  it.each<[string, Partial<RuleChange>, readonly string[]]>([
    ["without trigger and action", { trigger: "", action: "" }, ["trigger", "action"]],
    ["with a trigger in a package", { trigger: "p/t" }, ["trigger"]],
    ["with somebody else's trigger", { trigger: "/other/t" }, ["trigger"]],
    ["with a namespace instead of an action", { action: "/guest" }, ["action"]],
    ["with an action of four parts", { action: "/a/b/c/d" }, ["action"]],
    ["with a bad name", { name: "a/b" }, ["name"]],
  ])("%s is refused", (_name, more, fields) => {
    expect(() => newRule(input(more))).toThrow(
      expect.objectContaining({ fields: fields.map((field) => expect.objectContaining({ field }) as unknown) }),
    );
  });
});

describe("an update of a rule", () => {
  const old: Rule = { ...newRule(input()), active: false, updatedWallMs: 1, revision: 1 };

  it("keeps its state, and what is not given", () => {
    const draft = changedRule(old, input({ trigger: "", action: "other" }));
    expect(draft).toMatchObject({ trigger: "guest/t", action: "guest/other", active: false, version: "0.0.2" });
  });

  it("may not take its trigger away", () => {
    expect(() => changedRule(old, input({ trigger: "", updateFields: ["trigger"] }))).toThrow("trigger: is required");
  });
});

it("splits a key at its first slash", () => {
  expect(splitKey("guest/utils/echo")).toEqual({ namespace: "guest", name: "utils/echo" });
});
