// Sign-ins in popups and hidden frames in real Chromium, where windows have lost sight of each other
// (Cross-Origin-Opener-Policy), are blocked, closed, or talked to by others.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch, serve } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { until } from "../support/until.mjs";

const ORIGIN = "https://app.corp.example";
const NAMES = { issuer: "https://login.corp.example", redirectUri: `${ORIGIN}/callback` };

const PAGE = `<!doctype html><title>app</title><button id="go">Sign in</button>
  <script type="module" src="/app.js"></script>`;
const APP = `
  import { createClient, relayCallback } from "gatepass";
  const isCallback = location.pathname === "/callback";
  if (!isCallback || !(await relayCallback())) {
    const more = JSON.parse(new URLSearchParams(location.search).get("client") ?? "{}");
    window.client = await createClient({
      issuer: "https://login.corp.example",
      clientId: "spa",
      redirectUri: "https://app.corp.example/callback",
      scope: "openid read",
      site: "corp.example",
      ...more,
    });
    window.outcome = undefined;
    const told = (promise) => promise.then(
      (done) => (window.outcome = done === null ? "redirected" : (done.user?.name ?? "done")),
      ({ name, code }) => (window.outcome = name === "GatepassError" ? code : name),
    );
    window.begin = (options) => void told(window.client.signInPopup(options));
    window.silently = (options) => void told(window.client.signInSilent(options));
    document.getElementById("go").onclick = () => window.begin(window.options);
    if (isCallback) await told(window.client.handleCallback());
    window.isReady = true;
  }
`;

