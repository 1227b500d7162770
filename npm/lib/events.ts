// Tells listeners what the core reports.

type Listener = (event: never) => void;

/** Tells a listener of the program, if there is one. What it throws is its own affair. */
export function tell<E>(listener: ((event: E) => void) | undefined, event: E): void {
  try {
    listener?.(event);
  } catch {
    // What one does wrong is no reason for what follows not to happen.
  }
}

/** Listeners by the type of event, and one for all. */
export class Listeners<E extends { readonly type: string }> {
  #all: ((event: E) => void) | undefined;
  readonly #first = new Map<string, Set<Listener>>();
  readonly #byType = new Map<string, Set<Listener>>();

  constructor(all: ((event: E) => void) | undefined) {
    this.#all = all;
  }

  on<T extends E["type"]>(type: T, listener: (event: Extract<E, { type: T }>) => void): () => void {
    return add(this.#byType, type, listener);
  }

  /** A listener of our own: before those of the program, whatever they do. */
  first<T extends E["type"]>(
    type: T,
    listener: (event: Extract<E, { type: T }>) => void,
  ): () => void {
    return add(this.#first, type, listener);
  }

  /** Takes an event as JSON text. */
  readonly receive = (text: string): void => {
    const event = JSON.parse(text) as E;
    const { type } = event;
    for (const listener of this.#first.get(type) ?? []) listener(event as never);
    const listeners = [...(this.#byType.get(type) ?? [])] as ((event: E) => void)[];
    for (const listener of [this.#all, ...listeners]) tell(listener, event);
  };

  /** Forgets those of the program. */
  clear(): void {
    this.#all = undefined;
    this.#byType.clear();
  }
}

function add(listeners: Map<string, Set<Listener>>, type: string, listener: Listener): () => void {
  const all = listeners.get(type) ?? new Set();
  listeners.set(type, all);
  all.add(listener);
  return () => void all.delete(listener);
}
