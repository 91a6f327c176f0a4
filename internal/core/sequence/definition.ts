// Whether a sequence may be stored: that its components are there, that they do not lead back to it, and how many
// actions they come to. What is looked up is told in.

import { invalidField, WeftError } from "../../base/errors.js";
import { SEQUENCE_LENGTH_MAX } from "../action/exec.js";
import { DEPTH_MAX } from "./step.js";

/** An action as its place in a sequence sees it. */
export type Definition =
  | { readonly kind: "atomic" }
  | { readonly kind: "sequence"; readonly key: string; readonly components: readonly string[] }
  | { readonly kind: "missing" }
  | { readonly kind: "forbidden" };

const FIELD = "exec.components";

/**
 * @param self key of the sequence
 * @param find what is under a key, as the author of the sequence sees it; of a name in a binding what is behind it
 * @throws invalidArgument, permissionDenied
 */
export async function checkDefinition(
  self: string,
  components: readonly string[],
  find: (key: string) => Promise<Definition>,
): Promise<void> {
  const counts = new Map<string, number>();

  const count = async (key: string, direct: boolean, depth: number): Promise<number> => {
    const known = counts.get(key);
    if (known !== undefined) return known;
    if (key === self) throw loop();
    const found = await find(key);
    switch (found.kind) {
      case "missing":
        if (direct) throw invalidField(FIELD, `Sequence component does not exist: /${key}`);
        return 1; // what is missing further down is told when it runs
      case "forbidden":
        if (direct) throw forbidden(key);
        return 1;
      case "atomic":
        counts.set(key, 1);
        return 1;
      case "sequence": {
        if (found.key === self) throw loop();
        if (depth >= DEPTH_MAX) throw tooLong();
        let total = 0;
        for (const one of found.components) {
          total += await count(one, false, depth + 1);
          if (total > SEQUENCE_LENGTH_MAX) throw tooLong();
        }
        counts.set(key, total);
        return total;
      }
    }
  };

  let total = 0;
  for (const component of components) {
    total += await count(component, true, 1);
    if (total > SEQUENCE_LENGTH_MAX) throw tooLong();
  }
}

/** A component that the caller may not use. */
export function forbidden(key: string): WeftError {
  return new WeftError("permissionDenied", "COMPONENT_FORBIDDEN", `this key may not use the component /${key}`);
}

function loop(): WeftError {
  return invalidField(FIELD, "Sequence may not refer to itself");
}

function tooLong(): WeftError {
  return invalidField(FIELD, "Too many actions in the sequence");
}
