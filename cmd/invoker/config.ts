export { invokerSettings as invokerConfig } from "../../internal/assembly/settings.js";
