// Where an adapter takes its guard from.

import type { Guard, Need } from "../lib/guard.js";
import type { Connection } from "../lib/possession.js";

/**
 * A guard, a promise of one, or what makes one from the first request's context, such as the
 * variables of a Worker. It is asked for until there is one.
 */
export type GuardSource<C> = Guard | Promise<Guard> | ((context: C) => Guard | Promise<Guard>);

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
 * The guard of a source, the same one once it is there. Requests that come before that make their
 * own: at the edge a request must not wait for the promise of another one.
 */
export function guardOf<C>(source: GuardSource<C>): (context: C) => Guard | Promise<Guard> {
  let known: Guard | undefined;
  return async (context) => {
    if (known) return known;
    const made = await (typeof source === "function" ? source(context) : source);
    return (known ??= made);
  };
}
