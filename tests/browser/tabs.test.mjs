// Tabs of one origin in real Chromium, over IndexedDB and Web Locks: whatever they do at once,
// each refresh token is used once.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch, serve } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

const TABS = 5;
const ROUNDS = 60;

const PAGE = `<!doctype html><title>tab</title><script type="module" src="/app.js"></script>`;
const APP = `
  import { createClient } from "gatepass";
  const options = {
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    scope: "openid read",
    store: "local",
    timeout: 5,
  };
  window.seen = [];
  window.client = await createClient({ ...options, onEvent: ({ type }) => window.seen.push(type) });
  if (location.pathname === "/callback") await window.client.handleCallback();
  window.isReady = true;
`;

let browser;
let script;
before(async () => {
  const { project } = installPackage("tabs");
  writeFileSync(join(project, "app.mjs"), APP);
  const { outputFiles } = await build({
    entryPoints: [join(project, "app.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  script = outputFiles[0].text;
  browser = await launch();
});
after(() => browser?.close());

/** A context whose provider hands out tokens that are to be renewed at once. */
async function open(t, answer) {
  // Half of two seconds: a token is renewed when it is one second old.
  const provider = await makeProvider({ expiresIn: 2 });
  const context = await browser.newContext();
  t.after(() => context.close());
  const site = { origin: "https://app.example", html: PAGE, script, provider, answer };
  await serve(context, site);
  const tab = async (path = "/") => {
    const page = await context.newPage();
    await page.goto(`https://app.example${path}`);
    await page.waitForFunction(() => window.isReady === true);
    return page;
  };
  const first = await tab();
  const url = await first.evaluate(async () => String(await window.client.signInUrl()));
  await first.goto(provider.signInAt(url));
  await first.waitForFunction(() => window.isReady === true);
  return { provider, tab, first };
}

const token = (page) => page.evaluate(() => window.client.accessToken());
const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test(`${TABS} tabs renew together ${ROUNDS} times and never use a refresh token twice`, async (t) => {
  let failing = false;
  const { provider, tab, first } = await open(t, (url) => {
    // The network fails before the provider hears of the request.
    if (failing && url.pathname === "/token") return "abort";
    return undefined;
  });
  const tabs = [first];
  while (tabs.length < TABS) tabs.push(await tab());

  for (let round = 0; round < ROUNDS; round++) {
    // All at once, each a little later, or after a network failure.
    failing = round % 7 === 3;
    if (failing) {
      await Promise.allSettled(tabs.map((page) => page.evaluate(() => window.client.refresh())));
      failing = false;
    }
    const together = await Promise.all(
      tabs.map(async (page, index) => {
        if (round % 3 === 1) await nap(index * 5);
        await page.evaluate(() => window.client.refresh());
        return token(page);
      }),
    );
    for (const one of together) assert.match(one, /^eyJ/);
    // A tab that is reloaded goes on with the session.
    if (round % 20 === 19) {
      await tabs[round % TABS].reload();
      await tabs[round % TABS].waitForFunction(() => window.isReady === true);
    }
  }
  assert.equal(provider.reuses(), 0);
  const refreshes = provider.count("/token") - 1;
  // Tabs that asked together shared one renewal: far fewer than tabs times rounds.
  assert.ok(refreshes >= ROUNDS, `${refreshes} refreshes`);
  assert.ok(refreshes <= ROUNDS * (TABS - 1), `${refreshes} refreshes`);
  for (const page of tabs) {
    assert.equal(await page.evaluate(() => window.client.state().signedIn), true);
  }
});

test("signing out in one tab signs the others out at once", async (t) => {
  const { tab, first } = await open(t);
  const other = await tab();
  await first.evaluate(() => window.client.signOutUrl());
  await other.waitForFunction(() => window.seen.includes("signed_out"));
  assert.equal(await other.evaluate(() => window.client.user()), null);
  const code = await other.evaluate(() => window.client.accessToken().catch((error) => error.code));
  assert.equal(code, "login_required");
});

test("a tab that holds the lock and hangs does not stop the others for ever", async (t) => {
  const { tab, first } = await open(t);
  const hanging = await tab();
  await hanging.evaluate(
    () =>
      void navigator.locks.query().then(() => {
        const name = "gatepass:session:https://as.example spa";
        return navigator.locks.request(name, () => new Promise(() => {}));
      }),
  );
  await nap(100);
  const started = Date.now();
  await first.evaluate(() => window.client.refresh());
  assert.ok(Date.now() - started < 60_000);
  assert.match(await token(first), /^eyJ/);
});

test("a tab that sleeps through its turn goes on with what the others did", async (t) => {
  let isSlow = false;
  const { provider, tab, first } = await open(t, async (url) => {
    if (isSlow && url.pathname === "/token") {
      isSlow = false;
      await nap(1000);
    }
    return undefined;
  });
  const other = await tab();
  // The lock is taken away while the first tab waits for its answer, as if it had slept.
  isSlow = true;
  const sleeping = first.evaluate(() =>
    window.client.refresh().then(
      () => "renewed",
      (error) => error.code,
    ),
  );
  await nap(300);
  await other.evaluate(() => {
    const name = "gatepass:session:https://as.example spa";
    return navigator.locks.request(name, { steal: true }, async () => {});
  });
  assert.equal(await sleeping, "renewed");
  assert.match(await token(other), /^eyJ/);
  assert.equal(provider.reuses(), 0);
});
