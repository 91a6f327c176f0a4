// A debugger of the protocol that Node and Chromium speak: JSON over a WebSocket. Frames are those of RFC 6455, texts only.

import { randomBytes } from "node:crypto";
import { request } from "node:http";
import type { Socket } from "node:net";

export interface DebugEvent {
  readonly method: string;
  readonly params: Record<string, unknown>;
}

export class DebugSession {
  readonly #events: DebugEvent[] = [];
  readonly #answers = new Map<number, (answer: { readonly result?: unknown; readonly error?: unknown }) => void>();
  #next = 0;
  #received = Buffer.alloc(0);
  #text = "";

  private constructor(private readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#read();
    });
    socket.on("error", () => {}); // the other side has gone; whoever waits has a time limit
  }

  /** @param url ws://host:port/path */
  static connect(url: string): Promise<DebugSession> {
    const { hostname, port, pathname } = new URL(url);
    return new Promise((resolve, reject) => {
      const asked = request({
        host: hostname,
        port,
        path: pathname,
        headers: {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": randomBytes(16).toString("base64"),
        },
      });
      asked.once("upgrade", (_, socket: Socket) => resolve(new DebugSession(socket)));
      asked.once("response", (answer) => reject(new Error(`${url} answers ${answer.statusCode ?? 0}`)));
      asked.once("error", reject);
      asked.end();
    });
  }

  /** Everything that was told so far. */
  get events(): readonly DebugEvent[] {
    return this.#events;
  }

  call(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    this.#next += 1;
    const id = this.#next;
    this.#send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => {
      this.#answers.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result as Record<string, unknown>);
        else reject(new Error(`${method}: ${JSON.stringify(error)}`));
      });
    });
  }

  close(): void {
    this.socket.destroy();
  }

  #send(text: string): void {
    const body = Buffer.from(text);
    const mask = randomBytes(4);
    const head = Buffer.alloc(body.length < 126 ? 2 : 4);
    head[0] = 0x81;
    if (body.length < 126) head[1] = 0x80 | body.length;
    else {
      head[1] = 0x80 | 126;
      head.writeUInt16BE(body.length, 2);
    }
    for (let i = 0; i < body.length; i++) body[i] = (body[i] ?? 0) ^ (mask[i % 4] ?? 0);
    this.socket.write(Buffer.concat([head, mask, body]));
  }

  #read(): void {
    for (;;) {
      const { length } = this.#received;
      if (length < 2) return;
      const short = (this.#received[1] ?? 0) & 0x7f;
      const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (length < headBytes) return;
      const size =
        short === 126
          ? this.#received.readUInt16BE(2)
          : short === 127
            ? Number(this.#received.readBigUInt64BE(2))
            : short;
      if (length < headBytes + size) return;
      const first = this.#received[0] ?? 0;
      const body = this.#received.subarray(headBytes, headBytes + size);
      this.#received = this.#received.subarray(headBytes + size);
      if ((first & 0x0f) > 1) continue; // not a text: an end or a ping
      this.#text += body.toString("utf8");
      if ((first & 0x80) === 0) continue;
      this.#take(this.#text);
      this.#text = "";
    }
  }

  #take(text: string): void {
    const message = JSON.parse(text) as DebugEvent & { readonly id?: number; readonly result?: unknown };
    if (message.id === undefined) this.#events.push(message);
    else {
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
    }
  }
}
