export { migrateSettings as migrateConfig } from "../../internal/assembly/settings.js";
