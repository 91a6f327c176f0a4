// Weft behind TLS, as it is reached from elsewhere: Envoy with a certificate of one's own in front of a whole fabric, and the
// command line, OpenWhisk's client and an import that have to trust it.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import openwhisk from "openwhisk";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Authority, type Certified } from "../harness/certificates.js";
import { Envoy } from "../harness/envoy.js";
import { CLI, run, type Ran } from "../harness/fabric.js";
import { describeWith } from "../harness/services.js";
import { openFabric, type OpenFabric } from "./fabrics.js";

describeWith(["envoy"], "Weft behind TLS", () => {
  let dir: string;
  let open: OpenFabric;
  let envoy: Envoy;
  let authority: Authority;
  let ca: string;
  /** By the name that its certificate has. */
  let apihost: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "weft-tls-"));
    authority = new Authority();
    ca = join(dir, "ca.pem");
    writeFileSync(ca, authority.cert);
    open = await openFabric({ mode: "dev" });
    envoy = await Envoy.start([open.fabric.grpc], authority.issue({ names: ["localhost"] }));
    apihost = envoy.url.replace("127.0.0.1", "localhost");
  });
  afterAll(async () => {
    await envoy.stop();
    await open.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const weft = (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
    run(process.execPath, [CLI, ...args], { PATH: process.env["PATH"], HOME: dir, NO_COLOR: "1", ...env }, dir);
  const there = (...args: readonly string[]): Promise<Ran> =>
    weft([...args, "--apihost", apihost, "--auth", open.fabric.auth]);

  it("is used by the command line, over gRPC and REST alike, when its authority is named", async () => {
    writeFileSync(join(dir, "hello.js"), "function main(p) { return { msg: `Hello, ${p.name}` } }\n");
    expect(await there("action", "create", "hello", "hello.js", "--web", "true", "--ca", ca)).toMatchObject({
      code: 0,
    });
    const invoked = await there("action", "invoke", "hello", "-p", "name", "Ada", "-r", "--ca", ca);
    expect(JSON.parse(invoked.stdout)).toEqual({ msg: "Hello, Ada" });
    const api = await there("api", "create", "/greet", "/world", "get", "hello", "--ca", "ca.pem");
    expect(api.stdout).toMatch(/^GET https:\/\/localhost:\d+\/api\/[^/]+\/greet\/world\n$/);
    const byVariable = { WEFT_APIHOST: apihost, WEFT_AUTH: open.fabric.auth, WEFT_CA: ca };
    expect((await weft(["whoami"], byVariable)).stdout).toContain("guest");
    writeFileSync(join(dir, "props"), `APIHOST=${apihost}\nAUTH=${open.fabric.auth}\nCA=${ca}\n`);
    expect((await weft(["whoami"], { WEFT_WSKPROPS: join(dir, "props") })).stdout).toContain("guest");
    writeFileSync(
      join(dir, "manifest.yaml"),
      "project: {name: p, packages: {q: {actions: {a: {function: hello.js}}}}}\n",
    );
    expect(await there("project", "deploy", "--yes", "--ca", ca)).toMatchObject({ code: 0 });
  });

  it("is used without a look at the certificate when that is asked for", async () => {
    expect((await there("whoami", "-i")).stdout).toContain("guest");
    const env = { WEFT_APIHOST: envoy.url, WEFT_AUTH: open.fabric.auth, WEFT_INSECURE: "1" };
    expect((await weft(["project", "deploy", "--yes"], env)).code).toBe(0);
  });

  it("is not believed otherwise, and the error says why and what to do", async () => {
    const stranger = await there("whoami");
    expect(stranger.code).toBe(3);
    expect(stranger.stderr).toContain("signed by nobody whom this machine trusts");
    expect(stranger.stderr).toMatch(/run +--ca FILE/);
    const misnamed = await weft(["whoami", "--apihost", envoy.url, "--auth", open.fabric.auth, "--ca", ca]);
    expect(misnamed.stderr).toContain("its certificate is of another name");
    const plain = await weft(["whoami", "--grpc", `https://${open.fabric.grpc}`, "--auth", open.fabric.auth]);
    expect(plain.stderr).toContain("it does not speak TLS there");
  });

  it("is used by OpenWhisk's own client", async () => {
    const client = openwhisk({ apihost, api_key: open.fabric.auth, ignore_certs: true });
    expect(
      await client.actions.invoke({ name: "hello", blocking: true, result: true, params: { name: "Eve" } }),
    ).toEqual({ msg: "Hello, Eve" });
  });

  it("has its namespace brought to another one", async () => {
    const { fabric } = open;
    const key = (await fabric.ok("namespace", "create", "brought")).trim();
    const here = { WEFT_WSKPROPS: join(fabric.stateDir, "wskprops"), WEFT_AUTH: key };
    const bring = (...args: readonly string[]): Promise<Ran> =>
      weft(["wsk-import", "--apihost", apihost, "--auth", fabric.auth, ...args], here);
    const refused = await bring("--dry-run");
    expect([refused.code, refused.stderr]).toEqual([
      3,
      expect.stringContaining("signed by nobody whom this machine trusts"),
    ]);
    expect((await bring("--dry-run", "--insecure")).stderr).toContain("+ api      /greet");
    const brought = await bring("--ca", ca);
    expect([brought.code, brought.stderr]).toEqual([0, expect.stringContaining("created api /greet")]);
    const listed = JSON.parse((await weft(["api", "list", "--json"], here)).stdout) as readonly {
      readonly operations: readonly { readonly action: string }[];
    }[];
    expect(listed[0]?.operations[0]?.action).toBe("/brought/hello");
    const again = await bring("--ca", ca, "--json", "--overwrite");
    expect((JSON.parse(again.stdout) as { readonly done: readonly unknown[] }).done).toEqual([]);
  });

  it.each<[string, (authority: Authority) => Certified, string]>([
    ["has expired", (by) => by.issue({ names: ["localhost"], fromDays: -9, toDays: -2 }), "certificate has expired"],
    ["is not valid yet", (by) => by.issue({ names: ["localhost"], fromDays: 2 }), "certificate is not valid yet"],
    ["is of another name", (by) => by.issue({ names: ["other.example"] }), "certificate is of another name"],
    ["is somebody else's", () => new Authority("Another").issue({ names: ["localhost"] }), "signed by nobody"],
  ])("is not imported from when its certificate %s", async (_, issue, says) => {
    const server = createServer(issue(authority), (_request, response) => response.end("[]"));
    const port = await listening(server);
    try {
      const ran = await weft(["wsk-import", "--apihost", `https://localhost:${port}`, "--auth", "a:b", "--ca", ca], {
        WEFT_WSKPROPS: join(open.fabric.stateDir, "wskprops"),
      });
      expect([ran.code, ran.stderr]).toEqual([3, expect.stringContaining(says)]);
      expect(ran.stderr).toContain("--insecure goes on without looking");
    } finally {
      server.close();
    }
  });

  it("is not followed where it sends elsewhere, since the key would go too", async () => {
    let asked = 0;
    const server = createHttpServer((_request, response) => {
      asked += 1;
      response.writeHead(308, { location: `${apihost}/api/v1/namespaces` }).end();
    });
    const port = await listening(server);
    const env = { WEFT_WSKPROPS: join(open.fabric.stateDir, "wskprops") };
    try {
      const from = (host: string): Promise<Ran> => weft(["wsk-import", "--apihost", host, "--auth", "a:b"], env);
      const ran = await from(`http://localhost:${port}`);
      expect([ran.code, asked]).toEqual([3, 1]);
      expect(ran.stderr).toContain(`says that it is ${apihost}; keys are not sent on`);
      expect(ran.stderr).toContain(`--apihost ${apihost}`);
      expect((await from(`https://localhost:${port}`)).stderr).toContain("it does not speak TLS there");
    } finally {
      server.close();
    }
  });
});

function listening(server: Server | ReturnType<typeof createHttpServer>): Promise<number> {
  return new Promise((resolve) => server.listen(0, "localhost", () => resolve((server.address() as AddressInfo).port)));
}
