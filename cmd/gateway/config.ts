export { gatewaySettings as gatewayConfig } from "../../internal/assembly/settings.js";
