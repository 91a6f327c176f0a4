// REST as another program's client: for OpenWhisk's API, here and elsewhere.

import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

import { WeftError, type ErrorKind } from "../../internal/base/errors.js";
import { tlsProblem, type Trust } from "./trust.js";

/** Longest answer: 48 MiB of code as JSON, with room to spare. */
const ANSWER_BYTES_MAX = 96 * 1024 * 1024;
/** Longest silence. */
const IDLE_MS = 60_000;
/** A throttled or failed call is made so often, as long as it says. */
const TRIES_MAX = 6;
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 60_000;

/** Its trust is that of what is asked: nothing of it is used where no TLS is spoken. */
export interface RestRequest extends Trust {
  /** http(s)://host:port */
  readonly base: string;
  /** As it is sent, with its query. */
  readonly path: string;
  readonly method?: string;
  /** "uuid:key" */
  readonly auth?: string | undefined;
  /** JSON text. */
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** @returns the answer's JSON as a value. @throws as fetchText */
export async function fetchJson(asked: RestRequest): Promise<unknown> {
  return JSON.parse(await fetchText(asked)) as unknown;
}

/**
 * @returns the answer's JSON as text
 * @throws WeftError with the status's kind and the server's own words; unavailable when nothing answers. What is throttled
 *   is asked again; so is a read that found nobody able to answer
 */
export async function fetchText(asked: RestRequest): Promise<string> {
  for (let tries = 1; ; tries++) {
    const answer = await send(asked);
    const { status } = answer;
    if (status >= 200 && status < 300) return checkedJson(answer.text, asked);
    const again = status === 429 || ((asked.method ?? "GET") === "GET" && status === 503);
    if (!again || tries === TRIES_MAX) throw refusalOf(answer, asked);
    const askedMs = answer.retryAfterS === undefined ? RETRY_MS * 2 ** (tries - 1) : answer.retryAfterS * 1_000;
    const waitMs = Math.min(RETRY_MS_MAX, askedMs);
    await pause(waitMs, asked.signal);
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfterS: number | undefined;
  readonly location: string | undefined;
}

function send({ base, path, method = "GET", auth, body, ca, insecure, signal }: RestRequest): Promise<Answer> {
  const url = new URL(base);
  const headers: Record<string, string> = { accept: "application/json", "user-agent": "weft" };
  if (auth !== undefined) headers["authorization"] = `Basic ${Buffer.from(auth).toString("base64")}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = {
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port,
    path,
    method,
    headers,
    signal,
    timeout: IDLE_MS,
    agent: false,
  } as const;
  return new Promise((resolve, reject) => {
    const answered = (response: IncomingMessage): void => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) sent.destroy(new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`));
        else chunks.push(chunk);
      });
      response.once("error", failed);
      response.once("end", () => {
        const seconds = Number(response.headers["retry-after"] ?? NaN);
        resolve({
          status: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString("utf8"),
          retryAfterS: seconds >= 0 ? seconds : undefined,
          location: response.headers.location,
        });
      });
    };
    const failed = (error: NodeJS.ErrnoException): void => {
      if (signal.aborted) {
        reject(interrupted());
        return;
      }
      const why = error.code ?? error.message;
      const tls = url.protocol === "https:" ? tlsProblem(why, error.message) : undefined;
      reject(
        tls
          ? new WeftError("unavailable", "BAD_TLS", `${base}: ${tls.what}`, { cause: error, fix: tls.fix })
          : new WeftError("unavailable", "UNAVAILABLE", `${base} does not answer ${method} ${path}: ${why}`, {
              cause: error,
            }),
      );
    };
    const sent =
      url.protocol === "https:"
        ? httpsRequest({ ...options, ...(ca === undefined ? {} : { ca }), rejectUnauthorized: !insecure }, answered)
        : httpRequest(options, answered);
    sent.once("timeout", () => sent.destroy(new Error(`silent for ${IDLE_MS / 1_000} s`)));
    sent.once("error", failed);
    sent.end(body);
  });
}

function checkedJson(text: string, { base, path, method = "GET" }: RestRequest): string {
  try {
    JSON.parse(text);
    return text;
  } catch (thrown) {
    throw new WeftError("unavailable", "NOT_JSON", `${base} answers ${method} ${path} with something that is no JSON`, {
      cause: thrown,
      fix: `curl -i ${base}/api/v1    (is this OpenWhisk's API?)`,
    });
  }
}

const KINDS: Readonly<Record<number, ErrorKind>> = {
  400: "invalidArgument",
  401: "unauthenticated",
  403: "permissionDenied",
  404: "notFound",
  409: "failedPrecondition",
  413: "invalidArgument",
  422: "failedPrecondition",
  429: "throttled",
};

function refusalOf({ status, text, location }: Answer, { base, path, method = "GET" }: RestRequest): WeftError {
  if (status >= 300 && status < 400 && location !== undefined) return redirected(base, location);
  const kind = KINDS[status] ?? (status === 502 ? "failedPrecondition" : "unavailable");
  const message = `${base} answers ${method} ${path} with ${status}: ${errorOf(text)}`;
  return new WeftError(kind, `HTTP_${status}`, message);
}

/** Not followed: the key would go with it to whoever was named. */
function redirected(base: string, location: string): WeftError {
  const there = URL.canParse(location, base) ? new URL(location, base).origin : location;
  return there === base
    ? new WeftError(
        "unavailable",
        "REDIRECTED",
        `${base} sends elsewhere, to ${location}: this is not OpenWhisk's API`,
        {
          fix: `curl -i ${base}/api/v1    (a login page, perhaps?)`,
        },
      )
    : new WeftError("unavailable", "REDIRECTED", `${base} says that it is ${there}; keys are not sent on`, {
        fix: `--apihost ${there}    (if you know it)`,
      });
}

function errorOf(text: string): string {
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown };
    if (error !== undefined) return typeof error === "string" ? error : JSON.stringify(error);
  } catch {
    // Not JSON: its first line says most.
  }
  return text.split("\n")[0]?.slice(0, 200) || "no reason given";
}

function interrupted(): WeftError {
  return new WeftError("canceled", "INTERRUPTED", "cancelled");
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(interrupted());
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(interrupted());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
