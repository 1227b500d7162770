// A session that a service worker holds for its pages, in real Chromium: what pages can see of it, what
// they can send, and what happens when the browser ends the worker.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { launch } from "../support/browser.mjs";
import { installExample } from "../support/example.mjs";
import { installPackage, testFile } from "../support/installed.mjs";
import { listen } from "../support/listen.mjs";
import { makeProvider } from "../support/provider.mjs";

const WORKER = `
  import { createClient } from "gatepass";
  import { keepSession } from "gatepass/serviceworker";

  const { issuer, api } = Object.fromEntries(new URL(location.href).searchParams);
  keepSession(createClient, {
    issuer,
    clientId: "spa",
    redirectUri: location.origin + "/callback",
    postLogoutRedirectUri: location.origin + "/bye",
    scope: "openid read",
    allowedOrigins: api,
    dangerouslyAllowHttpLoopback: true,
  });
`;
const APP = `
  import { openSession } from "gatepass/serviceworker";

  window.seen = [];
  const told = (error) => { window.failure = error.code ?? String(error); };
  const open = async () => {
    const worker = "/sw.js?" + new URLSearchParams({ issuer: window.ISSUER, api: window.API });
    window.session = await openSession({ worker });
    for (const type of ["signed_in", "refreshed", "expired", "signed_out", "session_lost", "alert"]) {
      window.session.on(type, (event) => window.seen.push(event.type));
    }
    if (location.pathname === "/callback") window.done = await window.session.handleCallback();
  };
  open().catch(told).finally(() => { window.isReady = true; });
`;

const PAGE = ({ issuer, api }) => `<!doctype html><title>app</title>
  <script>
    Object.assign(window, ${JSON.stringify({ ISSUER: issuer, API: api })});
    // Everything that the worker says is written down.
    window.heard = [];
    navigator.serviceWorker.addEventListener("message", ({ data }) => heard.push(JSON.stringify(data)));
    const on = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
    Object.defineProperty(MessagePort.prototype, "onmessage", {
      ...on,
      set(listener) {
        on.set.call(this, (event) => {
          heard.push(JSON.stringify(event.data));
          listener(event);
        });
      },
    });
  </script>
  <script type="module" src="/app.js"></script>`;

let browser;
let scripts;
before(async () => {
  const { project } = installPackage("serviceworker");
  writeFileSync(join(project, "app.mjs"), APP);
  writeFileSync(join(project, "sw.mjs"), WORKER);
  const bundle = async (file, format) => {
    const entryPoints = [join(project, file)];
    const options = { entryPoints, bundle: true, write: false, logLevel: "error" };
    const { outputFiles } = await build({ ...options, format });
    return outputFiles[0].text;
  };
  // Every browser knows workers that are no modules.
  scripts = { "/app.js": await bundle("app.mjs", "esm"), "/sw.js": await bundle("sw.mjs", "iife") };
  browser = await launch();
});
after(() => browser?.close());

