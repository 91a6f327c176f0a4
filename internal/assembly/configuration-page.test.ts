import { describe, expect, it } from "vitest";
import { configurationPage } from "../boot/configuration-page.js";
import { documentedCommands } from "./commands.js";

describe("the page of settings", () => {
  it("is what the schemas say (after a change: npx vitest run --config .ci/vitest.config.ts internal/assembly -u)", async () => {
    await expect(configurationPage(documentedCommands)).toMatchFileSnapshot("../../docs/configuration.md");
  });
});
