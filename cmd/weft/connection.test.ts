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

  it("is one address for both where TLS is spoken, unless gRPC is said to be elsewhere", () => {
    const one = { grpc: "weft.example:443", grpcTls: true, rest: "https://weft.example", trust: {} };
    expect(find({ apihost: "https://weft.example" })).toMatchObject(one);
    const port = { grpc: "weft.example:8443", grpcTls: true, trust: { insecure: true } };
    expect(find({ apihost: "https://weft.example:8443", insecure: true })).toMatchObject(port);
    const tunnel = { grpc: "127.0.0.1:3232", grpcTls: false, rest: "https://weft.example" };
    expect(find({ apihost: "https://weft.example", grpc: "127.0.0.1:3232" })).toMatchObject(tunnel);
    expect(find({ grpc: "https://h:1" })).toMatchObject({ grpc: "h:1", grpcTls: true, rest: "http://127.0.0.1:3233" });
  });

  it("is believed when the file that is named signed it", () => {
    const pem = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n";
    writeFileSync(join(root, "ca.pem"), pem);
    writeFileSync(join(root, "not.pem"), "x");
    expect(find({ ca: join(root, "ca.pem") }).trust).toEqual({ ca: pem });
    expect(find({}, { WEFT_CA: join(root, "ca.pem"), WEFT_INSECURE: "1" }).trust).toEqual({ ca: pem, insecure: true });
    project(`APIHOST=https://weft.example\nCA=${join(root, "ca.pem")}\n`);
    expect(find().trust).toEqual({ ca: pem });
    expect(find({ apihost: "https://other.example" }).trust).toEqual({});
    expect(() => find({ ca: join(root, "not.pem") })).toThrow(/has no certificate/);
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
    [{ grpc: "https://h" }, /HOST:PORT/],
    [{ ca: "nothere.pem" }, /there is no file nothere.pem/],
    [{ auth: "just-a-word" }, /UUID:KEY/],
  ])("refuses %j", (flags, message) => {
    expect(() => find(flags)).toThrow(message);
  });
});
