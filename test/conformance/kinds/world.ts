// One kind in front of a fabric: its actions, and calls of them with their records.

import { Action, CreateActionRequest } from "../../../internal/gen/weft/action/v1/action.pb.js";
import { Outcome, type Activation } from "../../../internal/gen/weft/activation/v1/activation.pb.js";
import type { SandboxDriver } from "../../../internal/core/sandbox/driver.js";
import type { Registries } from "../../harness/registries.js";
import { services, type PublicClient } from "../../harness/client.js";
import type { Expectation, Family } from "./family.js";

export interface Use {
  /** Name of a source file; "archive" for the folder. Default "action". */
  readonly file?: string;
  readonly main?: string;
  readonly timeoutMs?: number;
  readonly memoryMb?: number;
  readonly logsMb?: number;
  readonly concurrency?: number;
  /** Stored whatever is wrong with it, as OpenWhisk's paths do. */
  readonly keepFailed?: boolean;
  /** An archive in place of a source. */
  readonly code?: Uint8Array;
  /** Annotation. */
  readonly resolveDependencies?: boolean;
  readonly parameters?: readonly { readonly key: string; readonly valueJson: string; readonly init?: boolean }[];
}

/** What a run came to. */
export interface Ended {
  readonly record: Activation;
  readonly outcome: NonNullable<Expectation["outcome"]> | "platformError";
  readonly result: unknown;
  /** Text of `{"error": ...}`; "" when there is none. */
  readonly error: string;
  readonly logs: readonly string[];
}

const OUTCOMES: Readonly<Partial<Record<Outcome, Ended["outcome"]>>> = {
  [Outcome.SUCCESS]: "success",
  [Outcome.APPLICATION_ERROR]: "applicationError",
  [Outcome.DEVELOPER_ERROR]: "developerError",
  [Outcome.PLATFORM_ERROR]: "platformError",
};

export class KindWorld {
  constructor(
    readonly kind: string,
    readonly family: Family,
    readonly client: PublicClient,
    readonly driver: SandboxDriver,
    /** http://host:port */
    readonly rest: string,
    readonly registries: Registries,
  ) {}

  /** Name of this kind's action. */
  actionName(name: string): string {
    return `${this.kind.replaceAll(/[^\w]/g, "-")}-${name}`;
  }

  /** @throws what the deployment is refused with */
  async deploy(name: string, use: Use): Promise<Action> {
    const { can } = this.family;
    const file = use.file ?? "action";
    const binary = file === "archive" || use.code !== undefined;
    const action = Action.fromPartial({
      namespace: "_",
      name: this.actionName(name),
      exec: {
        ...can.exec,
        kind: this.kind,
        code: use.code ?? (binary ? this.family.archive() : this.family.source(file)),
        binary,
        main: use.main ?? can.main ?? "",
      },
      parameters: (use.parameters ?? []).map((one) => ({ ...one })),
      annotations:
        use.resolveDependencies === undefined
          ? []
          : [{ key: "resolve-dependencies", valueJson: String(use.resolveDependencies) }],
      limits: {
        timeoutMs: use.timeoutMs ?? 30_000,
        memoryMb: use.memoryMb ?? can.memoryMb,
        ...(use.logsMb === undefined ? {} : { logsMb: use.logsMb }),
        concurrency: use.concurrency ?? 1,
      },
    });
    const request = CreateActionRequest.fromPartial({ action, keepFailedBuild: use.keepFailed ?? false });
    return this.client.call(services.action.createAction, request, BUILD_MS);
  }

  /** Waits for the end and for the record. */
  run(name: string, params: object): Promise<Ended> {
    return this.runJson(name, JSON.stringify(params));
  }

  async runJson(name: string, paramsJson: string): Promise<Ended> {
    const request = { namespace: "_", action: this.actionName(name), paramsJson, blocking: true, waitMs: 0 };
    const { activationId } = await this.client.call(services.invoke.invoke, request);
    const record = await this.client.record(activationId);
    const result: unknown = JSON.parse(record.resultJson);
    const error = (result as { readonly error?: unknown }).error;
    return {
      record,
      outcome: OUTCOMES[record.outcome] ?? "platformError",
      result,
      error: typeof error === "string" ? error : "",
      logs: record.logs.map((line) => line.slice(line.indexOf(" ") + 1)),
    };
  }
}

/** A compiler may be needed, and waits for its turn. */
const BUILD_MS = 300_000;
