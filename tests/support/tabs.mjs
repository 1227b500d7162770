// Tabs of one application in real Chromium, which share a session at a provider made of values.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { build } from "esbuild";

import { launch, serve } from "./browser.mjs";
import { installPackage } from "./installed.mjs";
import { makeProvider } from "./provider.mjs";

const PAGE = `<!doctype html><title>tab</title><script type="module" src="/app.js"></script>`;
const APP = `
  import { createClient } from "gatepass";
  const options = {
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    scope: "openid read",
    store: "local",
    timeout: 2,
    ...window.options,
  };
  for (const name of window.without) delete options[name];
  window.createClient = createClient;
  window.seen = [];
  const onEvent = (event) => {
    window.seen.push(event.type);
    window.onGatepass?.(event.type);
  };
  window.client = await createClient({ ...options, onEvent });
  if (location.pathname === "/callback") await window.client.handleCallback();
  window.isReady = true;
`;

/** The name of the lock under which the tabs renew their session. */
export const LOCK = "gatepass:session:https://as.example spa";

/**
 * Builds the application and starts the browser.
 *
 * @param {string} name of the project, a folder under target/package
 */
export async function launchTabs(name) {
  const { project } = installPackage(name);
  const bundle = async (file, source) => {
    writeFileSync(join(project, file), source);
    const { outputFiles } = await build({
      entryPoints: [join(project, file)],
      bundle: true,
      format: "esm",
      write: false,
      logLevel: "error",
    });
    return outputFiles[0].text;
  };
  const script = await bundle("app.mjs", APP);
  return { browser: await launch(), script, bundle };
}

/**
 * A context, somebody who signed in, and more tabs.
 *
 * @param {object} launched of launchTabs
 * @param {object} [more]
 * @param {object} [more.provider] options of tests/support/provider.mjs
 * @param {Function} [more.answer] of tests/support/browser.mjs
 * @param {object} [more.options] of the client
 * @param {string[]} [more.without] those that are left out
 * @param {Record<string, string>} [more.headers] of the page
 * @param {(page: import("playwright-core").Page) => Promise<void>} [more.prepare] a new page
 */
export async function openTabs({ browser, script }, more = {}) {
  // Half of two seconds: a token is renewed when it is one second old.
  const provider = await makeProvider({ expiresIn: 2, ...more.provider });
  const context = await browser.newContext();
  const [options, without] = [more.options ?? {}, more.without ?? []];
  await context.addInitScript((given) => Object.assign(window, given), { options, without });
  const { headers } = more;
  const site = { origin: "https://app.example", html: PAGE, script, provider, headers };
  await serve(context, { ...site, answer: more.answer && ((...args) => more.answer(...args)) });
  const ready = (page) => page.waitForFunction(() => window.isReady === true);
  const tab = async (path = "/") => {
    const page = await context.newPage();
    await more.prepare?.(page);
    await page.goto(`https://app.example${path}`);
    await ready(page);
    return page;
  };
  const signIn = async (page) => {
    const url = await page.evaluate(async () => String(await window.client.signInUrl()));
    await page.goto(provider.signInAt(url));
    await ready(page);
  };
  const first = await tab();
  await signIn(first);
  return { provider, context, tab, first, ready, signIn };
}

export const token = (page) => page.evaluate(() => window.client.accessToken());
export const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
