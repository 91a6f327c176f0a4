// HTTP as no client of good will sends it, to both faces: framing that two readers could read differently, paths that could
// mean another one, packed bodies, bodies that do not come. Each gets an answer with the contract's form, stores nothing,
// and while it hangs there another tenant is answered.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { eventually } from "../harness/eventually.js";
import { http } from "../harness/http.js";
import { describeWith } from "../harness/services.js";
import { openFabric, UP_SERVICES, type OpenFabric } from "./fabrics.js";

const NEW = "/api/v1/namespaces/_/actions/new";
const BODY = `{"exec":{"kind":"nodejs:20","code":"function main() { return {} }"}}`;
const LENGTH = `Content-Length: ${BODY.length}`;
const CHUNK = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
/** What would be a request of its own if the one before it ended early. */
const SMUGGLED = `DELETE /api/v1/namespaces/_/actions/good HTTP/1.1\r\nHost: weft\r\n\r\n`;

interface Hostile {
  readonly what: string;
  /** The first line; default a PUT that would make an action. */
  readonly line?: string;
  /** Besides Host, Authorization and Content-Type. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  /** Default "weft"; "" leaves the header out. */
  readonly host?: string;
  /** What each face may answer: parsers differ in what they take for HTTP, never in what it then means. */
  readonly status: readonly number[];
}

const PUT = `PUT ${NEW} HTTP/1.1`;
const GET = (path: string): string => `GET ${path} HTTP/1.1`;
const LIST = "/api/v1/namespaces/_/actions";

const FRAMING: readonly Hostile[] = [
  {
    what: "a length and chunks",
    headers: [LENGTH, "Transfer-Encoding: chunked"],
    body: CHUNK,
    status: [400],
  },
  {
    what: "chunks and a length that hides a request",
    headers: ["Transfer-Encoding: chunked", `Content-Length: ${5 + SMUGGLED.length}`],
    body: `0\r\n\r\n${SMUGGLED}`,
    status: [400],
  },
  {
    what: "a length that hides a request from who believes chunks",
    headers: ["Content-Length: 4", "Transfer-Encoding: chunked"],
    body: `0\r\n\r\n${SMUGGLED}`,
    status: [400],
  },
  { what: "two lengths", headers: [LENGTH, "Content-Length: 3"], body: BODY, status: [400] },
  { what: "a list of lengths", headers: [`Content-Length: 3, ${BODY.length}`], body: BODY, status: [400] },
  ...["-1", "+3", "0x10", "3.0", "1e1", "99999999999999999999999", "", "three"].map((length) => ({
    what: `the length ${JSON.stringify(length)}`,
    headers: [`Content-Length: ${length}`],
    body: BODY,
    status: [400],
  })),
  ...["gzip, chunked", "xchunked", "chunked, chunked", "identity", "\x0bchunked", "chunked\x0b"].map((coding) => ({
    what: `the transfer coding ${JSON.stringify(coding)}`,
    headers: [`Transfer-Encoding: ${coding}`],
    body: CHUNK,
    status: [400, 501],
  })),
  { what: "a space before the colon", headers: ["Transfer-Encoding : chunked", LENGTH], body: BODY, status: [400] },
  ...["zz", "-1", "fffffffffffffffff", "0x5", "5 5"].map((size) => ({
    what: `a chunk of ${size} bytes`,
    headers: ["Transfer-Encoding: chunked"],
    body: `${size}\r\n${BODY}\r\n0\r\n\r\n`,
    status: [400],
  })),
  {
    what: "a chunk that does not end where it says",
    headers: ["Transfer-Encoding: chunked"],
    body: `5\r\n${BODY}\r\n0\r\n\r\n`,
    status: [400],
  },
  { what: "a NUL in a header", headers: ["X-A: a\0b", LENGTH], body: BODY, status: [400] },
  { what: "a header without a colon", headers: ["X-A", LENGTH], body: BODY, status: [400] },
  { what: "a header without a name", headers: [": a", LENGTH], body: BODY, status: [400] },
  { what: "no host", host: "", headers: [LENGTH], body: BODY, status: [400] },
  { what: "two hosts", headers: ["Host: other", LENGTH], body: BODY, status: [400] },
  {
    what: "150 headers",
    headers: [...Array.from({ length: 150 }, (_, i) => `X-${i}: 1`), LENGTH],
    body: BODY,
    status: [431],
  },
  { what: "70 KiB of headers", headers: [`X-A: ${"x".repeat(70 * 1024)}`, LENGTH], body: BODY, status: [431] },
  { what: "a verb that is none", line: `BREW ${NEW} HTTP/1.1`, status: [400, 405] },
  { what: "a verb with a bracket", line: `P(T ${NEW} HTTP/1.1`, status: [400] },
  { what: "TRACE", line: `TRACE ${NEW} HTTP/1.1`, status: [405] },
  { what: "bytes that are no HTTP", line: "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", status: [400] },
];

