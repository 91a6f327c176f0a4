// HTTP requests that must be refused: what OpenWhisk's paths and JSON can say that gRPC cannot.

import { zipOf } from "../harness/zip.js";

export interface BadCall {
  /** What is refused. */
  readonly what: string;
  /** Default PUT. */
  readonly method?: string;
  /** Below /api/v1/namespaces/_/ */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly says: RegExp;
}

export interface BadHttp {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly says: RegExp;
}

const MIB = 1024 * 1024;
const EXEC = { kind: "nodejs:20", code: "function main() { return {} }" };
const MALFORMED = /^The request content was malformed:\n/;
const ILLEGAL = /^The name of the entity contains illegal characters\.$/;
const BASE64_ZIP = (entries: Parameters<typeof zipOf>[0]): string => Buffer.from(zipOf(entries)).toString("base64");

const COLLECTIONS: readonly (readonly [collection: string, body: unknown])[] = [
  ["actions", { exec: EXEC }],
  ["triggers", {}],
  ["rules", { trigger: "/_/tick", action: "/_/good" }],
  ["packages", {}],
];

function names(): BadCall[] {
  const bad: readonly (readonly [string, string, RegExp])[] = [
    ["a plus", "a+b", ILLEGAL],
    ["a first dash", "-a", ILLEGAL],
    ["a letter outside of ASCII", "%C3%A9", ILLEGAL],
    ["a NUL", "a%00b", ILLEGAL],
    ["a line feed", "a%0Ab", ILLEGAL],
    ["a last space", "a%20", ILLEGAL],
    ["a slash inside", "a%2Fb", ILLEGAL],
    ["two dots", "%2E%2E", ILLEGAL],
    ["half an escape", "a%", /path of the request is malformed/],
    ["bytes that are not UTF-8", "%FF%FE", /path of the request is malformed/],
    ["257 characters", "x".repeat(257), /longer than allowed: 257 > 256/],
  ];
  return COLLECTIONS.flatMap(([collection, body]) =>
    bad.flatMap(([what, name, says]): BadCall[] => [
      { what: `${collection} with ${what} in their names`, path: `${collection}/${name}`, body, status: 400, says },
      {
        what: `reading ${collection} with ${what} in their names`,
        method: "GET",
        path: `${collection}/${name}`,
        status: 400,
        says,
      },
      {
        what: `deleting ${collection} with ${what} in their names`,
        method: "DELETE",
        path: `${collection}/${name}`,
        status: 400,
        says,
      },
    ]),
  );
}

function bodies(): BadCall[] {
  const bad: readonly (readonly [string, string | Buffer])[] = [
    ["an open object", "{"],
    ["an array", "[]"],
    ["a text", '"x"'],
    ["null", "null"],
    ["two objects", "{}{}"],
    ["a raw NUL", "{}\0"],
    ["a byte order mark", "\ufeff{}"],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ["a hundred thousand levels", `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
    ["a number with a leading zero", '{"a":01}'],
  ];
  const text = { "content-type": "text/plain" };
  return [
    ...COLLECTIONS.flatMap(([collection]): BadCall[] => [
      ...bad.map(([what, body]) => ({
        what: `${collection} whose body is ${what}`,
        path: `${collection}/new`,
        body,
        status: 400,
        says: MALFORMED,
      })),
      {
        what: `${collection} without a body`,
        path: `${collection}/new`,
        status: 400,
        says: /Request entity expected but not supplied/,
      },
      {
        what: `${collection} as plain text`,
        path: `${collection}/new`,
        body: "{}",
        headers: text,
        status: 415,
        says: /Content-Type is not supported/,
      },
    ]),
    ...bad.flatMap(([what, body]): BadCall[] => [
      {
        what: `arguments that are ${what}`,
        method: "POST",
        path: "actions/good",
        body,
        status: 400,
        says: /params|malformed/,
      },
      {
        what: `arguments of a blocking call that are ${what}`,
        method: "POST",
        path: "actions/good?blocking=true",
        body,
        status: 400,
        says: /params|malformed/,
      },
      {
        what: `a firing whose payload is ${what}`,
        method: "POST",
        path: "triggers/tick",
        body,
        status: 400,
        says: /params|malformed/,
      },
      {
        what: `a rule's state that is ${what}`,
        method: "POST",
        path: "rules/link",
        body,
        status: 400,
        says: MALFORMED,
      },
    ]),
    {
      what: "arguments as plain text",
      method: "POST",
      path: "actions/good",
      body: "{}",
      headers: text,
      status: 415,
      says: /Content-Type/,
    },
    {
      what: "arguments as a form",
      method: "POST",
      path: "actions/good",
      body: "a=1",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      status: 415,
      says: /Content-Type/,
    },
    {
      what: "arguments above 1 MiB",
      method: "POST",
      path: "actions/good",
      body: `{"a":"${"x".repeat(MIB - 7)}"}`,
      status: 413,
      says: /larger than allowed: 1048577 > 1048576/,
    },
    {
      what: "arguments of a blocking call above 1 MiB",
      method: "POST",
      path: "actions/good?blocking=true",
      body: `{"a":"${"x".repeat(MIB - 7)}"}`,
      status: 413,
      says: /larger than allowed: 1048577 > 1048576/,
    },
    {
      what: "a firing with more than 1 MiB",
      method: "POST",
      path: "triggers/tick",
      body: `{"a":"${"x".repeat(MIB - 7)}"}`,
      status: 413,
      says: /larger than allowed: 1048577 > 1048576/,
    },
  ];
}

