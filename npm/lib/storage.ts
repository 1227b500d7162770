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
   * @param expected - What must still be there: the text that `get` gave, or `null` for none or an
   *   empty one; left out, it is written whatever is there. A store that several pages share compares
   *   and writes in one step, and answers `false` when something else is there; then it is read again.
   */
  set(key: string, value: string, expected?: string | null): unknown;
  /** Removes the text under a key, if there is one; `expected` as for `set`. */
  remove(key: string, expected?: string | null): unknown;
}

/** What stands under a key, and the number of the change that put it there. */
interface Entry {
  readonly number: number;
  readonly text: string;
}

/**
 * The origin's storage, in IndexedDB. Not in localStorage: between tabs its changes arrive some time
 * after a lock was passed on, so a tab would use a refresh token that another one has used.
 *
 * Each change is written under the next number. Of two pages that change the same text the later one
 * finds its number taken and fails: to compare takes no script in the middle of a transaction, where a
 * page may hang and stop everybody else's for a minute.
 */
export function sharedStore(): TokenStore {
  const seen = new Map<string, Entry>();
  const look = async (key: string): Promise<Entry> => {
    const cursor = await inValues("readonly", (values) => values.openCursor(upTo(key), "prev"));
    const entry = { number: numberOf(cursor), text: (cursor?.value ?? "") as string };
    seen.set(key, entry);
    return entry;
  };
  const change = async (key: string, text: string, expected?: string | null): Promise<boolean> => {
    for (;;) {
      const last = expected === undefined ? await look(key) : seen.get(key);
      if (expected !== undefined && last?.text !== (expected ?? "")) return false;
      const number = (last?.number ?? 0) + 1;
      if (await add(key, number, text)) {
        seen.set(key, { number, text });
        tell();
        return true;
      }
      if (expected !== undefined) return false;
    }
  };
  return {
    get: async (key) => (await look(key)).text,
    set: change,
    // A number stays, without a text.
    remove: (key, expected) => change(key, "", expected),
  };
}

const numberOf = (cursor: IDBCursor | null | undefined): number =>
  (cursor?.key as [string, number] | undefined)?.[1] ?? 0;

const upTo = (key: string, number = Infinity): IDBKeyRange =>
  IDBKeyRange.bound([key, 0], [key, number]);

/** Writes what takes the place of all before; not when another page has taken the number. */
async function add(key: string, number: number, text: string): Promise<boolean> {
  let last: IDBRequest<IDBCursorWithValue | null> | undefined;
  try {
    await inValues("readwrite", (values) => {
      values.delete(upTo(key, number - 1));
      const added = values.add(text, [key, number]);
      last = values.openCursor(upTo(key), "prev");
      return added;
    });
  } catch (cause) {
    if ((cause as Partial<DOMException> | null)?.name === "ConstraintError") return false;
    throw cause;
  }
  if (numberOf(last?.result) === number) return true;
  // Others were faster by two changes or more: the number was free again and counts for nothing.
  await inValues("readwrite", (values) => values.delete([key, number]));
  return false;
}

const CHANNEL = "gatepass";

/** That somebody signed out of a client, for tabs with sessions of their own. */
export interface SignOutNote {
  /** Issuer and client. */
  readonly signedOutOf: string;
  /** Who, where that is known and the sessions of others go on. */
  readonly subject?: string;
  /** Whether the tokens of the others are to live on at the provider. */
  readonly keepsTokens?: boolean;
}

/**
 * The channel between tabs; none where the browser refuses it, as where the user blocks site data. Then
 * a tab sees what others did when it looks into the store.
 */
function openChannel(): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel(CHANNEL);
  } catch {
    return undefined;
  }
}

/** Tells the other tabs that there is something new in the store, or that somebody signed out. */
export function tell(note: SignOutNote | null = null): void {
  const channel = openChannel();
  channel?.postMessage(note);
  channel?.close();
}

/** Listens for what other tabs tell; call the result to stop. */
export function listen(listener: (note: SignOutNote | null) => void): () => void {
  const channel = openChannel();
  if (channel) channel.onmessage = ({ data }) => listener(isSignOutNote(data) ? data : null);
  return () => channel?.close();
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
    set: (key, value, expected) => isThere(key, expected) && sessionStorage.setItem(key, value),
    remove: (key, expected) => isThere(key, expected) && sessionStorage.removeItem(key),
  };
}

/** Clients of one tab share what is here. */
const isThere = (key: string, expected: string | null | undefined): boolean =>
  expected === undefined || (sessionStorage.getItem(key) ?? "") === (expected ?? "");

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
