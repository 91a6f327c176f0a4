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
  readonly nextPageToken: string;
  readonly totalSize?: number | undefined;
}

/**
 * What one answer shows of a list, unless a single entry is larger. A native page ends with the entry that fills it, so
 * that there may be more to come; a client that sees fewer than it asked for skips those and asks again.
 */
const LIST_BYTES_MAX = 16 * 1024 * 1024;

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
  const page = { namespace };
  if (call.query.boolean("count", false)) {
    const asked = request({ ...page, pageToken: "", pageSize: 1, skip: 0, withTotal: true });
    const { totalSize = 0 } = await call.native(method, asked, namespace);
    return jsonResponse(200, `{${JSON.stringify(collection)}:${Math.max(0, totalSize - skip)}}`);
  }
  const entries: string[] = [];
  let bytes = 0;
  let pageToken = "";
  do {
    // Only the first page is skipped into.
    const from = pageToken === "" ? { pageToken, skip } : { pageToken, skip: 0 };
    const asked = request({ ...page, ...from, pageSize: limit - entries.length, withTotal: false });
    const response = await call.native(method, asked, namespace);
    for (const text of write(response)) {
      entries.push(text);
      bytes += Buffer.byteLength(text);
    }
    pageToken = response.nextPageToken;
  } while (pageToken !== "" && entries.length < limit && bytes < LIST_BYTES_MAX);
  return jsonResponse(200, `[${entries.join(",")}]`);
}
