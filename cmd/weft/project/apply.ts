// Takes the steps of a plan, one after the other, with the caller's own key. A step that fails ends it: what was done is
// said, and the same command goes on from there, because every step leaves what it reached.

import { createHash } from "node:crypto";

import { toWeftError, unreachable, WeftError } from "../../../internal/base/errors.js";
import { objectOf } from "../../../internal/base/json-text.js";
import { ActionServiceService, Action } from "../../../internal/gen/weft/action/v1/action.pb.js";
import { Outcome } from "../../../internal/gen/weft/activation/v1/activation.pb.js";
import { InvokeServiceService } from "../../../internal/gen/weft/invoke/v1/invoke.pb.js";
import { Package, PackageServiceService } from "../../../internal/gen/weft/packages/v1/package.pb.js";
import { ApiServiceService } from "../../../internal/gen/weft/api/v1/api.pb.js";
import { Rule, RuleServiceService } from "../../../internal/gen/weft/rule/v1/rule.pb.js";
import { Trigger, TriggerServiceService } from "../../../internal/gen/weft/trigger/v1/trigger.pb.js";
import { DEFAULT_LIMITS } from "../../../internal/core/action/limits.js";
import { SEQUENCE_KIND, type ActionLimits, type KeyValue } from "../../../internal/core/action/types.js";
import type { Cli } from "../cli-context.js";
import { uncheckedText, WRITE_MS } from "../verbs/action.js";
import { createApi, deleteApi } from "./apis.js";
import { removedAnnotations, type Step } from "./plan.js";
import { FEED_DIGEST, keyValue, splitName, type ActionState, type FeedState, type TriggerState } from "./state.js";

/** The server ends the waiting after 60 s; the answer has to come back. */
const FEED_MS = 65_000;

export interface Applied {
  readonly done: readonly Step[];
  /** What went wrong, and is no reason to stop. */
  readonly warnings: readonly string[];
}

/** @throws WeftError that names the step; its message says how many were taken */
export async function apply(
  cli: Cli,
  namespace: string,
  steps: readonly Step[],
  did: (step: Step, ms: number) => void,
): Promise<Applied> {
  const done: Step[] = [];
  const warnings: string[] = [];
  for (const step of steps) {
    if (step.change === "leave" || step.change === "refuse") continue;
    const from = performance.now();
    try {
      await take(cli, namespace, step, warnings);
    } catch (thrown) {
      const error = toWeftError(thrown);
      const left = steps.filter(({ change }) => change !== "leave" && change !== "refuse").length - done.length;
      throw new WeftError(
        error.kind,
        error.reason,
        `${verbOf(step)} ${step.sort} ${step.name}: ${error.message}; ${done.length} done, ${left} left`,
        {
          cause: error,
          fields: error.fields,
          fix: error.fix ?? "mend it and run the same again: it goes on from here",
          ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
        },
      );
    }
    done.push(step);
    did(step, Math.round(performance.now() - from));
  }
  return { done, warnings };
}

function verbOf({ change }: Step): string {
  return change === "create" ? "creating" : change === "delete" ? "deleting" : "changing";
}

