import { WeftError } from "../base/errors.js";
import type { MemberView } from "../core/coordination/member-view.js";
import {
  CodeServiceService,
  type FetchRevisionRequest,
  type FetchRevisionResponse,
} from "../gen/weft/link/v1/control.pb.js";
import type { GrpcNetwork } from "../rpc/channel.js";
import type { CodeSource } from "./code-cache.js";

/** Longest time for the largest code. */
const FETCH_MS_MAX = 60_000;

/** Asks the controllers of the cluster, one after the other when one does not answer. */
export class GrpcCodeSource implements CodeSource {
  #next = 0;

  constructor(
    private readonly network: Pick<GrpcNetwork, "serverStream">,
    private readonly members: Pick<MemberView, "of">,
  ) {}

  async *fetch(
    actionKey: string,
    revisionId: string,
    withoutCode: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<FetchRevisionResponse> {
    const controllers = this.members.of("controller");
    const controller = controllers[this.#next % Math.max(1, controllers.length)];
    if (!controller) throw new WeftError("unavailable", "NO_CONTROLLER", "no controller is among the members");
    try {
      yield* this.network.serverStream<FetchRevisionRequest, FetchRevisionResponse>(
        controller.address,
        CodeServiceService.fetchRevision,
        { actionKey, revisionId, withoutCode },
        { deadlineMs: FETCH_MS_MAX, signal },
      );
    } catch (thrown) {
      this.#next += 1; // another one next time
      throw thrown;
    }
  }
}
