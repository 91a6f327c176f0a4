// Manifests as OpenWhisk's deployment tool has them: what they ask for, and what is wrong with them and where.

import { describe, expect, it } from "vitest";

import { WeftError } from "../../../internal/base/errors.js";
import { projectHash, readManifest, type ManifestRequest, type Project } from "./manifest.js";
import { MANAGED } from "./state.js";

const read = (text: string, more: Partial<ManifestRequest> = {}): Project =>
  readManifest({
    manifest: { file: "manifest.yaml", text },
    namespace: "me",
    variables: () => undefined,
    params: new Map(),
    managed: "never",
    manifestIn: () => undefined,
    ...more,
  });
const inPackage = (text: string): string => `packages:\n  p:\n${text.replace(/^/gm, "    ")}`;
const values = (list: readonly { readonly key: string; readonly valueJson: string }[] = []): Record<string, string> =>
  Object.fromEntries(list.map(({ key, valueJson }) => [key, valueJson]));
const wrong = (text: string, more: Partial<ManifestRequest> = {}): WeftError => {
  try {
    read(text, more);
  } catch (thrown) {
    if (thrown instanceof WeftError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was wrong with it");
};

describe("actions", () => {
  const action = (text: string) => {
    const project = read(inPackage(`actions:\n  a:\n${text.replace(/^/gm, "    ")}`));
    return { ...project.state.actions.get("p/a"), source: project.sources.get("p/a") };
  };

  it.each([
    ["function: src/a.js", "nodejs:default"],
    ["function: src/a.py", "python:default"],
    ["function: src/a.js\nruntime: nodejs", "nodejs:default"],
    ["function: src/a.js\nruntime: nodejs@20", "nodejs:20"],
    ["function: src/a.js\nkind: nodejs:18", "nodejs:18"],
    ["function: src/a.js\nruntime: language:default", "nodejs:default"],
    ["location: src/a.zip\nruntime: python:3.11", "python:3.11"],
    ["function: src", ""],
    ["code: x\nruntime: nodejs:default", "nodejs:default"],
    ["docker: me/image", "blackbox"],
    ["native: true\nfunction: exec.zip", "blackbox"],
  ])("%j is of the kind %s", (text, kind) => {
    expect(action(text).kind).toBe(kind);
  });

  it("runs images of its own", () => {
    expect(action("docker: me/image").image).toBe("me/image");
    expect(action("native: true\nfunction: a.zip").image).toBe("openwhisk/dockerskeleton");
  });

  it.each([
    ["web: true", { "web-export": "true", "raw-http": "false", final: "true" }],
    ["web: yes", { "web-export": "true", "raw-http": "false", final: "true" }],
    ["web-export: raw", { "web-export": "true", "raw-http": "true", final: "true" }],
    ["web: true\nraw-http: true", { "web-export": "true", "raw-http": "true", final: "true" }],
    ["web: true\nfinal: false", { "web-export": "true", "raw-http": "false", final: "false" }],
    ["annotations: {web-export: true}", { "web-export": "true", "raw-http": "false", final: "true" }],
    ["annotations: {web-export: true}\nweb: no", {}],
    ["web: false", {}],
    ["conductor: true", { conductor: "true" }],
    ["feed: true", { feed: "true" }],
    ["description: Hi", { description: '"Hi"' }],
    [
      "annotations: {require-whisk-auth: 9007199254740991, a: {b: [1, 1.50]}}",
      { "require-whisk-auth": "9007199254740991", a: '{"b":[1,1.50]}' },
    ],
  ])("%j has these annotations", (text, annotations) => {
    expect(values(action(`function: a.js\n${text}`).annotations)).toEqual(annotations);
  });

  it("has limits with their defaults, in its own units", () => {
    expect(action("function: a.js\nlimits: {timeout: 5 s, memorySize: 0.5 GB, logSize: 2}").limits).toEqual({
      timeoutMs: 5_000,
      memoryMb: 512,
      logsMb: 2,
      concurrency: 1,
    });
  });

  it("takes a version to three numbers", () => {
    expect(action("function: a.js\nversion: 1.0").version).toBe("1.0.0");
    expect(action("function: a.js\nversion: latest").version).toBeUndefined();
  });

  it("names its files from the manifest's folder", () => {
    const text = "function: src\nruntime: nodejs\ninclude:\n  - [lib/*.js, lib/]\n  - [README]\nexclude:\n  - src/*.md";
    expect(action(text).source).toMatchObject({
      from: "path",
      path: "src",
      include: [
        ["lib/*.js", "lib/"],
        ["README", "README"],
      ],
      exclude: ["src/*.md"],
    });
  });
});

describe("inputs", () => {
  const inputs = (text: string, more: Partial<ManifestRequest> = {}): Record<string, string> => {
    const { state } = read(
      inPackage(
        `inputs: {text: own}\nactions:\n  a:\n    function: a.js\n    inputs:\n${text.replace(/^/gm, "      ")}`,
      ),
      {
        variables: (name) => ({ NAME: "Ada", N: "5", MAP: '{"a":1}', JSON_BAD: "{" })[name],
        ...more,
      },
    );
    return values(state.actions.get("p/a")?.parameters);
  };

  it.each([
    ["k: v", '"v"'],
    ["k: 5", "5"],
    ["k: 1.50", "1.50"],
    ["k: 12345678901234567890", "12345678901234567890"],
    ["k: 0x10", "16"],
    ["k: true", "true"],
    ["k: [1, a]", '[1,"a"]'],
    ["k: {a: {b: $NAME}}", '{"a":{"b":"Ada"}}'],
    ["k: string", '""'],
    ["k: integer", "0"],
    ["k: boolean", "false"],
    ["k: json", "{}"],
    ["k:", '""'],
    ["k: $NAME", '"Ada"'],
    ["k: Hi ${NAME}!", '"Hi Ada!"'],
    ["k: a $NAME", '"a $NAME"'],
    ["k: $${NAME}", '"${NAME}"'],
    ["k: ${text}", '"own"'],
    ["k: $NOBODY", '""'],
    ["k: {type: string, description: d, value: v}", '"v"'],
    ["k: {type: integer, default: 7}", "7"],
    ["k: {type: integer, value: $N}", "5"],
    ["k: {type: integer}", "0"],
    ["k: {type: json, value: '{\"a\": 1}'}", '{"a": 1}'],
    ["k: {type: json, value: $MAP}", '{"a":1}'],
    ["k: {type: json, value: {a: 1}}", '{"a":1}'],
    ["k: {value: $NOBODY, default: d}", '"d"'],
  ])("%s is %s", (text, value) => {
    expect(inputs(text)).toEqual({ k: value });
  });

  it("come from the command line, then the deployment file, then the manifest", () => {
    const deployment = {
      file: "deployment.yaml",
      text: "project:\n  packages:\n    p:\n      actions:\n        a:\n          inputs: {b: deployment, c: deployment, d: deployment}",
    };
    const params = new Map([["c", '"line"']]);
    expect(inputs("a: manifest\nb: manifest\nc: manifest", { deployment, params })).toEqual({
      a: '"manifest"',
      b: '"deployment"',
      c: '"line"',
      d: '"deployment"',
    });
  });

  it("of a project are those of its packages, and an environment's variable fills those without a value", () => {
    const { state } = read(
      "project:\n  name: x\n  inputs: {a: 1, FROM_ENV: string}\n  packages:\n    p:\n      inputs: {b: 2}",
      {
        variables: (name) => (name === "FROM_ENV" ? "env" : undefined),
      },
    );
    expect(values(state.packages.get("p")?.parameters)).toEqual({ a: "1", b: "2", FROM_ENV: '"env"' });
  });

  it("says which variables have no value and which --param nothing is called", () => {
    const { warnings } = read(inPackage("inputs: {a: $NOBODY}"), { params: new Map([["z", "1"]]) });
    expect(warnings).toEqual([expect.stringContaining("$NOBODY has no value"), expect.stringContaining("--param z")]);
  });
});

describe("packages, sequences, triggers, rules and APIs", () => {
  it("stand at the top, in a project, or alone in old manifests; default is none", () => {
    const one = "actions: {a: {function: a.js}}";
    expect([...read(`packages: {p: {${one}}}`).state.actions.keys()]).toEqual(["p/a"]);
    expect([...read(`project: {name: x, packages: {p: {${one}}}}`).state.actions.keys()]).toEqual(["p/a"]);
    expect([...read(`package: {name: old, ${one}}`).state.actions.keys()]).toEqual(["old/a"]);
    const { packages, actions } = read(`packages: {default: {${one}}}`).state;
    expect([[...packages.keys()], [...actions.keys()]]).toEqual([[], ["a"]]);
  });

  it("may be none of a project with a name: then nothing is left of it", () => {
    expect(read("project: {name: x}").state.packages.size).toBe(0);
  });

  it("take names from the environment", () => {
    const { state } = read("packages: {$P: {actions: {'${A}_1': {function: a.js}}}}", {
      variables: (name) => ({ P: "pack", A: "act" })[name],
    });
    expect([...state.actions.keys()]).toEqual(["pack/act_1"]);
  });

  it("name actions of their package, of another one, and of another namespace", () => {
    const text =
      "sequences:\n  s: {actions: 'a, q/b, /other/q/c, /_/d'}\n  l: {actions: [a, b]}\ntriggers: {t: }\nrules: {r: {trigger: t, action: s, rule: true}}";
    const { actions, rules } = read(inPackage(text)).state;
    expect(actions.get("p/s")?.components).toEqual(["/me/p/a", "/me/q/b", "/other/q/c", "/me/d"]);
    expect(actions.get("p/l")?.components).toEqual(["/me/p/a", "/me/p/b"]);
    expect(rules.get("r")).toMatchObject({ trigger: "/me/t", action: "/me/p/s", active: true });
  });

  it("gives a trigger's inputs to its feed, when it has one", () => {
    const text =
      "triggers:\n  plain: {inputs: {a: 1}}\n  fed: {feed: /whisk.system/alarms/alarm, inputs: {cron: '* * * * *'}}\n  old: {source: q/feed}";
    const { triggers } = read(inPackage(text)).state;
    expect(triggers.get("plain")).toMatchObject({ parameters: [{ key: "a", valueJson: "1" }] });
    expect(triggers.get("fed")).toMatchObject({
      parameters: [],
      annotations: [{ key: "feed", valueJson: '"/whisk.system/alarms/alarm"' }],
      feed: { action: "/whisk.system/alarms/alarm", inputs: [{ key: "cron" }] },
    });
    expect(triggers.get("old")?.feed?.action).toBe("/me/q/feed");
  });

  it("makes web actions of what an API calls, and says so", () => {
    const text =
      "actions: {a: {function: a.js}}\napis:\n  title:\n    base:\n      /x/{id}: {a: {method: GET, response: http}}\n      y: {a: post}";
    const { state, warnings } = read(inPackage(text));
    expect([...state.apis]).toEqual([
      [
        "GET /base/x/{id}",
        { title: "title", basePath: "/base", path: "/x/{id}", verb: "get", action: "p/a", responseType: "http" },
      ],
      [
        "POST /base/y",
        { title: "title", basePath: "/base", path: "/y", verb: "post", action: "p/a", responseType: "http" },
      ],
    ]);
    expect(values(state.actions.get("p/a")?.annotations)).toEqual({
      "web-export": "true",
      "raw-http": "false",
      final: "true",
    });
    expect(warnings[0]).toMatch(/p\/a becomes a web action/);
  });

  it("merges maps and follows aliases", () => {
    const text =
      "packages:\n  p:\n    actions:\n      a: &one {function: a.js, main: go}\n      b: {<<: *one, main: run}\n      c: *one";
    const { actions } = read(text).state;
    expect([...actions.values()].map(({ name, main }) => `${name} ${main}`)).toEqual(["p/a go", "p/b run", "p/c go"]);
  });
});

describe("dependencies", () => {
  const lib = {
    file: "lib/manifest.yaml",
    text: "project:\n  name: lib\n  packages: {lib: {actions: {x: {function: x.js}}}}",
  };
  const manifestIn = (folder: string) => (folder === "lib" ? lib : undefined);

  it("are bindings", () => {
    const { state } = read(inPackage("dependencies: {mine: {location: /whisk.system/utils, inputs: {a: 1}}}"));
    expect(state.packages.get("mine")).toMatchObject({
      binding: { namespace: "whisk.system", name: "utils" },
      parameters: [{ key: "a" }],
    });
  });

  it("are folders in the tree with manifests of their own, whose projects are theirs", () => {
    const text =
      "project:\n  name: top\n  packages:\n    p:\n      dependencies: {lib: {location: lib}, other: {location: ./lib/}}";
    const { state, sources, projects } = read(text, { manifestIn, managed: "named" });
    expect([...state.packages.values()].map((one) => `${one.name} ${one.binding?.name ?? ""}`)).toEqual([
      "lib ",
      "other lib",
      "p ",
    ]);
    expect(sources.get("lib/x")).toMatchObject({ path: "lib/x.js" });
    expect([...projects]).toEqual(["top", "lib"]);
    const mark = (name: string) =>
      JSON.parse(values(state.packages.get(name)?.annotations)[MANAGED] ?? "null") as unknown;
    expect(mark("lib")).toMatchObject({ projectName: "lib", projectDeps: [] });
    expect(mark("p")).toMatchObject({ projectName: "top", projectDeps: [{ value: { projectName: "lib" } }] });
  });

  it.each([
    ["github.com/apache/openwhisk-test/packages/helloworlds", "nothing is fetched"],
    ["https://github.com/a/b", "nothing is fetched"],
    ["../lib", "outside of the project's folder"],
    ["nowhere", "no folder with a manifest"],
  ])("cannot be %s", (location, why) => {
    expect(wrong(inPackage(`dependencies: {d: {location: ${location}}}`), { manifestIn }).message).toContain(why);
  });

  it("that need each other end", () => {
    const loop = { file: "lib/manifest.yaml", text: "packages: {lib: {dependencies: {a: {location: ../lib}}}}" };
    const looping = (folder: string) => (folder === "lib" ? loop : undefined);
    expect(wrong(inPackage("dependencies: {lib: {location: lib}}"), { manifestIn: looping }).message).toMatch(
      /must have one package/,
    );
  });
});

describe("what is wrong", () => {
  it.each([
    ["", "manifest.yaml:1:1 is no manifest"],
    ["packages: [a", "manifest.yaml:1:13"],
    ["packages:\n  p: {}\n  p: {}", "manifest.yaml:3:3"],
    ["project: {version: 1}", "manifest.yaml:1:1 has no packages"],
    ["packages: {p: 5}", "manifest.yaml:1:15 packages.p: must be a map"],
    ["packages: {p: {}}\nprojekt: {}", "manifest.yaml:2:1 projekt: is not known here; did you mean project?"],
    [inPackage("actons: {}"), "manifest.yaml:3:5 packages.p.actons: is not known here; did you mean actions?"],
    ["packages: {'a/b': {}}", '"a/b" is no name'],
    [inPackage("public: perhaps"), "manifest.yaml:3:13 packages.p.public: must be true or false"],
    [inPackage("actions: {a: {}}"), "packages.p.actions.a: needs `function` (a file or folder) or `code`"],
    [inPackage("actions: {a: {code: x, function: y.js, runtime: nodejs}}"), "keep one of them"],
    [inPackage("actions: {a: {code: x}}"), "needs a `runtime`"],
    [inPackage("actions: {a: {function: 'https://x/y.js'}}"), "nothing is fetched"],
    [
      inPackage("actions: {a: {function: a.js, limits: {timeout: 5}}}"),
      "limits.timeout: must be a whole number from 100 to 300000 ms",
    ],
    [inPackage("actions: {a: {function: a.js, web: maybe}}"), "must be true, yes, raw, false or no, not maybe"],
    [inPackage("actions: {a: {function: a.js, annotations: {require-whisk-auth: -1}}}"), "require-whisk-auth"],
    [inPackage("actions: {a: {function: a.js, inputs: {k: {type: text}}}}"), "is no type"],
    [inPackage("actions: {a: {function: a.js, inputs: {k: {type: integer, value: x}}}}"), "must be a whole number"],
    [inPackage("actions: {a: {function: a.js, inputs: {k: {type: json, value: '{'}}}}"), "must be JSON"],
    [
      inPackage("actions: {a: {function: a.js, inputs: {k: {type: string, required: true}}}}"),
      "is required and has no value",
    ],
    [inPackage("actions: {a: {function: a.js}}\nsequences: {a: {actions: a}}"), "there are two actions p/a"],
    [inPackage("sequences: {s: {}}"), "needs `actions`"],
    [inPackage("rules: {r: {action: a}}"), "needs `trigger`"],
    [inPackage("rules: {r: {trigger: t, action: a, rule: 'x > 1'}}"), "must be true"],
    [inPackage("apis: {t: {b: {p: {nobody: get}}}}"), "there is no action or sequence nobody"],
    [inPackage("actions: {a: {function: a.js}}\napis: {t: {b: {p: {a: fetch}}}}"), "needs a `method`"],
    [
      inPackage("actions: {a: {function: a.js}}\napis: {t: {b: {'{p}': {a: {method: get, response: json}}}}}"),
      "needs `response: http`",
    ],
    [inPackage("dependencies: {d: {}}"), "needs a `location`"],
  ])("with %j is said with its place", (text, message) => {
    expect(wrong(text)).toMatchObject({ kind: "invalidArgument", reason: "BAD_MANIFEST" });
    expect(wrong(text).message).toContain(message);
  });

  it("is told at once", () => {
    const error = wrong(inPackage("public: x\nactions: {a: {}}\nrules: {r: {}}"));
    expect(error.fields).toHaveLength(4);
    expect(error.message).toContain("(and 3 more)");
  });

  it("is an owner without a name", () => {
    expect(wrong("packages: {p: {}}", { managed: "always" }).message).toContain("--managed needs");
  });

  it.each([
    [
      "aliases that multiply",
      `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefg"
        .split("")
        .map((c, i) => `${c}: &${c} [${Array.from({ length: 9 }, () => `*${"abcdef"[i] ?? ""}`).join(",")}]`)
        .join("\n")}\npackages: {p: {annotations: {k: *g}}}`,
    ],
    ["nesting", `packages: {p: {annotations: {k: ${"[".repeat(150)}${"]".repeat(150)}}}}`],
    ["length", `packages: {} # ${"x".repeat(4 * 1024 * 1024)}`],
  ])("is %s without end", (_what, text) => {
    expect(wrong(text).message).toMatch(/larger than allowed|longer than allowed/);
  });
});

describe("projectHash", () => {
  it("is that of OpenWhisk's tool: SHA-1 of a prefix, the size as a character, and the text", () => {
    expect(projectHash("project: {}\n")).toMatch(/^[0-9a-f]{40}$/);
    expect(projectHash("a")).not.toBe(projectHash("b"));
    expect(projectHash("x".repeat(0xd800))).toBe(projectHash("x".repeat(0xd800)));
  });
});