let browser;
let script;
before(async () => {
  const { project } = installPackage("windows");
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

const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * A page of the application.
 *
 * @param {object} [given]
 * @param {Record<string, string>} [given.headers] of the application's pages
 * @param {Record<string, string>} [given.theirs] of the provider's pages
 * @param {object} [given.client] more options of the client
 * @param {(url: URL) => object | string | undefined} [given.answer] answers in place of the rest
 */
async function open(t, { headers = {}, theirs = {}, client = {}, answer } = {}) {
  const provider = await makeProvider(NAMES);
  const context = await browser.newContext();
  t.after(() => context.close());
  await serve(context, {
    origin: ORIGIN,
    html: PAGE,
    script,
    headers,
    provider,
    answer: async (url) => {
      const given = await answer?.(url, provider);
      if (given || url.pathname !== "/authorize") return given;
      const back = provider.signInAt(url.href);
      if (url.searchParams.get("prompt") === "none") return onwards(back);
      const link = `<a id="back" href="${back.replaceAll("&", "&amp;")}">Back</a>`;
      return { contentType: "text/html", body: link, headers: theirs };
    },
  });
  const page = await context.newPage();
  await page.goto(`${ORIGIN}/?client=${encodeURIComponent(JSON.stringify(client))}`);
  await page.waitForFunction(() => window.isReady === true);
  return { provider, context, page };
}

/** Headless Chromium gives the focus to every window at once; here it is where the user is. */
function focus(page, isHere) {
  return page.evaluate((here) => (document.hasFocus = () => here), isHere);
}

/** A page that goes on to a URL at once. */
function onwards(url) {
  const body = `<script>location.replace(${JSON.stringify(url)})</script>`;
  return { contentType: "text/html", body };
}

/** The outcome of what the page began. */
async function outcome(page, timeout = 15_000) {
  await page.waitForFunction(() => window.outcome !== undefined, undefined, { timeout });
  return page.evaluate(() => window.outcome);
}

/** Clicks the button, and gives the popup when the provider's page is there. */
async function clickForPopup(page, options) {
  await page.evaluate((given) => (window.options = given), options);
  const [popup] = await Promise.all([page.waitForEvent("popup"), page.click("#go")]);
  await popup.waitForSelector("#back");
  return popup;
}

const COOP = { "cross-origin-opener-policy": "same-origin" };

for (const [name, given] of [
  ["", {}],
  [" while the provider cuts the tie", { theirs: COOP }],
  [" while the application cuts the tie", { headers: COOP }],
  [" while both cut the tie", { theirs: COOP, headers: COOP }],
  [" with its response in the fragment", { client: { responseMode: "fragment" } }],
  [" with a pushed request", { client: { par: "require" } }],
]) {
  test(`a popup signs in its opener${name}`, async (t) => {
    const { page, provider } = await open(t, given);
    const popup = await clickForPopup(page);
    const isCut = Boolean(given.theirs ?? given.headers);
    assert.equal(await popup.evaluate(() => window.opener === null), isCut);
    const closed = popup.waitForEvent("close");
    await popup.click("#back");
    assert.equal(await outcome(page), "Alice");
    assert.equal(provider.count("/token"), 1);
    await closed;
    // The callback page took the response out of its address before it went.
    assert.equal(popup.url(), NAMES.redirectUri);
    assert.equal(await page.evaluate(() => window.client.state().signedIn), true);
    // The page never left.
    assert.equal(new URL(page.url()).pathname, "/");
  });
}

test("cbk_38 a popup that the user closes is popup_closed", async (t) => {
  const { page } = await open(t);
  const popup = await clickForPopup(page);
  await focus(page, false);
  await popup.close();
  await focus(page, true);
  assert.equal(await outcome(page), "popup_closed");
});

test("a popup that is lost from sight and then closed is popup_closed when its page is used", async (t) => {
  const { page } = await open(t, { theirs: COOP });
  await focus(page, false);
  const popup = await clickForPopup(page);
  await nap(3000);
  assert.equal(await page.evaluate(() => window.outcome), undefined);
  // The user looks into the page, and goes back to the popup.
  await focus(page, true);
  await nap(3000);
  await focus(page, false);
  await nap(1000);
  assert.equal(await page.evaluate(() => window.outcome), undefined);
  await popup.close();
  await focus(page, true);
  assert.equal(await outcome(page, 20_000), "popup_closed");
});

test("cbk_38 a popup that never comes back is window_timeout and leaves nothing behind", async (t) => {
  const { page } = await open(t);
  await page.evaluate(() => {
    window.listening = 0;
    const { addEventListener: add, removeEventListener: remove } = window;
    window.addEventListener = (type, ...rest) => {
      if (type === "message") window.listening++;
      return add.call(window, type, ...rest);
    };
    window.removeEventListener = (type, ...rest) => {
      if (type === "message") window.listening--;
      return remove.call(window, type, ...rest);
    };
  });
  const popup = await clickForPopup(page, { timeout: 1 });
  const closed = popup.waitForEvent("close");
  assert.equal(await page.evaluate(() => window.listening), 1);
  assert.equal(await outcome(page), "window_timeout");
  await closed;
  assert.equal(await page.evaluate(() => window.listening), 0);
});

test("a sign-in in a popup can be given up", async (t) => {
  const { page } = await open(t);
  const [popup] = await Promise.all([
    page.waitForEvent("popup"),
    page.evaluate(() => {
      const abort = new AbortController();
      window.begin({ signal: abort.signal });
      window.giveUp = () => abort.abort();
    }),
  ]);
  await popup.waitForSelector("#back");
  const closed = popup.waitForEvent("close");
  await page.evaluate(() => window.giveUp());
  assert.equal(await outcome(page), "AbortError");
  await closed;
});

/** What is asked of the provider before the window goes there. */
const HANGS = [
  ["the provider's metadata", "/.well-known/openid-configuration", {}],
  ["a pushed request", "/par", { par: "require" }],
];

for (const [what, path, client] of HANGS) {
  test(`a sign-in that waits for ${what} is given up, and ends in time`, async (t) => {
    const { page } = await open(t, {
      client,
      answer: (url) => (url.pathname === path ? new Promise(() => {}) : undefined),
    });
    await page.evaluate(() => {
      window.listening = 0;
      const { addEventListener: add, removeEventListener: remove } = AbortSignal.prototype;
      AbortSignal.prototype.addEventListener = function (...listener) {
        if (this === window.signal) window.listening++;
        return add.apply(this, listener);
      };
      AbortSignal.prototype.removeEventListener = function (...listener) {
        if (this === window.signal) window.listening--;
        return remove.apply(this, listener);
      };
    });
    for (const begin of ["silently", "begin"]) {
      const run = (more) =>
        page.evaluate(
          ([name, given]) => {
            window.outcome = undefined;
            const { abort, ...options } = given;
            window.signal = abort ? AbortSignal.timeout(300) : undefined;
            window[name](abort ? { ...options, signal: window.signal } : options);
          },
          [begin, more],
        );
      const closed = begin === "begin" ? page.waitForEvent("popup") : undefined;
      await run({ abort: true });
      assert.equal(await outcome(page, 5000), "TimeoutError", begin);
      assert.equal(await page.evaluate(() => window.listening), 0);
      if (closed) await until("the popup is closed", async () => (await closed).isClosed());
      await run({ timeout: 1 });
      assert.equal(await outcome(page, 5000), "window_timeout", begin);
      assert.equal(await page.evaluate(() => document.querySelectorAll("iframe").length), 0);
    }
  });
}

test("who gave up before is sent nowhere, and no window opens", async (t) => {
  const { page, provider } = await open(t);
  const before = page.url();
  await page.evaluate(() => {
    window.opened = 0;
    window.open = () => (window.opened++, null);
  });
  for (const begin of ["begin", "silently"]) {
    await page.evaluate((name) => {
      window.outcome = undefined;
      window[name]({ signal: AbortSignal.abort() });
    }, begin);
    assert.equal(await outcome(page), "AbortError");
  }
  assert.equal(await page.evaluate(() => window.opened), 0);
  assert.equal(page.url(), before);
  assert.equal(provider.requests.length, 0);
});

test("a signal that a polyfill made is one", async (t) => {
  const { page, provider } = await open(t);
  await page.evaluate(() => {
    window.open = () => null;
    window.polyfilled = (aborted) => {
      const signal = new EventTarget();
      return Object.assign(signal, { aborted, reason: aborted ? new RangeError("enough") : null });
    };
  });
  for (const begin of ["begin", "silently"]) {
    const run = (aborted) =>
      page.evaluate(
        ([name, aborted]) => {
          window.outcome = undefined;
          window[name]({ signal: window.polyfilled(aborted) });
        },
        [begin, aborted],
      );
    await run(true);
    assert.equal(await outcome(page), "RangeError", begin);
  }
  assert.equal(provider.requests.length, 0);
  await page.evaluate(() => window.begin({ signal: window.polyfilled(false) }));
  await page.waitForSelector("#back");
});

test("a timeout out of range is refused before anything opens, a blocked popup's too", async (t) => {
  const { page, provider } = await open(t);
  const before = page.url();
  for (const begin of ["signInPopup", "signInSilent"]) {
    const refused = await page.evaluate(async (name) => {
      window.opened = 0;
      window.open = () => (window.opened++, null);
      const codes = [];
      for (const timeout of [0, -1, 0.9, 601, Infinity, NaN, "5", null, {}]) {
        const done = window.client[name]({ timeout, whenUnavailable: "redirect" });
        codes.push(await done.then(String, ({ code, at, phase }) => `${phase} ${code} ${at}`));
      }
      return [...new Set(codes), window.opened];
    }, begin);
    assert.deepEqual(refused, ["sign_in config_invalid timeout", 0], begin);
  }
  assert.equal(page.url(), before);
  assert.equal(provider.requests.length, 0);
  await page.evaluate(() => window.begin({ timeout: 1.5 }));
  await page.waitForSelector("#back");
});

test("who gives up while the page is about to go to the provider stays", async (t) => {
  let isAsked = false;
  let goOn;
  const gate = new Promise((resolve) => (goOn = resolve));
  const { page, provider } = await open(t, {
    answer: async (url) => {
      if (!url.pathname.endsWith("/openid-configuration")) return;
      isAsked = true;
      await gate;
    },
  });
  const before = page.url();
  await page.evaluate(() => {
    window.open = () => null;
    const abort = new AbortController();
    window.begin({ signal: abort.signal });
    window.giveUp = () => abort.abort();
  });
  await until("the metadata is asked for", () => isAsked);
  await page.evaluate(() => window.giveUp());
  assert.equal(await outcome(page), "AbortError");
  goOn();
  await nap(500);
  assert.equal(page.url(), before);
  assert.equal(provider.count("/authorize"), 0);
});

test("a popup that is blocked becomes a redirect, or popup_blocked", async (t) => {
  const { page } = await open(t);
  await page.evaluate(() => (window.open = () => null));
  await page.evaluate(() => window.begin({ whenBlocked: "error" }));
  assert.equal(await outcome(page), "popup_blocked");
  await page.evaluate(() => window.begin({ prompt: "login" }));
  await page.waitForSelector("#back");
  assert.equal(new URL(page.url()).pathname, "/authorize");
  await page.click("#back");
  await page.waitForFunction(() => window.outcome === "Alice");
});

test("Chromium blocks a popup that no click asked for, and the page goes itself", async (t) => {
  const own = await launch({ popups: false });
  t.after(() => own.close());
  const shared = browser;
  browser = own;
  try {
    const { page } = await open(t);
    // Long after the last thing that counts as a click, which whatever Playwright runs does too.
    await page.evaluate(() => setTimeout(() => window.begin(), 6000));
    await nap(9000);
    assert.equal(new URL(page.url()).pathname, "/authorize");
  } finally {
    browser = shared;
  }
});

test("cbk_37 a callback is taken from the popup with its state and from nobody else", async (t) => {
  const { page, context, provider } = await open(t);
  const popup = await clickForPopup(page);
  const back = await popup.evaluate(() => document.getElementById("back").href);
  const state = new URL(back).searchParams.get("state");
  // The page itself, a frame of another origin, the popup from the provider's page.
  await page.evaluate((url) => window.postMessage({ gatepass: url }, "*"), back);
  await popup.evaluate((url) => window.opener.postMessage({ gatepass: url }, "*"), back);
  await page.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.srcdoc = `<script>parent.postMessage(${JSON.stringify({ gatepass: url })}, "*")</script>`;
    frame.sandbox = "allow-scripts";
    document.body.append(frame);
  }, back);
  // Another page of this origin with another state, and with what is no callback.
  const other = await context.newPage();
  await other.goto(`${ORIGIN}/`);
  await other.waitForFunction(() => window.isReady === true);
  await other.evaluate((channel) => {
    const sender = new BroadcastChannel(channel);
    for (const said of [
      "https://app.corp.example/callback?code=x&state=other",
      "https://app.corp.example/callback",
      "nothing",
      null,
      { url: "x" },
    ]) {
      sender.postMessage(said);
    }
  }, `gatepass:callback:${state}`);
  await nap(500);
  assert.equal(await page.evaluate(() => window.outcome), undefined);
  assert.equal(provider.count("/token"), 0);
  await popup.click("#back");
  assert.equal(await outcome(page), "Alice");
});

