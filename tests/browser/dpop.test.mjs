// Tokens that are bound to the browser's key, in real Chromium: issued by panva's certified
// oidc-provider, which demands nonces, and shown to an API with our own guard, which does too. All of
// it answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { build } from "esbuild";

import { launch } from "../support/browser.mjs";
import { installPackage } from "../support/installed.mjs";

const API = "https://api.example";
const APP = `
  import { createClient } from "gatepass";
  window.seen = [];
  window.client = await createClient({
    ...window.names,
    clientId: "page",
    redirectUri: location.origin + "/callback",
    scope: "openid offline_access read",
    resource: "${API}",
    store: "local",
    dpop: true,
    dangerouslyAllowHttpLoopback: true,
    onEvent: ({ type, code }) => window.seen.push(code ?? type),
  });
  if (location.pathname === "/callback") await window.client.handleCallback();
  window.isReady = true;
`;

const open = [];
let browser;
let app;
let op;
let api;
let elsewhere;
const asked = [];
const askedElsewhere = [];

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

before(async () => {
  const { project } = installPackage("browser-dpop");
  writeFileSync(join(project, "app.mjs"), APP);
  const { outputFiles } = await build({
    entryPoints: [join(project, "app.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  [app, op, api, elsewhere] = [await serve(), await serve(), await serve(), await serve()];
  const names = JSON.stringify({ issuer: op.origin, allowedOrigins: api.origin });
  const html = `<!doctype html><title>app</title><script>window.names = ${names}</script><script type="module" src="/app.js"></script>`;
  app.answer((request, response) => {
    const isScript = request.url === "/app.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? outputFiles[0].text : html);
  });
  op.answer(await makeProvider());

  const entry = join(project, "node_modules/gatepass/dist/guard.js");
  const { createGuard } = await import(pathToFileURL(entry).href);
  const guard = await createGuard({
    issuer: op.origin,
    audience: API,
    dpop: "require",
    dpopNonce: true,
    dangerouslyAllowHttpLoopback: true,
  });
  open.push({ close: () => guard.dispose() });
  elsewhere.answer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "authorization, dpop");
    if (request.method !== "OPTIONS") askedElsewhere.push(request.headers);
    response.end("{}");
  });
  api.answer(async (request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "authorization, dpop");
    response.setHeader("access-control-expose-headers", "dpop-nonce, www-authenticate");
    if (request.method === "OPTIONS") return response.end();
    asked.push(request.headers);
    if (request.url === "/away") {
      return response.writeHead(302, { location: `${elsewhere.origin}/taken` }).end();
    }
    const checked = await guard.check(
      new Request(api.origin + request.url, { method: request.method, headers: request.headers }),
    );
    const answered = checked.response ?? Response.json(checked.principal.claims);
    answered.headers.forEach((value, name) => response.setHeader(name, value));
    response.writeHead(answered.status).end(await answered.text());
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  for (const one of open) {
    one.closeAllConnections?.();
    one.close();
  }
});

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const { warn } = console;
  console.warn = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = privateKey.export({ format: "jwk" });
    const provider = new Provider(op.origin, {
      clients: [
        {
          client_id: "page",
          token_endpoint_auth_method: "none",
          redirect_uris: [`${app.origin}/callback`],
          response_types: ["code"],
          grant_types: ["authorization_code", "refresh_token"],
          dpop_bound_access_tokens: true,
        },
      ],
      jwks: { keys: [{ ...jwk, kid: "k1", use: "sig", alg: "RS256" }] },
      cookies: { keys: ["not a secret: it signs the cookies of a test"] },
      scopes: ["openid", "offline_access"],
      ttl: {
        AccessToken: 300,
        Grant: 300,
        IdToken: 300,
        Interaction: 300,
        RefreshToken: 300,
        Session: 300,
      },
      clientBasedCORS: () => true,
      issueRefreshToken: () => true,
      rotateRefreshToken: true,
      findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      interactions: { url: () => "/sign-in" },
      // Everybody agrees to everything.
      async loadExistingGrant({ oidc }) {
        const { clientId } = oidc.client;
        const grant = new provider.Grant({ clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope("openid offline_access");
        grant.addResourceScope(API, "read");
        await grant.save();
        return grant;
      },
      features: {
        devInteractions: { enabled: false },
        dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
        resourceIndicators: {
          enabled: true,
          useGrantedResource: () => true,
          getResourceServerInfo: (_ctx, resource) => ({
            scope: "read",
            audience: resource,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "RS256" } },
          }),
        },
      },
    });
    const callback = provider.callback();
    return (request, response) => {
      if (!request.url.startsWith("/sign-in")) return callback(request, response);
      const result = { login: { accountId: "alice" } };
      return provider.interactionFinished(request, response, result);
    };
  } finally {
    console.warn = warn;
  }
}

