export { schedulerSettings as schedulerConfig } from "../../internal/assembly/settings.js";
