// Finds Chromium and the chromedriver that belongs to it, or installs both on Debian.

import { join } from "node:path";

import { Failure } from "./failure.mjs";
import { withLock } from "./lock.mjs";
import { toolsCache } from "./paths.mjs";
import { isExecutable, run, which } from "./process.mjs";
import { aptInstall, isDebian } from "./wasm-target.mjs";

const BROWSER_NAMES = [
  "chromium",
  "google-chrome",
  "google-chrome-stable",
  "chrome",
  "chromium-browser",
];
const MAC_BROWSER = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/** Without a font the screenshots of the demo would show boxes. */
const DEBIAN_PACKAGES = ["chromium", "chromium-driver", "fonts-dejavu-core"];

/**
 * @typedef {object} Browser
 * @property {string} chromium
 * @property {string} chromedriver
 * @property {string} version
 */

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 * @returns {Promise<Browser>}
 */
export async function ensureBrowser(env, step) {
  let found = find(env);
  if (found === undefined) {
    if (!isDebian() || process.getuid?.() !== 0) {
      throw new Failure(
        "Chromium and chromedriver are needed: install both, or name them in the environment variables CHROME and CHROMEDRIVER.",
      );
    }
    await withLock(
      join(toolsCache(env), "browser.lock"),
      (holder) => step.slow(`waiting for ${holder}, which installs it`),
      async () => {
        if (find(env) !== undefined) return;
        step.slow("apt-get install");
        await aptInstall(
          DEBIAN_PACKAGES,
          env,
          "setup-browser.log",
          "Chromium could not be installed with apt-get.",
        );
      },
    );
    found = find(env);
    if (found === undefined)
      throw new Failure("apt-get installed Chromium, but it is not on PATH.");
  }

  const [browser, driver] = await Promise.all([
    version(found.chromium, env),
    version(found.chromedriver, env),
  ]);
  if (major(browser) !== major(driver)) {
    throw new Failure(
      `chromedriver ${driver} (${found.chromedriver}) does not drive Chromium ${browser} (${found.chromium}): ` +
        "install both in the same major version, or name a fitting pair in CHROME and CHROMEDRIVER.",
    );
  }
  return { ...found, version: browser };
}

/** @param {NodeJS.ProcessEnv} env */
function find(env) {
  const chromium =
    named(env, ["CHROME", "CHROME_PATH"]) ?? first(BROWSER_NAMES, env) ?? executable(MAC_BROWSER);
  const chromedriver = named(env, ["CHROMEDRIVER"]) ?? first(["chromedriver"], env);
  return chromium === undefined || chromedriver === undefined
    ? undefined
    : { chromium, chromedriver };
}

/**
 * A variable that names something unusable is a mistake to report, not one to pass over.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} variables
 */
function named(env, variables) {
  for (const variable of variables) {
    const value = env[variable];
    if (!value) continue;
    const file = value.includes("/") ? executable(value) : which(value, env);
    if (file === undefined)
      throw new Failure(`The environment variable ${variable} names no program: ${value}`);
    return file;
  }
  return undefined;
}

/**
 * @param {readonly string[]} names
 * @param {NodeJS.ProcessEnv} env
 */
function first(names, env) {
  for (const name of names) {
    const file = which(name, env);
    if (file !== undefined) return file;
  }
  return undefined;
}

/** @param {string} file */
function executable(file) {
  return isExecutable(file) ? file : undefined;
}

/**
 * @param {string} file
 * @param {NodeJS.ProcessEnv} env
 */
async function version(file, env) {
  const { code, stdout, output } = await run(file, ["--version"], { env });
  const number = /\d+(\.\d+)+/.exec(stdout)?.[0];
  if (code !== 0 || number === undefined) throw new Failure(`${file} does not run.`, output);
  return number;
}

/** @param {string} version */
function major(version) {
  return version.split(".")[0];
}