const ready = (page) => page.waitForFunction(() => window.isReady === true);

async function signedIn(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const tab = async () => {
    const page = await context.newPage();
    await page.goto(app.origin);
    await ready(page);
    return page;
  };
  const page = await tab();
  const authorization = await page.evaluate(async () => String(await window.client.signInUrl()));
  await page.goto(authorization);
  await ready(page);
  return { page, tab, authorization: new URL(authorization) };
}

const call = (page) =>
  page.evaluate(async (url) => {
    const response = await window.client.fetch(url);
    return { status: response.status, claims: await response.json() };
  }, `${api.origin}/items?page=2`);

/** What IndexedDB holds that is a key. */
const storedKeys = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open("gatepass", 1);
        request.onerror = reject;
        request.onsuccess = () => {
          const values = request.result.transaction("values").objectStore("values").getAll();
          values.onsuccess = () => {
            request.result.close();
            const pairs = values.result.filter(({ privateKey }) => privateKey);
            resolve(pairs.map(({ privateKey }) => [privateKey.extractable, privateKey.usages]));
          };
        };
      }),
  );

test("dpp_31 dpp_34 a sign-in is bound to a key that cannot be read, and the API accepts it", async (t) => {
  const { page, authorization } = await signedIn(t);
  asked.length = 0;
  const { status, claims } = await call(page);
  assert.equal(status, 200);
  assert.equal(claims.sub, "alice");
  assert.equal(claims.cnf.jkt, authorization.searchParams.get("dpop_jkt"));
  // The guard wanted a nonce, once.
  assert.equal(asked.length, 2);
  assert.equal((await call(page)).status, 200);
  assert.equal(asked.length, 3);
  assert.deepEqual(await storedKeys(page), [[false, ["sign"]]]);

  // A thief has the token and not the key.
  const stolen = await page.evaluate(() => window.client.accessToken());
  for (const authorization of [`Bearer ${stolen}`, `DPoP ${stolen}`]) {
    const response = await fetch(api.origin, { headers: { authorization } });
    assert.equal(response.status, 401);
  }
});

test("dpp_33 all tabs renew with the same key, also after a reload", async (t) => {
  const { page, tab } = await signedIn(t);
  const jkt = (await call(page)).claims.cnf.jkt;
  const other = await tab();
  assert.equal((await call(other)).claims.cnf.jkt, jkt);
  const before = await page.evaluate(() => window.client.accessToken());
  await Promise.all([page, other].map((one) => one.evaluate(() => window.client.refresh())));
  assert.notEqual(await page.evaluate(() => window.client.accessToken()), before);
  await other.reload();
  await ready(other);
  for (const one of [page, other]) {
    const { status, claims } = await call(one);
    assert.deepEqual([status, claims.cnf.jkt], [200, jkt]);
  }
});

test("dpp_31 signing out ends the key, in all tabs", async (t) => {
  const { page, tab } = await signedIn(t);
  const jkt = (await call(page)).claims.cnf.jkt;
  const other = await tab();
  await page.evaluate(() => window.client.signOutUrl());
  await other.waitForFunction(() => window.seen.includes("signed_out"));
  assert.deepEqual(await storedKeys(other), []);
  const next = await other.evaluate(async () => String(await window.client.signInUrl()));
  assert.notEqual(new URL(next).searchParams.get("dpop_jkt"), jkt);
  await other.goto(next);
  await ready(other);
  assert.equal((await call(other)).status, 200);
  // The first tab heard of it.
  await page.waitForFunction(() => window.client.state().signedIn);
  assert.equal((await call(page)).status, 200);
});

test("rfr_14 a redirect of the API to another origin does not take the token along", async (t) => {
  const { page } = await signedIn(t);
  const answered = await page.evaluate(async (url) => {
    const response = await window.client.fetch(url);
    return [response.status, response.url];
  }, `${api.origin}/away`);
  assert.deepEqual(answered, [200, `${elsewhere.origin}/taken`]);
  assert.match(asked.at(-1).authorization, /^DPoP eyJ/);
  assert.equal(askedElsewhere.length, 1);
  assert.equal(askedElsewhere[0].authorization, undefined);
});
