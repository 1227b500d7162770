// Tells listeners what the core reports.

/** Listeners by the type of event, and one for all. */
export class Listeners<E extends { readonly type: string }> {
  readonly #all: ((event: E) => void) | undefined;
  readonly #byType = new Map<string, Set<(event: never) => void>>();

  constructor(all: ((event: E) => void) | undefined) {
    this.#all = all;
  }

  on<T extends E["type"]>(type: T, listener: (event: Extract<E, { type: T }>) => void): () => void {
    const listeners = this.#byType.get(type) ?? new Set();
    this.#byType.set(type, listeners);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** Takes an event as JSON text. */
  readonly receive = (text: string): void => {
    const event = JSON.parse(text) as E;
    this.#all?.(event);
    for (const listener of this.#byType.get(event.type) ?? []) listener(event as never);
  };

  clear(): void {
    this.#byType.clear();
  }
}
