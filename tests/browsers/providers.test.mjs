// Sign-ins in Chromium at real providers in Python, with their own login pages.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";
import { obstacle, startPython } from "../support/python.mjs";
import { serveSite } from "../support/site.mjs";

let project;
let browser;
before(async () => {
  ({ project } = installPackage("providers"));
  browser = await launch();
});
after(() => browser?.close());

/** A provider, and a page at the beginning of its sign-in. */
async function open(t, script, path, more = {}) {
  const site = await serveSite(project, async (origin) => {
    const { origin: provider, stop } = await startPython(
      `browsers/providers/${script}`,
      (at) => `${at}${path}/.well-known/openid-configuration`,
      `${origin}/callback`,
      `${origin}/`,
    );
    t.after(stop);
    return {
      issuer: `${provider}${path}`,
      clientId: "page",
      redirectUri: `${origin}/callback`,
      postLogoutRedirectUri: `${origin}/`,
      dangerouslyAllowHttpLoopback: true,
      ...more,
    };
  });
  t.after(() => site.close());
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${site.origin}/`);
  await page.getByText("Nobody").waitFor();
  await page.click("#in");
  return { page, site };
}

/** The outcome of the last thing that the page did. */
async function outcome(page) {
  await page.waitForFunction(() => {
    const text = document.getElementById("outcome")?.textContent ?? "...";
    return text !== "..." && text !== "";
  });
  return page.textContent("#outcome");
}

/**
 * What both have in common from the callback on: the session is renewed and ended, at the provider too.
 *
 * @param {string} form a field of the provider's login form
 * @param {() => Promise<void>} [consent] to what the provider asks of everybody who comes
 * @returns {Promise<URL>} where the page went to sign out
 */
async function finish(page, site, form, consent) {
  const checks = await outcome(page);
  for (const check of ["state", "nonce", "signature RS256", "aud", "auth_time", "at_hash"]) {
    assert.ok(checks.includes(`"${check}"`), `${check}: ${checks}`);
  }
  assert.equal(page.url(), `${site.origin}/callback`);
  assert.match(await page.textContent("#who"), /^Hello ./);
  await page.click("#renew");
  assert.equal(await outcome(page), "ok null");

  // What tells the sign-out below from one of the page alone: while the provider's session lasts, it asks
  // nobody who they are.
  const isBack = page.waitForRequest((request) => request.url().includes("/callback?"));
  await page.click("#in");
  await consent?.();
  await isBack;
  await page.waitForURL(`${site.origin}/callback`);
  assert.match(await outcome(page), /^ok /);

  const isSignOut = (request) => new URL(request.url()).searchParams.has("id_token_hint");
  const [asked] = await Promise.all([page.waitForRequest(isSignOut), page.click("#out")]);
  const signOut = new URL(asked.url());
  assert.equal(signOut.searchParams.get("client_id"), "page");
  assert.equal(signOut.searchParams.get("post_logout_redirect_uri"), `${site.origin}/`);
  // Neither asks for a confirmation, because the hint names the user whose session it is.
  await page.waitForURL((url) => url.origin === site.origin && url.searchParams.has("state"));
  assert.equal(await outcome(page), 'ok {"returnTo":"/goodbye"}');
  await page.getByText("Nobody").waitFor();
  await page.click("#in");
  await page.waitForSelector(form);
  return signOut;
}

test("Canaille: sign-in by its own pages, renewal and sign-out", { skip: obstacle }, async (t) => {
  const { page, site } = await open(t, "run_canaille.py", "", { scope: "openid profile" });
  await page.fill("input[name=login]", "alice");
  await page.click("button[type=submit]");
  await page.fill("input[name=password]", "a good password");
  await page.click("button[type=submit]");
  await page.waitForURL(`${site.origin}/callback**`);
  const signOut = await finish(page, site, "input[name=login]");
  // It is `client_id` that brings the user back: `aud` of Canaille's ID tokens is a list, and from a list
  // it takes no client. Without one it says goodbye on a page of its own.
  signOut.searchParams.delete("client_id");
  const { headers } = await fetch(signOut, { redirect: "manual" });
  assert.equal(headers.get("location"), "/");
});

test(
  "Django OAuth Toolkit: sign-in by its own pages, renewal and sign-out",
  { skip: obstacle },
  async (t) => {
    const { page, site } = await open(t, "django_oauth_toolkit.py", "/o");
    await page.fill("input[name=username]", "alice");
    await page.fill("input[name=password]", "a good password");
    await page.click("button");
    const consent = () => page.click("input[name=allow]");
    await consent();
    await page.waitForURL(`${site.origin}/callback**`);
    await finish(page, site, "input[name=username]", consent);
  },
);
