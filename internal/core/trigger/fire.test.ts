import { describe, expect, it } from "vitest";

import { WeftError } from "../../base/errors.js";
import type { ActivationId } from "../../base/ids.js";
import type { KeyValue, RuleLink, Trigger } from "../action/types.js";
import { decideFire, firedParams, type Firing, type RuleTarget } from "./fire.js";

const kv = (key: string, value: unknown, init = false): KeyValue => ({ key, valueJson: JSON.stringify(value), init });

const trigger: Trigger = {
  namespace: "guest",
  name: "t",
  version: "0.0.3",
  publish: false,
  annotations: [],
  parameters: [kv("a", 1), kv("b", 1), kv("secret", "x", true)],
  updatedWallMs: 1,
  revision: 1,
};

const firing = (more: Partial<Firing> = {}): Firing => ({
  id: "f".repeat(32) as ActivationId,
  payload: Buffer.from('{"b":2.50}'),
  headersJson: new Uint8Array(),
  callerNamespace: "guest",
  subject: "guest",
  transactionId: "tid",
  keyUuid: "uuid",
  traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
  wallMs: 1_000,
  ...more,
});

const link = (rule: string, action: string, active = true): RuleLink => ({ rule: `guest/${rule}`, action, active });

const found = (more: Partial<Extract<RuleTarget, { kind: "found" }>> = {}): RuleTarget => ({
  kind: "found",
  id: "1".repeat(32) as ActivationId,
  providesKey: false,
  check: () => {},
  ...more,
});

const refused = (kind: WeftError["kind"]): RuleTarget => ({
  kind: "refused",
  error: new WeftError(kind, "X", `it is ${kind}`),
});

const paramsOf = (more: Partial<Firing>): string => Buffer.from(firedParams(trigger, firing(more))).toString();

describe("arguments of a rule's action", () => {
  it.each<[string, Partial<Firing>, string]>([
    ["are the trigger's parameters and the payload, with every digit", {}, '{"a":1,"b":2.50}'],
    ["are the trigger's parameters without a payload", { payload: new Uint8Array() }, '{"a":1,"b":1}'],
    [
      "have the headers between the two",
      { headersJson: Buffer.from('{"x":"y"}') },
      '{"a":1,"__ow_headers":{"x":"y"},"b":2.50}',
    ],
    [
      "may have other headers in the payload",
      { headersJson: Buffer.from("{}"), payload: Buffer.from('{"__ow_headers":1}') },
      '{"a":1,"b":1,"__ow_headers":1}',
    ],
  ])("%s", (_name, more, params) => {
    expect(paramsOf(more)).toBe(params);
  });

  it("must be an object", () => {
    expect(() => paramsOf({ payload: Buffer.from("[1]") })).toThrow(
      expect.objectContaining({ kind: "invalidArgument" }),
    );
  });
});

describe("a firing", () => {
  it.each<[string, readonly RuleLink[]]>([
    ["without rules", []],
    ["with inactive rules only", [link("r", "guest/hello", false)]],
  ])("%s starts and stores nothing", (_name, links) => {
    expect(decideFire(trigger, links, () => found(), firing())).toBeUndefined();
  });

  it("starts the action of each active rule and logs every rule", () => {
    const links = [
      link("r1", "guest/hello"),
      link("r2", "guest/p/echo", false),
      link("r3", "guest/gone"),
      link("r4", "guest/x"),
    ];
    const targets: Record<string, RuleTarget> = {
      "guest/r1": found({ providesKey: true }),
      "guest/r3": refused("notFound"),
      "guest/r4": refused("unavailable"),
    };
    const decision = decideFire(trigger, links, (one) => targets[one.rule] as RuleTarget, firing());
    expect(decision?.record).toMatchObject({
      of: "trigger",
      namespace: "guest",
      name: "t",
      path: "guest/t",
      version: "0.0.3",
      startWallMs: 1_000,
      resultJson: '{"b":2.50}',
      traceId: "0123456789abcdef0123456789abcdef",
    });
    expect(decision?.record.logs.map((line) => JSON.parse(line) as unknown)).toEqual([
      { statusCode: 0, success: true, activationId: "1".repeat(32), rule: "guest/r1", action: "guest/hello" },
      {
        statusCode: 1,
        success: false,
        error: "Rule 'guest/r2' is inactive, action 'guest/p/echo' was not activated.",
        rule: "guest/r2",
        action: "guest/p/echo",
      },
      { statusCode: 1, success: false, error: "it is notFound", rule: "guest/r3", action: "guest/gone" },
      { statusCode: 3, success: false, error: "it is unavailable", rule: "guest/r4", action: "guest/x" },
    ]);
    expect(decision?.requests).toEqual([
      {
        id: "1".repeat(32),
        namespace: "guest",
        name: "hello",
        paramsJson: '{"a":1,"b":2.50}',
        callerNamespace: "guest",
        subject: "guest",
        transactionId: "tid",
        keyUuid: "uuid",
        traceparent: firing().traceparent,
        acceptedWallMs: 1_000,
      },
    ]);
  });

  it("hands the key only to actions that ask for it", () => {
    const decision = decideFire(trigger, [link("r", "other/p/echo")], () => found(), firing());
    expect(decision?.requests[0]).toMatchObject({ namespace: "other", name: "p/echo", keyUuid: "" });
  });

  it("logs a rule whose action's parameters are final as refused, and is recorded all the same", () => {
    const check = (): never => {
      throw new WeftError("failedPrecondition", "FINAL_PARAMETERS", "b may not be set");
    };
    const decision = decideFire(trigger, [link("r", "guest/hello")], () => found({ check }), firing());
    expect(decision?.requests).toEqual([]);
    expect(JSON.parse(decision?.record.logs[0] ?? "")).toMatchObject({ statusCode: 1, error: "b may not be set" });
  });

  it("without payload is recorded with an empty one", () => {
    const decision = decideFire(
      trigger,
      [link("r", "guest/hello")],
      () => found(),
      firing({ payload: new Uint8Array() }),
    );
    expect(decision?.record.resultJson).toBe("{}");
  });
});