const PATHS: readonly Hostile[] = [
  ...(
    [
      ["dots after a collection", `${LIST}/../triggers`, 400],
      ["dots that are escaped", `${LIST}/%2e%2e/triggers`, 400],
      ["dots that are escaped twice", `${LIST}/%252e%252e`, 400],
      ["dots before the API", "/../api/v1/namespaces", 404],
      ["dots behind the web prefix", "/api/v1/web/../namespaces", 404],
      ["a dot", "/api/v1/./namespaces", 404],
      ["two slashes in front", "//api/v1/namespaces", 404],
      ["two slashes inside", "/api/v1//namespaces", 404],
      ["an empty namespace", "/api/v1/namespaces//actions", 404],
      ["an empty package", `${LIST}//good`, 404],
      ["an escaped slash before the collection", "/api/v1/namespaces/_%2Factions", 404],
      ["an escaped slash of the API", "/api%2Fv1/namespaces", 404],
      ["an escaped slash in a name", `${LIST}/a%2F..%2Fgood`, 400],
      ["a backslash", `${LIST}/..\\good`, 400],
      ["an escaped backslash", `${LIST}/a%5Cgood`, 400],
      ["a semicolon", "/api/v1/namespaces;x=1/_/actions", 404],
      ["a NUL", `${LIST}/good%00`, 400],
      ["a line break", `${LIST}/good%0d%0aX-A:%20b`, 400],
      ["a slash in two bytes", `${LIST}/%C0%AFgood`, 400],
      ["a slash in three bytes", `${LIST}/%E0%80%AFgood`, 400],
      ["half a surrogate pair", `${LIST}/%ED%A0%80`, 400],
      ["a code point beyond the last", `${LIST}/%F4%90%80%80`, 400],
      ["half an escape", `${LIST}/good%2`, 400],
      ["an escape of Microsoft's", `${LIST}/%u0041`, 400],
      ["bytes as they are", `${LIST}/\xc3\xa9`, 400],
      ["a fragment", "/api/v1/namespaces#good", 400],
      ["a name of sixty thousand characters", `${LIST}/${"x".repeat(60_000)}`, 400],
      ["twenty thousand segments", `${LIST}${"/x".repeat(20_000)}`, 404],
      ["a hundred thousand characters", `${LIST}/${"x".repeat(100_000)}`, 431],
      ["a limit twice, then wrong first", `${LIST}?limit=x&limit=1`, 400],
      ["a limit with a NUL", `${LIST}?limit=%00`, 400],
      ["a limit that is no escape", `${LIST}?limit=%zz`, 400],
      ["a limit in powers of ten", `${LIST}?limit=1e1`, 400],
      ["a limit beyond 64 bits", `${LIST}?limit=99999999999999999999`, 400],
      ["a limit in hexadecimal", `${LIST}?limit=0x10`, 400],
      ["a limit in other digits", `${LIST}?limit=%D9%A1`, 400],
      ["a skip with a fraction", `${LIST}?skip=1.5`, 400],
      ["a switch that is neither", `${LIST}?count=maybe`, 400],
      ["a moment before all", "/api/v1/namespaces/_/activations?since=-5", 400],
      ["a moment after all", "/api/v1/namespaces/_/activations?upto=1e300", 400],
      ["a moment beyond 64 bits", "/api/v1/namespaces/_/activations?since=99999999999999999999", 400],
    ] as const
  ).map(([what, path, status]) => ({ what, line: GET(path), status: [status] })),
  {
    what: "a PUT to a name behind dots",
    line: `PUT ${LIST}/x/../new HTTP/1.1`,
    headers: [LENGTH],
    body: BODY,
    status: [404],
  },
  {
    what: "a PUT to an empty package",
    line: `PUT ${LIST}//new HTTP/1.1`,
    headers: [LENGTH],
    body: BODY,
    status: [404],
  },
];