test("brw_07 what is told between pages carries a callback and no token", async (t) => {
  const { page, context } = await open(t, { client: { store: "local" } });
  const told = [];
  await context.exposeFunction("told", (text) => void told.push(text));
  await context.addInitScript(() => {
    const send = BroadcastChannel.prototype.postMessage;
    BroadcastChannel.prototype.postMessage = function (message) {
      window.told(JSON.stringify([this.name, message]));
      return send.call(this, message);
    };
  });
  await page.reload();
  await page.waitForFunction(() => window.isReady === true);
  const popup = await clickForPopup(page);
  await popup.click("#back");
  assert.equal(await outcome(page), "Alice");
  await page.evaluate(() => window.client.refresh());
  const callbacks = told.filter((text) => text.includes("gatepass:callback:"));
  assert.ok(callbacks.length >= 1 && told.length > callbacks.length, JSON.stringify(told.length));
  for (const text of told) {
    assert.doesNotMatch(text, /refresh-|eyJ/);
    assert.ok(text.includes("code=") || /,(null|"taken")\]$/.test(text), text);
  }
});

test("a callback whose page is gone is flow_unknown", async (t) => {
  const { page, provider } = await open(t);
  const popup = await clickForPopup(page);
  await page.close();
  await popup.click("#back");
  assert.equal(await outcome(popup), "flow_unknown");
  assert.equal(provider.count("/token"), 0);
});

