// The Python programs that some tests talk to: providers of a virtual environment of their own, in
// the cache that all clones share.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { withLock } from "./lock.mjs";
import { logDir, root, toolsCache } from "./paths.mjs";
import { mustRun } from "./process.mjs";
import { isCI } from "./programs.mjs";

const REQUIREMENTS = join(root, "tests/interop/providers/requirements.txt");

/**
 * The interpreter with the providers. Where CI is set it is installed; elsewhere nothing is, because
 * only tests need it, and `undefined` says that it is not there.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 * @returns {Promise<string | undefined>}
 */
export async function ensurePython(env, step) {
  const wanted = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
  const home = join(toolsCache(env), `python-providers-${wanted.slice(0, 16)}`);
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
      const failed = "The Python providers could not be installed.";
      await mustRun(failed, "python3", ["-m", "venv", home], { env, log });
      const args = ["-m", "pip", "install", "--disable-pip-version-check", "-r", REQUIREMENTS];
      await mustRun(failed, python, args, { env, log, append: true });
      writeFileSync(done, "");
    },
  );
  return python;
}
