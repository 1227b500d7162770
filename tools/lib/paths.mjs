// Where the tools find and put things.

import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** What children printed; the tail of such a file is shown when a step fails. */
export const logDir = join(root, "target", "logs");

/**
 * Stamps and locks of the tools. They live under target/ so that one `rm -rf target` forgets
 * everything.
 */
export const stateDir = join(root, "target", "tools");

/** What npm packs. */
export const distDir = join(root, "dist");

export const nodeModules = join(root, "node_modules");

/**
 * The cache that all clones of one user share, after the XDG rules (which say: a relative
 * XDG_CACHE_HOME is ignored).
 *
 * @param {NodeJS.ProcessEnv} [env]
 */
export function toolsCache(env = process.env) {
  const given = env.XDG_CACHE_HOME ?? "";
  const cache = isAbsolute(given) ? given : join(homedir(), ".cache");
  return join(cache, "gatepass", "tools");
}

/** Cargo's own folder, where the sources of dependencies lie. */
export function cargoHome(env = process.env) {
  return env.CARGO_HOME ? env.CARGO_HOME : join(homedir(), ".cargo");
}
