// Which proofs of possession were used, so that none is used twice: longer than a guard, which is made
// anew where the settings are read anew.

import type { ReplayStore } from "gatepass/guard";

/** As many as a guard remembers by itself, at the least; the oldest make room. */
const MOST = 32_768;

export class UsedProofs implements ReplayStore {
  /** Until when each is remembered, in the order in which they came. */
  readonly #ends = new Map<string, number>();

  remember(key: string, seconds: number): boolean {
    if (this.#ends.has(key)) return false;
    const now = Date.now();
    for (const [oldest, end] of this.#ends) {
      if (now <= end && this.#ends.size < MOST) break;
      this.#ends.delete(oldest);
    }
    this.#ends.set(key, now + 1000 * seconds);
    return true;
  }
}
