// For tests of roles, which may not import an adapter themselves.

export { readCron } from "../../internal/cron/cron.js";
