// One at a time: two terminals, or two clones of the project, may run the tools at the same moment
// and share a folder.

import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;

/**
 * A lock from another host (a cache on a shared disk) cannot be asked whether its holder lives;
 * this is older than any step.
 */
const FOREIGN_LOCK_MS = 45 * 60_000;

let counter = 0;

/**
 * Runs an action while holding a lock file. A lock whose holder is gone is taken over.
 *
 * @template T
 * @param {string} path
 * @param {(holder: string) => void} onWait called once if somebody else holds the lock
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function withLock(path, onWait, action) {
  mkdirSync(dirname(path), { recursive: true });
  let waited = false;
  while (!take(path)) {
    const held = read(path);
    if (held === undefined) continue;
    if (isStale(path, held)) {
      remove(path, held);
      continue;
    }
    if (!waited) onWait(`process ${held.pid}`);
    waited = true;
    await sleep(POLL_MS);
  }
  // A process that dies by a signal does not get here; its lock is stale then, which the next one
  // sees by the number.
  const release = () => remove(path, read(path));
  process.once("exit", release);
  try {
    return await action();
  } finally {
    process.off("exit", release);
    release();
  }
}

/**
 * Link, not open: the lock appears together with its content, so nobody can read half of it.
 *
 * @param {string} path
 */
function take(path) {
  const own = `${path}.${process.pid}.${counter++}`;
  writeFileSync(own, JSON.stringify({ pid: process.pid, host: hostname() }));
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  } finally {
    unlinkSync(own);
  }
}

/**
 * @param {string} path
 * @returns {{ pid: number, host: string, text: string } | undefined}
 */
function read(path) {
  try {
    const text = readFileSync(path, "utf8");
    return { ...JSON.parse(text), text };
  } catch {
    return undefined;
  }
}

/**
 * @param {string} path
 * @param {{ pid: number, host: string }} held
 */
function isStale(path, held) {
  if (held.host !== hostname()) {
    try {
      return Date.now() - statSync(path).mtimeMs > FOREIGN_LOCK_MS;
    } catch {
      return false;
    }
  }
  try {
    process.kill(held.pid, 0);
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "ESRCH";
  }
}

/**
 * Removes the lock that was seen, and only that one: between the look and the removal somebody else
 * may have taken over.
 *
 * @param {string} path
 * @param {{ text: string } | undefined} seen
 */
function remove(path, seen) {
  if (seen === undefined) return;
  const aside = `${path}.${process.pid}.${counter++}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  try {
    if (readFileSync(aside, "utf8") !== seen.text) linkSync(aside, path);
  } catch {
    // Somebody took the free lock in this instant; both see their own action through, which each of
    // them can bear.
  }
  unlinkSync(aside);
}