// Silent sign-in.

const SILENT = { client: { scope: "openid" } };

test("brw_08 a silent sign-in takes a frame that may do little and is gone afterwards", async (t) => {
  const { page, provider } = await open(t, SILENT);
  await page.evaluate(() => {
    window.frames_ = [];
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const node of addedNodes) {
          if (node.nodeName === "IFRAME") {
            const { hidden, src } = node;
            const sandbox = node.getAttribute("sandbox");
            window.frames_.push({ hidden, sandbox, allow: node.getAttribute("allow"), src });
          }
        }
      }
    }).observe(document.body, { childList: true });
  });
  await page.evaluate(() => window.silently());
  assert.equal(await outcome(page), "Alice");
  const [frame, ...others] = await page.evaluate(() => window.frames_);
  assert.deepEqual(others, []);
  assert.equal(new URL(frame.src).searchParams.get("prompt"), "none");
  assert.deepEqual(
    [frame.hidden, frame.sandbox, frame.allow],
    [true, "allow-scripts allow-same-origin", ""],
  );
  assert.equal(await page.evaluate(() => document.querySelectorAll("iframe").length), 0);
  assert.equal(provider.count("/token"), 1);
});

test("a provider that needs the user says so through the frame", async (t) => {
  const { page } = await open(t, {
    ...SILENT,
    answer: (url) => {
      if (url.pathname !== "/authorize") return undefined;
      const state = url.searchParams.get("state");
      const answer = new URLSearchParams({
        error: "login_required",
        state,
        iss: NAMES.issuer,
      });
      return onwards(`${NAMES.redirectUri}?${answer}`);
    },
  });
  await page.evaluate(() => window.silently());
  assert.equal(await outcome(page), "login_required");
  assert.equal(await page.evaluate(() => document.querySelectorAll("iframe").length), 0);
});

