// Sessions in cookies, of the installed package in Node, with a provider that is a function.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { makeCookieBrowser } from "../support/cookie-browser.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { until } from "../support/until.mjs";

const APP = "https://app.example";
const SESSION = "__Host-gatepass";
const KEY = Buffer.alloc(32, 1).toString("base64url");
const OLD_KEY = Buffer.alloc(32, 2).toString("base64url");

let backend;
before(async () => {
  const { project } = installPackage("cookie-sessions");
  backend = await importInstalled(project, "gatepass/backend");
});

const failure = (promise) =>
  promise.then(
    () => assert.fail("it was accepted"),
    (error) => error,
  );

async function makeSessions(provider, more = {}) {
  const { issuer, clientId, redirectUri, fetch } = provider;
  return backend.createCookieSessions({
    issuer,
    clientId,
    redirectUri,
    fetch,
    scope: "openid read",
    keys: [KEY],
    clientAuth: { method: "client_secret_basic", clientSecret: "server-S3CRET" },
    ...more,
  });
}

/** An application: `/me` says who is signed in, `/token` shows the access token. */
function makeApp(sessions, options) {
  return sessions.protect(async (request, session) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/token") return new Response(await session.accessToken());
    return Response.json({ user: session.user, signedIn: session.signedIn });
  }, options);
}

async function world(more = {}, { provider: given, ...options } = {}) {
  const provider = await makeProvider({ answer: undefined, ...given });
  const sessions = await makeSessions(provider, more);
  const app = makeApp(sessions, options);
  const browser = makeCookieBrowser(APP, app);
  return { provider, sessions, app, browser };
}

/** Through the provider and back. */
async function signIn({ provider, browser }, path = "/login") {
  const away = await browser.navigate(path);
  assert.equal(away.status, 303);
  const callback = provider.signInAt(away.headers.get("location"));
  return browser.navigate(callback, "cross-site");
}

const whoIs = async (browser) => (await (await browser.fetch("/me")).json()).user?.sub;

test("a browser signs in, is known, and signs out", async () => {
  const all = await world();
  const { browser, provider } = all;
  const first = await browser.navigate("/inbox?box=1");
  assert.equal(first.status, 303);
  assert.equal(first.headers.get("location"), "/login?returnTo=%2Finbox%3Fbox%3D1");
  assert.equal((await browser.fetch("/me")).status, 401);
  const back = await signIn(all, first.headers.get("location"));
  assert.deepEqual([back.status, back.headers.get("location")], [303, "/inbox?box=1"]);
  assert.equal(back.headers.get("cache-control"), "no-store");
  assert.deepEqual([...browser.jar.keys()], [SESSION]);
  assert.equal(await whoIs(browser), "alice");
  const token = await (await browser.fetch("/token")).text();
  assert.match(token, /^ey/);
  const out = await browser.submit("/logout");
  assert.equal(out.status, 303);
  assert.match(out.headers.get("location"), /^https:\/\/as\.example\/logout\?/);
  assert.equal(browser.jar.size, 0);
  assert.equal((await browser.fetch("/me")).status, 401);
  // Once more it changes nothing.
  assert.equal((await browser.submit("/logout")).headers.get("location"), "/");
  assert.equal(provider.count("/revoke"), 2);
});

test("metadata and keys are fetched once, however many requests there are", async () => {
  const all = await world();
  await signIn(all);
  for (let round = 0; round < 3; round++) {
    const browser = makeCookieBrowser(APP, all.app);
    await signIn({ ...all, browser });
    assert.equal(await whoIs(browser), "alice");
  }
  assert.equal(all.provider.count("/.well-known/openid-configuration"), 1);
  assert.equal(all.provider.count("/jwks"), 1);
  assert.equal(all.provider.count("/token"), 4);
});

test("brw_13_cookies_are_bound_to_the_host_and_kept_from_scripts_and_other_sites", async () => {
  for (const [sameSite, expected] of [
    [undefined, "Lax"],
    ["lax", "Lax"],
    ["strict", "Strict"],
  ]) {
    const all = await world(sameSite && { sameSite });
    const away = await all.browser.navigate("/login");
    const [flow] = [...all.browser.jar.keys()];
    assert.match(flow, /^__Host-gatepass-login-[\w-]{16}$/);
    const common = ["Path=/", "Secure", "HttpOnly"];
    assert.deepEqual(all.browser.attributes.get(flow), [
      "Path=/",
      "Max-Age=900",
      "Secure",
      "HttpOnly",
      "SameSite=Lax",
    ]);
    const back = await all.browser.navigate(
      all.provider.signInAt(away.headers.get("location")),
      "cross-site",
    );
    const attributes = all.browser.attributes.get(SESSION);
    for (const each of [...common, `SameSite=${expected}`]) assert.ok(attributes.includes(each));
    // Counted from the callback on, so some seconds less on a machine that is busy.
    const maxAge = attributes.find((each) => each.startsWith("Max-Age="));
    assert.match(maxAge, /^Max-Age=(86400|863[89]\d)$/);
    assert.equal(attributes.length, 5);
    // The redirect of a callback comes from the provider's site: a strict cookie would stay behind.
    assert.equal(back.status, expected === "Strict" ? 200 : 303);
    if (expected === "Strict") {
      assert.match(await back.text(), /http-equiv="refresh" content="0;url=\/"/);
    }
    // Nothing of a session can be read in what the browser has.
    const kept = [...all.browser.jar.values()].join();
    const bytes = Buffer.from(kept.split(".")[2], "base64url").toString("latin1");
    for (const secret of ["alice", "eyJhbGci", "refresh-"]) {
      assert.ok(!kept.includes(secret) && !bytes.includes(secret));
    }
  }
});

