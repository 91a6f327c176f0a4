// npm run bench -- --rows D1,D4 --json FILE
//
// Starts a fabric of its own as `weft up` does, measures the rows against bare references in the same run, prints a table
// and writes {"rows":[{"id","ratio","spread","reference","measured","unit"}]}. Exits 1 when a row misses its floor.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Fabric } from "../harness/fabric.js";
import { emptyDatabase } from "../harness/postgres.js";
import { EchoServer, LoadClient } from "./children.js";
import { ECHO_ACTION, ECHO_CODE, type RowResult } from "./capacity.js";
import { ROWS, type Row } from "./rows.js";

const { values } = parseArgs({
  options: {
    rows: { type: "string" },
    json: { type: "string" },
    pairs: { type: "string", default: "5" },
    "measure-ms": { type: "string", default: "2000" },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  process.stdout.write(
    `npm run bench -- [--rows ${ROWS.map((row) => row.id).join(",")}] [--json FILE] [--pairs 5] [--measure-ms 2000]\n\n${ROWS.map((row) => `  ${row.id.padEnd(6)}${row.title}\n`).join("")}`,
  );
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const rows = chosen(values.rows);
  const database = await emptyDatabase();
  const codeDir = mkdtempSync(join(tmpdir(), "weft-bench-"));
  const fabric = await Fabric.start({
    mode: "up",
    // One invoker: with two cores, more only share them.
    invokers: 1,
    // Room for every sandbox of the cold row: one that must wait for an eviction measures something else.
    env: { WEFT_POSTGRES_URL: database.url, WEFT_STEM_CELLS: "0", WEFT_MEMORY_MB: "8192" },
  });
  const echo = await EchoServer.start();
  const client = await LoadClient.start();
  try {
    const code = join(codeDir, "echo.js");
    writeFileSync(code, ECHO_CODE);
    // One sandbox takes every call: what is measured is the path, not how many sandboxes two cores can feed.
    await fabric.ok("action", "create", ECHO_ACTION, code, "--concurrency", "500");
    await fabric.ok(
      "namespace",
      "limits",
      "guest",
      ...["--invocations-per-minute", "--concurrent"].flatMap((flag) => [flag, "100000000"]),
    );
    await fabric.ok("action", "invoke", ECHO_ACTION, "--result");

    const results: { readonly row: Row; readonly result: RowResult }[] = [];
    process.stdout.write(
      `${cpus()[0]?.model ?? "?"} \u00d7 ${cpus().length}, Node ${process.version}, ${values.pairs} pairs of ${values["measure-ms"]} ms\n\n`,
    );
    for (const row of rows) {
      const result = await row.run({
        fabric,
        echo,
        client,
        pairs: Number(values.pairs),
        measureMs: Number(values["measure-ms"]),
      });
      results.push({ row, result });
      print(row, result);
    }
    if (values.json !== undefined) {
      const json = results.map(({ row, result: { median, spread, reference, measured, unit } }) => ({
        id: row.id,
        ratio: median,
        spread,
        reference,
        measured,
        unit,
      }));
      writeFileSync(values.json, `${JSON.stringify({ rows: json }, undefined, 2)}\n`);
    }
    return results.every(({ row, result }) => holds(row, result)) ? 0 : 1;
  } finally {
    client.stop();
    echo.stop();
    await fabric.stop();
    await database.drop();
    rmSync(codeDir, { recursive: true, force: true });
  }
}

function chosen(ids: string | undefined): readonly Row[] {
  if (ids === undefined) return ROWS;
  return ids.split(",").map((id) => {
    const row = ROWS.find((one) => one.id === id.trim());
    if (!row) throw new Error(`no row ${id}: there are ${ROWS.map((one) => one.id).join(", ")}`);
    return row;
  });
}

function holds({ floor }: Row, { median }: RowResult): boolean {
  return floor.kind === "atLeast" ? median >= floor.value : median <= floor.value;
}

function print(row: Row, result: RowResult): void {
  const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(3));
  process.stdout.write(
    `${holds(row, result) ? "\u2713" : "\u2717"} ${row.id}  ${number(result.median)} [${result.spread.map(number).join("..")}] ` +
      `${row.floor.kind === "atLeast" ? "\u2265" : "\u2264"} ${row.floor.value}  ` +
      `reference ${number(result.reference)} ${result.unit}, Weft ${number(result.measured)} ${result.unit}\n    ${row.title}\n` +
      result.notes.map((note) => `    ${note}\n`).join(""),
  );
}
