import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderEnvoyBootstrap, type EnvoySettings } from "./envoy-bootstrap.js";

const template = readFileSync(new URL("../../../deploy/envoy/bootstrap.yaml", import.meta.url), "utf8");

const settings: EnvoySettings = {
  listenAddress: "127.0.0.1:3233",
  adminAddress: "[::1]:0",
  gatewayAddresses: ["127.0.0.1:3232", "[fd00::1]:3232"],
  descriptorsPath: "/a folder/weft.binpb",
};

describe("Envoy's bootstrap", () => {
  it("has every placeholder filled in", () => {
    const text = renderEnvoyBootstrap(template, settings);
    expect(text).not.toMatch(/\bWEFT_[A-Z]/);
    expect(text).toContain('socket_address: { address: "127.0.0.1", port_value: 3233 }');
    expect(text).toContain('socket_address: { address: "::1", port_value: 0 }');
    expect(text).toContain('proto_descriptor: "/a folder/weft.binpb"');
    expect(text).toContain('"socket_address":{"address":"fd00::1","port_value":3232}');
    expect(text).toContain('"weft.rest.v1.TunnelService"');
  });

  it.each(["", "localhost", "127.0.0.1:", "127.0.0.1:99999", 'a"b:1', "a b:1", "fd00::1:3232"])(
    "is not made with the address %j",
    (address) => {
      for (const wrong of [{ listenAddress: address }, { adminAddress: address }, { gatewayAddresses: [address] }]) {
        expect(() => renderEnvoyBootstrap(template, { ...settings, ...wrong })).toThrow(/not an address/);
      }
    },
  );

  it("is not made from a template that asks for something else", () => {
    expect(() => renderEnvoyBootstrap("port: WEFT_PORTS", settings)).toThrow(/unknown WEFT_PORTS/);
  });
});