async function take(cli: Cli, namespace: string, step: Step, warnings: string[]): Promise<void> {
  const what = `${verbOf(step)} ${step.name}`;
  const { name } = step;
  const etag = (step.here && "etag" in step.here ? step.here.etag : undefined) ?? "";
  switch (step.sort) {
    case "package":
    case "binding": {
      const { wanted } = step;
      if (!wanted) {
        await cli.call(PackageServiceService.deletePackage, { namespace, name, force: false, etag }, { what });
        return;
      }
      const { publish, parameters, annotations, binding } = wanted;
      const entity = Package.fromPartial({
        namespace,
        name,
        publish,
        parameters: [...parameters],
        annotations: [...annotations],
        version: versionOf(wanted, etag),
        etag,
        ...(binding ? { binding } : {}),
      });
      if (step.change === "create") await cli.call(PackageServiceService.createPackage, { package: entity }, { what });
      else {
        const updateFields = ["publish", "parameters", "annotations", ...(wanted.binding ? ["binding"] : [])];
        const request = { package: entity, updateFields, allowMissing: false };
        await cli.call(PackageServiceService.updatePackage, request, { what });
      }
      return;
    }
    case "action":
    case "sequence": {
      const { wanted, here } = step;
      let written: Action | undefined;
      if (!wanted) await cli.call(ActionServiceService.deleteAction, { namespace, name, etag }, { what });
      else if (!here) {
        const action = await actionOf(wanted, namespace, "");
        const request = { action, keepFailedBuild: false };
        written = await cli.call(ActionServiceService.createAction, request, { what, deadlineMs: WRITE_MS });
      } else {
        const isSequence = wanted.kind === SEQUENCE_KIND;
        const request = {
          action: await actionOf(wanted, namespace, etag),
          updateFields: [
            "exec",
            "annotations",
            ...(isSequence ? [] : ["parameters", "limits"]),
            ...publishField(wanted),
          ],
          allowMissing: false,
          deleteAnnotations: removedAnnotations(here.annotations, wanted.annotations),
          keepFailedBuild: false,
        };
        written = await cli.call(ActionServiceService.updateAction, request, { what, deadlineMs: WRITE_MS });
      }
      if (written?.exec?.unchecked) warnings.push(`${name}: ${uncheckedText(written.exec.unchecked)}`);
      return;
    }
    case "trigger":
      await takeTrigger(cli, namespace, step, etag, warnings);
      return;
    case "rule": {
      const { wanted } = step;
      if (!wanted) {
        await cli.call(RuleServiceService.deleteRule, { namespace, name, etag }, { what });
        return;
      }
      const { trigger, action, annotations } = wanted;
      const version = versionOf(wanted, etag);
      const rule = Rule.fromPartial({
        namespace,
        name,
        trigger,
        action,
        annotations: [...annotations],
        publish: wanted.publish ?? false,
        version,
        etag,
      });
      const stored =
        step.change === "create"
          ? await cli.call(RuleServiceService.createRule, { rule }, { what })
          : await cli.call(
              RuleServiceService.updateRule,
              {
                rule,
                updateFields: ["trigger", "action", "annotations", ...publishField(wanted)],
                allowMissing: false,
              },
              { what },
            );
      if (stored.active === wanted.active) return;
      const state = wanted.active ? RuleServiceService.enableRule : RuleServiceService.disableRule;
      await cli.call(state, { namespace, name }, { what });
      return;
    }
    case "api":
      if (step.wanted) await createApi(cli, namespace, step.wanted);
      else if (step.here) await deleteApi(cli, step.here);
      return;
    case "document": {
      if (!step.wanted) return; // whole APIs are brought, and deleted by nobody but their owner
      const documentJson = Buffer.from(step.wanted.documentJson);
      await cli.call(ApiServiceService.importApi, { namespace, documentJson, etag }, { what });
      return;
    }
    default:
      unreachable(step);
  }
}

/** Versions are given to what is new; those of what is here go on. */
function versionOf({ version }: { readonly version?: string | undefined }, etag: string): string {
  return etag === "" ? (version ?? "") : "";
}

/** Only of what was read where it is told: a manifest says nothing of it. */
function publishField({ publish }: { readonly publish?: boolean | undefined }): readonly string[] {
  return publish === undefined ? [] : ["publish"];
}

function isDefault(limits: ActionLimits): boolean {
  return Object.entries(DEFAULT_LIMITS).every(([name, value]) => limits[name as keyof ActionLimits] === value);
}

async function actionOf(wanted: ActionState, namespace: string, etag: string): Promise<Action> {
  const { kind, main, binary, image, components, name, parameters, annotations, limits } = wanted;
  const code = wanted.code && Buffer.from(await wanted.code());
  if (code && createHash("sha256").update(code).digest("hex") !== wanted.codeDigest) {
    throw new WeftError("conflict", "CODE_CHANGED", "its code changed since the plan was made", {
      fix: "run the same again",
    });
  }
  const isSequence = kind === SEQUENCE_KIND;
  return Action.fromPartial({
    namespace,
    name,
    etag,
    version: versionOf(wanted, etag),
    annotations: [...annotations],
    exec: isSequence
      ? { kind, components: [...components] }
      : { kind, main, binary, image: image ?? "", ...(code ? { code } : {}) },
    publish: wanted.publish ?? false,
    // A sequence's limits bound nothing: they are kept as they were given, so that they are told as they were.
    ...(isSequence ? (isDefault(limits) ? {} : { limits }) : { parameters: [...parameters], limits }),
  });
}

