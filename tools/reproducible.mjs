// Builds the package once more, from a copy of the sources in another folder and with nothing of the
// first build, and compares byte for byte: the same sources give the same package, wherever they lie.
//
//   node tools/reproducible.mjs

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

import { build } from "./build.mjs";
import { runMain } from "./lib/failure.mjs";
import { distDir, logDir, nodeModules, root } from "./lib/paths.mjs";
import { mustRun } from "./lib/process.mjs";
import { filesBelow } from "./lib/stamp.mjs";
import { heading, step } from "./lib/terminal.mjs";

const SOURCES = [
  ".cargo",
  ".npmrc",
  "Cargo.lock",
  "Cargo.toml",
  // The manifest names two programs in it.
  "examples",
  "npm",
  "package-lock.json",
  "package.json",
  "src",
  "tests/matrix",
  "tools",
  "tsconfig.json",
  "tsconfig.node.json",
  "wasm-pack.toml",
];

await runMain(async () => {
  await build();
  heading("Once more, elsewhere");
  const copy = mkdtempSync(join(tmpdir(), "gatepass-again-"));
  try {
    for (const each of SOURCES) cpSync(join(root, each), join(copy, each), { recursive: true });
    // Cargo wants to see what its manifest names.
    for (const each of ["benches", "tests", "README.md"]) {
      cpSync(join(root, each), join(copy, each), { recursive: true, force: false });
    }
    symlinkSync(nodeModules, join(copy, "node_modules"));
    await step("build", async (it) => {
      it.slow("everything is compiled again");
      await mustRun("The second build failed.", process.execPath, ["tools/build.mjs"], {
        cwd: copy,
        env: process.env,
        log: join(logDir, "reproducible.log"),
      });
    });
    const again = join(copy, "dist");
    const files = (/** @type {string} */ folder) =>
      filesBelow([folder]).map((file) => relative(folder, file));
    const names = new Set([...files(distDir), ...files(again)]);
    let failed = 0;
    for (const name of names) {
      const [one, other] = [distDir, again].map((folder) => read(join(folder, name)));
      if (one !== undefined && other !== undefined && one.equals(other)) continue;
      failed += 1;
      process.stdout.write(`  differs: ${name}\n`);
    }
    process.stdout.write(`\n${names.size - failed} passed, ${failed} failed\n`);
    return failed === 0;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
});

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
