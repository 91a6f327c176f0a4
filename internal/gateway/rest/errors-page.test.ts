import { readFileSync } from "node:fs";
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { ERROR_KINDS, WeftError } from "../../base/errors.js";
import { grpcCodeOf } from "../../rpc/status.js";
import { refusalOf } from "./openwhisk/refusal.js";
import { errorResponse } from "./status-json.js";

const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");

describe("docs/errors.md", () => {
  it.each(ERROR_KINDS)("says how %s travels", (kind) => {
    const error = new WeftError(kind, "SOME_REASON", "text");
    const [native, openWhisk] = [errorResponse(error, []).status, refusalOf(error).status];
    expect(page).toContain(`| ${kind} | ${status[grpcCodeOf(kind)] ?? "?"} | ${native} | ${openWhisk} |`);
  });
});
