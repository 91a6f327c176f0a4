// The largest of everything that docs/limits.md allows goes through every hop, and one byte more does not: code, arguments
// and results, over gRPC, InvokeStream, /v1 and OpenWhisk's paths, through the built-in face and through Envoy.

import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  Action,
  CreateActionRequest,
  GetActionRequest,
  type Action as StoredAction,
} from "../../internal/gen/weft/action/v1/action.pb.js";
import { Outcome, type Activation } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { CallRequest, type StreamResult } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { CreateRuleRequest } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { CreateTriggerRequest } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import { GrpcNetwork } from "../../internal/rpc/channel.js";
import { invokeStreamLink } from "../../internal/rpc/link-methods.js";
import { PublicClient, refusalOf, services } from "../harness/client.js";
import { eventually } from "../harness/eventually.js";
import type { Fabric } from "../harness/fabric.js";
import { http, type HttpAnswer } from "../harness/http.js";
import { describeWith } from "../harness/services.js";
import { tarGzOf } from "../harness/tar.js";
import { zipOf } from "../harness/zip.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const MIB = 1024 * 1024;
const LARGEST_CODE = 48 * MIB;
const LARGEST_JSON = MIB;
/** A sandbox holds the archive, what comes out of it, and the runtime. */
const MEMORY_MB = 512;

describe("dev", () => sizes("dev"));
describeWith(UP_SERVICES, "up", () => sizes("up"));

interface Code {
  readonly bytes: Buffer;
  readonly binary: boolean;
}

/** Source of exactly so many bytes, which says how many. */
function source(bytes: number): Code {
  const head = `exports.main = () => ({ bytes: ${bytes} });\n//`;
  return { bytes: Buffer.concat([Buffer.from(head), filled(bytes - head.length, "\u00fc")]), binary: false };
}

/** An archive of exactly so many bytes that cannot be compressed; its action says how large its data is. */
function archive(bytes: number): Code {
  const index = 'exports.main = () => ({ bytes: require("fs").statSync(__dirname + "/data.bin").size });\n';
  const of = (size: number): Buffer =>
    Buffer.from(
      zipOf([
        { name: "index.js", content: index },
        { name: "data.bin", content: randomBytes(size), deflated: false },
      ]),
    );
  const around = of(0).length;
  return { bytes: of(bytes - around), binary: true };
}

/** The same as a packed tar archive, of about so many bytes. */
function packedTar(bytes: number): Code {
  const index = 'exports.main = () => ({ bytes: require("fs").statSync(__dirname + "/data.bin").size });\n';
  const data = randomBytes(bytes - 64 * 1024);
  return {
    bytes: Buffer.from(
      tarGzOf([
        { name: "index.js", content: index },
        { name: "data.bin", content: data },
      ]),
    ),
    binary: true,
  };
}

/** The same for python. */
function pythonArchive(bytes: number): Code {
  const main =
    'import os\ndef main(args):\n    return {"bytes": os.path.getsize(os.path.dirname(__file__) + "/data.bin")}\n';
  return {
    bytes: Buffer.from(
      zipOf([
        { name: "__main__.py", content: main },
        { name: "data.bin", content: randomBytes(bytes - 1_000), deflated: false },
      ]),
    ),
    binary: true,
  };
}

/** Most memory that a process ever had, MiB. */
function peakMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Exactly so many bytes of text. */
function filled(bytes: number, letter: string): Buffer {
  const width = Buffer.byteLength(letter);
  return Buffer.from(letter.repeat(Math.floor(bytes / width)) + "y".repeat(bytes % width));
}

/** JSON text of an object of exactly so many bytes. */
function object(bytes: number, letter = "x"): string {
  return `{"x":"${filled(bytes - '{"x":""}'.length, letter).toString()}"}`;
}

