import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Reflection } from "./reflection.js";

const reflection = new Reflection(readFileSync(new URL("../gen/weft.binpb", import.meta.url)));

describe("reflection", () => {
  it("shows the public services and nothing of the links between roles", () => {
    expect(reflection.services).toContain("weft.invoke.v1.InvokeService");
    expect(reflection.services.filter((name) => /^weft\.(link|runtime|rest)\./.test(name))).toEqual([]);
    expect(reflection.fileOf("weft.link.v1.WorkService")).toBeUndefined();
  });

  it.each(["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"])(
    "shows %s, which the details of errors are made of",
    (symbol) => {
      expect(reflection.fileOf(symbol)).toHaveLength(2); // with google/protobuf/duration.proto
    },
  );
});
