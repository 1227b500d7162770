// The demo: a page, an OpenID provider and an edge worker on this machine, and a sign-in through all three.
// Nothing from node_modules is imported before the set-up ran, because the set-up puts it there.
//
//   node tools/demo.mjs              starts the three parts and opens the page; Ctrl-C ends everything
//   node tools/demo.mjs --no-open    the same without opening a browser
//   node tools/demo.mjs --headless   plays the whole journey in Chromium and checks each step; exit code 0 or 1

import { spawn } from "node:child_process";
import { join } from "node:path";

import { build } from "./build.mjs";
import { Failure, runMain } from "./lib/failure.mjs";
import { root } from "./lib/paths.mjs";
import { bold, dim, heading, step } from "./lib/terminal.mjs";
import { setup } from "./setup.mjs";

const OPTIONS = ["--headless", "--no-open"];

/** How long the journey may take before it counts as hanging. It needs about a quarter of that. */
const JOURNEY_SECONDS = 120;

async function main() {
  const given = process.argv.slice(2);
  const unknown = given.find((option) => !OPTIONS.includes(option));
  if (unknown !== undefined)
    throw new Failure(`${unknown} is no option of the demo; there are ${OPTIONS.join(" and ")}.`);
  const headless = given.includes("--headless");

  const { env, chromium } = await setup({ browser: headless });
  await build({ env });

  heading("Demo");
  const stopped = stopSignal(); // from here on: whatever is started is also ended
  const { startDemo } = await import("./demo/start.mjs");
  const demo = await step("page, provider and worker", () => startDemo());
  try {
    if (headless) return await play(demo, chromium, stopped);
    await show(demo, !given.includes("--no-open"), stopped);
    return await step("stopped", demo.stop);
  } finally {
    await demo.stop();
  }
}

/**
 * @param {import("./demo/start.mjs").Demo} demo
 * @param {boolean} open
 * @param {Promise<void>} stopped
 */
async function show(demo, open, stopped) {
  const { USERS } = await import("./demo/provider.mjs");
  const users = USERS.map(({ login, password }) => `${login} / ${password}`).join("   ");
  process.stdout.write(`
  ${bold("page")}       ${bold(demo.page.origin)}
  provider   ${demo.provider.origin}   ${dim("oidc-provider")}
  worker     ${demo.worker.origin}   ${dim("examples/worker-cloudflare in workerd")}
  users      ${users}

  ${dim("Ctrl-C ends all three.")}
`);
  if (open) openBrowser(demo.page.origin);
  await stopped;
  process.stdout.write("\n");
}

/**
 * @param {import("./demo/start.mjs").Demo} demo
 * @param {string | undefined} chromium
 * @param {Promise<void>} stopped
 */
async function play(demo, chromium, stopped) {
  const { playJourney } = await import("./demo/journey.mjs");
  const end = new AbortController();
  const watchdog = setTimeout(
    () => end.abort(new Failure(`The journey took longer than ${JOURNEY_SECONDS} s.`)),
    JOURNEY_SECONDS * 1000,
  );
  stopped.then(() => end.abort(new Failure("Stopped.")));
  try {
    return await playJourney({
      demo,
      chromium,
      screenshots: join(root, "target/demo/screenshots"),
      signal: end.signal,
    });
  } finally {
    clearTimeout(watchdog);
  }
}

/** Resolves with the first request to stop; a second one ends this process at once. */
function stopSignal() {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      let asked = false;
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
        process.on(signal, () => {
          if (asked) process.exit(1);
          asked = true;
          resolve();
        });
      }
    })
  );
}

/**
 * Only where there is a desktop, and never through a shell. That it does not work is no failure: the address is printed.
 *
 * @param {string} url
 */
function openBrowser(url) {
  const program = { darwin: "open", win32: "explorer" }[process.platform] ?? "xdg-open";
  const desktop = program !== "xdg-open" || process.env.DISPLAY || process.env.WAYLAND_DISPLAY;
  if (!desktop) return;
  spawn(program, [url], { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
}

await runMain(main);
