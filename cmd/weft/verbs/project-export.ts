// `weft project export`: what is there as a manifest with files, which `project deploy` makes again, here or elsewhere.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { WeftError } from "../../../internal/base/errors.js";
import { BLACKBOX_KIND, SEQUENCE_KIND, type KeyValue } from "../../../internal/core/action/types.js";
import { isObject, membersOf } from "../../../internal/base/json-text.js";
import { ActionServiceService } from "../../../internal/gen/weft/action/v1/action.pb.js";
import type { Cli } from "../cli-context.js";
import { usage } from "../output.js";
import { readApis } from "../project/apis.js";
import { endingOf, exportManifest, ownedState } from "../project/export.js";
import { nameProblem } from "../../../internal/core/tenancy/name.js";
import { ownNamespace, readHere } from "../project/here.js";
import { ownApis } from "../project/manifest-entities.js";
import { ownerOf, splitName, type State } from "../project/state.js";
import type { Verb } from "../spec.js";
import { tellFeed } from "./feed.js";

/** Downloading code takes longer than other calls. */
const READ_MS = 120_000;

export const exportProject: Verb = async (cli, _args, values) => {
  const { screen, io } = cli;
  const namespace = await ownNamespace(cli);
  const folder = resolve(io.cwd, values.text("out") ?? ".");
  const all: State = { ...(await readHere(cli, namespace)), apis: (await readApis(cli)) ?? new Map<string, never>() };
  const project = values.text("project") ?? "";
  const exported: Exports = { written: new Map(), warnings: [], projects: new Set() };
  if (!(await exportTo(cli, namespace, all, project, "", exported))) throw nothing(all, project, namespace);
  const { written, warnings } = exported;
  const taken = [...written.keys()].filter((file) => existsSync(join(folder, file)));
  if (taken.length > 0 && !values.flag("overwrite")) {
    throw usage(
      `there is ${taken.slice(0, 3).join(", ")}${taken.length > 3 ? ", …" : ""} in ${folder} already`,
      "weft project export --out FOLDER    (another one, or --overwrite)",
    );
  }
  for (const [file, bytes] of written) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), bytes);
  }
  if (screen.json) screen.printJson({ folder, files: [...written.keys()], warnings });
  else {
    for (const file of written.keys()) screen.print(file);
    for (const warning of warnings) screen.say(`${screen.colours.yellow("note")}  ${warning}`);
    screen.say(`exported ${project === "" ? namespace : `the project ${project}`} to ${folder}`);
  }
};

interface Exports {
  /** Files by their place below the folder. */
  readonly written: Map<string, Uint8Array>;
  readonly warnings: string[];
  /** Those that were met: projects may need each other. */
  readonly projects: Set<string>;
}

/**
 * Writes a project, and those that it needs into folders of its own.
 * @param project "" for everything
 * @param folder "", or ends in a slash
 * @returns the packages of it; undefined when there is nothing of it
 */
async function exportTo(
  cli: Cli,
  namespace: string,
  all: State,
  project: string,
  folder: string,
  into: Exports,
): Promise<readonly string[] | undefined> {
  into.projects.add(project);
  const state = project === "" ? all : ownedState(all, project, ownApis(ownedActions(all, project)));
  if (sizeOf(state) === 0) return undefined;
  const dependencies = new Map<string, string>();
  for (const needed of project === "" ? [] : neededBy(state)) {
    if (into.projects.has(needed)) continue;
    // It becomes the name of a folder: only what is fit for an entity's name is.
    const fit = nameProblem(needed) === undefined;
    const packages = fit ? await exportTo(cli, namespace, all, needed, `${folder}${needed}/`, into) : [];
    const [only, ...more] = packages ?? [];
    // A manifest names the folder of a project that has one package to stand for.
    if (only !== undefined && more.length === 0) dependencies.set(only, needed);
    else into.warnings.push(`the project ${needed}, which ${project} needs, is no dependency that a manifest can name`);
  }
  const code = await codeOf(cli, namespace, state);
  const { manifest, files, warnings } = exportManifest({
    state: withCode(state, code),
    namespace,
    project,
    dependencies,
    feedInputs: await feedInputs(cli, namespace, state),
    ending: ({ name, kind, binary }) => (binary ? archiveEnding(code.get(name)) : endingOf(kind)),
  });
  into.written.set(`${folder}manifest.yaml`, Buffer.from(manifest));
  for (const [name, file] of files) into.written.set(`${folder}${file}`, code.get(name) ?? new Uint8Array());
  into.warnings.push(...warnings);
  return [...state.packages.values()].filter(({ binding }) => !binding).map(({ name }) => name);
}

