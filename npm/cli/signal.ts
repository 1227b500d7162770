// Signals that end a program, and what is finished before they do.

import { constants } from "node:os";

import { Failure } from "./failure.js";

const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Hears signals in the system's place, until the function that it answers is called. */
export function listenTo(
  signals: readonly NodeJS.Signals[],
  hear: (signal: NodeJS.Signals) => void,
): () => void {
  for (const signal of signals) process.on(signal, hear);
  return () => {
    for (const signal of signals) process.off(signal, hear);
  };
}

/** As shells say of a program that a signal ended: 128 and its number. */
export const codeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/**
 * Runs work that a signal must not cut in two: once it calls `begin`, the first one waits for its end, and
 * a second one ends the process.
 *
 * @throws Failure in place of whatever came of it, where a signal waited; with what failed
 */
export async function unbroken<T>(work: (begin: () => void) => Promise<T>): Promise<T> {
  let heard: NodeJS.Signals | undefined;
  let stop: (() => void) | undefined;
  const hear = (signal: NodeJS.Signals): void => {
    if (heard !== undefined) process.exit(codeOf(signal));
    heard = signal;
  };
  const done = work(() => (stop ??= listenTo(ENDING, hear)));
  const [outcome] = await Promise.allSettled([done]);
  stop?.();
  if (heard === undefined) return done;
  const line = "Interrupted. What had been sent to the provider was finished first.";
  // A login may be over or lost with it.
  const error: unknown = outcome.status === "rejected" ? outcome.reason : undefined;
  const more = error instanceof Failure ? error.lines : [];
  throw new Failure(codeOf(heard), [line, ...more], "interrupted");
}
