// Paths of APIs: what may be written, and which of them a request means.

import { invalidField } from "../../base/errors.js";
import { PATH_LENGTH_MAX } from "./types.js";

/** A segment of a path: itself, or a parameter with what stands before and behind it in the segment. */
export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "parameter"; readonly name: string; readonly before: string; readonly after: string };

/** A path of a request, cut up. */
export interface RequestPath {
  /** As they were sent. */
  readonly raw: readonly string[];
  readonly decoded: readonly string[];
}

/**
 * Cuts up a path. A slash at the end does not count.
 * @param path escaped, as it was sent; "" or beginning with a slash
 * @returns undefined for what no API serves: escapes that are none, control characters, "." and ".." also when escaped,
 * empty segments
 */
export function parseRequestPath(path: string): RequestPath | undefined {
  const raw = segmentsOf(path);
  const decoded: string[] = [];
  for (const segment of raw) {
    const text = decode(segment);
    if (text === undefined || text === "" || text === "." || text === ".." || CONTROL.test(text)) return undefined;
    decoded.push(text);
  }
  return { raw, decoded };
}

/** The longest base path that begins a path. */
export function basePathFor(basePaths: readonly string[], path: RequestPath): string | undefined {
  let best: string | undefined;
  for (const basePath of basePaths) {
    const segments = segmentsOf(basePath);
    if (segments.length > path.raw.length || !segments.every((text, i) => isSegment(text, path, i))) continue;
    if (best === undefined || segments.length > segmentsOf(best).length) best = basePath;
  }
  return best;
}

/** What follows a base path in a path that it begins. */
export function pathBelow(basePath: string, path: RequestPath): RequestPath {
  const from = segmentsOf(basePath).length;
  return { raw: path.raw.slice(from), decoded: path.decoded.slice(from) };
}

export interface PathMatch {
  /** Decoded, by name. */
  readonly parameters: ReadonlyMap<string, string>;
  /** How particular: of two matches the smaller is the better one. */
  readonly rank: string;
}

export function matchPath(template: readonly Segment[], path: RequestPath): PathMatch | undefined {
  if (template.length !== path.raw.length) return undefined;
  const parameters = new Map<string, string>();
  let rank = "";
  for (const [i, segment] of template.entries()) {
    if (segment.kind === "literal") {
      if (!isSegment(segment.text, path, i)) return undefined;
      rank += "0";
      continue;
    }
    const { before, after, name } = segment;
    const text = path.decoded[i] ?? "";
    if (text.length <= before.length + after.length || !text.startsWith(before) || !text.endsWith(after))
      return undefined;
    parameters.set(name, text.slice(before.length, text.length - after.length));
    rank += before === "" && after === "" ? "2" : "1";
  }
  return { parameters, rank };
}

/** Without a slash at the end, unless it is all there is. */
export function normalBasePath(text: string): string {
  return text.length > 1 && text.endsWith("/") ? text.slice(0, -1) : text;
}

/** @throws invalidArgument naming the field */
export function checkBasePath(field: string, text: string): string {
  if (/[{}]/.test(text)) {
    throw invalidField(
      field,
      `The base path '${text}' cannot have parameters. Only the relative path supports path parameters.`,
    );
  }
  checkWritten(field, text);
  return normalBasePath(text);
}

/** @throws invalidArgument naming the field */
export function parseTemplate(field: string, path: string): readonly Segment[] {
  const segments = checkWritten(field, path);
  const names = new Set<string>();
  return segments.map((segment): Segment => {
    const match = /^([^{}]*)\{([^{}]*)\}([^{}]*)$/.exec(segment);
    if (!match) {
      if (!/[{}]/.test(segment)) return { kind: "literal", text: segment };
      throw invalidField(field, `path '${path}' has a segment with other than one parameter "{name}": '${segment}'`);
    }
    const [, before = "", name = "", after = ""] = match;
    if (!PARAMETER.test(name) || name.startsWith("__ow_")) {
      throw invalidField(
        field,
        `path '${path}' has a parameter that cannot be called '${name}': letters, digits, "_", "-" and "." may be used, and names that begin with "__ow_" are OpenWhisk's`,
      );
    }
    if (names.has(name)) throw invalidField(field, `path '${path}' has the parameter '${name}' twice`);
    names.add(name);
    return { kind: "parameter", name, before, after };
  });
}

export function parametersOf(template: readonly Segment[]): readonly string[] {
  return template.flatMap((segment) => (segment.kind === "parameter" ? [segment.name] : []));
}

const CONTROL = /[\u0000-\u001f\u007f]/;
const PARAMETER = /^[A-Za-z0-9_.-]{1,64}$/;

/** @returns its segments. @throws invalidArgument */
function checkWritten(field: string, path: string): readonly string[] {
  if (!path.startsWith("/")) throw invalidField(field, `must begin with a slash: '${path}'`);
  if (path.length > PATH_LENGTH_MAX) {
    throw invalidField(field, `longer than allowed: ${path.length} > ${PATH_LENGTH_MAX} characters`);
  }
  if (CONTROL.test(path) || /[?#\\]/.test(path) || /\p{Cs}/u.test(path)) {
    throw invalidField(field, `path ${JSON.stringify(path)} has a control character, "?", "#" or "\\"`);
  }
  const segments = segmentsOf(path);
  for (const segment of segments) {
    const text = decode(segment) ?? segment;
    if (text === "" || text === "." || text === "..") {
      throw invalidField(field, `path '${path}' has an empty segment, "." or ".."`);
    }
  }
  return segments;
}

function segmentsOf(path: string): readonly string[] {
  const text = path.endsWith("/") ? path.slice(0, -1) : path;
  return text === "" ? [] : text.slice(1).split("/");
}

/** A segment may be written with escapes or without. */
function isSegment(text: string, path: RequestPath, i: number): boolean {
  return path.decoded[i] === text || path.raw[i] === text;
}

function decode(segment: string): string | undefined {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
