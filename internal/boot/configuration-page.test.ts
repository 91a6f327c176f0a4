import { describe, expect, it } from "vitest";

import { integer } from "../base/config.js";
import { configurationPage } from "./configuration-page.js";

describe("the page of settings", () => {
  it("has a section per command after what every command has", () => {
    const page = configurationPage([
      { name: "invoker", summary: "Runs sandboxes.", schema: { slotLimit: integer("most slots", { default: 8 }) } },
    ]);
    expect(page).toContain("| graceMs | `--grace-ms` | `WEFT_GRACE_MS` | `<duration>` | `10s` |");
    expect(page.indexOf("## weft-invoker\n\nRuns sandboxes.\n")).toBeGreaterThan(page.indexOf("## Every command"));
    expect(page).toContain("| slotLimit | `--slot-limit` | `WEFT_SLOT_LIMIT` | `<n>` | `8` | most slots |");
  });
});
