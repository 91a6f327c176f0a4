// Reads Prometheus' text format, strictly: a line that a scraper would refuse is an error here.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  /** Type by metric family. */
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly Sample[];
  /** Sum over the series of a name whose labels include these; 0 when there is none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const HELP = new RegExp(`^# HELP (${NAME}) (.+)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** @throws when a line is not what the format allows, a family has no type, or a series stands there twice */
export function parseExposition(text: string): Exposition {
  if (!text.endsWith("\n")) throw new Error("it does not end with a line feed");
  const types = new Map<string, string>();
  const helped = new Set<string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const help = HELP.exec(line);
    const type = TYPE.exec(line);
    const sample = SAMPLE.exec(line);
    if (help) helped.add(help[1] ?? "");
    else if (type) {
      const [, name = "", kind = ""] = type;
      if (types.has(name)) throw new Error(`${name} has two types`);
      types.set(name, kind);
    } else if (sample) {
      const [, name = "", labels = "", value = ""] = sample;
      const family = familyOf(name, types);
      if (family === undefined || !helped.has(family)) throw new Error(`no type or help for: ${line}`);
      const series = line.slice(0, line.lastIndexOf(" "));
      if (seen.has(series)) throw new Error(`there twice: ${series}`);
      seen.add(series);
      samples.push({ name, labels: labelsOf(labels, line), value: numberOf(value, line) });
    } else throw new Error(`not in the format: ${line}`);
  }
  return {
    types,
    samples,
    sum: (name, labels = {}) =>
      samples
        .filter((one) => one.name === name && Object.entries(labels).every(([label, is]) => one.labels[label] === is))
        .reduce((sum, one) => sum + one.value, 0),
  };
}

function familyOf(name: string, types: ReadonlyMap<string, string>): string | undefined {
  if (types.has(name)) return name;
  const family = name.replace(/_(bucket|sum|count)$/, "");
  const type = types.get(family);
  return type === "histogram" || type === "summary" ? family : undefined;
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const at = LABEL.lastIndex;
    const [, name = "", value = ""] = LABEL.exec(text) ?? [];
    if (LABEL.lastIndex <= at || name in labels) throw new Error(`labels are not in the format: ${line}`);
    labels[name] = value.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
  }
  return labels;
}

function numberOf(text: string, line: string): number {
  if (text === "+Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  if (text === "NaN") return NaN;
  if (!/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)) throw new Error(`no number: ${line}`);
  return Number(text);
}
