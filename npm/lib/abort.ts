// Lets go of what is waited for.

/**
 * Waits for work until the signal is aborted, and does not begin it where it is already. What was begun
 * goes on, and nobody hears of its failure.
 *
 * @throws the signal's reason
 */
export async function unlessAborted<T>(
  // Some runtimes have requests without a signal.
  signal: AbortSignal | null | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (!signal) return work();
  // A polyfill's may have no `throwIfAborted`.
  if (signal.aborted) throw signal.reason;
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
