// Projects and moving: a manifest with every kind of entity is deployed, deployed again, changed and undone, and a namespace
// is brought from one Weft into another over REST, as a user does both, in both modes. The project is test/e2e/project.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { runCli } from "../../cmd/weft/cli.js";
import { testIo } from "../../cmd/weft/test-io.suite.js";
import type { Fabric } from "../harness/fabric.js";
import { http } from "../harness/http.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const PROJECT = fileURLToPath(new URL("project", import.meta.url));

describe("dev", () => {
  steps("dev");
});
describeWith(UP_SERVICES, "up", () => {
  steps("up");
});

interface Plan {
  readonly plan: readonly {
    readonly change: string;
    readonly sort: string;
    readonly name: string;
    readonly what: readonly string[];
  }[];
  readonly done: readonly { readonly change: string; readonly name: string }[];
}

function steps(mode: "dev" | "up"): void {
  let open: OpenFabric;
  let fabric: Fabric;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "weft-project-"));
    cpSync(PROJECT, folder, { recursive: true });
    open = await openFabric({ mode, env: { GREET_PLACE: "Paris" } });
    ({ fabric } = open);
  });

  afterAll(async () => {
    await open.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const project = (verb: string, ...args: readonly string[]): Promise<string> =>
    fabric.ok("project", verb, "--manifest", join(folder, "manifest.yaml"), "--json", ...args);
  const planned = async (verb: string, ...args: readonly string[]): Promise<Plan> =>
    JSON.parse(await project(verb, ...args)) as Plan;
  const changes = ({ plan }: Plan): string[] =>
    plan.filter(({ change }) => change !== "leave").map(({ change, sort, name }) => `${change} ${sort} ${name}`);
  const result = async (action: string, ...args: readonly string[]): Promise<unknown> =>
    JSON.parse(await fabric.ok("action", "invoke", action, "--result", ...args)) as unknown;
  const edit = (file: string, from: string, to: string): void => {
    const text = readFileSync(join(folder, file), "utf8");
    expect(text).toContain(from);
    writeFileSync(join(folder, file), text.replace(from, to));
  };
  /** What is the same wherever it is; the order of annotations says nothing, and what a feed was told is told there. */
  const entity = async (of: Fabric, words: string): Promise<unknown> => {
    const shown = JSON.parse(await of.ok(...words.split(" "), "--json")) as { annotations: { key: string }[] };
    const annotations = shown.annotations
      .filter(({ key }) => key !== "weft-feed-inputs")
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    return { ...shown, annotations, etag: "", updateTime: "" };
  };
  /** Of the first operation of the first API. */
  const apiUrl = async (of: Fabric): Promise<string | undefined> => /https?:\S+/.exec(await of.ok("api", "list"))?.[0];
  const EVERYTHING = [
    "package greet",
    "package tools",
    "binding mine",
    "action alone",
    "action greet/feed",
    "action greet/hello",
    "action greet/inline",
    "action greet/page",
    "action greet/talk",
    "action tools/shout",
    "sequence greet/twice",
    "trigger fed",
    "trigger greeted",
    "rule greet-rule",
    "api GET /hello/world",
  ];

  it("shows a plan and does nothing with --preview", async () => {
    expect(changes(await planned("deploy", "--preview"))).toEqual(EVERYTHING.map((one) => `create ${one}`));
    expect(await fabric.ok("action", "list")).toBe("");
  });

  it("asks at a terminal, and does nothing unless the answer is yes", async () => {
    const ask = async (stdin: string): Promise<string> => {
      const io = testIo({
        tty: true,
        stdin,
        cwd: folder,
        env: { NO_COLOR: "1", GREET_PLACE: "Paris", WEFT_WSKPROPS: join(fabric.stateDir, "wskprops") },
      });
      expect(await runCli(["project", "deploy"], io)).toBe(1);
      return io.stderr();
    };
    for (const answer of ["n\n", "", "never\n"]) expect(await ask(answer)).toMatch(/Apply\? \[y\/N\] nothing was done/);
    expect(await fabric.ok("action", "list")).toBe("");
  });

  it("deploys everything that a manifest names, and it runs", async () => {
    const { done } = await planned("deploy");
    expect(done).toHaveLength(EVERYTHING.length);
    expect(await result("greet/hello")).toMatchObject({ msg: "Hello, Deployment from Paris" });
    expect(await result("greet/twice")).toMatchObject({ msg: "HELLO, DEPLOYMENT FROM PARIS" });
    expect(await result("greet/talk", "--param", "text", "ho")).toEqual({ text: "HO", inner: "inner" });
    expect(await result("greet/inline")).toEqual({ inline: true, place: "Paris" });
    expect(await result("alone")).toEqual({ alone: true });
    expect(await result("mine/split", "--param", "payload", "a,b")).toMatchObject({ lines: ["a", "b"] });
    const page = await http(fabric.rest, "/api/v1/web/guest/greet/page.http?name=Ada");
    expect([page.status, page.body]).toEqual([200, "<p>Ada</p>"]);
    const [, url = ""] = /GET (http\S+)|(http\S+)/.exec(await fabric.ok("api", "list"))?.filter(Boolean) ?? [];
    expect(new URL(url).pathname).toMatch(/^\/api\/[0-9a-f-]{36}\/hello\/world$/);
    const behindApi = await http(fabric.rest, `${new URL(url).pathname}?name=Api`);
    expect([behindApi.status, behindApi.body]).toEqual([200, "<p>Api</p>"]);
    expect((await fabric.ok("trigger", "fire", "greeted")).trim()).toMatch(/^[0-9a-f]{32}$/);
  });

  it("keeps every digit of a value", async () => {
    expect(await fabric.ok("action", "get", "greet/hello", "--json")).toContain("12345678901234567890");
  });

  it("changes nothing when it is deployed again", async () => {
    const again = await planned("deploy");
    expect(changes(again)).toEqual([]);
    expect(again.done).toEqual([]);
  });

  it("is exported as a manifest that asks for what is there, and makes it anew elsewhere", async () => {
    const out = join(folder, "exported");
    const exported = JSON.parse(
      await fabric.ok("project", "export", "--project", "greetings", "--out", out, "--json"),
    ) as { readonly files: readonly string[]; readonly warnings: readonly string[] };
    expect(exported.files).toEqual(
      expect.arrayContaining(["manifest.yaml", "actions/greet/hello.js", "actions/alone.py"]),
    );
    expect(exported.files).toContain("actions/greet/talk.zip");
    expect(exported.warnings).toEqual([expect.stringContaining("trigger fed: what its feed")]);
    edit("exported/manifest.yaml", 'feed: "/_/greet/feed"', 'inputs: { every: 5 }\n          feed: "/_/greet/feed"');
    const manifest = join(out, "manifest.yaml");
    const same = await fabric.ok("project", "deploy", "--manifest", manifest, "--preview", "--json");
    const differing = (JSON.parse(same) as Plan).plan.filter(({ change }) => change !== "leave");
    expect(differing.map(({ name, what }) => `${name}: ${what.join("; ")}`)).toEqual([]);
    const again = await fabric.weft("project", "export", "--out", out);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("there is manifest.yaml")]);
    expect((await fabric.weft("project", "export", "--project", "nobody")).stderr).toContain("there is greetings");

    const whole = join(folder, "whole");
    await fabric.ok("project", "export", "--out", whole);
    edit("whole/manifest.yaml", 'feed: "/_/greet/feed"', 'inputs: { every: 5 }\n        feed: "/_/greet/feed"');
    const key = (await fabric.ok("namespace", "create", "exported-to")).trim();
    const there = ["--auth", key];
    await fabric.ok("project", "deploy", "--manifest", join(whole, "manifest.yaml"), "--yes", ...there);
    expect(JSON.parse(await fabric.ok("action", "invoke", "greet/twice", "-r", ...there))).toMatchObject({
      msg: "HELLO, DEPLOYMENT FROM PARIS",
    });
    expect(await fabric.ok("action", "get", "greet/hello", "--json", ...there)).toContain("12345678901234567890");
    await fabric.ok("namespace", "delete", "exported-to");
  });

  it("changes what another value or another file is about, and undoes what is no longer named", async () => {
    edit("actions/talk/lib/inner.js", '"inner"', '"other"');
    edit("manifest.yaml", "every: 5", "every: 6");
    edit(
      "manifest.yaml",
      "\n    default:\n      actions:\n        alone:\n          function: actions/alone.py\n",
      "\n",
    );
    edit("manifest.yaml", "trigger: greeted\n          action: twice", "trigger: greeted\n          action: hello");
    const plan = await planned("deploy", "--param", "place", "Rome");
    expect(changes(plan)).toEqual([
      "change package greet",
      "change action greet/talk",
      "change trigger fed",
      "change rule greet-rule",
      "delete action alone",
    ]);
    expect(plan.plan.find(({ name }) => name === "greet/talk")?.what).toEqual(["code"]);
    expect(await result("greet/talk")).toMatchObject({ inner: "other" });
    expect(await result("greet/hello")).toMatchObject({ msg: "Hello, Deployment from Rome" });
    expect((await fabric.weft("action", "get", "alone")).code).toBe(1);
    expect(changes(await planned("deploy", "--param", "place", "Rome"))).toEqual([]);
  });

  it("says what was done when a step fails, and goes on from there when it is run again", async () => {
    edit("manifest.yaml", "every: 6", "every: 0");
    edit("manifest.yaml", "note: { a", "other: { a");
    const failed = await fabric.weft(
      "project",
      "deploy",
      "--manifest",
      join(folder, "manifest.yaml"),
      "--param",
      "place",
      "Rome",
    );
    expect(failed.code).toBe(2);
    expect(failed.stderr).toMatch(
      /changing trigger fed: the feed \/guest\/greet\/feed refuses CREATE: .*every must be above 0/,
    );
    expect(failed.stderr).toMatch(/1 done, 1 left/);
    edit("manifest.yaml", "every: 0", "every: 6");
    expect(changes(await planned("deploy", "--param", "place", "Rome"))).toEqual(["change trigger fed"]);
    expect(changes(await planned("deploy", "--param", "place", "Rome"))).toEqual([]);
  });

  it("refuses what cannot be before anything is done, with the place of what is wrong", async () => {
    edit("manifest.yaml", "name: greetings", "nome: greetings");
    const unknown = await fabric.weft("project", "deploy", "--manifest", join(folder, "manifest.yaml"));
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      expect.stringMatching(/manifest.yaml:3:3 project.nome: .*did you mean name/),
    ]);
    edit("manifest.yaml", "nome: greetings", "name: greetings");
    edit("manifest.yaml", "action: hello\n", "action: nobody\n");
    const missing = await fabric.weft("project", "deploy", "--manifest", join(folder, "manifest.yaml"));
    expect([missing.code, missing.stderr]).toEqual([
      2,
      expect.stringMatching(/nothing was done.*greet-rule.*greet\/nobody/),
    ]);
    edit("manifest.yaml", "action: nobody\n", "action: hello\n");
  });

  it("brings a namespace over REST, and changes nothing when it is run again", async () => {
    await fabric.ok("rule", "disable", "greet-rule");
    await fabric.ok("package", "update", "tools", "--shared", "yes");
    // Means nothing, and is told as it was given.
    const authorization = `Basic ${Buffer.from(fabric.auth).toString("base64")}`;
    for (const [path, body] of [
      ["actions/greet/twice", '{"publish":true,"limits":{"timeout":5000}}'],
      ["triggers/greeted", '{"publish":true}'],
    ] as const) {
      const put = { method: "PUT", headers: { authorization, "content-type": "application/json" }, body };
      const changed = await http(fabric.rest, `/api/v1/namespaces/_/${path}?overwrite=true`, put);
      expect(changed.json()).toMatchObject(JSON.parse(body) as object);
    }
    const there = await openFabric({ mode: "dev" });
    try {
      const bring = (...args: readonly string[]) =>
        there.fabric.weft("wsk-import", "--apihost", fabric.rest, "--auth", fabric.auth, "--json", ...args);
      const entities = EVERYTHING.filter((one) => one !== "action alone" && !one.startsWith("api "));
      // An API comes as a whole.
      const named = [...entities, "api /hello"];
      const dry = await bring("--dry-run");
      expect([dry.code, changes(JSON.parse(dry.stdout) as Plan)]).toEqual([0, named.map((one) => `create ${one}`)]);
      expect(await there.fabric.ok("action", "list")).toBe("");

      const first = await bring();
      expect([first.code, (JSON.parse(first.stdout) as Plan).done]).toEqual([
        0,
        expect.objectContaining({ length: named.length }),
      ]);
      const digits = await there.fabric.ok("action", "get", "greet/hello", "--json");
      expect(digits).toContain("12345678901234567890");
      expect(digits).toContain("2.50");
      const again = await bring("--overwrite");
      expect([again.code, changes(JSON.parse(again.stdout) as Plan)]).toEqual([0, []]);

      const invoked = await there.fabric.ok("action", "invoke", "greet/twice", "--result");
      expect(JSON.parse(invoked)).toMatchObject({ msg: "HELLO, DEPLOYMENT FROM ROME" });
      expect(JSON.parse(await there.fabric.ok("action", "invoke", "greet/talk", "--result"))).toMatchObject({
        inner: "other",
      });
      expect(await there.fabric.ok("rule", "get", "greet-rule")).toMatch(/state +inactive/);
      const page = await http(fabric.rest, new URL((await apiUrl(fabric)) ?? "").pathname);
      const copied = await http(there.fabric.rest, new URL((await apiUrl(there.fabric)) ?? "").pathname);
      expect([copied.status, copied.body]).toEqual([200, page.body]);
      for (const of of [
        ...["action get greet/hello", "action get greet/talk", "action get greet/twice", "action get greet/page"],
        ...["package get greet", "package get mine", "package get tools"],
        ...["trigger get greeted", "trigger get fed", "rule get greet-rule"],
      ]) {
        const [here, copy] = await Promise.all([fabric, there.fabric].map((one) => entity(one, of)));
        // A version is given to what is created.
        expect(copy).toEqual(here);
      }

      await there.fabric.ok("action", "update", "greet/hello", "--timeout", "7000");
      const kept = await bring();
      expect((JSON.parse(kept.stdout) as Plan).plan.find(({ name }) => name === "greet/hello")).toMatchObject({
        change: "leave",
        what: [expect.stringContaining("timeout 7000 → 5000 ms")],
      });
      const over = await bring("--overwrite");
      expect(changes(JSON.parse(over.stdout) as Plan)).toEqual(["change action greet/hello"]);
    } finally {
      await there.close();
    }
  });

  it("takes where it is from a file as wsk has it", async () => {
    const there = await fabric.ok("namespace", "create", "moved-to", "--json");
    const { auth } = JSON.parse(there) as { readonly auth: string };
    const env = { NO_COLOR: "1", WEFT_APIHOST: fabric.rest, WEFT_GRPC: fabric.grpc, WEFT_AUTH: auth };
    const file = join(folder, "props");
    writeFileSync(file, `APIHOST=${fabric.rest}\nAUTH=${fabric.auth}\n`);
    const io = testIo({ cwd: folder, env });
    expect(await runCli(["wsk-import", "--wskprops", "props", "--dry-run"], io)).toBe(0);
    expect(io.stderr()).toMatch(/Plan to bring guest from .* to moved-to/);
    const same = testIo({ cwd: folder, env });
    expect(await runCli(["wsk-import", "--wskprops", "props", "--auth", auth], same)).toBe(1);
    expect(same.stderr()).toContain("is where it would be brought to");
  });

  it("says whose key is wrong, and where nobody answers", async () => {
    const bad = await fabric.weft("wsk-import", "--apihost", fabric.rest, "--auth", `nobody:${"k".repeat(64)}`);
    expect([bad.code, bad.stderr]).toEqual([1, expect.stringMatching(/answers GET \/api\/v1\/namespaces with 401/)]);
    expect(bad.stderr).toContain(`from ${fabric.rest}`);
    expect(bad.stderr).toMatch(/run +weft wsk-import --auth UUID:KEY/);
    const nobody = await fabric.weft("wsk-import", "--apihost", "http://127.0.0.1:9", "--auth", "a:b");
    expect([nobody.code, nobody.stderr]).toEqual([3, expect.stringMatching(/does not answer/)]);
  });

  it("keeps a dependency that another project needs, until that goes too", async () => {
    writeFileSync(
      join(folder, "second.yaml"),
      "project: {name: second, packages: {other: {dependencies: {tools: {location: tools}}}}}\n",
    );
    await fabric.ok("project", "deploy", "--manifest", join(folder, "second.yaml"));
    await project("undeploy");
    expect(await fabric.ok("package", "list")).toMatch(/tools[^]*other|other[^]*tools/);
    expect(await fabric.ok("action", "list")).toMatch(/^\/guest\/tools\/shout\t[^\n]*\n$/);
    await fabric.ok("project", "undeploy", "--project", "second");
    expect(await fabric.ok("package", "list")).toBe("");
    await project("deploy");
  });

  it("leaves what a manifest without a name no longer names, and undeploys what it names", async () => {
    const file = join(folder, "nameless.yaml");
    const text = (actions: string): string => `packages: {loose: {actions: {${actions}}}}\n`;
    const one = (name: string): string => `${name}: {function: actions/hello.js}`;
    writeFileSync(file, text(`${one("a")}, ${one("b")}`));
    await fabric.ok("project", "deploy", "--manifest", file);
    writeFileSync(file, text(one("a")));
    const again = await fabric.weft("project", "deploy", "--manifest", file);
    expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/give the project a name[^]*2 to leave/)]);
    const undone = await fabric.weft("project", "undeploy", "--manifest", file);
    expect([undone.code, undone.stderr]).toEqual([0, expect.stringMatching(/= package +loose +has loose\/b/)]);
    await fabric.ok("package", "delete", "loose", "--force");
  });

  it("undoes a project by its name, and leaves what is somebody else's", async () => {
    await fabric.ok("trigger", "create", "mine-alone");
    const { done } = JSON.parse(await fabric.ok("project", "undeploy", "--project", "greetings", "--json")) as Plan;
    expect(done).toHaveLength(EVERYTHING.length - 1);
    expect(await fabric.ok("action", "list")).toBe("");
    expect(await fabric.ok("package", "list")).toBe("");
    expect(await fabric.ok("trigger", "list")).toContain("mine-alone");
  });
}