test("brw_13_without_tls_cookies_have_other_names_and_only_on_this_machine", async () => {
  const provider = await makeProvider({ redirectUri: "http://localhost:3000/callback" });
  const refused = await failure(makeSessions(provider));
  assert.deepEqual([refused.code, refused.at], ["url_insecure", "redirectUri"]);
  const elsewhere = await makeProvider({ redirectUri: "http://app.example/callback" });
  const error = await failure(makeSessions(elsewhere, { dangerouslyAllowHttpLoopback: true }));
  assert.deepEqual([error.code, error.at], ["url_insecure", "redirectUri"]);
  const sessions = await makeSessions(provider, { dangerouslyAllowHttpLoopback: true });
  const browser = makeCookieBrowser("http://localhost:3000", makeApp(sessions));
  await signIn({ provider, browser });
  assert.deepEqual([...browser.jar.keys()], ["gatepass"]);
  assert.ok(!browser.attributes.get("gatepass").includes("Secure"));
  assert.equal(await whoIs(browser), "alice");
});

/** What a request with these cookies meets: signed out, and the cookies are removed. */
async function isSignedOut(all, jar, present = [...jar.keys()]) {
  const response = await all.browser.send("/me", { cookies: jar });
  assert.equal(response.status, 401);
  const gone = response.headers.getSetCookie().map((line) => line.split("=", 1)[0]);
  assert.deepEqual(
    gone.sort(),
    present.filter((name) => name.startsWith(SESSION)).sort(),
    [...jar.values()].join().slice(0, 100),
  );
  for (const line of response.headers.getSetCookie()) assert.match(line, /=; .*Max-Age=0; /);
}

test("brw_14_a_cookie_that_was_changed_anywhere_signs_out", async () => {
  const all = await world();
  await signIn(all);
  const sealed = all.browser.jar.get(SESSION);
  const jar = (value) => new Map([[SESSION, value]]);
  assert.equal((await all.browser.send("/me", { cookies: jar(sealed) })).status, 200);
  // It names its key in front: count of cookies, key, data.
  assert.match(sealed, /^1\.[\w-]{8}\.[\w-]+$/);
  for (let at = 0; at < sealed.length; at += at < 16 ? 1 : 97) {
    const other = sealed[at] === "A" ? "B" : "A";
    await isSignedOut(all, jar(sealed.slice(0, at) + other + sealed.slice(at + 1)));
  }
  for (const value of ["", ".", "1.", "1..", "0.x.y", "1.x", "nonsense", "💥", `${sealed}.x`]) {
    if (/^[\x20-\x7e]*$/.test(value)) await isSignedOut(all, jar(value));
  }
  const events = [];
  const told = await makeSessions(all.provider, { onEvent: (event) => events.push(event) });
  await told.session(new Request(APP, { headers: { cookie: `${SESSION}=1.x.y` } }));
  assert.deepEqual(events, [{ type: "session_discarded", code: "storage_invalid" }]);
});

test("brw_14_a_long_session_is_spread_over_three_cookies_at_the_most", async () => {
  for (const [length, expected] of [
    [500, 2],
    [1500, 3],
    [3000, undefined],
  ]) {
    const idToken = { picture: "x".repeat(length) };
    const all = await world({}, { provider: { idToken } });
    const back = await signIn(all);
    if (expected === undefined) {
      assert.equal(back.status, 400);
      assert.match(await back.text(), /storage_unavailable/);
      assert.equal(all.browser.jar.size, 0);
      continue;
    }
    const lines = back.headers.getSetCookie().filter((line) => !line.includes("Max-Age=0"));
    assert.equal(lines.length, expected, `${length}`);
    for (const line of lines) assert.ok(line.length <= 4096);
    assert.equal(await whoIs(all.browser), "alice");
    // All of them go when the browser signs out.
    await all.browser.submit("/logout");
    assert.equal(all.browser.jar.size, 0);
  }
});

test("brw_14_parts_that_a_shorter_session_left_behind_are_removed", async () => {
  const all = await world({}, { provider: { idToken: { picture: "x".repeat(1500) } } });
  await signIn(all);
  const parts = [...all.browser.jar.keys()].length;
  assert.ok(parts > 1);
  const short = await world();
  const browser = makeCookieBrowser(APP, short.app);
  for (const [name, value] of all.browser.jar) browser.jar.set(name, value);
  await signIn({ ...short, browser });
  assert.deepEqual([...browser.jar.keys()], [SESSION]);
  assert.equal(await whoIs(browser), "alice");
});

