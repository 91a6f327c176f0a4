import { describe, expect, it } from "vitest";

import {
  boolean,
  choice,
  configMarkdown,
  describeConfig,
  durationMs,
  flagOf,
  formatMs,
  helpTable,
  integer,
  list,
  loadConfig,
  nearest,
  optional,
  ratio,
  secret,
  text,
  variableOf,
  wantsHelp,
  type ConfigInputs,
  type ConfigOf,
} from "./config.js";
import { WeftError } from "./errors.js";

const schema = {
  listenAddress: text("where others dial", "0.0.0.0:7300"),
  etcdEndpoints: list("etcd members"),
  postgresUrl: secret("where activations live"),
  heartbeatMs: durationMs("how often an invoker must speak", 5_000, { minMs: 100, maxMs: 60_000 }),
  slots: integer("slots", { default: 4, min: 1, max: 64 }),
  verbose: boolean("say more", false),
  driver: choice("how sandboxes are made", ["process", "docker"], "process"),
  zone: optional(text("where it stands")),
};

const needed = { WEFT_ETCD_ENDPOINTS: "a:1", WEFT_POSTGRES_URL: "postgres://u:hunter2@h/db" };

function inputs(
  over: Partial<ConfigInputs> & { readonly files?: Readonly<Record<string, string>> } = {},
): ConfigInputs {
  return {
    argv: [],
    env: needed,
    readFile: (path) => {
      const content = over.files?.[path];
      if (content === undefined) throw new Error(`ENOENT: ${path}`);
      return content;
    },
    ...over,
  };
}

function problemsOf(given: ConfigInputs): Readonly<Record<string, string>> {
  try {
    loadConfig(schema, given);
  } catch (thrown) {
    if (thrown instanceof WeftError) return Object.fromEntries(thrown.fields.map((f) => [f.field, f.description]));
    throw thrown;
  }
  throw new Error("nothing was wrong");
}

