import type { ActivationId } from "../../base/ids.js";
import { Violations } from "../../base/violations.js";
import {
  isActivationPosition,
  PAGE_BYTES_MAX,
  readPage,
  type ActivationPosition,
  type Page,
  type PageRequest,
} from "../action/page.js";
import { formatActionName, parseActionName } from "../tenancy/name.js";
import type { ActivationQuery } from "./store.js";

export interface ActivationListInput extends PageRequest {
  readonly namespace: string;
  /** "" for all. */
  readonly name: string;
  readonly sinceWallMs: number | undefined;
  readonly uptoWallMs: number | undefined;
  readonly full: boolean;
}

/** The end of the year 9999. */
const WALL_MS_MAX = 253_402_300_799_999;

/** The query of one page. @throws invalidArgument with every field */
export function activationQuery(input: ActivationListInput): {
  readonly query: ActivationQuery;
  readonly page: Page<ActivationPosition>;
} {
  const violations = new Violations();
  const name =
    input.name === "" ? undefined : violations.try(() => formatActionName(parseActionName("name", input.name)));
  // Starts are whole milliseconds.
  const sinceWallMs = input.sinceWallMs === undefined ? undefined : Math.ceil(input.sinceWallMs);
  const uptoWallMs = input.uptoWallMs === undefined ? undefined : Math.floor(input.uptoWallMs);
  checkTime("since", sinceWallMs, violations);
  checkTime("upto", uptoWallMs, violations);
  if (sinceWallMs !== undefined && uptoWallMs !== undefined && sinceWallMs > uptoWallMs) {
    violations.add("since", "must not be after upto");
  }
  const list = ["activations", input.namespace, name, sinceWallMs, uptoWallMs];
  const page = readPage(input, list, isActivationPosition, violations);
  violations.check();
  return {
    query: {
      namespace: input.namespace,
      name,
      sinceWallMs,
      uptoWallMs,
      full: input.full,
      limit: page.size,
      bytesMax: PAGE_BYTES_MAX,
      skip: page.skip,
      after: page.after && { startWallMs: page.after.startWallMs, id: page.after.id as ActivationId },
    },
    page,
  };
}

function checkTime(field: string, wallMs: number | undefined, violations: Violations): void {
  if (wallMs !== undefined && Math.abs(wallMs) > WALL_MS_MAX)
    violations.add(field, "must be between the years 1 and 9999");
}
