// Packs the package, installs it into every project of tests/matrix and runs it there. One table at
// the end says which entry was picked, what ran and what had to be configured.
//
//   node tools/package.mjs             all projects
//   node tools/package.mjs light       those without a framework of their own; or heavy: the others
//   node tools/package.mjs Next Bun    those whose names begin like that

import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { build } from "./build.mjs";
import { runMain } from "./lib/failure.mjs";
import { root } from "./lib/paths.mjs";
import { bold, heading, red } from "./lib/terminal.mjs";
import { setup } from "./setup.mjs";

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {string} configuration
 * @property {string} [engine]
 * @property {string} [entries]
 * @property {unknown} [failed]
 * @property {string} [skipped]
 */

await runMain(async () => {
  const wanted = process.argv.slice(2);
  const tools = await setup({ browser: true });
  await build();
  // Not at the top: set-up installs what they import.
  const matrix = pathToFileURL(join(root, "tests", "matrix/")).href;
  const { runMatrix } = await import(`${matrix}run.mjs`);
  const { projects } = await import(`${matrix}projects.mjs`);
  const chosen = projects.filter(
    (/** @type {{ name: string, weight: string }} */ { name, weight }) =>
      wanted.length === 0 || wanted.some((each) => each === weight || name.startsWith(each)),
  );

  heading("Projects");
  const print = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  /** @type {Row[]} */
  const rows = await runMatrix(chosen, { tools, print });

  const widths = [46, 10, 16];
  const line = (/** @type {string[]} */ cells) =>
    `  ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join("")}`;
  print(`\n${bold(line(["project", "loaded", "configuration", "entries picked"]))}`);
  for (const { name, configuration, engine, entries, failed, skipped } of rows) {
    const cells = [name, failed ? "no" : skipped ? "skipped" : (engine ?? ""), configuration];
    const row = line([...cells, skipped ?? entries ?? ""]);
    print(failed ? red(row) : row);
  }
  const count = (/** @type {(row: Row) => unknown} */ of) => rows.filter(of).length;
  const [failed, skipped] = [count((row) => row.failed), count((row) => row.skipped)];
  for (const { name, skipped } of rows) if (skipped) print(`skipped: ${name}: ${skipped}`);
  print(`\n${rows.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0;
});
