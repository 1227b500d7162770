// How often one address may ask: a bucket for each, that fills again with time.

interface Bucket {
  tokens: number;
  at: number;
}

/** More addresses than that are forgotten, the oldest first: they begin with a full bucket. */
const MOST = 10_000;

export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, Bucket>();

  /** As many at once as in two seconds. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#burst = 2 * perSecond;
  }

  /** Takes one; answers in how many seconds there is one where there is none. `now` in milliseconds. */
  take(address: string, now: number): number {
    const known = this.#buckets.get(address);
    const gained = known ? ((now - known.at) / 1000) * this.#perSecond : 0;
    const tokens = known ? Math.min(this.#burst, known.tokens + gained) : this.#burst;
    this.#buckets.delete(address);
    const isEnough = tokens >= 1;
    this.#buckets.set(address, { tokens: isEnough ? tokens - 1 : tokens, at: now });
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= MOST) break;
      this.#buckets.delete(oldest);
    }
    return isEnough ? 0 : Math.ceil((1 - tokens) / this.#perSecond);
  }
}
