import { UP_SERVICES } from "../e2e/fabrics.js";
import { describeWith } from "../harness/services.js";
import { packagesSuite } from "./packages.suite.js";

packagesSuite("dev", { mode: "dev" });

describeWith(UP_SERVICES, "up", () => {
  packagesSuite("up", { mode: "up", invokers: 1 });
});
