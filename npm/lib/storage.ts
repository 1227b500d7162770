// Where a sign-in waits for its callback.

/**
 * Keeps pending sign-ins, which hold PKCE verifiers: it must not be readable by other origins or
 * other users.
 */
export interface TransactionStore {
  /** The text under a key; `null` or `undefined` when there is none. */
  get(key: string): string | null | undefined | Promise<string | null | undefined>;
  /** Keeps a text under a key. */
  set(key: string, value: string): void | Promise<void>;
}

/** The page's sessionStorage; in runtimes without one, the memory of this process. */
export function defaultStore(): TransactionStore {
  // Merely asking for it throws where site data is blocked. It is asked for when it is used, so
  // that the sign-in says so before the page navigates.
  if ("sessionStorage" in globalThis) {
    return {
      get: (key) => sessionStorage.getItem(key),
      set: (key, value) => sessionStorage.setItem(key, value),
    };
  }
  const memory = new Map<string, string>();
  return { get: (key) => memory.get(key), set: (key, value) => void memory.set(key, value) };
}

export function isStore(value: unknown): boolean {
  const store = value as Partial<TransactionStore> | null;
  return (
    typeof store === "object" &&
    store !== null &&
    typeof store.get === "function" &&
    typeof store.set === "function"
  );
}
