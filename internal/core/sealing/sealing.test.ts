import { describe, expect, it } from "vitest";

import { seededRandom } from "../../base/random.js";
import type { KeyValue } from "../action/types.js";
import { keyIdOf, open, seal } from "./envelope.js";
import { KeyRing, parseKeyRing, RING_KEYS_MAX, sealingKey } from "./key-ring.js";
import { givenParameters, openedParameters, sealedParameters, shownSealed } from "./parameters.js";

const secretOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const k1 = sealingKey("k1", secretOf(1));
const k2 = sealingKey("k2", secretOf(2));
const ring = new KeyRing(k1, []);
const place = { namespace: "guest", key: "password" };
const failure = (work: () => unknown): unknown => {
  try {
    return { returned: work() };
  } catch (thrown) {
    return thrown;
  }
};

describe("an envelope", () => {
  it.each([
    ["nothing", ""],
    ["a string", '"secret"'],
    ["letters of all sizes", '"\u00e4\u20ac\ud83d\ude00"'],
    ["digits that no double has", "1.10000000000000000000000000001"],
    ["much", JSON.stringify("x".repeat(1_000_000))],
  ])("gives back %s", (_what, text) => {
    expect(open(ring, place, seal(k1, place, text))).toBe(text);
  });

  it("says which key made it, and shows nothing of what is in it", () => {
    const envelope = seal(k1, place, '"a secret that is long enough to be seen"');
    expect(keyIdOf(envelope)).toBe("k1");
    expect(envelope.includes(Buffer.from("secret"))).toBe(false);
  });

  it("is the same for the same value in the same place, and another for everything else", () => {
    const one = seal(k1, place, '"v"').toString("hex");
    expect(seal(k1, place, '"v"').toString("hex")).toBe(one);
    const others = [
      seal(k1, place, '"w"'),
      seal(k1, { ...place, key: "other" }, '"v"'),
      seal(k1, { ...place, namespace: "other" }, '"v"'),
      seal(k2, place, '"v"'),
    ].map((envelope) => envelope.subarray(4).toString("hex"));
    expect(new Set([one.slice(8), ...others]).size).toBe(5);
  });

  it.each([
    ["another namespace", { namespace: "guesu", key: "password" }],
    ["another parameter", { namespace: "guest", key: "passwore" }],
    ["a place whose names run together alike", { namespace: "guest:", key: "assword" }],
  ])("does not open in %s", (_what, elsewhere) => {
    expect(failure(() => open(ring, elsewhere, seal(k1, place, '"v"')))).toMatchObject({
      kind: "internal",
      reason: "PARAMETER_SEAL_BROKEN",
    });
  });

  it("names the key that is missing", () => {
    expect(failure(() => open(new KeyRing(k2, []), place, seal(k1, place, '"v"')))).toMatchObject({
      reason: "PARAMETER_KEY_MISSING",
      message: expect.stringContaining("k1") as unknown,
    });
  });

  it("does not open with another secret under the same id", () => {
    const impostor = new KeyRing(sealingKey("k1", secretOf(9)), []);
    expect(failure(() => open(impostor, place, seal(k1, place, '"v"')))).toMatchObject({
      reason: "PARAMETER_SEAL_BROKEN",
    });
  });

  it("does not open when any bit of it was changed, a piece is missing, or something follows", () => {
    const random = seededRandom(7);
    for (let round = 0; round < 40; round++) {
      const text = JSON.stringify(Buffer.from(random.bytes(Math.floor(random.next() * 60))).toString("hex"));
      const envelope = seal(k1, place, text);
      expect(open(ring, place, envelope)).toBe(text);
      const broken: Uint8Array[] = [Buffer.concat([envelope, Buffer.of(0)])];
      for (let bit = 0; bit < envelope.length * 8; bit++) {
        const changed = Buffer.from(envelope);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        broken.push(changed);
      }
      for (let length = 0; length < envelope.length; length++) broken.push(envelope.subarray(0, length));
      for (const one of broken) {
        expect(failure(() => open(ring, place, one))).toMatchObject({
          kind: "internal",
          reason: expect.stringMatching(/^PARAMETER_/) as unknown,
        });
      }
    }
  });

  it("never lets anything out of bytes that are none", () => {
    const random = seededRandom(11);
    for (let round = 0; round < 2_000; round++) {
      const bytes = Uint8Array.from(random.bytes(Math.floor(random.next() * 80)));
      if (round % 2) bytes.set([1, 2, 0x6b, 0x31].slice(0, bytes.length)); // begins like one of k1
      expect(failure(() => open(ring, place, bytes))).toMatchObject({ kind: "internal" });
    }
  });
});

