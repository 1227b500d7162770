// What a page keeps to itself, in real Chromium: after a sign-in no token stands anywhere but where the
// program put the session.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launchTabs, openTabs } from "../support/tabs.mjs";

let launched;
before(async () => {
  launched = await launchTabs("page");
});
after(() => launched?.browser.close());

async function open(t, more) {
  const opened = await openTabs(launched, { provider: { expiresIn: 300 }, ...more });
  t.after(() => opened.context.close());
  return opened;
}

/** All texts of sessionStorage, localStorage and IndexedDB. */
const stored = (page) =>
  page.evaluate(async () => {
    const texts = [...Object.values(sessionStorage), ...Object.values(localStorage)];
    for (const { name, version } of await indexedDB.databases()) {
      const database = await new Promise((resolve) => {
        const request = indexedDB.open(name, version);
        request.onsuccess = () => resolve(request.result);
      });
      for (const store of database.objectStoreNames) {
        const values = database.transaction(store).objectStore(store).getAll();
        await new Promise((resolve) => (values.onsuccess = resolve));
        texts.push(...values.result.map((value) => JSON.stringify(value)));
      }
      database.close();
    }
    return texts;
  });

const isToken = /eyJ[\w-]+\.|refresh-\d/;

test("brw_01 a session is kept in memory unless the program says otherwise", async (t) => {
  const { first } = await open(t, { without: ["store"] });
  assert.equal(await first.evaluate(() => window.client.state().signedIn), true);
  assert.deepEqual(
    (await stored(first)).filter((text) => isToken.test(text)),
    [],
  );
  await first.goto("https://app.example/");
  await first.waitForFunction(() => window.isReady === true);
  assert.equal(await first.evaluate(() => window.client.state().signedIn), false);

  // What the test looks for is there when it is asked for.
  const { first: other } = await open(t);
  assert.ok((await stored(other)).some((text) => isToken.test(text)));
});

test("brw_04 storage that is refused or full stops a sign-in before the page leaves", async (t) => {
  const { first } = await open(t, { options: { store: "memory" } });
  const code = (spoil) =>
    first.evaluate(async (spoil) => {
      const original = Object.getOwnPropertyDescriptor(window, "sessionStorage");
      Object.defineProperty(window, "sessionStorage", {
        configurable: true,
        get: () => {
          const error = (name) => new DOMException("refused", name);
          if (spoil === "blocked") throw error("SecurityError");
          const full = () => {
            throw error("QuotaExceededError");
          };
          return { getItem: () => null, setItem: full, removeItem: full };
        },
      });
      const href = location.href;
      const ended = await window.client.signIn().then(
        () => "left",
        ({ code }) => code,
      );
      Object.defineProperty(window, "sessionStorage", original);
      return [ended, location.href === href];
    }, spoil);
  assert.deepEqual(await code("blocked"), ["storage_unavailable", true]);
  assert.deepEqual(await code("full"), ["storage_unavailable", true]);
});

test("brw_06 nothing that a script can reach hands out the refresh token", async (t) => {
  const { first } = await open(t, { options: { store: "memory" } });
  const found = await first.evaluate(() => {
    const seen = new Set();
    const texts = [];
    const walk = (value, depth) => {
      if (typeof value === "string") texts.push(value);
      const isNode = typeof Node !== "undefined" && value instanceof Node;
      if (value === null || !["object", "function"].includes(typeof value) || isNode) return;
      if (seen.has(value) || depth > 5) return;
      seen.add(value);
      for (const name of Reflect.ownKeys(value)) {
        try {
          walk(value[name], depth + 1);
        } catch {
          // A getter that throws holds nothing.
        }
      }
      if (value !== window) walk(Object.getPrototypeOf(value), depth + 1);
    };
    for (const name of Object.keys(window)) walk(window[name], 0);
    walk(window.client, 0);
    walk(window.client.user(), 0);
    walk(window.client.state(), 0);
    return texts;
  });
  // It has looked: the claims of the user are among them.
  assert.ok(found.includes("alice"));
  assert.deepEqual(
    found.filter((text) => isToken.test(text)),
    [],
  );
});

test("brw_09 after the callback no token, code or state is left in the page's traces", async (t) => {
  const { first, provider } = await open(t, { options: { store: "memory" } });
  const traces = await first.evaluate(() => ({
    url: location.href,
    title: document.title,
    referrer: document.referrer,
    history: JSON.stringify(history.state),
    entries: performance.getEntriesByType("resource").map(({ name }) => name),
  }));
  assert.equal(traces.url, provider.redirectUri);
  const text = JSON.stringify(traces);
  // No page can take its own address out of the entry of its navigation: a code that is used up.
  const every = await first.evaluate(() => JSON.stringify(performance.getEntries()));
  assert.match(every, /"entryType":"navigation"/);
  assert.doesNotMatch(every, isToken);
  assert.doesNotMatch(text, isToken);
  assert.doesNotMatch(text, /[?&](code|state|iss)=/);
  assert.ok(traces.entries.some((name) => name.endsWith("/token")));
});

test("brw_10 brw_11 a page with a strict policy and Trusted Types signs in and renews", async (t) => {
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "connect-src https://as.example",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  const violations = [];
  const { first } = await open(t, {
    headers: { "content-security-policy": policy },
    prepare: (page) => {
      page.on("console", (message) => {
        if (message.type() === "error") violations.push(message.text());
      });
    },
  });
  await first.evaluate(() => window.client.refresh());
  assert.equal(await first.evaluate(() => window.client.state().signedIn), true);
  assert.deepEqual(violations, []);
  // The policy is in force.
  const refused = await first.evaluate(() => {
    try {
      return String(document.createElement("script").setAttribute("src", "x") ?? "set");
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(refused, "TypeError");
});

test("brw_12 coming back to a callback page does not redeem its code again", async (t) => {
  const { provider, first } = await open(t, { options: { store: "memory" } });
  assert.equal(provider.count("/token"), 1);
  await first.goto("about:blank");
  await first.goBack();
  await first.waitForFunction(() => window.client !== undefined || window.isReady === true);
  // Restored as it was, or loaded anew: either way the URL holds no code.
  assert.equal(await first.evaluate(() => location.href), provider.redirectUri);
  const again = await first.evaluate(() =>
    window.client.handleCallback().then(
      ({ user }) => user.sub,
      ({ code }) => code,
    ),
  );
  assert.ok(["alice", "state_missing", "code_missing"].includes(again), again);
  assert.equal(provider.count("/token"), 1);
});