/** An application, its provider and its API, each on an origin of its own. */
async function open(t, { provider: provided = {} } = {}) {
  const cors = (request, response) => {
    response.setHeader("access-control-allow-origin", request.headers.origin ?? "*");
    response.setHeader("access-control-allow-headers", "authorization, content-type");
    response.setHeader("access-control-allow-methods", "GET, POST, PUT");
    response.setHeader("access-control-expose-headers", "www-authenticate");
  };
  const names = {};
  const asked = [];
  const files = { ...scripts };
  let told;
  const report = new Promise((resolve) => (told = resolve));
  const app = await listen((request, _body, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const file = files[pathname];
    if (pathname === "/report")
      told(new URL(request.url, "http://localhost").searchParams.get("said"));
    asked.push(`${pathname} ${request.headers.authorization ?? "-"}`);
    const isScript = pathname.endsWith(".js");
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    return file ?? PAGE(names);
  });
  const calls = [];
  const answers = [];
  const api = await listen((request, body, response) => {
    cors(request, response);
    if (request.method === "OPTIONS") return "";
    const { authorization } = request.headers;
    calls.push({ method: request.method, path: request.url, authorization, body });
    const { status = 200, headers = {} } = answers.shift() ?? {};
    response.writeHead(status, { ...headers, "content-type": "application/json" });
    return { called: calls.length };
  });
  const at = { signedIn: false, authorized: 0 };
  const server = await listen(async (request, body, response) => {
    cors(request, response);
    if (request.method === "OPTIONS") return "";
    const { pathname, searchParams } = new URL(request.url, names.issuer);
    if (pathname === "/authorize") {
      at.authorized++;
      const url = names.issuer + request.url;
      if (searchParams.get("prompt") === "none" || at.signedIn) {
        const back = new URL(provider.signInAt(url));
        if (!at.signedIn) {
          back.searchParams.delete("code");
          back.searchParams.set("error", "login_required");
        }
        response.writeHead(302, { location: back.href }).end();
        return "";
      }
      response.setHeader("content-type", "text/html");
      return `<a id="back" href="${provider.signInAt(url).replaceAll("&", "&amp;")}">Back</a>`;
    }
    if (pathname === "/logout") {
      at.signedIn = false;
      at.logout = request.url;
      response.setHeader("content-type", "text/html");
      return `<p id="bye">bye</p>`;
    }
    const answered = await provider.fetch(names.issuer + request.url, {
      body,
      headers: request.headers,
    });
    response.writeHead(answered.status, { "content-type": "application/json" });
    return answered.text();
  });
  t.after(() => [app, api, server].forEach((each) => each.close()));
  Object.assign(names, { issuer: server.origin, api: api.origin });
  const provider = await makeProvider({
    issuer: server.origin,
    redirectUri: `${app.origin}/callback`,
    ...provided,
  });
  const context = await browser.newContext();
  t.after(() => context.close());
  const ready = (page) => page.waitForFunction(() => window.isReady === true);
  const tab = async (path = "/") => {
    const page = await context.newPage();
    await page.goto(app.origin + path);
    await ready(page);
    return page;
  };
  const signIn = async (page, options = {}) => {
    await page.evaluate((given) => void window.session.signIn(given), options);
    await page.click("#back");
    at.signedIn = true;
    await page.waitForURL(`${app.origin}/callback`);
    await ready(page);
  };
  const end = async (page) => {
    const devtools = await context.newCDPSession(page);
    await devtools.send("ServiceWorker.enable");
    await devtools.send("ServiceWorker.stopAllWorkers");
    await devtools.detach();
  };
  return {
    app,
    api,
    provider,
    at,
    asked,
    calls,
    answers,
    context,
    files,
    report,
    tab,
    ready,
    signIn,
    end,
  };
}

/** A request of the page, as any script of it would send it. */
const send = (page, url, init) =>
  page.evaluate(
    async ([to, given]) => {
      const response = await fetch(to, given);
      const { status, headers } = response;
      return { status, error: headers.get("gatepass-error"), body: await response.json() };
    },
    [url, init],
  );

/** Everything that a script of the page can read of what is kept and said. */
const readable = (page) =>
  page.evaluate(async () => {
    const texts = [
      ...Object.values(sessionStorage),
      ...Object.values(localStorage),
      document.cookie,
    ];
    for (const { name, version } of await indexedDB.databases()) {
      const database = await new Promise((resolve, reject) => {
        const request = indexedDB.open(name, version);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      for (const store of database.objectStoreNames) {
        const all = database.transaction(store).objectStore(store).getAll();
        await new Promise((resolve) => (all.onsuccess = resolve));
        texts.push(...all.result.map((value) => JSON.stringify(value)));
      }
      database.close();
    }
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const request of await cache.keys()) {
        const response = await cache.match(request);
        texts.push(request.url, JSON.stringify([...request.headers]));
        texts.push(JSON.stringify([...response.headers]), await response.text());
      }
    }
    texts.push(location.href, document.title, document.referrer, JSON.stringify(history.state));
    texts.push(...performance.getEntriesByType("resource").map(({ name }) => name));
    texts.push(JSON.stringify(window.done ?? null), JSON.stringify(window.seen));
    return [...texts, ...window.heard];
  });

/** Access, ID and refresh tokens, codes and verifiers. */
const isSecret = (text) => /eyJ[\w-]+\.|refresh-\d|code-\d|verifier/.test(text);
const secrets = async (page) => (await readable(page)).filter(isSecret);

