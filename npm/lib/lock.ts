// One tab at a time.

import type { Life } from "../load/engine.js";
import { inValues } from "./database.js";
import { tabName } from "./tab.js";

/**
 * Runs `work` while no other tab does. Who does for longer than so many seconds loses the lock, which
 * the argument of `work` tells.
 */
export type Lock = (name: string, work: Work, seconds: number) => Promise<unknown>;
type Work = (isMine: () => boolean) => Promise<unknown>;

/** The same lock, which nobody holds longer than the instance lives that works under it. */
export const released =
  (lock: Lock, life: Life): Lock =>
  (name, work, seconds) =>
    lock(name, (isMine) => life.of(work(isMine)), seconds);

/** The same lock for each tab. */
export const ofTab =
  (lock: Lock): Lock =>
  (name, work, seconds) =>
    lock(`${name} ${tabName()}`, work, seconds);

/**
 * By the page's Web Locks. Without them, as in Safari before 15.4 and where the browser refuses them, by
 * `fallback`: what is left without that too is to look into the store before and after.
 */
export function lockOr(fallback: Lock | undefined): Lock {
  const without: Lock = fallback ?? ((_name, work) => work(() => true));
  return async (name, work, seconds) => {
    const locks = globalThis.navigator?.locks;
    return locks ? webLock(locks, name, work, seconds, without) : without(name, work, seconds);
  };
}

async function webLock(
  locks: LockManager,
  name: string,
  work: Work,
  seconds: number,
  without: Lock,
): Promise<unknown> {
  let running: Promise<unknown> | undefined;
  let isStolen = false;
  const begin = (): Promise<unknown> => (running = work(() => !isStolen));
  const lose = (): void => void (isStolen = true);
  for (;;) {
    const waiting = new AbortController();
    const stop = watch(locks, name, seconds, waiting);
    try {
      return await locks.request(name, { signal: waiting.signal }, begin);
    } catch {
      // It has begun: either it failed, or the lock was stolen while this tab slept and it goes on.
      lose();
      if (running) return running;
      isStolen = false;
      // The browser gives none, as where the user blocks site data.
      if (!waiting.signal.aborted) {
        stop();
        return await without(name, work, seconds);
      }
    } finally {
      stop();
    }
    await steal(locks, name, waiting.signal.reason, begin, lose);
    if (running) return running;
  }
}

/** Ends the waiting when one tab has held the lock for so long; the reason is who it is. */
function watch(
  locks: LockManager,
  name: string,
  seconds: number,
  waiting: AbortController,
): () => void {
  let seen: string | undefined;
  let times = 0;
  // Counted in looks and not by the clock, which goes on while this page sleeps.
  const timer = setInterval(
    async () => {
      const holder = await holderOf(locks, name);
      times = holder === seen ? times + 1 : 0;
      seen = holder;
      if (holder !== undefined && times >= LOOKS) waiting.abort(holder);
    },
    (seconds * 1000) / LOOKS,
  );
  return () => clearInterval(timer);
}

const LOOKS = 8;

async function holderOf(locks: LockManager, name: string): Promise<string | undefined> {
  const { held } = await locks.query();
  return held?.find((lock) => lock.name === name)?.clientId;
}

/** Takes the lock from the tab that hangs, and only from that one: others wait for it as well. */
async function steal(
  locks: LockManager,
  name: string,
  hanging: unknown,
  begin: () => Promise<unknown>,
  lose: () => void,
): Promise<void> {
  await locks.request(`${name} thief`, { ifAvailable: true }, async (lock) => {
    if (lock === null || (await holderOf(locks, name)) !== hanging) return;
    await new Promise<void>((resolve) => {
      const taken = (): Promise<unknown> => {
        resolve();
        return begin();
      };
      // What becomes of the work, its own promise says.
      locks.request(name, { steal: true }, taken).catch(() => {
        lose();
        resolve();
      });
    });
  });
}

/**
 * By a lease in IndexedDB, whose transactions come one after the other. A tab that is closed with
 * it stops the others for those seconds.
 */
export const lease: Lock = async (name, work, seconds) => {
  const key = `${name} lease`;
  const mine = crypto.randomUUID();
  let asked = Date.now();
  while (!(await claim(key, mine, seconds * 1000))) {
    await new Promise((resolve) => setTimeout(resolve, 25 + Math.random() * 50));
    asked = Date.now();
  }
  try {
    return await work(() => Date.now() < asked + seconds * 1000);
  } finally {
    await inValues("readwrite", (values) => {
      const request = values.get(key);
      request.onsuccess = () => {
        if ((request.result as Lease | undefined)?.by === mine) values.delete(key);
      };
      return request;
    });
  }
};

interface Lease {
  readonly by: string;
  readonly until: number;
}

async function claim(key: string, mine: string, millis: number): Promise<boolean> {
  let isMine = false;
  await inValues("readwrite", (values) => {
    const request = values.get(key);
    request.onsuccess = () => {
      const now = Date.now();
      const until = (request.result as Lease | undefined)?.until ?? 0;
      // One that ends later than any can was made before the clock was set back.
      isMine = until <= now || until > now + millis;
      if (isMine) values.put({ by: mine, until: now + millis } satisfies Lease, key);
    };
    return request;
  });
  return isMine;
}
