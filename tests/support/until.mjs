/** Waits until something is true, or whatever else counts as yes. */
export async function until(what, look, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  let cause;
  for (;;) {
    try {
      const seen = await look();
      if (seen) return seen;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > end) throw new Error(`It took too long until ${what}.`, { cause });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
