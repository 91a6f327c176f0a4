// google.api.http: which rpc serves a path, and which pieces of the path go where in its request. Matching and decoding
// follow Envoy's transcoder to the letter, odd cases included, because the two faces may not differ.

import {
  getOption,
  hasOption,
  type DescExtension,
  type DescMethod,
  type DescService,
  type FileRegistry,
} from "@bufbuild/protobuf";
import { invariant } from "../../base/errors.js";

export interface Binding {
  readonly method: DescMethod;
  /** "/package.Service/Method" */
  readonly rpc: string;
  /** Field that takes the body, "*" for the whole request, "" for none. */
  readonly body: string;
}

/** A binding and what its path said: dotted field paths and their values, decoded. */
export interface Match {
  readonly binding: Binding;
  readonly variables: readonly (readonly [field: string, value: string])[];
}

/** A segment of a template: itself, any one, or all that are left. */
type Segment = { readonly literal: string } | { readonly field: string; readonly rest: boolean };

interface Template {
  readonly verb: string;
  readonly segments: readonly Segment[];
  readonly binding: Binding;
}

const HTTP_EXTENSION = "google.api.http";

/** The HTTP rules of a set of services. */
export class HttpRules {
  readonly #templates = new Map<string, Template[]>();
  readonly #verbs = new Set<string>();

  constructor(registry: FileRegistry, services: readonly DescService[]) {
    const extension = registry.getExtension(HTTP_EXTENSION);
    invariant(extension !== undefined, `the descriptor set has ${HTTP_EXTENSION}`);
    for (const service of services) {
      for (const method of service.methods) {
        for (const rule of rulesOf(method, extension)) this.#add(method, rule);
      }
    }
  }

  find(httpMethod: string, path: string): Match | undefined {
    const { segments, verb } = this.#split(path);
    let best: { readonly template: Template; readonly rank: string } | undefined;
    for (const template of this.#templates.get(httpMethod) ?? []) {
      if (template.verb !== verb) continue;
      const rank = rankOf(template.segments, segments);
      if (rank !== undefined && (best === undefined || rank < best.rank)) best = { template, rank };
    }
    if (!best) return undefined;
    const { template } = best;
    const variables = template.segments.flatMap((segment, i): [string, string][] => {
      if (!("field" in segment)) return [];
      if (!segment.rest) return [[segment.field, decodeSegment(segments[i] ?? "")]];
      return [[segment.field, segments.slice(i).map(decodeKeepingSlash).join("/")]];
    });
    return { binding: template.binding, variables };
  }

  /** What can be called with a verb. */
  of(httpMethod: string): readonly Binding[] {
    return (this.#templates.get(httpMethod) ?? []).map((template) => template.binding);
  }

  /** A trailing slash does not count; a verb does only when some rule has it. */
  #split(path: string): { readonly segments: readonly string[]; readonly verb: string } {
    const colon = path.lastIndexOf(":");
    const named = colon > path.lastIndexOf("/") ? path.slice(colon + 1) : "";
    const verb = this.#verbs.has(named) ? named : "";
    const segments = (verb === "" ? path : path.slice(0, colon)).slice(1).split("/");
    if (segments[segments.length - 1] === "") segments.pop();
    return { segments, verb };
  }

  #add(method: DescMethod, rule: Rule): void {
    const { pattern } = rule;
    const custom = pattern.case === "custom";
    const httpMethod = custom ? pattern.value.kind : pattern.case.toUpperCase();
    const path = custom ? pattern.value.path : pattern.value;
    const { segments, verb } = parseTemplate(path);
    if (verb !== "") this.#verbs.add(verb);
    const binding = { method, rpc: `/${method.parent.typeName}/${method.name}`, body: rule.body };
    const known = this.#templates.get(httpMethod) ?? [];
    known.push({ verb, segments, binding });
    this.#templates.set(httpMethod, known);
  }
}

interface Rule {
  readonly pattern:
    | { readonly case: "get" | "put" | "post" | "delete" | "patch"; readonly value: string }
    | { readonly case: "custom"; readonly value: { readonly kind: string; readonly path: string } };
  readonly body: string;
  readonly additionalBindings: readonly Rule[];
}

function rulesOf(method: DescMethod, extension: DescExtension): readonly Rule[] {
  // A streaming request has no JSON form here, as in Envoy's configuration.
  if (method.methodKind !== "unary") return [];
  if (!hasOption(method, extension)) return [];
  const rule = getOption(method, extension) as Rule;
  return [rule, ...rule.additionalBindings];
}

function parseTemplate(path: string): { readonly segments: readonly Segment[]; readonly verb: string } {
  const match = /^((?:\/(?:\{[^}]*\}|[^/:{}]+))+)(?::([\w.-]+))?$/.exec(path);
  invariant(match !== null, `a path template that is understood: ${path}`);
  const [, template = "", verb = ""] = match;
  const segments = template
    .slice(1)
    .split("/")
    .map((part): Segment => {
      if (!part.startsWith("{")) return { literal: part };
      const [field = "", pattern = "*"] = part.slice(1, -1).split("=");
      invariant(pattern === "*" || pattern === "**", `a variable of one segment or of all that are left: ${path}`);
      return { field, rest: pattern === "**" };
    });
  return { segments, verb };
}

/** @returns undefined when it does not match; otherwise smaller is more particular, by the first segment that differs */
function rankOf(template: readonly Segment[], path: readonly string[]): string | undefined {
  let rank = "";
  for (let i = 0; i < template.length; i++) {
    const segment = template[i] as Segment;
    if ("literal" in segment) {
      if (path[i] !== segment.literal) return undefined;
      rank += "0";
    } else if (segment.rest) return `${rank}2`;
    else {
      if (i >= path.length) return undefined;
      rank += "1";
    }
  }
  return path.length === template.length ? rank : undefined;
}

/** Percent-decodes what is well-formed and leaves the rest. */
export function decodeSegment(text: string): string {
  if (!text.includes("%")) return text;
  const bytes = Buffer.from(
    text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => unescaped(hex)),
    "latin1",
  );
  return bytes.toString("utf8");
}

function decodeKeepingSlash(text: string): string {
  // A name with an escaped slash is not a name in a package.
  return text
    .split(/(%2[fF])/)
    .map((part, i) => (i % 2 === 1 ? part : decodeSegment(part)))
    .join("");
}

function unescaped(hex: string): string {
  return String.fromCharCode(parseInt(hex, 16));
}
