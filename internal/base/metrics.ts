// Metrics of a role, rendered by prom-client's registry. The series are ours: counting is one addition to a number that
// the caller already holds, with no look-up of labels and no allocation, so that it may stand on the path of every
// activation. prom-client reads them when somebody scrapes.

import { Registry, type Metric } from "prom-client";

import { invariant } from "./errors.js";

/** The values a label may take: a closed list, or as many as `capped` allows. */
export type LabelValues = readonly string[] | CappedLabel;
export type LabelSets = Readonly<Record<string, LabelValues>>;
export type LabelsOf<L extends LabelSets> = {
  readonly [K in keyof L]: L[K] extends readonly (infer V extends string)[] ? V : string;
};

export interface CappedLabel {
  readonly maxValues: number;
}

/** A label whose values are not known before: the first `maxValues` are kept apart, the rest are "other". */
export function capped(maxValues: number): CappedLabel {
  return { maxValues };
}

/** Seconds, from 100 µs (a warm hop) to a minute (the default timeout of an action). */
export const SECONDS_BUCKETS = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;
/** Bytes, in steps of four from 256 B to 64 MiB. */
export const BYTES_BUCKETS = [
  256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
] as const;
/** Items in a batch, frame or queue. */
export const ITEMS_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096] as const;

/** Most series a family starts at zero, so that a rate over a first event is seen; larger ones start when first used. */
const ZEROED_SERIES_MAX = 64;

/** One series that only grows. */
export class Counter {
  value = 0;

  /** @param by not negative */
  inc(by = 1): void {
    invariant(by >= 0, `a counter grows: ${by}`);
    this.value += by;
  }
}

/** One series that goes up and down. */
export class Gauge {
  #value = 0;
  #read: (() => number) | undefined;

  set(value: number): void {
    this.#value = value;
  }

  inc(by = 1): void {
    this.#value += by;
  }

  dec(by = 1): void {
    this.#value -= by;
  }

  /** From here on the value is asked for at each scrape: the way for sizes that something else keeps. */
  from(read: () => number): void {
    this.#read = read;
  }

  get value(): number {
    return this.#read ? this.#read() : this.#value;
  }
}

/** One series of observations in buckets. */
export class Histogram {
  /** Not cumulative; the last is for what is above all bounds. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(readonly bounds: readonly number[]) {
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** @param value in the unit of the metric's name; what is not above zero counts as zero */
  observe(value: number): void {
    const seen = value > 0 ? value : 0;
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seen <= (this.bounds[middle] as number)) high = middle;
      else low = middle + 1;
    }
    (this.counts[low] as number) += 1;
    this.sum += seen;
  }

  /** For metrics in seconds, given milliseconds. */
  observeMs(ms: number): void {
    this.observe(ms / 1_000);
  }

  get count(): number {
    return this.counts.reduce((sum, n) => sum + n, 0);
  }
}

/** The series of one metric, told apart by labels. */
export class Family<Series, L extends LabelSets> {
  readonly #series = new Map<string, { readonly labels: Readonly<Record<string, string>>; readonly series: Series }>();
  readonly #names: readonly string[];
  readonly #seen = new Map<string, Set<string>>();

  constructor(
    readonly name: string,
    readonly labels: L,
    private readonly make: () => Series,
  ) {
    this.#names = Object.keys(labels);
  }