function actions(): BadCall[] {
  const put = (what: string, body: unknown, says: RegExp, status = 400): BadCall[] => [
    { what: `an action ${what}`, path: "actions/new", body, status, says },
    { what: `an update to an action ${what}`, path: "actions/good?overwrite=true", body, status, says },
  ];
  const exec = (what: string, change: object, says: RegExp, status = 400): BadCall[] =>
    put(what, { exec: { ...EXEC, ...change } }, says, status);
  const limit = (name: string, value: unknown, says: RegExp): BadCall[] =>
    put(`with a limit ${name} of ${JSON.stringify(value)}`, { exec: EXEC, limits: { [name]: value } }, says);
  return [
    { what: "an action without exec", path: "actions/new", body: {}, status: 400, says: /exec undefined/ },
    {
      what: "an update without exec of what is not there",
      path: "actions/nobody?overwrite=true",
      body: { publish: true },
      status: 400,
      says: /exec undefined/,
    },
    ...put("whose exec is a text", { exec: "x" }, /'exec' must be an object/),
    ...exec("without a kind", { kind: undefined }, /'kind' must be a string/),
    ...exec("whose kind is a number", { kind: 1 }, /'kind' must be a string/),
    ...exec("of an unknown kind", { kind: "cobol:1" }, /cobol:1/),
    ...exec("of a NUL for a kind", { kind: "nodejs:20\0" }, /kind/),
    ...exec("without code", { code: undefined }, /'code' must be a string/),
    ...exec("whose code is a number", { code: 1 }, /'code' must be a string/),
    ...exec("whose code is empty", { code: "" }, /code/),
    ...exec("whose main is a number", { main: 1 }, /'main' must be a string/),
    ...exec("whose main has a NUL", { main: "a\0" }, /main/),
    ...exec(
      "with code above 48 MiB",
      { code: " ".repeat(48 * MIB + 1) },
      /^exec larger than allowed: 50331649 > 50331648 bytes\.$/,
      413,
    ),
    ...exec("whose archive climbs", { code: BASE64_ZIP([{ name: "../evil.js", content: "x" }]) }, /points outside/),
    ...exec(
      "whose archive is a bomb",
      { code: BASE64_ZIP([{ name: "a", content: "x", declaredSize: 0xfffffffe }]) },
      /unpack/,
    ),
    ...exec("whose archive is empty", { code: BASE64_ZIP([]) }, /empty/),
    ...exec(
      "whose archive is cut off",
      { code: BASE64_ZIP([{ name: "index.js", content: "x" }]).slice(0, 60) },
      /zip archive/,
    ),
    ...limit("timeout", 99, /duration 99 milliseconds below allowed threshold of 100 milliseconds/),
    ...limit("timeout", 300_001, /duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds/),
    ...limit("memory", 127, /memory size 127 MB below allowed threshold of 128 MB/),
    ...limit("memory", 513, /memory size 513 MB exceeds allowed threshold of 512 MB/),
    ...limit("logs", -1, /log size -1 MB below allowed threshold of 0 MB/),
    ...limit("logs", 11, /log size 11 MB exceeds allowed threshold of 10 MB/),
    ...limit("concurrency", 0, /concurrency 0 below allowed threshold of 1/),
    ...limit("concurrency", 501, /concurrency 501 exceeds allowed threshold of 500/),
    ...limit("timeout", 100.5, /time limit must be whole number/),
    ...limit("memory", "256", /memory limit must be whole number/),
    ...limit("memory", 1e300, /memory/),
    ...put("whose limits are a text", { exec: EXEC, limits: "x" }, /'limits' must be an object/),
    ...put("whose parameters are an object", { exec: EXEC, parameters: { a: 1 } }, /parameters malformed!/),
    ...put("with a parameter that is a text", { exec: EXEC, parameters: ["a"] }, /parameters malformed!/),
    ...put("with a parameter without a key", { exec: EXEC, parameters: [{ value: 1 }] }, /parameters malformed!/),
    ...put("with a parameter without a value", { exec: EXEC, parameters: [{ key: "a" }] }, /parameters malformed!/),
    ...put("with an empty key", { exec: EXEC, parameters: [{ key: "", value: 1 }] }, /key/),
    ...put("with a NUL in a key", { exec: EXEC, parameters: [{ key: "a\0", value: 1 }] }, /NUL/),
    ...put(
      "with half a surrogate pair in a key",
      '{"exec":{"kind":"nodejs:20","code":"x"},"annotations":[{"key":"\\ud800","value":1}]}',
      /surrogate/,
    ),
    ...put(
      "with parameters above 1 MiB",
      { exec: EXEC, parameters: [{ key: "a", value: "x".repeat(MIB) }] },
      /^parameters larger than allowed: \d+ > 1048576 bytes\.$/,
      413,
    ),
    ...put(
      "with annotations above 1 MiB",
      { exec: EXEC, annotations: [{ key: "a", value: "x".repeat(MIB) }] },
      /^annotations larger than allowed: \d+ > 1048576 bytes\.$/,
      413,
    ),
    ...put("whose version is a word", { exec: EXEC, version: "new" }, /version/),
    ...put("whose version is 0.0.0", { exec: EXEC, version: "0.0.0" }, /version/),
    ...put("whose publish is a text", { exec: EXEC, publish: "yes" }, /'publish' must be a boolean/),
    {
      what: "an action that is there",
      path: "actions/good",
      body: { exec: EXEC },
      status: 409,
      says: /already exists/,
    },
    { what: "an action with a trigger's name", path: "actions/tick", body: { exec: EXEC }, status: 409, says: /./ },
    {
      what: "an action in a package that is not there",
      path: "actions/nobox/a",
      body: { exec: EXEC },
      status: 404,
      says: /./,
    },
    { what: "a package as an action", method: "GET", path: "actions/box", status: 409, says: /./ },
  ];
}