test("brw_02 pages call with a token that nothing they can read holds", async (t) => {
  const { api, calls, tab, signIn, provider } = await open(t);
  const page = await tab();
  assert.deepEqual(await secrets(page), []);
  await signIn(page, { returnTo: "/inbox" });
  const { user, returnTo } = await page.evaluate(() => window.done);
  assert.deepEqual([user.sub, returnTo], ["alice", "/inbox"]);
  assert.equal(await page.evaluate(async () => (await window.session.user()).name), "Alice");
  assert.equal(await page.evaluate(async () => (await window.session.userinfo()).sub), "alice");

  const answered = await send(page, `${api.origin}/me`);
  assert.equal(answered.status, 200);
  assert.match(calls[0].authorization, /^Bearer eyJ/);
  await page.evaluate(async () => void (await window.session.state()));
  const state = await page.evaluate(() => window.session.state());
  assert.deepEqual([state.signedIn, state.subject, state.canRefresh], [true, "alice", true]);
  // Enough was said, and 0 hits.
  assert.ok((await page.evaluate(() => window.heard.length)) >= 5);
  assert.deepEqual(await secrets(page), []);
  // Also in a page that was opened later, and after a renewal.
  const other = await tab();
  assert.equal(await other.evaluate(async () => (await window.session.user()).sub), "alice");
  await send(other, `${api.origin}/me`);
  assert.deepEqual(await secrets(other), []);
  assert.equal(provider.count("/token"), 1);

  // What the scan looks for it finds in each of the places.
  await page.evaluate(async (token) => {
    sessionStorage.setItem("planted", token);
    localStorage.setItem("planted", token);
    await (await caches.open("planted")).put("/planted", new Response(token));
    const database = await new Promise((resolve) => {
      const request = indexedDB.open("planted", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("values");
      request.onsuccess = () => resolve(request.result);
    });
    const put = database
      .transaction("values", "readwrite")
      .objectStore("values")
      .put(token, "planted");
    await new Promise((resolve) => (put.onsuccess = resolve));
    database.close();
    window.heard.push(token);
  }, calls[0].authorization);
  assert.equal((await secrets(page)).length, 5);
});

test("brw_02 the token goes to listed origins, with calls and with nothing else", async (t) => {
  const { app, api, calls, asked, tab, signIn } = await open(t);
  const other = await open(t);
  const page = await tab();
  await signIn(page);
  await send(page, `${other.api.origin}/elsewhere`);
  assert.equal(other.calls[0].authorization, undefined);
  // An image, a page and a request that cannot be read.
  await page.evaluate(async (url) => {
    const image = new Image();
    await new Promise((resolve) => {
      image.onerror = resolve;
      image.src = `${url}/image`;
    });
    await fetch(`${url}/blind`, { mode: "no-cors" });
  }, api.origin);
  await send(page, `${api.origin}/own`, { headers: { authorization: "Basic eA==" } });
  await send(page, `${api.origin}/post`, { method: "POST", body: "text" });
  const seen = calls.map(({ path, authorization }) => [path, authorization?.split(" ")[0]]);
  assert.deepEqual(seen, [
    ["/image", undefined],
    ["/blind", undefined],
    ["/own", "Basic"],
    ["/post", "Bearer"],
  ]);
  assert.equal(calls[3].body, "text");
  await page.goto(`${api.origin}/navigated`);
  assert.equal(calls[4].authorization, undefined);
  assert.ok(asked.length > 2 && asked.every((line) => line.endsWith(" -")), app.origin);
});

test("a token that the API takes no more is renewed once, also for a request with a body", async (t) => {
  const { api, calls, answers, tab, signIn, provider } = await open(t);
  const page = await tab();
  await signIn(page);
  answers.push({ status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' } });
  const init = { method: "POST", body: "twice", headers: { "content-type": "text/plain" } };
  const { status } = await send(page, `${api.origin}/post`, init);
  assert.equal(status, 200);
  assert.deepEqual(
    calls.map(({ body }) => body),
    ["twice", "twice"],
  );
  assert.notEqual(calls[0].authorization, calls[1].authorization);
  assert.equal(provider.count("/token"), 2);
  answers.push({
    status: 403,
    headers: { "www-authenticate": 'Bearer error="insufficient_scope", scope="write"' },
  });
  const refused = await send(page, `${api.origin}/write`);
  assert.deepEqual([refused.status, refused.error], [403, "scope_insufficient"]);
  assert.equal(refused.body.details.scope, "write");
});

test("without a session a call is answered with 401 and sent to nobody", async (t) => {
  const { api, calls, tab } = await open(t);
  const page = await tab();
  const { status, error, body } = await send(page, `${api.origin}/me`);
  assert.deepEqual([status, error, body.code], [401, "login_required", "login_required"]);
  assert.deepEqual(calls, []);
  assert.equal(await page.evaluate(() => window.session.user()), null);
  const failed = await page.evaluate(() =>
    window.session.userinfo().catch((error) => [error.name, error.code]),
  );
  assert.deepEqual(failed, ["GatepassError", "login_required"]);
});

test("brw_02 a worker that the browser ended has no session, and gets one without asking the user", async (t) => {
  const { api, calls, at, tab, ready, signIn, end } = await open(t);
  const page = await tab();
  await signIn(page);
  await end(page);
  const { status, error } = await send(page, `${api.origin}/me`);
  assert.deepEqual([status, error], [401, "login_required"]);
  assert.equal(await page.evaluate(() => window.session.user()), null);
  assert.deepEqual(
    (await page.evaluate(() => window.seen)).filter((type) => type === "session_lost"),
    ["session_lost"],
  );
  assert.deepEqual(await secrets(page), []);

  await page.evaluate(() => {
    window.done = undefined;
    void window.session.signIn({ prompt: "none", returnTo: "/here" });
  });
  await page.waitForFunction(() => window.done !== undefined);
  await ready(page);
  assert.equal(await page.evaluate(() => window.done.returnTo), "/here");
  assert.equal((await send(page, `${api.origin}/me`)).status, 200);
  assert.match(calls[0].authorization, /^Bearer eyJ/);
  assert.equal(at.authorized, 2);

  // Where the provider has no session any more it says so.
  await end(page);
  at.signedIn = false;
  await page.evaluate(() => void window.session.signIn({ prompt: "none" }));
  await page.waitForFunction(() => window.failure !== undefined);
  assert.equal(await page.evaluate(() => window.failure), "login_required");
});

test("brw_02 a sign-in whose worker was ended meanwhile is begun again, once", async (t) => {
  const { app, at, tab, end } = await open(t);
  const page = await tab();
  await page.evaluate(() => void window.session.signIn({ prompt: "login", returnTo: "/inbox" }));
  await page.waitForSelector("#back");
  await end(page);
  at.signedIn = true;
  await page.click("#back");
  await page.waitForFunction(() => window.done !== undefined);
  assert.deepEqual(await page.evaluate(() => [window.done.user.sub, window.done.returnTo]), [
    "alice",
    "/inbox",
  ]);
  assert.equal(at.authorized, 2);
  assert.equal(page.url(), `${app.origin}/callback`);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);

  // A callback of a sign-in that this tab did not begin is nothing to go on with.
  await page.goto(`${app.origin}/callback?code=c&state=s`);
  await page.waitForFunction(() => window.failure !== undefined);
  assert.equal(await page.evaluate(() => window.failure), "flow_unknown");
  assert.equal(at.authorized, 2);
});

test("signing out reaches all pages, and the ID token does not go through them", async (t) => {
  const { api, at, app, tab, ready, signIn, provider } = await open(t);
  const page = await tab();
  await signIn(page);
  const other = await tab();
  await page.evaluate(() => void window.session.signOut({ returnTo: "/start" }));
  await page.waitForSelector("#bye");
  const asked = new URL(at.logout, provider.issuer).searchParams;
  assert.equal(asked.get("id_token_hint"), null);
  assert.equal(asked.get("client_id"), "spa");
  assert.equal(provider.count("/revoke"), 2);
  await other.waitForFunction(() => window.seen.includes("signed_out"));
  assert.equal((await send(other, `${api.origin}/me`)).status, 401);
  assert.ok(!(await other.evaluate(() => window.seen)).includes("session_lost"));
  assert.deepEqual(await secrets(other), []);

  await page.goto(`${app.origin}/bye?state=${asked.get("state")}`);
  await ready(page);
  const back = await page.evaluate(() => window.session.handleSignOutCallback());
  assert.deepEqual(back, { returnTo: "/start" });
  assert.equal(page.url(), `${app.origin}/bye`);
});

test("a page reminds its worker that it is there, more often than browsers end one", async (t) => {
  const { context, app, ready } = await open(t);
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.sent = [];
    const { postMessage } = ServiceWorker.prototype;
    ServiceWorker.prototype.postMessage = function (message, ...more) {
      window.sent.push(message.gatepass);
      return postMessage.call(this, message, ...more);
    };
  });
  await page.clock.install();
  await page.goto(`${app.origin}/`);
  await ready(page);
  const stays = () => page.evaluate(() => window.sent.filter((ask) => ask === "stay").length);
  const before = await stays();
  await page.clock.runFor(61_000);
  assert.equal(await stays(), before + 3);
  // Until it lets go.
  await page.evaluate(() => window.session.close());
  await page.clock.runFor(61_000);
  assert.equal(await stays(), before + 3);
});