describe("settings", () => {
  it("take their defaults and say so", () => {
    const { config, sources } = loadConfig(schema, inputs());
    const typed: ConfigOf<typeof schema> = config;
    expect(typed).toEqual({
      listenAddress: "0.0.0.0:7300",
      etcdEndpoints: ["a:1"],
      postgresUrl: "postgres://u:hunter2@h/db",
      heartbeatMs: 5_000,
      slots: 4,
      verbose: false,
      driver: "process",
      zone: undefined,
    });
    expect(sources).toMatchObject({ listenAddress: "default", etcdEndpoints: "environment", zone: "default" });
  });

  it("come from the flag before the environment before the file before the default", () => {
    const files = {
      "/w.json": JSON.stringify({ heartbeatMs: 1_000, slots: 2, zone: "z", etcdEndpoints: ["f:1", "f:2"] }),
    };
    const { config, sources } = loadConfig(schema, {
      ...inputs({ files }),
      argv: ["--config", "/w.json", "--slots=3"],
      env: { WEFT_POSTGRES_URL: "x", WEFT_SLOTS: "5", WEFT_HEARTBEAT_MS: "2s" },
    });
    expect(config).toMatchObject({
      slots: 3,
      heartbeatMs: 2_000,
      zone: "z",
      etcdEndpoints: ["f:1", "f:2"],
      driver: "process",
    });
    expect(sources).toMatchObject({ slots: "flag", heartbeatMs: "environment", zone: "file", driver: "default" });
  });

  it("can come from lines of variables, with quotes and comments, passing over what others use", () => {
    const files = { "/w.env": '# shared\nexport WEFT_ZONE="north east"\nWEFT_SLOTS=7\n\nOTHER=1\nWEFT_DRIVER=\n' };
    const { config } = loadConfig(schema, inputs({ files, env: { ...needed, WEFT_CONFIG: "/w.env" } }));
    expect(config).toMatchObject({ zone: "north east", slots: 7, driver: "process" });
  });

  it.each([
    ["5s", 5_000],
    ["250ms", 250],
    ["1.5s", 1_500],
    ["1m", 60_000],
    ["400", 400],
  ])("read %s as a duration", (given, ms) => {
    expect(loadConfig(schema, inputs({ argv: ["--heartbeat-ms", given] })).config.heartbeatMs).toBe(ms);
  });

  it("read a share between 0 and 1 and nothing else", () => {
    const share = (given: string): number =>
      loadConfig({ share: ratio("share", 0) }, inputs({ argv: ["--share", given] })).config.share;
    expect([share("0"), share("0.25"), share(".5"), share("1")]).toEqual([0, 0.25, 0.5, 1]);
    expect(() => share("1.01")).toThrow('--share is a number from 0 to 1, not "1.01"');
    expect(() => share("half")).toThrow("is a number from 0 to 1");
  });

  it("read switches with and without a value and their opposite", () => {
    const verbose = (...argv: string[]): boolean => loadConfig(schema, inputs({ argv })).config.verbose;
    expect([
      verbose("--verbose"),
      verbose("--verbose=false"),
      verbose("--no-verbose"),
      verbose("--verbose=yes"),
    ]).toEqual([true, false, false, true]);
  });

  it("treat a variable that is set to nothing as not set", () => {
    expect(loadConfig(schema, inputs({ env: { ...needed, WEFT_SLOTS: "" } })).config.slots).toBe(4);
  });

  it("read a secret from the file that a variable names", () => {
    const env = { ...needed, WEFT_POSTGRES_URL: undefined, WEFT_POSTGRES_URL_FILE: "/run/secrets/pg" };
    expect(loadConfig(schema, inputs({ env, files: { "/run/secrets/pg": "postgres://x\n" } })).config.postgresUrl).toBe(
      "postgres://x",
    );
    expect(problemsOf(inputs({ env }))).toEqual({
      postgresUrl: "WEFT_POSTGRES_URL_FILE names a file that cannot be read: ENOENT: /run/secrets/pg",
    });
  });

  it("report everything that is wrong at once, with what to give", () => {
    expect(
      problemsOf(
        inputs({
          argv: ["--heartbeat-ms=soon", "--slots", "65", "--driver", "vm", "--verbose=maybe", "--zone="],
          env: {},
        }),
      ),
    ).toEqual({
      heartbeatMs:
        '--heartbeat-ms is a duration from 100ms to 1m, such as 250ms, 5s, 2m or plain milliseconds, not "soon"',
      slots: '--slots is a whole number from 1 to 64, not "65"',
      driver: '--driver is one of process, docker, not "vm"',
      verbose: '--verbose is true or false, not "maybe"',
      zone: '--zone must not be empty, not ""',
      etcdEndpoints: "is missing: give --etcd-endpoints or WEFT_ETCD_ENDPOINTS (etcd members)",
      postgresUrl: "is missing: give --postgres-url or WEFT_POSTGRES_URL (where activations live)",
    });
  });

  it("refuse an unknown flag and say which was meant, taking its value along", () => {
    expect(problemsOf(inputs({ argv: ["--heartbeet-ms", "5s", "--slots", "2"] }))).toEqual({
      "--heartbeet-ms": "is not a flag of this command; did you mean --heartbeat-ms?",
    });
    expect(problemsOf(inputs({ argv: ["--xyzzy"] }))).toEqual({ "--xyzzy": "is not a flag of this command" });
  });

  it("refuse what is no flag, what has no value and what is given twice", () => {
    expect(problemsOf(inputs({ argv: ["serve", "--zone", "--slots", "1", "--slots", "2"] }))).toEqual({
      serve: "is no flag, and this command takes no other arguments",
      zone: "--zone needs a value",
      slots: "--slots is given twice",
    });
  });

  it("refuse a file that cannot be read or understood, and keys it does not know", () => {
    const at = (content?: string): Readonly<Record<string, string>> =>
      problemsOf(inputs({ argv: ["--config", "/c"], files: content === undefined ? {} : { "/c": content } }));
    expect(at()).toEqual({ config: "/c cannot be read: ENOENT: /c" });
    expect(at("{ nope")["config"]).toContain("/c is not JSON");
    expect(at('{"slot": 3}')).toEqual({ slot: "in /c is not a setting of this command; did you mean slots?" });
    expect(at('{"slots": 1.5}')).toEqual({ slots: "slots in /c is a whole number from 1 to 64, not 1.5" });
    expect(at("WEFT_SLOTS 3")).toEqual({ config: "/c:1 is not VARIABLE=value" });
  });

  it("are shown with their sources and never with a secret, in complaints neither", () => {
    const loaded = loadConfig(schema, inputs({ argv: ["--heartbeat-ms=1500"] }));
    const seen = describeConfig(schema, loaded);
    expect(seen).toMatchObject({
      postgresUrl: "(secret) (environment)",
      heartbeatMs: "1500ms (flag)",
      zone: "not set (default)",
      etcdEndpoints: "a:1 (environment)",
    });
    expect(JSON.stringify(seen)).not.toContain("hunter2");
    const strict = { ...schema, pin: secret("a pin", "1") };
    const tooShort = { ...strict, pin: { ...strict.pin, parse: strict.pin.parse.refine(() => false, "is too short") } };
    expect(() => loadConfig(tooShort, inputs({ argv: ["--pin", "hunter2"] }))).toThrow(/^pin: --pin is too short$/);
  });

  it("explain themselves", () => {
    expect(wantsHelp(["--slots", "1", "--help"])).toBe(true);
    const table = helpTable(schema);
    expect(table).toMatch(
      /--heartbeat-ms <duration> +WEFT_HEARTBEAT_MS +how often an invoker must speak \(default: 5s\)/,
    );
    expect(table).toMatch(/--postgres-url <secret> +WEFT_POSTGRES_URL +where activations live \(required\)/);
    expect(table).toMatch(/--driver process\|docker +WEFT_DRIVER/);
    expect(configMarkdown(schema)).toContain(
      "| driver | `--driver` | `WEFT_DRIVER` | `process\\|docker` | `process` | how sandboxes are made |",
    );
  });
});

describe("names of settings", () => {
  it("follow from the key", () => {
    expect([flagOf("heartbeatMs"), variableOf("heartbeatMs")]).toEqual(["--heartbeat-ms", "WEFT_HEARTBEAT_MS"]);
    expect([flagOf("etcdURLPrefix"), variableOf("s3Bucket")]).toEqual(["--etcd-url-prefix", "WEFT_S3_BUCKET"]);
  });

  it("are found again when mistyped, but not when they are something else", () => {
    expect(nearest("--admin-prot", ["--admin-port", "--etcd"])).toBe("--admin-port");
    expect(nearest("--zzzz", ["--admin-port", "--etcd"])).toBeUndefined();
  });

  it("show durations in the largest whole unit", () => {
    expect([0, 250, 1_500, 5_000, 120_000, 86_400_000].map(formatMs)).toEqual([
      "0ms",
      "250ms",
      "1500ms",
      "5s",
      "2m",
      "1d",
    ]);
  });
});
