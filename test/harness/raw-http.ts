import { request, type IncomingHttpHeaders } from "node:http";

export interface Exchanged {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body as JSON. */
  readonly json: unknown;
}

/** One HTTP exchange with its path, headers and bytes as they are; a header may repeat. */
export function exchange(
  base: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string | readonly string[]>>,
  body?: string | Buffer,
): Promise<Exchanged> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, method, agent: false, maxHeaderSize: 128 * 1024 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString("utf8");
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          bytes,
          text,
          get json(): unknown {
            return JSON.parse(text) as unknown;
          },
        });
      });
    });
    asked.once("error", reject);
    for (const [name, value] of Object.entries(headers)) {
      asked.setHeader(name, typeof value === "string" ? value : [...value]);
    }
    if (body !== undefined) asked.setHeader("content-length", Buffer.byteLength(body));
    asked.end(body);
  });
}
