// Every command of the CLI, as data. Help, completion and parsing come from here; a verb's code is loaded when it runs.

import type { ArgumentSpec, NounSpec, OptionSpec, VerbSpec } from "./spec.js";

const param: OptionSpec = {
  name: "param",
  short: "p",
  pair: true,
  help: "an argument; JSON counts as such, everything else is a string; may be repeated",
};
const paramFile: OptionSpec = {
  name: "param-file",
  short: "P",
  value: "FILE",
  help: 'arguments as a JSON object; "-" is standard input',
};
const defaultParam: OptionSpec = { ...param, help: "a default argument; may be repeated" };
const defaultParamFile: OptionSpec = {
  ...paramFile,
  help: 'default arguments as a JSON object; "-" is standard input',
};
const feedParam: OptionSpec = {
  ...param,
  help: "a default argument; with a feed, an argument of the feed; may be repeated",
};
const feedParamFile: OptionSpec = {
  ...paramFile,
  help: 'default arguments, or those of the feed, as a JSON object; "-" is standard input',
};
const triggerParam: OptionSpec = {
  name: "trigger-param",
  pair: true,
  help: "a default argument of a trigger with a feed; may be repeated",
};
const annotation: OptionSpec = { name: "annotation", short: "a", pair: true, help: "a note on it; may be repeated" };
const limit: OptionSpec = { name: "limit", short: "l", value: "N", help: "show at most so many (default 30)" };
const skip: OptionSpec = { name: "skip", value: "N", help: "leave out so many first" };
const all: OptionSpec = { name: "all", help: "show all of them" };
const list = [limit, skip, all];
const grace: OptionSpec = {
  name: "grace",
  value: "DURATION",
  help: "how long the old key works on: 90s, 30m, 24h, up to 30d (default 0: it ends now)",
};
const stateDir: OptionSpec = { name: "state-dir", value: "DIR", help: "where its state is kept (default .weft)" };
const listenGrpc: OptionSpec = {
  name: "grpc",
  value: "HOST:PORT",
  help: "where gRPC listens (default 127.0.0.1:3232)",
};
const listenRest: OptionSpec = {
  name: "rest",
  value: "HOST:PORT",
  help: "where REST listens (default 127.0.0.1:3233)",
};

const manifest: OptionSpec = { name: "manifest", short: "m", value: "FILE", help: "default manifest.yaml, here" };
const projectOptions: readonly OptionSpec[] = [
  manifest,
  {
    name: "deployment",
    short: "d",
    value: "FILE",
    help: "values for inputs; default deployment.yaml beside the manifest",
  },
  { ...param, help: "the value of an input; comes before those of the files; may be repeated" },
  { ...paramFile, help: 'values of inputs as a JSON object; "-" is standard input' },
  { name: "preview", help: "show the plan only" },
  { name: "plan", help: "the same" },
  { name: "yes", short: "y", help: "do not ask" },
  { name: "managed", help: "own what is deployed (what a project with a name does anyway); needs a name" },
  { name: "unmanaged", help: "own nothing: what the manifest no longer names stays" },
];

const arg = (name: string, help: string): ArgumentSpec => ({ name, help });
const maybe = (name: string, help: string): ArgumentSpec => ({ name, help, optional: true });
const name = (of: string): ArgumentSpec => arg("NAME", `name of the ${of}`);
const subject = arg("SUBJECT", "who keys speak for: 5 to 256 printable ASCII characters");
const actionName = arg("NAME", "NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME");

