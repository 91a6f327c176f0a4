// Source that is built when it is deployed, over OpenWhisk's API: it stores what does not build, and says why when it is run.
// What the native API does: test/conformance/kinds, with go.

import Docker from "dockerode";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { socketDirectory } from "../../internal/assembly/socket-directory.js";
import { PublicClient } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import { describeWith, serviceAddress } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

describeWith(UP_SERVICES, "source that is put through OpenWhisk's API", () => {
  let open: OpenFabric;
  beforeAll(async () => {
    open = await openFabric({ mode: "up", invokers: 1 });
  }, 240_000);
  afterAll(() => open.close());

  interface Answer {
    readonly status: number;
    readonly json: {
      readonly exec: { readonly code: string };
      readonly response: {
        readonly status: string;
        readonly statusCode: number;
        readonly result: { readonly error: string };
      };
    };
  }
  const send = async (method: string, path: string, body: unknown): Promise<Answer> => {
    const answer = await fetch(`${open.fabric.rest}/api/v1/namespaces/_/actions/${path}`, {
      method,
      headers: { authorization: open.fabric.authorization, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, json: (await answer.json()) as Answer["json"] };
  };

  it("is run when it builds, and answers why not when it does not", async () => {
    const good = "package main\n\nfunc Main(p map[string]interface{}) map[string]interface{} {\n\treturn p\n}\n";
    const bad = good.replace("return p", "return q");
    const stored = await send("PUT", "built?overwrite=true", { exec: { kind: "go:1.26", code: bad } });
    expect([stored.status, stored.json.exec.code]).toEqual([200, bad]);
    const failed = await send("POST", "built?blocking=true", {});
    expect(failed.status).toBe(502);
    expect(failed.json.response).toMatchObject({
      status: "action developer error",
      result: { error: "The source does not build: ./main.go:4:9: undefined: q" },
    });
    expect((await send("PUT", "built?overwrite=true", { exec: { kind: "go:1.26", code: good } })).status).toBe(200);
    const ran = await send("POST", "built?blocking=true", { x: 1 });
    expect([ran.status, ran.json.response.result]).toEqual([200, { x: 1 }]);
  }, 120_000);

  describe("when a process ends in the middle", () => {
    const docker = new Docker({ socketPath: (serviceAddress("docker") ?? "").replace("unix://", "") });
    const sockets = (): string => socketDirectory(join(open.fabric.stateDir, "invoker-1", "sandboxes"));
    const building = async (): Promise<number> => {
      const filters = { label: [`weft.directory=${sockets()}`] };
      const all = await docker.listContainers({ all: true, filters });
      return all.filter(({ Image }) => Image.includes("/build-")).length;
    };
    let number = 0;
    /** A program that takes a compiler without its cache several seconds. */
    const begin = async (): Promise<{ readonly name: string; readonly answer: Promise<number> }> => {
      number += 1;
      const name = `large-${number}`;
      const code = `package main\n\nimport (\n\t"net/http"\n\t"encoding/json"\n)\n\n// ${number}\nfunc Main(p map[string]interface{}) map[string]interface{} {\n\t_, _ = json.Marshal(http.DefaultClient.Timeout)\n\treturn p\n}\n`;
      const answer = send("PUT", name, { exec: { kind: "go:1.26", code } }).then(
        ({ status }) => status,
        () => 0,
      );
      await eventually(async () => (await building()) === 1, { withinMs: 30_000 });
      return { name, answer };
    };
    const nothingLeft = (): Promise<void> =>
      eventually(
        async () => {
          expect(await building()).toBe(0);
          const invoker = (await client.status()).invokers[0];
          expect(readdirSync(sockets())).toHaveLength(
            invoker?.sandboxes.filter((s) => s.state !== "starting").length ?? -1,
          );
        },
        { withinMs: 20_000 },
      );
    let client: PublicClient;
    beforeAll(() => {
      client = new PublicClient(open.fabric.grpc, open.fabric.authorization);
    });
    afterAll(() => client.close());

    it("is refused and not stored when that was the invoker, whose next life removes what is left", async () => {
      const { name, answer } = await begin();
      open.fabric.kill("invoker-1");
      expect(await answer).toBe(503);
      await open.fabric.restart();
      await nothingLeft();
      expect((await send("GET", name, undefined)).status).toBe(404);
    }, 120_000);

    it("is not built on when that was the controller", async () => {
      const { name, answer } = await begin();
      open.fabric.kill("controller-1");
      expect(await answer).toBeGreaterThanOrEqual(500);
      await eventually(async () => (await building()) === 0, { withinMs: 3_000 });
      await open.fabric.restart();
      await nothingLeft();
      expect((await send("GET", name, undefined)).status).toBe(404);
    }, 120_000);

    it("leaves nothing when all of it is stopped", async () => {
      const { answer } = await begin();
      await open.fabric.down();
      expect(await answer).not.toBe(200);
      expect(await building()).toBe(0);
      expect(existsSync(sockets())).toBe(false);
    }, 120_000);
  });
});
