import { UP_SERVICES } from "../e2e/fabrics.js";
import { describeWith } from "../harness/services.js";
import { administrationSuite } from "./administration.suite.js";

describeWith(["postgres"], "dev", () => {
  administrationSuite("dev", { mode: "dev" });
});

describeWith(UP_SERVICES, "up", () => {
  administrationSuite("up", { mode: "up", invokers: 1 });
});
