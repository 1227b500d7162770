// One line of JSON for each thing that happened. Tokens do not come here at all.

import { createHmac, randomBytes } from "node:crypto";

export type Level = "INFO" | "WARN" | "ERROR";
export type UserStyle = "plain" | "hash" | "none";

export interface Entry {
  readonly level: Level;
  readonly message: string;
  readonly userId?: string | undefined;
  readonly latencyMs?: number | undefined;
  /** They come after the five that every line has. */
  readonly more?: Readonly<Record<string, string | number>>;
}

export type Log = (entry: Entry) => void;

const RANK: Readonly<Record<Level, number>> = { INFO: 0, WARN: 1, ERROR: 2 };

/** `write` takes a whole line. Lines below the level are not made. */
export function makeLog(level: Level, write: (line: string) => void): Log {
  return (entry) => {
    if (RANK[entry.level] < RANK[level]) return;
    const { message, userId = null, latencyMs = null, more } = entry;
    write(
      `${JSON.stringify({
        timestamp: new Date().toISOString(),
        level: entry.level,
        message,
        user_id: userId,
        latency_ms: latencyMs,
        ...more,
      })}\n`,
    );
  };
}

/** How a user's name goes into the log: as it is, as a hash that only this run makes, or not. */
export function userNamer(style: UserStyle): (subject: string | undefined) => string | undefined {
  if (style === "plain") return (subject) => subject;
  if (style === "none") return () => undefined;
  const key = randomBytes(32);
  return (subject) =>
    subject === undefined
      ? undefined
      : createHmac("sha256", key).update(subject).digest("base64url").slice(0, 16);
}
