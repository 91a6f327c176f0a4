import { describe, expect, it } from "vitest";

import { nextVersion, parseVersion } from "./version.js";

describe("a version", () => {
  it.each([
    ["1.2.3", "1.2.3"],
    ["1", "1.0.0"],
    ["0.1", "0.1.0"],
    ["01.002.3", "1.2.3"],
    ["999999999.0.0", "999999999.0.0"],
  ])("%s is %s", (text, version) => {
    expect(parseVersion("version", text)).toBe(version);
  });

  it.each(["", "0.0.0", "1.2.3.4", "v1", "1.-2", "1..2", "9999999999", " 1", "1.2.3-beta"])('"%s" is none', (text) => {
    expect(() => parseVersion("version", text)).toThrow(expect.objectContaining({ kind: "invalidArgument" }));
  });

  it("is followed by the next patch", () => {
    expect(nextVersion("1.2.9")).toBe("1.2.10");
    expect(nextVersion("999999999.0.999999999")).toBe("999999999.0.1000000000");
  });
});
