import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import { describeWith } from "../harness/services.js";
import { behavioursSuite } from "./behaviours.suite.js";

behavioursSuite("dev", () => openFabric({ mode: "dev" }));

describeWith(UP_SERVICES, "up", () => {
  behavioursSuite("up", () => openFabric({ mode: "up", invokers: 1 }));
});
