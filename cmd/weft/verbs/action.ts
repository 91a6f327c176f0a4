// Actions: create, change, show, list, remove.

import { writeFileSync } from "node:fs";
import { extname, resolve } from "node:path";

import { isArchive } from "../../../internal/core/action/archive.js";
import {
  Action,
  ActionServiceService as Service,
  type Build,
  type Exec,
} from "../../../internal/gen/weft/action/v1/action.pb.js";
import { BLACKBOX_KIND } from "../../../internal/core/action/types.js";
import type { KeyValue, Limits } from "../../../internal/gen/weft/common/v1/common.pb.js";
import type { Cli } from "../cli-context.js";
import { parseName, showName } from "../names.js";
import { iso, size, time, usage } from "../output.js";
import { collect, keyValues, readFile } from "../params.js";
import { FAMILIES } from "../project/manifest-entities.js";
import { keyValuesJson, keyValuesText, limitsJson, limitsText } from "../show.js";
import type { Values, Verb } from "../spec.js";
import { actionUrl, webAnnotations } from "../web.js";
import { listed, somePage, type Page, type PageRequest } from "./pages.js";

const UINT32_MAX = 0xffff_ffff;

/** Uploads and builds take longer than other calls. */
export const WRITE_MS = 300_000;
const LOCK_LINES_SHOWN = 20;

export const createAction: Verb = async (cli, [nameText = "", file], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 2);
  if (file === undefined && !values.flag("sequence") && !values.flag("image")) {
    throw usage(
      "what does it run? give the file with its code, --image or --sequence",
      `weft action create ${name} hello.js`,
    );
  }
  const action = Action.fromPartial({ namespace, name, ...(await given(cli, values, file)) });
  const stored = await cli.call(
    Service.createAction,
    { action, keepFailedBuild: false },
    { what: `storing ${name}`, deadlineMs: WRITE_MS },
  );
  done(cli, "created", stored, values.flag("web-secure"));
};

export const updateAction: Verb = async (cli, [nameText = "", file], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 2);
  const action = Action.fromPartial({ namespace, name, ...(await given(cli, values, file)) });
  const updating = cli.call(
    Service.updateAction,
    {
      action,
      updateFields: [],
      allowMissing: action.exec !== undefined,
      deleteAnnotations: [],
      keepFailedBuild: false,
    },
    { what: `storing ${name}`, deadlineMs: WRITE_MS },
  );
  done(cli, "updated", await orMeant(cli, namespace, name, updating), values.flag("web-secure"));
};

export const getAction: Verb = async (cli, [nameText = ""], values) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 2);
  const save = values.text("save");
  const action = await orMeant(
    cli,
    namespace,
    name,
    cli.call(Service.getAction, { namespace, name, withCode: save !== undefined }, { deadlineMs: WRITE_MS }),
  );
  if (save !== undefined) {
    writeFileSync(resolve(cli.io.cwd, save), action.exec?.code ?? new Uint8Array());
    cli.screen.say(`saved the code to ${save}`);
  }
  const saveLock = values.text("save-lock");
  if (saveLock !== undefined) {
    const lock = action.exec?.build?.lock ?? "";
    if (lock === "") throw usage(`nothing was resolved for ${action.name}`, "weft action get NAME");
    writeFileSync(resolve(cli.io.cwd, saveLock), lock);
    cli.screen.say(`saved what was resolved to ${saveLock}`);
  }
  if (values.flag("url")) {
    const url = actionUrl(cli.connection.rest, action);
    if (cli.screen.json) cli.screen.printJson({ url });
    else cli.screen.print(url);
    return;
  }
  if (cli.screen.json) cli.screen.printJson(actionJson(action));
  else {
    const { exec } = action;
    cli.screen.fields([
      ["action", showName(action.namespace, action.name)],
      ["version", action.version],
      ["kind", exec?.kind],
      ["image", exec?.image],
      ["main", exec?.main],
      ["runs", exec?.components.join(", ")],
      [
        "code",
        exec?.components.length === 0
          ? `${size(exec.codeSize)}${exec.binary ? " archive" : ""}, sha256 ${exec.codeDigest}`
          : undefined,
      ],
      ["build", exec?.build && buildText(exec.build)],
      ["lock", exec?.build && lockText(exec.build.lock)],
      ["limits", limitsText(action.limits)],
      ["parameters", keyValuesText(action.parameters)],
      ["annotations", keyValuesText(action.annotations)],
      ["updated", time(action.updateTime)],
    ]);
  }
};

