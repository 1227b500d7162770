// Numbers for Prometheus, in its text format 0.0.4.

import type { GuardEvent, Tally } from "gatepass/guard";

/** Upper bounds in seconds. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

class Histogram {
  readonly #counts = BUCKETS.map(() => 0);
  #sum = 0;
  #count = 0;

  observe(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    const at = BUCKETS.findIndex((bound) => seconds <= bound);
    if (at >= 0) this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  lines(name: string, labels: string): string[] {
    let below = 0;
    const comma = labels === "" ? "" : `${labels},`;
    const braces = labels === "" ? "" : `{${labels}}`;
    return [
      ...this.#counts.map((count, at) => {
        below += count;
        return `${name}_bucket{${comma}le="${BUCKETS[at]}"} ${below}`;
      }),
      `${name}_bucket{${comma}le="+Inf"} ${this.#count}`,
      `${name}_sum${braces} ${this.#sum}`,
      `${name}_count${braces} ${this.#count}`,
    ];
  }
}

export class Metrics {
  readonly #outcomes = new Map<string, number>();
  readonly #decisions = new Histogram();
  readonly #provider = new Map<string, Histogram>();
  readonly #failures = new Map<string, number>();
  readonly #alerts = new Map<string, number>();
  #proxied = new Map<string, number>();
  #shared: number | undefined;

  /** `outcome` is `accepted` or a code: never anything that a client can choose. */
  decided(outcome: string, milliseconds: number): void {
    add(this.#outcomes, outcome);
    this.#decisions.observe(milliseconds / 1000);
  }

  /** Whoever left without an answer counts for nothing. */
  proxied(status: number | undefined): void {
    if (status !== undefined) add(this.#proxied, `${Math.floor(status / 100)}xx`);
  }

  /** An answer that another instance had got; the guard takes it for one of the provider. */
  shared(): void {
    this.#shared = (this.#shared ?? 0) + 1;
  }

  event(event: GuardEvent): void {
    if (event.type === "alert") add(this.#alerts, event.code);
    if (event.type !== "request") return;
    let histogram = this.#provider.get(event.purpose);
    if (!histogram) this.#provider.set(event.purpose, (histogram = new Histogram()));
    histogram.observe(event.durationMs / 1000);
    if (event.code !== undefined) add(this.#failures, event.purpose);
  }

  text(tally: Tally | undefined): string {
    const lines: string[] = [];
    const family = (name: string, type: string, help: string, samples: readonly string[]): void => {
      if (samples.length === 0) return;
      lines.push(`# HELP gatepass_${name} ${help}`, `# TYPE gatepass_${name} ${type}`, ...samples);
    };
    const single = (name: string, type: string, help: string, value: number | undefined): void => {
      if (value !== undefined) family(name, type, help, [`gatepass_${name} ${value}`]);
    };
    const labelled = (
      name: string,
      help: string,
      label: string,
      counts: ReadonlyMap<string, number>,
    ): void => {
      const samples = [...counts].map(([key, n]) => `gatepass_${name}{${label}="${key}"} ${n}`);
      family(name, "counter", help, samples);
    };

    labelled("requests_total", "Decisions by their outcome.", "outcome", this.#outcomes);
    family(
      "decision_duration_seconds",
      "histogram",
      "How long decisions took.",
      this.#decisions.lines("gatepass_decision_duration_seconds", ""),
    );
    family(
      "provider_request_duration_seconds",
      "histogram",
      "How long the provider took, by what it was asked for.",
      [...this.#provider].flatMap(([purpose, histogram]) =>
        histogram.lines("gatepass_provider_request_duration_seconds", `purpose="${purpose}"`),
      ),
    );
    labelled(
      "provider_failures_total",
      "Requests to the provider that failed.",
      "purpose",
      this.#failures,
    );
    labelled("alerts_total", "What the operator should look at.", "code", this.#alerts);
    labelled("upstream_responses_total", "Answers of the upstream.", "class", this.#proxied);
    const cache = tally?.cache;
    const asked = tally?.introspection;
    single("cache_hits_total", "counter", "Tokens whose verdict was known.", cache?.hits);
    single("cache_misses_total", "counter", "Tokens that had to be checked.", cache?.misses);
    single("cache_entries", "gauge", "Verdicts that are kept.", cache?.entries);
    single("cache_bytes", "gauge", "What they take, about.", cache?.bytes);
    single("cache_evictions_total", "counter", "Verdicts dropped for room.", cache?.evicted);
    single("introspections_total", "counter", "Questions that were sent.", asked?.asked);
    single("introspection_cached_total", "counter", "Answers used again.", asked?.cached);
    single(
      "introspection_shared_total",
      "counter",
      "Questions that the shared cache answered, which count as sent.",
      this.#shared,
    );
    const refusals = asked?.cachedRefusals;
    single("introspection_cached_refusals_total", "counter", "Refusals used again.", refusals);
    const memory = process.memoryUsage.rss();
    lines.push(
      "# HELP process_resident_memory_bytes Resident memory.",
      "# TYPE process_resident_memory_bytes gauge",
      `process_resident_memory_bytes ${memory}`,
    );
    return `${lines.join("\n")}\n`;
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
