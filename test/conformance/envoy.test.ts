// What Envoy does besides HTTP and JSON: gRPC and gRPC-Web through it, and what it says when gateways are gone.

import { afterAll, beforeAll, expect, it } from "vitest";
import { AccessServiceService, WhoAmIRequest, WhoAmIResponse } from "../../internal/gen/weft/access/v1/access.pb.js";
import { Envoy } from "../harness/envoy.js";
import { eventually } from "../harness/eventually.js";
import { PublicClient, refusalOf } from "../harness/client.js";
import { http } from "../harness/http.js";
import { describeWith } from "../harness/services.js";
import { openScriptedGateway, type ScriptedGateway } from "./scripted-gateway.js";

const { whoAmI } = AccessServiceService;

describeWith(["envoy"], "Envoy in front of two gateways", () => {
  let gateways: ScriptedGateway[];
  let envoy: Envoy;

  beforeAll(async () => {
    gateways = [await openScriptedGateway(), await openScriptedGateway()];
    envoy = await Envoy.start(gateways.map(({ grpc }) => grpc));
  });
  afterAll(async () => {
    await envoy.stop();
    for (const gateway of gateways) await gateway.close();
  });

  const authorization = (): string => gateways[0]?.authorization ?? "";
  const host = (): string => new URL(envoy.url).host;

  it("hands gRPC on, with statuses and their details", async () => {
    const client = new PublicClient(host(), authorization());
    try {
      expect(await client.call(whoAmI, {})).toMatchObject({ namespace: "guest", subject: "guest" });
      expect(await refusalOf(client.invoke("nosuch"))).toMatchObject({ kind: "notFound", reason: "ENTITY_NOT_FOUND" });
      const large = `const data = "${"x".repeat(40 * 1024 * 1024)}"; function main() { return {} }`;
      expect((await client.createAction("large-over-grpc", large)).exec?.codeSize).toBe(large.length);
    } finally {
      client.close();
    }
    const stranger = new PublicClient(host(), "Basic bm9uZTpub25l");
    try {
      expect(await refusalOf(stranger.call(whoAmI, {}))).toMatchObject({ kind: "unauthenticated" });
    } finally {
      stranger.close();
    }
  });

  it("speaks gRPC-Web with browsers, from any origin", async () => {
    const origin = "https://example.com";
    const preflight = await http(envoy.url, whoAmI.path, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "x-grpc-web" },
    });
    expect(preflight.status).toBe(200);
    expect(preflight.headers["access-control-allow-origin"]).toBe(origin);
    expect(preflight.headers["access-control-allow-headers"]).toContain("x-grpc-web");

    const message = Buffer.from(WhoAmIRequest.encode({}).finish());
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    const answer = await http(envoy.url, whoAmI.path, {
      method: "POST",
      headers: {
        origin,
        authorization: authorization(),
        "content-type": "application/grpc-web-text",
        accept: "application/grpc-web-text",
        "x-grpc-web": "1",
      },
      body: frame.toString("base64"),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("application/grpc-web-text+proto");
    expect(answer.headers["access-control-allow-origin"]).toBe(origin);
    const [first = ""] = answer.body.split(/(?<==)(?=\w)/);
    const bytes = Buffer.from(first, "base64");
    expect(WhoAmIResponse.decode(bytes.subarray(5, 5 + bytes.readUInt32BE(1)))).toMatchObject({ namespace: "guest" });
  });

  it("does without a gateway that drains or is gone, and says so in each API's form when none is left", async () => {
    const ask = async (path: string): Promise<number> =>
      (await http(envoy.url, path, { headers: { authorization: authorization() } })).status;
    await gateways.shift()?.close();
    // What was sent to the dead one before Envoy knows is sent again to the other: no client sees it.
    for (let i = 0; i < 20; i++) expect(await ask("/api/v1/namespaces")).toBe(200);
    const last = gateways.shift();
    const credentials = last?.authorization ?? "";
    await last?.close();

    const openWhisk = await eventually(async () => {
      const answer = await http(envoy.url, "/api/v1/namespaces", {
        headers: { authorization: credentials, "x-request-id": "mine" },
      });
      expect(answer.status).toBe(503);
      return answer;
    });
    expect(openWhisk.headers["content-type"]).toBe("application/json");
    expect(openWhisk.headers["x-request-id"]).toBe("mine");
    expect(openWhisk.json()).toEqual({ error: expect.stringContaining("unavailable") as string, code: "mine" });
    const native = await http(envoy.url, "/v1/whoami", { headers: { authorization: credentials } });
    expect(native.status).toBe(503);
    expect(native.json()).toEqual({ code: 14, details: [], message: expect.stringContaining("unavailable") as string });
    const client = new PublicClient(host(), credentials);
    try {
      expect(await refusalOf(client.call(whoAmI, {}, 5_000))).toMatchObject({ kind: "unavailable" });
    } finally {
      client.close();
    }
  });
});
