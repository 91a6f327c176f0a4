import { readFileSync } from "node:fs";

import type { MetricDescription } from "../../internal/base/metrics.js";

export type DocumentedMetric = MetricDescription;

/** The rows of the table of metrics in docs/observability.md: `| \`name\` | type | \`label\`, ... | question |`. */
export function documentedMetrics(page: string = readPage()): DocumentedMetric[] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| `weft_"))
    .map((line) => {
      const [name = "", type = "", labels = "", help = ""] = line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim());
      if (type !== "counter" && type !== "gauge" && type !== "histogram") {
        throw new Error(`docs/observability.md: ${name} has the type "${type}"`);
      }
      return { name: bare(name), type, labels: labels.split(",").map(bare).filter(Boolean), help };
    });
}

/**
 * Compares a role's metrics to the page. Empty: they agree. Otherwise one sentence per difference, each with the row to
 * write or to remove.
 */
export function metricDifferences(
  registered: readonly MetricDescription[],
  role: string,
  documented: readonly DocumentedMetric[] = documentedMetrics(),
): string[] {
  const pageRows = new Map(documented.map((metric) => [metric.name, metric]));
  if (pageRows.size < documented.length) return ["a metric is in the table twice"];
  const missing = registered.flatMap((metric) => {
    const row = pageRows.get(metric.name);
    return row && rowOf(row) === rowOf({ ...metric, help: row.help })
      ? []
      : [`docs/observability.md needs the row ${rowOf(metric)}`];
  });
  const names = new Set(registered.map((metric) => metric.name));
  const extra = documented
    .filter((metric) => metric.name.startsWith(`weft_${role}_`) && !names.has(metric.name))
    .map((metric) => `docs/observability.md lists ${metric.name}, which ${role} does not have`);
  return [...missing, ...extra];
}

/** The row that the page should have. */
export function rowOf({ name, type, labels, help }: MetricDescription): string {
  return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`;
}

function readPage(): string {
  return readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8");
}

function bare(cell: string): string {
  return cell.trim().replaceAll("`", "");
}
