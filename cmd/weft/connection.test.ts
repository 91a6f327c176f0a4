import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeEach, describe, expect, it, onTestFinished } from "vitest";

import { findConnection } from "./connection.js";

describe("where Weft is", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "weft-connection-"));
    const made = root;
    onTestFinished(() => {
      rmSync(made, { recursive: true });
    });
    mkdirSync(join(root, "project", "deep"), { recursive: true });
    mkdirSync(join(root, "home"));
  });
  const project = (text: string): void => {
    mkdirSync(join(root, "project", ".weft"), { recursive: true });
    writeFileSync(join(root, "project", ".weft", "wskprops"), text);
  };
  const find = (flags = {}, env: Record<string, string> = {}) =>
    findConnection(flags, { env, cwd: join(root, "project", "deep"), home: join(root, "home") });

  it("without anything is the local default, and there is no key", () => {
    expect(find()).toMatchObject({ grpc: "127.0.0.1:3232", rest: "http://127.0.0.1:3233", auth: "" });
  });

  it("is what .weft/wskprops in a folder above says", () => {
    project("APIHOST=http://127.0.0.1:4000\nAUTH=u:k\nGRPC=127.0.0.1:4001\n");
    expect(find()).toMatchObject({ grpc: "127.0.0.1:4001", rest: "http://127.0.0.1:4000", auth: "u:k" });
  });

  it("comes before ~/.wskprops, which is read without it", () => {
    writeFileSync(join(root, "home", ".wskprops"), " APIHOST = https.example:80 \n# x\nAUTH=home:k\n");
    expect(find()).toMatchObject({ grpc: "https.example:3232", auth: "home:k" });
    project("AUTH=project:k\n");
    expect(find()).toMatchObject({ grpc: "127.0.0.1:3232", auth: "project:k" });
  });

  it("is overridden by the environment, and that by flags, each value by itself", () => {
    project("APIHOST=http://127.0.0.1:4000\nAUTH=u:k\nGRPC=127.0.0.1:4001\n");
    const env = { WEFT_APIHOST: "http://10.0.0.1:1", WEFT_AUTH: "env:k", WEFT_GRPC: "10.0.0.1:2" };
    expect(find({}, env)).toMatchObject({ grpc: "10.0.0.1:2", rest: "http://10.0.0.1:1", auth: "env:k" });
    const flags = { apihost: "10.0.0.2:5", auth: "flag:k", grpc: "[::1]:9" };
    expect(find(flags, env)).toMatchObject({ grpc: "[::1]:9", rest: "http://10.0.0.2:5", auth: "flag:k" });
  });

  it("takes the variables that actions get too", () => {
    expect(find({}, { __OW_API_HOST: "http://10.0.0.3:8", __OW_API_KEY: "ow:k" })).toMatchObject({
      grpc: "10.0.0.3:3232",
      auth: "ow:k",
    });
  });

  it("does not use the file's gRPC address for another host", () => {
    project("APIHOST=http://127.0.0.1:4000\nAUTH=u:k\nGRPC=127.0.0.1:4001\n");
    expect(find({ apihost: "http://10.0.0.9:80" })).toMatchObject({ grpc: "10.0.0.9:3232", auth: "u:k" });
  });

  it("is a file that is named", () => {
    const path = join(root, "other");
    writeFileSync(path, "AUTH=other:k\n");
    expect(find({}, { WEFT_WSKPROPS: path })).toMatchObject({ auth: "other:k", from: { auth: path } });
    expect(() => find({}, { WEFT_WSKPROPS: `${path}-not` })).toThrow(/there is no file/);
  });

  it.each([
    [{ apihost: "http://" }, /no address/],
    [{ grpc: "host" }, /HOST:PORT/],
    [{ grpc: "http://h:1" }, /HOST:PORT/],
    [{ auth: "just-a-word" }, /UUID:KEY/],
    [{ apihost: "https://weft.example" }, /TLS/],
  ])("refuses %j", (flags, message) => {
    expect(() => find(flags)).toThrow(message);
  });
});