/** The beginning of it: npm's have thousands of lines. */
function lockText(lock: string): string | undefined {
  if (lock === "") return undefined;
  const lines = lock.trimEnd().split("\n");
  const more = lines.length - LOCK_LINES_SHOWN;
  if (more <= 0) return lines.join("\n");
  return [...lines.slice(0, LOCK_LINES_SHOWN), `... ${more} more lines; all of it: --save-lock FILE`].join("\n");
}

export const listActions: Verb = async (cli, [packageText], values) => {
  const of =
    packageText === undefined ? { namespace: cli.namespace, name: "" } : parseName(packageText, cli.namespace, 1);
  const actions = await listed(cli, values, pageOf(cli, of.namespace, of.name));
  if (cli.screen.json) cli.screen.printJson(actions.map(actionJson));
  else {
    cli.screen.table(actions, [
      { title: "ACTION", value: (a) => showName(a.namespace, a.name) },
      { title: "KIND", value: (a) => a.exec?.kind ?? "" },
      { title: "VERSION", value: (a) => a.version },
      { title: "MEMORY", value: (a) => `${a.limits?.memoryMb ?? 0} MiB`, right: true },
      { title: "TIMEOUT", value: (a) => `${a.limits?.timeoutMs ?? 0} ms`, right: true },
      { title: "UPDATED", value: (a) => time(a.updateTime) },
    ]);
  }
};

export const deleteAction: Verb = async (cli, [nameText = ""]) => {
  const { namespace, name } = parseName(nameText, cli.namespace, 2);
  await orMeant(cli, namespace, name, cli.call(Service.deleteAction, { namespace, name, etag: "" }));
  if (cli.screen.json) cli.screen.printJson({ deleted: name });
  else cli.screen.say(`deleted action ${name}`);
};

/** Runs a call about an action, and says what was probably meant when there is none of that name. */
export function orMeant<T>(cli: Cli, namespace: string, name: string, call: Promise<T>): Promise<T> {
  const names = (): Promise<readonly string[]> => somePage(pageOf(cli, namespace, ""), (action) => action.name);
  return cli.meant(name, call, names, "weft action list");
}

function pageOf(cli: Cli, namespace: string, packageName: string): (request: PageRequest) => Promise<Page<Action>> {
  return async (request) => {
    const { actions, nextPageToken } = await cli.call(Service.listActions, {
      namespace,
      package: packageName,
      ...request,
      withTotal: false,
    });
    return { entries: actions, next: nextPageToken };
  };
}

/** What the options say of an action; what is not given is left out. */
async function given(cli: Cli, values: Values, file: string | undefined) {
  const annotations: KeyValue[] = keyValues(await collect(values.pairs("annotation"), undefined, cli.io));
  annotations.push(...webAnnotations(values));
  const logsMb = values.number("logsize", 0, UINT32_MAX);
  // What is not given stays 0, which means the default, or unchanged.
  const limits: Limits = {
    timeoutMs: values.number("timeout", 1, UINT32_MAX) ?? 0,
    memoryMb: values.number("memory", 1, UINT32_MAX) ?? 0,
    logsMb,
    concurrency: values.number("concurrency", 1, UINT32_MAX) ?? 0,
    instances: values.number("instances", 0, UINT32_MAX),
  };
  const limited =
    logsMb !== undefined ||
    limits.instances !== undefined ||
    limits.timeoutMs + limits.memoryMb + limits.concurrency > 0;
  const exec = file === undefined ? execWithoutCode(cli, values) : execOf(cli, values, file);
  return {
    parameters: keyValues(await collect(values.pairs("param"), values.text("param-file"), cli.io)),
    annotations,
    ...(limited ? { limits: logsMb === undefined ? { ...limits, logsMb: undefined } : limits } : {}),
    ...(exec ? { exec } : {}),
  };
}

