// An authorization server for tests, of which there is what gateways ask: RFC 7662's introspection, and GitHub's user.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class TokenServer {
  /** What is said of tokens; of others, that they are not active. */
  readonly tokens = new Map<string, Readonly<Record<string, unknown>>>();
  /** Tokens that were asked for, in order. */
  readonly asked: string[] = [];
  failing = false;

  private constructor(
    private readonly server: Server,
    private readonly client: { readonly id: string; readonly secret: string },
  ) {}

  static async start(client = { id: "gate:way", secret: "s ecret%" }): Promise<TokenServer> {
    const server = createServer();
    const tokens = new TokenServer(server, client);
    server.on("request", (request, response) => {
      void tokens.#answer(request).then(([status, body]) => {
        response.writeHead(status, { "content-type": "application/json", "x-oauth-scopes": "repo, user" });
        response.end(JSON.stringify(body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return tokens;
  }

  /** The JSON of a file for the setting tokenProviders: "local" by RFC 7662, "github" as GitHub, "away" answers nobody. */
  get providersJson(): string {
    const base = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return JSON.stringify({
      local: {
        url: `${base}/introspect`,
        clientId: this.client.id,
        clientSecret: this.client.secret,
        audience: "weft",
      },
      github: { url: `${base}/user` },
      away: { url: "http://127.0.0.1:9/" },
    });
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => {
      this.server.close(() => resolve());
    });
  }

  async #answer(request: IncomingMessage): Promise<readonly [status: number, body: unknown]> {
    const { authorization = "" } = request.headers;
    let body = "";
    for await (const part of request) body += String(part);
    if (this.failing) return [500, {}];
    if (request.url === "/user" && request.method === "GET") {
      const said = this.#said(authorization.replace(/^Bearer /, ""));
      return said ? [200, said] : [401, { message: "Bad credentials" }];
    }
    if (request.url !== "/introspect" || request.method !== "POST") return [404, {}];
    const proof = Buffer.from(authorization.replace(/^Basic /, ""), "base64").toString();
    const [id, secret] = proof.split(":").map((part) => decodeURIComponent(part.replaceAll("+", " ")));
    if (id !== this.client.id || secret !== this.client.secret) return [401, { error: "invalid_client" }];
    return [200, this.#said(new URLSearchParams(body).get("token") ?? "") ?? { active: false }];
  }

  #said(token: string): Readonly<Record<string, unknown>> | undefined {
    this.asked.push(token);
    return this.tokens.get(token);
  }
}
