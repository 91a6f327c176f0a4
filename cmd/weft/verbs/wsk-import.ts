// `weft wsk-import`: brings a namespace of a running OpenWhisk, or of another Weft, here.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { toWeftError, WeftError } from "../../../internal/base/errors.js";
import type { Cli } from "../cli-context.js";
import { parseProps } from "../connection.js";
import { usage } from "../output.js";
import { apply } from "../project/apply.js";
import { kindsHere, ownNamespace, readableOf, readApiDocuments, readHere } from "../project/here.js";
import { countsOf, foreignNames, planOf } from "../project/plan.js";
import { countsText, showPlan, showStep, stepsJson } from "../project/show-plan.js";
import type { ApiDocumentState } from "../project/state.js";
import { fetchText } from "../rest-client.js";
import { trustOf } from "../trust.js";
import type { Values, Verb } from "../spec.js";
import { readApisThere, type ApiSourceOptions } from "../wsk/apis.js";
import { namespaceThere, readThere, type Read } from "../wsk/source.js";

export const wskImport: Verb = async (cli, _args, values) => {
  const { screen, io } = cli;
  const there = sourceOf(cli, values);
  const trust = trustOf(values, io);
  const read: Read = async (path) => {
    try {
      return await fetchText({
        base: there.base,
        path: `/api/v1${path}`,
        auth: there.auth,
        ...trust,
        signal: io.signal,
      });
    } catch (thrown) {
      throw aboutTheKeyThere(thrown);
    }
  };
  const target = await ownNamespace(cli);
  cli.elsewhere = there.base;
  const namespace = await screen.progress(
    `asking ${there.base}`,
    namespaceThere(read, values.text("namespace") ?? "_"),
  );
  let [got, of] = [0, 0];
  const wanted = await screen.progress(
    `reading ${namespace}`,
    readThere(read, { namespace, target, progress: (done, total) => ([got, of] = [done, total]) }),
  );
  const apis = await apisThere(cli, read, { namespace, target, auth: there.auth, rest: cli.connection.rest });
  cli.elsewhere = undefined;
  const andApis = apis.documents.size === 0 ? "" : ` and ${apis.documents.size} APIs`;
  screen.say(`read ${got} of ${of} entities${andApis} of ${namespace} at ${there.base}`);
  const all = { ...wanted, apiDocuments: apis.documents };
  const here = {
    ...(await readHere(cli, target)),
    apis: new Map<string, never>(),
    // Nobody asks an installation without a gateway of its own for what it does not have.
    apiDocuments: apis.documents.size === 0 ? new Map<string, never>() : await readApiDocuments(cli, target),
  };
  const steps = planOf(all, here, {
    namespace: target,
    kinds: await kindsHere(cli),
    readable: await readableOf(cli, foreignNames(all, target)),
    keep: !values.flag("overwrite"),
  });
  showPlan(screen, `Plan to bring ${namespace} from ${there.base} to ${target}`, steps, apis.warnings);
  const { refuse } = countsOf(steps);
  const short = refuse > 0 || apis.warnings.length > 0;
  const plan = { plan: stepsJson(steps) };
  if (values.flag("dry-run")) {
    if (screen.json) screen.printJson(plan);
    return short ? REFUSED : 0;
  }
  const { done } = await apply(cli, target, steps, (step, ms) => {
    showStep(screen, step, ms);
  });
  if (screen.json) screen.printJson({ ...plan, done: stepsJson(done) });
  else screen.say(done.length === 0 ? `nothing was done: ${countsText(steps)}` : `done: ${done.length}`);
  if (refuse > 0) screen.say(`${refuse} could not be brought: see ! above`);
  return short ? REFUSED : 0;
};

/** What mends it is another key there: the key here is another matter. */
function aboutTheKeyThere(thrown: unknown): unknown {
  if (!(thrown instanceof WeftError) || thrown.kind !== "unauthenticated") return thrown;
  const { kind, reason, message } = thrown;
  return new WeftError(kind, reason, message, {
    cause: thrown,
    fix: "weft wsk-import --auth UUID:KEY    (a key of there; or AUTH= in the file of --wskprops)",
  });
}

/** What cannot be read of them is said, and is no reason to do without the rest. */
async function apisThere(
  cli: Cli,
  read: Read,
  options: ApiSourceOptions,
): Promise<{ readonly documents: ReadonlyMap<string, ApiDocumentState>; readonly warnings: readonly string[] }> {
  try {
    const documents = await cli.screen.progress("reading APIs", readApisThere(read, options));
    return { documents: documents ?? new Map<string, never>(), warnings: [] };
  } catch (thrown) {
    const error = toWeftError(thrown);
    if (error.kind === "canceled") throw error;
    return { documents: new Map(), warnings: [`the APIs there cannot be read, and none is brought: ${error.message}`] };
  }
}

/** Some of it cannot be here; the rest was done. */
const REFUSED = 2;

/** Flags, then a file as `wsk` has it. */
function sourceOf(cli: Cli, values: Values): { readonly base: string; readonly auth: string } {
  const { env, home, cwd } = cli.io;
  const named = values.text("wskprops");
  const [givenHost, givenAuth] = [values.text("apihost"), values.text("auth")];
  const file = named === undefined ? (env["WSK_CONFIG_FILE"] ?? join(home, ".wskprops")) : resolve(cwd, named);
  const props = givenHost !== undefined && givenAuth !== undefined ? new Map<string, string>() : propsOf(file);
  const host = givenHost ?? props.get("APIHOST");
  const auth = givenAuth ?? props.get("AUTH");
  if (host === undefined || host === "") throw missing("--apihost URL", "APIHOST", file);
  if (auth === undefined || auth === "") throw missing("--auth UUID:KEY", "AUTH", file);
  if (!/^[^:\s]+:[^\s]+$/.test(auth)) throw usage("the key there is none: it looks like UUID:KEY");
  // A host without a scheme is https for every OpenWhisk client.
  const text = /^https?:\/\//.test(host) ? host : `https://${host}`;
  if (!URL.canParse(text)) throw usage(`"${host}" is no address: write http://HOST:PORT`);
  const base = new URL(text).origin;
  if (base === cli.connection.rest && auth === cli.connection.auth) {
    throw usage(
      `${base} with this key is where it would be brought to`,
      "weft wsk-import --apihost URL --auth UUID:KEY    (here is WEFT_APIHOST and WEFT_AUTH, or .weft/wskprops)",
    );
  }
  return { base, auth };
}

function propsOf(file: string): ReadonlyMap<string, string> {
  try {
    return parseProps(readFileSync(file, "utf8"));
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw code === "ENOENT"
      ? usage(`where from? there is no file ${file}`, "weft wsk-import --apihost URL --auth UUID:KEY")
      : new WeftError("invalidArgument", "USAGE", `${file} cannot be read: ${message}`);
  }
}

function missing(option: string, line: string, file: string): WeftError {
  return usage(`where from? ${file} has no ${line}`, `weft wsk-import ${option}`);
}