function execWithoutCode(cli: Cli, values: Values): Partial<Exec> | undefined {
  const image = values.text("image");
  if (image !== undefined) {
    if (values.flag("sequence")) throw usage("a sequence runs in no image: give --image or --sequence, not both");
    if (values.flag("kind")) throw usage(KIND_OR_IMAGE);
    return { kind: BLACKBOX_KIND, image, main: values.text("main") ?? "" };
  }
  for (const name of ["kind", "main"]) {
    if (values.flag(name)) throw usage(`--${name} belongs to code: give the file too`);
  }
  const sequence = values.text("sequence");
  if (sequence === undefined) return undefined;
  for (const name of ["param", "param-file"]) {
    if (values.flag(name)) throw usage(`a sequence has no arguments of its own: give --${name} to its actions`);
  }
  const components = sequence.split(",").map((text) => {
    const { namespace, name } = parseName(text.trim(), cli.namespace, 2);
    return showName(namespace, name);
  });
  return { kind: "sequence", components };
}

const KIND_OR_IMAGE = "an image says itself what it runs: give --kind or --image, not both";

function execOf(cli: Cli, values: Values, file: string): Partial<Exec> {
  if (values.flag("sequence")) throw usage("a sequence has no code: give a file or --sequence, not both");
  const code = readFile(file, cli.io.cwd);
  const ending = extname(file).toLowerCase();
  const binary = isArchive(code);
  const image = values.text("image");
  if (image !== undefined) {
    if (values.flag("kind")) throw usage(KIND_OR_IMAGE);
    return { kind: BLACKBOX_KIND, image, code, binary, main: values.text("main") ?? "" };
  }
  const family = FAMILIES[ending];
  const kind = values.text("kind") ?? (family === undefined ? undefined : `${family}:default`);
  if (kind === undefined) {
    const what = binary ? "an archive" : `"${ending || file}"`;
    throw usage(
      `which language is ${what}? say --kind`,
      `weft action create NAME ${file} --kind nodejs:default    (or python:default, ruby:default, …)`,
    );
  }
  return { kind, code, binary, main: values.text("main") ?? "" };
}

function done(cli: Cli, what: string, action: Action, secretAsked: boolean): void {
  if (cli.screen.json) cli.screen.printJson(actionJson(action));
  else {
    const build = action.exec?.build;
    if (build) cli.screen.say(buildText(build));
    if (action.exec?.unchecked) cli.screen.say(`warning: ${uncheckedText(action.exec.unchecked)}`);
    const secret = action.annotations.find(({ key }) => key === "require-whisk-auth")?.valueJson;
    cli.screen.say(`${what} action ${action.name}, version ${action.version}, ${action.exec?.kind ?? ""}`);
    if (secretAsked && secret !== undefined && secret !== "false") {
      cli.screen.say(
        `callers send X-Require-Whisk-Auth: ${/^"/.test(secret) ? (JSON.parse(secret) as string) : secret}`,
      );
    }
  }
}

/** What a write says when nobody looked through its code. */
export function uncheckedText(why: string): string {
  return `the code was not looked through for mistakes, its first call will tell: ${why}`;
}

function buildText({ digest, cached, durationMs, artifactSize, problem }: Build): string {
  if (problem !== "") return `does not build: ${problem}`;
  const how = cached ? "taken from an equal build before" : `built in ${(durationMs / 1_000).toFixed(1)} s`;
  return `${how}, ${size(artifactSize)}, ${digest.slice(0, 12)}`;
}

function actionJson(action: Action): unknown {
  const { exec } = action;
  return {
    namespace: action.namespace,
    name: action.name,
    version: action.version,
    exec: exec && {
      kind: exec.kind,
      ...(exec.components.length > 0
        ? { components: exec.components }
        : {
            image: exec.image || undefined,
            main: exec.main || undefined,
            binary: exec.binary,
            codeDigest: exec.codeDigest || undefined,
            codeSize: exec.codeSize,
            build: exec.build,
          }),
    },
    parameters: keyValuesJson(action.parameters),
    annotations: keyValuesJson(action.annotations),
    limits: limitsJson(action.limits),
    updateTime: iso(action.updateTime),
    etag: action.etag,
  };
}
