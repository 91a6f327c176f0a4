import { WeftError } from "../base/errors.js";
import { initEnvironment } from "../core/action/action.js";
import { sandboxKindOf } from "../core/action/image.js";
import type { EntityStore } from "../core/action/store.js";
import {
  CodeServiceService,
  type FetchRevisionRequest,
  type FetchRevisionResponse,
} from "../gen/weft/link/v1/control.pb.js";
import type { CallContext } from "../rpc/call-context.js";
import type { RpcServer } from "../rpc/server.js";

/** Code is sent in pieces of this size. */
export const PIECE_BYTES = 1024 * 1024;

export interface CodeServiceDeps {
  readonly entities: Pick<EntityStore, "getRevision" | "getRevisionWithCode">;
}

export class CodeService {
  constructor(private readonly deps: CodeServiceDeps) {}

  register(server: RpcServer): void {
    server.serveService(CodeServiceService, {
      fetchRevision: (
        ctx: CallContext,
        request: FetchRevisionRequest,
        send: (response: FetchRevisionResponse) => Promise<void>,
      ) => this.fetch(ctx, request, send),
    });
  }

  async fetch(
    _ctx: CallContext,
    request: FetchRevisionRequest,
    send: (response: FetchRevisionResponse) => Promise<void>,
  ): Promise<void> {
    const { entities } = this.deps;
    // Before anything is sent: a stream that begins ends well.
    const { revision, code } = request.withoutCode
      ? { revision: await entities.getRevision(request.revisionId), code: new Uint8Array() }
      : await entities.getRevisionWithCode(request.revisionId);
    const { exec, limits, actionKey } = revision;
    if (actionKey !== request.actionKey) {
      throw new WeftError(
        "notFound",
        "REVISION_NOT_FOUND",
        `there is no revision ${request.revisionId} of ${request.actionKey}`,
      );
    }
    await send({
      part: {
        $case: "spec",
        value: {
          ask: {
            key: actionKey,
            revisionId: revision.revisionId,
            kind: sandboxKindOf(exec),
            memoryMb: limits.memoryMb,
            concurrency: limits.concurrency,
            maxInstances: 0,
            timeoutMs: limits.timeoutMs,
          },
          main: exec.main ?? "",
          binary: exec.binary,
          codeDigest: exec.codeDigest,
          codeSize: exec.codeSize,
          env: initEnvironment(revision.initParameters),
          logsMb: limits.logsMb,
          version: revision.version,
          image: exec.image ?? "",
        },
      },
    });
    for (let at = 0; at < code.length; at += PIECE_BYTES) {
      await send({ part: { $case: "code", value: code.subarray(at, at + PIECE_BYTES) } });
    }
  }
}