const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20));
const PACKED: readonly Hostile[] = [
  ...["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, identity", "nonsense"].map((encoding) => ({
    what: `a body in ${encoding}`,
    headers: [`Content-Encoding: ${encoding}`, LENGTH],
    body: BODY,
    status: [415],
  })),
  {
    what: "64 MiB packed into 64 KiB",
    headers: ["Content-Encoding: gzip", `Content-Length: ${BOMB.length}`],
    body: BOMB,
    status: [415],
  },
  {
    what: "packed arguments",
    line: "POST /api/v1/namespaces/_/actions/good?blocking=true HTTP/1.1",
    headers: ["Content-Encoding: gzip", `Content-Length: ${gzipSync("{}").length}`],
    body: gzipSync("{}"),
    status: [415],
  },
  {
    what: "a packed firing",
    line: "POST /api/v1/namespaces/_/triggers/tick HTTP/1.1",
    headers: ["Content-Encoding: gzip", `Content-Length: ${gzipSync("{}").length}`],
    body: gzipSync("{}"),
    status: [415],
  },
  {
    what: "a packed body without saying so",
    headers: [`Content-Length: ${gzipSync(BODY).length}`],
    body: gzipSync(BODY),
    status: [400],
  },
];

/** The other tenant's call comes back within so long, whatever hangs there. */
const MEANWHILE_MS = 5_000;
const SLOW_CLIENTS = 100;

