// Where a sign-in waits for its callback, and where a session is kept.

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

/**
 * Keeps a session, which holds tokens: it must not be readable by other origins or other users.
 * What it hands back is read like an answer from the network.
 */
export interface TokenStore extends TransactionStore {
  /** Removes the text under a key, if there is one. */
  remove(key: string): void | Promise<void>;
}

/** Runs `work` while no other tab does. */
export type Lock = (name: string, work: () => Promise<void>) => Promise<void>;

/** How long a tab may hold the lock: longer than any refresh, shorter than anyone's patience. */
const LOCK_TIME = 20_000;

/**
 * The page's Web Locks. A tab that hangs, as frozen ones do, loses its lock after a while. Runtimes
 * without Web Locks go on without: what is left is to look into the store before and after.
 */
export const lock: Lock = async (name, work) => {
  const locks = globalThis.navigator?.locks;
  if (!locks) return work();
  let running: Promise<void> | undefined;
  const begin = (): Promise<void> => (running = work());
  try {
    return await locks.request(name, { signal: AbortSignal.timeout(LOCK_TIME) }, begin);
  } catch (cause) {
    // It has begun: either it failed, or the lock was stolen while this tab slept and it goes on.
    if (running) return running;
    const isLate = cause instanceof DOMException && cause.name === "TimeoutError";
    if (!isLate) throw cause;
    return locks.request(name, { steal: true }, begin);
  }
};

/**
 * The origin's storage, in IndexedDB. Not in localStorage: between tabs its changes arrive some time
 * after a lock was passed on, so a tab would use a refresh token that another one has used.
 */
export function sharedStore(): TokenStore {
  let opening: Promise<IDBDatabase> | undefined;
  const open = (): Promise<IDBDatabase> =>
    (opening ??= openDatabase().catch((cause: unknown) => {
      opening = undefined;
      throw cause;
    }));
  const run = async <T>(
    mode: IDBTransactionMode,
    work: (texts: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> => {
    const transaction = (await open()).transaction(TEXTS, mode);
    const request = work(transaction.objectStore(TEXTS));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  };
  return {
    get: (key) => run("readonly", (texts) => texts.get(key)),
    set: async (key, value) => {
      await run("readwrite", (texts) => texts.put(value, key));
      tell();
    },
    remove: async (key) => {
      await run("readwrite", (texts) => texts.delete(key));
      tell();
    },
  };
}

const TEXTS = "texts";

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("gatepass", 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(TEXTS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const CHANNEL = "gatepass";

/** Tells the other tabs that there is something new, and nothing of what it is. */
function tell(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(null);
  channel.close();
}

/** Listens for what other tabs tell; call the result to stop. */
export function listen(listener: () => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = listener;
  return () => channel.close();
}

/** The page's sessionStorage; in runtimes without one, the memory of this process. */
export function defaultStore(): TransactionStore {
  // Merely asking for it throws where site data is blocked. It is asked for when it is used, so
  // that the sign-in says so before the page navigates.
  if ("sessionStorage" in globalThis) {
    return tabStore();
  }
  const memory = new Map<string, string>();
  return { get: (key) => memory.get(key), set: (key, value) => void memory.set(key, value) };
}

/** The tab's sessionStorage, which is asked for when it is used. */
function tabStore(): TokenStore {
  return {
    get: (key) => sessionStorage.getItem(key),
    set: (key, value) => sessionStorage.setItem(key, value),
    remove: (key) => sessionStorage.removeItem(key),
  };
}

/** Where the option `store` says that a session is kept; nowhere but in memory by default. */
export function sessionStore(option: StoreOption | undefined): TokenStore | undefined {
  switch (option) {
    case undefined:
    case "memory":
      return undefined;
    case "session":
      return tabStore();
    case "local":
      return sharedStore();
    default:
      return option;
  }
}

export type StoreOption = "memory" | "session" | "local" | TokenStore;

export function isStoreOption(value: unknown): boolean {
  const isName = value === "memory" || value === "session" || value === "local";
  return isName || (isStore(value) && typeof (value as Partial<TokenStore>).remove === "function");
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
