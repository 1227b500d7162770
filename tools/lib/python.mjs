// The programs from Python's registry that some tests talk to, providers and servers, in a virtual
// environment of their own, in the cache that all clones share.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { withLock } from "./lock.mjs";
import { logDir, root, toolsCache } from "./paths.mjs";
import { mustRun } from "./process.mjs";
import { isCI } from "./programs.mjs";

/** In one environment: what several name has one version in all. */
const REQUIREMENTS = ["tests/cli/requirements.txt", "tests/interop/providers/requirements.txt"].map(
  (file) => join(root, file),
);

/**
 * The interpreter that has them. Where CI is set it is installed; elsewhere nothing is, because
 * only tests need it, and `undefined` says that it is not there.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 * @returns {Promise<string | undefined>}
 */
export async function ensurePython(env, step) {
  const hash = createHash("sha256");
  for (const file of REQUIREMENTS) hash.update(readFileSync(file));
  const home = join(toolsCache(env), `python-${hash.digest("hex").slice(0, 16)}`);
  const python = join(home, "bin", "python");
  // Written last: an installation that was interrupted is begun anew.
  const done = join(home, "complete");
  if (existsSync(done)) return python;
  if (!isCI(env)) {
    step.detail("not installed; CI=true installs them");
    return undefined;
  }
  await withLock(
    `${home}.lock`,
    (holder) => step.slow(`waiting for ${holder}, which installs them`),
    async () => {
      if (existsSync(done)) return;
      step.slow("pip install, about half a minute");
      rmSync(home, { recursive: true, force: true });
      const log = join(logDir, "setup-python.log");
      const failed = "The programs in Python could not be installed.";
      await mustRun(failed, "python3", ["-m", "venv", home], { env, log });
      const args = ["-m", "pip", "install", "--disable-pip-version-check"];
      const lists = REQUIREMENTS.flatMap((file) => ["-r", file]);
      await mustRun(failed, python, [...args, ...lists], { env, log, append: true });
      writeFileSync(done, "");
    },
  );
  return python;
}
