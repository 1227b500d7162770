// Firefox and WebKitGTK, which only tests need. Where CI is set they are installed on Debian; elsewhere
// nothing is, and tests say themselves what they miss.

import { join } from "node:path";

import { withLock } from "./lock.mjs";
import { toolsCache } from "./paths.mjs";
import { which } from "./process.mjs";
import { aptInstall, isDebian } from "./wasm-target.mjs";

/** WebKitGTK shows its pages on a display only. */
const DEBIAN_PACKAGES = ["firefox-esr", "webkit2gtk-driver", "xvfb", "xauth"];

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./terminal.mjs").Step} step
 */
export async function ensureEngines(env, step) {
  if (missing(env).length === 0) return;
  const isCi = env["CI"] !== undefined && env["CI"] !== "false";
  if (isCi && isDebian() && process.getuid?.() === 0) {
    await withLock(
      join(toolsCache(env), "engines.lock"),
      (holder) => step.slow(`waiting for ${holder}, which installs them`),
      async () => {
        if (missing(env).length === 0) return;
        step.slow("apt-get install");
        await aptInstall(
          DEBIAN_PACKAGES,
          env,
          "setup-engines.log",
          "Firefox and WebKitGTK could not be installed with apt-get.",
        );
      },
    );
  }
  const absent = missing(env);
  if (absent.length > 0) step.detail(`not installed: ${absent.join(", ")}`);
}

/** @param {NodeJS.ProcessEnv} env */
function missing(env) {
  const has = (/** @type {string[]} */ ...names) => names.some((name) => which(name, env));
  return [
    ...(has("firefox-esr", "firefox") ? [] : ["Firefox"]),
    ...(has("WebKitWebDriver") ? [] : ["WebKitWebDriver"]),
    ...(has("xvfb-run") ? [] : ["xvfb-run"]),
  ];
}
