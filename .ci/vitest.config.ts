// One project per kind of test. `unit` and `sim` need nothing but Node; the others use the services of
// deploy/local (test/harness/services.ts says what happens without them).

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// vitest 5 prints failures with it, and Node 20 does not have it: without this a red run says nothing but "TypeError".
(Map as { groupBy?: unknown }).groupBy ??= <T, K>(
  items: Iterable<T>,
  keyOf: (item: T, index: number) => K,
): Map<K, T[]> => {
  const groups = new Map<K, T[]>();
  let index = 0;
  for (const item of items) {
    const key = keyOf(item, index++);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
};

const root = fileURLToPath(new URL("..", import.meta.url));
const report = process.env["WEFT_TEST_REPORT"];
/** Tests of adapters stand beside their code and talk to the real thing. */
const adapters = ["internal/{etcd,postgres,docker,process}/**/*.test.ts"];
/** Tests of whole fabrics that wait for a minute to pass, or for the second of an alarm: two such files pass the time together. */
const clock = ["test/conformance/{throttles,feeds}.test.ts", "test/e2e/throttles.test.ts"];
const except = (...files: string[]): object => ({ exclude: ["**/node_modules/**", "dist/**", ...files] });

let order = 0;
const project = (name: string, include: string[], timeoutMs: number, more: object = {}): object => ({
  test: {
    name,
    root,
    include,
    // One kind after the other: what needs the machine for itself is not measured against unit tests.
    sequence: { groupOrder: order++ },
    ...except(),
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    ...more,
  },
});

export default defineConfig({
  root,
  test: {
    root,
    maxWorkers: 2,
    // CI counts what ran; people read the rest.
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    projects: [
      project(
        "unit",
        ["{internal,cmd,runtimes,.ci}/**/*.test.ts", "test/harness/**/*.test.ts", "test/bench/**/*.test.ts"],
        10_000,
        except(...adapters),
      ),
      project("sim", ["test/sim/**/*.test.ts"], 60_000),
      project("integration", ["test/integration/**/*.test.ts", ...adapters], 60_000),
      project("clock", clock, 240_000),
      project("conformance", ["test/conformance/**/*.test.ts"], 120_000, {
        fileParallelism: false,
        ...except(...clock),
      }),
      project("e2e", ["test/e2e/**/*.test.ts"], 240_000, { fileParallelism: false, ...except(...clock) }),
      // Needs programs that nobody publishes: on demand only, npm run test:clients.
      ...(process.env["WEFT_TEST_CLIENTS"] === undefined
        ? []
        : [project("clients", ["test/clients/**/*.test.ts"], 240_000, { fileParallelism: false })]),
    ],
  },
});
