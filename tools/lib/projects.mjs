// What projects need that are not ours: bundlers, frameworks, other libraries. Installed by a lock
// file each into the cache that all clones share, not into node_modules, because some of them are
// hundreds of megabytes and their versions exclude each other.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { withLock } from "./lock.mjs";
import { logDir, root, toolsCache } from "./paths.mjs";
import { mustRun } from "./process.mjs";

const FILES = ["package.json", "package-lock.json"];

/**
 * @param {string} group a folder of tests/matrix
 * @returns {Promise<string>} its node_modules
 */
export async function installGroup(group) {
  const source = join(root, "tests", "matrix", group);
  const cache = join(dirname(toolsCache()), "matrix");
  const hash = createHash("sha256").update(readFileSync(join(source, "package-lock.json")));
  const folder = join(cache, `${group}-${hash.digest("hex").slice(0, 16)}`);
  const modules = join(folder, "node_modules");
  if (existsSync(folder)) return modules;
  return withLock(
    join(cache, `${group}.lock`),
    () => {},
    async () => {
      if (existsSync(folder)) return modules;
      // Under a name of its own until it is whole.
      const staged = `${folder}.part`;
      rmSync(staged, { recursive: true, force: true });
      mkdirSync(staged, { recursive: true });
      for (const file of FILES) cpSync(join(source, file), join(staged, file));
      cpSync(join(root, ".npmrc"), join(staged, ".npmrc"));
      await mustRun(
        `What tests/matrix/${group} needs could not be installed.`,
        "npm",
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        { cwd: staged, log: join(logDir, `matrix-${group}.log`) },
      );
      renameSync(staged, folder);
      return modules;
    },
  );
}
