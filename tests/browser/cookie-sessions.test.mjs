// Sessions in cookies in Chromium: an application on 127.0.0.1, and its provider and a page that means
// no good on localhost, which is another site.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { before, test } from "node:test";

import { launch } from "../support/browser.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let backend;
let node;
before(async () => {
  const { project } = installPackage("browser-cookie-sessions");
  backend = await importInstalled(project, "gatepass/backend");
  node = await importInstalled(project, "gatepass/express");
});

/** A server on this machine: its port. */
async function listen(t, answer) {
  const server = createServer(answer);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return server.address().port;
}

const html = (response, body) =>
  response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html>${body}`);

/** The provider, the application, and what another site does to it. */
async function world(t, more) {
  let provider;
  const providerPort = await listen(t, async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const url = `${provider.issuer}${request.url}`;
    if (request.url.startsWith("/authorize")) {
      const back = provider.signInAt(url).replaceAll("&", "&amp;");
      return html(response, `<a id="back" href="${back}">Back</a>`);
    }
    if (request.url.startsWith("/logout")) return html(response, "<p id=bye>Signed out");
    const { method, headers } = request;
    const answer = await provider.fetch(url, { method, headers, body });
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(await answer.text());
  });

  let middleware;
  const changes = [];
  const port = await listen(t, (request, response) =>
    middleware(request, response, (error) => {
      if (error) return response.writeHead(500).end(String(error));
      if (request.method === "POST") changes.push(request.url);
      const { user } = node.sessionOf(request);
      html(
        response,
        `<p id="who">Hello ${user.name}<form method="post" action="/logout"><button>Out</button></form>
        <form method="post" action="/change"><button id="change">Change</button></form>`,
      );
    }),
  );
  const origin = `http://127.0.0.1:${port}`;
  provider = await makeProvider({
    issuer: `http://localhost:${providerPort}`,
    redirectUri: `${origin}/callback`,
  });
  const sessions = await backend.createCookieSessions({
    issuer: provider.issuer,
    clientId: provider.clientId,
    redirectUri: provider.redirectUri,
    keys: ["8".repeat(64)],
    dangerouslyAllowHttpLoopback: true,
    ...more,
  });
  middleware = node.withSession(sessions);

  const evil = await listen(t, (_request, response) =>
    html(
      response,
      `<img src="${origin}/logout"><img src="${origin}/login">
      <form method="post" action="${origin}/logout"><button id="out">x</button></form>
      <form method="post" action="${origin}/change"><button id="change">x</button></form>
      <a href="${origin}/inbox">x</a>`,
    ),
  );
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  return { origin, evil: `http://localhost:${evil}/`, context, changes, provider };
}

for (const sameSite of ["lax", "strict"]) {
  test(`a browser signs in, goes on and signs out with sameSite ${sameSite}`, async (t) => {
    const { origin, context } = await world(t, { sameSite });
    const page = await context.newPage();
    await page.goto(`${origin}/inbox?x=1`);
    await page.click("#back");
    await page.getByText("Hello Alice").waitFor();
    assert.equal(page.url(), `${origin}/inbox?x=1`);
    assert.equal(await page.evaluate(() => document.cookie), "");
    const [cookie, ...others] = await context.cookies();
    assert.deepEqual(others, []);
    const expected = sameSite === "lax" ? "Lax" : "Strict";
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, expected, "/"]);
    await page.click("#change");
    await page.getByText("Hello Alice").waitFor();
    await page.getByText("Out").click();
    await page.locator("#bye").waitFor();
    assert.deepEqual(await context.cookies(), []);
  });
}

test("lgo_20_brw_16_another_site_neither_signs_out_nor_changes_anything", async (t) => {
  const { origin, evil, context, changes, provider } = await world(t);
  const page = await context.newPage();
  await page.goto(origin);
  await page.click("#back");
  await page.getByText("Hello Alice").waitFor();
  const before = await context.cookies();
  for (const button of ["#out", "#change"]) {
    // Its images were loaded when the page was.
    await page.goto(evil);
    const [answer] = await Promise.all([page.waitForNavigation(), page.click(button)]);
    // The cookie stays behind (SameSite=Lax), so there is nobody to be signed out.
    assert.ok([401, 403].includes(answer.status()), `${answer.status()}`);
  }
  assert.deepEqual(changes, []);
  assert.deepEqual(await context.cookies(), before);
  assert.equal(provider.count("/revoke"), 0);
  // A link of another site leads in.
  await page.goto(evil);
  await page.click("a");
  await page.getByText("Hello Alice").waitFor();
  assert.equal(page.url(), `${origin}/inbox`);
});
