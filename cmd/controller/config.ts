export { controllerSettings as controllerConfig } from "../../internal/assembly/settings.js";
