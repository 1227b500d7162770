// Runs the edge worker of examples/worker-cloudflare in real workerd, through miniflare.

import { outDir } from "./bundle.mjs";

/**
 * @param {object} options
 * @param {number} options.port
 * @param {{ type: string, path: string }[]} options.modules as `bundleWorker` answers them
 * @param {string} options.issuer
 * @param {string} options.audience
 * @param {string} options.pageOrigin the one page that may call
 */
export async function startWorker({ port, modules, issuer, audience, pageOrigin }) {
  const miniflare = await withoutItsSignalHandlers(async () => {
    const { Log, LogLevel, Miniflare } = await import("miniflare");
    const started = new Miniflare({
      modules,
      modulesRoot: outDir,
      compatibilityDate: "2026-04-20",
      host: "127.0.0.1",
      port,
      cf: false, // nothing about this machine is asked of Cloudflare
      log: new Log(LogLevel.ERROR),
      bindings: {
        ISSUER: issuer,
        AUDIENCE: audience,
        ALLOWED_ORIGIN: pageOrigin,
        DANGEROUSLY_ALLOW_HTTP_LOOPBACK: "true",
      },
    });
    await started.ready;
    return started;
  });
  return { origin: `http://127.0.0.1:${port}`, stop: () => miniflare.dispose() };
}

/**
 * miniflare ends the whole process at Ctrl-C, before the other parts are stopped and its own worker is reaped.
 * Here the demo decides when to end; miniflare keeps what it does at the very end of the process.
 *
 * @template T
 * @param {() => Promise<T>} action
 */
async function withoutItsSignalHandlers(action) {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  const before = new Set(signals.flatMap((signal) => process.listeners(signal)));
  const result = await action();
  for (const signal of signals) {
    for (const listener of process.listeners(signal)) {
      if (!before.has(listener)) process.off(signal, listener);
    }
  }
  return result;
}