  /** The series with these labels: to be kept by the caller, and always the same one. */
  bound(labels: LabelsOf<L>): Series {
    const values = this.#names.map((name) => this.#valueOf(name, (labels as Record<string, string>)[name]));
    const key = values.join("\u0000");
    const known = this.#series.get(key);
    if (known) return known.series;
    const series = this.make();
    this.#series.set(key, {
      labels: Object.fromEntries(this.#names.map((name, i) => [name, values[i] as string])),
      series,
    });
    return series;
  }

  /** Starts every combination of the closed labels, unless they are too many or not known. */
  startAll(): void {
    let combinations: Record<string, string>[] = [{}];
    for (const [name, values] of Object.entries(this.labels)) {
      if ("maxValues" in values) return;
      combinations = combinations.flatMap((one) => values.map((value) => ({ ...one, [name]: value })));
      if (combinations.length > ZEROED_SERIES_MAX) return;
    }
    for (const labels of combinations) this.bound(labels as LabelsOf<L>);
  }

  *[Symbol.iterator](): Generator<{ readonly labels: Readonly<Record<string, string>>; readonly series: Series }> {
    yield* this.#series.values();
  }

  #valueOf(name: string, value: string | undefined): string {
    const allowed = this.labels[name];
    invariant(allowed !== undefined && value !== undefined, `${this.name} needs a value for label ${name}`);
    if (!("maxValues" in allowed)) {
      invariant(allowed.includes(value), `${this.name}: label ${name} is one of ${allowed.join(", ")}, not ${value}`);
      return value;
    }
    let seen = this.#seen.get(name);
    if (!seen) this.#seen.set(name, (seen = new Set()));
    if (seen.has(value)) return value;
    if (seen.size >= allowed.maxValues) return "other";
    seen.add(value);
    return value;
  }
}

export type MetricType = "counter" | "gauge" | "histogram";

export interface MetricDescription {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly labels: readonly string[];
}

interface Plain<Name extends string> {
  readonly name: Name;
  /** One sentence: which question it answers. */
  readonly help: string;
}

interface Labelled<Name extends string, L extends LabelSets> extends Plain<Name> {
  readonly labels: L;
}

type Bounds = readonly number[];

/**
 * The metrics of one role, all declared at start. Names are `weft_<role>_<noun>_<unit>`, counters with `_total`; times
 * are in seconds. Labels come from closed sets. A wrong or repeated name, or a label value outside its set, is a bug and
 * throws at once.
 */
export class MetricsRegistry<Role extends string = string> {
  readonly #registry = new Registry();
  readonly #descriptions: MetricDescription[] = [];

  constructor(readonly role: Role) {}

  counter(options: Plain<`weft_${Role}_${string}_total`>): Counter;
  counter<const L extends LabelSets>(options: Labelled<`weft_${Role}_${string}_total`, L>): Family<Counter, L>;
  counter<const L extends LabelSets>(options: Plain<string> & { readonly labels?: L }): Counter | Family<Counter, L> {
    invariant(options.name.endsWith("_total"), `${options.name}: a counter ends with _total`);
    const family = this.#family("counter", options, () => new Counter(), valueOf);
    family.startAll();
    return options.labels ? family : family.bound({} as LabelsOf<L>);
  }

  gauge(options: Plain<`weft_${Role}_${string}`>): Gauge;
  gauge<const L extends LabelSets>(options: Labelled<`weft_${Role}_${string}`, L>): Family<Gauge, L>;
  gauge<const L extends LabelSets>(options: Plain<string> & { readonly labels?: L }): Gauge | Family<Gauge, L> {
    invariant(!options.name.endsWith("_total"), `${options.name}: only a counter ends with _total`);
    const family = this.#family("gauge", options, () => new Gauge(), valueOf);
    return options.labels ? family : family.bound({} as LabelsOf<L>);
  }

  /** Buckets follow from the unit at the end of the name unless they are given, in rising order. */
  histogram(options: Plain<`weft_${Role}_${string}`> & { readonly buckets?: Bounds }): Histogram;
  histogram<const L extends LabelSets>(
    options: Labelled<`weft_${Role}_${string}`, L> & { readonly buckets?: Bounds },
  ): Family<Histogram, L>;
  histogram<const L extends LabelSets>(
    options: Plain<string> & { readonly labels?: L; readonly buckets?: Bounds },
  ): Histogram | Family<Histogram, L> {
    const bounds = options.buckets ?? defaultBounds(options.name);
    invariant(
      bounds.every((bound, i) => i === 0 || bound > (bounds[i - 1] as number)),
      `${options.name}: buckets rise`,
    );
    const family = this.#family("histogram", options, () => new Histogram(bounds), bucketsOf);
    return options.labels ? family : family.bound({} as LabelsOf<L>);
  }

