// Bundles the demo's page and worker with esbuild. Both see the package as a user would: by its name,
// through the `exports` of its package.json, out of a copy under target/demo/node_modules.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { distDir, root } from "../lib/paths.mjs";

export const outDir = join(root, "target/demo");

/** The package as it would lie in node_modules: its built files, and what its manifest says about loading them. */
export async function installPackage() {
  const folder = join(outDir, "node_modules/gatepass");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const { name, version, type, main, module, types, exports, sideEffects } = JSON.parse(
    await readFile(join(root, "package.json"), "utf8"),
  );
  const manifest = { name, version, type, main, module, types, exports, sideEffects };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest, null, 2));
  await cp(distDir, join(folder, "dist"), { recursive: true });
}

/** The page: one app.js with its lazily loaded chunks, beside the files that need no bundling. */
export async function bundlePage() {
  const { build } = await import("esbuild");
  const folder = join(outDir, "site");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await build({
    ...common(),
    entryPoints: [join(root, "www/app.js")],
    outdir: folder,
    platform: "browser",
    splitting: true,
    chunkNames: "chunk-[hash]",
  });
  for (const file of ["index.html", "style.css", "mark.svg"])
    await cp(join(root, "www", file), join(folder, file));
  return folder;
}

/**
 * The small page of examples/spa.
 *
 * @param {Record<string, string>} env what Vite would read from the file .env
 */
export async function bundleExample(env) {
  const { build } = await import("esbuild");
  const folder = join(outDir, "spa");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await build({
    ...common(),
    entryPoints: [join(root, "examples/spa/main.js")],
    outdir: folder,
    platform: "browser",
    splitting: true,
    chunkNames: "chunk-[hash]",
    define: { "import.meta.env": JSON.stringify({ ...env, DEV: true }) },
  });
  await cp(join(root, "examples/spa/index.html"), join(folder, "index.html"));
  return folder;
}

/** The worker, resolved as wrangler does it; returns the modules for workerd, entry first. */
export async function bundleWorker() {
  const { build } = await import("esbuild");
  const folder = join(outDir, "worker");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const wasm = new Set();
  await build({
    ...common(),
    plugins: [publishedPackage(), wasmModules(folder, wasm)],
    entryPoints: [join(root, "examples/worker-cloudflare/src/index.ts")],
    outfile: join(folder, "index.js"),
    platform: "browser",
    conditions: ["workerd", "worker", "browser"],
  });
  return [
    { type: "ESModule", path: join(folder, "index.js") },
    ...[...wasm].map((name) => ({ type: "CompiledWasm", path: join(folder, name) })),
  ];
}

const common = () => ({
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
  plugins: [publishedPackage()],
});

/** Sends `gatepass` and `gatepass/...` to the copy, with esbuild's ordinary rules from there on. */
function publishedPackage() {
  return {
    name: "published-package",
    setup(build) {
      build.onResolve({ filter: /^gatepass(\/|$)/ }, ({ path, kind, pluginData }) => {
        if (pluginData === "published") return undefined; // our own question below
        return build.resolve(path, { kind, resolveDir: outDir, pluginData: "published" });
      });
    },
  };
}

/** `import module from "./x.wasm?module"` stays an import; workerd hands over the compiled module. */
function wasmModules(folder, found) {
  return {
    name: "wasm-modules",
    setup(build) {
      build.onResolve({ filter: /\.wasm(\?module)?$/ }, async ({ path, resolveDir }) => {
        const source = join(resolveDir, path.replace(/\?module$/, ""));
        const name = basename(source);
        await cp(source, join(folder, name));
        found.add(name);
        return { path: `./${name}`, external: true };
      });
    },
  };
}
