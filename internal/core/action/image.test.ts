import { describe, expect, it } from "vitest";

import { ImagePolicy, imageOfKind, mayChange, neededKind, sandboxKindOf } from "./image.js";

const any = new ImagePolicy(["*"]);
const DIGEST = `sha256:${"0a".repeat(32)}`;

describe("the name of an image", () => {
  it.each([
    "nginx",
    "me/image",
    "me/image:1.0_b-C",
    "registry.example.com/team/deep/image:latest",
    "localhost:5000/image",
    `me/image@${DIGEST}`,
    `registry.example.com:443/a__b/c-d--e:1@${DIGEST}`,
  ])("may be %s", (image) => {
    expect(any.problem(image)).toBeUndefined();
  });

  it.each([
    ["", /must name the image/],
    ["Me/Image", /is no name of an image/],
    ["me/", /is no name/],
    ["/me", /is no name/],
    ["me//image", /is no name/],
    ["me/image:", /is no name/],
    ["me/image:-tag", /is no name/],
    [`me/image:${"t".repeat(129)}`, /is no name/],
    ["me/image@sha256:12", /is no name/],
    ["me/image latest", /is no name/],
    ["me/image\n", /is no name/],
    ["https://registry/me/image", /is no name/],
    ["registry.example.com:port/image", /is no name/],
    ["../etc", /is no name/],
    [`${"a/".repeat(130)}b`, /names a repository longer than allowed/],
    ["a".repeat(600), /longer than allowed: 600 > 512/],
  ])("may not be %j", (image, complaint) => {
    expect(any.problem(image)).toMatch(complaint);
  });

  it.each<[allowed: readonly string[], image: string, may: boolean]>([
    [["*"], "me/image", true],
    [["none"], "me/image", false],
    [["none"], "none", false],
    [["me/"], "me/image", true],
    [["me/"], "docker.io/me/image:1", true],
    [["docker.io/me/"], "me/image", true],
    [["me/"], "mean/image", false],
    [["me/"], "registry.example.com/me/image", false],
    [["nginx"], "docker.io/library/nginx:1", true],
    [["library/"], "nginx", true],
    [["registry.example.com/team/", "me/"], "registry.example.com/team/image", true],
    [["registry.example.com/team/"], "registry.example.com/other/image", false],
  ])("where %j is allowed: %s (%s)", (allowed, image, may) => {
    const problem = new ImagePolicy(allowed).problem(image);
    if (may) expect(problem).toBeUndefined();
    else expect(problem).toContain("is not allowed here");
  });

  it.each([
    ["me/image", true],
    ["me/image:latest", true],
    ["localhost:5000/image", true],
    ["me/image:1", false],
    [`me/image@${DIGEST}`, false],
    [`me/image:latest@${DIGEST}`, false],
  ])("%s may mean another image tomorrow: %s", (image, may) => {
    expect(mayChange(image)).toBe(may);
  });
});

describe("what a sandbox is made as", () => {
  it.each([
    [{ kind: "nodejs:20" }, "nodejs:20", "nodejs:20", undefined],
    [{ kind: "blackbox", image: "me/image:1" }, "blackbox:me/image:1", "blackbox", "me/image:1"],
    [{ kind: "blackbox", image: "openwhisk/dockerskeleton" }, "native:1", "native:1", undefined],
    [{ kind: "blackbox", image: "docker.io/openwhisk/dockerskeleton:nightly" }, "native:1", "native:1", undefined],
    [{ kind: "blackbox", image: "me/dockerskeleton" }, "blackbox:me/dockerskeleton", "blackbox", "me/dockerskeleton"],
  ])("%j: %s", (exec, kind, needed, image) => {
    expect([sandboxKindOf(exec), neededKind(kind), imageOfKind(kind)]).toEqual([kind, needed, image]);
  });
});
