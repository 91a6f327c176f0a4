// A checker of imports that reads nothing finds nothing. Here every rule is shown a violation and must report it under
// its own name.

import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync, cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { spawnSync } from "node:child_process";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Rule, the file that breaks it, and what that file says. */
const planted: readonly (readonly [rule: string, file: string, text: string])[] = [
  ["no-cycles", "internal/core/a/one.ts", 'import { two } from "./two.js";\nexport const one = (): unknown => two;\n'],
  ["base-is-the-floor", "internal/base/bad.ts", 'import "../core/a/two.js";\n'],
  ["core-is-pure", "internal/core/a/rpc.ts", 'import "../../rpc/target.js";\n'],
  ["core-is-pure", "internal/core/a/gen.ts", 'import type { T } from "../../gen/target.js";\nexport type U = T;\n'],
  ["rpc-is-plumbing", "internal/rpc/bad.ts", 'import "../core/a/two.js";\n'],
  ["boot-is-the-process-edge", "internal/boot/bad.ts", 'import "../rpc/target.js";\n'],
  ["stores-serve-core", "internal/postgres/bad.ts", 'import "../rpc/target.js";\n'],
  ["drivers-serve-core", "internal/docker/bad.ts", 'import "../rpc/target.js";\n'],
  ["dispatch-is-shared", "internal/dispatch/bad.ts", 'import "../gateway/target.js";\n'],
  ["roles-keep-apart", "internal/gateway/store.ts", 'import "../postgres/target.js";\n'],
  ["siblings-keep-apart", "internal/gateway/role.ts", 'import "../scheduler/target.js";\n'],
  ["siblings-keep-apart", "internal/etcd/bad.ts", 'import "../postgres/target.js";\n'],
  ["cmd-is-the-top", "internal/core/a/cmd.ts", 'import "../../../cmd/x/main.js";\n'],
  ["one-command-per-command", "cmd/y/main.ts", 'import "../x/main.js";\n'],
  ["assembly-is-for-commands", "internal/gateway/assembly.ts", 'import "../assembly/target.js";\n'],
  ["no-test-code-in-production", "internal/gateway/test.ts", 'import "../../test/harness/target.js";\n'],
  ["core-needs-no-packages", "internal/core/a/zod.ts", 'import "zod";\n'],
  ["grpc-only-in-rpc", "internal/gateway/grpc.ts", 'import "@grpc/grpc-js";\n'],
  ["etcd-only-in-etcd", "internal/scheduler/etcd.ts", 'import "etcd3";\n'],
  ["pg-only-in-postgres", "internal/controller/pg.ts", 'import "pg";\n'],
  ["docker-only-in-docker", "internal/invoker/docker.ts", 'import "dockerode";\n'],
  ["croner-only-in-cron", "internal/controller/cron.ts", 'import "croner";\n'],
];
const targets: readonly (readonly [string, string])[] = [
  ["internal/core/a/two.ts", 'import { one } from "./one.js";\nexport const two = (): unknown => one;\n'],
  ["internal/gen/target.ts", "export interface T {\n  readonly t: 1;\n}\n"],
  ...["rpc", "gateway", "scheduler", "postgres", "assembly"].map(
    (f) => [`internal/${f}/target.ts`, "export const t = 1;\n"] as const,
  ),
  ["test/harness/target.ts", "export const t = 1;\n"],
  ["cmd/x/main.ts", "export const t = 1;\n"],
];

describe("the import rules", () => {
  let scratch: string;
  let found: ReadonlySet<string>;

  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), "weft-imports-"));
    for (const [file, text] of [...targets, ...planted.map(([, file, text]) => [file, text] as const)]) {
      mkdirSync(join(scratch, dirname(file)), { recursive: true });
      writeFileSync(join(scratch, file), text);
    }
    mkdirSync(join(scratch, ".ci"));
    for (const file of [".ci/dependency-cruiser.mjs", "tsconfig.json", "package.json"]) {
      cpSync(join(root, file), join(scratch, file));
    }
    symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"));
    const { stdout } = spawnSync(
      process.execPath,
      [
        join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs"),
        ...[
          "--config",
          ".ci/dependency-cruiser.mjs",
          "--preserve-symlinks",
          "--output-type",
          "json",
          "cmd",
          "internal",
          "test",
        ],
      ],
      { cwd: scratch, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
    );
    const report = JSON.parse(stdout) as {
      readonly summary: {
        readonly violations: readonly { readonly from: string; readonly rule: { readonly name: string } }[];
      };
    };
    found = new Set(report.summary.violations.map((v) => `${v.rule.name} ${v.from}`));
  }, 60_000);

  afterAll(() => {
    rmSync(scratch, { recursive: true, force: true });
  });

  it.each(planted)("%s is reported for %s", (rule, file) => {
    expect(found).toContain(`${rule} ${file}`);
  });
});