/** What a page does that nobody watches: whoever looks with the browser's tools keeps workers alive. */
const ALONE = `
  while (!window.isReady) await new Promise((resolve) => setTimeout(resolve, 50));
  if (location.pathname !== "/callback") {
    await window.session.signIn();
  } else {
    if (!window.REMINDS) window.session.close();
    const before = await window.session.user();
    await new Promise((resolve) => setTimeout(resolve, 90_000));
    const { status } = await fetch(window.API + "/me");
    await window.session.user();
    const said = [before.sub, status, window.seen.includes("session_lost")].join(" ");
    await fetch("/report?" + new URLSearchParams({ said }));
  }
`;

test("brw_02 an open page keeps its worker, and one that nobody reminds is ended by the browser", async (t) => {
  const outcome = async (reminds) => {
    const { app, at, files, report } = await open(t);
    at.signedIn = true;
    // Without reminders not even the first one counts.
    const forget = `
      const { postMessage } = ServiceWorker.prototype;
      ServiceWorker.prototype.postMessage = function ({ gatepass, given }, ports) {
        return postMessage.call(this, { gatepass: gatepass === "stay" ? "state" : gatepass, given }, ports);
      };`;
    const before = `window.REMINDS = ${reminds};${reminds ? "" : forget}`;
    files["/app.js"] = `${before}\n${files["/app.js"]}\n${ALONE}`;
    const profile = mkdtempSync(join(tmpdir(), "gatepass-profile-"));
    const args = ["--headless=new", "--no-sandbox", "--disable-background-networking"];
    const all = [
      ...args,
      `--user-data-dir=${profile}`,
      "--remote-debugging-port=0",
      `${app.origin}/`,
    ];
    const child = spawn(process.env["CHROME"], all, { stdio: "ignore", detached: true });
    const over = new Promise((resolve) => child.once("exit", resolve));
    t.after(async () => {
      // With the processes that it started.
      process.kill(-child.pid, "SIGKILL");
      await over;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    });
    return Promise.race([report, over.then(() => "the browser ended")]);
  };
  assert.deepEqual(await Promise.all([outcome(true), outcome(false)]), [
    "alice 200 false",
    "alice 401 true",
  ]);
});

