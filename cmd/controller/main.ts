import { startController } from "../../internal/assembly/controller.js";
import { distributedWiring } from "../../internal/assembly/wiring.js";
import { runCommand } from "../../internal/boot/command.js";
import { controllerConfig } from "./config.js";

await runCommand("controller", controllerConfig, async ({ config, ready, ...context }) => {
  const address = await startController(context, distributedWiring(context, config), config);
  ready({ address });
});