function sizes(mode: "dev" | "up"): void {
  let open: OpenFabric;
  let fabric: Fabric;
  let client: PublicClient;

  beforeAll(async () => {
    open = await openFabric({ mode, invokers: 1 });
    ({ fabric } = open);
    client = new PublicClient(fabric.grpc, fabric.authorization);
    await client.raiseLimits("guest");
    await client.createAction("echo", "exports.main = (params) => params;\n");
    await client.createAction("echo-py", "def main(params):\n    return params\n", { kind: "python:default" });
    await client.createAction("grow", 'exports.main = ({ bytes }) => ({ x: "x".repeat(bytes - 8) });\n');
    await client.createAction("measure", "exports.main = ({ x }) => ({ length: x.length });\n");
  });

  afterAll(async () => {
    client.close();
    await open.close();
  });

  const rest = (path: string, method = "GET", body?: string | Uint8Array): Promise<HttpAnswer> =>
    http(fabric.rest, path, {
      method,
      headers: { authorization: fabric.authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body }),
    });

  describe("code", () => {
    const rows: readonly (readonly [what: string, make: () => Code])[] = [
      ["source of 5 MiB", () => source(5 * MIB)],
      ["source of 36 MiB", () => source(36 * MIB)],
      ["source of 48 MiB", () => source(LARGEST_CODE)],
      ["an archive of 5 MiB", () => archive(5 * MIB)],
      ["an archive of 36 MiB", () => archive(36 * MIB)],
      ["an archive of 48 MiB", () => archive(LARGEST_CODE)],
    ];

    let made = 0;
    const requestOf = (name: string, { bytes, binary }: Code, kind = "nodejs:20"): CreateActionRequest =>
      CreateActionRequest.fromPartial({
        action: {
          namespace: "_",
          name,
          exec: { kind, code: bytes, binary },
          limits: { memoryMb: MEMORY_MB, timeoutMs: 60_000 },
        },
      });

    const stored = async (name: string): Promise<StoredAction> =>
      client.call(services.action.getAction, GetActionRequest.fromPartial({ namespace: "_", name, withCode: true }));

    const runs = async (name: string, { bytes, binary }: Code): Promise<void> => {
      const { activation } = await client.invoke(name);
      const { bytes: said } = JSON.parse(activation?.resultJson ?? "{}") as { readonly bytes: number };
      expect(activation?.outcome, activation?.resultJson).toBe(Outcome.SUCCESS);
      // A tar archive has its blocks and is packed once more.
      if (binary) expect(Math.abs(bytes.length - said)).toBeLessThan(64 * 1024);
      else expect(said).toBe(bytes.length);
      await client.call(services.action.deleteAction, { namespace: "_", name, etag: "" });
    };

    const isStored = async (name: string, { bytes, binary }: Code): Promise<void> => {
      const { exec } = await stored(name);
      expect([exec?.binary, exec?.codeSize, exec?.codeDigest]).toEqual([binary, bytes.length, digestOf(bytes)]);
      expect(digestOf(exec?.code ?? new Uint8Array())).toBe(digestOf(bytes));
    };

    it.each(rows)("over gRPC: %s", async (_what, make) => {
      const [name, code] = [`code-${(made += 1)}`, make()];
      const answer = await client.call(services.action.createAction, requestOf(name, code));
      expect(answer.exec?.codeSize).toBe(code.bytes.length);
      await isStored(name, code);
      await runs(name, code);
    });

    it.each(rows)("over /v1: %s", async (_what, make) => {
      const [name, code] = [`code-${(made += 1)}`, make()];
      const body = JSON.stringify({
        name,
        exec: { kind: "nodejs:20", code: code.bytes.toString("base64"), binary: code.binary },
        limits: { memoryMb: MEMORY_MB },
      });
      const answer = await rest("/v1/namespaces/_/actions", "POST", body);
      expect(answer.status, answer.body.slice(0, 500)).toBe(200);
      await isStored(name, code);
      const read = await rest(`/v1/namespaces/_/actions/${name}?with_code=true`);
      expect(read.status, read.body.slice(0, 500)).toBe(200);
      const { exec } = read.json() as { readonly exec: { readonly code: string } };
      expect(digestOf(Buffer.from(exec.code, "base64"))).toBe(digestOf(code.bytes));
      await runs(name, code);
    });

    // OpenWhisk counts what is sent: an archive of 36 MiB is 48 MiB of base64.
    it.each(rows.slice(0, -1))("over OpenWhisk's paths: %s", async (_what, make) => {
      const [name, code] = [`code-${(made += 1)}`, make()];
      const sent = code.bytes.toString(code.binary ? "base64" : "utf8");
      const body = JSON.stringify({ exec: { kind: "nodejs:20", code: sent }, limits: { memory: MEMORY_MB } });
      const answer = await rest(`/api/v1/namespaces/_/actions/${name}`, "PUT", body);
      expect(answer.status, answer.body.slice(0, 500)).toBe(200);
      await isStored(name, code);
      const read = await rest(`/api/v1/namespaces/_/actions/${name}`);
      expect(read.status, read.body.slice(0, 500)).toBe(200);
      const { exec } = read.json() as { readonly exec: { readonly code: string; readonly binary: boolean } };
      expect([exec.binary, exec.code === sent]).toEqual([code.binary, true]);
      await runs(name, code);
    });

    it.each<[what: string, kind: string, make: () => Code]>([
      ["a packed tar archive for nodejs", "nodejs:20", () => packedTar(LARGEST_CODE)],
      ["an archive for python", "python:3.11", () => pythonArchive(LARGEST_CODE)],
    ])("of 48 MiB: %s", async (_what, kind, make) => {
      const [name, code] = [`code-${(made += 1)}`, make()];
      await client.call(services.action.createAction, requestOf(name, code, kind));
      await isStored(name, code);
      await runs(name, code);
    });

    it("of 48 MiB goes through the CLI, and of one byte more does not", async () => {
      const folder = mkdtempSync(join(tmpdir(), "weft-"));
      try {
        const code = archive(LARGEST_CODE);
        const [fits, large] = [join(folder, "fits.zip"), join(folder, "large.zip")];
        writeFileSync(fits, code.bytes);
        writeFileSync(large, archive(LARGEST_CODE + 1).bytes);
        await fabric.ok("action", "create", "by-cli", fits, "--kind", "nodejs:20", "--memory", String(MEMORY_MB));
        await isStored("by-cli", code);
        await runs("by-cli", code);
        const refused = await fabric.weft("action", "create", "by-cli", large, "--kind", "nodejs:20");
        expect(refused.code).not.toBe(0);
        expect(refused.stderr).toContain("larger than allowed: 50331649 > 50331648 bytes");
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    it("of 48 MiB goes through ten at once, in memory that has a bound", async () => {
      const code = archive(LARGEST_CODE);
      const names = Array.from({ length: 10 }, (_, i) => `at-once-${i}`);
      await Promise.all(names.map((name) => client.call(services.action.createAction, requestOf(name, code), 180_000)));
      for (const { name, pid } of fabric.processes()) {
        // Ten times 48 MiB wait in the gateway, and what is made of one on its way; a controller has one at a time.
        if (name.startsWith("controller")) expect([name, peakMb(pid) < 900]).toEqual([name, true]);
        else if (name.startsWith("gateway")) expect([name, peakMb(pid) < 1_600]).toEqual([name, true]);
        else if (name === "dev") expect([name, peakMb(pid) < 2_400]).toEqual([name, true]);
      }
      for (const name of names) {
        await client.call(services.action.deleteAction, { namespace: "_", name, etag: "" });
      }
    });

    it("one byte more is refused everywhere, and nothing is stored", async () => {
      const code: Code = { bytes: Buffer.alloc(LARGEST_CODE + 1, 0x20), binary: false };
      expect(await refusalOf(client.call(services.action.createAction, requestOf("code", code)))).toMatchObject({
        kind: "invalidArgument",
        reason: "TOO_LARGE",
        fields: [{ field: "exec.code", description: "larger than allowed: 50331649 > 50331648 bytes" }],
      });
      const native = JSON.stringify({
        name: "code",
        exec: { kind: "nodejs:20", code: code.bytes.toString("base64") },
      });
      const refused = await rest("/v1/namespaces/_/actions", "POST", native);
      expect([refused.status, refused.body]).toEqual([400, expect.stringContaining('"exec.code"')]);
      for (const sent of [code.bytes.toString(), archive(36 * MIB + 3).bytes.toString("base64")]) {
        const put = await rest(
          "/api/v1/namespaces/_/actions/code",
          "PUT",
          JSON.stringify({ exec: { kind: "nodejs:20", code: sent } }),
        );
        expect([put.status, put.body]).toEqual([
          413,
          expect.stringMatching(/exec larger than allowed: \d+ > 50331648/),
        ]);
      }
      expect((await refusalOf(stored("code"))).kind).toBe("notFound");
    });
  });

  describe("arguments and results of exactly 1 MiB", () => {
    const texts: readonly (readonly [what: string, text: string])[] = [
      ["of one byte a letter", object(LARGEST_JSON)],
      ["of two bytes a letter", object(LARGEST_JSON, "\u00fc")],
      ["of four bytes a letter", object(LARGEST_JSON, "\u{1f600}")],
    ];
    const actions = ["echo", "echo-py"] as const;
    const rows = actions.flatMap((action) => texts.map(([what, text]) => [action, what, text] as const));

    const invoke = (action: string, paramsJson: string, blocking: boolean) =>
      client.call(services.invoke.invoke, { namespace: "_", action, paramsJson, blocking, waitMs: 0 });
    const isEcho = (activation: Activation | undefined, text: string): void => {
      expect(activation?.outcome, activation?.resultJson.slice(0, 300)).toBe(Outcome.SUCCESS);
      expect(activation?.resultSize).toBe(LARGEST_JSON);
      expect(activation?.resultJson === text).toBe(true);
    };

    it.each(rows)("%s over gRPC: %s", async (action, _what, text) => {
      const { activation } = await invoke(action, text, true);
      isEcho(activation, text);
      isEcho(await client.record(activation?.activationId ?? ""), text);
    });

    it.each(rows)("%s over gRPC, not waited for: %s", async (action, _what, text) => {
      const { activationId } = await invoke(action, text, false);
      isEcho(await client.record(activationId), text);
    });

    it.each(rows)("%s over Call: %s", async (action, _what, text) => {
      const request = CallRequest.fromPartial({ namespace: "_", action, params: { data: Buffer.from(text) } });
      const { data } = await client.call(services.invoke.call, request);
      expect(Buffer.from(data).toString() === text).toBe(true);
    });

    it.each(rows)("%s over InvokeStream, eight at once: %s", async (action, _what, text) => {
      const network = new GrpcNetwork({ clusterKey: "" });
      const link = network.dial(fabric.grpc, invokeStreamLink, { authorization: fabric.authorization });
      const results: StreamResult[] = [];
      try {
        await new Promise<void>((resolve, reject) => {
          link.onItem = (result) => {
            if (results.push(result) === 8) resolve();
          };
          link.onClosed = (why) => {
            reject(why ?? new Error("the stream ended"));
          };
          const paramsJson = Buffer.from(text);
          for (let call = 0; call < 8; call++) link.send({ call, namespace: "_", action, paramsJson });
        });
      } finally {
        link.close();
        network.close();
      }
      expect(results.map(({ call }) => call).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      for (const { statusCode, statusMessage, resultJson } of results) {
        expect([statusCode, statusMessage]).toEqual([0, ""]);
        expect(Buffer.from(resultJson).toString() === text).toBe(true);
      }
    });

    it.each(rows)("%s over /v1: %s", async (action, _what, text) => {
      const path = `/v1/namespaces/_/actions/${action}`;
      const waited = await rest(`${path}:invoke`, "POST", JSON.stringify({ paramsJson: text, blocking: true }));
      expect(waited.status, waited.body.slice(0, 300)).toBe(200);
      const { activation } = waited.json() as { readonly activation: { readonly resultJson: string } };
      expect(activation.resultJson === text).toBe(true);
      const bare = await rest(`${path}:call`, "POST", text);
      expect([bare.status, bare.body === text]).toEqual([200, true]);
      const accepted = await rest(`${path}:invoke`, "POST", JSON.stringify({ paramsJson: text }));
      const { activationId } = accepted.json() as { readonly activationId: string };
      isEcho(await client.record(activationId), text);
      const read = await rest(`/v1/namespaces/_/activations/${activationId}`);
      expect((read.json() as { readonly resultJson: string }).resultJson === text).toBe(true);
    });

    it.each(rows)("%s over OpenWhisk's paths: %s", async (action, _what, text) => {
      const path = `/api/v1/namespaces/_/actions/${action}`;
      const bare = await rest(`${path}?blocking=true&result=true`, "POST", text);
      expect([bare.status, bare.body === text]).toEqual([200, true]);
      const waited = await rest(`${path}?blocking=true`, "POST", text);
      expect([waited.status, waited.body.includes(text)]).toEqual([200, true]);
      const accepted = await rest(path, "POST", text);
      expect(accepted.status).toBe(202);
      const { activationId } = accepted.json() as { readonly activationId: string };
      isEcho(await client.record(activationId), text);
      const result = await rest(`/api/v1/namespaces/_/activations/${activationId}/result`);
      expect([result.status, result.body.includes(text)]).toEqual([200, true]);
    });

    it("go through a trigger to the actions of its rules", async () => {
      const trigger = CreateTriggerRequest.fromPartial({ trigger: { namespace: "_", name: "large" } });
      await client.call(services.trigger.createTrigger, trigger);
      const rule = { namespace: "_", name: "measured", trigger: "large", action: "measure" };
      await client.call(services.rule.createRule, CreateRuleRequest.fromPartial({ rule }));
      const text = object(LARGEST_JSON);
      const length = (JSON.parse(text) as { readonly x: string }).x.length;
      const { activationId } = await client.call(services.invoke.fire, {
        namespace: "_",
        trigger: "large",
        paramsJson: text,
      });
      expect((await client.record(activationId)).resultJson === text).toBe(true);
      const fired = await rest("/api/v1/namespaces/_/triggers/large", "POST", text);
      expect(fired.status, fired.body.slice(0, 300)).toBe(202);
      await eventually(async () => {
        const list = await rest("/api/v1/namespaces/_/activations?name=measure&docs=true");
        const records = list.json() as readonly { readonly response: { readonly result: unknown } }[];
        expect(records.map(({ response }) => response.result)).toEqual([{ length }, { length }]);
      });
    });

    it("are joined by defaults of 1 MiB from the package and the action", async () => {
      const value = JSON.stringify("d".repeat(LARGEST_JSON - 100));
      await client.createAction(
        "defaults",
        "exports.main = (p) => ({ keys: Object.keys(p).sort(), sizes: Object.values(p).map((v) => v.length) });\n",
      );
      const action = Action.fromPartial({
        namespace: "_",
        name: "defaults",
        parameters: [{ key: "d", valueJson: value }],
      });
      await client.call(services.action.updateAction, {
        action,
        updateFields: ["parameters"],
        keepFailedBuild: false,
        allowMissing: false,
        deleteAnnotations: [],
      });
      for (const blocking of [true, false]) {
        const { activationId } = await invoke("defaults", object(LARGEST_JSON), blocking);
        const { resultJson } = await client.record(activationId);
        expect(JSON.parse(resultJson)).toEqual({ keys: ["d", "x"], sizes: [LARGEST_JSON - 100, LARGEST_JSON - 8] });
      }
    });

    it("one byte more of a result is an application error with an excerpt and the true size", async () => {
      for (const bytes of [LARGEST_JSON, LARGEST_JSON + 1, 8 * MIB]) {
        const { activation } = await client.invoke("grow", { bytes });
        const fits = bytes <= LARGEST_JSON;
        expect([activation?.outcome, activation?.resultSize]).toEqual([
          fits ? Outcome.SUCCESS : Outcome.APPLICATION_ERROR,
          bytes,
        ]);
        if (!fits)
          expect(activation?.resultJson).toMatch(new RegExp(`exceeded the allowed length: ${bytes} > 1048576`));
      }
    });

    it("are shown many at a time: a page ends before it is too large for a message", async () => {
      const ids = new Set<string>();
      for (let i = 0; i < 90; i++) ids.add((await invoke("echo", object(LARGEST_JSON), true)).activationId);
      for (const id of ids) await client.record(id);
      const seen = new Set<string>();
      let pageToken = "";
      do {
        const page = await client.call(services.activation.listActivations, {
          namespace: "_",
          name: "echo",
          since: undefined,
          upto: undefined,
          full: true,
          pageSize: 200,
          pageToken,
          skip: 0,
          withTotal: false,
        });
        expect(page.activations.length).toBeGreaterThan(0);
        for (const { activationId } of page.activations) seen.add(activationId);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect([...ids].filter((id) => !seen.has(id))).toEqual([]);
      const path = "/api/v1/namespaces/_/activations?name=echo&docs=true&limit=200";
      const listed = await rest(path);
      expect(listed.status, listed.body.slice(0, 300)).toBe(200);
      expect((listed.json() as readonly unknown[]).length).toBeGreaterThan(0);
    });
  });
}