test("the example signs in, calls, loses its worker, goes on and signs out", async (t) => {
  const { app, api, at, calls, context, files, provider, end } = await open(t);
  const project = installExample("serviceworker", ["esbuild"]);
  const config = { issuer: provider.issuer, clientId: "spa", api: api.origin };
  const text = Object.entries(config).map(
    ([name, value]) => `export const ${name} = "${value}";\n`,
  );
  writeFileSync(join(project, "config.js"), text.join(""));
  const { scripts: commands } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
  execFileSync("sh", ["-c", commands.build], {
    cwd: project,
    stdio: "pipe",
    env: { ...process.env, PATH: `${testFile("../node_modules/.bin")}:${process.env["PATH"]}` },
  });
  for (const file of ["main.js", "worker.js", "index.html"]) {
    files[`/${file}`] = readFileSync(join(project, "public", file), "utf8");
  }
  files["/"] = files["/index.html"];

  const page = await context.newPage();
  const says = (text) =>
    page.waitForFunction((word) => document.body.innerText.includes(word), text);
  await page.goto(`${app.origin}/`);
  await says("Nobody is signed in.");
  await page.click("#sign-in");
  await page.waitForSelector("#back");
  at.signedIn = true;
  await page.click("#back");
  await says("Signed in as Alice.");
  await page.click("#call");
  await says('"called": 1');
  assert.match(calls[0].authorization, /^Bearer eyJ/);
  assert.equal(new URL(page.url()).search, "");

  await end(page);
  // Its next word is that nobody is signed in, and the page goes to the provider and back by itself.
  await page.click("#call");
  await page.waitForURL((url) => url.search === "" && at.authorized === 2);
  await says("Signed in as Alice.");
  await page.click("#call");
  await says('"called": 2');
  await page.click("#sign-out");
  await page.waitForSelector("#bye");
  assert.equal(new URL(at.logout, provider.issuer).searchParams.get("id_token_hint"), null);
});
