import { describe, expect, it } from "vitest";

import { tlsProblem } from "./trust.js";

describe("what is wrong with the other side's TLS", () => {
  it.each([
    ["CERT_HAS_EXPIRED", "certificate has expired", "has expired", "renew it there"],
    ["CERT_NOT_YET_VALID", "certificate is not yet valid", "is not valid yet", "date"],
    [
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "Hostname/IP does not match certificate's altnames: Host: a.example. is not in the cert's altnames: DNS:b.example",
      "of another name: DNS:b.example",
      "--apihost https://NAME",
    ],
    [
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list: ",
      "of another name",
      "--apihost",
    ],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate", "signed by nobody", "--ca FILE"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate", "signed by nobody", "--ca FILE"],
    [
      "EPROTO",
      "write EPROTO 80B0:error:0A00010B:SSL routines:ssl3_get_record:wrong version number",
      "does not speak TLS",
      "http://",
    ],
    ["CERT_REVOKED", "certificate revoked", "is not accepted: certificate revoked", "--insecure"],
  ])("%s", (code, message, what, fix) => {
    const problem = tlsProblem(code, message);
    expect(problem?.what).toContain(what);
    expect(problem?.fix).toContain(fix);
  });

  it("is nothing when it does not answer at all", () => {
    expect(tlsProblem("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:9")).toBeUndefined();
    expect(tlsProblem("socket hang up")).toBeUndefined();
  });
});
