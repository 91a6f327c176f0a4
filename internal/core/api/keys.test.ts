import { expect, it } from "vitest";

import { systemRandom } from "../../boot/system.js";
import { apiKeyHash, isTenantId, newApiKey, tenantIdOf } from "./keys.js";

it("a tenant's id is a UUID that follows from the name, and cannot be taken for a version of REST", () => {
  expect(tenantIdOf("guest")).toBe(tenantIdOf("guest"));
  expect(tenantIdOf("guest")).not.toBe(tenantIdOf("guest2"));
  for (const name of ["v1", "guest", "a b&c", "_"]) expect(isTenantId(tenantIdOf(name))).toBe(true);
  for (const text of ["v1", "guest", "", tenantIdOf("x").toUpperCase(), `${tenantIdOf("x")}x`]) {
    expect(isTenantId(text)).toBe(false);
  }
});

it("a key is shown once and kept as a hash", () => {
  const made = newApiKey({ namespace: "guest", basePath: "/b", note: "n" }, systemRandom(), 5);
  expect(made.secret).toMatch(/^[\w-]{48}$/);
  expect(made.key).toMatchObject({ namespace: "guest", basePath: "/b", note: "n", createdWallMs: 5 });
  expect(made.key.secretHash).toEqual(apiKeyHash(made.secret));
  expect(JSON.stringify(made.key)).not.toContain(made.secret);
});
