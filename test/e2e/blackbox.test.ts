// Actions that run in images of their own, on whole fabrics, as wsk and weft deploy them. What the image itself sees:
// test/integration/blackbox.test.ts.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";

import { eventually } from "../harness/eventually.js";
import { blackboxImage } from "../harness/launcher.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const SCRIPT = `#!/bin/bash
echo "called with $1"
echo "{\\"hello\\": $(echo "$1" | jq .name)}"
`;

describeWith(UP_SERVICES, "an action with an image", () => {
  let open: OpenFabric;
  let image = "";
  const folder = mkdtempSync(join(tmpdir(), "weft-"));
  beforeAll(async () => {
    image = blackboxImage();
    const env = { WEFT_BLACKBOX_IMAGES: "local/,openwhisk/,127.0.0.1:9/" };
    open = await openFabric({ mode: "up", invokers: 1, env });
  }, 240_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await open.close();
  });

  /** What answers here have: of an action, an activation or a refusal. */
  interface Answer {
    readonly status: number;
    readonly json: {
      readonly exec: object;
      readonly annotations: readonly { readonly key: string; readonly value: unknown }[];
      readonly activationId: string;
      readonly response: { readonly status: string; readonly result: Readonly<Record<string, unknown>> };
      readonly logs?: readonly string[];
      readonly error: string;
    };
  }
  const send = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const answer = await fetch(`${open.fabric.rest}/api/v1/namespaces/_/${path}`, {
      method,
      headers: { authorization: open.fabric.authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, json: (await answer.json()) as Answer["json"] };
  };
  const put = (name: string, exec: object): Promise<Answer> =>
    send("PUT", `actions/${name}?overwrite=true`, { exec: { kind: "blackbox", ...exec } });
  const invoke = (name: string, params: object = {}): Promise<Answer> =>
    send("POST", `actions/${name}?blocking=true`, params);

  it("is stored, shown, listed and run, as OpenWhisk does", async () => {
    const stored = await put("plain", { image });
    expect([stored.status, stored.json.exec]).toEqual([200, { kind: "blackbox", image, binary: false }]);
    expect(stored.json.annotations).toContainEqual({ key: "exec", value: "blackbox" });
    expect((await send("GET", "actions/plain")).json.exec).toEqual({ kind: "blackbox", image, binary: false });
    const listed = (await send("GET", "actions")).json as unknown as readonly { name: string; annotations: unknown }[];
    expect(listed.find(({ name }) => name === "plain")?.annotations).toContainEqual({ key: "exec", value: "blackbox" });
    const first = await invoke("plain", { act: "lines" });
    expect(first.json.response).toMatchObject({ status: "success", result: {} });
    expect(first.json.annotations).toEqual(
      expect.arrayContaining([
        { key: "kind", value: "blackbox" },
        { key: "initTime", value: expect.any(Number) as number },
      ]),
    );
    const logs = await eventually(async () => {
      const { json } = await send("GET", `activations/${first.json.activationId}/logs`);
      return json.logs?.length === 4 && json.logs;
    });
    expect(logs.map((line) => line.replace(/^\S+ /, "")).sort()).toEqual([
      "stderr: err 1",
      "stderr: err 2",
      "stdout: out 1",
      "stdout: out 2",
    ]);
    const again = await invoke("plain", { act: "request" });
    expect(again.json.response.result).toMatchObject({
      runs: 2,
      init: { main: "main", env: { __OW_ACTION_NAME: "/guest/plain" } },
      request: { value: { act: "request" }, namespace: "guest", action_name: "/guest/plain" },
    });
  });

  it("is handed its code, text or binary, and its main", async () => {
    await put("coded", { image, code: "some code", main: "niam" });
    expect((await invoke("coded", { act: "request" })).json.response.result["init"]).toMatchObject({
      code: "some code",
      binary: false,
      main: "niam",
    });
    const archive = Buffer.from("UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==", "base64").toString("base64");
    await put("coded", { image, code: archive, binary: true });
    expect((await invoke("coded", { act: "request" })).json.response.result["init"]).toMatchObject({
      code: archive,
      binary: true,
    });
  });

  it("that cannot be fetched fails as a developer error that says so", async () => {
    await put("missing", { image: "127.0.0.1:9/nobody/image" });
    const { json } = await invoke("missing");
    expect(json.response).toMatchObject({ status: "action developer error" });
    expect(json.response.result["error"]).toMatch(/^Failed to pull container image '127\.0\.0\.1:9\/nobody\/image'\./);
  });

  it("that the installation does not allow is refused with 400", async () => {
    const { status, json } = await put("foreign", { image: "somebody/else" });
    expect([status, json.error]).toEqual([400, expect.stringContaining("is not allowed here")]);
  });

  it("that ends in a call says its last words", async () => {
    await put("ends", { image });
    const { json } = await invoke("ends", { act: "exit" });
    expect(json.response).toMatchObject({
      status: "action developer error",
      result: {
        error: expect.stringMatching(/exited unexpectedly \(exit code 3\)\. Last output: last words$/) as string,
      },
    });
  });

  it("of OpenWhisk's skeleton runs scripts without that image, as wsk --native has it", async () => {
    await put("script", { image: "openwhisk/dockerskeleton", code: SCRIPT });
    const { json } = await invoke("script", { name: "Ada" });
    expect(json.response).toMatchObject({ status: "success", result: { hello: "Ada" } });
  });

  it("is made with weft, with a file and without", async () => {
    const { fabric } = open;
    const file = join(folder, "hello.sh");
    writeFileSync(file, SCRIPT);
    await fabric.ok("action", "create", "byweft", "--image", image);
    expect(await fabric.ok("action", "get", "byweft")).toContain(image);
    expect(await fabric.ok("action", "invoke", "byweft", "--param", "act", "array", "--result")).toMatch(/^\[\s*1,/);
    await fabric.ok("action", "create", "withcode", file, "--image", image);
    await fabric.ok("action", "create", "shell", file);
    expect(await fabric.ok("action", "invoke", "shell", "--param", "name", "Ada", "--result")).toContain("Ada");
  });
});
