// One process at a time: a lock file that says who holds it.

import { randomUUID } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  rmdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import { EXIT, Failure, fileFailure } from "./failure.js";

/** How often a holder says that it lives. */
const BEAT_MS = 1000;
/** For how long a waiting process sees no beat before the lock counts as left behind. */
const STALE_MS = 20_000;
const LOOK_MS = 25;

/**
 * Where a process's number means that process: machines may have the same name, and so may containers of
 * one machine, which number their processes each from 1.
 */
const HOST = [
  hostname(),
  orNothing(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
  orNothing(() => readlinkSync("/proc/self/ns/pid")),
].join(" ");

/** What a system without such files has in their place. */
function orNothing(look: () => string): string {
  try {
    return look();
  } catch {
    return "-";
  }
}

export interface Held {
  /** Whether it still is: a process that was stopped for long has lost it. */
  isMine(): boolean;
}

/**
 * Runs `work` while no other process does.
 *
 * A lock whose process is gone is taken at once, one whose process shows no life after 20 seconds.
 * Time is counted by the waiting process in what it has waited, not by clocks.
 */
export async function alone<T>(
  path: string,
  limitMs: number,
  work: (held: Held) => Promise<T>,
  staleMs = STALE_MS,
): Promise<T> {
  const mine = JSON.stringify({ host: HOST, pid: process.pid, id: randomUUID() });
  try {
    await take(path, mine, limitMs, staleMs);
  } catch (error) {
    throw fileFailure(error, path, "written");
  }
  const isMine = (): boolean => contentOf(path) === mine;
  const beat = setInterval(() => {
    try {
      if (isMine()) utimesSync(path, new Date(), new Date());
    } catch {
      // Gone: isMine says so.
    }
  }, BEAT_MS);
  beat.unref();
  try {
    return await work({ isMine });
  } finally {
    clearInterval(beat);
    try {
      if (isMine()) rmSync(path, { force: true });
    } catch {
      // What was done is done. Whoever comes next sees that this process is gone.
    }
  }
}

async function take(path: string, mine: string, limitMs: number, staleMs: number): Promise<void> {
  let seen: string | undefined;
  let since = performance.now();
  const begun = since;
  for (;;) {
    try {
      write(path, mine);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const now = performance.now();
    const content = contentOf(path);
    const sign = `${content} ${beatOf(path)}`;
    if (sign !== seen) {
      seen = sign;
      since = now;
    }
    if (content !== undefined && (isGone(content) || now - since > staleMs)) remove(path, content);
    if (now - begun > limitMs) {
      throw new Failure(EXIT.timeout, [`Another process holds ${path} for too long.`]);
    }
    await sleep(LOOK_MS + Math.random() * LOOK_MS);
  }
}

/** All of it or nothing: others would wait long for a lock that says nothing. */
function write(path: string, mine: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    writeFileSync(file, mine);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/**
 * Removes a lock that was left behind, and no other one: between the look and the removal somebody
 * else may have taken it anew.
 */
function remove(path: string, stale: string): void {
  const guard = `${path}.removal`;
  try {
    mkdirSync(guard);
  } catch {
    // Somebody else is at it, or was and is gone.
    try {
      if (Date.now() - statSync(guard).mtimeMs > STALE_MS) rmdirSync(guard);
    } catch {
      // It is gone.
    }
    return;
  }
  try {
    if (contentOf(path) === stale) rmSync(path, { force: true });
  } finally {
    rmdirSync(guard);
  }
}

/** Whether the process that wrote this has ended. Of another machine or container nobody knows. */
function isGone(content: string): boolean {
  try {
    const { host, pid } = JSON.parse(content) as { host?: unknown; pid?: unknown };
    if (host !== HOST || typeof pid !== "number") return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function beatOf(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return undefined;
  }
}
