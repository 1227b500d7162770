// Programs of the system that some tests need: servers, and browsers beside Chromium. In CI they have to be there, and on Debian they are
// installed; elsewhere the tests that need them are skipped by name.

import { join } from "node:path";

import { Failure } from "./failure.mjs";
import { withLock } from "./lock.mjs";
import { toolsCache } from "./paths.mjs";
import { which } from "./process.mjs";
import { aptInstall, isDebian } from "./wasm-target.mjs";

/** Each with Debian's packages. WebKitGTK shows its pages on a display only. */
const PROGRAMS = {
  "dbus-daemon": ["dbus"],
  "dbus-send": ["dbus"],
  firefox: ["firefox-esr"],
  "gnome-keyring-daemon": ["gnome-keyring"],
  nginx: ["nginx"],
  php: ["php-cli"],
  "redis-cli": ["redis-server"],
  "redis-server": ["redis-server"],
  WebKitWebDriver: ["webkit2gtk-driver"],
  "xvfb-run": ["xvfb", "xauth"],
};

/**
 * What a program may be called as well.
 *
 * @type {Readonly<Record<string, string>>}
 */
const ALSO = { firefox: "firefox-esr" };

/** @param {NodeJS.ProcessEnv} env */
export const isCI = (env) => env["CI"] !== undefined && env["CI"] !== "false";

/**
 * Why what needs these programs cannot run, or `false`.
 *
 * @param {readonly string[]} names
 * @param {NodeJS.ProcessEnv} env
 * @throws {Failure} where it is CI and they have to be there
 */
export function obstacle(names, env) {
  const missing = missingOf(names, env);
  if (missing.length === 0) return false;
  const reason = `not installed: ${missing.join(", ")}`;
  if (isCI(env) && missing.some((name) => Object.hasOwn(PROGRAMS, name))) {
    throw new Failure(`${reason}. In CI it has to be there: CI=true npm run setup`);
  }
  return reason;
}

/**
 * @param {readonly string[]} names
 * @param {NodeJS.ProcessEnv} env
 */
const missingOf = (names, env) =>
  names.filter((name) => !which(name, env) && !which(ALSO[name] ?? name, env));

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 */
export async function ensurePrograms(env, step) {
  const lacking = () => missingOf(Object.keys(PROGRAMS), env);
  if (lacking().length === 0) return;
  if (!isCI(env)) {
    step.detail(`not installed: ${lacking().join(", ")}; CI=true installs them`);
    return;
  }
  const packages = [...new Set(Object.values(PROGRAMS).flat())];
  if (isDebian() && process.getuid?.() === 0) {
    await withLock(
      join(toolsCache(env), "programs.lock"),
      (holder) => step.slow(`waiting for ${holder}, which installs them`),
      async () => {
        if (lacking().length === 0) return;
        step.slow("apt-get install");
        await aptInstall(
          packages,
          env,
          "setup-programs.log",
          "What the tests need could not be installed with apt-get.",
        );
      },
    );
  }
  if (lacking().length > 0) {
    throw new Failure(
      `In CI the tests need ${lacking().join(", ")}: install them (on Debian ${packages.join(", ")}), and see that they are on PATH.`,
    );
  }
}