test("brw_15_a_cookie_of_another_deployment_an_old_key_truncated_or_with_swapped_halves_signs_out", async () => {
  const all = await world({}, { provider: { idToken: { picture: "x".repeat(500) } } });
  await signIn(all);
  const jar = new Map(all.browser.jar);
  assert.deepEqual([...jar.keys()], [SESSION, `${SESSION}-1`]);
  assert.equal((await all.browser.send("/me", { cookies: jar })).status, 200);

  // Another deployment: another client, another issuer, with the same key.
  for (const more of [{ clientId: "other" }, { issuer: "https://other.example" }]) {
    const provider = await makeProvider(more);
    const sessions = await makeSessions(provider, { fetch: provider.fetch });
    const browser = makeCookieBrowser(APP, makeApp(sessions));
    await isSignedOut({ browser }, jar);
  }
  // An old key that is gone; one that is still there opens.
  const { provider } = all;
  const gone = await makeSessions(provider, { keys: [OLD_KEY] });
  await isSignedOut({ browser: makeCookieBrowser(APP, makeApp(gone)) }, jar);

  // Truncated: within a cookie, and by one of them.
  const parts = [...jar];
  const cut = new Map(parts.map(([name, value]) => [name, value.slice(0, -8)]));
  await isSignedOut(all, cut);
  await isSignedOut(all, new Map(parts.slice(0, 1)));
  await isSignedOut(all, new Map(parts.slice(1)));

  // Swapped halves: of the text, and of the cookies.
  const [[, first], [, second]] = parts;
  const [count, id, data] = first.split(".");
  await isSignedOut(
    all,
    new Map([
      [SESSION, `${count}.${id}.${second}`],
      [`${SESSION}-1`, data],
    ]),
  );
  await isSignedOut(
    all,
    new Map([
      [SESSION, second],
      [`${SESSION}-1`, first],
    ]),
  );

  // A cookie that comes twice, as another host of the domain could have it.
  const twice = [...jar, ...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  const response = await all.browser.send("/me", { cookies: [], headers: { cookie: twice } });
  assert.equal(response.status, 401);

  // The cookie of a sign-in is none of a session.
  await all.browser.navigate("/login", "cross-site");
  const [login] = [...all.browser.jar.keys()].filter((name) => name.includes("-login-"));
  await isSignedOut(all, new Map([[SESSION, `1.${all.browser.jar.get(login)}`]]));
});

test("keys are changed without signing anybody out", async () => {
  const all = await world({ keys: [OLD_KEY] });
  await signIn(all);
  const before = all.browser.jar.get(SESSION);
  const both = await makeSessions(all.provider, { keys: [KEY, OLD_KEY] });
  const browser = makeCookieBrowser(APP, makeApp(both));
  browser.jar.set(SESSION, before);
  assert.equal(await whoIs(browser), "alice");
  // It was sealed anew, once.
  const after = browser.jar.get(SESSION);
  assert.notEqual(after.split(".")[1], before.split(".")[1]);
  assert.deepEqual((await browser.fetch("/me")).headers.getSetCookie(), []);
  const next = await makeSessions(all.provider, { keys: [KEY] });
  const later = makeCookieBrowser(APP, makeApp(next));
  later.jar.set(SESSION, after);
  assert.equal(await whoIs(later), "alice");
});

test("brw_16_what_changes_something_must_come_from_the_applications_own_pages", async () => {
  const all = await world();
  await signIn(all);
  const { browser } = all;
  const before = new Map(browser.jar);
  const site = (value) => ({ "sec-fetch-site": value });
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    for (const [headers, expected] of [
      [{}, 403],
      [{ origin: "https://evil.example" }, 403],
      [{ origin: "null" }, 403],
      [{ origin: `${APP}.evil.example` }, 403],
      [{ origin: "http://app.example" }, 403],
      [{ origin: APP, ...site("cross-site") }, 403],
      [site("same-site"), 403],
      [site("none"), 403],
      [{ origin: "https://evil.example", ...site("same-origin") }, 403],
      [{ origin: APP }, 200],
      [site("same-origin"), 200],
      [{ origin: "null", ...site("same-origin") }, 200],
      [{ origin: APP, ...site("same-origin") }, 200],
    ]) {
      const response = await browser.send("/me", { method, headers });
      assert.equal(response.status, expected, `${method} ${JSON.stringify(headers)}`);
      // Nobody is signed out by it either.
      assert.deepEqual(response.headers.getSetCookie(), []);
    }
  }
  assert.deepEqual(browser.jar, before);
  // A handler that asks nobody sees nobody.
  const session = await all.sessions.session(
    new Request(`${APP}/me`, {
      method: "POST",
      headers: { cookie: `${SESSION}=${browser.jar.get(SESSION)}` },
    }),
  );
  assert.deepEqual(
    [session.signedIn, session.user, session.state()],
    [false, null, { signedIn: false }],
  );
  assert.deepEqual([session.refusal.code, session.refusal.at], ["request_invalid", "origin"]);
  assert.equal((await failure(session.accessToken())).code, "login_required");
  // Without a login being required it is refused all the same.
  const open = makeApp(all.sessions, { requireLogin: false });
  const jar = browser.jar;
  const anybody = makeCookieBrowser(APP, open);
  assert.equal((await anybody.send("/me", { method: "POST", cookies: jar })).status, 403);
  // What carries no session is the application's own affair.
  assert.equal((await anybody.send("/me", { method: "POST" })).status, 200);
  assert.equal((await anybody.send("/me")).status, 200);
});

