// Requests to OpenWhisk's face of which status, headers and body are looked at.

import { request, type IncomingHttpHeaders } from "node:http";

export interface Asked {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies are what is being looked at
  readonly json: any;
}

/** @param path below /api/v1/namespaces, or from the root when it begins with a slash */
export function ask(
  url: string,
  auth: string | undefined,
  method: string,
  path: string,
  body?: unknown,
): Promise<Asked> {
  const { hostname, port } = new URL(url);
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    ...(auth === undefined ? {} : { authorization: `Basic ${Buffer.from(auth).toString("base64")}` }),
    ...(sent === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(sent) }),
  };
  const full = path.startsWith("/") ? path : `/api/v1/namespaces/${path}`;
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path: full, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const isJson = String(response.headers["content-type"]).includes("json") && text !== "";
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: isJson ? (JSON.parse(text) as unknown) : undefined,
        });
      });
    });
    asked.once("error", reject);
    asked.end(sent);
  });
}
