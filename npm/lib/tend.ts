// Asks the core when there is something to do, in pages that somebody sees.

/** When to ask again where it could not be told. */
const LATER_MS = 60_000;

/**
 * Calls `tend` now, when the time comes that it answers, and when a page that slept, was hidden or
 * had no network is back. Hidden pages are left alone: browsers slow their timers down, and a
 * session that nobody looks at need not be kept alive.
 */
export function keepTending(tend: () => Promise<number | undefined>): Tending {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const again = (): void => {
    clearTimeout(timer);
    if (isOver || document.visibilityState === "hidden") return;
    tend().then(
      (millis) => {
        clearTimeout(timer);
        if (!isOver && millis !== undefined) timer = setTimeout(again, millis);
      },
      // The program hears of it when it uses the session; what failed once may work later.
      () => {
        clearTimeout(timer);
        if (!isOver) timer = setTimeout(again, LATER_MS);
      },
    );
  };
  const events = [
    [document, "visibilitychange"],
    [globalThis, "online"],
    [globalThis, "pageshow"],
  ] as const;
  for (const [target, type] of events) target.addEventListener(type, again);
  return {
    again,
    stop: () => {
      isOver = true;
      clearTimeout(timer);
      for (const [target, type] of events) target.removeEventListener(type, again);
    },
  };
}

export interface Tending {
  /** The session is another one: asks anew. */
  readonly again: () => void;
  readonly stop: () => void;
}