test("lgo_20_another_site_signs_nobody_out", async () => {
  const all = await world();
  await signIn(all);
  const { browser } = all;
  const image = {
    "sec-fetch-mode": "no-cors",
    "sec-fetch-dest": "image",
    "sec-fetch-site": "cross-site",
  };
  for (const method of ["GET", "HEAD", "PUT"]) {
    const response = await browser.send("/logout", { method, headers: image });
    assert.deepEqual([response.status, response.headers.get("allow")], [405, "POST"]);
    assert.deepEqual(response.headers.getSetCookie(), []);
  }
  for (const headers of [
    {},
    { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
    { origin: "null", "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ]) {
    const response = await browser.send("/logout", { method: "POST", headers });
    assert.equal(response.status, 403);
    assert.deepEqual(response.headers.getSetCookie(), []);
  }
  // Nor by the addresses that end a session on their way.
  assert.equal((await browser.send("/login", { headers: image })).status, 403);
  const link = await browser.navigate("/login", "cross-site");
  assert.equal(link.status, 303);
  for (const path of [
    "/callback?error=access_denied&state=x",
    "/callback",
    "/callback?state=x&code=y",
  ]) {
    const response = await browser.navigate(path, "cross-site");
    assert.deepEqual([response.status, response.headers.get("location")], [303, "/"]);
  }
  assert.equal(await whoIs(browser), "alice");
  assert.equal(all.provider.count("/revoke"), 0);
});

test("lgo_21_the_cookie_goes_where_somebody_is_to_sign_in_and_where_that_failed", async () => {
  const all = await world();
  const { browser, provider } = all;
  const removes = (response) =>
    response.headers
      .getSetCookie()
      .some((line) => line.startsWith(`${SESSION}=; `) && line.includes("Max-Age=0"));
  await signIn(all);
  // The sign-in page.
  const away = await browser.navigate("/login");
  assert.ok(removes(away));
  assert.ok(!browser.jar.has(SESSION));
  // An error page: the provider's refusal, and a state of nobody.
  browser.jar.set(SESSION, "1.stale.cookie");
  const state = new URL(away.headers.get("location")).searchParams.get("state");
  const denied = await browser.navigate(
    `/callback?error=access_denied&state=${state}&iss=${provider.issuer}`,
    "cross-site",
  );
  assert.equal(denied.status, 400);
  assert.match(await denied.text(), /server_error_response.*href="\/login"/s);
  assert.ok(removes(denied));
  browser.jar.set(SESSION, "1.stale.cookie");
  const unknown = await browser.navigate("/callback?code=x&state=y", "cross-site");
  assert.deepEqual([unknown.status, removes(unknown)], [400, true]);
  assert.match(await unknown.text(), /flow_unknown/);
  // On the way to sign in, and where a script is told to.
  for (const go of [browser.navigate, browser.fetch]) {
    browser.jar.set(SESSION, "1.stale.cookie");
    assert.ok(removes(await go("/me")));
  }
});

test("an answer of one's own to a failed sign-in carries the cookies", async () => {
  const onError = (error) => Response.redirect(`${APP}/sorry?code=${error.code}`);
  const all = await world({ onError });
  all.browser.jar.set(SESSION, "1.stale.cookie");
  const response = await all.browser.navigate("/callback?code=x&state=y", "cross-site");
  assert.equal(response.headers.get("location"), `${APP}/sorry?code=flow_unknown`);
  assert.equal(all.browser.jar.size, 0);
});

test("several sign-ins of one browser wait side by side, and five at the most", async () => {
  const all = await world();
  const { browser, provider } = all;
  const urls = [];
  for (let tab = 0; tab < 7; tab++) {
    const away = await browser.navigate(`/login?returnTo=/tab/${tab}`);
    urls.push(away.headers.get("location"));
  }
  assert.equal(browser.jar.size, 5);
  const first = await browser.navigate(provider.signInAt(urls[0]), "cross-site");
  assert.equal(first.status, 400);
  for (const tab of [6, 4]) {
    const back = await browser.navigate(provider.signInAt(urls[tab]), "cross-site");
    assert.equal(back.headers.get("location"), `/tab/${tab}`);
  }
  // The callback of another browser is that of a login that nobody began here.
  const other = makeCookieBrowser(APP, all.app);
  const theirs = await other.navigate(provider.signInAt(urls[5]), "cross-site");
  assert.match(await theirs.text(), /flow_unknown/);
  assert.equal(other.jar.size, 0);
});

test("only a path of the application is gone on to", async () => {
  const all = await world();
  for (const to of [
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "javascript:alert(1)",
  ]) {
    all.browser.jar.clear();
    const back = await signIn(all, `/login?returnTo=${encodeURIComponent(to)}`);
    assert.deepEqual([back.status, back.headers.get("location")], [303, "/"], to);
  }
});

const hasSession = (headers) =>
  headers.getSetCookie().some((line) => /^__Host-gatepass=[^;]/.test(line));

test("a callback that comes twice, at once or a moment later, signs in twice with one code", async () => {
  const all = await world();
  const away = await all.browser.navigate("/login?returnTo=/there");
  const callback = all.provider.signInAt(away.headers.get("location"));
  // The browser left before an answer came: it has the cookies of before.
  const old = new Map(all.browser.jar);
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => all.browser.navigate(callback, "cross-site")),
  );
  answers.push(await all.browser.send(callback, { cookies: old }));
  for (const { status, headers } of answers) {
    assert.deepEqual([status, headers.get("location")], [303, "/there"]);
    assert.ok(hasSession(headers));
  }
  assert.equal(all.provider.count("/token"), 1);
  assert.equal(await whoIs(all.browser), "alice");
  // Who signed out is not signed in again by it, nor is who comes without the cookie of the login.
  await all.browser.submit("/logout");
  for (const cookies of [old, new Map()]) {
    const late = await all.browser.send(callback, { cookies });
    assert.equal(late.status, 400);
    assert.ok(!hasSession(late.headers));
  }
});

test("a callback waits for the same one for a while and no longer", async (t) => {
  let isHeld = true;
  const answer = (url) =>
    isHeld && url.endsWith("/token") ? ((isHeld = false), new Promise(() => {})) : undefined;
  const all = await world({ timeout: 60 }, { provider: { answer } });
  const away = await all.browser.navigate("/login");
  const callback = all.provider.signInAt(away.headers.get("location"));
  // Workers end what a browser asked for that left: nothing comes of it.
  void all.browser.navigate(callback, "cross-site").catch(() => {});
  while (isHeld) await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const second = all.browser.navigate(callback, "cross-site");
  let isThere = false;
  const settled = second.finally(() => (isThere = true));
  // Ten seconds of its clock, which begin when it has read its cookies.
  const end = performance.now() + 20_000;
  while (!isThere && performance.now() < end) {
    await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(20);
  }
  t.mock.timers.reset();
  assert.equal((await settled).status, 303);
  assert.equal(await whoIs(all.browser), "alice");
});

test("a sign-in that failed for want of a network can be tried again", async () => {
  let isDown = false;
  const answer = (url) =>
    isDown && url.endsWith("/token") ? new Response("", { status: 503 }) : undefined;
  const all = await world({}, { provider: { answer } });
  const away = await all.browser.navigate("/login");
  const callback = all.provider.signInAt(away.headers.get("location"));
  isDown = true;
  assert.equal((await all.browser.navigate(callback, "cross-site")).status, 503);
  isDown = false;
  assert.equal((await all.browser.navigate(callback, "cross-site")).status, 303);
  assert.equal(await whoIs(all.browser), "alice");
});

/** From now on it is so many seconds later, until the test ends. */
function later(t, seconds) {
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  Date.now = () => now() + seconds * 1000;
}

test("rfr_01_requests_that_come_together_renew_once", async (t) => {
  const all = await world({ refreshSkew: 3600 });
  await signIn(all);
  const old = new Map(all.browser.jar);
  later(t, 200);
  const asked = all.provider.count("/token");
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => all.browser.send("/token", { cookies: old })),
  );
  const tokens = new Set();
  for (const response of answers) {
    assert.equal(response.status, 200);
    tokens.add(await response.text());
    assert.equal(response.headers.getSetCookie().length, 1);
    assert.equal(response.headers.get("cache-control"), "no-store");
  }
  assert.equal(tokens.size, 1);
  assert.equal(all.provider.count("/token"), asked + 1);
  // One that was under way with the old cookie gets the new one as well.
  assert.equal((await all.browser.send("/token", { cookies: old })).status, 200);
  assert.equal(all.provider.reuses(), 0);
  // Who signed out is not signed in again by it.
  await all.browser.submit("/logout");
  await isSignedOut(all, old);
});

