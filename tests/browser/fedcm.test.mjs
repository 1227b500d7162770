// Signing in by the browser's own account chooser, in real Chromium with a provider that it talks to
// itself: what it sends, what comes of the token, and what it says when there is none.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch } from "../support/browser.mjs";
import { startFedCm } from "../support/fedcm.mjs";
import { installPackage } from "../support/installed.mjs";

const APP = `
  import { createClient } from "gatepass";
  window.seen = [];
  window.client = await createClient({
    issuer: window.PROVIDER,
    clientId: "spa",
    redirectUri: location.origin + "/callback",
    allowedOrigins: "https://api.example",
    dangerouslyAllowHttpLoopback: true,
    store: "session",
    onEvent: (event) => window.seen.push(event.type),
  });
  window.outcome = undefined;
  window.begin = (more) => {
    window.outcome = undefined;
    const signal = window.abort?.signal;
    const options = { configUrl: window.PROVIDER + "/fedcm.json", ...(signal && { signal }), ...more };
    window.client.signInFedCm(options).then(
      (done) => (window.outcome = done === null ? "redirected" : done.user.sub + " " + done.checks),
      (error) => (window.outcome = [error.name, error.code, error.phase, error.at, error.details?.error].join(" ").trim()),
    );
  };
  document.getElementById("go").onclick = () => window.begin(window.options);
  window.isReady = true;
`;

