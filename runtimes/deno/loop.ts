// The program of deno and bun actions: the launcher starts it, one process for each run at a time, and speaks OpenWhisk's
// ActionLoop with it. It uses what both have of Node's modules. See docs/runtimes.md.

import { existsSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { Buffer } from "node:buffer";
import { basename, extname, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

type Main = (params: unknown, context: unknown) => unknown;

interface Call {
  readonly value: unknown;
  readonly activation_id: string;
  readonly deadline: string;
  readonly remaining_ms: number;
  readonly traceparent?: string;
  readonly [sibling: string]: unknown;
}

/** The code is not what it should be; the message says how. */
class Unloadable extends Error {}

const SIBLINGS = [
  "namespace",
  "action_name",
  "action_version",
  "activation_id",
  "transaction_id",
  "deadline",
  "api_key",
];

/** In the name of the copy that `unexported` makes. */
const EXPORTED = ".exported";

const directory = process.env["WEFT_ACTION_DIR"] ?? ".";
const answers = openSync("/proc/self/fd/3", "w");
let abort = new AbortController();
let running = false;
// Without a run there is nothing to cancel.
process.on("SIGTERM", () => {
  if (running) abort.abort(new Error("The activation was cancelled."));
});

const main = await load().catch((thrown: unknown) => {
  if (!(thrown instanceof Unloadable)) tell(thrown);
  answer({ error: thrown instanceof Unloadable ? thrown.message : describe(thrown) });
  process.exit(0);
});
answer({ ok: true });
process.on("uncaughtException", crash);
process.on("unhandledRejection", crash);
for await (const line of lines()) answerText(await run(JSON.parse(line) as Call));
process.exit(0); // timers of the action may still run

/** Lines of standard input. A last one without its end is the launcher's death in the middle of it. */
async function* lines(): AsyncGenerator<string> {
  const pieces: string[] = [];
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    let rest = chunk as string;
    for (let cut = rest.indexOf("\n"); cut >= 0; cut = rest.indexOf("\n")) {
      pieces.push(rest.slice(0, cut));
      rest = rest.slice(cut + 1);
      yield pieces.splice(0).join("");
    }
    pieces.push(rest);
  }
}

// ---- the code ----

async function load(): Promise<Main> {
  const name = process.env["WEFT_ACTION_MAIN"] ?? "main";
  const file = process.env["WEFT_ACTION_FILE"] ?? "";
  const path = file === "" ? entry() : file;
  const exported = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  const found = named(exported, name) ?? (file === "" ? undefined : await unexported(file, name));
  if (found !== undefined) return found;
  const names = Object.keys(exported).filter((key) => key !== "default");
  throw new Unloadable(
    `no function "${name}" in ${basename(path)}; it exports ${names.length > 0 ? names.join(", ") : "nothing"}`,
  );
}

function named(exported: Record<string, unknown>, name: string): Main | undefined {
  for (const space of [exported, exported["default"]]) {
    let found: unknown = space;
    for (const part of name.split(".")) found = (found as Record<string, unknown> | undefined)?.[part];
    if (typeof found === "function") return found as Main;
    if (name === "main" && typeof space === "function") return space as Main;
  }
  return undefined;
}

/** OpenWhisk's examples have a plain `function main`: the same file once more, with it exported. */
async function unexported(file: string, name: string): Promise<Main | undefined> {
  const source = readFileSync(file, "utf8");
  const defined = /^\w+$/.test(name) && new RegExp(`\\b(?:function|const|let|var)\\s+${name}\\b`).test(source);
  if (!defined) return undefined;
  const copy = join(directory, `${basename(file, extname(file))}${EXPORTED}${extname(file)}`);
  writeFileSync(copy, `${source}\nexport { ${name} };\n`);
  return named((await import(pathToFileURL(copy).href)) as Record<string, unknown>, name);
}

function entry(): string {
  const manifest = join(directory, "package.json");
  const { main: said } = (existsSync(manifest) ? JSON.parse(readFileSync(manifest, "utf8")) : {}) as { main?: string };
  const candidates = [said ?? "index.ts", "index.ts", "index.js", "index.mjs", "main.ts", "mod.ts"];
  const found = candidates.find((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.isFile());
  if (found !== undefined) return join(directory, found);
  throw new Unloadable(`the archive has no "${said ?? "index.ts"}"; name the file in package.json's "main"`);
}

// ---- runs ----

async function run(call: Call): Promise<string> {
  setEnvironment(call);
  abort = new AbortController();
  running = true;
  const startedMs = performance.now();
  const context = {
    activationId: call.activation_id,
    deadlineWallMs: Number(call.deadline),
    traceparent: call.traceparent ?? "",
    signal: abort.signal,
    remainingMs: () => Math.max(0, call.remaining_ms - (performance.now() - startedMs)),
  };
  try {
    let returned: unknown;
    try {
      returned = main(call.value, context);
    } catch (thrown) {
      tell(thrown);
      return developerError(`An error has occurred: ${describe(thrown)}`);
    }
    return judge(await returned);
  } catch (thrown) {
    if (thrown instanceof Error) tell(thrown);
    return rejected(thrown);
  } finally {
    running = false;
  }
}

function judge(value: unknown): string {
  if (value === undefined) return "{}";
  try {
    // Undefined for functions and what a toJSON takes back.
    const json = JSON.stringify(value) as string | undefined;
    if (json?.startsWith("{") || json?.startsWith("[")) return json;
  } catch (thrown) {
    return developerError(`The action's result cannot be written as JSON: ${describe(thrown)}`);
  }
  return developerError("The action did not return a dictionary or array.");
}

/** What a promise is rejected with is the action's own answer: an application error. */
function rejected(reason: unknown): string {
  const error = reason instanceof Error ? describe(reason) : (reason ?? {});
  try {
    return JSON.stringify({ error });
  } catch {
    return JSON.stringify({ error: String(reason) });
  }
}

function setEnvironment(call: Call): void {
  for (const name of SIBLINGS) setVariable(`__OW_${name.toUpperCase()}`, call[name]);
  setVariable("WEFT_TRACEPARENT", call.traceparent);
}

function setVariable(name: string, value: unknown): void {
  if (typeof value === "string") process.env[name] = value;
  else Reflect.deleteProperty(process.env, name);
}

/** An error outside every call: nobody can say what state the code is in, so the process ends. */
function crash(thrown: unknown): void {
  tell(thrown);
  if (running) answerText(developerError(`An error has occurred: ${describe(thrown)}`));
  process.exit(1);
}

// ---- texts ----

function tell(thrown: unknown): void {
  process.stderr.write(`${short(thrown instanceof Error ? userStack(thrown) : String(thrown))}\n`);
}

/** The stack without our own frames, nor those that led there. */
function userStack(error: Error): string {
  const place = placeOf(error);
  const lines = (error.stack ?? String(error)).split("\n");
  const own = lines.findIndex((line) => line.includes(import.meta.dirname));
  const users = (own > 0 ? lines.slice(0, own) : lines).filter(
    (line) => !/^\s+at .*\(?(?:ext|native|node):/.test(line),
  );
  const cause = error.cause instanceof Error ? `\ncaused by ${userStack(error.cause)}` : "";
  return `${place === "" ? "" : `${place}\n`}${users.join("\n")}${cause}`;
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const place = placeOf(thrown);
  const [first = ""] = thrown.message.split("\n", 1);
  if (place !== "") return `SyntaxError: ${first.replace(/^SyntaxError: /, "")} (${place})`;
  return thrown.message === "" ? thrown.name : short(thrown.message);
}

/** Where code does not parse: Bun keeps it in the error, Deno at the end of the message. */
function placeOf(error: Error): string {
  const { position } = error as { position?: { file: string; line: number } | null };
  const inMessage = /at (file:\S+):(\d+):\d+\s*$/.exec(error.message);
  if (position) return short(`${position.file}:${position.line}`);
  return inMessage ? short(`${inMessage[1] ?? ""}:${inMessage[2] ?? ""}`) : "";
}

function short(text: string): string {
  return text.replaceAll(`file://${directory}/`, "").replaceAll(`${directory}/`, "").replaceAll(`${EXPORTED}.`, ".");
}

function developerError(text: string): string {
  return JSON.stringify({ weft_developer_error: text });
}

function answer(value: unknown): void {
  answerText(JSON.stringify(value));
}

function answerText(json: string): void {
  const bytes = Buffer.from(`${json}\n`);
  for (let at = 0; at < bytes.length;) at += writeSync(answers, bytes, at);
}