test("a renewal that comes while the user signs out signs nobody in", async (t) => {
  const holds = { token: undefined, revocation: undefined };
  const asked = [];
  let brought;
  const hold = (name) => {
    let goOn;
    holds[name] = new Promise((resolve) => (goOn = resolve));
    return () => {
      holds[name] = undefined;
      goOn();
    };
  };
  const provider = await makeProvider();
  const all = {
    provider,
    browser: makeCookieBrowser(
      APP,
      makeApp(
        await makeSessions(provider, {
          refreshSkew: 3600,
          fetch: async (url, init) => {
            const answer = await provider.fetch(url, init);
            asked.push(new URL(url).pathname);
            if (url.endsWith("/token") && holds.token) {
              brought = await answer.clone().json();
              await holds.token;
            }
            if (url.endsWith("/revoke")) await holds.revocation;
            return answer;
          },
        }),
      ),
    ),
  };
  await signIn(all);
  const old = new Map(all.browser.jar);
  later(t, 200);
  const [renew, revoke] = [hold("token"), hold("revocation")];
  const renewing = all.browser.send("/token", { cookies: old });
  await until("the token endpoint was asked", () => brought);
  const leaving = all.browser.submit("/logout");
  await until("the tokens are being ended", () => asked.includes("/revoke"));
  renew();
  revoke();
  const [late] = await Promise.all([renewing, leaving]);
  assert.equal(late.status, 401);
  assert.ok(!hasSession(late.headers));
  const ended = provider.requests
    .filter(({ url }) => url.endsWith("/revoke"))
    .map(({ init }) => new URLSearchParams(init.body).get("token"));
  for (const token of [brought.refresh_token, brought.access_token]) {
    assert.ok(ended.includes(token));
  }
});

test("a renewal that was done while a sign-out sealed its cookie anew ends with it", async (t) => {
  const provider = await makeProvider();
  const issued = [];
  const makeWith = async (keys) => {
    const sessions = await makeSessions(provider, {
      keys,
      refreshSkew: 3600,
      fetch: async (url, init) => {
        const answer = await provider.fetch(url, init);
        if (url.endsWith("/token")) issued.push(await answer.clone().json());
        return answer;
      },
    });
    return { provider, browser: makeCookieBrowser(APP, makeApp(sessions)) };
  };
  const before = await makeWith([OLD_KEY]);
  await signIn(before);
  const old = new Map(before.browser.jar);
  const all = await makeWith([KEY, OLD_KEY]);
  old.forEach((value, name) => all.browser.jar.set(name, value));
  later(t, 200);
  let goOn;
  const { encrypt } = crypto.subtle;
  t.mock.method(crypto.subtle, "encrypt", async (...given) => {
    if (!goOn) await new Promise((resolve) => (goOn = resolve));
    return encrypt.apply(crypto.subtle, given);
  });
  const leaving = all.browser.submit("/logout");
  await until("the sign-out seals its cookie", () => goOn);
  const renewed = await all.browser.send("/token", { cookies: old });
  assert.equal(renewed.status, 200);
  goOn();
  await leaving;
  const ended = provider.requests
    .filter(({ url }) => url.endsWith("/revoke"))
    .map(({ init }) => new URLSearchParams(init.body).get("token"));
  assert.ok(ended.includes(issued.at(-1).refresh_token));
  const cookies = new Map(
    renewed.headers.getSetCookie().map((line) => line.split(";")[0].split(/=(.*)/s).slice(0, 2)),
  );
  assert.equal((await all.browser.send("/me", { cookies })).status, 401);
});

test("sessions that are disposed of under a request take no other client along", async () => {
  const provider = await makeProvider();
  let goOn;
  const held = new Promise((resolve) => (goOn = resolve));
  let isAsked;
  const sessions = await makeSessions(provider, {
    fetch: async (url, init) => {
      if (url.endsWith("/token")) {
        isAsked = true;
        await held;
      }
      return provider.fetch(url, init);
    },
  });
  const { issuer, clientId, redirectUri, fetch } = provider;
  const other = await backend.createClient({ issuer, clientId, redirectUri, fetch });
  await other.handleCallback(provider.signInAt(await other.signInUrl()));
  const all = { provider, browser: makeCookieBrowser(APP, makeApp(sessions)) };
  const answer = signIn(all);
  await until("the code is on its way", () => isAsked);
  sessions.dispose();
  goOn();
  assert.ok((await answer).status >= 400);
  assert.equal(other.state().signedIn, true);
  assert.match(await other.accessToken(), /^eyJ/);
});

test("an answer that is slow brings nobody back who signed out meanwhile", async (t) => {
  const provider = await makeProvider();
  let isDone;
  let goOn;
  const slow = new Promise((resolve) => (goOn = resolve));
  const sessions = await makeSessions(provider, { refreshSkew: 3600 });
  const app = sessions.protect(async (_request, session) => {
    await session.accessToken();
    isDone = true;
    await slow;
    return new Response("ok");
  });
  const all = { provider, browser: makeCookieBrowser(APP, app) };
  await signIn(all);
  const old = new Map(all.browser.jar);
  later(t, 200);
  const answer = all.browser.send("/", { cookies: old });
  await until("the session was renewed", () => isDone);
  await all.browser.submit("/logout");
  goOn();
  const { headers } = await answer;
  assert.ok(!hasSession(headers));
  assert.ok(headers.getSetCookie().some((line) => line.startsWith(`${SESSION}=;`)));
});

