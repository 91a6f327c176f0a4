import { describe, expect, it } from "vitest";

import { seededRandom } from "../../base/random.js";
import { idOfSigned, seal, sealingKey, signedId, unseal } from "./seal.js";

const key = sealingKey("cluster", "keys");
const random = seededRandom(1);

describe("a sealed text", () => {
  it.each(["", "uuid:key", "é 😀 ".repeat(1_000)])("opens to what it was (%#)", (text) => {
    const sealed = seal(key, "guest/t", text, random);
    expect(Buffer.from(sealed).includes("uuid:key")).toBe(false);
    expect(unseal(key, "guest/t", sealed)).toBe(text);
  });

  it("is another one each time", () => {
    expect(seal(key, "p", "x", random)).not.toEqual(seal(key, "p", "x", random));
  });

  it("opens nowhere else, with no other key, and not when it was changed", () => {
    const sealed = seal(key, "guest/t", "uuid:key", random);
    expect(unseal(key, "guest/u", sealed)).toBeUndefined();
    expect(unseal(sealingKey("other", "keys"), "guest/t", sealed)).toBeUndefined();
    expect(unseal(sealingKey("cluster", "webhooks"), "guest/t", sealed)).toBeUndefined();
    for (let i = 0; i < sealed.length; i++) {
      const changed = Uint8Array.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(unseal(key, "guest/t", changed)).toBeUndefined();
    }
    for (const short of [new Uint8Array(), sealed.subarray(0, 27)])
      expect(unseal(key, "guest/t", short)).toBeUndefined();
  });
});

describe("a signed id", () => {
  const id = "0123456789abcdef0123456789abcdef";

  it("is read again, and made by nobody else", () => {
    const signed = signedId(key, id);
    expect(signed).toMatch(/^[0-9a-f]{64}$/);
    expect(idOfSigned(key, signed)).toBe(id);
    expect(idOfSigned(sealingKey("other", "keys"), signed)).toBeUndefined();
  });

  it.each([
    "",
    id,
    id + id,
    signedId(key, id).slice(0, -1),
    `${signedId(key, id)}0`,
    signedId(key, id).toUpperCase(),
    "é".repeat(64),
    "../".repeat(21) + ".",
  ])("is not %s", (text) => {
    expect(idOfSigned(key, text)).toBeUndefined();
  });
});
