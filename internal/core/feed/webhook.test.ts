import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";

import { checkSignature, describeWebhook, webhookSecretOf } from "./webhook.js";

const body = Buffer.from("Hello, World!");
// GitHub's own example.
const SECRET = "It's a Secret to Everybody";
const SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

describe("a signature", () => {
  it("of the body, as GitHub makes it, is accepted", () => {
    expect(() => checkSignature(SECRET, body, SIGNATURE)).not.toThrow();
  });

  it.each<[string, string | undefined]>([
    ["that is missing", undefined],
    ["that is empty", ""],
    ["of another body", `sha256=${createHmac("sha256", SECRET).update("x").digest("hex")}`],
    ["with another secret", `sha256=${createHmac("sha256", "x").update(body).digest("hex")}`],
    ["by another hash", `sha1=${createHmac("sha1", SECRET).update(body).digest("hex")}`],
    ["in upper case", SIGNATURE.toUpperCase()],
    ["that goes on", `${SIGNATURE}00`],
    ["in other letters", "é".repeat(71)],
  ])("%s is refused", (_what, signature) => {
    expect(() => checkSignature(SECRET, body, signature)).toThrow(
      expect.objectContaining({ kind: "permissionDenied", reason: "BAD_SIGNATURE" }),
    );
  });
});

describe("a webhook", () => {
  it.each<[Record<string, string>, string | undefined]>([
    [{}, undefined],
    [{ secret: '""' }, undefined],
    [{ secret: "null" }, undefined],
    [{ secret: '"s"' }, "s"],
  ])("with %j has the secret %s", (params, secret) => {
    expect(webhookSecretOf(new Map(Object.entries(params)))).toBe(secret);
  });

  it.each(["7", "{}", JSON.stringify("x".repeat(1_025))])("refuses the secret %.20s", (secret) => {
    expect(() => webhookSecretOf(new Map([["secret", secret]]))).toThrow(
      expect.objectContaining({ kind: "invalidArgument", fields: [expect.objectContaining({ field: "secret" })] }),
    );
  });

  it("tells its path, and of the secret only that there is one", () => {
    const told = describeWebhook(
      {
        namespace: "guest",
        trigger: "t",
        id: "i",
        key: { uuid: "u", subject: "s" },
        secret: Uint8Array.from([2]),
        status: { active: true, changedWallMs: 0 },
        revision: 1,
      },
      "token",
    );
    expect(JSON.parse(told)).toEqual({
      config: { name: "t", namespace: "guest", path: "/api/v1/hooks/token", signed: true },
      status: { active: true, dateChanged: 0, dateChangedISO: "1970-01-01T00:00:00.000Z" },
    });
  });
});
