import { describe, expect, it } from "vitest";
import { mayBeAt, parseBuildEnv, parseRegistries, PUBLIC_REGISTRIES, registryAt } from "./registries.js";

describe("the registries that builds reach", () => {
  it("are the public ones and those that an operator names, of which his count", () => {
    const all = parseRegistries([
      "npm.example",
      "public",
      "gems.test:8080=127.0.0.1:9292",
      "registry.npmjs.org:443=[::1]:1",
    ]);
    expect(all.size).toBe(PUBLIC_REGISTRIES.length + 2);
    expect(registryAt(all, "NPM.example.", 443)).toEqual({
      host: "npm.example",
      port: 443,
      at: undefined,
      named: true,
    });
    expect(registryAt(all, "pypi.org:443", 443)).toMatchObject({ named: false });
    expect(registryAt(all, "gems.test:8080", 80)?.at).toEqual({ host: "127.0.0.1", port: 9292 });
    expect(registryAt(all, "registry.npmjs.org:443", 443)?.at).toEqual({ host: "::1", port: 1 });
    expect([parseRegistries([]).size, parseRegistries(["none"]).size]).toEqual([0, 0]);
  });

  it.each([
    "pypi.org:80",
    "pypi.org.evil.example",
    "evil.example#pypi.org",
    "user@pypi.org",
    "pypi.org@evil.example",
    "xpypi.org",
    "",
    ":443",
    "pypi.org:0",
    "pypi.org:65536",
    "pypi.org:443:443",
    "203.0.113.80:443",
    "[::ffff:7f00:1]:443",
    "[::1",
    "pypi.org/",
    "pypi.org\n",
    "pypi.org..",
  ])("are not %j", (authority) => {
    expect(registryAt(parseRegistries(["public"]), authority, 443)).toBeUndefined();
  });

  it.each(["a b", "host:", "host:x", "host=there", "host:1=a:2=b:3", "https://host", "*.host", "ho..st", "-a.b"])(
    "are refused with %j in the list",
    (entry) => {
      expect(() => parseRegistries([entry])).toThrow(`"${entry}"`);
    },
  );

  it.each<[string, boolean, boolean]>([
    ["203.0.113.80", true, true],
    ["2606:4700::1", true, true],
    ["127.0.0.1", false, true],
    ["10.1.2.3", false, true],
    ["172.31.255.255", false, true],
    ["172.32.0.1", true, true],
    ["192.168.0.1", false, true],
    ["100.64.0.1", false, true],
    ["::1", false, true],
    ["fd00::1", false, true],
    ["::ffff:127.0.0.1", false, true],
    ["169.254.169.254", false, false],
    ["::ffff:169.254.169.254", false, false],
    ["fe80::1", false, false],
    ["0.0.0.0", false, false],
    ["::", false, false],
    ["224.0.0.1", false, false],
    ["255.255.255.255", false, false],
    ["pypi.org", false, false],
  ])("may be at %s: the public ones %s, an operator's %s", (address, ofPublic, ofNamed) => {
    expect([mayBeAt({ named: false }, address), mayBeAt({ named: true }, address)]).toEqual([ofPublic, ofNamed]);
  });
});

describe("the variables of builds", () => {
  it("are an object of texts", () => {
    expect(parseBuildEnv(undefined)).toEqual({});
    expect(parseBuildEnv('{"GOPROXY": "https://u:p@go.example"}')).toEqual({ GOPROXY: "https://u:p@go.example" });
  });

  it.each(["{", "[]", "null", '{"A B": "secret"}', '{"WEFT_SOCKET": "secret"}', '{"A": 1}', '{"A": "secret\\u0000"}'])(
    "are refused as %s, without a value in the text",
    (json) => {
      expect(() => parseBuildEnv(json)).toThrow("buildEnv");
      expect(() => parseBuildEnv(json)).not.toThrow("secret");
    },
  );
});
