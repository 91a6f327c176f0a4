// Images of blackbox actions: how they are named, which are allowed, and what their sandboxes are called.

import { BLACKBOX_KIND, type Exec } from "./types.js";

/** Longest name of an image with everything; the parts that name a repository may have 255. */
const IMAGE_LENGTH_MAX = 512;
const REPOSITORY_LENGTH_MAX = 255;

const DOMAIN =
  "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]{1,5})?";
const PART = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
/** As Docker has it: [registry/]path[:tag][@digest]. */
const IMAGE = new RegExp(
  `^(?:(?<domain>${DOMAIN})/)??(?<path>${PART}(?:/${PART})*)(?::(?<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?<digest>sha256:[a-f0-9]{64}))?$`,
);

/** OpenWhisk's image for scripts and executables: the kind `native` is the same, and no image has to be fetched for it. */
const SKELETON = /^(?:docker\.io\/)?openwhisk\/dockerskeleton(?::[^@]*)?$/;
export const NATIVE_KIND = "native:1";

/** Where images are when no registry is named, and whose they are when nobody is. */
const DEFAULT_REGISTRY = "docker.io";
const DEFAULT_OWNER = "library";

/** Which images actions may use: "*" for all, "none", or beginnings of names, such as "registry.example.com/team/". */
export class ImagePolicy {
  readonly #all: boolean;
  readonly #allowed: readonly string[];

  constructor(private readonly prefixes: readonly string[]) {
    this.#all = prefixes.includes("*");
    this.#allowed = prefixes.filter((prefix) => prefix !== "none").map(fullName);
  }

  /** What is wrong with the name of an image; undefined when nothing is. */
  problem(image: string): string | undefined {
    const problem = imageProblem(image);
    if (problem !== undefined || this.#all) return problem;
    const full = fullName(image);
    if (this.#allowed.some((prefix) => full.startsWith(prefix))) return undefined;
    const allowed = this.#allowed.length === 0 ? "none is" : `allowed is what begins with ${this.prefixes.join(", ")}`;
    return `"${image.slice(0, 128)}" is not allowed here: ${allowed}`;
  }
}

function imageProblem(image: string): string | undefined {
  if (image === "") return "must name the image of a blackbox action, for example me/image:1";
  if (image.length > IMAGE_LENGTH_MAX) return `longer than allowed: ${image.length} > ${IMAGE_LENGTH_MAX} characters`;
  const { domain, path = "" } = IMAGE.exec(image)?.groups ?? {};
  if (path === "")
    return `"${image.slice(0, 128)}" is no name of an image: [registry/]path[:tag], the path in lower case`;
  if (path.length + (domain?.length ?? 0) > REPOSITORY_LENGTH_MAX) {
    return `names a repository longer than allowed: ${REPOSITORY_LENGTH_MAX} characters`;
  }
  return undefined;
}

/** With the registry and owner that a short name leaves out: so that a prefix means the same for each way to write it. */
function fullName(image: string): string {
  const slash = image.indexOf("/");
  const first = slash === -1 ? "" : image.slice(0, slash);
  if (/[.:]|^localhost$/.test(first)) return image;
  return `${DEFAULT_REGISTRY}/${slash === -1 ? `${DEFAULT_OWNER}/` : ""}${image}`;
}

/** True when an image may change under its name: without a tag, or with "latest". Such an image is fetched again. */
export function mayChange(image: string): boolean {
  const { tag, digest } = IMAGE.exec(image)?.groups ?? {};
  return digest === undefined && (tag === undefined || tag === "latest");
}

/**
 * What a sandbox for an action is made as: a kind of the manifest, or "blackbox:<image>". Sandboxes of the same one are alike
 * until code is loaded.
 */
export function sandboxKindOf({ kind, image }: Pick<Exec, "kind" | "image">): string {
  if (image === undefined) return kind;
  return SKELETON.test(image) ? NATIVE_KIND : `${BLACKBOX_KIND}:${image}`;
}

/** What an invoker must be able to make for that, and what records name: a kind of the manifest, or "blackbox". */
export function neededKind(sandboxKind: string): string {
  return sandboxKind.startsWith(`${BLACKBOX_KIND}:`) ? BLACKBOX_KIND : sandboxKind;
}

/** The image of a sandbox kind; undefined for those of the manifest. */
export function imageOfKind(sandboxKind: string): string | undefined {
  return sandboxKind.startsWith(`${BLACKBOX_KIND}:`) ? sandboxKind.slice(BLACKBOX_KIND.length + 1) : undefined;
}
