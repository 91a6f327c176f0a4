// wsk, OpenWhisk's command line, drives a whole Weft. Exit codes are the status of the answer less 256, modulo 256.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { openFabric, UP_SERVICES, type OpenFabric } from "../e2e/fabrics.js";
import { eventually } from "../harness/eventually.js";
import { blackboxImage } from "../harness/launcher.js";
import { describeWith } from "../harness/services.js";
import { zipOf } from "../harness/zip.js";
import { ClientProgram } from "./program.js";

const HELLO = `function main(params) {
  console.log("saying hello to " + params.name);
  return { greeting: "Hello, " + params.name };
}
`;
const SOON = { withinMs: 30_000, everyMs: 200 };

function suite(mode: "dev" | "up"): void {
  describe(`wsk, in ${mode}`, () => {
    let open: OpenFabric;
    let wsk: ClientProgram;

    beforeAll(async () => {
      open = await openFabric({ mode, invokers: 1 });
      wsk = new ClientProgram("WSK", open.fabric);
      wsk.write("hello.js", HELLO);
      wsk.write("hello.py", "def main(params):\n  return {'from': 'python', 'got': params}\n");
      wsk.write("hello.zip", zipOf([{ name: "index.js", content: "exports.main = () => ({ zipped: true });" }]));
      wsk.write("fails.js", `function main() { return { error: { code: 7, why: "boom" } }; }`);
      wsk.write("throws.js", `function main() { throw new Error("boom"); }`);
      wsk.write("list.js", `function main() { return [1, { a: 2 }]; }`);
      wsk.write("slow.js", `function main({ ms }) { return new Promise((r) => setTimeout(() => r({ ms }), ms)); }`);
      wsk.write("params.json", `{ "name": "File", "deep": { "a": [1, null] } }`);
    });
    afterAll(async () => {
      wsk.close();
      await open.close();
    });

    describe("property and namespace", () => {
      it("shows where it works", async () => {
        expect(await wsk.ok("property", "get")).toMatch(/whisk namespace\s+guest\n[^]*whisk API build\s+\S+\n/);
        expect(await wsk.ok("property", "get", "--apibuild", "--apibuildno", "--output", "raw")).toMatch(
          /^\S+\n\S+\n$/,
        );
        expect(await wsk.ok("namespace", "list")).toBe("namespaces\nguest\n");
      });

      it("sets and unsets properties, and is told of a key that is nobody's", async () => {
        await wsk.ok("property", "set", "--auth", open.fabric.auth, "--apihost", open.fabric.rest);
        expect(await wsk.ok("property", "get", "--auth", "--output", "raw")).toContain(open.fabric.auth);
        const said = await wsk.fails(145, "action", "list", "--auth", `${open.fabric.auth.slice(0, -3)}xyz`);
        expect(said).toMatch(/key is not known.*\(code \w+\)/);
        await wsk.fails(145, "action", "list", "--auth", "no-key");
      });
    });

    describe("action", () => {
      it("creates, from source, from an archive and as a copy", async () => {
        expect(await wsk.ok("action", "create", "hello", "hello.js", "-p", "name", "Ada", "-a", "note", "x")).toBe(
          "ok: created action hello\n",
        );
        await wsk.ok("action", "create", "python", "hello.py");
        await wsk.ok("action", "create", "zip", "hello.zip", "--kind", "nodejs:20");
        await wsk.ok("action", "create", "copy", "--copy", "hello");
        expect(await wsk.json("action", "invoke", "copy", "-r")).toEqual({ greeting: "Hello, Ada" });
        expect(await wsk.json("action", "invoke", "zip", "-r")).toEqual({ zipped: true });
        expect(await wsk.fails(153, "action", "create", "hello", "hello.js")).toMatch(/already exists.*\(code \w+\)/);
      });

      it("creates from a shell script, as a native one", async () => {
        wsk.write("hello.sh", '#!/bin/sh\necho said >&2\necho "{ \\"args\\": $1 }"\n');
        await wsk.ok("action", "create", "shell", "hello.sh", "--native");
        expect(await wsk.json("action", "invoke", "shell", "-r", "-p", "a", "1")).toEqual({ args: { a: 1 } });
      });

      it.runIf(mode === "up")(
        "creates from sources of other languages, by their endings, and from images",
        async () => {
          wsk.write("hello.rb", "def main(args)\n  { ruby: args['a'] }\nend\n");
          wsk.write("hello.php", "<?php\nfunction main(array $args) : array { return ['php' => $args['a']]; }\n");
          wsk.write(
            "hello.go",
            'package main\n\nfunc Main(args map[string]interface{}) map[string]interface{} {\n\treturn map[string]interface{}{"go": args["a"]}\n}\n',
          );
          for (const language of ["rb", "php", "go"]) {
            await wsk.ok("action", "create", language, `hello.${language}`);
            const name = { rb: "ruby", php: "php", go: "go" }[language] ?? "";
            expect(await wsk.json("action", "invoke", language, "-r", "-p", "a", "1")).toEqual({ [name]: 1 });
          }
          await wsk.ok("action", "create", "image", "--docker", blackboxImage());
          const got = await wsk.json("action", "invoke", "image", "-r", "-p", "act", "echo");
          expect(got).toEqual({ act: "echo" });
        },
      );

      it("refuses what cannot be, and says why", async () => {
        expect(await wsk.fails(144, "action", "create", "a+b", "hello.js")).toContain("illegal characters");
        expect(await wsk.fails(144, "action", "create", "big", "hello.js", "-m", "99999")).toContain("exceeds allowed");
        expect(await wsk.fails(144, "action", "create", "cobol", "hello.js", "--kind", "cobol:85")).toContain(
          "cobol:85",
        );
        expect(await wsk.fails(148, "action", "create", "nobox/a", "hello.js")).toContain("(code ");
        expect(await wsk.fails(147, "action", "create", "/other/a", "hello.js")).toContain("not authorized");
      });

      it("updates: limits, annotations, parameters; and makes what is not there", async () => {
        await wsk.ok(
          "action",
          "update",
          "fresh",
          "hello.js",
          "-p",
          "name",
          "Eve",
          "-a",
          "keep",
          "1",
          "-a",
          "drop",
          "2",
        );
        const changes = [
          "-m",
          "128",
          "-t",
          "5000",
          "-l",
          "1",
          "-c",
          "2",
          "-a",
          "more",
          "true",
          "--del-annotation",
          "drop",
        ];
        expect(await wsk.ok("action", "update", "fresh", ...changes)).toBe("ok: updated action fresh\n");
        expect(await wsk.json("action", "get", "fresh")).toMatchObject({
          version: "0.0.2",
          exec: { kind: "nodejs:20", binary: false },
          parameters: [{ key: "name", value: "Eve" }],
          limits: { timeout: 5_000, memory: 128, logs: 1, concurrency: 2 },
        });
        const { annotations } = (await wsk.json("action", "get", "fresh")) as { annotations: { key: string }[] };
        expect(annotations.map(({ key }) => key).sort()).toEqual(["exec", "keep", "more", "provide-api-key"]);
      });

      it("reads: a field, a summary, the code", async () => {
        expect(await wsk.json("action", "get", "hello", "limits")).toEqual({
          timeout: 60_000,
          memory: 256,
          logs: 10,
          concurrency: 1,
        });
        expect(await wsk.ok("action", "get", "hello", "--summary")).toContain("action /guest/hello");
        await wsk.ok("action", "get", "hello", "--save-as", "saved.js");
        expect(readFileSync(join(wsk.directory, "saved.js"), "utf8")).toBe(HELLO);
        await wsk.ok("action", "get", "zip", "--save");
        expect(
          readFileSync(join(wsk.directory, "zip.zip")).equals(readFileSync(join(wsk.directory, "hello.zip"))),
        ).toBe(true);
        await wsk.fails(148, "action", "get", "nobody");
      });

      it("invokes: without waiting, for the record, for the result, with parameters of a file", async () => {
        expect(await wsk.ok("action", "invoke", "hello")).toMatch(/^ok: invoked \/_\/hello with id [0-9a-f]{32}\n$/);
        expect(await wsk.json("action", "invoke", "hello", "-b", "-p", "name", "Bob")).toMatchObject({
          name: "hello",
          logs: [],
          response: { status: "success", success: true, result: { greeting: "Hello, Bob" } },
        });
        expect(
          await wsk.json("action", "invoke", "python", "-r", "--param-file", "params.json", "-p", "n", "1"),
        ).toEqual({
          from: "python",
          got: { name: "File", deep: { a: [1, null] }, n: 1 },
        });
      });

      it("is told of every way to fail", async () => {
        await wsk.ok("action", "create", "fails", "fails.js");
        await wsk.ok("action", "create", "throws", "throws.js");
        await wsk.ok("action", "create", "slow", "slow.js", "-t", "500");
        expect(await wsk.fails(246, "action", "invoke", "fails", "-r")).toContain(`"why": "boom"`);
        expect(await wsk.fails(246, "action", "invoke", "fails", "-b")).toContain(`"status": "application error"`);
        expect(await wsk.fails(246, "action", "invoke", "throws", "-b")).toContain(
          `"status": "action developer error"`,
        );
        expect(await wsk.fails(246, "action", "invoke", "slow", "-r", "-p", "ms", "3000")).toContain(
          "500 milliseconds",
        );
        expect(await wsk.fails(148, "action", "invoke", "nobody", "-b")).toMatch(/\(code \w+\)/);
        expect(await wsk.fails(147, "action", "invoke", "/other/x", "-b")).toMatch(/\(code \w+\)/);
        const large = wsk.write("large.json", JSON.stringify({ text: "x".repeat(1_100_000) }));
        expect(await wsk.fails(157, "action", "invoke", "hello", "-P", large)).toContain("larger than allowed");
      });

      it("shows a list as a result", async () => {
        await wsk.ok("action", "create", "list", "list.js");
        expect(await wsk.json("action", "invoke", "list", "-r")).toEqual([1, { a: 2 }]);
      });

      it("makes sequences", async () => {
        await wsk.ok("action", "create", "sequence", "--sequence", "hello,python,/whisk.system/utils/echo");
        expect(await wsk.json("action", "invoke", "sequence", "-b", "-p", "name", "Seq")).toMatchObject({
          logs: [expect.any(String), expect.any(String), expect.any(String)] as unknown[],
          response: { result: { from: "python", got: { greeting: "Hello, Seq" } } },
        });
        await wsk.ok("action", "update", "sequence", "--sequence", "python");
        expect(await wsk.json("action", "get", "sequence", "exec")).toMatchObject({ components: ["/guest/python"] });
        await wsk.fails(144, "action", "update", "sequence", "--sequence", "sequence");
        await wsk.fails(144, "action", "create", "endless", "--sequence", "nobody");
      });

      it("makes web actions, and says where they are", async () => {
        await wsk.ok("action", "create", "web", "hello.js", "--web", "true");
        const url = (await wsk.ok("action", "get", "web", "--url")).trim().split("\n").at(-1) ?? "";
        expect(url).toBe(`${open.fabric.rest}/api/v1/web/guest/default/web`);
        expect(JSON.parse((await wsk.fetch(`${url}.json?name=Web`)).text)).toEqual({ greeting: "Hello, Web" });
        await wsk.ok("action", "update", "web", "--web-secure", "secret");
        expect((await wsk.fetch(`${url}.json?name=Web`)).status).toBe(401);
        await wsk.ok("action", "update", "web", "--web", "false");
        expect((await wsk.fetch(`${url}.json?name=Web`)).status).toBe(404);
        await wsk.ok("action", "update", "web", "--web", "raw", "--web-secure", "false");
        expect((await wsk.fetch(`${url}.json?name=Web`)).status).toBe(200);
      });

      it("lists, by page and sorted", async () => {
        await wsk.ok("package", "create", "shelf");
        await wsk.ok("action", "create", "shelf/a", "hello.js");
        const lines = (await wsk.ok("action", "list")).trim().split("\n");
        expect(lines[0]).toBe("actions");
        expect(lines[1]).toMatch(/^\/guest\/shelf\/a +private nodejs:20$/);
        expect(lines.at(-1)).toContain("/guest/");
        expect(await wsk.ok("action", "list", "--limit", "1", "--skip", "1")).toContain(lines[2]);
        expect(await wsk.ok("action", "list", "shelf")).toMatch(/^actions\n\/guest\/shelf\/a [^\n]*\n$/);
        const sorted = (await wsk.ok("action", "list", "--name-sort"))
          .split("\n")
          .filter((line) => /^\/guest\/\w+ /.test(line));
        expect(sorted).toEqual([...sorted].sort());
        expect(await wsk.fails(144, "action", "list", "--limit", "-1")).toContain("limit");
      });

      it("deletes", async () => {
        expect(await wsk.ok("action", "delete", "copy")).toBe("ok: deleted action copy\n");
        await wsk.fails(148, "action", "delete", "copy");
      });
    });

    describe("package", () => {
      it("creates, updates, shares, reads and deletes", async () => {
        await wsk.ok("package", "create", "box", "-p", "name", "Box", "-a", "description", "A box");
        await wsk.ok("package", "update", "box", "--shared", "yes", "-p", "name", "Bax");
        await wsk.ok("action", "create", "box/hello", "hello.js");
        expect(await wsk.json("action", "invoke", "box/hello", "-r")).toEqual({ greeting: "Hello, Bax" });
        expect(await wsk.json("package", "get", "box")).toMatchObject({
          publish: true,
          parameters: [{ key: "name", value: "Bax" }],
          actions: [{ name: "hello" }],
        });
        expect(await wsk.ok("package", "get", "box", "--summary")).toMatch(
          /package \/guest\/box: A box\n[^]*\/box\/hello/,
        );
        expect(await wsk.ok("package", "list")).toMatch(/\/guest\/box +shared/);
        expect(await wsk.fails(153, "package", "delete", "box")).toContain("contains 1 entity");
        await wsk.ok("action", "delete", "box/hello");
        await wsk.ok("package", "delete", "box");
        expect(await wsk.fails(153, "package", "get", "hello")).toMatch(/\(code \w+\)/);
      });

      it("binds what is shared", async () => {
        expect(await wsk.ok("package", "list", "/whisk.system")).toMatch(/\/whisk.system\/utils +shared/);
        await wsk.ok("package", "bind", "/whisk.system/utils", "bound", "-p", "separator", ",");
        expect(await wsk.json("action", "invoke", "bound/split", "-r", "-p", "payload", "a,b")).toMatchObject({
          lines: ["a", "b"],
        });
        expect(await wsk.ok("action", "list", "bound")).toContain("/whisk.system/utils/split");
        expect(await wsk.json("package", "get", "bound")).toMatchObject({
          binding: { namespace: "whisk.system", name: "utils" },
          parameters: [{ key: "separator", value: "," }],
        });
        await wsk.fails(144, "action", "create", "bound/mine", "hello.js");
        await wsk.fails(144, "package", "bind", "bound", "twice");
        await wsk.ok("package", "delete", "bound");
      });

      it("is told that nothing is there to refresh, as against OpenWhisk", async () => {
        expect(await wsk.fails(149, "package", "refresh")).toContain("HTTP method not allowed");
      });
    });

    describe("trigger and rule", () => {
      it("fires what rules say", async () => {
        await wsk.ok("trigger", "create", "tick", "-p", "name", "Trigger", "-a", "note", "x");
        await wsk.fails(153, "trigger", "create", "tick");
        expect(await wsk.ok("trigger", "fire", "tick")).toBe("ok: triggered /_/tick with id \n");
        await wsk.ok("rule", "create", "link", "tick", "hello");
        const fired = await wsk.ok("trigger", "fire", "tick", "-p", "more", "1");
        const id = /with id ([0-9a-f]{32})\n$/.exec(fired)?.[1] ?? "";
        const record = (await eventually(() => wsk.json("activation", "get", id), SOON)) as { logs: string[] };
        const entry = JSON.parse(record.logs[0] ?? "{}") as { activationId: string };
        expect(entry).toMatchObject({ success: true, statusCode: 0, rule: "guest/link", action: "guest/hello" });
        expect(await eventually(() => wsk.json("activation", "result", entry.activationId), SOON)).toEqual({
          greeting: "Hello, Trigger",
        });
        expect(await wsk.ok("trigger", "fire", "tick", "-P", "params.json")).toMatch(/with id [0-9a-f]{32}\n$/);
      });

      it("reads, updates and lists", async () => {
        expect(await wsk.json("trigger", "get", "tick")).toMatchObject({
          parameters: [{ key: "name", value: "Trigger" }],
          rules: { "guest/link": { action: { name: "hello", path: "guest" }, status: "active" } },
        });
        await wsk.ok("trigger", "update", "tick", "-p", "name", "Other");
        expect(await wsk.ok("trigger", "get", "tick", "--summary")).toContain("trigger /guest/tick");
        expect(await wsk.ok("trigger", "list")).toMatch(/^triggers\n\/guest\/tick +private\n$/);
        expect(await wsk.json("rule", "get", "link")).toMatchObject({
          status: "active",
          trigger: { name: "tick", path: "guest" },
          action: { name: "hello", path: "guest" },
        });
        expect(await wsk.ok("rule", "get", "link", "--summary")).toContain("(status: active)");
        expect(await wsk.ok("rule", "list")).toMatch(/^rules\n\/guest\/link +private +active\n$/);
      });

      it("stops and starts rules, changes and deletes them", async () => {
        await wsk.ok("rule", "disable", "link");
        expect(await wsk.ok("rule", "status", "link")).toBe("ok: rule link is inactive\n");
        expect(await wsk.ok("trigger", "fire", "tick")).toBe("ok: triggered /_/tick with id \n");
        await wsk.ok("rule", "enable", "link");
        await wsk.ok("rule", "update", "link", "tick", "python");
        expect(await wsk.json("rule", "get", "link", "action")).toEqual({ name: "python", path: "guest" });
        await wsk.fails(144, "rule", "create", "bad", "tick", "nobody");
        await wsk.fails(144, "rule", "create", "bad", "nobody", "hello");
        await wsk.ok("rule", "delete", "link", "--disable");
        await wsk.fails(148, "rule", "status", "link");
        await wsk.ok("trigger", "delete", "tick");
        await wsk.fails(148, "trigger", "delete", "tick");
        await wsk.fails(148, "trigger", "fire", "tick");
      });
    });

    describe("activation", () => {
      it("lists, reads, shows logs and results, and follows", async () => {
        const invoked = await wsk.ok("action", "invoke", "hello", "-p", "name", "Log");
        const id = /[0-9a-f]{32}/.exec(invoked)?.[0] ?? "";
        const record = await eventually(() => wsk.json("activation", "get", id), SOON);
        expect(record).toMatchObject({
          activationId: id,
          statusCode: 0,
          response: { status: "success", result: { greeting: "Hello, Log" } },
        });
        expect(await wsk.ok("activation", "logs", id)).toMatch(/^\S+Z stdout: saying hello to Log\n$/);
        expect(await wsk.ok("activation", "logs", id, "--strip")).toBe("saying hello to Log\n");
        expect(await wsk.json("activation", "result", id)).toEqual({ greeting: "Hello, Log" });
        expect(await wsk.ok("activation", "list", "--limit", "1")).toMatch(
          new RegExp(`^Datetime .*\n\\S+ \\S+ ${id} nodejs:20 +(warm|cold) +\\d+ms +success +guest/hello:0.0.1\n$`),
        );
        expect(await wsk.ok("activation", "get", "--last")).toContain(id);
        expect(await wsk.ok("activation", "logs", "--last")).toContain("saying hello to Log");
        expect(await wsk.json("activation", "result", "--last")).toEqual({ greeting: "Hello, Log" });
        expect(await wsk.ok("activation", "list", "hello", "--full", "--limit", "1")).toContain(`"name": "hello"`);
        expect((await wsk.ok("activation", "list", "--since", "1", "--upto", "2")).trim()).toBe("");
        expect(await wsk.ok("activation", "poll", "--exit", "3", "--since-minutes", "5")).toContain(
          "saying hello to Log",
        );
        expect(await wsk.fails(144, "activation", "get", "1234")).toContain("must be 32");
        await wsk.fails(148, "activation", "get", "0".repeat(32));
      });
    });

    describe("list and sdk", () => {
      it("lists everything", async () => {
        const said = await wsk.ok("list");
        expect(said).toMatch(/packages\n[^]*\/guest\/shelf[^]*actions\n[^]*\/guest\/hello[^]*triggers\nrules\n/);
        expect(await wsk.ok("namespace", "get")).toBe(said);
      });

      it("installs its completion, and no archive that Weft does not offer", async () => {
        expect(await wsk.ok("sdk", "install", "bashauto")).toContain("auto-completion script");
        expect(await wsk.fails(1, "sdk", "install", "docker")).toContain("SDK installation failed");
      });
    });

    describe("api", () => {
      it("creates, reads, lists, serves and deletes", async () => {
        await wsk.ok("action", "create", "endpoint", "hello.js", "--web", "true");
        const created = await wsk.ok("api", "create", "/greet", "/hello", "get", "endpoint", "--response-type", "json");
        expect(created).toMatch(/ok: created API \/greet\/hello GET for action \/_\/endpoint\n/);
        const url = /https?:\/\/\S+/.exec(created)?.[0] ?? "";
        expect(JSON.parse((await wsk.fetch(`${url}?name=Api`)).text)).toEqual({ greeting: "Hello, Api" });
        await wsk.ok("api", "create", "/greet", "/hello", "post", "endpoint", "--response-type", "http");
        // wsk itself wants "http" where a path has parameters.
        const person = wsk.write("person.js", "function main({ name }) { return { body: `Hello, ${name}` }; }\n");
        await wsk.ok("action", "create", "person", person, "--web", "true");
        await wsk.ok("api", "create", "/greet", "/person/{name}", "get", "person", "--response-type", "http");
        expect((await wsk.fetch(url.replace("/hello", "/person/Path"))).text).toContain("Hello, Path");
        const all = await wsk.ok("api", "list"); // wsk lists paths in any order
        for (const path of ["/greet/hello\n", "/greet/person/{name}\n"]) expect(all).toContain(path);
        expect(await wsk.ok("api", "list", "/greet", "/hello", "get")).toContain("endpoint");
        expect(await wsk.json("api", "get", "/greet")).toMatchObject({ swagger: "2.0", basePath: "/greet" });
        await wsk.ok("api", "delete", "/greet", "/hello", "post");
        await wsk.ok("api", "delete", "/greet");
        expect((await wsk.fetch(`${url}?name=Api`)).status).toBe(404);
        await wsk.fails(1, "api", "get", "/greet"); // it is told of none, and says so itself
      });

      it("creates from a Swagger document", async () => {
        const swagger = {
          swagger: "2.0",
          basePath: "/doc",
          info: { title: "Doc", version: "1" },
          paths: {
            "/hello": {
              get: {
                "x-openwhisk": {
                  namespace: "guest",
                  package: "default",
                  action: "endpoint",
                  url: `${open.fabric.rest}/api/v1/web/guest/default/endpoint.json`,
                },
                responses: { default: { description: "whatever" } },
              },
            },
          },
        };
        const created = await wsk.ok("api", "create", "--config-file", wsk.write("api.json", JSON.stringify(swagger)));
        const url = /https?:\/\/\S+/.exec(created)?.[0] ?? "";
        expect((await wsk.fetch(`${url}?name=Doc`)).text).toContain("Hello, Doc");
        await wsk.ok("api", "delete", "/doc");
      });
    });

    describe("trigger create --feed", () => {
      it("makes triggers of the alarms package, that fire", async () => {
        const feed = "/whisk.system/alarms/interval";
        await wsk.ok("trigger", "create", "minutely", "--feed", feed, "-p", "minutes", "1");
        expect(await wsk.ok("trigger", "get", "minutely")).toContain(`"minutes"`);
        await wsk.ok("trigger", "update", "minutely", "-p", "minutes", "2");
        await wsk.ok("trigger", "delete", "minutely");
        const date = String(Date.now() + 3_000);
        await wsk.ok("action", "update", "rung", "hello.js");
        await wsk.ok("trigger", "create", "soon", "--feed", "/whisk.system/alarms/once", "-p", "date", date);
        await wsk.ok("rule", "create", "ring", "soon", "rung");
        await eventually(async () => {
          expect(await wsk.ok("activation", "list", "rung")).toContain("guest/rung");
        }, SOON);
        await wsk.ok("rule", "delete", "ring");
        await wsk.ok("trigger", "delete", "soon");
      });

      it("leaves no trigger behind whose feed refuses", async () => {
        await wsk.run("trigger", "create", "never", "--feed", "/whisk.system/alarms/alarm", "-p", "cron", "not a cron");
        await wsk.fails(148, "trigger", "get", "never");
      });
    });
  });
}

suite("dev");
describeWith(UP_SERVICES, "up", () => suite("up"));
