import type { DocumentedCommand } from "../boot/configuration-page.js";
import {
  controllerSettings,
  gatewaySettings,
  invokerSettings,
  migrateSettings,
  schedulerSettings,
} from "./settings.js";

/** The commands that are processes of their own, in the order of docs/configuration.md. */
export const documentedCommands: readonly DocumentedCommand[] = [
  {
    name: "gateway",
    summary: "What clients speak to: authenticates, throttles, dispatches, answers.",
    schema: gatewaySettings,
  },
  {
    name: "controller",
    summary: "Keeps entities, records and durable requests in Postgres, and runs the latter.",
    schema: controllerSettings,
  },
  {
    name: "scheduler",
    summary: "Grants slots to dispatchers and orders sandboxes from invokers.",
    schema: schedulerSettings,
  },
  { name: "invoker", summary: "Owns the sandboxes of one machine and runs calls in them.", schema: invokerSettings },
  { name: "migrate", summary: "Brings the database to the schema of this version, and ends.", schema: migrateSettings },
];