  /** What is registered, in order: for the test that compares it to docs/observability.md. */
  describe(): readonly MetricDescription[] {
    return this.#descriptions;
  }

  /** Prometheus text. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }

  #family<Series, L extends LabelSets>(
    type: MetricType,
    { name, help, labels }: Plain<string> & { readonly labels?: L },
    make: () => Series,
    values: (name: string, labels: Readonly<Record<string, string>>, series: Series) => Sample[],
  ): Family<Series, L> {
    invariant(
      name.startsWith(`weft_${this.role}_`) && /^[a-z][a-z0-9]*(_[a-z0-9]+)+$/.test(name),
      `a metric of ${this.role} is named weft_${this.role}_<noun>_<unit>, not ${name}`,
    );
    invariant(
      !/_(ms|millis|milliseconds|micros|kb|mb)(_total)?$/.test(name),
      `${name}: times are in seconds, sizes in bytes`,
    );
    invariant(!this.#descriptions.some((d) => d.name === name), `metric ${name} is declared twice`);
    for (const label of Object.keys(labels ?? {})) {
      invariant(/^[a-z][a-z0-9_]*$/.test(label) && label !== "le", `${name}: ${label} is no name for a label`);
    }
    this.#descriptions.push({ name, type, help, labels: Object.keys(labels ?? {}) });
    const family = new Family<Series, L>(name, labels ?? ({} as L), make);
    const metric = {
      name,
      get: () => ({
        name,
        help,
        type,
        aggregator: "sum",
        values: [...family].flatMap((s) => values(name, s.labels, s.series)),
      }),
    };
    // prom-client asks of a metric only its name and what `get` returns; its classes are not needed for that.
    this.#registry.registerMetric(metric as unknown as Metric);
    return family;
  }
}

/** The registries of all roles of a process: one in production, several in `weft dev`. */
export class Metrics {
  readonly #registries = new Map<string, MetricsRegistry>();

  /** @param others further Prometheus text: what the process says about itself */
  constructor(private readonly others: () => Promise<string> = () => Promise.resolve("")) {}

  /** A role's registry, made when it is first asked for. A role declares its metrics once. */
  registry<Role extends string>(role: Role): MetricsRegistry<Role> {
    let registry = this.#registries.get(role);
    if (!registry) this.#registries.set(role, (registry = new MetricsRegistry<string>(role)));
    return registry as MetricsRegistry<Role>;
  }

  describe(): readonly MetricDescription[] {
    return [...this.#registries.values()].flatMap((registry) => registry.describe());
  }

  /** Prometheus text of all of them. */
  async render(): Promise<string> {
    const texts = await Promise.all([...[...this.#registries.values()].map((r) => r.render()), this.others()]);
    return texts.filter((text) => text.trim() !== "").join("\n");
  }
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function valueOf(
  _name: string,
  labels: Readonly<Record<string, string>>,
  series: { readonly value: number },
): Sample[] {
  return [{ labels, value: series.value }];
}

function bucketsOf(name: string, labels: Readonly<Record<string, string>>, histogram: Histogram): Sample[] {
  const samples: Sample[] = [];
  let below = 0;
  histogram.counts.forEach((count, i) => {
    below += count;
    const bound = histogram.bounds[i];
    samples.push({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bound === undefined ? "+Inf" : String(bound) },
      value: below,
    });
  });
  samples.push({ metricName: `${name}_sum`, labels, value: histogram.sum });
  samples.push({ metricName: `${name}_count`, labels, value: below });
  return samples;
}

function defaultBounds(name: string): Bounds {
  if (name.endsWith("_seconds")) return SECONDS_BUCKETS;
  if (name.endsWith("_bytes")) return BYTES_BUCKETS;
  return ITEMS_BUCKETS;
}
