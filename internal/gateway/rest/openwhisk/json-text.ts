export * from "../../../base/json-text.js";
