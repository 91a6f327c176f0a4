import { JSON_DEPTH_MAX } from "../params/merge.js";

/**
 * @param text what should be one JSON value
 * @param depthMax deepest nesting; a value of a parameter stands one level deep in the arguments
 * @returns what is wrong with it, or undefined
 */
export function jsonProblem(text: string, depthMax: number = JSON_DEPTH_MAX - 1): string | undefined {
  // The depth first: it bounds the recursion of whoever reads the value.
  if (nestedDeeper(text, depthMax)) return `nested deeper than ${depthMax} levels`;
  try {
    JSON.parse(text);
    return undefined;
  } catch (thrown) {
    return `must be JSON text: ${(thrown as SyntaxError).message}`;
  }
}

function nestedDeeper(text: string, depthMax: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === "\\") i += 1;
      else if (c === '"') inString = false;
      continue;
    }
    if (c === '"') inString = true;
    else if (c === "{" || c === "[") {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (c === "}" || c === "]") depth -= 1;
  }
  return false;
}
