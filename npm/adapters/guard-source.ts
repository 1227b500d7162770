// Where an adapter takes its guard or its sessions from.

import type { Guard, Need } from "../lib/guard.js";
import type { Connection } from "../lib/possession.js";
import type { CookieSessions } from "../lib/sessions.js";

/**
 * A guard, a promise of one, or what makes one from the first request's context, such as the
 * variables of a Worker. It is asked for until there is one.
 */
export type GuardSource<C> = Guard | Promise<Guard> | ((context: C) => Guard | Promise<Guard>);

/**
 * Sessions in cookies, a promise of them, or what makes them from the first request's context. They are
 * asked for until they are there.
 */
export type SessionSource<C> =
  | CookieSessions
  | Promise<CookieSessions>
  | ((context: C) => CookieSessions | Promise<CookieSessions>);

/** What a middleware demands besides a valid token. */
export interface GuardedOptions<C> {
  /** What each request needs. @defaultValue nothing but a valid token */
  readonly need?: Need;
  /**
   * What is known of a request's connection, for tokens bound to a certificate (RFC 8705).
   * @defaultValue nothing
   */
  readonly connection?: (context: C) => Connection;
}

/**
 * What a source gives, the same once it is there. Requests that come before that make their own: at
 * the edge a request must not wait for the promise of another one.
 */
export function madeOnce<C, T extends object>(
  source: T | Promise<T> | ((context: C) => T | Promise<T>),
): (context: C) => Promise<T> {
  let known: T | undefined;
  return async (context) => {
    if (known) return known;
    const made = await (typeof source === "function" ? source(context) : source);
    return (known ??= made);
  };
}