describe("a key ring", () => {
  const base64 = Buffer.from(secretOf(1)).toString("base64");
  const hex = Buffer.from(secretOf(2)).toString("hex");

  it("seals with its first key and opens with all", () => {
    const parsed = parseKeyRing("parameterKeys", ` new:${hex} , old:${base64}`);
    expect(parsed.current?.id).toBe("new");
    expect(parsed.ids).toEqual(["new", "old"]);
    const old = new KeyRing(sealingKey("old", secretOf(1)), []);
    expect(open(parsed, place, seal(old.current ?? k1, place, "1"))).toBe("1");
  });

  it("may leave things plain and still open what was sealed", () => {
    expect(parseKeyRing("parameterKeys", "none").ids).toEqual([]);
    const parsed = parseKeyRing("parameterKeys", `none,old:${base64}`);
    expect(parsed.current).toBeUndefined();
    expect(parsed.ids).toEqual(["old"]);
  });

  it.each([
    ["nothing", "", "key 1 must be ID:SECRET"],
    ["no id", `:${base64}`, "key 1 must be ID:SECRET"],
    ["an id with a space", `a b:${base64}`, "key 1 must be ID:SECRET"],
    ["an id that means something else", `none:${base64}`, "key 1 must be ID:SECRET"],
    ["an id that is too long", `${"i".repeat(33)}:${base64}`, "key 1 must be ID:SECRET"],
    ["a secret that is too short", `a:${base64.slice(4)}`, "the secret of key a must be 32 bytes"],
    ["a secret that is too long", `a:AAAA${base64}`, "the secret of key a must be 32 bytes"],
    ["a password", "a:correct horse battery staple", "the secret of key a must be 32 bytes"],
    ["one id twice", `a:${base64},a:${hex}`, "key a is there twice"],
    ["none in a place where it means nothing", `a:${base64},none`, "key 2 must be ID:SECRET"],
    [
      "more keys than anybody has",
      Array.from({ length: RING_KEYS_MAX + 1 }, (_, i) => `k${i}:${hex}`).join(),
      "at most",
    ],
  ])("refuses %s by name and without a secret", (_what, text, message) => {
    expect(failure(() => parseKeyRing("parameterKeys", text))).toMatchObject({
      kind: "invalidArgument",
      message: expect.stringContaining(message) as unknown,
    });
    for (const secret of [base64, hex, "battery"]) {
      expect(String(failure(() => parseKeyRing("parameterKeys", text)))).not.toContain(secret);
    }
  });
});

describe("lists of parameters", () => {
  const list: readonly KeyValue[] = [
    { key: "a", valueJson: '"x"', init: false },
    { key: "env", valueJson: "1.10", init: true },
  ];

  it("are sealed value by value and opened as they were", () => {
    const sealed = sealedParameters(ring, "guest", list);
    expect(sealed.map(({ key, init, sealedBy }) => ({ key, init, sealedBy }))).toEqual([
      { key: "a", init: false, sealedBy: "k1" },
      { key: "env", init: true, sealedBy: "k1" },
    ]);
    expect(JSON.stringify(sealed)).not.toContain("1.10");
    expect(openedParameters(new KeyRing(k2, [k1]), "guest", sealed)).toEqual(list);
  });

  it("stay as they are without a key, and are opened where only some are sealed", () => {
    expect(sealedParameters(new KeyRing(undefined, [k1]), "guest", list)).toEqual(list);
    const [first] = sealedParameters(ring, "guest", list);
    expect(openedParameters(ring, "guest", [first, list[1]] as readonly KeyValue[])).toEqual(list);
  });

  it("are taken back as they were shown, also after the key was replaced", () => {
    const shown = shownSealed(ring, "guest", list);
    expect(shown.map(({ encryption }) => encryption)).toEqual(["aes-256", "aes-256"]);
    expect(givenParameters(new KeyRing(k2, [k1]), "parameters", "guest", shown)).toEqual(list);
  });

  it.each([
    ["from another namespace", "other", (v: KeyValue) => ({ ...v, encryption: "aes-256" })],
    ["under another name", "guest", (v: KeyValue) => ({ ...v, key: "b", encryption: "aes-256" })],
    ["of another cipher", "guest", (v: KeyValue) => ({ ...v, encryption: "aes-128" })],
    ["that is no text", "guest", (v: KeyValue) => ({ ...v, valueJson: "1", encryption: "aes-256" })],
    ["that is not encrypted", "guest", (v: KeyValue) => ({ ...v, valueJson: '"x y"', encryption: "aes-256" })],
    ["of bytes that are none", "guest", (v: KeyValue) => ({ ...v, valueJson: '"AAAA"', encryption: "aes-256" })],
  ])("refuse what is said to be encrypted %s", (_what, namespace, change) => {
    const shown = shownSealed(ring, "guest", list).map((entry, i) => (i === 0 ? change(entry) : entry));
    expect(failure(() => givenParameters(ring, "parameters", namespace, shown))).toMatchObject({
      kind: "invalidArgument",
      fields: [{ field: "parameters[0].encryption" }],
    });
  });
});
