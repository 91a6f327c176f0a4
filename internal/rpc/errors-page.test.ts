import { readFileSync } from "node:fs";
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { ERROR_KINDS, grpcCodeOf, httpStatusOf } from "./status.js";

const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");

describe("docs/errors.md", () => {
  it.each(ERROR_KINDS)("says how %s travels", (kind) => {
    expect(page).toContain(`| ${kind} | ${status[grpcCodeOf(kind)] ?? "?"} | ${httpStatusOf(kind)} |`);
  });
});