function neededBy({ packages, actions, triggers, rules }: State): ReadonlySet<string> {
  const entities = [packages, actions, triggers, rules].flatMap((all) => [...all.values()]);
  return new Set(entities.flatMap((one) => ownerOf(one)?.dependencies ?? []));
}

function ownedActions(state: State, project: string) {
  return [...state.actions.values()].filter((one) => ownerOf(one)?.project === project);
}

function sizeOf({ packages, actions, triggers, rules, apis }: State): number {
  return packages.size + actions.size + triggers.size + rules.size + apis.size;
}

function nothing(state: State, project: string, namespace: string): WeftError {
  if (project === "") return new WeftError("notFound", "NOTHING_THERE", `there is nothing in ${namespace}`);
  const entities = [state.packages, state.actions, state.triggers, state.rules].flatMap((all) => [...all.values()]);
  const projects = [...new Set(entities.flatMap((one) => ownerOf(one)?.project ?? []))].sort();
  const known = projects.length === 0 ? "there is none" : `there is ${projects.join(", ")}`;
  return new WeftError("notFound", "NO_SUCH_PROJECT", `there is no project ${project} in ${namespace}; ${known}`);
}

/** By the name of the action. */
async function codeOf(cli: Cli, namespace: string, state: State): Promise<ReadonlyMap<string, Uint8Array>> {
  const code = new Map<string, Uint8Array>();
  for (const { name, kind } of state.actions.values()) {
    if (kind === SEQUENCE_KIND) continue;
    const request = { namespace, name, withCode: true };
    const { exec } = await cli.call(ActionServiceService.getAction, request, {
      what: `reading ${name}`,
      deadlineMs: READ_MS,
    });
    if (exec && (exec.code.length > 0 || kind !== BLACKBOX_KIND)) code.set(name, exec.code);
  }
  return code;
}

/** What an image brings itself is no file. */
function withCode(state: State, code: ReadonlyMap<string, Uint8Array>): State {
  const actions = [...state.actions].map(([name, one]) => {
    const bytes = code.get(name);
    return [name, bytes ? { ...one, code: () => Promise.resolve(bytes) } : one] as const;
  });
  return { ...state, actions: new Map(actions) };
}

function archiveEnding(code: Uint8Array | undefined): string {
  if (code?.[0] === 0x50) return ".zip";
  return code?.[0] === 0x1f ? ".tar.gz" : ".bin";
}

/** What feeds say that they were told. One that does not answer, or says nothing of it, is not known. */
async function feedInputs(
  cli: Cli,
  namespace: string,
  { triggers }: State,
): Promise<ReadonlyMap<string, readonly KeyValue[]>> {
  const known = new Map<string, readonly KeyValue[]>();
  for (const { name, feed } of triggers.values()) {
    if (!feed) continue;
    try {
      const answer = await tellFeed(cli, feed.action, "READ", { namespace, name });
      const config = answer.get("config");
      if (config !== undefined && isObject(config)) known.set(name, inputsFrom(feed.action, config));
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.kind === "canceled") throw thrown;
    }
  }
  return known;
}

/** Of an alarm: what it is called and where are told by the trigger, and the payload has another name when it is told. */
function inputsFrom(feed: string, config: string): readonly KeyValue[] {
  const inputs = [...membersOf(config)]
    .filter(([key]) => key !== "name" && key !== "namespace")
    .map(([key, valueJson]) => ({ key, valueJson, init: false }));
  const isAlarm = splitName(feed).name.startsWith("alarms/");
  return inputs.map((one) => (isAlarm && one.key === "payload" ? { ...one, key: "trigger_payload" } : one));
}
