// Which web action a URL names: /web/{namespace}/{package|default}/{action}[.extension][/path].

import { nameProblem } from "../tenancy/name.js";

/** How the result becomes a response. */
export type WebFormat = "http" | "json" | "html" | "svg" | "text";

export interface WebPath {
  readonly namespace: string;
  /** "name" or "package/name". */
  readonly action: string;
  readonly format: WebFormat;
  /** What follows the action, as it was sent and with its slash; "" when nothing does. */
  readonly rest: string;
}

export const FORMATS: readonly WebFormat[] = ["http", "json", "html", "svg", "text"];
/** Stands for "no package". */
const DEFAULT_PACKAGE = "default";

/**
 * @param path what follows "/web/", as it was sent
 * @returns undefined when it has too few segments to name an action; "unknown" when no action can have the name
 */
export function parseWebPath(path: string): WebPath | "unknown" | undefined {
  const [namespaceText = "", packageText = "", actionText = ""] = path.split("/", 3);
  if (namespaceText === "" || packageText === "" || actionText === "") return undefined;
  const namespace = decoded(namespaceText);
  const inPackage = decoded(packageText);
  const spelled = decoded(actionText);
  if (namespace === undefined || inPackage === undefined || spelled === undefined) return "unknown";
  // An unknown suffix is part of the name.
  const format = FORMATS.find((one) => spelled.endsWith(`.${one}`));
  const name = format ? spelled.slice(0, -format.length - 1) : spelled;
  if ([namespace, inPackage, name].some((segment) => nameProblem(segment) !== undefined)) return "unknown";
  return {
    namespace,
    action: inPackage === DEFAULT_PACKAGE ? name : `${inPackage}/${name}`,
    format: format ?? "http",
    rest: path.slice(namespaceText.length + packageText.length + actionText.length + 2),
  };
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
