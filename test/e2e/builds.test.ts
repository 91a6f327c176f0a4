// Source that is built when it is deployed, over OpenWhisk's API: it stores what does not build, and says why when it is run.
// What the native API does: test/conformance/kinds, with go.

import { afterAll, beforeAll, expect, it } from "vitest";

import { describeWith } from "../harness/services.js";
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
});
