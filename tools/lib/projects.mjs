// What projects need that are not ours: bundlers, frameworks, other libraries. Installed by a lock
// file each into the cache that all clones share, not into node_modules, because some of them are
// hundreds of megabytes and their versions exclude each other.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { Failure } from "./failure.mjs";
import { withLock } from "./lock.mjs";
import { logDir, root, toolsCache } from "./paths.mjs";
import { mustRun } from "./process.mjs";

const FILES = ["package.json", "package-lock.json"];

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean }} Locked
 * @typedef {{ packages: Record<string, Locked> }} LockFile
 */

/**
 * What is installed and is not what the lock file says. What it does not name may be there when it is
 * optional: the build of a native package for a platform that whoever wrote the lock file could not
 * fetch.
 *
 * @param {LockFile} lock
 * @param {LockFile} installed npm's own record inside node_modules
 * @returns {string[]} their places
 */
export function strayedFrom(lock, installed) {
  return Object.entries(installed.packages)
    .filter(([place, { version, integrity, optional }]) => {
      const wanted = lock.packages[place];
      if (wanted === undefined) return optional !== true;
      return wanted.version !== version || wanted.integrity !== integrity;
    })
    .map(([place]) => place);
}

/**
 * Installs what a folder's lock file names. Not by `npm ci`: it refuses a lock file that lacks builds
 * for platforms whose packages a mirror does not have.
 *
 * @param {string} sentence what to tell a person when it fails
 * @param {string} folder
 * @param {string} log
 */
export async function installByLock(sentence, folder, log) {
  await mustRun(
    sentence,
    "npm",
    ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"],
    { cwd: folder, log },
  );
  const [lock, installed] = ["package-lock.json", "node_modules/.package-lock.json"].map((file) =>
    JSON.parse(readFileSync(join(folder, file), "utf8")),
  );
  const strayed = strayedFrom(lock, installed);
  if (strayed.length > 0)
    throw new Failure(
      `${sentence} Not what ${folder}/package-lock.json says: ${strayed.join(", ")}`,
    );
}

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
      await installByLock(
        `What tests/matrix/${group} needs could not be installed.`,
        staged,
        join(logDir, `matrix-${group}.log`),
      );
      renameSync(staged, folder);
      return modules;
    },
  );
}
