// Whom to believe over TLS, and what to say when it is not them: what is wrong with the certificate and what mends it.

import { usage } from "./output.js";
import { readFile } from "./params.js";
import type { Values } from "./spec.js";

export interface Trust {
  /** Certificates of who may sign, PEM; undefined: those that this machine trusts. */
  readonly ca?: string;
  /** Certificates are not looked at. */
  readonly insecure?: boolean;
}

/** Of --ca and --insecure. @throws invalidArgument for a file that has no certificate */
export function trustOf(values: Pick<Values, "text" | "flag">, { cwd }: { readonly cwd: string }): Trust {
  const file = values.text("ca");
  return {
    ...(file === undefined ? {} : { ca: readCertificates(file, cwd, "--ca") }),
    ...(values.flag("insecure") ? { insecure: true } : {}),
  };
}

/** @param from what named the file. @throws invalidArgument */
export function readCertificates(file: string, cwd: string, from: string): string {
  const text = readFile(file, cwd).toString("utf8");
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw usage(`${file} (${from}) has no certificate: it must be PEM, with -----BEGIN CERTIFICATE-----`);
}

export interface TlsProblem {
  readonly what: string;
  readonly fix: string;
}

/**
 * What an error of Node or OpenSSL says of the other side's TLS.
 * @param error its code, or its message where there is none
 * @param message its own words, which may have names and dates
 * @returns undefined when it says nothing of it
 */
export function tlsProblem(error: string, message = error): TlsProblem | undefined {
  const text = `${error} ${message}`;
  for (const [pattern, what, fix] of PROBLEMS) {
    if (pattern.test(text)) return { what: what(message), fix };
  }
  return undefined;
}

const CARRY_ON = "--insecure goes on without looking, if you trust the way to it";
const PROBLEMS: readonly (readonly [pattern: RegExp, what: (message: string) => string, fix: string])[] = [
  [/CERT_HAS_EXPIRED|certificate has expired/, () => "its certificate has expired", `renew it there    (${CARRY_ON})`],
  [
    /CERT_NOT_YET_VALID|certificate is not yet valid/,
    () => "its certificate is not valid yet",
    `date    (is the clock here right? ${CARRY_ON})`,
  ],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate's altnames|Hostname\/IP/,
    (message) => {
      const [, names] =
        /altnames: "?Host: \S+ is not (?:in the cert's altnames|in the cert's list|cert's CN): (.*?)"?$/.exec(
          message,
        ) ?? [];
      const [, ips] = /IP: \S+ is not in the cert's list: ?(.*?)"?$/.exec(message) ?? [];
      const whose = [names, ips].find((one) => one !== undefined && one.trim() !== "");
      return `its certificate is of another name${whose === undefined ? "" : `: ${whose.trim()}`}`;
    },
    `--apihost https://NAME    (one of its names; ${CARRY_ON})`,
  ],
  [
    /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|self.signed|unable to verify|unable to get (?:local )?issuer|CERT_UNTRUSTED/i,
    () => "its certificate is signed by nobody whom this machine trusts",
    `--ca FILE    (the certificate of who signed it, PEM; ${CARRY_ON})`,
  ],
  [
    /WRONG_VERSION_NUMBER|wrong version number|packet length too long|EPROTO/,
    () => "it does not speak TLS there",
    "--apihost http://HOST:PORT    (without the s)",
  ],
  [/CERT_|certificate/, (message) => `its certificate is not accepted: ${message}`, CARRY_ON],
];
