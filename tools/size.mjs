// Shows what each artefact and each entry costs, raw and compressed, beside other libraries that are
// measured in the same way, and fails above the budgets of wasm-pack.toml.
//
//   node tools/size.mjs

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import { build, buildPlain } from "./build.mjs";
import { runMain } from "./lib/failure.mjs";
import { installGroup } from "./lib/projects.mjs";
import { bold, green, heading, red } from "./lib/terminal.mjs";

/**
 * @typedef {object} Size
 * @property {string} name
 * @property {Uint8Array} bytes
 * @property {number} [budget] bytes after gzip
 */

const PEERS = {
  "oidc-client-ts": 'export { UserManager } from "oidc-client-ts";',
  "@auth0/auth0-spa-js": 'export { createAuth0Client } from "@auth0/auth0-spa-js";',
  "@azure/msal-browser": 'export { PublicClientApplication } from "@azure/msal-browser";',
  "@axa-fr/oidc-client": 'export { OidcClient } from "@axa-fr/oidc-client";',
  jose: 'export { createRemoteJWKSet, jwtVerify } from "jose";',
  oauth4webapi: 'export * from "oauth4webapi";',
};

/** @param {number} number */
const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, " ");

/** @param {readonly string[]} cells */
const row = ([name = "", ...numbers]) =>
  `  ${name.padEnd(30)}${numbers.map((cell) => cell.padStart(10)).join("")}`;

/** @param {{ entryPoint?: string } | undefined} output */
const isFallback = (output) => output?.entryPoint?.endsWith(".fallback.js") === true;

await runMain(async () => {
  const { dist, artefacts, bundles, librarySource } = await build();
  // Not at the top: set-up installs it.
  const esbuild = await import("esbuild");

  let passed = 0;
  /** @type {Size[]} */
  const sizes = [];
  for (const { name, wasm, glue, inline, fallback, budget } of artefacts) {
    sizes.push({ name: `${name}.wasm`, bytes: readFileSync(wasm), budget: budget.wasm });
    sizes.push({ name: `${name}.wasm, plain`, bytes: readFileSync(await buildPlain(name)) });
    // It started.
    passed += 1;
    sizes.push({ name: `${name}.inline.js`, bytes: readFileSync(inline) });
    sizes.push({
      name: `${name}.fallback.js`,
      bytes: readFileSync(fallback),
      budget: budget.fallback,
    });
    const minified = await esbuild.transform(readFileSync(glue, "utf8"), {
      minify: true,
      format: "esm",
    });
    sizes.push({
      name: `${name}_bg.js, minified`,
      bytes: Buffer.from(minified.code),
      budget: budget.glue,
    });
  }
  for (const { entry, budget } of bundles) {
    const { outputFiles, metafile } = await esbuild.build({
      entryPoints: [join(dist, entry)],
      outdir: "out",
      bundle: true,
      // What is loaded only where WebAssembly is refused is a chunk of its own.
      splitting: true,
      metafile: true,
      minify: true,
      format: "esm",
      target: "es2022",
      // The edge entries leave their wasm to the platform's own bundler.
      external: ["*.wasm?module"],
      write: false,
      logLevel: "error",
    });
    sizes.push({
      name: `entry ${entry}, bundled`,
      bytes: Buffer.concat(
        outputFiles
          .filter((_, index) => !isFallback(Object.values(metafile.outputs)[index]))
          .map(({ contents }) => contents),
      ),
      budget,
    });
  }

  // What somebody who signs users in, or checks tokens, imports of other libraries.
  const modules = await installGroup("peers");
  for (const [name, statement] of Object.entries(PEERS)) {
    const { outputFiles } = await esbuild.build({
      stdin: { contents: statement, resolveDir: dirname(modules) },
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      write: false,
      logLevel: "error",
    });
    const manifest = join(modules, name, "package.json");
    const { version } = JSON.parse(readFileSync(manifest, "utf8"));
    const bytes = /** @type {Uint8Array} */ (outputFiles[0]?.contents);
    sizes.push({ name: `${name} ${version}`, bytes });
  }

  heading("Sizes in bytes");
  process.stdout.write(`${bold(row(["", "raw", "gzip", "brotli", "budget"]))}\n`);
  let failed = 0;
  /** @type {string[]} */
  const skipped = [];
  for (const { name, bytes, budget } of sizes) {
    const gzip = gzipSync(bytes, { level: 9 }).length;
    const brotli = brotliCompressSync(bytes, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
    }).length;
    const cells = [
      name,
      ...[bytes.length, gzip, brotli].map(grouped),
      budget === undefined ? "" : grouped(budget),
    ];
    let verdict = "";
    if (budget !== undefined && !librarySource) {
      skipped.push(`${name}: budgets are for builds with Rust's library in source`);
    } else if (budget !== undefined) {
      const fits = gzip <= budget;
      verdict = fits
        ? green(`  ${Math.round((gzip / budget) * 100)} %`)
        : red(`  ${gzip - budget} bytes too many`);
      if (fits) passed += 1;
      else failed += 1;
    }
    process.stdout.write(`${row(cells)}${verdict}\n`);
  }
  process.stdout.write(
    `\n${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}\n`,
  );
  for (const each of skipped) process.stdout.write(`skipped: ${each}\n`);
  return failed === 0;
});
