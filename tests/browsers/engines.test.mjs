// What belongs to the engine and not to the provider, in every engine over real servers of 127.0.0.1: what
// of a request goes along with a redirect, and windows that have lost sight of each other or are blocked.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { until } from "../support/until.mjs";
import { browsers } from "../support/webdriver.mjs";

const APP = `
  import { createClient, relayCallback } from "gatepass";
  const isCallback = location.pathname === "/callback";
  if (!isCallback || !(await relayCallback())) {
    const client = await createClient({
      ...JSON.parse(document.getElementById("options").textContent),
      clientId: "spa",
      redirectUri: location.origin + "/callback",
      scope: "openid read",
      dangerouslyAllowHttpLoopback: true,
    });
    const show = (text) => (document.getElementById("outcome").textContent = text);
    const told = async (work) => {
      show("...");
      try {
        show("ok " + JSON.stringify((await work()) ?? null));
      } catch (error) {
        show([error.name, error.code].join(" "));
      }
    };
    const name = (done) => done?.user?.name;
    window.inPopup = (options) => void told(async () => name(await client.signInPopup(options)));
    window.count = () =>
      void told(async () => {
        const opening = indexedDB.open("gatepass");
        await new Promise((resolve) => (opening.onsuccess = resolve));
        const count = opening.result.transaction("values").objectStore("values").count();
        await new Promise((resolve) => (count.onsuccess = resolve));
        return [window.changes, count.result];
      });
    window.renew = () => void told(() => client.refresh().then(() => client.state().signedIn));
    window.call = (url, init) =>
      void told(async () => {
        const response = await client.fetch(url, init);
        return [response.status, response.url];
      });
    document.getElementById("in").onclick = () => void told(() => client.signIn());
    document.getElementById("popup").onclick = () => window.inPopup({ whenBlocked: "error" });
    await told(async () => (isCallback ? name(await client.handleCallback()) : "ready"));
  }
`;

const COOP = { "cross-origin-opener-policy": "same-origin" };
const open = [];
const provider = {};
let app;
let idp;
let api;
let elsewhere;
/** What the API and its neighbour were asked, in order. */
let asked = [];
/** More headers of the pages, of the application and of the provider. */
let headers = {};

/** A server of this machine: its origin, and what answers there from now on. */
async function serve() {
  let answer;
  const server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(server);
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    answer: (by) => void (answer = by),
  };
}

/** A server that says whom it saw, and goes on to where it is told to. */
function witness(at) {
  at.answer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "authorization, x-own");
    const { pathname, searchParams } = new URL(request.url, at.origin);
    if (request.method === "OPTIONS") return response.end();
    const { authorization } = request.headers;
    asked.push({ at: at.origin, method: request.method, path: pathname, authorization });
    const location = searchParams.get("to");
    if (location) response.writeHead(Number(searchParams.get("status") ?? 302), { location });
    response.end("{}");
  });
}