/**
 * A trigger with a feed is marked with what the feed was told only after the feed took it: when that fails, the next plan
 * sees that it was not told. A trigger that was made for a feed which refuses it goes again, as with OpenWhisk's tools.
 */
async function takeTrigger(
  cli: Cli,
  namespace: string,
  { name, change, wanted, here }: Step & { readonly sort: "trigger" },
  etag: string,
  warnings: string[],
): Promise<void> {
  const what = `${change === "delete" ? "deleting" : "storing"} ${name}`;
  const tell = (feed: FeedState, lifecycleEvent: string, inputs: readonly KeyValue[]): Promise<void> =>
    tellFeed(cli, feed.action, { lifecycleEvent, triggerName: `/${namespace}/${name}`, inputs });
  const farewell = async (): Promise<void> => {
    if (!here?.feed) return;
    try {
      await tell(here.feed, "DELETE", []);
    } catch (thrown) {
      // It may be gone, or never have known the trigger: no reason to keep the trigger.
      warnings.push(`trigger ${name}: its feed did not take the farewell: ${toWeftError(thrown).message}`);
    }
  };
  if (!wanted) {
    await farewell();
    await cli.call(TriggerServiceService.deleteTrigger, { namespace, name, etag }, { what });
    return;
  }
  const told = wanted.feed?.inputs !== undefined;
  const sameFeed = told && here?.feed?.action === wanted.feed.action && here.feed.digest === wanted.feed.digest;
  const digest = (): KeyValue[] => (told ? [keyValue(FEED_DIGEST, wanted.feed.digest)] : []);
  const trigger = triggerOf(wanted, namespace, etag, sameFeed ? digest() : []);
  const replace = (one: Trigger): Promise<Trigger> =>
    cli.call(
      TriggerServiceService.updateTrigger,
      { trigger: one, updateFields: ["parameters", "annotations", ...publishField(wanted)], allowMissing: false },
      { what },
    );
  let stored: Trigger;
  if (here) {
    if (!sameFeed && (told || !wanted.feed)) await farewell();
    stored = await replace(trigger);
  } else stored = await cli.call(TriggerServiceService.createTrigger, { trigger }, { what });
  if (!told || sameFeed) return;
  try {
    await tell(wanted.feed, "CREATE", wanted.feed.inputs);
  } catch (thrown) {
    if (!here) await cli.call(TriggerServiceService.deleteTrigger, { namespace, name, etag: stored.etag }, { what });
    throw thrown;
  }
  await replace(triggerOf(wanted, namespace, stored.etag, digest()));
}

function triggerOf(wanted: TriggerState, namespace: string, etag: string, more: readonly KeyValue[]): Trigger {
  const { name, parameters, annotations } = wanted;
  return Trigger.fromPartial({
    namespace,
    name,
    etag,
    version: versionOf(wanted, etag),
    parameters: [...parameters],
    annotations: [...annotations, ...more],
    publish: wanted.publish ?? false,
  });
}

/** Calls the feed's action as every OpenWhisk client does. @throws failedPrecondition with what it answered */
async function tellFeed(
  cli: Cli,
  action: string,
  call: { readonly lifecycleEvent: string; readonly triggerName: string; readonly inputs: readonly KeyValue[] },
): Promise<void> {
  const { lifecycleEvent, triggerName, inputs } = call;
  const params = new Map(inputs.map(({ key, valueJson }) => [key, valueJson]));
  params.set("lifecycleEvent", JSON.stringify(lifecycleEvent));
  params.set("triggerName", JSON.stringify(triggerName));
  params.set("authKey", JSON.stringify(cli.connection.auth));
  const { namespace, name } = splitName(action);
  const { activation, activationId } = await cli.call(
    InvokeServiceService.invoke,
    { namespace, action: name, paramsJson: objectOf(params), blocking: true, waitMs: 0 },
    { what: `the feed ${action} is told ${lifecycleEvent}`, deadlineMs: FEED_MS },
  );
  if (activation?.outcome === Outcome.SUCCESS) return;
  const why = activation ? activation.resultJson : "it takes longer than 60 s";
  throw new WeftError(
    "failedPrecondition",
    "FEED_REFUSED",
    `the feed ${action} refuses ${lifecycleEvent}: ${why.slice(0, 500)}`,
    { fix: `weft activation get ${activationId}` },
  );
}
