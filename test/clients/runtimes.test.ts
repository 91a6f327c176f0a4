// OpenWhisk's published runtimes, unmodified, as images of actions' own on a whole Weft. `test/clients/build-runtimes` makes
// the images.

import { afterAll, beforeAll, expect, it } from "vitest";

import { openFabric, UP_SERVICES, type OpenFabric } from "../e2e/fabrics.js";
import { eventually } from "../harness/eventually.js";
import { describeWith } from "../harness/services.js";
import { zipOf } from "../harness/zip.js";

const NODEJS = "local/openwhisk-nodejs:20";
const PYTHON = "local/openwhisk-python:3.11";
const ACTIONLOOP = "local/openwhisk-actionloop:1";
const SKELETON = "local/openwhisk-dockerskeleton:1";

interface Activation {
  readonly activationId: string;
  readonly response: { readonly status: string; readonly result: Readonly<Record<string, unknown>> };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

describeWith(UP_SERVICES, "OpenWhisk's runtimes", () => {
  let open: OpenFabric;
  beforeAll(async () => {
    open = await openFabric({ mode: "up", invokers: 1 });
  }, 240_000);
  afterAll(() => open.close());

  const send = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const answer = await fetch(`${open.fabric.rest}/api/v1/namespaces/_/${path}`, {
      method,
      headers: { authorization: open.fabric.authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return answer.json();
  };
  const put = async (name: string, exec: object, more: object = {}): Promise<void> => {
    const stored = await send("PUT", `actions/${name}?overwrite=true`, {
      exec: { kind: "blackbox", ...exec },
      ...more,
    });
    expect(stored).toMatchObject({ name });
  };
  const invoke = async (name: string, params: object = {}): Promise<Activation> =>
    (await send("POST", `actions/${name}?blocking=true`, params)) as Activation;
  const logsOf = (id: string, count: number): Promise<readonly string[]> =>
    eventually(async () => {
      const { logs } = (await send("GET", `activations/${id}`)) as { readonly logs?: readonly string[] };
      return logs?.length === count && logs.map((line) => line.slice(line.indexOf(" ") + 1));
    });

  it("nodejs:20 runs source: results, logs, environment, rejections and throws", async () => {
    const code = `let runs = 0;
      function main({ act }) {
        console.log("out"); console.error("err");
        if (act === "throw") throw new Error("boom");
        if (act === "reject") return Promise.reject({ code: 7 });
        if (act === "false") return "text";
        return { runs: ++runs, name: process.env.__OW_ACTION_NAME, activation: process.env.__OW_ACTIVATION_ID };
      }`;
    await put("node", { image: NODEJS, code });
    const first = await invoke("node");
    expect(first.response.result).toEqual({ runs: 1, name: "/guest/node", activation: first.activationId });
    expect((await logsOf(first.activationId, 2)).toSorted()).toEqual(["stderr: err", "stdout: out"]);
    expect((await invoke("node")).response.result["runs"]).toBe(2);
    expect((await invoke("node", { act: "reject" })).response).toMatchObject({
      status: "application error",
      result: { error: { code: 7 } },
    });
    expect((await invoke("node", { act: "throw" })).response).toMatchObject({
      status: "action developer error",
      result: { error: expect.stringContaining("boom") as string },
    });
    expect((await invoke("node", { act: "false" })).response.status).toBe("action developer error");
  });

  it("nodejs:20 runs archives, several calls at once, and says what does not load", async () => {
    const archive = zipOf([
      { name: "package.json", content: `{"main":"lib/entry.js"}` },
      {
        name: "lib/entry.js",
        content: `exports.niam = (p) => new Promise((r) => setTimeout(() => r({ zipped: p.n }), 300));`,
      },
    ]);
    await put(
      "nodezip",
      { image: NODEJS, code: base64(archive), binary: true, main: "niam" },
      { limits: { concurrency: 4 } },
    );
    expect((await invoke("nodezip", { n: 0 })).response.result).toEqual({ zipped: 0 });
    const startMs = performance.now();
    const all = await Promise.all([1, 2, 3].map((n) => invoke("nodezip", { n })));
    expect(all.map(({ response }) => response.result["zipped"])).toEqual([1, 2, 3]);
    expect(performance.now() - startMs).toBeLessThan(850);
    await put("nodebad", { image: NODEJS, code: "function main( {" });
    expect((await invoke("nodebad")).response).toMatchObject({
      status: "action developer error",
      result: { error: expect.stringContaining("Initialization has failed due to") as string },
    });
  });

  it("python:3.11, an ActionLoop, compiles source, runs it, and tells errors as it does", async () => {
    const code = `import os
def main(args):
    print("out")
    if args.get("act") == "raise":
        raise Exception("boom")
    return {"hello": args.get("name"), "action": os.environ["__OW_ACTION_NAME"]}
`;
    await put("py", { image: PYTHON, code });
    const first = await invoke("py", { name: "Ada 🌍" });
    expect(first.response.result).toEqual({ hello: "Ada 🌍", action: "/guest/py" });
    expect(await logsOf(first.activationId, 1)).toEqual(["stdout: out"]);
    expect((await invoke("py", { act: "raise" })).response).toMatchObject({
      status: "application error",
      result: { error: "boom" },
    });
    await put("pybad", { image: PYTHON, code: "def main(args:\n" });
    expect((await invoke("pybad")).response.status).toBe("action developer error");
  });

  it("the ActionLoop proxy alone runs an executable from an archive", async () => {
    const exec = `#!/bin/bash
while read -r line
do name=$(jq -r .value.name <<<"$line")
   echo "for $name"
   echo "{\\"hello\\":\\"$name\\"}" >&3
done
`;
    const archive = zipOf([{ name: "exec", content: exec, mode: 0o100755 }]);
    await put("loop", { image: ACTIONLOOP, code: base64(archive), binary: true });
    const first = await invoke("loop", { name: "Ada" });
    expect(first.response.result).toEqual({ hello: "Ada" });
    expect(await logsOf(first.activationId, 1)).toEqual(["stdout: for Ada"]);
    expect((await invoke("loop", { name: "Bob" })).response.result).toEqual({ hello: "Bob" });
  });

  it("the same executable runs without the proxy: the launcher speaks ActionLoop itself, and exec like the skeleton", async () => {
    await put("skeleton", { image: SKELETON, code: `#!/bin/bash\necho "got $1"\necho '{"from":"skeleton"}'\n` });
    await put("native", {
      image: "openwhisk/dockerskeleton",
      code: `#!/bin/bash\necho "got $1"\necho '{"from":"skeleton"}'\n`,
    });
    for (const name of ["skeleton", "native"]) {
      const ran = await invoke(name, { a: 1 });
      expect(ran.response.result).toEqual({ from: "skeleton" });
      expect((await logsOf(ran.activationId, 1))[0]).toMatch(/^stdout: got \{"a": ?1\}$/);
    }
    await put("stub", { image: SKELETON });
    expect((await invoke("stub")).response.result).toMatchObject({ error: expect.stringContaining("stub") as string });
  });
});