const limitOptions: readonly OptionSpec[] = [
  { name: "invocations-per-minute", value: "N", help: "set how many invocations are accepted per minute" },
  { name: "fires-per-minute", value: "N", help: "set how many firings are accepted per minute" },
  { name: "concurrent", value: "N", help: "set how many invocations may be in flight" },
  { name: "kinds", value: "KINDS", help: "allow only these kinds, with commas between; all: every kind" },
  { name: "memory", value: "MIN:MAX", help: "set the memory that actions may have, MiB" },
  { name: "timeout", value: "MIN:MAX", help: "set the time limits that actions may have, ms" },
  { name: "logs", value: "MIN:MAX", help: "set the log limits that actions may have, MiB" },
  { name: "concurrency", value: "MIN:MAX", help: "set how many runs at once a sandbox may have" },
  { name: "parameter-size", value: "BYTES", help: "set how large the parameters of an action may be" },
  { name: "payload-size", value: "BYTES", help: "set how large the arguments of a call may be" },
  { name: "truncation-size", value: "BYTES", help: "set how much is shown of a result that is too large" },
  { name: "instances", value: "N", help: "set how many sandboxes an action may have" },
  {
    name: "store-activations",
    value: "yes|no",
    help: "no: actions that are invoked leave no record and no logs",
  },
  {
    name: "reset",
    value: "WHAT",
    help: "take back what was set for kinds, memory, timeout, logs, concurrency, parameter-size, payload-size, truncation-size, instances or store-activations; commas between",
  },
];

const actionOptions: readonly OptionSpec[] = [
  { name: "sequence", value: "A,B,…", help: "actions to run one after the other, instead of a file" },
  {
    name: "image",
    value: "IMAGE",
    help: "an image of one's own to run in, with a file or without; it serves /init and /run",
  },
  { name: "kind", value: "KIND", help: "nodejs:20, python:3.11, …; without it by the file's ending" },
  { name: "main", value: "FUNCTION", help: "the function to call (default main)" },
  defaultParam,
  defaultParamFile,
  annotation,
  { name: "timeout", short: "t", value: "MS", help: "longest run, milliseconds (default 60000)" },
  { name: "memory", short: "m", value: "MIB", help: "memory of a sandbox, MiB (default 256)" },
  { name: "logsize", value: "MIB", help: "log output kept per activation, MiB (default 10)" },
  { name: "concurrency", short: "c", value: "N", help: "runs at once in one sandbox (default 1)" },
  {
    name: "instances",
    value: "N",
    help: "most sandboxes at once; 0 takes the limit back (default: as many as are needed)",
  },
  {
    name: "web",
    value: "MODE",
    choices: ["true", "raw", "false"],
    help: "callable by anybody over HTTP; raw hands over query and body as they are",
  },
  {
    name: "web-secure",
    value: "SECRET",
    help: "callers must send it as X-Require-Whisk-Auth; true makes one up, false asks for none",
  },
];

/** What `action invoke` takes with --local only. */
const localOptions: readonly OptionSpec[] = [
  {
    name: "local",
    help: "run it here, in the same runtime: a file or folder, or the code of an action that is deployed",
  },
  { name: "kind", value: "KIND", help: "nodejs:20, python:3.11, …; without it by the file's ending, with --local" },
  { name: "main", value: "FUNCTION", help: "the function to call (default main), with --local" },
  { name: "env", pair: true, help: "a variable of the environment, with --local; may be repeated" },
  { name: "timeout", short: "t", value: "MS", help: "longest run, milliseconds (default 60000), with --local" },
  { name: "memory", short: "m", value: "MIB", help: "memory of the sandbox, MiB (default 256), with --local" },
  {
    name: "inspect",
    value: "PORT",
    optional: true,
    help: "wait for a debugger on this port of 127.0.0.1 (default 9229) and lift the time limit, with --local",
  },
  { name: "docker", help: "run it in its kind's image instead of a child process, with --local" },
  { name: "docker-host", value: "URL", help: "where the Docker engine answers, with --docker" },
  { name: "watch", help: "run it again whenever its files change, until Ctrl-C, with --local" },
];

const verb = (
  spec: Pick<VerbSpec, "name" | "help" | "load"> & Partial<Pick<VerbSpec, "args" | "options" | "remote" | "example">>,
): VerbSpec => ({ args: [], options: [], remote: true, ...spec });

