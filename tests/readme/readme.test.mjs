// The README's code, run as it is written: the page in a real browser, the worker in real workerd,
// both against the provider made of values.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { build } from "esbuild";
import { logoutToken } from "../package/logout-scenario.mjs";
import { launch, serve } from "../support/browser.mjs";
import { makeCookieBrowser } from "../support/cookie-browser.mjs";
import { startWorker } from "../support/edge.mjs";
import { startFedCm } from "../support/fedcm.mjs";
import { askHttp } from "../support/http.mjs";
import { importInstalled, installPackage, testFile } from "../support/installed.mjs";
import { listen } from "../support/listen.mjs";
import { makeProvider } from "../support/provider.mjs";

const readme = readFileSync(testFile("../README.md"), "utf8");

/** The block that follows `<!-- test: NAME -->`. */
function block(name) {
  const found = new RegExp(`<!-- test: ${name} -->\\s+\`\`\`js\\n(.*?)\`\`\``, "s").exec(readme);
  assert.ok(found, `the README has no block ${name}`);
  return found[1];
}

/** The names that the README uses. */
const NAMES = {
  issuer: "https://login.example.com",
  clientId: "my-page",
  redirectUri: "https://app.example.com/callback",
  audience: "https://api.example.com",
  scope: "openid profile",
};

let project;
before(() => {
  ({ project } = installPackage("readme"));
});