test("a refresh token that another isolate used leaves the cookie while the access token lives", async (t) => {
  const all = await world({ refreshSkew: 3600 });
  await signIn(all);
  const old = new Map(all.browser.jar);
  const other = await makeSessions(all.provider, { refreshSkew: 3600 });
  const elsewhere = makeCookieBrowser(APP, makeApp(other));
  later(t, 200);
  // Half of its life is over: the other isolate renews it, here the provider says no.
  const theirs = await elsewhere.send("/token", { cookies: old });
  assert.equal(theirs.headers.getSetCookie().length, 1);
  for (let request = 0; request < 2; request++) {
    const mine = await all.browser.send("/token", { cookies: old });
    assert.equal(mine.status, 200);
    assert.notEqual(await mine.text(), "");
    assert.deepEqual(mine.headers.getSetCookie(), []);
  }
  // It is not asked again and again.
  assert.equal(all.provider.reuses(), 1);
});

/** Requests that come together are all there before the first one has its answer. */
const slowly = () => new Promise((resolve) => setTimeout(resolve, 30));

test("requests that come together with a used refresh token go on while the access token lives", async (t) => {
  const all = await world({ refreshSkew: 3600 }, { provider: { answer: slowly } });
  await signIn(all);
  const old = new Map(all.browser.jar);
  const other = await makeSessions(all.provider, { refreshSkew: 3600 });
  later(t, 200);
  await makeCookieBrowser(APP, makeApp(other)).send("/token", { cookies: old });
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => all.browser.send("/token", { cookies: old })),
  );
  for (const { status, headers } of answers) {
    assert.deepEqual([status, headers.getSetCookie()], [200, []]);
  }
});

test("a provider that cannot say who somebody is ends no session that it does not renew", async (t) => {
  const answer = (url) => (url.endsWith("/me") ? new Response("", { status: 503 }) : undefined);
  const provider = await makeProvider({ answer });
  const sessions = await makeSessions(provider, { refreshSkew: 3600 });
  const app = sessions.protect(async (_request, session) => {
    const { code } = await failure(session.userinfo());
    return Response.json({ code, signedIn: session.signedIn });
  });
  const all = { provider, browser: makeCookieBrowser(APP, app) };
  await signIn(all);
  provider.revoke();
  later(t, 200);
  for (let request = 0; request < 2; request++) {
    const told = await (await all.browser.fetch("/")).json();
    assert.deepEqual(told, { code: "upstream_status", signedIn: true });
  }
});

/** Two isolates that find a session's access token over: here the provider has refused to renew it. */
async function refused(t) {
  const all = await world({}, { provider: { answer: slowly } });
  await signIn(all);
  const old = new Map(all.browser.jar);
  const elsewhere = makeCookieBrowser(APP, makeApp(await makeSessions(all.provider)));
  old.forEach((value, name) => elsewhere.jar.set(name, value));
  // However slow this machine is, nothing but `pass` takes time.
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  let clock = now() + 301_000;
  Date.now = () => clock;
  const pass = (millis) => (clock += millis);
  assert.equal((await elsewhere.fetch("/token")).status, 200);
  const lost = await Promise.all(
    Array.from({ length: 3 }, () => all.browser.send("/token", { cookies: old })),
  );
  return { ...all, old, elsewhere, lost, pass };
}

test("a session that another isolate renewed stays, whichever answer comes last", async (t) => {
  const { browser, elsewhere, old, lost, pass } = await refused(t);
  // One that is under way meanwhile takes no cookie along either.
  pass(900);
  lost.push(await browser.send("/token", { cookies: old }));
  for (const { status, headers } of lost) {
    assert.deepEqual([status, headers.getSetCookie()], [401, []]);
  }
  // The cookie of the other one is later than what was refused here.
  const { jar } = elsewhere;
  assert.equal((await browser.send("/token", { cookies: jar })).status, 200);
  // The one that was refused goes when it comes again, and is not asked about.
  pass(200);
  await isSignedOut({ browser }, old);
  assert.equal((await browser.send("/token", { cookies: jar })).status, 200);
});

test("who signs out where a renewal was refused is signed out of the later session too", async (t) => {
  const { browser, elsewhere, old } = await refused(t);
  const jar = new Map(elsewhere.jar);
  elsewhere.jar.forEach((value, name) => browser.jar.set(name, value));
  await browser.submit("/logout");
  assert.equal(browser.jar.size, 0);
  for (const cookies of [jar, old]) await isSignedOut({ browser }, cookies);
});

test("a refusal that comes after a sign-out undoes nothing of it", async (t) => {
  let goOn;
  const hold = new Promise((resolve) => (goOn = resolve));
  const provider = await makeProvider();
  let isAsked = false;
  let isHeld = false;
  const sessions = await makeSessions(provider, {
    fetch: async (url, init) => {
      const answer = await provider.fetch(url, init);
      if (isHeld && url.endsWith("/token")) {
        isAsked = true;
        await hold;
      }
      return answer;
    },
  });
  const all = { provider, browser: makeCookieBrowser(APP, makeApp(sessions)) };
  await signIn(all);
  const old = new Map(all.browser.jar);
  const elsewhere = makeCookieBrowser(APP, makeApp(await makeSessions(provider)));
  old.forEach((value, name) => elsewhere.jar.set(name, value));
  later(t, 301);
  await elsewhere.fetch("/token");
  isHeld = true;
  const refused = all.browser.send("/token", { cookies: old });
  await until("the token endpoint was asked", () => isAsked);
  isHeld = false;
  const jar = new Map(elsewhere.jar);
  jar.forEach((value, name) => all.browser.jar.set(name, value));
  const leaving = all.browser.submit("/logout");
  goOn();
  const [late] = await Promise.all([refused, leaving]);
  assert.equal(late.status, 401);
  for (const cookies of [jar, old]) await isSignedOut(all, cookies);
});

