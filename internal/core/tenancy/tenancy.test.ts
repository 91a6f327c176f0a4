import { describe, expect, it } from "vitest";

import { seededRandom } from "../../base/random.js";
import { Violations } from "../../base/violations.js";
import { administeredNamespace, meantNamespace, ownNamespace, requireOperator, type Identity } from "./identity.js";
import { checkSubject, givenKey, isKeyUuid, newKey, secretHash, subjectOfNamespace } from "./key.js";
import { newNamespace } from "./namespace.js";
import { LOCAL_NAMESPACE_LIMITS } from "./store.js";

const owner = { namespace: "guest", subject: "guest", operator: false };
const identity = (more: Partial<Identity> = {}): Identity => ({
  namespace: "guest",
  subject: "guest",
  keyUuid: "",
  operator: false,
  transactionId: "",
  ...more,
});

describe("a new key", () => {
  it("is a UUID of version 4 and 64 letters and digits, kept as a hash", () => {
    const random = seededRandom(3);
    for (let i = 0; i < 50; i++) {
      const { key, auth } = newKey(owner, random, 7);
      const [uuid = "", secret = ""] = auth.split(":");
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(secret).toMatch(/^[A-Za-z0-9]{64}$/);
      expect(key).toEqual({ ...owner, uuid, secretHash: secretHash(secret), createdWallMs: 7 });
      expect(JSON.stringify(key)).not.toContain(secret);
    }
  });

  it("uses every character about equally often", () => {
    const random = seededRandom(1);
    const counts = new Map<string, number>();
    for (let i = 0; i < 500; i++) {
      for (const c of newKey(owner, random, 0).auth.split(":")[1] ?? "") counts.set(c, (counts.get(c) ?? 0) + 1);
    }
    const mean = (500 * 64) / 62;
    expect(counts.size).toBe(62);
    for (const count of counts.values()) expect(Math.abs(count - mean)).toBeLessThan(mean * 0.25);
  });
});

describe("a key that an operator chose", () => {
  const auth = `23bc46b1-71f6-4ed5-8c54-816aa4f8c502:${"aB3".repeat(21)}x`;

  it("is taken as it is", () => {
    expect(givenKey("bootstrapKey", auth, { ...owner, operator: true }, 7)).toMatchObject({
      auth,
      key: { uuid: "23bc46b1-71f6-4ed5-8c54-816aa4f8c502", operator: true },
    });
  });

  it.each([
    "",
    ":",
    "uuid:key",
    auth.slice(1),
    auth.slice(0, -1),
    `${auth}x`,
    auth.replace("aB3", "a-3"),
    auth.replace(":", ""),
  ])("is refused as %s", (text) => {
    expect(() => givenKey("bootstrapKey", text, owner, 7)).toThrow("bootstrapKey: must be");
  });

  it("is known by its UUID", () => {
    expect(isKeyUuid("23bc46b1-71f6-4ed5-8c54-816aa4f8c502")).toBe(true);
    expect(isKeyUuid("23bc46b1-71f6-4ed5-8c54-816aa4f8c502'")).toBe(false);
  });
});

describe("a new namespace", () => {
  it("has the installation's limits where none are given, and a subject after its name", () => {
    const made = newNamespace({ name: "ada", limits: { firesPerMinute: 0 }, subject: "" }, LOCAL_NAMESPACE_LIMITS, 7);
    expect(made).toEqual({
      namespace: { name: "ada", limits: { ...LOCAL_NAMESPACE_LIMITS, firesPerMinute: 0 }, createdWallMs: 7 },
      subject: "ada__",
    });
    expect(subjectOfNamespace("guest")).toBe("guest");
  });

  it.each<[string, { readonly name: string; readonly subject: string }, readonly string[]]>([
    ["without a name", { name: "", subject: "" }, ["namespace"]],
    ["with the name that means one's own", { name: "_", subject: "" }, ["namespace"]],
    ["with a slash in its name", { name: "a/b", subject: "" }, ["namespace"]],
    ["with everything wrong", { name: "+", subject: "abc" }, ["namespace", "subject"]],
  ])("%s is refused", (_name, input, fields) => {
    expect(() => newNamespace({ ...input, limits: {} }, LOCAL_NAMESPACE_LIMITS, 7)).toThrow(
      expect.objectContaining({ fields: fields.map((field) => expect.objectContaining({ field }) as unknown) }),
    );
  });

  it.each([
    ["four", 1],
    ["fiver", 0],
    ["x".repeat(257), 1],
    [" space", 1],
    ["spaces in it", 0],
    ["töpfer", 1],
    ["line\nbreak", 1],
  ])("with the subject %j has %i violations", (subject, count) => {
    const violations = new Violations();
    checkSubject("subject", subject, violations);
    expect(violations.found).toHaveLength(count);
  });
});

describe("whose things a caller may touch", () => {
  it("are its own, named or not", () => {
    expect(ownNamespace(identity(), "namespace", "_")).toBe("guest");
    expect(ownNamespace(identity(), "namespace", "guest")).toBe("guest");
  });

  it("are not somebody else's, who might as well not be there; not for the operator either", () => {
    expect(() => ownNamespace(identity({ operator: true }), "namespace", "other")).toThrow(
      expect.objectContaining({ kind: "notFound" }),
    );
  });

  it("are any for the operator when it administers", () => {
    expect(administeredNamespace(identity({ operator: true }), "namespace", "other")).toBe("other");
    expect(administeredNamespace(identity(), "namespace", "_")).toBe("guest");
    expect(() => administeredNamespace(identity(), "namespace", "other")).toThrow(
      expect.objectContaining({ kind: "notFound" }),
    );
    expect(() => requireOperator(identity())).toThrow(expect.objectContaining({ kind: "permissionDenied" }));
    expect(() => requireOperator(identity({ operator: true }))).not.toThrow();
  });

  it.each(["", "a/b", " a", "a "])("are none under the name %j", (name) => {
    expect(() => meantNamespace(identity(), "namespace", name)).toThrow(
      expect.objectContaining({ kind: "invalidArgument", fields: [expect.objectContaining({ field: "namespace" })] }),
    );
  });
});