test("brw_08 a provider that does not answer is window_timeout, and the frame goes", async (t) => {
  const { page } = await open(t, {
    ...SILENT,
    answer: (url) =>
      url.pathname === "/authorize"
        ? { contentType: "text/html", body: "Who are you?" }
        : undefined,
  });
  await page.evaluate(() => window.silently({ timeout: 1 }));
  await page.waitForSelector("iframe", { state: "attached" });
  assert.equal(await outcome(page), "window_timeout");
  assert.equal(await page.evaluate(() => document.querySelectorAll("iframe").length), 0);
});

test("without a site in common there is no frame and nothing is sent", async (t) => {
  const { page, provider } = await open(t, { client: { site: "other.example" } });
  await page.evaluate(() => window.silently());
  assert.equal(await outcome(page), "silent_unavailable");
  assert.equal(provider.count("/authorize"), 0);
  assert.equal(await page.evaluate(() => document.querySelectorAll("iframe").length), 0);
});

test("without a site in common the page goes there itself, where that is wanted", async (t) => {
  const { page, provider } = await open(t, { client: { site: "other.example" } });
  const asked = page.waitForRequest((request) => request.url().includes("/authorize"));
  const isBack = page.waitForURL((url) => url.pathname === "/callback");
  await page.evaluate(() => {
    history.replaceState(null, "", "/list?page=2#row");
    window.silently({ whenUnavailable: "redirect", loginHint: "alice" });
  });
  const { searchParams } = new URL((await asked).url());
  assert.equal(searchParams.get("prompt"), "none");
  assert.equal(searchParams.get("login_hint"), "alice");
  await isBack;
  await page.waitForFunction(() => window.isReady === true);
  assert.equal(await page.evaluate(() => window.client.state().signedIn), true);
  assert.equal(provider.count("/token"), 1);
});

