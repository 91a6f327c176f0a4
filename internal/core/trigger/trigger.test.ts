import { describe, expect, it } from "vitest";

import type { KeyValue, Trigger } from "../action/types.js";
import { changedTrigger, newTrigger, type TriggerChange } from "./trigger.js";

const kv = (key: string, value: unknown, init = false): KeyValue => ({ key, valueJson: JSON.stringify(value), init });

const input = (more: Partial<TriggerChange> = {}): TriggerChange => ({
  namespace: "guest",
  name: "t",
  version: "",
  publish: false,
  annotations: [],
  parameters: [],
  updateFields: [],
  ...more,
});

describe("a new trigger", () => {
  it.each(["/whisk.system/alarms/alarm", "feed", "utils/feed", "/_/feed"])("takes the feed %s", (feed) => {
    expect(newTrigger(input({ annotations: [kv("feed", feed)] })).annotations).toEqual([kv("feed", feed)]);
  });

  it.each([7, "", "/", "a+b", "/a/b/c/d"])("refuses the feed %s", (feed) => {
    expect(() => newTrigger(input({ annotations: [kv("note", 1), kv("feed", feed)] }))).toThrow(
      expect.objectContaining({ fields: [expect.objectContaining({ field: "annotations[1].value_json" })] }),
    );
  });

  it("refuses a name of two parts", () => {
    expect(() => newTrigger(input({ name: "a/b" }))).toThrow("name: contains illegal characters");
  });
});

describe("an update of a trigger", () => {
  const old: Trigger = { ...newTrigger(input({ parameters: [kv("a", 1)] })), updatedWallMs: 1, revision: 1 };

  it("replaces what is given and raises the patch", () => {
    expect(changedTrigger(old, input({ annotations: [kv("feed", 7)] }))).toMatchObject({
      version: "0.0.2",
      parameters: [kv("a", 1)],
      annotations: [kv("feed", 7)], // asked on creation only
    });
  });

  it("refuses fields that are none", () => {
    expect(() => changedTrigger(old, input({ updateFields: ["rules"] }))).toThrow("update_fields[0]");
  });
});
