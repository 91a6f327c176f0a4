import { startGateway } from "../../internal/assembly/gateway.js";
import { distributedWiring } from "../../internal/assembly/wiring.js";
import { runCommand } from "../../internal/boot/command.js";
import { gatewayConfig } from "./config.js";

await runCommand("gateway", gatewayConfig, async ({ config, ready, ...context }) => {
  const { grpc, http } = await startGateway(context, distributedWiring(context, config), config);
  ready({ grpc, http });
});
