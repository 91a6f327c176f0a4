import { describe, expect, it } from "vitest";
import { leaseToken, leaseTokenProves, type TokenFields } from "./token.js";

const fields: TokenFields = {
  invokerBootId: "aa",
  dispatcherBootId: "bb",
  sandbox: 1,
  slot: 2,
  epoch: 3,
  sequence: 4,
};

describe("a lease token", () => {
  it("proves the grant it was made for", () => {
    expect(leaseTokenProves(leaseToken("key", fields), "key", fields)).toBe(true);
  });

  it.each([
    { ...fields, invokerBootId: "ab" },
    { ...fields, dispatcherBootId: "ba" },
    { ...fields, sandbox: 2 },
    { ...fields, slot: 1 },
    { ...fields, epoch: 4 },
    { ...fields, sequence: 5 },
  ])("does not prove another grant: %o", (other) => {
    expect(leaseTokenProves(leaseToken("key", fields), "key", other)).toBe(false);
  });

  it("is worth nothing under another cluster's key, cut short or empty", () => {
    const token = leaseToken("key", fields);
    expect(leaseTokenProves(token, "other", fields)).toBe(false);
    expect(leaseTokenProves(token.subarray(1), "key", fields)).toBe(false);
    expect(leaseTokenProves(new Uint8Array(), "key", fields)).toBe(false);
  });
});
