import { startInvoker } from "../../internal/assembly/invoker.js";
import { distributedWiring } from "../../internal/assembly/wiring.js";
import { runCommand } from "../../internal/boot/command.js";
import { invokerConfig } from "./config.js";

await runCommand("invoker", invokerConfig, async ({ config, ready, ...context }) => {
  const address = await startInvoker(context, distributedWiring(context, config), {
    ...config,
    programPath: process.env["PATH"] ?? "",
  });
  ready({ address });
});
