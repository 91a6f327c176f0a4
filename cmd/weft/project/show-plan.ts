// A plan, as it is shown before anything is done, and its steps as they are taken.

import type { Screen } from "../output.js";
import { duration } from "../output.js";
import { countsOf, type Change, type Step } from "./plan.js";

const MARKS: Readonly<Record<Change, string>> = { create: "+", change: "~", delete: "-", leave: "=", refuse: "!" };

/** The plan, for people on standard error, for programs on standard output. */
export function showPlan(screen: Screen, title: string, steps: readonly Step[], warnings: readonly string[]): void {
  if (screen.json) return;
  const { bold, green, yellow, red, dim } = screen.colours;
  const colour = { create: green, change: yellow, delete: red, leave: dim, refuse: red };
  screen.say(bold(title));
  // What is left as it is is counted only, unless there is something to say about it.
  for (const step of steps.filter(
    ({ change, what, note }) => change !== "leave" || what.length > 0 || note !== undefined,
  )) {
    const what = step.what.length === 0 ? "" : `  ${step.what.join("; ")}`;
    screen.say(`  ${colour[step.change](`${MARKS[step.change]} ${sortOf(step).padEnd(8)} ${step.name}`)}${what}`);
    if (step.note !== undefined) screen.say(dim(`             ${step.note}`));
  }
  for (const warning of warnings) screen.say(`  ${yellow("note")}  ${warning}`);
  screen.say(`  ${countsText(steps)}`);
}

/** "2 to create, 1 to change, 4 as they are". */
export function countsText(steps: readonly Step[]): string {
  const counts = countsOf(steps);
  const parts = [
    [counts.create, "to create"],
    [counts.change, "to change"],
    [counts.delete, "to delete"],
    [counts.refuse, "that cannot be"],
    [counts.leave, "to leave as they are"],
  ] as const;
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return said.length === 0 ? "nothing to do" : said.join(", ");
}

export function showStep(screen: Screen, step: Step, ms: number): void {
  if (screen.json) return;
  const verb = step.change === "create" ? "created" : step.change === "delete" ? "deleted" : "changed";
  screen.say(`${screen.colours.green("✓")} ${verb} ${sortOf(step)} ${step.name}  ${screen.colours.dim(duration(ms))}`);
}

export function stepsJson(steps: readonly Step[]): unknown[] {
  return steps.map((step) => {
    const { change, name, what, note } = step;
    return { change, sort: sortOf(step), name, what, note };
  });
}

/** To people and programs an API is one, whether it comes as a whole or by its operations. */
function sortOf({ sort }: Step): string {
  return sort === "document" ? "api" : sort;
}