test("a session that the provider ended is over with its access token", async (t) => {
  const all = await world();
  await signIn(all);
  all.provider.revoke();
  later(t, 299);
  assert.equal((await all.browser.fetch("/token")).status, 200);
  later(t, 2);
  assert.equal((await all.browser.fetch("/token")).status, 401);
  assert.equal(all.browser.jar.size, 0);
});

test("a session that was ended from elsewhere is over, and nothing else is done to others", async () => {
  const ended = new Set();
  let isDown = false;
  const isEnded = async ({ sub, sid }) => {
    if (isDown) throw new Error("the list is down");
    return ended.has(`${sub} ${sid}`);
  };
  const all = await world({ isEnded }, { provider: { idToken: { sid: "s-1" } } });
  await signIn(all);
  const jar = new Map(all.browser.jar);
  assert.equal(await whoIs(all.browser), "alice");
  ended.add("alice s-2");
  assert.equal(await whoIs(all.browser), "alice");
  // Who cannot be asked says nothing: neither that it is over nor that it is not.
  isDown = true;
  await assert.rejects(all.browser.fetch("/me"), /the list is down/);
  assert.equal(all.browser.jar.size, jar.size);
  isDown = false;
  ended.add("alice s-1");
  await isSignedOut(all, jar);
});

test("who signs in or out is not kept from it by a list that is down", async () => {
  let isDown = false;
  const isEnded = () => {
    if (isDown) throw new Error("the list is down");
    return false;
  };
  const all = await world({ isEnded });
  await signIn(all);
  isDown = true;
  // A link of another site ends nothing.
  const before = all.browser.jar.get(SESSION);
  assert.equal((await all.browser.navigate("/login", "cross-site")).status, 303);
  assert.equal(all.browser.jar.get(SESSION), before);
  // Back button: the same callback once more.
  const away = await all.browser.navigate("/login?returnTo=/inbox", "cross-site");
  const callback = all.provider.signInAt(away.headers.get("location"));
  for (const to of ["/inbox", "/"]) {
    const back = await all.browser.navigate(callback, "cross-site");
    assert.deepEqual([back.status, back.headers.get("location")], [303, to]);
  }
  const stepUp = await all.sessions.signIn(
    new Request(APP, { headers: { cookie: `${SESSION}=${all.browser.jar.get(SESSION)}` } }),
  );
  assert.equal(stepUp.status, 303);
  const revoked = all.provider.count("/revoke");
  assert.equal((await all.browser.submit("/logout")).status, 303);
  assert.ok(!all.browser.jar.has(SESSION));
  assert.equal(all.provider.count("/revoke"), revoked + 2);
});

test("a session ends after its lifetime, whatever is renewed", async (t) => {
  const all = await world({ lifetime: 60 });
  await signIn(all);
  const jar = new Map(all.browser.jar);
  later(t, 61);
  await isSignedOut(all, jar);
});

test("the application's own requests carry the token to allowed origins alone", async () => {
  const seen = [];
  const provider = await makeProvider();
  const fetch = (input, init) => {
    if (!(input instanceof Request)) return provider.fetch(input, init);
    seen.push([new URL(input.url).host, input.headers.get("authorization")?.slice(0, 9)]);
    return new Response("fine");
  };
  const sessions = await makeSessions(provider, { fetch, resource: "https://api.example" });
  const app = sessions.protect(async (_request, session) => {
    await session.fetch("https://api.example/x");
    await session.fetch("https://elsewhere.example/x");
    const { email } = await session.userinfo();
    const token = await session.tokenFor("https://api.example/y");
    assert.equal(await session.tokenFor("https://elsewhere.example/"), undefined);
    return Response.json([email, token === (await session.accessToken())]);
  });
  const browser = makeCookieBrowser(APP, app);
  await signIn({ provider, browser });
  assert.deepEqual(await (await browser.fetch("/")).json(), ["alice@example.com", true]);
  assert.deepEqual(seen, [
    ["api.example", "Bearer ey"],
    ["elsewhere.example", undefined],
  ]);
});

test("signing out at the provider comes back and goes on", async () => {
  const all = await world({ postLogoutRedirectUri: `${APP}/bye` }, { requireLogin: false });
  await signIn(all);
  const { browser } = all;
  const away = await browser.submit("/logout");
  const url = new URL(away.headers.get("location"));
  assert.equal(url.searchParams.get("post_logout_redirect_uri"), `${APP}/bye`);
  assert.deepEqual([...browser.jar.keys()], [`${SESSION}-logout`]);
  const back = await browser.navigate(`/bye?state=${url.searchParams.get("state")}`, "cross-site");
  assert.deepEqual([back.status, back.headers.get("location")], [303, "/"]);
  assert.equal(browser.jar.size, 0);
  // Without a sign-out that waits it is a page like others.
  assert.equal((await browser.navigate("/bye?state=x", "cross-site")).status, 200);
  // A script is told where to go.
  await signIn(all);
  const told = await browser.fetch("/logout", { method: "POST" });
  assert.match((await told.json()).location, /^https:\/\/as\.example\/logout\?/);
  assert.ok(!browser.jar.has(SESSION));
});

test("a session is shown to no cache", async () => {
  const all = await world();
  const callback = await signIn(all);
  assert.equal(callback.headers.get("cache-control"), "no-store");
  const plain = await all.browser.fetch("/me");
  assert.match(plain.headers.get("vary"), /cookie/);
});