let browser;
let site;
before(async () => {
  const { project } = installPackage("fedcm");
  writeFileSync(join(project, "app.mjs"), APP);
  const { outputFiles } = await build({
    entryPoints: [join(project, "app.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  site = await startFedCm(outputFiles[0].text);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  site?.close();
});

/**
 * A page of the application, and what is to be done in the browser's dialog.
 *
 * @param {"choose" | "close" | "close for a while" | "nothing"} deed
 */
async function open(t, deed = "choose") {
  site.reset();
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("FedCm.enable", { disableRejectionDelay: true });
  await devtools.send("FedCm.resetCooldown");
  const dialogs = [];
  const opened = { page, dialogs, deed };
  devtools.on("FedCm.dialogShown", ({ dialogId, dialogType }) => {
    dialogs.push(dialogType);
    if (opened.deed === "nothing") return;
    const [method, more] =
      opened.deed === "choose" && dialogType === "AccountChooser"
        ? ["selectAccount", { accountIndex: 0 }]
        : ["dismissDialog", { triggerCooldown: opened.deed === "close for a while" }];
    void devtools.send(`FedCm.${method}`, { dialogId, ...more });
  });
  opened.load = async () => {
    await page.goto(`${site.origin}/`);
    await page.waitForFunction(() => window.isReady === true);
  };
  opened.begin = async (options = {}) => {
    await page.evaluate((given) => window.begin(given), options);
    await page.waitForFunction(() => window.outcome !== undefined);
    return page.evaluate(() => window.outcome);
  };
  return opened;
}

const codeOf = (page, work) =>
  page.evaluate(
    (name) =>
      window.client[name]("https://api.example/x").then(
        () => "answered",
        ({ code }) => code,
      ),
    work,
  );

const CHECKS = "signature ES256,iss,aud,exp,iat,nonce,sub";

test("brw_17 the browser's token is checked with the nonce that went out in params", async (t) => {
  const { page, load, begin, dialogs } = await open(t);
  await load();
  assert.equal(await begin({ params: { tenant: "one" } }), `alice ${CHECKS}`);
  assert.deepEqual(dialogs, ["AccountChooser"]);
  const [{ form, dest }] = site.of("/assertion");
  assert.equal(dest, "webidentity");
  assert.equal(form.client_id, "spa");
  const { nonce, tenant } = JSON.parse(form.params);
  assert.match(nonce, /^[\w-]{43}$/);
  assert.equal(tenant, "one");

  // A user, and nothing that an API takes.
  const { signedIn, canRefresh, subject } = await page.evaluate(() => window.client.state());
  assert.deepEqual([signedIn, canRefresh, subject], [true, false, "alice"]);
  assert.equal(await page.evaluate(() => window.client.user().name), "Alice");
  for (const work of ["accessToken", "tokenFor", "fetch", "userinfo", "refresh"]) {
    assert.equal(await codeOf(page, work), "login_required", work);
  }
  // It outlives the page as other sessions do.
  await load();
  assert.equal(await page.evaluate(() => window.client.user()?.sub), "alice");

  assert.equal(await begin(), `alice ${CHECKS}`);
  const again = JSON.parse(site.of("/assertion")[1].form.params).nonce;
  assert.notEqual(again, nonce);
});

test("brw_17 a token without the nonce, or with another one, is nonce_mismatch", async (t) => {
  const { page, load, begin } = await open(t);
  await load();
  const refused = async (change) => {
    site.now.claims = (claims) => ({ ...claims, ...change });
    return begin();
  };
  assert.equal(await refused({ nonce: undefined }), "GatepassError nonce_mismatch id_token");
  const [{ form }] = site.of("/assertion");
  const used = JSON.parse(form.params).nonce;
  // That of an earlier request.
  assert.equal(await refused({ nonce: used }), "GatepassError nonce_mismatch id_token");
  // The other rules hold as well.
  assert.equal(await refused({ aud: "other" }), "GatepassError audience_mismatch id_token");
  assert.equal(
    await refused({ iss: "https://as.example" }),
    "GatepassError issuer_mismatch id_token",
  );
  assert.equal(await refused({ exp: 1 }), "GatepassError token_expired id_token");
  assert.equal(await refused({ at_hash: "x" }), "GatepassError hash_mismatch id_token at_hash");
  assert.equal(await page.evaluate(() => window.client.state().signedIn), false);
  site.now.answer = { token: "no token" };
  assert.match(await begin(), /^GatepassError token_malformed id_token/);
});

test("brw_18 a dialog that was closed is fedcm_dismissed, and so is the time in which it stays away", async (t) => {
  const opened = await open(t, "close for a while");
  const { page, load, begin, dialogs } = opened;
  await load();
  assert.equal(await begin(), "GatepassError fedcm_dismissed sign_in");
  assert.deepEqual(dialogs, ["AccountChooser"]);
  opened.deed = "choose";
  assert.equal(await begin(), "GatepassError fedcm_dismissed sign_in");
  assert.deepEqual(dialogs, ["AccountChooser"]);
  assert.equal(await page.evaluate(() => window.client.state().signedIn), false);
});

test("brw_18 where the browser gives no token the page itself goes to the provider, if it is asked to", async (t) => {
  const { page, load, begin } = await open(t, "close");
  await load();
  await page.evaluate(() =>
    window.begin({ whenUnavailable: "redirect", loginHint: "alice", returnTo: "/inbox" }),
  );
  await page.waitForSelector("#provider");
  const { pathname, searchParams } = new URL(page.url());
  assert.equal(pathname, "/authorize");
  assert.equal(searchParams.get("login_hint"), "alice");
  // And comes back as ever.
  const back = site.provider.signInAt(page.url());
  await page.goto(back);
  await page.waitForFunction(() => window.isReady === true);
  const done = await page.evaluate(async () => {
    const { user, returnTo } = await window.client.handleCallback();
    return `${user.sub} ${returnTo}`;
  });
  assert.equal(done, "alice /inbox");
  assert.equal(await codeOf(page, "accessToken"), "answered");
});

test("brw_18 a browser without FedCM, and a page that may not use it, is fedcm_unavailable", async (t) => {
  const { page, load, begin, dialogs } = await open(t);
  await load();
  await page.evaluate(() => delete window.IdentityCredential);
  assert.equal(await begin(), "GatepassError fedcm_unavailable sign_in");
  await page.evaluate(() => window.begin({ whenUnavailable: "redirect" }));
  await page.waitForSelector("#provider");

  site.now.headers = { "permissions-policy": "identity-credentials-get=()" };
  await load();
  assert.equal(await begin(), "GatepassError fedcm_unavailable sign_in");
  assert.deepEqual(dialogs, []);
});

test("a provider that refuses is told by its code, and nobody is sent on", async (t) => {
  const { load, begin } = await open(t);
  await load();
  site.now.answer = { error: { code: "access_denied", error: "access_denied" } };
  const told = "GatepassError server_error_response sign_in  access_denied";
  assert.equal(await begin(), told);
  assert.equal(await begin({ whenUnavailable: "redirect" }), told);
});

test("a sign-in by FedCM is given up by its signal", async (t) => {
  const { page, load } = await open(t, "nothing");
  await load();
  await page.evaluate(() => {
    window.abort = new AbortController();
    window.begin({});
    setTimeout(() => window.abort.abort(new TypeError("enough")), 300);
  });
  await page.waitForFunction(() => window.outcome !== undefined);
  assert.equal(await page.evaluate(() => window.outcome), "TypeError");
});

test("who gives up while the page is about to go to the provider instead stays", async (t) => {
  const { page, load } = await open(t);
  await load();
  // Whatever is asked of the provider first is not answered.
  await page.route("**/.well-known/**", () => {});
  await page.evaluate(() => {
    delete window.IdentityCredential;
    window.abort = new AbortController();
    window.begin({ whenUnavailable: "redirect" });
    setTimeout(() => window.abort.abort(new TypeError("enough")), 300);
  });
  await page.waitForFunction(() => window.outcome !== undefined);
  assert.equal(await page.evaluate(() => window.outcome), "TypeError");
});

test("a signal without throwIfAborted gives up as well", async (t) => {
  const { page, load } = await open(t);
  await load();
  const told = await page.evaluate(async () => {
    delete window.IdentityCredential;
    const configUrl = window.PROVIDER + "/fedcm.json";
    const codes = [];
    for (const aborted of [true, false]) {
      const reason = new RangeError("enough");
      const signal = Object.assign(new EventTarget(), { aborted, reason });
      const done = window.client.signInFedCm({ configUrl, signal });
      codes.push(await done.then(String, ({ name, code }) => code ?? name));
    }
    return codes;
  });
  assert.deepEqual(told, ["RangeError", "fedcm_unavailable"]);
});

test("what is no option of a sign-in by FedCM is refused before the browser is asked", async (t) => {
  const { page, load, begin, dialogs } = await open(t);
  await load();
  const refused = async (options, at) =>
    assert.equal(await begin(options), `GatepassError config_invalid sign_in ${at}`);
  await refused({ params: { nonce: "mine" } }, "params");
  await refused({ mode: "button" }, "mode");
  await refused({ mediation: "conditional" }, "mediation");
  await refused({ configUrl: "/fedcm.json" }, "configUrl");
  await refused({ nonce: "mine" }, "nonce");
  assert.equal(
    await begin({ configUrl: "http://as.example/fedcm.json" }),
    "GatepassError url_insecure sign_in configUrl",
  );
  assert.deepEqual(dialogs, []);
  assert.equal(await page.evaluate(() => window.client.state().signedIn), false);
});

test("brw_19 signing out disconnects with the client id that signed in", async (t) => {
  const { page, load, begin } = await open(t);
  await load();
  assert.equal(await begin(), `alice ${CHECKS}`);
  // Also from another page of the same session.
  await load();
  const url = await page.evaluate(async () => String(await window.client.signOutUrl()));
  assert.match(url, /\/logout\?id_token_hint=/);
  const [{ form, dest }] = site.of("/disconnect");
  assert.deepEqual(form, { client_id: "spa", account_hint: "alice" });
  assert.equal(dest, "webidentity");
  const state = await page.evaluate(() => [window.client.state().signedIn, window.seen]);
  assert.equal(state[0], false);
  assert.ok(state[1].includes("signed_out"));
  assert.ok(!state[1].includes("disconnect_failed"));
});

test("brw_19 a connection that the browser does not know stops nobody from signing out", async (t) => {
  const { page, load, begin } = await open(t);
  await load();
  assert.equal(await begin(), `alice ${CHECKS}`);
  const seen = await page.evaluate(async () => {
    window.asked = [];
    const refuse = async (given) => {
      window.asked.push(given);
      throw new DOMException("no", "NetworkError");
    };
    IdentityCredential.disconnect = refuse;
    await window.client.signOutUrl();
    return { signedIn: window.client.state().signedIn, seen: window.seen, asked: window.asked };
  });
  assert.equal(seen.signedIn, false);
  assert.ok(seen.seen.includes("disconnect_failed"));
  assert.deepEqual(seen.asked, [
    { configURL: `${site.provider.issuer}/fedcm.json`, clientId: "spa", accountHint: "alice" },
  ]);

  // Who keeps the connection is not signed in again without being asked, and nobody is disconnected
  // who came in another way.
  assert.equal(await begin(), `alice ${CHECKS}`);
  await page.evaluate(() => window.client.signOutUrl({ revoke: false }));
  assert.equal(await page.evaluate(() => window.asked.length), 1);
  const went = await page.evaluate(async () => String(await window.client.signInUrl()));
  await page.goto(site.provider.signInAt(went));
  await page.waitForFunction(() => window.isReady === true);
  const before = site.of("/disconnect").length;
  await page.evaluate(async () => {
    await window.client.handleCallback();
    await window.client.signOutUrl();
  });
  assert.equal(site.of("/disconnect").length, before);
});
