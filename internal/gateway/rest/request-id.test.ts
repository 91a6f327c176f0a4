import { describe, expect, it } from "vitest";
import { seededRandom } from "../../base/random.js";
import { requestId } from "./request-id.js";

describe("the id of a request", () => {
  it.each(["abc", "0", "with space", "x".repeat(1_000)])("is what the client asked for: %s", (asked) => {
    expect(requestId(asked, seededRandom(1))).toBe(asked);
  });

  it.each([undefined, "", "sid_", "sid_mine", "line\nbreak", "é", "\u0000"])(
    "is made up instead of %j: 32 letters and digits, another each time",
    (asked) => {
      const random = seededRandom(1);
      const [one, two] = [requestId(asked, random), requestId(asked, random)];
      expect(one).toMatch(/^[A-Za-z0-9]{32}$/);
      expect(two).not.toBe(one);
    },
  );
});
