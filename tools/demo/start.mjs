// Starts and stops the three parts of the demo together: the page, the provider, the worker.

import { createServer } from "node:net";

import { bundleExample, bundlePage, bundleWorker, installPackage } from "./bundle.mjs";
import { API, CLIENT_ID, SCOPE, startProvider } from "./provider.mjs";
import { startSite } from "./site.mjs";
import { startWorker } from "./worker.mjs";

const PREFERRED_PORTS = { page: 4180, provider: 4181, worker: 4182 };

/**
 * @typedef {object} Demo
 * @property {{ origin: string }} page
 * @property {{ origin: string, start(): Promise<void>, stop(): Promise<void>,
 *   onGrant(listener: (sent: Record<string, string>, answer: Record<string, string>) => void): unknown }} provider
 * @property {{ origin: string }} worker
 * @property {() => Promise<void>} stop ends all three; calling it again does nothing
 */

/**
 * Resolves to the three running parts; when one cannot start, those that did are stopped again.
 *
 * @returns {Promise<Demo>}
 */
export async function startDemo() {
  await installPackage();
  const ports = await choosePorts();
  const [pageOrigin, providerOrigin, workerOrigin] = [ports.page, ports.provider, ports.worker].map(
    (port) => `http://127.0.0.1:${port}`,
  );
  const [modules, pageFolder, exampleFolder] = await Promise.all([
    bundleWorker(),
    bundlePage(),
    bundleExample({
      VITE_ISSUER: providerOrigin,
      VITE_CLIENT_ID: CLIENT_ID,
      VITE_API: workerOrigin,
      VITE_API_AUDIENCE: API,
    }),
  ]);

  const running = [];
  const stop = async () => {
    await Promise.allSettled(running.splice(0).map((part) => part.stop()));
  };
  try {
    const provider = await startProvider({ port: ports.provider, pageOrigin });
    running.push(provider);
    const worker = await startWorker({
      port: ports.worker,
      modules,
      issuer: provider.origin,
      audience: API,
      pageOrigin,
    });
    running.push(worker);
    const page = await startSite({
      port: ports.page,
      folders: { "/": pageFolder, "/spa/": exampleFolder },
      connect: [provider.origin, workerOrigin],
      config: {
        issuer: provider.origin,
        clientId: CLIENT_ID,
        scope: SCOPE,
        resource: API,
        api: workerOrigin,
      },
    });
    running.push(page);
    return { page, provider, worker, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The known ports, so that a bookmark keeps working; a free one where another program sits. */
async function choosePorts() {
  const ports = {};
  for (const [part, preferred] of Object.entries(PREFERRED_PORTS)) {
    ports[part] = (await tryPort(preferred)) ?? (await tryPort(0));
  }
  return ports;
}

function tryPort(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(undefined));
    probe.listen(port, "127.0.0.1", () => {
      const { port: found } = probe.address();
      probe.close(() => resolve(found));
    });
  });
}
