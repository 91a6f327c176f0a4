// x-ibm-configuration.assembly: what is done for which operation. Of its policies those are understood that OpenWhisk's
// tools write: operation-switch, invoke, and set-variable for headers. Another one is refused: left out, a document would
// be served that means something else.

import { invalidField } from "../../base/errors.js";
import { checkHeader } from "./backend.js";
import { isObject, member, numberText, type Json } from "./json.js";

export interface Invocation {
  readonly targetUrl: string;
  /** "keep" or a verb, as written. */
  readonly verb: string;
  readonly headers: ReadonlyMap<string, string>;
}

export interface Assembly {
  /** Of operations that no case names. */
  readonly otherwise: Invocation | undefined;
  readonly byOperation: ReadonlyMap<string, Invocation>;
}

const FIELD = "x-ibm-configuration.assembly";
const HEADERS = "message.headers.";

/** @throws invalidArgument for what is not understood */
export function readAssembly(document: Json): Assembly {
  const byOperation = new Map<string, Invocation>();
  const steps = listOf(member(member(member(document, "x-ibm-configuration"), "assembly"), "execute"), "execute");
  const always = readSteps(steps);
  for (const step of steps) {
    const cases = member(step, "operation-switch");
    if (cases === undefined) continue;
    for (const one of listOf(member(cases, "case"), "case")) {
      const own = readSteps(listOf(member(one, "execute"), "execute"));
      if (!own.invocation) continue;
      const invocation = { ...own.invocation, headers: new Map([...always.headers, ...own.headers]) };
      for (const id of listOf(member(one, "operations"), "operations")) {
        // A reference may be an id, or a verb with a path; OpenWhisk's tools write ids.
        if (typeof id !== "string") throw invalidField(FIELD, "operations must be operationIds");
        byOperation.set(id, invocation);
      }
    }
  }
  return { byOperation, otherwise: always.invocation };
}

interface Steps {
  readonly headers: ReadonlyMap<string, string>;
  readonly invocation: Invocation | undefined;
}

function readSteps(steps: readonly Json[]): Steps {
  const headers = new Map<string, string>();
  let found: Invocation | undefined;
  for (const step of steps) {
    const [name, ...more] = isObject(step) ? Object.keys(step) : [];
    if (name === undefined || more.length > 0) throw invalidField(FIELD, "a step must have one policy");
    const policy = member(step, name);
    switch (name) {
      case "operation-switch":
        break;
      case "set-variable":
        for (const action of listOf(member(policy, "actions"), "actions")) headers.set(...setHeader(action));
        break;
      case "invoke": {
        const targetUrl = member(policy, "target-url");
        const verb = member(policy, "verb") ?? "keep";
        if (typeof targetUrl !== "string" || typeof verb !== "string") {
          throw invalidField(FIELD, "invoke needs a target-url; its verb must be a string");
        }
        if (found) throw invalidField(FIELD, "an operation invokes one action: make a sequence of several");
        found = { targetUrl, verb, headers };
        break;
      }
      default:
        throw invalidField(
          FIELD,
          `the policy ${JSON.stringify(name)} is not understood: there are operation-switch, invoke and set-variable`,
        );
    }
  }
  return { headers, invocation: found };
}

function setHeader(action: Json): readonly [string, string] {
  const set = member(action, "set");
  const given = member(action, "value");
  const value = typeof given === "string" ? (numberText(given) ?? given) : numberText(given);
  if (typeof set !== "string" || !set.startsWith(HEADERS) || value === undefined) {
    throw invalidField(FIELD, `set-variable can set "${HEADERS}NAME" to a string or number`);
  }
  return checkHeader(FIELD, set.slice(HEADERS.length), value);
}

function listOf(value: Json | undefined, what: string): readonly Json[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidField(FIELD, `${what} must be a list`);
  return value;
}