export const nouns: readonly NounSpec[] = [
  {
    name: "action",
    help: "named, versioned code: create, change, invoke",
    verbs: [
      verb({
        name: "create",
        help: "store a new action",
        args: [actionName, maybe("FILE", "its code: source, or a zip archive, which gets the packages that it lists")],
        options: actionOptions,
        example: "weft action create hello hello.js --param name Ada --memory 128",
        load: async () => (await import("./verbs/action.js")).createAction,
      }),
      verb({
        name: "update",
        help: "change an action, or store it when it is new and FILE is given",
        args: [actionName, maybe("FILE", "new code; without it the code stays")],
        options: actionOptions,
        example: "weft action update hello --web true --web-secure true",
        load: async () => (await import("./verbs/action.js")).updateAction,
      }),
      verb({
        name: "get",
        help: "show an action",
        args: [actionName],
        options: [
          { name: "save", value: "FILE", help: "write its code to a file" },
          {
            name: "save-lock",
            value: "FILE",
            help: "write what its dependencies were resolved to, to be put beside its code",
          },
          { name: "url", help: "print its URL only: for anybody when it is a web action" },
        ],
        load: async () => (await import("./verbs/action.js")).getAction,
      }),
      verb({
        name: "list",
        help: "list actions, latest change first",
        args: [maybe("PACKAGE", "only those of this package")],
        options: list,
        load: async () => (await import("./verbs/action.js")).listActions,
      }),
      verb({
        name: "delete",
        help: "remove an action",
        args: [actionName],
        load: async () => (await import("./verbs/action.js")).deleteAction,
      }),
      verb({
        name: "invoke",
        help: "run an action; prints the activation id, or what comes back; --local runs it on this machine",
        args: [arg("NAME", "NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME; with --local also a file or folder")],
        options: [
          param,
          paramFile,
          { name: "blocking", short: "b", help: "wait for the end and show the activation" },
          { name: "result", short: "r", help: "wait for the end and print the result only" },
          ...localOptions,
        ],
        example: `weft action invoke hello --param name Ada --result
  weft action invoke --local hello.js --param name Ada
  weft action invoke --local hello.js --inspect`,
        load: async () => (await import("./verbs/invoke.js")).invokeAction(localOptions.map((one) => one.name)),
      }),
    ],
  },
  {
    name: "activation",
    help: "what became of invocations and firings",
    verbs: [
      verb({
        name: "get",
        help: "show an activation: record, result and logs",
        args: [arg("ID", 'activation id, or "last"')],
        options: [{ name: "wait", value: "S", help: "wait for its end up to so many seconds (default 2)" }],
        load: async () => (await import("./verbs/activation.js")).getActivation,
      }),
      verb({
        name: "list",
        help: "list activations, latest start first",
        args: [maybe("NAME", "only those of this action or trigger")],
        options: [
          ...list,
          { name: "since", value: "TIME", help: "only those that started since (RFC 3339, or 10m, 2h)" },
        ],
        load: async () => (await import("./verbs/activation.js")).listActivations,
      }),
      verb({
        name: "logs",
        help: "print what an activation wrote",
        args: [arg("ID", 'activation id, or "last"')],
        options: [{ name: "strip", help: "leave out time and stream" }],
        load: async () => (await import("./verbs/activation.js")).printLogs,
      }),
      verb({
        name: "result",
        help: "print the result of an activation",
        args: [arg("ID", 'activation id, or "last"')],
        load: async () => (await import("./verbs/activation.js")).printResult,
      }),
      verb({
        name: "poll",
        help: "show activations as they end, with their logs, until Ctrl-C",
        args: [maybe("NAME", "only those of this action or trigger")],
        load: async () => (await import("./verbs/activation.js")).pollActivations,
      }),
    ],
  },
  {
    name: "trigger",
    help: "named events: create, change, fire",
    verbs: [
      verb({
        name: "create",
        help: "store a new trigger; with a feed, let that fire it",
        args: [name("trigger")],
        options: [
          {
            name: "feed",
            value: "ACTION",
            help: "what fires it: /whisk.system/alarms/alarm, /whisk.system/webhooks/webhook, …",
          },
          feedParam,
          feedParamFile,
          triggerParam,
          annotation,
        ],
        example: "weft trigger create nightly --feed /whisk.system/alarms/alarm --param cron '0 3 * * *'",
        load: async () => (await import("./verbs/trigger.js")).createTrigger,
      }),
      verb({
        name: "update",
        help: "change a trigger, or what its feed does",
        args: [name("trigger")],
        options: [feedParam, feedParamFile, triggerParam, annotation],
        example: "weft trigger update nightly --param cron '0 4 * * *' --param timezone Europe/Berlin",
        load: async () => (await import("./verbs/trigger.js")).updateTrigger,
      }),
      verb({
        name: "get",
        help: "show a trigger, its rules, and what its feed says",
        args: [name("trigger")],
        load: async () => (await import("./verbs/trigger.js")).getTrigger,
      }),
      verb({
        name: "list",
        help: "list triggers, latest change first",
        options: list,
        load: async () => (await import("./verbs/trigger.js")).listTriggers,
      }),
      verb({
        name: "delete",
        help: "remove a trigger and what its feed does; its rules become inactive",
        args: [name("trigger")],
        load: async () => (await import("./verbs/trigger.js")).deleteTrigger,
      }),
      verb({
        name: "pause",
        help: "let the feed of a trigger rest: an alarm, a webhook",
        args: [name("trigger")],
        example: "weft trigger pause nightly",
        load: async () => (await import("./verbs/trigger.js")).pauseTrigger,
      }),
      verb({
        name: "unpause",
        help: "let the feed of a trigger go on",
        args: [name("trigger")],
        load: async () => (await import("./verbs/trigger.js")).unpauseTrigger,
      }),
      verb({
        name: "fire",
        help: "fire a trigger; prints the activation id",
        args: [name("trigger")],
        options: [param, paramFile],
        example: "weft trigger fire greeted --param name Bob",
        load: async () => (await import("./verbs/trigger.js")).fireTrigger,
      }),
    ],
  },
  {
    name: "rule",
    help: "which action runs when a trigger fires",
    verbs: [
      verb({
        name: "create",
        help: "join a trigger and an action",
        args: [name("rule"), arg("TRIGGER", "name of the trigger"), arg("ACTION", "name of the action")],
        options: [annotation],
        example: "weft rule create r greeted hello",
        load: async () => (await import("./verbs/rule.js")).createRule,
      }),
      verb({
        name: "update",
        help: "join another trigger or action; the state stays",
        args: [name("rule"), arg("TRIGGER", "name of the trigger"), arg("ACTION", "name of the action")],
        options: [annotation],
        load: async () => (await import("./verbs/rule.js")).updateRule,
      }),
      verb({
        name: "get",
        help: "show a rule",
        args: [name("rule")],
        load: async () => (await import("./verbs/rule.js")).getRule,
      }),
      verb({
        name: "list",
        help: "list rules, latest change first",
        options: list,
        load: async () => (await import("./verbs/rule.js")).listRules,
      }),
      verb({
        name: "enable",
        help: "let firings run the action",
        args: [name("rule")],
        load: async () => (await import("./verbs/rule.js")).enableRule,
      }),
      verb({
        name: "disable",
        help: "let firings pass by",
        args: [name("rule")],
        load: async () => (await import("./verbs/rule.js")).disableRule,
      }),
      verb({
        name: "delete",
        help: "remove a rule",
        args: [name("rule")],
        load: async () => (await import("./verbs/rule.js")).deleteRule,
      }),
    ],
  },
  {
    name: "package",
    help: "groups of actions with shared arguments",
    verbs: [
      verb({
        name: "create",
        help: "store a new package",
        args: [name("package")],
        options: [defaultParam, defaultParamFile, annotation, { name: "shared", help: "others may use its actions" }],
        load: async () => (await import("./verbs/package.js")).createPackage,
      }),
      verb({
        name: "bind",
        help: "use a package under a name and with default arguments of your own",
        args: [
          { name: "PROVIDER", help: "the package: NAME, or /NAMESPACE/NAME of one that is shared" },
          { name: "NAME", help: "name of the binding" },
        ],
        options: [defaultParam, defaultParamFile, annotation],
        example: "weft package bind /whisk.system/utils mine --param separator ,",
        load: async () => (await import("./verbs/package.js")).bindPackage,
      }),
      verb({
        name: "update",
        help: "change a package or binding",
        args: [name("package")],
        options: [
          defaultParam,
          defaultParamFile,
          annotation,
          { name: "shared", value: "YES|NO", choices: ["yes", "no"], help: "may others use its actions" },
        ],
        load: async () => (await import("./verbs/package.js")).updatePackage,
      }),
      verb({
        name: "get",
        help: "show a package and its actions",
        args: [name("package")],
        load: async () => (await import("./verbs/package.js")).getPackage,
      }),
      verb({
        name: "list",
        help: "list packages and bindings, latest change first; of another namespace what it shares",
        args: [maybe("NAMESPACE", "/NAMESPACE, for the packages that another one shares")],
        options: list,
        load: async () => (await import("./verbs/package.js")).listPackages,
      }),
      verb({
        name: "delete",
        help: "remove a package",
        args: [name("package")],
        options: [{ name: "force", help: "with all its actions" }],
        load: async () => (await import("./verbs/package.js")).deletePackage,
      }),
    ],
  },
  {
    name: "api",
    help: "web actions behind base paths, paths and verbs of your own, with keys and rate limits",
    verbs: [
      verb({
        name: "create",
        help: "put a web action behind a path and a verb, or store a Swagger document; prints the URLs",
        args: [
          maybe("BASE", "base path of the API: /hello"),
          maybe("PATH", "path below it: /world, or /world/{name} with a parameter"),
          maybe("VERB", "get, put, post, delete, patch, head or options"),
          maybe("ACTION", "NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME of a web action"),
        ],
        options: [
          { name: "config-file", value: "FILE", help: 'a Swagger 2.0 document, JSON or YAML; "-" is standard input' },
          { name: "name", value: "TEXT", help: "title of a new API (default: its base path)" },
          {
            name: "response-type",
            value: "TYPE",
            choices: ["http", "json", "html", "svg", "text"],
            help: "what becomes of the result (default json; http for a path with parameters)",
          },
          { name: "key-header", value: "HEADER", help: "callers must send a key of the API in this header" },
          { name: "rate", value: "N/UNIT", help: "most calls per second, minute, hour or day" },
        ],
        example: "weft api create /hello /world/{name} get hello --key-header X-API-Key --rate 100/minute",
        load: async () => (await import("./verbs/api.js")).createApi,
      }),
      verb({
        name: "get",
        help: "show an API with its operations, or write its Swagger document to a file",
        args: [arg("API", "base path or name")],
        options: [{ name: "save", value: "FILE", help: "write the document to a file instead" }],
        example: "weft api get /hello --save hello.json",
        load: async () => (await import("./verbs/api.js")).getApi,
      }),
      verb({
        name: "list",
        help: "list APIs with their operations, by base path",
        options: list,
        load: async () => (await import("./verbs/api.js")).listApis,
      }),
      verb({
        name: "delete",
        help: "remove an API with its keys, one of its paths, or one operation",
        args: [
          arg("API", "base path or name"),
          maybe("PATH", "only this path"),
          maybe("VERB", "only this verb of the path"),
        ],
        example: "weft api delete /hello /world get",
        load: async () => (await import("./verbs/api.js")).deleteApi,
      }),
      verb({
        name: "key",
        help: "make, list and revoke the keys that callers of an API present",
        args: [
          arg("WHAT", "create, list or delete"),
          arg("API", "base path or name"),
          maybe("ID", "which key to delete"),
        ],
        options: [{ name: "note", value: "TEXT", help: "who has the key, with create" }],
        example: 'weft api key create /hello --note "the mobile app"',
        load: async () => (await import("./verbs/api.js")).apiKey,
      }),
    ],
  },
  {
    name: "project",
    help: "a manifest.yaml of OpenWhisk's wskdeploy: everything it names, deployed and undone",
    verbs: [
      verb({
        name: "deploy",
        help: "make everything a manifest names be so: shows the plan, then does it",
        options: projectOptions,
        example: "weft project deploy --manifest manifest.yaml --param name Ada --preview",
        load: async () => (await import("./verbs/project.js")).deployProject,
      }),
      verb({
        name: "undeploy",
        help: "remove what a project deployed",
        options: [
          ...projectOptions.filter(({ name }) => name !== "managed"),
          { name: "project", value: "NAME", help: "the project, when there is no manifest any more" },
        ],
        example: "weft project undeploy --project hello",
        load: async () => (await import("./verbs/project.js")).undeployProject,
      }),
      verb({
        name: "export",
        help: "write a manifest with files of what is there: the whole namespace, or one project",
        options: [
          { name: "project", value: "NAME", help: "only what this project deployed" },
          { name: "out", short: "o", value: "FOLDER", help: "where to (default here)" },
          { name: "overwrite", help: "write over files that are there" },
        ],
        example: "weft project export --project hello --out hello",
        load: async () => (await import("./verbs/project-export.js")).exportProject,
      }),
    ],
  },
  {
    name: "namespace",
    help: "who owns entities and is limited (creating and deleting needs the operator's key)",
    verbs: [
      verb({
        name: "create",
        help: "make a namespace with a key, which is shown once",
        args: [name("namespace")],
        options: [{ name: "subject", value: "TEXT", help: "who the key speaks for (default: the name)" }],
        load: async () => (await import("./verbs/namespace.js")).createNamespace,
      }),
      verb({
        name: "get",
        help: "show a namespace",
        args: [maybe("NAME", "without it the key's own")],
        load: async () => (await import("./verbs/namespace.js")).getNamespace,
      }),
      verb({
        name: "list",
        help: "list the namespaces that the key may use",
        options: [limit, all],
        load: async () => (await import("./verbs/namespace.js")).listNamespaces,
      }),
      verb({
        name: "delete",
        help: "remove a namespace with everything in it",
        args: [name("namespace")],
        load: async () => (await import("./verbs/namespace.js")).deleteNamespace,
      }),
      verb({
        name: "limits",
        help: "show limits, or set some; only the operator sets them",
        args: [maybe("NAME", "without it the key's own")],
        options: limitOptions,
        example: "weft namespace limits guest --invocations-per-minute 12000 --memory 128:1024 --kinds nodejs:20",
        load: async () => (await import("./verbs/namespace.js")).namespaceLimits,
      }),
    ],
  },
  {
    name: "key",
    help: "credentials of a namespace",
    verbs: [
      verb({
        name: "create",
        help: "make another key, which is shown once",
        options: [{ name: "subject", value: "TEXT", help: "who it speaks for (default: as the key used)" }],
        load: async () => (await import("./verbs/key.js")).createKey,
      }),
      verb({
        name: "list",
        help: "list keys without their secrets",
        load: async () => (await import("./verbs/key.js")).listKeys,
      }),
      verb({
        name: "rotate",
        help: "make a key in the place of another, which ends now or after a grace",
        args: [maybe("UUID", "public part of the old key; without it the key that is used")],
        options: [grace],
        example: "weft key rotate --grace 24h",
        load: async () => (await import("./verbs/key.js")).rotateKey,
      }),
      verb({
        name: "delete",
        help: "revoke a key",
        args: [arg("UUID", "public part of the key")],
        load: async () => (await import("./verbs/key.js")).deleteKey,
      }),
    ],
  },
  {
    name: "admin",
    help: "subjects, limits and encryption of the installation (needs the operator's key)",
    groups: {
      user: "subjects: who keys speak for, each with a key per namespace",
      key: "keys of subjects",
      limits: "limits of namespaces",
    },
    verbs: [
      verb({
        name: "user create",
        help: "give a subject a key for a namespace, which is made if it is new; the key is shown once",
        args: [subject, maybe("NAMESPACE", "without it the one that is called as the subject is")],
        options: [
          { name: "use", value: "UUID:KEY", help: "use this key, such as one from OpenWhisk, instead of a new one" },
        ],
        example: "weft admin user create alice@example.org team",
        load: async () => (await import("./verbs/admin.js")).createUser,
      }),
      verb({
        name: "user get",
        help: "show a subject and its keys, without their secrets",
        args: [subject],
        load: async () => (await import("./verbs/admin.js")).getUser,
      }),
      verb({
        name: "user list",
        help: "list subjects",
        args: [maybe("NAMESPACE", "only those who have a key for it")],
        options: [limit, all],
        example: "weft admin user list team",
        load: async () => (await import("./verbs/admin.js")).listUsers,
      }),
      verb({
        name: "user delete",
        help: "revoke a subject's keys; its namespaces stay unless they shall go too",
        args: [subject, maybe("NAMESPACE", "revoke only the keys for it")],
        options: [{ name: "with-namespaces", help: "delete the namespaces too, where nobody else has a key" }],
        example: "weft admin user delete alice@example.org --with-namespaces",
        load: async () => (await import("./verbs/admin.js")).deleteUser,
      }),
      verb({
        name: "user whois",
        help: "tell whose key it is; of a whole key only what is before the colon is sent",
        args: [arg("KEY", "UUID, or UUID:KEY")],
        example: "weft admin user whois 23bc46b1-71f6-4ed5-8c54-816aa4f8c502",
        load: async () => (await import("./verbs/admin.js")).whoIs,
      }),
      verb({
        name: "user block",
        help: "refuse all keys of a subject within a second; what runs goes on",
        args: [subject],
        load: async () => (await import("./verbs/admin.js")).blockUser,
      }),
      verb({
        name: "user unblock",
        help: "let a blocked subject in again",
        args: [subject],
        load: async () => (await import("./verbs/admin.js")).unblockUser,
      }),
      verb({
        name: "key rotate",
        help: "make a key in the place of a subject's newest one for a namespace",
        args: [subject, maybe("NAMESPACE", "needed when the subject has several")],
        options: [grace],
        example: "weft admin key rotate alice@example.org team --grace 24h",
        load: async () => (await import("./verbs/admin.js")).rotateUserKey,
      }),
      verb({
        name: "limits get",
        help: "show the limits of a namespace",
        args: [name("namespace")],
        load: async () => (await import("./verbs/namespace.js")).namespaceLimits,
      }),
      verb({
        name: "limits set",
        help: "set limits of a namespace",
        args: [name("namespace")],
        options: limitOptions,
        example: "weft admin limits set team --invocations-per-minute 12000",
        load: async () => (await import("./verbs/admin.js")).setLimits,
      }),
      verb({
        name: "limits delete",
        help: "give a namespace the limits of a new one",
        args: [name("namespace")],
        load: async () => (await import("./verbs/admin.js")).deleteLimits,
      }),
      verb({
        name: "seal",
        help: "encrypt all stored parameters with the key that is current now (parameterKeys of the controllers)",
        load: async () => (await import("./verbs/admin.js")).sealParameters,
      }),
    ],
  },
];