before(async () => {
  const { project } = installPackage("engines");
  writeFileSync(join(project, "app.mjs"), APP);
  const { outputFiles } = await build({
    entryPoints: [join(project, "app.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  [app, idp, api, elsewhere] = [await serve(), await serve(), await serve(), await serve()];
  const options = JSON.stringify({
    issuer: idp.origin,
    allowedOrigins: api.origin,
    store: "local",
  });
  const html = `<!doctype html><meta charset="utf-8"><title>app</title><p id="outcome"></p>
    <button id="in">in</button><button id="popup">popup</button>
    <script type="application/json" id="options">${options}</script>
    <script type="module" src="/app.js"></script>`;
  app.answer((request, response) => {
    const isScript = request.url === "/app.js";
    const type = isScript ? "text/javascript" : "text/html";
    response.writeHead(200, { "content-type": type, ...headers.app });
    response.end(isScript ? outputFiles[0].text : html);
  });
  Object.assign(
    provider,
    await makeProvider({ issuer: idp.origin, redirectUri: `${app.origin}/callback` }),
  );
  idp.answer(async (request, response) => {
    const url = idp.origin + request.url;
    response.setHeader("access-control-allow-origin", "*");
    if (request.url.startsWith("/authorize?")) {
      const back = provider.signInAt(url).replaceAll("&", "&amp;");
      response.writeHead(200, { "content-type": "text/html", ...headers.idp });
      return response.end(`<!doctype html><title>idp</title><a id="back" href="${back}">Back</a>`);
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    const answered = await provider.fetch(url, { body });
    answered.headers.forEach((value, name) => response.setHeader(name, value));
    response.writeHead(answered.status).end(await answered.text());
  });
  witness(api);
  witness(elsewhere);
});

after(() => {
  for (const server of open) {
    server.closeAllConnections();
    server.close();
  }
});

/** A browser with the page of the application. */
async function begin(t, start, pages = {}) {
  headers = pages;
  asked = [];
  const browser = await start();
  t.after(() => browser.quit());
  await browser.open(`${app.origin}/`);
  await browser.text("#outcome", /^ok "ready"$/);
  return browser;
}

/** Where a request goes by way of another one. */
const by = (through, to, status = 302) =>
  `${through.origin}/hop?${new URLSearchParams({ to, status })}`;

for (const [name, { missing, start }] of Object.entries(browsers())) {
  test(
    `${name}: rfr_14 no redirect takes the access token to another origin`,
    { skip: missing },
    async (t) => {
      const browser = await begin(t, start);
      await browser.click("#in");
      await browser.click("#back");
      await browser.text("#outcome", /^ok "Alice"$/);

      /** What was asked on the way, as origin and whether the token was there. */
      const call = async (url, init = null) => {
        asked = [];
        await browser.run("window.call(arguments[0], arguments[1] ?? undefined)", url, init);
        const outcome = await browser.text("#outcome", /^(ok \[|\w+Error)/);
        const seen = asked.map(({ at, path, authorization }) => {
          if (authorization !== undefined) assert.match(authorization, /^Bearer eyJ/);
          return [at === api.origin ? "api" : "elsewhere", path, authorization !== undefined];
        });
        return { outcome, seen, methods: asked.map(({ method }) => method) };
      };

      // The token goes to the API and not to its neighbour, which differs by its port alone.
      assert.deepEqual((await call(`${api.origin}/me`)).seen, [["api", "/me", true]]);
      assert.deepEqual((await call(`${elsewhere.origin}/me`)).seen, [["elsewhere", "/me", false]]);

      const away = await call(by(api, `${elsewhere.origin}/taken`));
      assert.equal(away.outcome, `ok ${JSON.stringify([200, `${elsewhere.origin}/taken`])}`);
      assert.deepEqual(away.seen, [
        ["api", "/hop", true],
        ["elsewhere", "/taken", false],
      ]);

      // Redirects that keep the method and the body take no more along.
      for (const status of [307, 308]) {
        const init = { method: "POST", body: "text" };
        const posted = await call(by(api, `${elsewhere.origin}/taken`, status), init);
        assert.deepEqual(posted.methods, ["POST", "POST"]);
        assert.deepEqual(posted.seen, [
          ["api", "/hop", true],
          ["elsewhere", "/taken", false],
        ]);
      }

      // What comes back from another origin is as if that one had asked.
      const around = await call(by(api, by(elsewhere, `${api.origin}/me`)));
      assert.deepEqual(around.seen, [
        ["api", "/hop", true],
        ["elsewhere", "/hop", false],
        ["api", "/me", false],
      ]);
      // Nor does a page elsewhere get the token to the API by sending the browser there.
      assert.deepEqual((await call(by(elsewhere, `${api.origin}/me`))).seen, [
        ["elsewhere", "/hop", false],
        ["api", "/me", false],
      ]);
      // Within the API it stays.
      assert.deepEqual((await call(by(api, `${api.origin}/me`))).seen, [
        ["api", "/hop", true],
        ["api", "/me", true],
      ]);
    },
  );

  test(
    `${name}: what another page wrote meanwhile, once or more often, is not written over`,
    { skip: missing },
    async (t) => {
      const browser = await begin(t, start);
      await browser.click("#in");
      await browser.click("#back");
      await browser.text("#outcome", /^ok "Alice"$/);
      // Another page is faster by a moment, with one change or more: the number is taken, or free again.
      await browser.run(`
        const { add } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.add = function (...entry) {
          window.changes++;
          return add.apply(this, entry);
        };
        const { transaction } = IDBDatabase.prototype;
        window.ahead = 0;
        IDBDatabase.prototype.transaction = function (names, mode) {
          const begin = () => transaction.call(this, names, mode);
          if (mode === "readwrite" && window.ahead > 0) {
            const { ahead } = window;
            window.ahead = 0;
            const values = begin().objectStore("values");
            const look = values.openCursor(null, "prev");
            look.onsuccess = () => {
              const { key, value } = look.result;
              values.delete(key);
              values.put(value, [key[0], key[1] + ahead]);
            };
          }
          return begin();
        };
      `);
      for (const ahead of [1, 2, 3]) {
        await browser.run(`window.changes = 0; window.ahead = ${ahead}; window.renew();`);
        await browser.text("#outcome", /^ok true$/);
        // It was looked at and written once more, and nothing is left behind.
        await browser.run("window.count()");
        await browser.text("#outcome", /^ok \[2,1\]$/);
      }
      // What was renewed is in the store: a page that comes later goes on with it.
      await browser.open(`${app.origin}/`);
      await browser.text("#outcome", /^ok "ready"$/);
      await browser.run("window.renew()");
      await browser.text("#outcome", /^ok true$/);
    },
  );

  for (const [who, pages] of [
    ["the provider cuts", { idp: COOP }],
    ["the application cuts", { app: COOP }],
    ["both cut", { app: COOP, idp: COOP }],
  ]) {
    test(
      `${name}: a popup signs in its opener while ${who} the tie`,
      { skip: missing },
      async (t) => {
        const browser = await begin(t, start, pages);
        const page = await browser.window();
        await browser.click("#popup");
        const popup = await until("the popup is there", async () =>
          (await browser.windows()).find((handle) => handle !== page),
        );
        await browser.switchTo(popup);
        await until("the provider's page is there", () => browser.has("#back"));
        // The two have really lost sight of each other.
        assert.equal(await browser.run("return window.opener === null"), true);
        await browser.click("#back");
        await until("the popup has gone", async () => (await browser.windows()).length === 1);
        await browser.switchTo(page);
        await browser.text("#outcome", /^ok "Alice"$/);
        // The page never left.
        assert.equal(await browser.url(), `${app.origin}/`);
      },
    );
  }

  test(
    `${name}: a popup that no click asked for is blocked, and the page goes itself`,
    { skip: missing },
    async (t) => {
      const browser = await begin(t, () => start({ popups: false }));
      const page = await browser.window();
      // Long after the last thing that counts as a click, which a script of the driver may do too.
      await browser.run(`setTimeout(() => window.inPopup({ whenBlocked: "error" }), 6000)`);
      await browser.text("#outcome", /^GatepassError popup_blocked$/);
      assert.deepEqual(await browser.windows(), [page]);
      await browser.run("setTimeout(() => window.inPopup(), 6000)");
      await until("the page is at the provider", () => browser.has("#back"));
      assert.deepEqual(await browser.windows(), [page]);
      await browser.click("#back");
      await browser.text("#outcome", /^ok "Alice"$/);
      assert.equal(await browser.url(), `${app.origin}/callback`);
    },
  );
}
