// `store: "local"` in real Chromium where the browser refuses IndexedDB: to everybody, as where site data is
// blocked, in private modes and in sandboxed frames, or to those who write, as where the disk is full.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { serve } from "../support/browser.mjs";
import { makeProvider } from "../support/provider.mjs";
import { launchTabs } from "../support/tabs.mjs";

const ORIGIN = "https://app.example";
const PAGE = `<!doctype html><title>app</title><script type="module" src="/app.js"></script>`;
const APP = `
  import { createClient } from "gatepass";
  import { relayCallback } from "gatepass/callback";
  window.relayCallback = relayCallback;
  const options = {
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "${ORIGIN}/callback",
    scope: "openid read",
  };
  window.seen = [];
  const onEvent = ({ type, code }) => void (code && window.seen.push(type + " " + code));
  const memory = () => {
    const values = new Map();
    return { get: (key) => values.get(key), set: (key, value) => void values.set(key, value) };
  };
  /** The code of what a promise rejects with, or "done". */
  window.codeOf = (promise) => promise.then(() => "done", ({ code }) => code);
  window.make = (store, more) => createClient({ ...options, store, onEvent, ...more });
  window.memory = memory;
  window.isReady = true;
`;

let launched;
let script;
before(async () => {
  launched = await launchTabs("refused-storage");
  script = await launched.bundle("refused.mjs", APP);
});
after(() => launched?.browser.close());

/** A page of the application in a browser that does to it what it is told to. */
async function open(t, { context, spoil } = {}) {
  const provider = await makeProvider();
  const browsing = context ?? (await launched.browser.newContext());
  t.after(() => browsing.close());
  if (spoil) await browsing.addInitScript(spoil);
  await serve(browsing, { origin: ORIGIN, html: PAGE, script, provider });
  const page = await browsing.newPage();
  await page.goto(`${ORIGIN}/`);
  await page.waitForFunction(() => window.isReady === true);
  return { page, provider };
}

/** Signs in without leaving the page, as a popup does; the client is in `window.client` then. */
async function signIn(page, provider) {
  const url = await page.evaluate(() => window.client.signInUrl().then(String));
  const back = provider.signInAt(url);
  return page.evaluate(
    (at) => window.client.handleCallback(at).then(({ user }) => user.name),
    back,
  );
}

for (const [how, spoil] of [
  [
    "throws",
    () => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("refused", "SecurityError");
      };
    },
  ],
  [
    "fires an error",
    () => {
      IDBFactory.prototype.open = () => {
        const request = { error: new DOMException("refused", "InvalidStateError") };
        setTimeout(() => request.onerror(new Event("error")));
        return request;
      };
    },
  ],
  [
    "is not there",
    () => Object.defineProperty(window, "indexedDB", { value: undefined, configurable: true }),
  ],
]) {
  test(`brw_04 IndexedDB that ${how} is storage_unavailable at once, and memory does without`, async (t) => {
    const { page, provider } = await open(t, { spoil });
    assert.equal(
      await page.evaluate(() => window.codeOf(window.make("local"))),
      "storage_unavailable",
    );
    assert.equal(provider.requests.length, 0);
    // What the README says to do then.
    await page.evaluate(async () => (window.client = await window.make("memory")));
    assert.equal(await signIn(page, provider), "Alice");
    await page.evaluate(() => window.client.refresh());
    assert.equal(provider.count("/token"), 2);
  });
}

for (const [how, spoil] of [
  [
    "throws",
    () => {
      IDBObjectStore.prototype.add = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    },
  ],
  [
    "is taken back",
    () => {
      const { add } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.add = function (...values) {
        const request = add.apply(this, values);
        this.transaction.abort();
        return request;
      };
    },
  ],
]) {
  test(`brw_04 a write that ${how} is told as store_failed, and the session goes on in the page`, async (t) => {
    const { page, provider } = await open(t, { spoil });
    await page.evaluate(async () => (window.client = await window.make("local")));
    assert.deepEqual(await page.evaluate(() => window.seen), []);
    assert.equal(await signIn(page, provider), "Alice");
    assert.deepEqual(await page.evaluate(() => window.seen), ["store_failed storage_unavailable"]);
    const first = await page.evaluate(() => window.client.accessToken());
    await page.evaluate(() => window.client.refresh());
    assert.notEqual(await page.evaluate(() => window.client.accessToken()), first);
    assert.equal((await page.evaluate(() => window.seen)).length, 2);
    assert.equal(provider.reuses(), 0);
    // It was in this page alone.
    await page.reload();
    await page.waitForFunction(() => window.isReady === true);
    const state = await page.evaluate(() => window.make("local").then((client) => client.state()));
    assert.equal(state.signedIn, false);
  });
}