function suite(mode: "dev" | "up"): void {
  describe(`hostile HTTP, in ${mode}`, () => {
    let open: OpenFabric;
    let other: string;

    const basic = (auth: string): string => `Basic ${Buffer.from(auth).toString("base64")}`;
    const ask = (auth: string, method: string, path: string, body?: string): ReturnType<typeof http> =>
      http(open.fabric.rest, `/api/v1/namespaces/_/${path}`, {
        method,
        headers: { authorization: basic(auth), "content-type": "application/json" },
        ...(body === undefined ? {} : { body }),
      });

    beforeAll(async () => {
      open = await openFabric({ mode, invokers: 1 });
      other = (await open.fabric.ok("namespace", "create", "other")).trim();
      const code = JSON.stringify({ exec: { kind: "nodejs:20", code: "function main(p) { return p }" } });
      for (const auth of [open.fabric.auth, other])
        expect((await ask(auth, "PUT", "actions/good", code)).status).toBe(200);
      expect((await ask(open.fabric.auth, "PUT", "triggers/tick", "{}")).status).toBe(200);
      await othersCall();
    });
    afterAll(async () => {
      await open.close();
    });

    async function othersCall(): Promise<void> {
      const started = performance.now();
      const answer = await ask(other, "POST", "actions/good?blocking=true&result=true", `{"still":"here"}`);
      expect([answer.status, answer.body]).toEqual([200, `{"still":"here"}`]);
      expect(performance.now() - started).toBeLessThan(MEANWHILE_MS);
    }

    async function stored(): Promise<unknown> {
      const lists = ["actions", "triggers", "rules", "packages", "activations"];
      return Promise.all(lists.map(async (list) => (await ask(open.fabric.auth, "GET", `${list}?limit=0`)).json()));
    }

    function socket(): Socket {
      const { hostname, port } = new URL(open.fabric.rest);
      return connect(Number(port), hostname).on("error", () => {}); // what is refused may be cut off
    }

    function head({ line = PUT, headers = [], host = "weft" }: Partial<Hostile>): string {
      const all = [
        ...(host === "" ? [] : [`Host: ${host}`]),
        `Authorization: ${basic(open.fabric.auth)}`,
        "Content-Type: application/json",
        ...headers,
      ];
      return `${line}\r\n${all.join("\r\n")}\r\n\r\n`;
    }

    /** What comes in answer to bytes: every status that there was, and the first answer. */
    async function answered(
      bytes: Buffer,
    ): Promise<{ readonly statuses: readonly number[]; readonly headers: string; readonly body: string }> {
      const talking = socket();
      let heard = "";
      talking.setEncoding("utf8").on("data", (text: string) => (heard += text));
      talking.write(bytes);
      const first = (): readonly [string, string] | undefined => {
        const [headers = "", ...rest] = heard.split("\r\n\r\n");
        const length = Number(/^content-length: (\d+)$/im.exec(headers)?.[1] ?? NaN);
        const body = rest.join("\r\n\r\n");
        return Buffer.byteLength(body) >= length ? [headers, body.slice(0, length)] : undefined;
      };
      try {
        const [headers, body] = await eventually(
          () => first() ?? Promise.reject(new Error(`no answer yet: ${heard.slice(0, 500)}`)),
          { withinMs: 10_000, everyMs: 5 },
        );
        // A second answer would be one to what was hidden in the first request.
        await othersCall();
        return { statuses: [...heard.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1])), headers, body };
      } finally {
        talking.destroy();
      }
    }

    const rows = [...FRAMING, ...PATHS, ...PACKED].map((row) => [row.what, row] as const);
    it.each(rows)("refuses %s", async (_, hostile) => {
      const before = await stored();
      const { statuses, headers, body } = await answered(
        Buffer.concat([Buffer.from(head(hostile), "latin1"), Buffer.from(hostile.body ?? "")]),
      );
      expect(statuses).toHaveLength(1);
      expect(hostile.status, body).toContain(statuses[0]);
      expect(headers).toMatch(/^content-type: application\/json/im);
      const said = JSON.parse(body) as { readonly error: string; readonly code: string };
      expect(said).toEqual({
        error: expect.stringMatching(/\S/) as string,
        code: expect.stringMatching(/\S/) as string,
      });
      expect(await stored()).toEqual(before);
    });

    it("takes a whole URL for what it says, and headers of the platform for nothing", async () => {
      const { statuses, body } = await answered(
        Buffer.from(
          head({
            line: GET("http://elsewhere.example/api/v1/namespaces"),
            headers: [
              "weft-path: /api/v1/namespaces/_/actions",
              "weft-method: DELETE",
              "weft-caller-namespace: whisk.system",
              "weft-caller-operator: 1",
              "X-HTTP-Method-Override: DELETE",
              "X-Forwarded-Host: evil.example",
            ],
          }),
        ),
      );
      expect([statuses, body]).toEqual([[200], `["guest"]`]);
    });

    it("is no proxy", async () => {
      const talking = socket();
      let heard = "";
      talking.on("data", (bytes: Buffer) => (heard += bytes.toString()));
      talking.write("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n");
      await eventually(() => talking.closed || heard !== "");
      talking.destroy();
      expect(heard).not.toContain(" 200 ");
      await othersCall();
    });

    it("keeps nothing of bodies that do not come, come drop by drop, or break off, and others do not wait", async () => {
      const before = await stored();
      const slow = Array.from({ length: SLOW_CLIENTS }, (_, i) => {
        const one = socket();
        one.write(head({ headers: i % 2 === 0 ? [LENGTH] : ["Transfer-Encoding: chunked"] }));
        return one;
      });
      for (const one of slow) if (one.connecting) await once(one, "connect");
      for (let drop = 0; drop < 5; drop++) {
        slow.forEach((one, i) => one.write(i % 2 === 0 ? BODY.charAt(drop) : `1\r\n${BODY.charAt(drop)}\r\n`));
        await othersCall();
      }
      slow.forEach((one, i) => {
        if (i % 3 === 0) one.destroy();
        else if (i % 3 === 1) one.end();
        else one.resetAndDestroy();
      });
      await othersCall();
      expect(await stored()).toEqual(before);
      for (const one of slow) one.destroy();
    });

    it("keeps nothing of heads that do not come to an end", async () => {
      const slow = Array.from({ length: SLOW_CLIENTS }, () => {
        const one = socket();
        one.write(`${PUT}\r\nHost: weft\r\nAuthorization: ${basic(open.fabric.auth)}\r\nX-A: `);
        return one;
      });
      await othersCall();
      for (const one of slow) one.destroy();
      await othersCall();
    });

    it("refuses a body without a length that goes on beyond the limit", async () => {
      const before = await stored();
      const talking = socket();
      let heard = "";
      talking.on("data", (bytes: Buffer) => (heard += bytes.toString()));
      talking.write(head({ headers: ["Transfer-Encoding: chunked"] }));
      const chunk = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(1024 * 1024, 0x20), Buffer.from("\r\n")]);
      for (let i = 0; i < 80 && heard === ""; i++) {
        await new Promise<void>((resolve) => talking.write(chunk, () => resolve()));
      }
      await eventually(() => heard !== "", { withinMs: 20_000, everyMs: 20 });
      expect(heard).toMatch(/^HTTP\/1\.1 413 [^]*larger than allowed/);
      talking.destroy();
      await othersCall();
      expect(await stored()).toEqual(before);
    });
  });
}

suite("dev");
describeWith(UP_SERVICES, "up", () => suite("up"));
