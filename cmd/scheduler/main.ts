import { startScheduler } from "../../internal/assembly/scheduler.js";
import { distributedWiring } from "../../internal/assembly/wiring.js";
import { runCommand } from "../../internal/boot/command.js";
import { schedulerConfig } from "./config.js";

await runCommand("scheduler", schedulerConfig, async ({ config, ready, ...context }) => {
  const address = await startScheduler(context, distributedWiring(context, config), config);
  ready({ address });
});
