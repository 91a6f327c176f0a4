// A plain gRPC client of the public API for tests, as a user's program would be.

import { GrpcNetwork, type UnaryMethod } from "../../internal/rpc/channel.js";
import { AccessServiceService } from "../../internal/gen/weft/access/v1/access.pb.js";
import { ActionServiceService, type Action } from "../../internal/gen/weft/action/v1/action.pb.js";
import { ActivationServiceService, type Activation } from "../../internal/gen/weft/activation/v1/activation.pb.js";
import { ClusterServiceService, type ClusterStatus } from "../../internal/gen/weft/cluster/v1/cluster.pb.js";
import { InvokeServiceService, type InvokeResponse } from "../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { NamespaceServiceService } from "../../internal/gen/weft/namespaces/v1/namespace.pb.js";
import { RuleServiceService } from "../../internal/gen/weft/rule/v1/rule.pb.js";
import { TriggerServiceService } from "../../internal/gen/weft/trigger/v1/trigger.pb.js";
import { WeftError } from "../../internal/base/errors.js";
import { eventually } from "./eventually.js";

export interface ActionOptions {
  /** Stored whatever is wrong with it, as OpenWhisk's paths do. */
  readonly keepFailed?: boolean;
  readonly kind?: string;
  readonly binary?: boolean;
  readonly main?: string;
  readonly timeoutMs?: number;
  readonly memoryMb?: number;
  readonly concurrency?: number;
}

export class PublicClient {
  readonly #network = new GrpcNetwork({ clusterKey: "" });

  constructor(
    readonly address: string,
    private readonly authorization: string,
  ) {}

  call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, deadlineMs = 90_000): Promise<Res> {
    return this.#network.unary(this.address, method, request, {
      deadlineMs,
      headers: { authorization: this.authorization },
    });
  }

  createAction(name: string, code: string | Uint8Array, options: ActionOptions = {}): Promise<Action> {
    return this.call(ActionServiceService.createAction, {
      keepFailedBuild: options.keepFailed ?? false,
      action: {
        namespace: "_",
        name,
        version: "",
        exec: {
          kind: options.kind ?? "nodejs:default",
          code: typeof code === "string" ? Buffer.from(code) : code,
          binary: options.binary ?? false,
          main: options.main ?? "",
          codeDigest: "",
          codeSize: 0,
          components: [],
          image: "",
          build: undefined,
          unchecked: "",
        },
        parameters: [],
        annotations: [],
        limits: {
          timeoutMs: options.timeoutMs ?? 0,
          memoryMb: options.memoryMb ?? 0,
          logsMb: undefined,
          concurrency: options.concurrency ?? 0,
        },
        publish: false,
        updateTime: undefined,
        etag: "",
        binding: "",
      },
    });
  }

  /** Waits for the end. */
  invoke(action: string, params: unknown = {}, waitMs = 0): Promise<InvokeResponse> {
    return this.call(InvokeServiceService.invoke, {
      namespace: "_",
      action,
      paramsJson: JSON.stringify(params),
      blocking: true,
      waitMs,
    });
  }

  /** @returns the id of a durable request */
  async submit(action: string, params: unknown = {}): Promise<string> {
    const { activationId } = await this.call(InvokeServiceService.invoke, {
      namespace: "_",
      action,
      paramsJson: JSON.stringify(params),
      blocking: false,
      waitMs: 0,
    });
    return activationId;
  }

  /** The record, once it is there. */
  record(activationId: string, withinMs = 20_000): Promise<Activation> {
    return eventually(() => this.call(ActivationServiceService.getActivation, { namespace: "_", activationId }), {
      withinMs,
    });
  }

  status(): Promise<ClusterStatus> {
    return this.call(ClusterServiceService.getStatus, {});
  }

  async raiseLimits(namespace: string): Promise<void> {
    await this.call(NamespaceServiceService.updateNamespaceLimits, {
      namespace,
      limits: {
        invocationsPerMinute: 1_000_000,
        firesPerMinute: 1_000_000,
        concurrentInvocations: 1_000_000,
        overrides: undefined,
      },
      clear: [],
    });
  }

  close(): void {
    this.#network.close();
  }
}

export const services = {
  access: AccessServiceService,
  action: ActionServiceService,
  activation: ActivationServiceService,
  cluster: ClusterServiceService,
  invoke: InvokeServiceService,
  namespace: NamespaceServiceService,
  rule: RuleServiceService,
  trigger: TriggerServiceService,
};

/** What a call was refused with. @throws when it was not */
export async function refusalOf(call: Promise<unknown>): Promise<WeftError> {
  try {
    await call;
  } catch (thrown) {
    if (thrown instanceof WeftError) return thrown;
    throw thrown;
  }
  throw new Error("it was not refused");
}
