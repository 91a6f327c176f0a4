import { describe, expect, it } from "vitest";

import { integer } from "../base/config.js";
import { configurationPage, type DocumentedCommand } from "./configuration-page.js";

/** Every command with settings of its own, in the order of the page. */
const commands: readonly DocumentedCommand[] = [];

describe("the page of settings", () => {
  it("is what the schemas say (after a change: npx vitest run --config .ci/vitest.config.ts -u internal/boot/configuration-page)", async () => {
    await expect(configurationPage(commands)).toMatchFileSnapshot("../../docs/configuration.md");
  });

  it("has a section per command after what every command has", () => {
    const page = configurationPage([
      { name: "invoker", summary: "Runs sandboxes.", schema: { slotLimit: integer("most slots", { default: 8 }) } },
    ]);
    expect(page).toContain("| graceMs | `--grace-ms` | `WEFT_GRACE_MS` | `<duration>` | `10s` |");
    expect(page.indexOf("## weft-invoker\n\nRuns sandboxes.\n")).toBeGreaterThan(page.indexOf("## Every command"));
    expect(page).toContain("| slotLimit | `--slot-limit` | `WEFT_SLOT_LIMIT` | `<n>` | `8` | most slots |");
  });
});
