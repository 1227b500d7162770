// Where a sign-in waits for its callback, and where a session is kept.

import { inValues } from "./database.js";
import { ownStorage } from "./tab.js";

/**
 * Keeps pending sign-ins, which hold PKCE verifiers: it must not be readable by other origins or
 * other users.
 */
export interface TransactionStore {
  /** The text under a key; `null` or `undefined` when there is none. */
  get(key: string): string | null | undefined | Promise<string | null | undefined>;
  /** Keeps a text under a key; a promise is waited for. */
  set(key: string, value: string): unknown;
}

/**
 * Keeps a session, which holds tokens: it must not be readable by other origins or other users.
 * What it hands back is read like an answer from the network.
 */
export interface TokenStore extends TransactionStore {
  /**
   * Keeps a text under a key; a promise is waited for.
   *
   * @param key - The key.
   * @param value - The text.
   * @param until - When it is too late, as `Date.now()` tells it: a page that hung since it looked
   *   must not write over what another one wrote meanwhile. A store that several pages share looks
   *   at the clock just before it writes, and answers `false` when it did not; then it is read again.
   */
  set(key: string, value: string, until?: number): unknown;
  /** Removes the text under a key, if there is one; `until` as for `set`. */
  remove(key: string, until?: number): unknown;
}

/**
 * The origin's storage, in IndexedDB. Not in localStorage: between tabs its changes arrive some time
 * after a lock was passed on, so a tab would use a refresh token that another one has used.
 */
export function sharedStore(): TokenStore {
  return {
    get: (key) => inValues<string | undefined>("readonly", (values) => values.get(key)),
    set: (key, value, until) => change((values) => values.put(value, key), until),
    remove: (key, until) => change((values) => values.delete(key), until),
  };
}

/** Says whether it was done: not when it was too late. */
async function change(
  work: (values: IDBObjectStore) => IDBRequest,
  until = Infinity,
): Promise<boolean> {
  let isLate = false;
  await inValues("readwrite", (values) => {
    isLate = Date.now() > until;
    return isLate ? values.count() : work(values);
  });
  if (!isLate) tell();
  return !isLate;
}

const CHANNEL = "gatepass";

/** That somebody signed out of a client, for tabs with sessions of their own. */
export interface SignOutNote {
  /** Issuer and client. */
  readonly signedOutOf: string;
  /** Who, where that is known. */
  readonly subject?: string;
}

/** Tells the other tabs that there is something new in the store, or that somebody signed out. */
export function tell(note: SignOutNote | null = null): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(note);
  channel.close();
}

/** Listens for what other tabs tell; call the result to stop. */
export function listen(listener: (note: SignOutNote | null) => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => listener(isSignOutNote(data) ? data : null);
  return () => channel.close();
}

/** Any script of the origin may write to the channel. */
function isSignOutNote(data: unknown): data is SignOutNote {
  const { signedOutOf, subject } = (data ?? {}) as Partial<Record<keyof SignOutNote, unknown>>;
  const isSubject = subject === undefined || typeof subject === "string";
  return typeof signedOutOf === "string" && isSubject;
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

/** How the keys begin under which sessions are kept. */
const SESSIONS = "gatepass:session:";

/** Where the option `store` says that a session is kept; nowhere but in memory by default. */
export function sessionStore(option: StoreOption | undefined): TokenStore | undefined {
  switch (option) {
    case undefined:
    case "memory":
      return undefined;
    case "session":
      return { ...tabStore(), get: (key) => ownStorage(SESSIONS).then(() => tabStore().get(key)) };
    case "local":
      return sharedStore();
    default:
      return option;
  }
}

/** Where a session is kept. */
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