/** A browser that refuses channels between tabs. */
function withoutChannels() {
  window.BroadcastChannel = class {
    constructor() {
      throw new DOMException("The operation is insecure.", "SecurityError");
    }
  };
}

test("brw_04 without channels between tabs no page takes the callback of a popup", async (t) => {
  const { page } = await open(t, { spoil: withoutChannels });
  const taken = await page.evaluate(() => {
    history.replaceState(null, "", "/callback?code=x&state=abc.popup");
    return window.relayCallback();
  });
  assert.equal(taken, false);
});

for (const store of ["memory", "session", "local"]) {
  test(`brw_04 without channels between tabs ${store} works, and the program hears of everything`, async (t) => {
    const { page, provider } = await open(t, { spoil: withoutChannels });
    await page.evaluate(async (given) => {
      window.client = await window.make(given);
      window.told = [];
      for (const type of ["signed_in", "refreshed", "signed_out"]) {
        window.client.on(type, () => window.told.push(type));
      }
    }, store);
    assert.equal(await signIn(page, provider), "Alice");
    await page.evaluate(() => window.client.refresh());
    // What was written is there for whoever looks.
    const other = await page.evaluate(
      (given) => window.make(given).then((client) => client.state().signedIn),
      store,
    );
    assert.equal(other, store !== "memory");
    await page.evaluate(() => window.client.signOutUrl());
    assert.deepEqual(await page.evaluate(() => [window.told, window.seen]), [
      ["signed_in", "refreshed", "signed_out"],
      [],
    ]);
  });
}

test("brw_04 a user who blocks site data can sign in, in memory and with stores of the program's own", async (t) => {
  const profile = mkdtempSync(join(tmpdir(), "gatepass-blocked-"));
  t.after(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(profile, "Default"));
  // What the switch in Chromium's settings writes: block.
  const blocked = { profile: { default_content_setting_values: { cookies: 2 } } };
  writeFileSync(join(profile, "Default/Preferences"), JSON.stringify(blocked));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env["CHROME"],
    args: ["--no-sandbox", "--disable-background-networking"],
  });
  const { page, provider } = await open(t, { context });
  const stores = await page.evaluate(async () => {
    const name = (ask) => {
      try {
        return typeof ask();
      } catch (error) {
        return error.name;
      }
    };
    const request = await new Promise((resolve) => {
      let opening;
      try {
        opening = indexedDB.open("x");
      } catch (error) {
        return resolve(error.name);
      }
      opening.onerror = () => resolve(opening.error.name);
      opening.onsuccess = () => resolve("open");
    });
    return [name(() => sessionStorage), request];
  });
  assert.deepEqual(stores, ["SecurityError", "UnknownError"]);
  assert.equal(
    await page.evaluate(() => window.codeOf(window.make("local"))),
    "storage_unavailable",
  );
  await page.evaluate(async () => (window.client = await window.make("memory")));
  // Its pending sign-ins would stand in sessionStorage.
  assert.equal(
    await page.evaluate(() => window.codeOf(window.client.signInUrl())),
    "storage_unavailable",
  );
  await page.evaluate(async () => {
    window.client = await window.make("memory", { transactionStore: window.memory() });
  });
  assert.equal(await signIn(page, provider), "Alice");
  // Nor does the browser give Web Locks: a store of one's own does without, and the session goes on.
  await page.evaluate(async () => {
    const values = new Map();
    const store = {
      get: (key) => values.get(key),
      set: (key, text) => void values.set(key, text),
      remove: (key) => void values.delete(key),
    };
    window.client = await window.make(store, { transactionStore: window.memory() });
  });
  assert.equal(
    await page.evaluate(() => navigator.locks.request("x", () => {}).catch(({ name }) => name)),
    "SecurityError",
  );
  assert.equal(await signIn(page, provider), "Alice");
  const asked = provider.count("/token");
  await page.evaluate(() => window.client.refresh());
  assert.equal(provider.count("/token"), asked + 1);
});
