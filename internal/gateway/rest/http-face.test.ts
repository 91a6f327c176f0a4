// The built-in listener by itself: what it refuses before anybody looks at it, and how it closes.

import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { http } from "../../../test/harness/http.js";
import { eventually } from "../../../test/harness/eventually.js";
import { silentLog } from "../../base/log.js";
import { MetricsRegistry } from "../../base/metrics.js";
import { systemClock } from "../../boot/system.js";
import { HttpFace } from "./http-face.js";
import { BODY_BYTES_MAX, jsonResponse, textResponse, type RestRequest, type RestResponse } from "./message.js";
import { RestMetrics } from "./metrics.js";

const GRACE_MS = 5_000;

describe("the built-in HTTP face", () => {
  let face: HttpFace;
  let base: string;
  let registry: MetricsRegistry<"gateway">;
  let seen: RestRequest[];
  let answer: (request: RestRequest) => Promise<RestResponse>;

  beforeEach(async () => {
    seen = [];
    answer = () =>
      Promise.resolve(
        textResponse(200, "fine", [
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ]),
      );
    registry = new MetricsRegistry("gateway");
    const handle = (request: RestRequest): Promise<RestResponse> => {
      seen.push(request);
      return answer(request);
    };
    face = new HttpFace({
      openWhisk: handle,
      native: handle,
      requestId: (asked) => asked ?? "made",
      clock: systemClock,
      log: silentLog,
      metrics: new RestMetrics(registry),
    });
    base = `http://${await face.listen("127.0.0.1", 0)}`;
  });
  afterEach(() => face.close(0));

  function open(): Socket {
    const { hostname, port } = new URL(base);
    return connect(Number(port), hostname);
  }

  /** Everything that comes until the other side closes. */
  async function talk(text: string): Promise<string> {
    const socket = open();
    let heard = "";
    socket.setEncoding("utf8").on("data", (part: string) => (heard += part));
    socket.write(text);
    await once(socket, "close");
    return heard;
  }

  it("hands on target, headers and body as they came, and sends repeated headers", async () => {
    const response = await http(base, "/a//b%2F?x=%20&x", { method: "POST", headers: { "X-One": "1" }, body: "{}" });
    expect(seen[0]).toMatchObject({ method: "POST", target: "/a//b%2F?x=%20&x", headers: { "x-one": "1" } });
    expect(seen[0]?.body.toString()).toBe("{}");
    expect([response.status, response.body]).toEqual([200, "fine"]);
    expect(response.rawHeaders.filter((_, i, all) => all[i - 1]?.toLowerCase() === "set-cookie")).toEqual([
      "a=1",
      "b=2",
    ]);
  });

  it("refuses an announced body above the limit unread, in the form of the API", async () => {
    for (const [path, form] of [
      ["/api/v1/x", { code: "made", error: expect.stringContaining("larger than allowed") as string }],
      ["/v1/x", { code: 3, details: [], message: expect.stringContaining("larger than allowed") as string }],
    ] as const) {
      const heard = await talk(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n`);
      const [head = "", body = ""] = heard.split("\r\n\r\n");
      expect(head).toMatch(/^HTTP\/1.1 413 /);
      expect(head).toMatch(/connection: close/i);
      expect(JSON.parse(body)).toEqual(form);
    }
    expect(seen).toEqual([]);
  });

  it.each([
    ["announced", false],
    ["not announced", true],
  ])("lets a client that reads nothing before it has sent all, %s, see the answer", async (_how, chunked) => {
    const piece = Buffer.alloc(1024 * 1024);
    const pieces = BODY_BYTES_MAX / piece.length + 4;
    const framing = chunked ? "transfer-encoding: chunked" : `content-length: ${pieces * piece.length}`;
    const socket = open().pause();
    let broken: Error | undefined;
    socket.on("error", (error) => (broken = error));
    const write = (data: string | Buffer): Promise<void> =>
      new Promise((resolve) => socket.write(data, () => resolve()));
    await write(`POST /v1/x HTTP/1.1\r\nhost: x\r\n${framing}\r\n\r\n`);
    for (let i = 0; i < pieces; i++) {
      if (chunked) await write(`${piece.length.toString(16)}\r\n`);
      await write(piece);
      if (chunked) await write("\r\n");
    }
    if (chunked) await write("0\r\n\r\n");
    let heard = "";
    socket.setEncoding("utf8").on("data", (part: string) => (heard += part));
    socket.resume();
    await once(socket, "close");
    expect(broken).toBeUndefined();
    expect(heard).toMatch(/^HTTP\/1\.1 413 [^]*larger than allowed/);
    expect(seen).toEqual([]);
  });

  it("refuses bytes that are no HTTP and headers above the limit with JSON", async () => {
    expect(await talk("BREW /pot HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1.1 400 [^]*{"code":"made","error":"[^"]+"}\n$/);
    const large = await talk(`GET / HTTP/1.1\r\nHost: a\r\nX-Large: ${"x".repeat(70_000)}\r\n\r\n`);
    expect(large).toMatch(/^HTTP\/1.1 431 [^]*"error":"Headers are larger than allowed/);
    expect(seen).toEqual([]);
  });

  it.each([
    ["no host", "GET /a HTTP/1.1\r\n\r\n", 400, /Host/],
    ["a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, /path/],
    ["101 headers", `GET /a HTTP/1.1\r\nHost: a\r\n${"X: 1\r\n".repeat(100)}\r\n`, 431, /101 > 100/],
    [
      "a body packed for the way",
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      501,
      /chunked/,
    ],
    ["a body of unknown framing", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\nbody", 501, /chunked/],
  ])("refuses %s in one answer, and closes", async (_what, text, status, says) => {
    const heard = await talk(text);
    const [head = "", ...body] = heard.split("\r\n\r\n");
    expect(head).toContain(`HTTP/1.1 ${status} `);
    expect(head).toMatch(/connection: close/i);
    expect(JSON.parse(body.join(""))).toEqual({ code: "made", error: expect.stringMatching(says) as string });
    expect(seen).toEqual([]);
  });

  it("takes as many headers as it says, and a whole URL as a path of its own", async () => {
    const lines = "X: 1\r\n".repeat(98);
    const heard = await talk(`GET http://b/c?d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines}\r\n`);
    expect(heard).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen[0]).toMatchObject({ target: "/c?d", headers: { host: "b" } });
    expect(seen[0]?.headers["x"]?.split(", ")).toHaveLength(98);
  });

  it("serves what a client expects that nobody knows", async () => {
    expect(await talk("GET /a HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nConnection: close\r\n\r\n")).toContain("fine");
  });

  it("forgets a request whose client goes in the middle of its body", async () => {
    const socket = open();
    socket.write("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    const held = async (): Promise<number> =>
      Number(/^weft_gateway_rest_buffered_bytes (\d+)$/m.exec(await registry.render())?.[1]);
    await eventually(async () => (await held()) === 4);
    socket.destroy();
    await eventually(async () => (await held()) === 0);
    expect(seen).toEqual([]);
  });

  it("tells who works for a client that it hung up", async () => {
    let signal: AbortSignal | undefined;
    answer = (request) => {
      signal = request.signal;
      return new Promise(() => undefined);
    };
    const socket = open();
    socket.write("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    await eventually(() => expect(signal?.aborted).toBe(false));
    socket.destroy();
    await eventually(() => expect(signal?.aborted).toBe(true));
  });

  it("finishes what is in flight when it closes, and takes nothing new", async () => {
    let finish = (_response: RestResponse): void => undefined;
    answer = () => new Promise((resolve) => (finish = resolve));
    const inFlight = http(base, "/slow");
    await eventually(() => expect(seen).toHaveLength(1));
    const closed = face.close(GRACE_MS);
    await expect(http(base, "/late")).rejects.toThrow();
    finish(jsonResponse(200, "{}"));
    expect((await inFlight).body).toBe("{}");
    await closed;
  });

  it("cuts off what does not finish within the grace", async () => {
    answer = () => new Promise(() => undefined);
    const inFlight = http(base, "/stuck");
    await eventually(() => expect(seen).toHaveLength(1));
    await Promise.all([face.close(10), expect(inFlight).rejects.toThrow()]);
  });

  it("says what is wrong with an address it cannot have", async () => {
    const { port } = new URL(base);
    const other = new HttpFace({
      openWhisk: answer,
      native: answer,
      requestId: () => "made",
      clock: systemClock,
      log: silentLog,
      metrics: new RestMetrics(new MetricsRegistry("gateway")),
    });
    await expect(other.listen("127.0.0.1", Number(port))).rejects.toMatchObject({ reason: "CANNOT_LISTEN" });
  });
});
