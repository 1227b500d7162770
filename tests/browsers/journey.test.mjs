// The same sign-in in every browser engine, against panva's certified oidc-provider: in the page, in a
// popup and silently, renewed and ended.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { API, CLIENT_ID, SCOPE, startProvider } from "../../tools/demo/provider.mjs";
import { installPackage } from "../support/installed.mjs";
import { freePort } from "../support/port.mjs";
import { serveSite } from "../support/site.mjs";
import { until } from "../support/until.mjs";
import { browsers } from "../support/webdriver.mjs";

let site;
let provider;
before(async () => {
  const { project } = installPackage("browsers");
  site = await serveSite(project, async (origin) => {
    provider = await startProvider({ port: await freePort(), pageOrigin: origin });
    return {
      issuer: provider.origin,
      clientId: CLIENT_ID,
      redirectUri: `${origin}/callback`,
      postLogoutRedirectUri: `${origin}/`,
      scope: SCOPE,
      resource: API,
      dangerouslyAllowHttpLoopback: true,
    };
  });
});
after(async () => {
  site?.close();
  await provider?.stop();
});

async function logIn(browser) {
  await browser.type("input[name=login]", "ada");
  await browser.type("input[name=password]", "engine");
  await browser.click("button[type=submit]:not([name])");
}

for (const [name, { missing, start }] of Object.entries(browsers())) {
  test(`${name}: the journey with oidc-provider`, { skip: missing }, async (t) => {
    const browser = await start();
    t.after(() => browser.quit());

    await browser.open(`${site.origin}/`);
    await browser.text("#who", /^Nobody$/);

    // Whom the provider does not know it cannot sign in silently.
    await browser.click("#silent");
    await browser.text("#outcome", /GatepassError login_required/);

    await browser.click("#in");
    await logIn(browser);
    const checks = await browser.text("#outcome", /^ok/);
    for (const check of ["state", "iss", "nonce", "auth_time"]) {
      assert.ok(checks.includes(`"${check}"`), check);
    }
    await browser.text("#who", /^Hello user-1815$/);
    assert.equal(await browser.url(), `${site.origin}/callback`);

    await browser.click("#renew");
    await browser.text("#outcome", /^ok null$/);
    await browser.click("#silent");
    await browser.text("#outcome", /^ok "user-1815"$/);
    assert.equal(await browser.has("iframe"), false);

    const page = await browser.window();
    await browser.click("#popup");
    const popup = await until("the popup is there", async () =>
      (await browser.windows()).find((handle) => handle !== page),
    );
    await browser.switchTo(popup);
    await logIn(browser);
    await until("the popup has gone", async () => (await browser.windows()).length === 1);
    await browser.switchTo(page);
    await browser.text("#outcome", /^ok "user-1815"$/);

    await browser.click("#out");
    await browser.click("button[name=logout]");
    await until("the page is back", async () =>
      (await browser.url()).startsWith(`${site.origin}/`),
    );
    await browser.text("#who", /^Nobody$/);
    // It comes back with the state of this sign-out, which is good once.
    await browser.text("#outcome", /^ok {"returnTo":"\/goodbye"}$/);
    await browser.click("#silent");
    await browser.text("#outcome", /GatepassError login_required/);
  });
}
