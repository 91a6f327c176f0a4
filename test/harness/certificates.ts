// Certificates for tests of TLS: an authority of one's own, and what it signs for any name and time. X.509 v3 with P-256.

import { generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIPv4 } from "node:net";

export interface Certified {
  /** PEM */
  readonly cert: string;
  /** PEM */
  readonly key: string;
}

export interface CertificateOptions {
  /** Host names and IPv4 addresses. */
  readonly names: readonly string[];
  /** Days from now; default yesterday. */
  readonly fromDays?: number;
  /** Days from now; default in a month. */
  readonly toDays?: number;
}

/** Who signs. */
export class Authority {
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  /** PEM, signed by itself. */
  readonly cert: string;

  constructor(private readonly name = "Weft test authority") {
    this.cert = this.#certificate(name, this.#keys.publicKey, { names: [] }, true);
  }

  issue(options: CertificateOptions): Certified {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return {
      cert: this.#certificate(options.names[0] ?? "nobody", publicKey, options, false),
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  }

  #certificate(subject: string, publicKey: KeyObject, options: CertificateOptions, authority: boolean): string {
    const { names, fromDays = -1, toDays = 30 } = options;
    const serial = randomBytes(8);
    serial[0] = (serial[0] ?? 0) & 0x7f;
    const altNames = names.map((one) =>
      isIPv4(one) ? der(0x87, Buffer.from(one.split(".").map(Number))) : der(0x82, Buffer.from(one)),
    );
    const extensions = [
      sequence(oid("551d13"), der(0x01, Buffer.from([0xff])), octets(authority ? sequence(TRUE) : sequence())),
      ...(altNames.length === 0 ? [] : [sequence(oid("551d11"), octets(sequence(...altNames)))]),
    ];
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))),
      der(0x02, serial),
      ECDSA_SHA256,
      nameOf(this.name),
      sequence(timeOf(fromDays), timeOf(toDays)),
      nameOf(subject),
      publicKey.export({ type: "spki", format: "der" }),
      der(0xa3, sequence(...extensions)),
    );
    const signature = sign("sha256", body, this.#keys.privateKey);
    const whole = sequence(body, ECDSA_SHA256, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
    const lines = whole.toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
    return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  }
}

const TRUE = der(0x01, Buffer.from([0xff]));
const ECDSA_SHA256 = sequence(oid("2a8648ce3d040302"));

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), body]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts);
}

function octets(body: Buffer): Buffer {
  return der(0x04, body);
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(text)))));
}

/** GeneralizedTime. */
function timeOf(days: number): Buffer {
  const at = new Date(Date.now() + days * 86_400_000).toISOString();
  return der(0x18, Buffer.from(`${at.slice(0, 19).replace(/[-:T]/g, "")}Z`));
}
