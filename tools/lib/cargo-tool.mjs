// Programs that come from cargo: found on PATH in exactly the wanted version, or built once into
// the cache that all clones share. Nothing is put into the user's own tool folders.

import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { withLock } from "./lock.mjs";
import { logDir, toolsCache } from "./paths.mjs";
import { mustRun, run, which } from "./process.mjs";
import { withoutCargoSettings } from "./wasm-target.mjs";

/**
 * @typedef {object} CargoTool
 * @property {string} crate
 * @property {string} version
 * @property {readonly string[]} binaries the first one is asked for its version
 * @property {string} duration how long building it takes, for the progress line
 */

/**
 * Answers the folder with the tool's programs.
 *
 * @param {CargoTool} tool
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 * @returns {Promise<string>}
 */
export async function ensureCargoTool(tool, env, step) {
  const onPath = await findOnPath(tool, env);
  if (onPath !== undefined) return onPath;

  const home = join(toolsCache(env), `${tool.crate}-${tool.version}`);
  if (isComplete(tool, home)) return join(home, "bin");
  await withLock(
    `${home}.lock`,
    (holder) => step.slow(`waiting for ${holder}, which installs it`),
    async () => {
      if (!isComplete(tool, home)) await install(tool, home, env, step);
    },
  );
  return join(home, "bin");
}

/**
 * @param {CargoTool} tool
 * @param {NodeJS.ProcessEnv} env
 */
async function findOnPath(tool, env) {
  const found = tool.binaries.map((name) => which(name, env));
  const first = found[0];
  if (first === undefined || found.includes(undefined)) return undefined;
  const { code, stdout } = await run(first, ["--version"], { env });
  return code === 0 && stdout.trim().split(/\s+/).includes(tool.version)
    ? dirname(first)
    : undefined;
}

/**
 * @param {CargoTool} tool
 * @param {string} home
 */
function isComplete(tool, home) {
  return tool.binaries.every((name) => existsSync(join(home, "bin", name)));
}

/**
 * Not `--locked`: the lock file inside such a crate can name a version that a mirror does not have
 * yet. The compiled parts stay beside the tool until it is done, so an interrupted installation
 * goes on where it stopped; the tool itself appears in one rename.
 *
 * @param {CargoTool} tool
 * @param {string} home
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 */
async function install(tool, home, env, step) {
  step.slow(`cargo install, ${tool.duration}`);
  const staged = `${home}.partial`;
  const objects = `${home}.build`;
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  await mustRun(
    `${tool.crate} ${tool.version} could not be installed with cargo.`,
    "cargo",
    [
      "install",
      tool.crate,
      "--version",
      tool.version,
      "--root",
      staged,
      "--target-dir",
      objects,
      "--no-track",
    ],
    {
      cwd: staged,
      env: withoutCargoSettings(env),
      log: join(logDir, `setup-${tool.crate}.log`),
    },
  );
  rmSync(home, { recursive: true, force: true });
  renameSync(staged, home);
  rmSync(objects, { recursive: true, force: true });
}
