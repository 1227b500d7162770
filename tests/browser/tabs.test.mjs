// Tabs of one origin in real Chromium, over IndexedDB and Web Locks: whatever they do at once,
// each refresh token is used once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { LOCK, launchTabs, nap, openTabs, token } from "../support/tabs.mjs";
import { until } from "../support/until.mjs";

const TABS = 5;
const ROUNDS = 60;

let launched;
before(async () => {
  launched = await launchTabs("tabs");
});
after(() => launched?.browser.close());

/** A context whose provider hands out tokens that are to be renewed at once. */
async function open(t, more) {
  const opened = await openTabs(launched, more);
  t.after(() => opened.context.close());
  return opened;
}

test(`${TABS} tabs renew together ${ROUNDS} times and never use a refresh token twice`, async (t) => {
  let failing = false;
  const { provider, tab, first } = await open(t, {
    answer: (url) => {
      // The network fails before the provider hears of the request.
      if (failing && url.pathname === "/token") return "abort";
      return undefined;
    },
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

const WORKER = `
  import { createClient } from "gatepass";
  const client = await createClient({
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    scope: "openid read",
    store: "local",
  });
  const renew = () => client.refresh().then(() => client.accessToken());
  onmessage = async ({ ports: [port] }) => {
    port.postMessage(await renew().catch(({ code }) => code));
  };
  postMessage("ready");
`;

test("workers renew together with tabs, and hear of a sign-out", async (t) => {
  const body = await launched.bundle("worker.mjs", WORKER);
  const { provider, tab, first } = await open(t, {
    answer: (url) =>
      url.pathname === "/worker.js" ? { contentType: "text/javascript", body } : undefined,
  });
  const pages = [first, await tab()];
  for (const page of pages) {
    await page.evaluate(
      () =>
        new Promise((resolve) => {
          const worker = new Worker("/worker.js", { type: "module" });
          worker.onmessage = resolve;
          window.renewInWorker = () =>
            new Promise((answered) => {
              const { port1, port2 } = new MessageChannel();
              port1.onmessage = ({ data }) => answered(data);
              worker.postMessage(null, [port2]);
            });
        }),
    );
  }
  const before = provider.count("/token");
  for (let round = 0; round < 20; round++) {
    const together = pages.flatMap((page) => [
      page.evaluate(() => window.client.refresh().then(() => window.client.accessToken())),
      page.evaluate(() => window.renewInWorker()),
    ]);
    for (const one of await Promise.all(together)) assert.match(one, /^eyJ/);
  }
  assert.equal(provider.reuses(), 0);
  const renewals = provider.count("/token") - before;
  assert.ok(renewals >= 20 && renewals < 80, `${renewals} renewals`);
  await first.evaluate(() => window.client.signOutUrl());
  for (const page of pages) {
    assert.equal(await page.evaluate(() => window.renewInWorker()), "login_required");
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

for (const store of ["memory", "session"]) {
  test(`signing out reaches tabs with a session of their own: store ${store}`, async (t) => {
    const more = { options: { store }, provider: { expiresIn: 300 } };
    const { provider, tab, first, signIn } = await open(t, more);
    const other = await tab();
    await signIn(other);
    const waiting = await tab();
    const url = await waiting.evaluate(async () => String(await window.client.signInUrl()));
    await first.evaluate(() => window.client.signOutUrl());
    await other.waitForFunction(() => window.seen.includes("signed_out"));
    assert.equal(await signedIn(other), false);
    const kept = await other.evaluate(() => Object.values(sessionStorage).join(" "));
    assert.doesNotMatch(kept, /eyJ/);
    // Each tab ends the tokens that it alone knows.
    await until("the tokens of both tabs ended", () => provider.count("/revoke") === 4);
    // A sign-in that somebody began in another tab goes on.
    await waiting.goto(provider.signInAt(url));
    await waiting.waitForFunction(() => window.isReady === true);
    assert.equal(await signedIn(waiting), true);
  });
}

test("a sign-out of somebody else, or of another client, is none", async (t) => {
  const more = { options: { store: "memory" }, provider: { expiresIn: 300 } };
  const { first } = await open(t, more);
  await first.evaluate(async () => {
    const channel = new BroadcastChannel("gatepass");
    const signedOutOf = "https://as.example spa";
    channel.postMessage({ signedOutOf, subject: "mallory" });
    channel.postMessage({ signedOutOf: "https://as.example spa2", subject: "alice" });
    for (const subject of [null, 1, true, {}, ["alice"]])
      channel.postMessage({ signedOutOf, subject });
    channel.postMessage({ signedOutOf: [signedOutOf] });
    channel.postMessage("signedOut");
    channel.postMessage(null);
    await new Promise((resolve) => setTimeout(resolve, 200));
  });
  assert.equal(await signedIn(first), true);
  await first.evaluate(() => {
    const channel = new BroadcastChannel("gatepass");
    channel.postMessage({ signedOutOf: "https://as.example spa", subject: "alice" });
  });
  await first.waitForFunction(() => window.seen.includes("signed_out"));
});

test("a sign-out where nobody is signed in ends nobody's session in another tab", async (t) => {
  const more = { options: { store: "memory" }, provider: { expiresIn: 300 } };
  const { provider, tab, first } = await open(t, more);
  const other = await tab();
  await other.evaluate(() => {
    window.messages = [];
    new BroadcastChannel("gatepass").onmessage = ({ data }) => window.messages.push(data);
  });
  await other.evaluate(() => window.client.signOutUrl());
  await nap(300);
  const empty = await tab();
  await empty.evaluate(() => window.client.signOutUrl());
  await nap(300);
  assert.equal(await signedIn(first), true);
  assert.deepEqual(await other.evaluate(() => window.messages), []);
  assert.equal(provider.count("/revoke"), 0);
});

for (const kind of ["no key", "a key of its own", "the key of all tabs"]) {
  test(`a sign-out is everybody's only where it ends the key of all tabs: ${kind}`, async (t) => {
    const options = { store: "memory", ...(kind !== "no key" && { dpop: true }) };
    const bound = { expiresIn: 300, ...(kind !== "no key" && { dpop: {} }) };
    const { provider, tab, first } = await open(t, { options, provider: bound });
    const other = await tab();
    await other.evaluate(() => {
      window.messages = [];
      new BroadcastChannel("gatepass").onmessage = ({ data }) => window.messages.push(data);
    });
    const url = await first.evaluate(async (isOwn) => {
      const algorithm = { name: "ECDSA", namedCurve: "P-256" };
      const key = isOwn && (await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]));
      window.another = await window.createClient({
        issuer: "https://as.example",
        clientId: "spa",
        redirectUri: "https://app.example/callback",
        dpop: isOwn ? { key } : (window.options.dpop ?? false),
      });
      return String(await window.another.signInUrl());
    }, kind === "a key of its own");
    const callback = String(provider.signInAt(url));
    await first.evaluate((url) => window.another.handleCallback(url), callback);
    await first.evaluate(() => window.another.signOutUrl());
    await other.waitForFunction(() => window.messages.length > 0);
    const isTheirs = kind !== "the key of all tabs" && { subject: "alice" };
    const note = { signedOutOf: "https://as.example spa", ...isTheirs };
    assert.deepEqual(await other.evaluate(() => window.messages), [note]);
  });
}

const signedIn = (page) => page.evaluate(() => window.client.state().signedIn);

test("a tab that begins with a copy of another's sessionStorage does not have its session", async (t) => {
  const { provider, context, first, ready } = await open(t, { options: { store: "session" } });
  const opened = context.waitForEvent("page");
  await first.evaluate(() => void window.open("/"));
  const copy = await opened;
  await ready(copy);
  assert.equal(await signedIn(copy), false);
  const tokens = await copy.evaluate(() => Object.values(sessionStorage).join(" "));
  assert.doesNotMatch(tokens, /eyJ|refresh/);
  await first.evaluate(() => window.client.refresh());
  assert.equal(await signedIn(first), true);
  assert.equal(provider.reuses(), 0);

  // It has a session of its own once somebody signs in there, and keeps it.
  const url = await copy.evaluate(async () => String(await window.client.signInUrl()));
  await copy.goto(provider.signInAt(url));
  await ready(copy);
  for (const page of [copy, first, copy]) {
    await page.goto("https://app.example/");
    await page.reload();
    await ready(page);
    assert.equal(await signedIn(page), true);
  }
  // The provider of the tests knows one session at a time.
  await copy.evaluate(() => window.client.refresh());
  assert.equal(provider.reuses(), 0);
});

test("clients of one tab renew its session one after the other", async (t) => {
  const { provider, first } = await open(t, {
    provider: { expiresIn: 300 },
    options: { store: "session" },
  });
  const seen = await first.evaluate(async () => {
    const { client } = window;
    const other = await window.createClient({
      issuer: "https://as.example",
      clientId: "spa",
      redirectUri: "https://app.example/callback",
      scope: "openid read",
      store: "session",
    });
    await Promise.all([client.refresh(), other.refresh()]);
    await Promise.all([other.refresh(), client.refresh()]);
    return [client, other].map((one) => one.state().signedIn);
  });
  assert.deepEqual(seen, [true, true]);
  assert.equal(provider.reuses(), 0);
});

test("a frame and a page that one goes back to have the session of their tab", async (t) => {
  const { first, ready } = await open(t, { options: { store: "session" } });
  await first.goto("https://app.example/");
  await ready(first);
  const inFrame = await first.evaluate(async () => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.src = "/";
    while (!frame.contentWindow.isReady) await new Promise((resolve) => setTimeout(resolve, 20));
    return frame.contentWindow.client.state().signedIn;
  });
  assert.equal(inFrame, true);
  await first.goto("https://app.example/other");
  await ready(first);
  assert.equal(await signedIn(first), true);
  await first.goBack();
  await ready(first);
  assert.equal(await signedIn(first), true);
});

/** Holds the lock of the session and never gives it back. */
const hang = (page) =>
  page.evaluate(
    (name) => new Promise((taken) => navigator.locks.request(name, () => new Promise(taken))),
    LOCK,
  );

test("a tab that holds the lock and hangs loses it once, to one of the tabs that wait", async (t) => {
  const { provider, tab, first } = await open(t, { provider: { expiresIn: 300 } });
  const waiting = [first, await tab(), await tab(), await tab()];
  const hanging = await tab();
  void hang(hanging);
  await nap(300);
  const before = provider.count("/token");
  await Promise.all(waiting.map((page) => page.evaluate(() => window.client.refresh())));
  const tokens = await Promise.all(waiting.map(token));
  assert.equal(new Set(tokens).size, 1);
  assert.equal(provider.count("/token") - before, 1);
  assert.equal(provider.reuses(), 0);
});

test("a tab that hangs in the middle of its look into the store stops no other", async (t) => {
  const { provider, tab, first } = await open(t, { provider: { expiresIn: 300 } });
  const hanging = await tab();
  const look = hanging.evaluate(async () => {
    let hangsUntil;
    const { openCursor } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.openCursor = function (...range) {
      IDBObjectStore.prototype.openCursor = openCursor;
      const request = openCursor.apply(this, range);
      request.addEventListener("success", () => {
        hangsUntil = Date.now() + 10_000;
        while (Date.now() < hangsUntil);
      });
      return request;
    };
    return { token: await window.client.accessToken(), hangsUntil };
  });
  await nap(500);
  await first.evaluate(() => window.client.refresh());
  const renewed = Date.now();
  const back = await look;
  assert.match(back.token, /^eyJ/);
  assert.ok(renewed < back.hangsUntil, `${renewed - back.hangsUntil} ms after it was back`);
  assert.equal(provider.reuses(), 0);
});

test("a tab that hangs between its last look and its write writes over nobody's session", async (t) => {
  const { provider, tab, first } = await open(t, {
    // Who used a token and hangs does not tell what became of it.
    provider: { expiresIn: 300, forgives: () => true },
    options: { timeout: 1 },
  });
  const hanging = await tab();
  const hung = hanging.evaluate(async () => {
    const { transaction } = IDBDatabase.prototype;
    let back;
    IDBDatabase.prototype.transaction = function (store, mode) {
      // The first one that changes something is the one that stores the session.
      if (mode === "readwrite" && back === undefined) {
        back = Date.now() + 14_000;
        while (Date.now() < back);
      }
      return transaction.call(this, store, mode);
    };
    await window.client.refresh();
    return back;
  });
  await nap(500);
  await first.evaluate(() => window.client.refresh());
  const [renewed, stored] = [Date.now(), await token(first)];
  const back = await hung;
  assert.ok(renewed < back, `${renewed - back} ms after it was back`);
  assert.equal(await token(hanging), stored);
  // What is in the store is the last one: it can be used.
  assert.equal(provider.count("/token"), 3);
  await (await tab()).evaluate(() => window.client.refresh());
  assert.equal(provider.reuses(), 0);
});

test("a tab that sleeps through its turn goes on with what the others did", async (t) => {
  let isSlow = false;
  const { provider, tab, first } = await open(t, {
    answer: async (url) => {
      if (isSlow && url.pathname === "/token") {
        isSlow = false;
        await nap(1000);
      }
      return undefined;
    },
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
  await other.evaluate(
    (name) => navigator.locks.request(name, { steal: true }, async () => {}),
    LOCK,
  );
  assert.equal(await sleeping, "renewed");
  assert.match(await token(other), /^eyJ/);
  assert.equal(provider.reuses(), 0);
});

test("a page that is frozen for longer than a request may take finds the answer that came meanwhile", async (t) => {
  let isSlow = false;
  const { provider, context, first } = await open(t, {
    answer: async (url) => {
      if (isSlow && url.pathname === "/token") await nap(500);
      return undefined;
    },
  });
  const cdp = await context.newCDPSession(first);
  for (let round = 0; round < 2; round++) {
    const before = provider.count("/token");
    isSlow = true;
    const renewal = first.evaluate(() =>
      window.client.refresh().then(
        () => "renewed",
        (error) => error.code,
      ),
    );
    await nap(200);
    // Longer than the two seconds that a request has.
    await cdp.send("Debugger.enable");
    await cdp.send("Debugger.pause");
    await nap(2500);
    assert.equal(provider.count("/token"), before + 1);
    await cdp.send("Debugger.resume").catch(() => {}); // It had nothing to do.
    await cdp.send("Debugger.disable");
    assert.equal(await renewal, "renewed");
    isSlow = false;
    assert.match(await token(first), /^eyJ/);
    assert.equal(provider.count("/token"), before + 1);
  }
  assert.equal(provider.reuses(), 0);
});

/** A browser without Web Locks. */
const withoutLocks = (page) =>
  page.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, "locks", { value: undefined }),
  );

test(`without Web Locks ${TABS} tabs renew together and never use a refresh token twice`, async (t) => {
  const { provider, tab, first } = await open(t, { prepare: withoutLocks });
  const tabs = [first];
  while (tabs.length < TABS) tabs.push(await tab());
  assert.equal(await first.evaluate(() => navigator.locks), undefined);
  for (let round = 0; round < 20; round++) {
    const all = tabs.map((page) => page.evaluate(() => window.client.refresh()));
    await Promise.all(all);
  }
  assert.equal(provider.reuses(), 0);
  assert.ok(provider.count("/token") > 20);
  for (const page of tabs) assert.match(await token(page), /^eyJ/);
});

test("without Web Locks a tab that is closed with the lease stops the others for a while", async (t) => {
  let asked;
  const waits = new Promise((resolve) => (asked = resolve));
  let isStuck = false;
  const { provider, tab, first } = await open(t, {
    prepare: withoutLocks,
    provider: { expiresIn: 300 },
    answer: (url) => {
      if (!isStuck || url.pathname !== "/token") return undefined;
      isStuck = false;
      asked();
      return new Promise(() => {});
    },
  });
  const closing = await tab();
  isStuck = true;
  closing.evaluate(() => window.client.refresh()).catch(() => {});
  await waits;
  await closing.close();
  await first.evaluate(() => window.client.refresh());
  assert.match(await token(first), /^eyJ/);
  assert.equal(provider.reuses(), 0);
});

/** The only tab, with a clock that a test moves. */
async function clocked({ first, tab }) {
  const page = await tab();
  await first.close();
  await page.clock.install();
  await page.reload();
  await page.waitForFunction(() => window.isReady === true);
  return page;
}

test("rfr_21 a page renews its session ahead of time, and when it wakes up", async (t) => {
  const opened = await open(t, { provider: { expiresIn: 300 } });
  const { provider } = opened;
  const page = await clocked(opened);
  const refreshed = (times) =>
    page.waitForFunction(
      (times) => window.seen.filter((type) => type === "refreshed").length === times,
      times,
    );
  const before = provider.count("/token");
  await page.clock.fastForward(230_000);
  assert.equal(provider.count("/token"), before);
  await page.clock.fastForward(11_000);
  await refreshed(1);
  // The lid is closed for hours; timers fire late and once.
  await page.clock.fastForward(7 * 3_600_000);
  await refreshed(2);
  assert.equal(provider.count("/token"), before + 2);
  assert.equal(provider.reuses(), 0);
});

test("a page that was offline renews its session when the network is back, a hidden one later", async (t) => {
  let isOffline = false;
  const opened = await open(t, {
    provider: { expiresIn: 300 },
    answer: (url) => (isOffline && url.pathname === "/token" ? "abort" : undefined),
  });
  const { provider, context } = opened;
  const page = await clocked(opened);
  isOffline = true;
  await context.setOffline(true);
  await page.clock.fastForward(241_000);
  await page.waitForFunction(() => window.seen.includes("refresh_failed"));
  assert.equal(await page.evaluate(() => window.client.state().signedIn), true);
  // From here on time stands still in the page: no timer brings the renewal.
  await page.clock.pauseAt(await page.evaluate(() => Date.now() + 1000));
  isOffline = false;
  const before = provider.count("/token");
  await context.setOffline(false);
  while (!(await page.evaluate(() => window.seen.includes("refreshed")))) await nap(20);
  assert.equal(provider.count("/token"), before + 1);

  const show = (state) =>
    page.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  await show("hidden");
  await page.clock.fastForward(1_000_000);
  assert.equal(provider.count("/token"), before + 1);
  await show("visible");
  const times = () => window.seen.filter((type) => type === "refreshed").length;
  while ((await page.evaluate(times)) < 2) await nap(20);
  assert.equal(provider.count("/token"), before + 2);
});

test("a store that failed once is asked again", async (t) => {
  const opened = await open(t, { provider: { expiresIn: 300 } });
  const page = await clocked(opened);
  const before = opened.provider.count("/token");
  await page.evaluate(() => {
    const { transaction } = IDBDatabase.prototype;
    window.failures = 0;
    IDBDatabase.prototype.transaction = function (...args) {
      if (window.failures < 2) {
        window.failures++;
        throw new DOMException("busy", "UnknownError");
      }
      return transaction.apply(this, args);
    };
  });
  await page.clock.fastForward(241_000);
  await page.waitForFunction(() => window.failures === 2);
  await page.clock.fastForward(61_000);
  await page.waitForFunction(() => window.seen.includes("refreshed"));
  assert.equal(opened.provider.count("/token"), before + 1);
});

test("autoRefresh: false leaves the session alone until it is used", async (t) => {
  const opened = await open(t, {
    provider: { expiresIn: 300 },
    options: { autoRefresh: false },
  });
  const { provider } = opened;
  const page = await clocked(opened);
  const before = provider.count("/token");
  await page.clock.fastForward(1_000_000);
  assert.equal(provider.count("/token"), before);
  await token(page);
  assert.equal(provider.count("/token"), before + 1);
});

test("brw_07 what tabs tell each other holds no token", async (t) => {
  const { tab, first } = await open(t);
  const other = await tab();
  await other.evaluate(() => {
    window.messages = [];
    new BroadcastChannel("gatepass").onmessage = ({ data }) => window.messages.push(data);
  });
  await first.evaluate(() => window.client.refresh());
  await other.waitForFunction(() => window.messages.length > 0);
  assert.deepEqual(await other.evaluate(() => window.messages), [null]);
});

test("a page goes on when the user clears the site's data", async (t) => {
  const { first } = await open(t, { provider: { expiresIn: 300 } });
  await first.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase("gatepass");
        request.onsuccess = resolve;
        request.onerror = request.onblocked = reject;
      }),
  );
  const code = await first.evaluate(() => window.client.accessToken().catch(({ code }) => code));
  assert.equal(code, "login_required");
  assert.ok(await first.evaluate(() => window.seen.includes("signed_out")));
});
