/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment -- bodies of answers are what is being looked at: a wrong member fails the test */

// Who may come in, what operators do about it, what is said to strangers, and what is kept secret, in whole fabrics.
// Numbers such as "#3" are lines of the list of behaviours that OpenWhisk's own tests assert.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { silentLog } from "../../internal/base/log.js";
import { AccessServiceService as Access } from "../../internal/gen/weft/access/v1/access.pb.js";
import { Action, ActionServiceService as Actions } from "../../internal/gen/weft/action/v1/action.pb.js";
import { Database } from "../../internal/postgres/database.js";
import { openFabric } from "../e2e/fabrics.js";
import { PublicClient, refusalOf } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import { CLI, run, type Fabric, type FabricOptions } from "../harness/fabric.js";
import { http, type HttpAnswer } from "../harness/http.js";
import { emptyDatabase, type TestDatabase } from "../harness/postgres.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
type Json = any;

const REALM = 'Basic realm="OpenWhisk secure realm",charset=UTF-8';
const basic = (auth: string): string => `Basic ${Buffer.from(auth).toString("base64")}`;
const SECRET = "a-secret-that-nobody-else-reads";
/** What is promised: gateways refuse or accept within a second. The rest is for a busy machine. */
const WITHIN = { withinMs: 5_000 };
const DOCS = "/api/v1/docs";