test("without a site in common a session is renewed with its refresh token, where that is wanted", async (t) => {
  const { page, provider } = await open(t, { client: { site: "other.example" } });
  await (await clickForPopup(page)).click("#back");
  await outcome(page);
  await page.evaluate(() => {
    window.outcome = undefined;
    window.silently({ whenUnavailable: "redirect" });
  });
  assert.equal(await outcome(page), "redirected");
  assert.equal(provider.count("/token"), 2);
});

test("what is asked for is asked of the provider, and not lost in a renewal", async (t) => {
  const { page, provider } = await open(t, { client: { site: "other.example" } });
  await (await clickForPopup(page)).click("#back");
  await outcome(page);
  // What is not given asks for nothing.
  await page.evaluate(() => {
    window.outcome = undefined;
    const signal = new AbortController().signal;
    window.silently({ whenUnavailable: "redirect", timeout: 5, signal, acrValues: undefined });
  });
  assert.equal(await outcome(page), "redirected");
  assert.equal(provider.count("/token"), 2);
  const asked = page.waitForRequest((request) => request.url().includes("/authorize"));
  await page.evaluate(() =>
    window.silently({ whenUnavailable: "redirect", acrValues: "mfa", maxAge: 0, timeout: 5 }),
  );
  const { searchParams } = new URL((await asked).url());
  assert.deepEqual(
    ["prompt", "acr_values", "max_age"].map((name) => searchParams.get(name)),
    ["none", "mfa", "0"],
  );
  assert.equal(provider.count("/token"), 2);
});

test("cbk_37 messages of other windows are not taken for the frame's", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let back;
  const { page, provider } = await open(t, {
    ...SILENT,
    answer: async (url, idp) => {
      if (url.pathname !== "/authorize") return undefined;
      back = idp.signInAt(url.href);
      await held;
      return onwards(back);
    },
  });
  await page.evaluate(() => window.silently());
  await page.waitForSelector("iframe", { state: "attached" });
  while (back === undefined) await nap(20);
  await page.evaluate((url) => window.postMessage({ gatepass: url }, "*"), back);
  await page.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.id = "other";
    frame.srcdoc = `<script>parent.postMessage(${JSON.stringify({ gatepass: url })}, "*")</script>`;
    document.body.append(frame);
  }, back);
  await nap(500);
  assert.equal(await page.evaluate(() => window.outcome), undefined);
  assert.equal(provider.count("/token"), 0);
  release();
  assert.equal(await outcome(page), "Alice");
});

test("the callback page must be of the page's own origin", async (t) => {
  const { page } = await open(t, {
    client: { redirectUri: "https://other.corp.example/callback" },
  });
  await page.evaluate(() => window.silently());
  assert.equal(await outcome(page), "config_invalid");
});

// The callback page itself.