function others(): BadCall[] {
  return [
    {
      what: "a rule without its parts",
      path: "rules/new",
      body: {},
      status: 400,
      says: /rule requires a valid trigger and a valid action/,
    },
    {
      what: "a rule for a bare name",
      path: "rules/new",
      body: { trigger: "tick", action: "/_/good" },
      status: 400,
      says: /fully qualified name/,
    },
    {
      what: "a rule for a trigger that is not there",
      path: "rules/new",
      body: { trigger: "/_/nobody", action: "/_/good" },
      status: 400,
      says: /trigger/,
    },
    {
      what: "a rule for an action that is not there",
      path: "rules/new",
      body: { trigger: "/_/tick", action: "/_/nobody" },
      status: 400,
      says: /action/,
    },
    {
      what: "a rule for a number",
      path: "rules/new",
      body: { trigger: 1, action: "/_/good" },
      status: 400,
      says: /'trigger'/,
    },
    {
      what: "a state that rules do not have",
      method: "POST",
      path: "rules/link",
      body: { status: "sleepy" },
      status: 400,
      says: /not a recognized rule state/,
    },
    { what: "no state for a rule", method: "POST", path: "rules/link", body: {}, status: 400, says: /'status'/ },
    { what: "the package default", path: "packages/default", body: {}, status: 400, says: /default/ },
    { what: "deleting a package that has actions", method: "DELETE", path: "packages/box", status: 409, says: /./ },
    {
      what: "a trigger whose feed is no name",
      path: "triggers/new",
      body: { annotations: [{ key: "feed", value: 42 }] },
      status: 400,
      says: /./,
    },
    {
      what: "an activation id of 31 characters",
      method: "GET",
      path: `activations/${"0".repeat(31)}`,
      status: 400,
      says: /length is 31 but must be 32/,
    },
    {
      what: "an activation id of other letters",
      method: "GET",
      path: `activations/${"g".repeat(32)}`,
      status: 400,
      says: /not valid/,
    },
    {
      what: "an activation that nobody has",
      method: "GET",
      path: `activations/${"0".repeat(32)}`,
      status: 404,
      says: /./,
    },
    ...["actions", "triggers", "rules", "packages", "activations"].flatMap((collection): BadCall[] => [
      {
        what: `201 ${collection}`,
        method: "GET",
        path: `${collection}?limit=201`,
        status: 400,
        says: new RegExp(`'201' is not in the range of 0 to 200 for ${collection}`),
      },
      {
        what: `-1 ${collection}`,
        method: "GET",
        path: `${collection}?limit=-1`,
        status: 400,
        says: /not in the range/,
      },
      {
        what: `x ${collection}`,
        method: "GET",
        path: `${collection}?limit=x`,
        status: 400,
        says: new RegExp(`'x' is not an integer for ${collection}`),
      },
      {
        what: `skipping -1 ${collection}`,
        method: "GET",
        path: `${collection}?skip=-1`,
        status: 400,
        says: /not greater than or equal to 0/,
      },
      {
        what: `DELETE of all ${collection}`,
        method: "DELETE",
        path: collection,
        status: 405,
        says: /HTTP method not allowed, supported methods: GET/,
      },
      { what: `PUT of all ${collection}`, path: collection, body: {}, status: 405, says: /HTTP method not allowed/ },
      {
        what: `PATCH of one of ${collection}`,
        method: "PATCH",
        path: `${collection}/${"0".repeat(32)}`,
        body: {},
        status: 405,
        says: /HTTP method not allowed/,
      },
    ]),
    {
      what: "activations since yesterday",
      method: "GET",
      path: "activations?since=yesterday",
      status: 400,
      says: /since/,
    },
    {
      what: "a wait above a minute",
      method: "POST",
      path: "actions/good?blocking=true&timeout=60001",
      status: 400,
      says: /Timeout must be number of milliseconds up to 60000/,
    },
    {
      what: "a wait of nothing",
      method: "POST",
      path: "actions/good?blocking=true&timeout=0",
      status: 400,
      says: /Timeout/,
    },
    {
      what: "blocking that is neither true nor false",
      method: "POST",
      path: "actions/good?blocking=maybe",
      status: 400,
      says: /blocking/,
    },
    { what: "a path that there is not", method: "GET", path: "gadgets", status: 404, says: /could not be found/ },
    { what: "invoking what is not there", method: "POST", path: "actions/nobody", body: {}, status: 404, says: /./ },
    { what: "firing what is not there", method: "POST", path: "triggers/nobody", body: {}, status: 404, says: /./ },
  ];
}

