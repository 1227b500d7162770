// A module as workerd gets it: bundled the way wrangler bundles, run by miniflare.

import { basename, join } from "node:path";

import { build } from "esbuild";
import { Log, LogLevel, Miniflare } from "miniflare";

/**
 * @param {string} project the folder of the worker, with the package installed in it
 * @param {string} file the worker's module
 * @param {import("miniflare").MiniflareOptions} [more]
 */
export async function startWorker(project, file, more = {}) {
  const modules = [{ type: "ESModule", path: join(project, "bundle.js") }];
  await build({
    entryPoints: [join(project, file)],
    outfile: join(project, "bundle.js"),
    bundle: true,
    external: ["cloudflare:*"],
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    logLevel: "error",
    plugins: [compiledWasm(modules)],
  });
  const miniflare = new Miniflare({
    modules,
    modulesRoot: "/",
    compatibilityDate: "2026-04-20",
    host: "127.0.0.1",
    cf: false,
    log: new Log(LogLevel.ERROR),
    ...more,
  });
  await miniflare.ready;
  return miniflare;
}

/** As wrangler's rule for compiled modules: the import stays, workerd hands the module over. */
function compiledWasm(modules) {
  return {
    name: "compiled-wasm",
    setup({ onResolve }) {
      onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) => {
        const source = join(resolveDir, path.replace("?module", ""));
        modules.push({ type: "CompiledWasm", path: source });
        return { path: source, external: true };
      });
    },
  };
}