/** Short verbs at the top. */
export const topVerbs: readonly VerbSpec[] = [
  verb({
    name: "dev",
    help: "run the whole fabric in one process, in the foreground",
    remote: false,
    options: [
      stateDir,
      listenGrpc,
      listenRest,
      { name: "driver", value: "NAME", choices: ["process", "docker"], help: "what makes sandboxes (default process)" },
      { name: "docker-host", value: "URL", help: "where the Docker engine answers, with --driver docker" },
      { name: "memory-mb", value: "MIB", help: "memory for sandboxes, MiB (default 4096)" },
      { name: "postgres-url", value: "URL", help: "a Postgres of yours instead of the embedded one" },
      { name: "hide-parameters", help: "show default parameters encrypted when they are read" },
      {
        name: "log-level",
        value: "LEVEL",
        choices: ["debug", "info", "warn", "error"],
        help: "least level that is logged",
      },
      { name: "detach", short: "d", help: "return when it is ready; weft down stops it" },
    ],
    load: async () => (await import("./verbs/dev.js")).dev,
  }),
  verb({
    name: "up",
    help: "run every role as a process of its own, on etcd, Postgres, Docker and Envoy",
    remote: false,
    options: [
      stateDir,
      listenGrpc,
      listenRest,
      { name: "invokers", value: "N", help: "how many invokers (default 3)" },
      { name: "gateways", value: "N", help: "how many gateways (default 1); each has the port after the one before" },
    ],
    load: async () => (await import("./verbs/up.js")).up,
  }),
  verb({
    name: "down",
    help: "stop what up or dev --detach started; state is kept",
    remote: false,
    options: [stateDir],
    load: async () => (await import("./verbs/down.js")).down,
  }),
  verb({
    name: "status",
    help: "show roles, invokers and sandboxes",
    load: async () => (await import("./verbs/status.js")).status,
  }),
  verb({
    name: "whoami",
    help: "show whose key is used",
    load: async () => (await import("./verbs/key.js")).whoami,
  }),
  verb({
    name: "doctor",
    help: "look for what may be wrong here, each finding with what mends it",
    load: async () => (await import("./verbs/doctor.js")).doctor,
  }),
  verb({
    name: "wsk-import",
    help: "bring a namespace of a running OpenWhisk (or Weft) here: shows the plan, then does it",
    options: [
      { name: "apihost", value: "URL", help: "where it is (default: APIHOST in --wskprops)" },
      { name: "auth", short: "u", value: "UUID:KEY", help: "its key there (default: AUTH in --wskprops)" },
      { name: "namespace", short: "n", value: "NAME", help: "its name there (default: the key's own)" },
      { name: "wskprops", value: "FILE", help: "where wsk keeps both (default WSK_CONFIG_FILE, else ~/.wskprops)" },
      { name: "dry-run", help: "show the plan only" },
      { name: "overwrite", help: "change what is here and another one" },
      { name: "ca", value: "FILE", help: "who may sign its certificate, PEM (default: whom this machine trusts)" },
      { name: "insecure", short: "i", help: "do not look at the certificate there" },
    ],
    example: "weft wsk-import --apihost https://openwhisk.example --auth UUID:KEY --dry-run",
    load: async () => (await import("./verbs/wsk-import.js")).wskImport,
  }),
  verb({
    name: "completion",
    help: "print a completion script for a shell",
    remote: false,
    args: [arg("SHELL", "bash, zsh or fish")],
    example: 'eval "$(weft completion bash)"',
    load: async () => (await import("./verbs/completion.js")).completionOf({ nouns, topVerbs, optionsOf }),
  }),
];

/** Options of every command that speaks with a running Weft. */
export const remoteOptions: readonly OptionSpec[] = [
  { name: "apihost", value: "URL", help: "where REST is (WEFT_APIHOST; APIHOST in .weft/wskprops or ~/.wskprops)" },
  {
    name: "grpc",
    value: "HOST:PORT",
    help: "where gRPC is, https://HOST:PORT over TLS (WEFT_GRPC; default: that host, port 3232; of https the same port)",
  },
  { name: "auth", short: "u", value: "UUID:KEY", help: "the key (WEFT_AUTH; AUTH in the same files)" },
  { name: "namespace", short: "n", value: "NAME", help: "of entities named without one (default: the key's own)" },
  {
    name: "ca",
    value: "FILE",
    help: "who may sign certificates there, PEM (WEFT_CA; default: whom this machine trusts)",
  },
  { name: "insecure", short: "i", help: "do not look at certificates (WEFT_INSECURE=1)" },
];

export const commonOptions: readonly OptionSpec[] = [{ name: "json", help: "print JSON" }];

export function optionsOf(spec: VerbSpec): readonly OptionSpec[] {
  return [...spec.options, ...commonOptions, ...(spec.remote ? remoteOptions : [])];
}