test("a step-up sends a browser that is signed in to sign in anew", async () => {
  const all = await world();
  await signIn(all);
  const cookie = [...all.browser.jar].map((pair) => pair.join("=")).join("; ");
  const request = new Request(`${APP}/pay`, { headers: { cookie } });
  const away = await all.sessions.signIn(request, { maxAge: 0, returnTo: "/pay" });
  assert.equal(new URL(away.headers.get("location")).searchParams.get("max_age"), "0");
  assert.ok(away.headers.getSetCookie().some((line) => line.startsWith(`${SESSION}=;`)));
});

test("options that make no sense are refused by name", async () => {
  const provider = await makeProvider();
  const { privateKey, publicKey } = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign", "verify"],
  );
  for (const [more, at] of [
    [{ keys: [] }, "keys"],
    [{ keys: undefined }, "keys"],
    [{ keys: KEY }, "keys"],
    [{ keys: ["short"] }, "keys"],
    [{ keys: [new Uint8Array(31)] }, "keys"],
    [{ keys: [KEY, 7] }, "keys"],
    [{ store: "memory" }, "store"],
    [{ transactionStore: {} }, "transactionStore"],
    [{ responseMode: "form_post" }, "responseMode"],
    [{ autoRefresh: true }, "autoRefresh"],
    [{ dpop: true }, "dpop"],
    [{ sameSite: "none" }, "sameSite"],
    [{ lifetime: 59 }, "lifetime"],
    [{ lifetime: 1.5 }, "lifetime"],
    [{ cookieName: "a b" }, "cookieName"],
    [{ cookieName: "" }, "cookieName"],
    [{ paths: { login: "login" } }, "paths.login"],
    [{ paths: { login: "//evil.example" } }, "paths.login"],
    [{ paths: { logn: "/x" } }, "paths.logn"],
    [{ isEnded: true }, "isEnded"],
    [{ onError: 1 }, "onError"],
    [{ signIn: "x" }, "signIn"],
    [{ redirectUri: undefined }, "redirectUri"],
    [{ redirectUri: "nonsense" }, "redirectUri"],
    [{ postLogoutRedirectUri: 7 }, "postLogoutRedirectUri"],
    [{ audiance: "x" }, "audiance"],
  ]) {
    const error = await failure(makeSessions(provider, more));
    assert.deepEqual([error.code, error.at], ["config_invalid", at], JSON.stringify(more));
    assert.ok(error instanceof backend.GatepassError);
  }
  assert.equal(provider.requests.length, 0);
  for (const keys of [
    [Buffer.alloc(32, 3).toString("hex")],
    [Buffer.alloc(32, 3).toString("base64")],
    [new Uint8Array(32)],
  ]) {
    (await makeSessions(provider, { keys, dpop: { key: { privateKey, publicKey } } })).dispose();
  }
});

test("tokens of a session in cookies are bound to a key that is given", async () => {
  const key = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ]);
  const all = await world({ dpop: { key } }, { provider: { dpop: { nonce: "n-1" } } });
  await signIn(all);
  assert.match(await (await all.browser.fetch("/token")).text(), /^ey/);
  const proofs = all.provider.requests.map(({ init }) => new Headers(init.headers).get("dpop"));
  const names = proofs
    .filter(Boolean)
    .map((proof) => JSON.parse(Buffer.from(proof.split(".")[1], "base64url")).jti);
  assert.equal(new Set(names).size, names.length);
});

test("a provider that cannot be reached signs nobody out, and out all the same who asks for it", async () => {
  let isDown = false;
  const answer = () => (isDown ? new Response("", { status: 503 }) : undefined);
  const all = await world({}, { provider: { answer, expiresIn: 300 } });
  await signIn(all);
  isDown = true;
  assert.equal(await whoIs(all.browser), "alice");
  const out = await all.browser.submit("/logout");
  assert.equal(out.status, 303);
  assert.equal(all.browser.jar.size, 0);
});

test("a listener that throws keeps nobody signed in or out", async () => {
  let isDown = false;
  const answer = () => (isDown ? new Response("", { status: 503 }) : undefined);
  const told = [];
  const onEvent = ({ type }) => {
    told.push(type);
    throw new Error("the log is down");
  };
  const all = await world({ onEvent }, { provider: { answer } });
  all.browser.jar.set(SESSION, "stale");
  assert.equal((await all.browser.navigate("/me")).status, 303);
  assert.ok(!all.browser.jar.has(SESSION));
  assert.ok(told.includes("session_discarded"));
  await signIn(all);
  // Another process, which knows nothing of the provider, and cannot ask it.
  const other = await makeSessions(all.provider, { onEvent });
  const browser = makeCookieBrowser(APP, makeApp(other));
  all.browser.jar.forEach((value, name) => browser.jar.set(name, value));
  isDown = true;
  assert.equal((await browser.submit("/logout")).status, 303);
  assert.ok(!browser.jar.has(SESSION));
  assert.ok(told.includes("revocation_failed"));
});

test("a response that the program gives to everybody carries nobody's cookie", async (t) => {
  const provider = await makeProvider({ expiresIn: 300 });
  const sessions = await makeSessions(provider);
  const same = new Response(null, { status: 204, headers: { "x-kept": "1" } });
  const app = sessions.protect(async (_, session) => {
    await session.accessToken();
    return same;
  });
  const browser = makeCookieBrowser(APP, app);
  await signIn({ provider, browser });
  later(t, 280);
  for (const isRenewed of [true, false, false]) {
    const answer = await browser.fetch("/");
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.get("x-kept"), "1");
    assert.equal(answer.headers.get("vary"), "cookie");
    assert.deepEqual(answer.headers.getSetCookie().length, isRenewed ? 1 : 0);
    assert.equal(answer.headers.get("cache-control"), isRenewed ? "no-store" : null);
  }
  assert.deepEqual(same.headers.getSetCookie(), []);
});

test("what was disposed of cannot be used", async () => {
  const all = await world();
  all.sessions.dispose();
  assert.equal((await failure(all.sessions.signIn(new Request(APP)))).code, "flow_misused");
});