export function administrationSuite(name: string, options: FabricOptions): void {
  describe(`${name}: keys, subjects and secrets`, () => {
    let database: TestDatabase;
    let fabric: Fabric;
    let close: () => Promise<void>;
    let rows: Database;
    let operator: PublicClient;
    let count = 0;
    const fresh = (what: string): string => `${what}-${(count += 1)}`;

    beforeAll(async () => {
      database = await emptyDatabase();
      ({ fabric, close } = await openFabric({ ...options, env: { WEFT_POSTGRES_URL: database.url } }));
      rows = new Database({ log: silentLog }, database.url, { applicationName: "weft-test", connectionsMax: 1 });
      operator = new PublicClient(fabric.grpc, fabric.authorization);
    });
    afterAll(async () => {
      operator.close();
      await rows.close();
      await close();
      await database.drop();
    });

    const ask = (path: string, auth?: string, method = "GET", body?: unknown): Promise<HttpAnswer> =>
      http(fabric.rest, path, {
        method,
        headers: {
          ...(auth === undefined ? {} : { authorization: basic(auth) }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    const weft = async (...args: string[]): Promise<Json> => JSON.parse(await fabric.ok(...args, "--json"));
    /** A subject with a namespace of that name. @returns its key */
    const user = async (subject: string, namespace = subject): Promise<string> =>
      (await weft("admin", "user", "create", subject, namespace)).auth as string;
    const expectRefused = (auth: string): Promise<unknown> =>
      eventually(async () => {
        expect((await ask("/api/v1/namespaces", auth)).status).toBe(401);
      }, WITHIN);
    const expectAccepted = (auth: string, namespace: string): Promise<unknown> =>
      eventually(async () => {
        const answer = await ask("/api/v1/namespaces", auth);
        expect(answer.body).toBe(JSON.stringify([namespace]));
      }, WITHIN);

    describe("to strangers", () => {
      it("#1 #2 refuses what is no key with 401 and a challenge, whatever else is wrong", async () => {
        const wrong = [
          undefined,
          "Basic",
          "Basic !!!",
          basic("nocolon"),
          basic(`${fabric.auth}x`),
          basic(`${fabric.auth.split(":")[0] ?? ""}:short`),
          basic(`00000000-0000-4000-8000-000000000000:${"a".repeat(64)}`),
          `Basic ${"A".repeat(3_000)}`,
        ];
        for (const authorization of wrong) {
          for (const path of ["/api/v1/namespaces", "/api/v1/namespaces/$$/actions/%20?limit=x", "/api/v1/nothing"]) {
            const answer = await http(fabric.rest, path, {
              headers: authorization === undefined ? {} : { authorization },
            });
            expect(answer.status, `${path} ${authorization ?? "nothing"}`).toBe(401);
            expect(answer.headers["www-authenticate"]).toBe(REALM);
            expect(Object.keys(answer.json() as object).sort()).toEqual(["code", "error"]);
            expect(answer.headers["access-control-allow-origin"]).toBeUndefined(); // #6
          }
        }
      });

      it("#4 answers the documents as JSON", async () => {
        for (const path of ["/", "/api/v1", "/api/v1/", "/api/v1/api-docs", "/api-docs"]) {
          const answer = await ask(path);
          expect(answer.status, path).toBe(200);
          expect(answer.headers["content-type"]).toBe("application/json");
          expect(answer.json()).toBeTypeOf("object");
        }
        expect((await ask("/")).json()).toMatchObject({
          api_paths: ["/api/v1"],
          limits: { actions_per_minute: expect.any(Number) as unknown, max_action_memory: 512 * 1024 * 1024 },
          runtimes: { nodejs: expect.arrayContaining([expect.objectContaining({ attached: true })]) as unknown },
        });
        expect((await ask("/api/v1")).json()).toMatchObject({
          api_version_path: "v1",
          build: expect.any(String) as unknown,
          buildno: expect.any(String) as unknown,
          swagger_paths: { ui: "/docs", "api-docs": "/api-docs" },
        });
      });

      it("#4 describes in Swagger 2.0 routes that are there: none answers that there is no such resource", async () => {
        const document = (await ask("/api/v1/api-docs")).json() as Json;
        expect(document).toMatchObject({ swagger: "2.0", basePath: "/api/v1" });
        const paths = Object.entries(document.paths as Record<string, Record<string, unknown>>);
        expect(paths.length).toBeGreaterThan(15);
        for (const [template, methods] of paths) {
          const path = `/api/v1${template.replace("{namespace}", "_").replace(/\{\w+\}/g, "none")}`;
          for (const method of Object.keys(methods)) {
            const answer = await ask(path, fabric.auth, method.toUpperCase(), method === "put" ? {} : undefined);
            expect(answer.status, `${method} ${path}`).not.toBe(405);
            expect(answer.body, `${method} ${path}`).not.toContain("The requested resource could not be found");
          }
          expect((await ask(path, fabric.auth, "PATCH")).status).toBe(template.endsWith("/") ? 404 : 405);
        }
      });

      it("shows Swagger's pages, which load nothing from elsewhere", async () => {
        const moved = await ask(DOCS);
        expect(moved.status).toBe(308);
        expect(moved.headers.location).toBe("docs/index.html?url=/api/v1/api-docs");
        const index = await ask(new URL(moved.headers.location ?? "", `http://h${DOCS}`).href.slice("http://h".length));
        expect(index.headers["content-type"]).toContain("text/html");
        const files = [...index.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file ?? "");
        expect(files.length).toBe(5);
        for (const file of files) {
          const answer = await ask(`${DOCS}/${file}`);
          expect(answer.status, file).toBe(200);
          expect(answer.headers["content-security-policy"]).toContain("default-src 'none'");
          expect(answer.headers["x-content-type-options"]).toBe("nosniff");
          expect(answer.headers["content-type"]).toMatch(/javascript|css|png/);
          expect(answer.body.length).toBeGreaterThan(100);
        }
        for (const path of ["package.json", "swagger-ui-bundle.js.map", "../api-docs", "..%2f..%2fpackage.json", ""]) {
          expect([308, 404], path).toContain((await ask(`${DOCS}/${path}`)).status);
        }
      });
    });

    describe("subjects", () => {
      it("have a key for each of their namespaces, and each key lists its own", async () => {
        const alice = fresh("alice");
        const team = fresh("team");
        const [own, shared] = [await user(alice), await user(alice, team)];
        await expectAccepted(own, alice);
        await expectAccepted(shared, team);
        const got = await weft("admin", "user", "get", alice);
        expect(got).toMatchObject({
          subject: alice,
          blocked: false,
          keys: [{ namespace: alice }, { namespace: team }],
        });
        expect(JSON.stringify(got)).not.toContain(own.split(":")[1]);
        expect(await weft("admin", "user", "whois", shared)).toMatchObject({ subject: alice, namespace: team });
        expect(await weft("admin", "user", "list", team)).toMatchObject([{ subject: alice }]);
        const again = await fabric.weft("admin", "user", "create", alice, team);
        expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining(alice) as unknown });
      });

      it("may keep the keys that they had in OpenWhisk", async () => {
        const auth = `11111111-2222-4333-8444-${String(Date.now()).padStart(12, "0").slice(-12)}:${"Kk0".repeat(21)}x`;
        const bobby = fresh("bobby");
        expect((await weft("admin", "user", "create", bobby, "--use", auth)).auth).toBe(auth);
        await expectAccepted(auth, bobby);
        const other = await fabric.weft("admin", "user", "create", fresh("carol"), "--use", auth);
        expect(other.code).not.toBe(0);
        expect(other.stderr).not.toContain("Kk0");
      });

      it("#3 that are blocked are refused with all their keys like strangers, while others of the namespace are not", async () => {
        const [mallory, team] = [fresh("mallory"), fresh("team")];
        const [own, shared] = [await user(mallory), await user(mallory, team)];
        const colleague = await user(fresh("colleague"), team);
        for (const auth of [own, shared]) expect((await ask("/api/v1/namespaces", auth)).status).toBe(200);
        await fabric.ok("admin", "user", "block", mallory);
        for (const auth of [own, shared]) await expectRefused(auth);
        const refused = await ask("/api/v1/namespaces/_/actions/none", own);
        expect(refused.status).toBe(401);
        expect(refused.headers["www-authenticate"]).toBe(REALM);
        const native = new PublicClient(fabric.grpc, basic(own));
        expect(await refusalOf(native.call(Access.whoAmI, {}))).toMatchObject({ kind: "unauthenticated" });
        native.close();
        await expectAccepted(colleague, team);
        await fabric.ok("admin", "user", "unblock", mallory);
        await expectAccepted(own, mallory);
        await expectAccepted(shared, team);
      });

      it("that are blocked show no web actions, and what ran for them goes on", async () => {
        const mallory = fresh("mallory");
        const auth = await user(mallory);
        const code = "function main({ ms = 0 }) { return new Promise((d) => setTimeout(() => d({ body: 'hi' }), ms)) }";
        const made = await ask("/api/v1/namespaces/_/actions/page", auth, "PUT", {
          exec: { kind: "nodejs:default", code },
          annotations: [{ key: "web-export", value: true }],
        });
        expect(made.status, made.body).toBe(200);
        const page = `/api/v1/web/${mallory}/default/page`;
        expect((await ask(page)).body).toBe("hi");
        const running = ask("/api/v1/namespaces/_/actions/page?blocking=true&result=true", auth, "POST", { ms: 3_000 });
        await eventually(async () => {
          const [row] = await rows.rows<{ readonly n: number }>("select count(*) as n from keys where subject = $1", [
            mallory,
          ]);
          expect(row?.n).toBe(1);
        });
        await new Promise((done) => setTimeout(done, 300)); // it is under way
        await fabric.ok("admin", "user", "block", mallory);
        await eventually(async () => expect((await ask(page)).status).toBe(404), WITHIN);
        const ended = await running;
        expect([ended.status, ended.json()]).toEqual([200, { body: "hi" }]);
        await fabric.ok("admin", "user", "unblock", mallory);
        await eventually(async () => expect((await ask(page)).body).toBe("hi"), WITHIN);
      });

      it("that are deleted lose their keys; their namespaces stay unless they shall go", async () => {
        const dora = fresh("dora");
        const auth = await user(dora);
        await ask("/api/v1/namespaces/_/packages/kept", auth, "PUT", {});
        expect(await weft("admin", "user", "delete", dora)).toMatchObject({ keys: 1, keylessNamespaces: [dora] });
        await expectRefused(auth);
        expect((await fabric.weft("admin", "user", "get", dora)).code).not.toBe(0);
        const back = await user(dora);
        await expectAccepted(back, dora);
        expect((await ask("/api/v1/namespaces/_/packages/kept", back)).status).toBe(200);
        expect(await weft("admin", "user", "delete", dora, "--with-namespaces")).toMatchObject({
          deletedNamespaces: [dora],
        });
        await expectRefused(back);
        const renewed = await user(dora);
        await expectAccepted(renewed, dora);
        expect((await ask("/api/v1/namespaces/_/packages/kept", renewed)).status).toBe(404);
      });

      it("are the operator's business alone, who cannot shut himself out", async () => {
        const eve = fresh("evelyn");
        const client = new PublicClient(fabric.grpc, basic(await user(eve)));
        const calls = [
          client.call(Access.createSubject, { subject: "somebody", namespace: "", auth: "" }),
          client.call(Access.getSubject, { subject: eve }),
          client.call(Access.listSubjects, { namespace: "", pageSize: 0, pageToken: "" }),
          client.call(Access.deleteSubject, { subject: eve, namespace: "", withNamespaces: true }),
          client.call(Access.blockSubject, { subject: "guest" }),
          client.call(Access.unblockSubject, { subject: eve }),
          client.call(Access.whoIs, { uuid: fabric.auth.split(":")[0] ?? "" }),
          client.call(Access.sealParameters, {}),
        ];
        for (const call of calls) expect(await refusalOf(call)).toMatchObject({ kind: "permissionDenied" });
        client.close();
        const own = { subject: "guest", namespace: "", withNamespaces: false };
        for (const call of [operator.call(Access.blockSubject, own), operator.call(Access.deleteSubject, own)]) {
          expect(await refusalOf(call)).toMatchObject({ reason: "OWN_SUBJECT" });
        }
      });
    });

    describe("keys", () => {
      it("are replaced at once, or after a grace in which both work", async () => {
        const frida = fresh("frida");
        const first = await user(frida);
        await expectAccepted(first, frida);
        const mine = ["--auth", first];
        const second = await weft("key", "rotate", "--grace", "8s", ...mine);
        expect(second.oldExpireTime).toBeTypeOf("string");
        await expectAccepted(second.auth as string, frida);
        await expectAccepted(first, frida);
        await eventually(async () => expect((await ask("/api/v1/namespaces", first)).status).toBe(401), {
          withinMs: 15_000,
        });
        const third = (await weft("admin", "key", "rotate", frida)).auth as string;
        await expectRefused(second.auth as string);
        await expectAccepted(third, frida);
        expect((await weft("admin", "user", "get", frida)).keys).toHaveLength(1);
      });

      it("that a setting gives are replaced there", async () => {
        const ran = await fabric.weft("key", "rotate");
        expect(ran.code).not.toBe(0);
        expect(ran.stderr).toContain("bootstrapKey");
      });

      it("leave a line in the log of who changed what, and never a secret", async () => {
        const greta = fresh("greta");
        const auth = await user(greta);
        await fabric.ok("admin", "user", "block", greta);
        await fabric.ok("admin", "limits", "set", greta, "--fires-per-minute", "7");
        expect((await weft("admin", "limits", "get", greta)).limits.firesPerMinute).toBe(7);
        expect((await weft("admin", "limits", "delete", greta)).limits.firesPerMinute).toBe(600);
        if (options.mode === "dev") return; // its log is for people, and starts at warnings
        const log = readFileSync(join(fabric.stateDir, "log", "controller-1.log"), "utf8");
        const lines = log.split("\n").filter((line) => line.includes('"administration"') && line.includes(greta));
        const changes = ["subject.create", "subject.block", "namespace.limits.set", "namespace.limits.reset"];
        for (const change of changes)
          expect(
            lines.some((line) => line.includes(change)),
            change,
          ).toBe(true);
        expect(lines[0]).toContain('"subject":"guest"');
        expect(log).not.toContain(auth.split(":")[1]);
      });
    });

    describe("parameters", () => {
      const parameters = [
        { key: "password", value: SECRET },
        { key: "TOKEN", value: `${SECRET}-too`, init: true },
      ];
      const code = `function main(p) { return { password: p.password, token: process.env.TOKEN } }`;
      const seen = { password: SECRET, token: `${SECRET}-too` };

      it("are encrypted in Postgres, and plain to the code that runs and to whoever may read them", async () => {
        const [box, auth] = [fresh("box"), fabric.auth];
        const at = `/api/v1/namespaces/_`;
        for (const [path, body] of [
          [`packages/${box}`, { parameters }],
          [`actions/${box}/act`, { exec: { kind: "nodejs:default", code } }],
          [`actions/${box}-own`, { exec: { kind: "nodejs:default", code }, parameters }],
          [`packages/${box}-bound`, { binding: { namespace: "_", name: box }, parameters }],
          [`triggers/${box}-bell`, { parameters }],
          [`actions/${box}-fired`, { exec: { kind: "nodejs:default", code } }],
          [`rules/${box}-rule`, { trigger: `/_/${box}-bell`, action: `/_/${box}-fired` }],
        ] as const) {
          const answer = await ask(`${at}/${path}`, auth, "PUT", body);
          expect(answer.status, `${path} ${answer.body}`).toBe(200);
        }
        for (const action of [`${box}/act`, `${box}-own`, `${box}-bound/act`]) {
          const ran = await ask(`${at}/actions/${action}?blocking=true&result=true`, auth, "POST", {});
          expect(ran.json(), action).toEqual(seen);
        }
        const fired = await ask(`${at}/triggers/${box}-bell`, auth, "POST", {});
        expect(fired.status).toBe(202);
        await eventually(async () => {
          const list = (await ask(`${at}/activations?name=${box}-fired&docs=true`, auth)).json() as Json;
          expect(list[0].response.result.password).toBe(SECRET);
        });
        for (const path of [`packages/${box}`, `actions/${box}-own`, `triggers/${box}-bell`]) {
          const read = (await ask(`${at}/${path}`, auth)).json() as Json;
          expect(read.parameters, path).toEqual(expect.arrayContaining(parameters));
          expect(JSON.stringify(read)).not.toContain("encryption");
        }
        const stored = JSON.stringify([
          await rows.rows("select * from entities where parameters <> '[]'"),
          await rows.rows("select * from revisions where init_parameters <> '[]'"),
        ]);
        expect(stored.length).toBeGreaterThan(1_000);
        expect(stored).not.toContain(SECRET);
      });

      it("are refused when they say that they are encrypted and were not here", async () => {
        const answer = await ask(`/api/v1/namespaces/_/packages/${fresh("box")}`, fabric.auth, "PUT", {
          parameters: [{ key: "password", value: "AAAA", encryption: "aes-256" }],
        });
        expect(answer.status).toBe(400);
        expect(answer.body).toContain("encryption");
      });

      it("have a key of this installation's own, which nobody else can read", () => {
        const file = join(fabric.stateDir, "parameter.keys");
        expect(statSync(file).mode & 0o777).toBe(0o600);
        expect(readFileSync(file, "utf8")).toMatch(/^local-1:[A-Za-z0-9+/]{43}=\n$/);
      });

      it("of a package are those of an action that is made while they change", async () => {
        for (let round = 0; round < 5; round++) {
          const box = fresh("race");
          const at = `/api/v1/namespaces/_`;
          const token = (value: string) => ({ parameters: [{ key: "TOKEN", value, init: true }] });
          await ask(`${at}/packages/${box}`, fabric.auth, "PUT", token("old"));
          const [action, changed] = await Promise.all([
            operator.call(Actions.createAction, {
              keepFailedBuild: false,
              action: Action.fromPartial({
                namespace: "_",
                name: `${box}/act`,
                exec: {
                  kind: "nodejs:default",
                  code: Buffer.from("function main() { return { t: process.env.TOKEN } }"),
                },
              }),
            }),
            ask(`${at}/packages/${box}?overwrite=true`, fabric.auth, "PUT", token("new")),
          ]);
          expect(action.name).toBe(`${box}/act`);
          expect(changed.status, changed.body).toBe(200);
          const ran = await ask(`${at}/actions/${box}/act?blocking=true&result=true`, fabric.auth, "POST", {});
          expect(ran.json()).toEqual({ t: "new" });
        }
      });
    });

    describe("keys of parameters, over restarts", () => {
      const hidden = (value: unknown): unknown => expect.objectContaining({ encryption: "aes-256", value }) as unknown;
      /** Starts this installation's fabric again, in the foreground, with other settings. */
      const start = async (env: Readonly<Record<string, string>>) => {
        const where = ["--state-dir", fabric.stateDir, "--grpc", fabric.grpc, "--rest", fabric.rest.slice(7)];
        const args = options.mode === "dev" ? ["dev", "--detach", ...where] : ["up", ...where, "--invokers", "1"];
        return run(process.execPath, [CLI, ...args], {
          ...process.env,
          WEFT_POSTGRES_URL: database.url,
          NO_COLOR: "1",
          ...env,
        });
      };
      /** What roles and this command said. */
      const said = (ran: { readonly stdout: string; readonly stderr: string }): string => {
        const log = options.mode === "dev" ? "dev.log" : join("log", "controller-1.log");
        return ran.stdout + ran.stderr + readFileSync(join(fabric.stateDir, log), "utf8").slice(-4_000);
      };
      const keyOf = (fill: number): string => Buffer.alloc(32, fill).toString("base64");

      it("refuse to start with another secret, or without the key; are replaced; and may hide what they seal", async () => {
        const box = fresh("box");
        const path = `/api/v1/namespaces/_/packages/${box}`;
        const given = [{ key: "password", value: SECRET }];
        expect((await ask(path, fabric.auth, "PUT", { parameters: given })).status).toBe(200);
        const old = readFileSync(join(fabric.stateDir, "parameter.keys"), "utf8").trim();
        await fabric.down();

        for (const [keys, what] of [
          [`local-1:${keyOf(3)}`, "the secret of key local-1"],
          [`next:${keyOf(3)}`, "sealed with key local-1"],
          ["none", "sealed with key local-1"],
          ["local-1:short", "the secret of key local-1 must be 32 bytes"],
        ] as const) {
          const ran = await start({ WEFT_PARAMETER_KEYS: keys });
          expect(ran.code, keys).not.toBe(0);
          expect(said(ran), keys).toContain(what);
          expect(said(ran)).not.toContain(keyOf(3));
          await fabric.down();
        }

        const rotated = { WEFT_PARAMETER_KEYS: `next:${keyOf(3)},${old}`, WEFT_HIDE_PARAMETERS: "true" };
        const ran = await start(rotated);
        expect(ran.code, said(ran)).toBe(0);
        expect(await weft("admin", "seal")).toMatchObject({ keyId: "next", unusedKeyIds: ["local-1"] });
        const read = (await ask(path, fabric.auth)).json() as Json;
        expect(read.parameters).toEqual([hidden(expect.any(String))]);
        expect((await ask(path, fabric.auth)).json()).toEqual(read);
        expect(JSON.stringify(read)).not.toContain(SECRET);
        // What was read is taken back here, and nowhere else.
        const back = await ask(`${path}?overwrite=true`, fabric.auth, "PUT", { parameters: read.parameters });
        expect(back.status, back.body).toBe(200);
        const thief = await user(fresh("thief"));
        const stolen = await ask("/api/v1/namespaces/_/packages/mine", thief, "PUT", { parameters: read.parameters });
        expect([stolen.status, stolen.body]).toEqual([400, expect.stringContaining("encryption")]);
        // And it runs with the value itself.
        await ask(`/api/v1/namespaces/_/actions/${box}/act`, fabric.auth, "PUT", {
          exec: { kind: "nodejs:default", code: "function main(p) { return p }" },
        });
        const acted = await ask(
          `/api/v1/namespaces/_/actions/${box}/act?blocking=true&result=true`,
          fabric.auth,
          "POST",
          {},
        );
        expect(acted.json()).toEqual({ password: SECRET });
        await fabric.down();

        const without = await start({ WEFT_PARAMETER_KEYS: `next:${keyOf(3)}` });
        expect(without.code, said(without)).toBe(0);
        expect(((await ask(path, fabric.auth)).json() as Json).parameters).toEqual(given);
      });
    });
  });
}