test("every block of JavaScript is tested", () => {
  const blocks = readme.match(/```(js|ts|javascript|typescript)\n/g) ?? [];
  const tested = readme.match(/<!-- test: \w+ -->/g) ?? [];
  assert.equal(blocks.length, tested.length);
  assert.equal(blocks.length, 15);
});

test("the errors block prints what it says", () => {
  const code = block("errors");
  const file = join(project, "errors.mjs");
  writeFileSync(file, code);
  const printed = execFileSync(process.execPath, [file], { encoding: "utf8" });
  const [, said] = /console\.log\(.*\); \/\/ (.*)/.exec(code);
  assert.equal(printed.trim(), said);
});

test("the primitives block signs in", async (t) => {
  const provider = await makeProvider(NAMES);
  const real = globalThis.fetch;
  globalThis.fetch = provider.fetch;
  t.after(() => {
    globalThis.fetch = real;
  });
  const file = join(project, "primitives.mjs");
  writeFileSync(file, block("primitives"));
  const { begin, finish } = await import(pathToFileURL(file).href);
  const { url, login } = await begin();
  const { claims, accessToken } = await finish(login, provider.signInAt(url));
  assert.equal(claims.name, "Alice");
  assert.equal(typeof accessToken, "string");
});

test("the block of shared keys puts them into KV in workerd", async (t) => {
  const provider = await makeProvider(NAMES);
  writeFileSync(join(project, "shared.mjs"), block("shared"));
  const worker = await startWorker(project, "shared.mjs", {
    kvNamespaces: ["KEYS"],
    outboundService: async (request) => {
      const answer = await provider.fetch(request.url);
      return new (await import("miniflare")).Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  const headers = { authorization: `Bearer ${await provider.accessToken()}` };
  const response = await worker.dispatchFetch("https://api.example.com/", { headers });
  assert.deepEqual(await response.json(), { hello: "alice" });
  const namespace = await worker.getKVNamespace("KEYS");
  let found = [];
  while (found.length === 0) found = (await namespace.list()).keys;
  const entry = JSON.parse(await namespace.get(found[0].name));
  assert.equal(entry.issuer, NAMES.issuer);
});

test("the opaque block answers in workerd", async (t) => {
  const provider = await makeProvider({ ...NAMES, api: "my-api:s3cret" });
  writeFileSync(join(project, "opaque.mjs"), block("opaque"));
  const worker = await startWorker(project, "opaque.mjs", {
    bindings: { CLIENT_SECRET: "s3cret" },
    outboundService: async (request) => {
      const [body, headers] = [await request.text(), Object.fromEntries(request.headers)];
      const answer = await provider.fetch(request.url, { body, headers });
      return new (await import("miniflare")).Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());

  const ask = (token) =>
    worker.dispatchFetch("https://api.example.com/", {
      headers: { authorization: `Bearer ${token}` },
    });
  const good = await ask(provider.opaqueToken());
  assert.deepEqual(await good.json(), { hello: "alice" });
  const machine = await ask(provider.opaqueToken({ sub: undefined, client_id: "machine" }));
  assert.deepEqual(await machine.json(), { hello: "machine" });
  const payment = provider.opaqueToken({ scope: "payments" });
  assert.equal((await ask(payment)).status, 200);
  provider.revokeOpaque(payment);
  const revoked = await ask(payment);
  assert.equal(revoked.status, 401);
  assert.match(revoked.headers.get("www-authenticate"), /^Bearer error="invalid_token"/);
});

test("S3-15 the recipes block calls with the token by axios and ky, and tries once more", async () => {
  const file = join(project, "recipes.mjs");
  // What the recipe imports is installed beside the tests.
  const here = (name) => JSON.stringify(import.meta.resolve(name));
  const code = block("recipes");
  writeFileSync(
    file,
    code.replaceAll(/from "(axios|ky)"/g, (_, name) => `from ${here(name)}`),
  );
  const { makeApi } = await import(pathToFileURL(file).href);
  const { wrapFetch } = await importInstalled(project, "gatepass/backend");
  let token = 1;
  const source = {
    tokenFor: async (url) => (url.startsWith("https://api.example.com/") ? `t${token}` : undefined),
    tokenAfter: async (status) => (status === 401 ? `t${++token}` : undefined),
  };
  const seen = [];
  const send = async (request) => {
    const shown = request.headers.get("authorization");
    seen.push([request.method, request.url, shown, await request.text()]);
    const isOver = shown === "Bearer t1";
    return isOver ? new Response("", { status: 401 }) : Response.json({ shown });
  };
  const api = makeApi(wrapFetch(source, send));
  assert.deepEqual((await api.axios.get("/me")).data, { shown: "Bearer t2" });
  assert.deepEqual(await api.ky.get("me").json(), { shown: "Bearer t2" });
  token = 1;
  await assert.rejects(api.axios.post("/reports", { a: 1 }), (error) => error.status === 401);
  assert.deepEqual(await api.ky.post("reports", { json: { a: 1 } }).json(), { shown: "Bearer t2" });
  await api.axios.get("https://elsewhere.example/");
  assert.deepEqual(seen, [
    ["GET", "https://api.example.com/me", "Bearer t1", ""],
    ["GET", "https://api.example.com/me", "Bearer t2", ""],
    ["GET", "https://api.example.com/me", "Bearer t2", ""],
    ["POST", "https://api.example.com/reports", "Bearer t1", '{"a":1}'],
    ["POST", "https://api.example.com/reports", "Bearer t2", '{"a":1}'],
    ["GET", "https://elsewhere.example/", null, ""],
  ]);
});

test("the machine block calls an API from workerd", async (t) => {
  writeFileSync(join(project, "machine.mjs"), block("machine"));
  const asked = [];
  const worker = await startWorker(project, "machine.mjs", {
    bindings: { CLIENT_SECRET: "s3cret" },
    outboundService: async (request) => {
      const { Response } = await import("miniflare");
      const [body, authorization] = [await request.text(), request.headers.get("authorization")];
      asked.push([request.url, body, authorization]);
      const issuer = "https://login.example.com";
      if (request.url.startsWith("https://api.example.com/")) return new Response("reports");
      return Response.json(
        request.url.endsWith("/token")
          ? { access_token: "of-the-job", token_type: "Bearer", expires_in: 300 }
          : { issuer, token_endpoint: `${issuer}/token` },
      );
    },
  });
  t.after(() => worker.dispose());

  for (let count = 0; count < 2; count += 1) {
    const answer = await worker.dispatchFetch("https://job.example.com/");
    assert.deepEqual([answer.status, await answer.text()], [200, "reports"]);
  }
  const form = "grant_type=client_credentials&resource=https%3A%2F%2Fapi.example.com&scope=reports";
  assert.deepEqual(asked, [
    ["https://login.example.com/.well-known/openid-configuration", "", null],
    ["https://login.example.com/token", form, `Basic ${btoa("my-job:s3cret")}`],
    ["https://api.example.com/reports", "", "Bearer of-the-job"],
    ["https://api.example.com/reports", "", "Bearer of-the-job"],
  ]);
});

test("the logout block ends a session in workerd", async (t) => {
  const provider = await makeProvider(NAMES);
  writeFileSync(join(project, "logout.mjs"), block("logout"));
  const worker = await startWorker(project, "logout.mjs", {
    kvNamespaces: ["SESSIONS"],
    outboundService: async (request) => {
      const answer = await provider.fetch(request.url);
      return new (await import("miniflare")).Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  const sessions = await worker.getKVNamespace("SESSIONS");
  await sessions.put("s-1", "{}");
  const post = async (token) => {
    const body = new URLSearchParams({ logout_token: token }).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const init = { method: "POST", body, headers };
    return worker.dispatchFetch("https://app.example.com/backchannel", init);
  };
  assert.equal((await post("nonsense")).status, 400);
  assert.equal(await sessions.get("s-1"), "{}");
  const answer = await post(await logoutToken(provider));
  assert.deepEqual([answer.status, answer.headers.get("cache-control")], [200, "no-store"]);
  assert.equal(await sessions.get("s-1"), null);
});

test("the cookies block signs a browser in and out in workerd", async (t) => {
  const provider = await makeProvider({ ...NAMES, clientId: "my-app" });
  writeFileSync(join(project, "cookies.mjs"), block("cookies"));
  const worker = await startWorker(project, "cookies.mjs", {
    bindings: { CLIENT_SECRET: "s3cret", COOKIE_KEY: "7".repeat(64) },
    outboundService: async (request) => {
      const { Response } = await import("miniflare");
      if (request.url === "https://api.example.com/reports") {
        return Response.json(request.headers.get("authorization")?.startsWith("Bearer ") === true);
      }
      const [body, headers] = [await request.text(), Object.fromEntries(request.headers)];
      const answer = await provider.fetch(request.url, { body, headers });
      return new Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  const browser = makeCookieBrowser("https://app.example.com", askHttp(await worker.ready));
  const first = await browser.navigate("/");
  const away = await browser.navigate(first.headers.get("location"));
  await browser.navigate(provider.signInAt(away.headers.get("location")), "cross-site");
  assert.deepEqual(await (await browser.navigate("/")).json(), { hello: "Alice", reports: true });
  assert.equal((await browser.send("/", { method: "POST" })).status, 403);
  await browser.submit("/logout");
  assert.equal((await browser.fetch("/")).status, 401);
});

test("the worker block answers in workerd", async (t) => {
  const provider = await makeProvider(NAMES);
  writeFileSync(join(project, "worker.mjs"), block("worker"));
  const asked = [];
  const worker = await startWorker(project, "worker.mjs", {
    // The worker's own fetch: the provider answers, nothing leaves this machine.
    outboundService: async (request) => {
      asked.push(request.url);
      const answer = await provider.fetch(request.url, {});
      return new (await import("miniflare")).Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());

  const ask = (authorization) =>
    worker.dispatchFetch("https://api.example.com/", { headers: { authorization } });
  const accepted = await ask(`Bearer ${await provider.accessToken()}`);
  assert.deepEqual([accepted.status, await accepted.json()], [200, { hello: "alice" }]);
  const refused = await ask("Bearer nonsense");
  assert.equal(refused.status, 401);
  assert.deepEqual(asked, [
    "https://login.example.com/.well-known/openid-configuration",
    "https://login.example.com/jwks",
  ]);
});

const PAGE = `<!doctype html><title>page</title>
  <p id="who"></p><button id="sign-in">Sign in</button><button id="sign-out">Sign out</button>
  <button id="call">Call</button><pre id="answer"></pre><script type="module" src="/app.js"></script>`;

/** What the README says a page's policy needs. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; " +
  "connect-src https://login.example.com https://api.example.com";

test("the page block signs in, calls an API and signs out in a browser", async (t) => {
  const provider = await makeProvider(NAMES);
  writeFileSync(join(project, "page.mjs"), block("page"));
  const { outputFiles } = await build({
    entryPoints: [join(project, "page.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await serve(context, {
    origin: "https://app.example.com",
    html: PAGE,
    script: outputFiles[0].text,
    headers: { "content-security-policy": POLICY },
    provider,
    answer(url, request) {
      if (url.origin !== "https://api.example.com") return undefined;
      const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
      if (request.method() === "OPTIONS") return { status: 204, headers };
      const isBearer = /^Bearer [\w-]+\.[\w-]+\.[\w-]+$/.test(request.headers()["authorization"]);
      return { status: isBearer ? 200 : 401, body: "from the API", headers };
    },
  });

  await page.goto("https://app.example.com/");
  await page.getByText("Not signed in").waitFor();
  await page.click("#sign-in");
  await page.click("#back");
  await page.getByText("Hello Alice").waitFor();
  assert.equal(page.url(), "https://app.example.com/callback");
  await page.click("#call");
  await page.getByText("from the API").waitFor();
  await page.click("#sign-out");
  await page.locator("#bye").waitFor();
  assert.deepEqual(problems, []);
});

test("the callback block hands over a popup's callback and handles the page's own", async (t) => {
  const provider = await makeProvider(NAMES);
  writeFileSync(join(project, "callback.mjs"), block("callback"));
  const { issuer, clientId, redirectUri } = NAMES;
  const options = JSON.stringify({ issuer, clientId, redirectUri });
  writeFileSync(
    join(project, "client.js"),
    `import { createClient } from "gatepass";
     export const client = await createClient(${options});
     window.client = client;`,
  );
  const entry = `if (location.pathname === "/callback") import("./callback.mjs");
    else import("./client.js");`;
  writeFileSync(join(project, "site.mjs"), entry);
  const { outputFiles } = await build({
    entryPoints: [join(project, "site.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const site = { origin: "https://app.example.com", html: PAGE, script: outputFiles[0].text };
  await serve(context, { ...site, provider });
  const page = await context.newPage();
  await page.goto("https://app.example.com/");
  await page.waitForFunction(() => window.client !== undefined);

  const [popup] = await Promise.all([
    page.waitForEvent("popup"),
    page.evaluate(() => {
      window.done = window.client.signInPopup();
    }),
  ]);
  const closed = popup.waitForEvent("close");
  await popup.click("#back");
  assert.equal(await page.evaluate(async () => (await window.done).user.name), "Alice");
  await closed;

  await page.evaluate(() => void window.client.signIn());
  await page.click("#back");
  await page.waitForFunction(() => window.client?.state().signedIn === true);
  assert.equal(page.url(), redirectUri);
});

test("the tokenstore block keeps the session, and two pages share it; what is said of failures holds", async (t) => {
  const provider = await makeProvider(NAMES);
  writeFileSync(join(project, "tokenstore.mjs"), block("tokenstore"));
  const entry = `import("./tokenstore.mjs").then(
    ({ client }) => {
      window.failed = [];
      client.on("store_failed", ({ code }) => window.failed.push(code));
      window.client = client;
      window.outcome = "made";
    },
    ({ code }) => (window.outcome = code),
  );`;
  writeFileSync(join(project, "shell.mjs"), entry);
  const { outputFiles } = await build({
    entryPoints: [join(project, "shell.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  /** What the shell keeps, and which of its functions fails. */
  const kept = new Map();
  let broken;
  await context.exposeFunction("inVault", (verb, key, value) => {
    if (verb === broken || (broken === "change" && verb !== "read"))
      throw new Error("The keychain is locked.");
    if (verb === "write") kept.set(key, value);
    if (verb === "erase") kept.delete(key);
    return kept.get(key);
  });
  await context.addInitScript(() => {
    window.vault = {
      read: (key) => window.inVault("read", key),
      write: (key, value) => window.inVault("write", key, value),
      erase: (key) => window.inVault("erase", key),
    };
  });
  const site = { origin: "https://app.example.com", html: PAGE, script: outputFiles[0].text };
  await serve(context, { ...site, provider });
  const open = async () => {
    const page = await context.newPage();
    await page.goto("https://app.example.com/");
    await page.waitForFunction(() => window.outcome !== undefined);
    return page;
  };
  const token = (page) => page.evaluate(() => window.client.accessToken());
  const codeOf = (page, method) =>
    page.evaluate(
      (name) =>
        window.client[name]().then(
          () => "done",
          ({ code }) => code,
        ),
      method,
    );

  const signIn = async (page) => {
    const url = await page.evaluate(() => window.client.signInUrl().then(String));
    await page.evaluate((at) => window.client.handleCallback(at), provider.signInAt(url));
  };

  const first = await open();
  await signIn(first);
  assert.equal(kept.size, 1);
  assert.match([...kept.values()][0], /refresh-\d/);

  const second = await open();
  assert.equal(await token(second), await token(first));
  await Promise.all([first, second].map((page) => page.evaluate(() => window.client.refresh())));
  assert.equal(await token(second), await token(first));
  assert.equal(provider.reuses(), 0);

  broken = "read";
  assert.equal(await codeOf(first, "accessToken"), "storage_unavailable");
  assert.equal(await codeOf(first, "userinfo"), "storage_unavailable");
  const third = await open();
  assert.equal(await third.evaluate(() => window.outcome), "storage_unavailable");

  broken = "write";
  const before = [...kept.values()];
  assert.equal(await codeOf(first, "refresh"), "done");
  assert.equal(await codeOf(first, "accessToken"), "done");
  assert.deepEqual(await first.evaluate(() => window.failed), ["storage_unavailable"]);
  assert.deepEqual([...kept.values()], before);

  broken = "change";
  assert.equal(await codeOf(first, "signOutUrl"), "done");
  assert.equal(await first.evaluate(() => window.client.state().signedIn), false);
  assert.equal((await first.evaluate(() => window.failed)).length, 2);
  assert.deepEqual([...kept.values()], before);

  // What cannot be removed is written over.
  broken = "erase";
  const last = await open();
  assert.equal(await last.evaluate(() => window.client.state().signedIn), true);
  assert.equal(await codeOf(last, "signOutUrl"), "done");
  assert.deepEqual(await last.evaluate(() => window.failed), []);
  assert.deepEqual([...kept.values()], [""]);

  // Where it works, a sign-out leaves nothing.
  broken = undefined;
  const next = await open();
  assert.equal(await next.evaluate(() => window.client.state().signedIn), false);
  await signIn(next);
  assert.equal(await codeOf(next, "signOutUrl"), "done");
  assert.equal(kept.size, 0);
});

test("the fedcm block signs in by the browser's own account chooser", async (t) => {
  // The provider's address is the only word of it that is not the test's.
  const code = block("fedcm").replace('"https://accounts.example', 'PROVIDER + "');
  writeFileSync(
    join(project, "fedcm.mjs"),
    `import { createClient } from "gatepass";
     const client = await createClient({
       issuer: PROVIDER, clientId: "spa", redirectUri: location.origin + "/callback",
       dangerouslyAllowHttpLoopback: true,
     });
     document.getElementById("go").onclick = async () => {
       ${code}
       window.signedIn = signedIn;
     };
     window.isReady = true;`,
  );
  const { outputFiles } = await build({
    entryPoints: [join(project, "fedcm.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  const site = await startFedCm(outputFiles[0].text);
  t.after(() => site.close());
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("FedCm.enable", { disableRejectionDelay: true });
  devtools.on("FedCm.dialogShown", ({ dialogId }) => {
    void devtools.send("FedCm.selectAccount", { dialogId, accountIndex: 0 });
  });
  await page.goto(`${site.origin}/`);
  await page.waitForFunction(() => window.isReady === true);
  await page.click("#go");
  await page.waitForFunction(() => window.signedIn !== undefined);
  assert.equal(await page.evaluate(() => window.signedIn.user.sub), "alice");
});

test("the serviceworker blocks sign in, and the page calls with a token that it does not have", async (t) => {
  const calls = [];
  const api = await listen((request, _body, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "authorization");
    if (request.method !== "OPTIONS") calls.push(request.headers.authorization);
    return { called: true };
  });
  const files = {};
  const app = await listen((request, _body, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const isScript = pathname.endsWith(".js");
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    return files[pathname] ?? `<!doctype html><script type="module" src="/page.js"></script>`;
  });
  const server = await listen(async (request, body, response) => {
    const url = provider.issuer + request.url;
    response.setHeader("access-control-allow-origin", "*");
    if (url.startsWith(`${provider.issuer}/authorize`)) {
      response.writeHead(302, { location: provider.signInAt(url) });
      return "";
    }
    const answered = await provider.fetch(url, { body, headers: request.headers });
    response.writeHead(answered.status, { "content-type": "application/json" });
    return answered.text();
  });
  t.after(() => [api, app, server].forEach((each) => each.close()));
  const redirectUri = `${app.origin}/callback`;
  const provider = await makeProvider({ issuer: server.origin, clientId: "my-page", redirectUri });

  // The addresses are the only words of them that are not the test's.
  const local = (code) =>
    code
      .replace("https://login.example.com", server.origin)
      .replace("https://app.example.com", app.origin)
      .replace("https://api.example.com", api.origin);
  const worker = local(block("serviceworker")).replace(
    "});",
    "dangerouslyAllowHttpLoopback: true, });",
  );
  writeFileSync(join(project, "worker.mjs"), worker);
  const page = `${local(block("workerpage"))}\nwindow.answered = await response.json();`;
  writeFileSync(join(project, "page.mjs"), page);
  for (const [name, format] of [
    ["worker", "iife"],
    ["page", "esm"],
  ]) {
    const { outputFiles } = await build({
      entryPoints: [join(project, `${name}.mjs`)],
      bundle: true,
      format,
      write: false,
      logLevel: "error",
    });
    files[`/${name}.js`] = outputFiles[0].text;
  }
  // A page without WebAssembly is small.
  assert.ok(files["/page.js"].length < 20_000, String(files["/page.js"].length));

  const browser = await launch();
  t.after(() => browser.close());
  const tab = await browser.newPage();
  await tab.goto(`${app.origin}/`);
  await tab.waitForFunction(() => window.answered?.called === true);
  assert.equal(tab.url(), redirectUri);
  assert.match(calls[0], /^Bearer eyJ/);
});
