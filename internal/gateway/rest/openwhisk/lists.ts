import type { UnaryMethod } from "../../../rpc/channel.js";
import { jsonResponse, type RestResponse } from "../message.js";
import type { OpenWhiskCall } from "./call.js";

interface PageRequest {
  readonly namespace: string;
  readonly pageSize: number;
  readonly pageToken: string;
  readonly skip: number;
  readonly withTotal: boolean;
}

interface PageResponse {
  readonly totalSize?: number | undefined;
}

/** Answers a list: an array of what `write` makes of the page, or `{"<collection>": N}` with `count=true`. */
export async function listOf<Req extends PageRequest, Res extends PageResponse>(
  call: OpenWhiskCall,
  collection: string,
  method: UnaryMethod<Req, Res>,
  request: (page: PageRequest) => Req,
  write: (response: Res) => readonly string[],
): Promise<RestResponse> {
  const namespace = call.namespace();
  const limit = call.query.limit(collection);
  const skip = call.query.skip(collection);
  const page = { namespace, pageToken: "" };
  if (call.query.boolean("count", false)) {
    const asked = request({ ...page, pageSize: 1, skip: 0, withTotal: true });
    const { totalSize = 0 } = await call.native(method, asked, namespace);
    return jsonResponse(200, `{${JSON.stringify(collection)}:${Math.max(0, totalSize - skip)}}`);
  }
  const asked = request({ ...page, pageSize: limit, skip, withTotal: false });
  const response = await call.native(method, asked, namespace);
  return jsonResponse(200, `[${write(response).join(",")}]`);
}
