// A client of one HTTP/1.1 POST over kept connections that costs little: the bare side of what lean-unary.ts measures.

import { connect, type Socket } from "node:net";

type Done = (failure: string | undefined) => void;

const HEAD_END = Buffer.from("\r\n\r\n");
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)\r\n/i;

export class LeanPost {
  readonly #idle: Connection[] = [];
  readonly #all: Connection[] = [];
  readonly #request: Buffer;

  /** Each call sends this body with these headers. */
  constructor(
    private readonly address: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string,
  ) {
    const all = {
      host: address,
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#request = Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
  }

  send(done: Done): void {
    let connection = this.#idle.pop();
    if (!connection) {
      const [host = "", port = ""] = this.address.split(":");
      connection = new Connection(connect(Number(port), host).setNoDelay(true));
      this.#all.push(connection);
    }
    const one = connection;
    one.exchange(this.#request, (failure) => {
      if (failure === undefined) this.#idle.push(one);
      done(failure);
    });
  }

  close(): void {
    for (const { socket } of this.#all) socket.destroy();
  }
}

class Connection {
  #done: Done | undefined;
  #rest: Buffer | undefined;

  constructor(readonly socket: Socket) {
    socket.on("data", (chunk) => this.#received(chunk));
    socket.on("error", (error) => this.#over(error.message));
    socket.on("close", () => this.#over("the connection ended"));
  }

  exchange(request: Buffer, done: Done): void {
    this.#done = done;
    this.socket.write(request);
  }

  #received(chunk: Buffer): void {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = bytes;
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = bytes.toString("latin1", 0, headEnd + 2);
    const length = CONTENT_LENGTH.exec(head)?.[1];
    if (length === undefined) {
      this.#over("an answer without Content-Length");
      return;
    }
    if (bytes.length < headEnd + HEAD_END.length + Number(length)) return;
    this.#rest = undefined;
    this.#over(head.startsWith("HTTP/1.1 200 ") ? undefined : head.slice(0, head.indexOf("\r\n")));
  }

  #over(failure: string | undefined): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(failure);
  }
}
