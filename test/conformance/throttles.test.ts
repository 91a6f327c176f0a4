// Limits and throttles on whole fabrics: `dev` with the built-in face, `up` with Envoy.

import { openFabric, UP_SERVICES } from "../e2e/fabrics.js";
import { describeWith } from "../harness/services.js";
import { throttlesSuite } from "./throttles.suite.js";

throttlesSuite("dev", () => openFabric({ mode: "dev" }));

describeWith(UP_SERVICES, "up", () => {
  throttlesSuite("up", () => openFabric({ mode: "up", invokers: 1 }));
});
