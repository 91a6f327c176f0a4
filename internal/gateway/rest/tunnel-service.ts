// The gateway's end of Envoy's tunnel: weft/rest/v1/tunnel.proto says how a request travels in it.

import { invalidField } from "../../base/errors.js";
import type { HttpBody } from "../../gen/google/api/httpbody.pb.js";
import type { CallContext } from "../../rpc/call-context.js";
import type { RestRequest, RestResponse } from "./message.js";

/** Headers that exist between Envoy and the gateway only; `te` is gRPC's own. */
const BETWEEN_US = /^(?::|weft-|x-envoy-|grpc-|te$)/;

/** The handler of TunnelService.Handle. @param handle answers a request and never rejects */
export function tunnelHandler(
  handle: (request: RestRequest) => Promise<RestResponse>,
): (ctx: CallContext, request: HttpBody) => Promise<HttpBody> {
  return async (ctx, request) => {
    const asked = requestOf(ctx, request);
    const response = await handle(asked);
    ctx.setHeader("weft-http-status", String(response.status));
    // The transcoder writes a content type whatever the body says; this tells Envoy to take it out again.
    if (response.contentType === "") ctx.setHeader("weft-http-untyped", "1");
    for (const [name, value] of response.headers) ctx.setHeader(name.toLowerCase(), value);
    if (asked.method !== "HEAD") return { contentType: response.contentType, data: response.body, extensions: [] };
    // Envoy takes this for the answer to a POST and would send the body.
    ctx.setHeader("weft-http-length", String(response.body.length));
    return { contentType: response.contentType, data: new Uint8Array(), extensions: [] };
  };
}

function requestOf(ctx: CallContext, { data }: HttpBody): RestRequest {
  const sent = ctx.headers();
  const method = sent["weft-method"];
  const target = sent["weft-path"];
  if (method === undefined || target === undefined) {
    throw invalidField("weft-path", "must be in the metadata, with weft-method: this rpc is for Envoy");
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(sent)) {
    if (!BETWEEN_US.test(name)) headers[name] = value;
  }
  // Envoy makes these up where the client has none.
  replace(headers, "x-request-id", sent["weft-request-id"]);
  replace(headers, "content-type", sent["weft-content-type"]);
  replace(headers, "host", sent["weft-host"]);
  const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { method, target, headers, body, signal: ctx.signal };
}

function replace(headers: Record<string, string>, name: string, value: string | undefined): void {
  if (value === undefined) Reflect.deleteProperty(headers, name);
  else headers[name] = value;
}
