// Projects: what a manifest of OpenWhisk's deployment tool asks for is planned, shown, and done.

import { existsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";

import { WeftError } from "../../../internal/base/errors.js";
import type { Cli } from "../cli-context.js";
import { usage } from "../output.js";
import { collect, readFile } from "../params.js";
import { readApis } from "../project/apis.js";
import { apply } from "../project/apply.js";
import { manifestIn, withCode } from "../project/files.js";
import { kindsHere, ownNamespace, readableOf, readHere } from "../project/here.js";
import { ownApis } from "../project/manifest-entities.js";
import { readManifest, type Project, type TextFile } from "../project/manifest.js";
import { foreignNames, planOf, type Step } from "../project/plan.js";
import { showPlan, showStep, stepsJson } from "../project/show-plan.js";
import { ownerOf, type State } from "../project/state.js";
import type { Values, Verb } from "../spec.js";

const NOTHING: State = {
  packages: new Map(),
  actions: new Map(),
  triggers: new Map(),
  rules: new Map(),
  apis: new Map(),
};

export const deployProject: Verb = async (cli, _args, values) => {
  const namespace = await ownNamespace(cli);
  const { project, root, managed } = await projectOf(cli, values, namespace);
  const read = await withCode(project, root);
  const { here, hasGateway } = await stateHere(cli, namespace, read.apis.size > 0);
  const wanted = hasGateway ? read : withoutGateway(read);
  const steps = planOf(wanted, here, {
    namespace,
    kinds: await kindsHere(cli),
    readable: await readableOf(cli, foreignNames(wanted, namespace)),
    ...(managed ? ownedBy(project.projects, here) : {}),
  });
  const warnings = [...project.warnings, ...(managed ? [] : [UNMANAGED])];
  const refused = steps.filter(({ change }) => change === "refuse");
  return carryOut(cli, values, {
    title: `Plan for ${project.name === "" ? "a project without a name" : `the project ${project.name}`} in ${namespace}`,
    namespace,
    steps,
    warnings,
    refused,
  });
};

export const undeployProject: Verb = async (cli, _args, values) => {
  const namespace = await ownNamespace(cli);
  const named = values.text("project");
  if (named !== undefined) {
    if (named === "") throw usage("--project needs the name of a project");
    const { here: state } = await stateHere(cli, namespace, true);
    const projects = withUnneeded(new Set([named]), named, state);
    return undo(cli, values, namespace, `the project ${named}`, NOTHING, state, ownedBy(projects, state));
  }
  const { project, managed } = await projectOf(cli, values, namespace);
  const { here: state } = await stateHere(cli, namespace, true);
  if (managed) {
    const projects = withUnneeded(new Set([project.name]), project.name, state);
    return undo(cli, values, namespace, `the project ${project.name}`, NOTHING, state, ownedBy(projects, state));
  }
  // Without marks, what the manifest names is what goes: it is marked for the plan as if it were the project's.
  return undo(cli, values, namespace, "what the manifest names", NOTHING, markedOnly(project, state), {
    owns: new Set([UNNAMED]),
    ownApis: new Set(project.state.apis.keys()),
  });
};

const UNMANAGED = "nothing is undone that the manifest no longer names: give the project a name for that";
const UNNAMED = "-";

async function undo(
  cli: Cli,
  values: Values,
  namespace: string,
  what: string,
  wanted: State,
  here: State,
  owned: ReturnType<typeof ownedBy>,
): Promise<number> {
  const steps = planOf(wanted, here, { namespace, kinds: [], readable: new Set(), ...owned });
  const title = `Plan to undo ${what} in ${namespace}`;
  return carryOut(cli, values, { title, namespace, steps, warnings: [], refused: [] });
}

interface Shown {
  readonly title: string;
  readonly namespace: string;
  readonly steps: readonly Step[];
  readonly warnings: readonly string[];
  readonly refused: readonly Step[];
}

async function carryOut(
  cli: Cli,
  values: Values,
  { title, namespace, steps, warnings, refused }: Shown,
): Promise<number> {
  const { screen, io } = cli;
  showPlan(screen, title, steps, warnings);
  const plan = { plan: stepsJson(steps), warnings };
  const preview = values.flag("preview") || values.flag("plan") || values.flag("dry-run");
  if (refused.length > 0) {
    if (screen.json && preview) screen.printJson(plan);
    const [first] = refused;
    throw new WeftError(
      "failedPrecondition",
      "PLAN_REFUSED",
      `nothing was done: ${refused.length} of it cannot be, first ${first?.sort ?? ""} ${first?.name ?? ""}: ${first?.what.join("; ") ?? ""}`,
      { fix: "take it out of the manifest, or mend what it needs" },
    );
  }
  const writes = steps.filter(({ change }) => change !== "leave");
  if (preview || writes.length === 0) {
    if (screen.json) screen.printJson(preview ? plan : { ...plan, done: [] });
    return 0;
  }
  if (!values.flag("yes") && !screen.json && io.inIsTty && io.err.isTty) {
    io.err.write("Apply? [y/N] ");
    if (!/^y(es)?$/i.test((await io.readLine()).trim())) {
      screen.say("nothing was done");
      return 1;
    }
  }
  const { done, warnings: met } = await apply(cli, namespace, steps, (step, ms) => {
    showStep(screen, step, ms);
  });
  if (screen.json) screen.printJson({ ...plan, done: stepsJson(done), warnings: [...warnings, ...met] });
  else {
    for (const warning of met) screen.say(`${screen.colours.yellow("note")}  ${warning}`);
    screen.say(`done: ${done.length} of ${writes.length}`);
  }
  return 0;
}

async function projectOf(
  cli: Cli,
  values: Values,
  namespace: string,
): Promise<{ readonly project: Project; readonly root: string; readonly managed: boolean }> {
  const { cwd, env } = cli.io;
  if (values.flag("managed") && values.flag("unmanaged")) throw usage("--managed and --unmanaged: which of them?");
  const file =
    values.text("manifest") ?? ["manifest.yaml", "manifest.yml"].find((name) => existsSync(resolve(cwd, name)));
  if (file === undefined) {
    throw usage("there is no manifest.yaml here", "weft project deploy --manifest FILE");
  }
  const root = dirname(resolve(cwd, file));
  const deployment =
    values.text("deployment") ??
    ["deployment.yaml", "deployment.yml"].map((name) => resolve(root, name)).find((path) => existsSync(path));
  const project = readManifest({
    manifest: textFile(file, cwd),
    deployment: deployment === undefined ? undefined : textFile(deployment, cwd),
    namespace,
    variables: (name: string) => env[name],
    params: await collect(values.pairs("param"), values.text("param-file"), cli.io),
    // A project with a name owns what it deploys, unless it is told not to.
    managed: values.flag("managed") ? "always" : values.flag("unmanaged") ? "never" : "named",
    manifestIn: (folder: string) => manifestIn(root, folder),
  });
  return { project, root, managed: project.name !== "" && !values.flag("unmanaged") };
}

function textFile(file: string, cwd: string): TextFile {
  const shown = file.startsWith("/") ? basename(file) : file;
  return { file: shown, text: readFile(file, cwd).toString("utf8") };
}

/** What is here, with APIs when this installation has a gateway. */
async function stateHere(
  cli: Cli,
  namespace: string,
  withApis: boolean,
): Promise<{ readonly here: State; readonly hasGateway: boolean }> {
  const entities = await readHere(cli, namespace);
  const made = ownApis(entities.actions.values()).size > 0;
  const apis = withApis || made ? await readApis(cli) : undefined;
  return { here: { ...entities, apis: apis ?? new Map() }, hasGateway: apis !== undefined };
}

function withoutGateway(state: State): State {
  const problem = "this installation has no API gateway";
  return { ...state, apis: new Map([...state.apis].map(([key, api]) => [key, { ...api, problem }])) };
}

function ownedBy(projects: ReadonlySet<string>, here: State) {
  const own = [...here.actions.values()].filter((one) => projects.has(ownerOf(one)?.project ?? ""));
  return { owns: projects, ownApis: ownApis(own) };
}

/** With the projects that it alone depends on. */
function withUnneeded(projects: Set<string>, name: string, here: State): ReadonlySet<string> {
  const entities = [here.packages, here.actions, here.triggers, here.rules].flatMap((all) => [...all.values()]);
  const owners = entities.map((one) => ownerOf(one)).filter((one) => one !== undefined);
  const needed = (of: string): boolean =>
    owners.some(({ project, dependencies }) => !projects.has(project) && project !== of && dependencies.includes(of));
  for (const { project, dependencies } of owners) {
    if (project === name) for (const one of dependencies) if (!needed(one)) projects.add(one);
  }
  return projects;
}

/** What is here of what a manifest names, marked. */
function markedOnly({ state }: Project, here: State): State {
  const mark = { key: "whisk-managed", valueJson: JSON.stringify({ projectName: UNNAMED }), init: false };
  const marked = <
    T extends {
      readonly annotations: readonly { readonly key: string; readonly valueJson: string; readonly init: boolean }[];
    },
  >(
    all: ReadonlyMap<string, T>,
    named: ReadonlyMap<string, unknown>,
  ): ReadonlyMap<string, T> =>
    new Map(
      [...all].map(([key, one]) => [
        key,
        named.has(key) && !ownerOf(one) ? { ...one, annotations: [...one.annotations, mark] } : one,
      ]),
    );
  return {
    packages: marked(here.packages, state.packages),
    actions: marked(here.actions, state.actions),
    triggers: marked(here.triggers, state.triggers),
    rules: marked(here.rules, state.rules),
    apis: here.apis,
  };
}