export const BAD_CALLS: readonly BadCall[] = [...names(), ...bodies(), ...actions(), ...others()];

const ACTIONS = "/v1/namespaces/_/actions";
const post = (what: string, body: string | Buffer, says: RegExp): BadHttp => ({
  what,
  method: "POST",
  path: ACTIONS,
  body,
  status: 400,
  says,
});

export const BAD_HTTP: readonly BadHttp[] = [
  post("an open object", "{", /./),
  post("an array", "[]", /./),
  post("a text", '"x"', /./),
  post("two objects", "{}{}", /./),
  post("a raw NUL", '{"name":"a\0"}', /./),
  post("half a surrogate pair in a name", '{"name":"\\ud800","exec":{"kind":"nodejs:20"}}', /./),
  post("bytes that are not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /./),
  post("a hundred thousand levels", `{"exec":${'{"a":'.repeat(100_000)}1${"}".repeat(100_001)}`, /./),
  post("a name that is a number", '{"name":1}', /name/),
  post("code that is no base64", '{"exec":{"code":"%%%"}}', /code/),
  post("a limit below zero", '{"limits":{"timeout_ms":-1}}', /timeout/i),
  post("a limit with a fraction", '{"limits":{"memory_mb":1.5}}', /memory/i),
  post("a limit beyond 32 bits", '{"limits":{"memory_mb":4294967296}}', /memory/i),
  post("a limit that is a word", '{"limits":{"concurrency":"many"}}', /concurrency/i),
  post("another namespace in the body", '{"namespace":"other","name":"a"}', /namespace/),
  {
    what: "a page size that is a word",
    method: "GET",
    path: `${ACTIONS}?page_size=many`,
    status: 400,
    says: /page_size|pageSize/,
  },
  {
    what: "a page size beyond 32 bits",
    method: "GET",
    path: `${ACTIONS}?page_size=99999999999`,
    status: 400,
    says: /page_size|pageSize/,
  },
  {
    what: "a query parameter that there is not",
    method: "GET",
    path: `${ACTIONS}?colour=red`,
    status: 400,
    says: /colour/,
  },
  {
    what: "a moment that is none",
    method: "GET",
    path: "/v1/namespaces/_/activations?since=yesterday",
    status: 400,
    says: /./,
  },
  { what: "PUT", method: "PUT", path: ACTIONS, body: "{}", status: 404, says: /Could not resolve/ },
  { what: "DELETE of a collection", method: "DELETE", path: ACTIONS, status: 400, says: /name: must not be empty/ },
  {
    what: "a path that there is not",
    method: "GET",
    path: "/v1/namespaces/_/gadgets",
    status: 404,
    says: /Could not resolve/,
  },
  {
    what: "a verb that there is not",
    method: "POST",
    path: `${ACTIONS}/good:explode`,
    body: "{}",
    status: 404,
    says: /Could not resolve/,
  },
  {
    what: "arguments of a bare call as text",
    method: "POST",
    path: `${ACTIONS}/good:call`,
    body: "{}",
    headers: { "content-type": "text/plain" },
    status: 400,
    says: /content_type.*application\/json/,
  },
];
