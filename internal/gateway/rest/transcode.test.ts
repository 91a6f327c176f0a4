import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { silentLog } from "../../base/log.js";
import { systemRandom } from "../../boot/system.js";
import { Action, ListActionsResponse } from "../../gen/weft/action/v1/action.pb.js";
import type { NativeApi } from "../native-api.js";
import { Transcoder } from "./transcode.js";

const descriptors = readFileSync(new URL("../../gen/weft.binpb", import.meta.url));

/** What a GET of the path answers when the rpc answers so. */
async function answerTo(path: string, message: Uint8Array): Promise<string> {
  const api = {
    identify: () => Promise.resolve({}),
    callRaw: () => Promise.resolve({ message: Buffer.from(message), headers: {} }),
  } as unknown as NativeApi;
  const transcoder = new Transcoder({ api, random: systemRandom(), log: silentLog, descriptors });
  const { status, body } = await transcoder.handle({ method: "GET", target: path, headers: {}, body: Buffer.alloc(0) });
  expect(status).toBe(200);
  return body.toString();
}

it("writes bytes, few or many, as base64 in the place of their field", async () => {
  const codes = [0, 1, 4_095, 4_096, 4_097, 100_000].map((length) => Buffer.alloc(length, `<code of ${length}> `));
  const actions = codes.map((code, i) =>
    Action.fromPartial({ name: `a${i}`, exec: { kind: "nodejs:20", code, binary: true, main: "m" } }),
  );
  const list = await answerTo(
    "/v1/namespaces/_/actions",
    ListActionsResponse.encode(ListActionsResponse.fromPartial({ actions })).finish(),
  );
  for (const [i, code] of codes.entries()) {
    const exec = `"exec":{"kind":"nodejs:20","code":"${code.toString("base64")}","binary":true,"main":"m",`;
    expect(list).toContain(`"name":"a${i}","version":"",${exec}`);
    const one = await answerTo("/v1/namespaces/_/actions/a", Action.encode(actions[i] as Action).finish());
    expect(one).toContain(exec);
  }
});