test("cbk_36 brw_09 after a sign-in neither code nor token stands in the page's traces", async (t) => {
  const asked = [];
  const { page } = await open(t, {
    client: { store: "memory" },
    answer: (url) => void asked.push(url.href),
  });
  await page.evaluate(() => void window.client.signIn());
  await page.waitForSelector("#back");
  const back = await page.evaluate(() => document.getElementById("back").href);
  const code = new URL(back).searchParams.get("code");
  await page.click("#back");
  await page.waitForFunction(() => window.outcome === "Alice");
  const token = await page.evaluate(() => window.client.accessToken());
  const traces = await page.evaluate(() => ({
    href: location.href,
    title: document.title,
    state: JSON.stringify(history.state),
    resources: performance.getEntriesByType("resource").map(({ name }) => name),
    storage: JSON.stringify([{ ...localStorage }, Object.values({ ...sessionStorage })]),
    html: document.documentElement.outerHTML,
  }));
  assert.equal(traces.href, NAMES.redirectUri);
  const every = await page.evaluate(() => JSON.stringify(performance.getEntries()));
  assert.match(every, /"entryType":"navigation"/);
  for (const secret of [token, "refresh-"]) assert.ok(!every.includes(secret), secret);
  const all = JSON.stringify(traces);
  for (const secret of [code, token, "refresh-"]) assert.ok(!all.includes(secret), secret);
  // The code stood in one URL, that of the callback, and the tokens in none.
  assert.deepEqual(
    asked.filter((url) => url.includes(`code=${code}`)).map((url) => new URL(url).pathname),
    ["/callback"],
  );
  assert.ok(asked.every((url) => !url.includes("eyJ") && !url.includes("refresh-")));
});

test("brw_12 going back to the callback page redeems nothing again", async (t) => {
  const { page, provider } = await open(t);
  await page.evaluate(() => void window.client.signIn());
  await page.waitForSelector("#back");
  const back = await page.evaluate(() => document.getElementById("back").href);
  await page.click("#back");
  await page.waitForFunction(() => window.outcome === "Alice");
  await page.goto(`${ORIGIN}/elsewhere`);
  await page.waitForFunction(() => window.isReady === true);
  await page.goBack();
  await page.waitForFunction(() => window.outcome !== undefined);
  assert.equal(provider.count("/token"), 1);
  // The URL itself, as somebody may have kept it.
  await page.goto(back);
  assert.equal(await outcome(page), "flow_reused");
  assert.equal(provider.count("/token"), 1);
});

test("brw_06 no token stands where another script could read it", async (t) => {
  const { page } = await open(t);
  const popup = await clickForPopup(page);
  await popup.click("#back");
  assert.equal(await outcome(page), "Alice");
  const found = await page.evaluate(() => {
    const seen = new Set();
    const hits = [];
    const visit = (value, path, depth) => {
      if (typeof value === "string" && /eyJ|refresh-/.test(value)) hits.push(path);
      if (value === null || typeof value !== "object" || depth > 6 || seen.has(value)) return;
      seen.add(value);
      for (const name of Object.getOwnPropertyNames(value)) {
        try {
          visit(value[name], `${path}.${name}`, depth + 1);
        } catch {
          // What may not be read holds nothing of ours.
        }
      }
    };
    visit(window.client, "client", 0);
    visit({ ...localStorage, ...sessionStorage }, "storage", 0);
    const names = new Set();
    for (let it = window.client; it; it = Object.getPrototypeOf(it)) {
      for (const name of Object.getOwnPropertyNames(it)) names.add(name);
    }
    return { hits, getters: [...names].filter((name) => /refreshToken|idToken/i.test(name)) };
  });
  assert.deepEqual(found, { hits: [], getters: [] });
});

test("brw_10 brw_11 a strict Content-Security-Policy with Trusted Types is enough", async (t) => {
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "connect-src https://login.corp.example",
    "frame-src 'self' https://login.corp.example",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  const { page } = await open(t, { headers: { "content-security-policy": policy } });
  const violations = [];
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text())) {
      violations.push(message.text());
    }
  });
  await page.evaluate(() => window.silently());
  assert.equal(await outcome(page), "Alice");
  await page.evaluate(() => (window.outcome = undefined));
  const popup = await clickForPopup(page);
  await popup.click("#back");
  assert.equal(await outcome(page), "Alice");
  assert.deepEqual(violations, []);
});
