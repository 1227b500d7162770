// A tab that is duplicated, or that a page opens, begins with a copy of that page's sessionStorage
// (HTML, section "The sessionStorage getter"). Two tabs with one refresh token would use it twice.

const NAME = "gatepass:tab";
/** Longer than a page takes to go that is reloaded. */
const PATIENCE_MS = 1000;

let settled: Promise<void> | undefined;

/**
 * When it is settled that what begins with `prefix` in sessionStorage is this tab's own: a copy was
 * removed. Where there are no Web Locks nobody can tell.
 */
export function ownStorage(prefix: string): Promise<void> {
  return (settled ??= settle(prefix));
}

/** What the tab is called, once its storage is settled. */
export const tabName = (): string => sessionStorage.getItem(NAME) ?? "";

async function settle(prefix: string): Promise<void> {
  const locks = globalThis.navigator?.locks;
  // A frame shares the storage of the page around it, which has claimed it.
  if (!locks || typeof document === "undefined" || globalThis.top !== globalThis.window) return;
  // No lock is given to a page that nobody looks at yet.
  if ("prerendering" in document && document.prerendering) {
    await new Promise((shown) => document.addEventListener("prerenderingchange", shown));
  }
  const known = sessionStorage.getItem(NAME);
  if (known !== null && (await claim(locks, known))) return;
  if (known !== null) {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(prefix)) sessionStorage.removeItem(key);
    }
  }
  const mine = crypto.randomUUID();
  sessionStorage.setItem(NAME, mine);
  await claim(locks, mine);
}

/** Whether no other tab has this name. It is this tab's for as long as its page is there. */
function claim(locks: LockManager, name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), PATIENCE_MS);
    const hold = (): Promise<void> => {
      clearTimeout(timer);
      resolve(true);
      return new Promise((release) => {
        const leave = (): void => {
          // A page that holds a lock could not be gone back to at once.
          release();
          const again = (): void => void locks.request(`${NAME} ${name}`, hold).catch(() => {});
          addEventListener("pageshow", again, { once: true });
        };
        addEventListener("pagehide", leave, { once: true });
      });
    };
    const options = { signal: waiting.signal };
    locks.request(`${NAME} ${name}`, options, hold).catch(() => resolve(false));
  });
}
