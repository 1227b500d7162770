// Remembers what was decided of tokens. Whether a verdict still holds is the core's to say; this
// only finds it again, because bringing a token to the core costs more than that.

/** What a cache may hold and what it did. */
export interface CacheStatistics {
  /** Tokens that were found and whose verdict still held. */
  readonly hits: number;
  /** Tokens that had to be checked. */
  readonly misses: number;
  /** How many verdicts are kept. */
  readonly entries: number;
  /** How many bytes they take, about. */
  readonly bytes: number;
  /** How many were dropped for want of room. */
  readonly evicted: number;
}

/** The core's numbers, as it wrote them. */
export type Verdict = readonly [from: number, until: number, place: number, generation: number];

interface Entry<T> {
  /** The whole text, which is compared: nothing shorter decides. */
  readonly text: string;
  /** The need for which it was decided, as it went to the core. */
  readonly need: string | undefined;
  /** As the core wrote it, until it is looked at for the first time. */
  verdict: Verdict | string;
  readonly outcome: T;
  readonly bytes: number;
  /** Whether it was found since room was last looked for. */
  isUsed: boolean;
}

/**
 * How many characters of a text its entry is filed under: the end of the signature. Hashing the
 * whole text would cost more than all the rest. Only what was accepted is filed, so nobody but an
 * issuer can choose what collides, and a collision costs a check.
 */
const FILED_UNDER = 32;

/** What an entry costs besides its texts, about. */
const ENTRY_BYTES = 500;

/** How many entries may be passed over when room is needed, which bounds the cost of one. */
const SECOND_CHANCES = 8;

export class Verdicts<T> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry<T>>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #evicted = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  /** The outcome for this text and this need, if there is one and `holds` says yes to its verdict. */
  find(
    text: string,
    need: string | undefined,
    holds: (verdict: Verdict) => boolean,
  ): T | undefined {
    const entry = this.#entries.get(fileOf(text, need));
    if (entry !== undefined && entry.text === text && entry.need === need) {
      if (typeof entry.verdict === "string") entry.verdict = JSON.parse(entry.verdict) as Verdict;
      if (holds(entry.verdict)) {
        entry.isUsed = true;
        this.#hits++;
        return entry.outcome;
      }
      this.#drop(entry);
    }
    this.#misses++;
    return undefined;
  }

  /** Keeps an outcome, which must not change any more; `size` is the length of its JSON text. */
  keep(text: string, need: string | undefined, verdict: string, outcome: T, size: number): void {
    // What JSON text becomes in memory takes about three times its length.
    const bytes = ENTRY_BYTES + text.length + (need?.length ?? 0) + 3 * size;
    if (this.#maxEntries === 0 || bytes > this.#maxBytes) return;
    const key = fileOf(text, need);
    const known = this.#entries.get(key);
    if (known) this.#drop(known);
    this.#makeRoom(bytes);
    this.#entries.set(key, { text, need, verdict, outcome, bytes, isUsed: false });
    this.#bytes += bytes;
  }

  statistics(): CacheStatistics {
    return {
      hits: this.#hits,
      misses: this.#misses,
      entries: this.#entries.size,
      bytes: this.#bytes,
      evicted: this.#evicted,
    };
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  /** Drops what came first, but passes over what was used since. */
  #makeRoom(bytes: number): void {
    let chances = SECOND_CHANCES;
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size < this.#maxEntries && this.#bytes + bytes <= this.#maxBytes) return;
      if (entry.isUsed && chances-- > 0) {
        entry.isUsed = false;
        this.#entries.delete(key);
        this.#entries.set(key, entry);
      } else {
        this.#drop(entry);
        this.#evicted++;
      }
    }
  }

  #drop(entry: Entry<T>): void {
    if (this.#entries.delete(fileOf(entry.text, entry.need))) this.#bytes -= entry.bytes;
  }
}

/** Under what the verdict on a text is filed, for each need by itself. */
function fileOf(text: string, need: string | undefined): string {
  const end = text.slice(-FILED_UNDER);
  return need === undefined ? end : end + need;
}

/** Makes a value from JSON unchangeable, all the way down. */
export function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) freeze(member as object);
  }
  return Object.freeze(value);
}
