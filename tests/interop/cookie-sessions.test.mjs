// The example of sessions in cookies, in workerd and in Node, with panva's certified oidc-provider,
// which rotates refresh tokens and ends a session whose token is used twice. It runs in this process
// and answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { makeCookieBrowser } from "../support/cookie-browser.mjs";
import { startWorker } from "../support/edge.mjs";
import { installExample } from "../support/example.mjs";
import { makeFormBrowser } from "../support/form-browser.mjs";
import { askHttp } from "../support/http.mjs";
import { importInstalled } from "../support/installed.mjs";

const APP = "https://app.example";
const SECRET = "of the tests, of more than 32 bytes";
const COOKIE_KEYS = "5".repeat(64);

let project;
let issuer;
let server;
/** How long access tokens live that are issued now, in seconds. */
let lifetime;
/** What the provider was asked, by method and path. */
const asked = [];

before(async () => {
  project = installExample("cookie-sessions", ["@hono/node-server"]);
  // The port is known before the provider is made, because it is part of the issuer.
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url.split("?")[0]}`);
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer = `http://127.0.0.1:${server.address().port}`;
  const answer = (await makeProvider()).callback();
});

after(() => {
  server?.closeAllConnections();
  server?.close();
});

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
const count = (line) => asked.filter((each) => each === line).length;

/** A port of this machine that is free: the redirect URI is registered before the server runs. */
const NODE_PORT = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const NODE_APP = `http://127.0.0.1:${NODE_PORT}`;

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const { warn } = console;
  console.warn = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "1" };
    return new Provider(issuer, {
      clients: [
        {
          client_id: "web",
          client_secret: SECRET,
          application_type: "native",
          redirect_uris: [`${APP}/callback`, `${NODE_APP}/callback`],
          post_logout_redirect_uris: [`${APP}/bye`, `${NODE_APP}/bye`],
          grant_types: ["authorization_code", "refresh_token"],
        },
      ],
      jwks: { keys: [key] },
      cookies: { keys: ["of a test that nobody else signs in to"] },
      scopes: ["openid", "offline_access"],
      pkce: { required: () => true },
      issueRefreshToken: () => true,
      rotateRefreshToken: () => true,
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      features: {
        devInteractions: { enabled: true },
        revocation: { enabled: true },
        rpInitiatedLogout: { enabled: true },
      },
      ttl: {
        AccessToken: () => lifetime,
        AuthorizationCode: 60,
        Grant: 3600,
        IdToken: 3600,
        Interaction: 600,
        RefreshToken: 3600,
        Session: 3600,
      },
    });
  } finally {
    console.warn = warn;
  }
}

const settings = (origin) => ({
  ISSUER: issuer,
  CLIENT_ID: "web",
  CLIENT_SECRET: SECRET,
  ORIGIN: origin,
  SCOPE: "openid",
  COOKIE_KEYS,
  DANGEROUSLY_ALLOW_HTTP_LOOPBACK: "true",
});

/** In, through renewals, and out. */
async function journey(origin, answer, cookie) {
  lifetime = 2;
  const browser = makeCookieBrowser(origin, answer);
  const atProvider = makeFormBrowser(origin);
  const path = (url) => url.slice(origin.length);
  const follow = (response) => new URL(response.headers.get("location"), origin).href;

  assert.equal((await browser.fetch("/me")).status, 401);
  const first = follow(await browser.navigate("/"));
  assert.equal(first, `${origin}/login?returnTo=%2F`);
  const callback = await atProvider(follow(await browser.navigate(path(first))));
  const back = await browser.navigate(path(callback), "cross-site");
  assert.deepEqual([back.status, follow(back)], [303, `${origin}/`]);
  assert.ok(browser.jar.has(cookie));
  assert.match(await (await browser.navigate("/")).text(), /Hello alice/);

  // The access token is over: it is renewed, and the new refresh token works in its turn.
  await sleep(2500);
  assert.deepEqual(await (await browser.fetch("/me")).json(), { sub: "alice" });
  await sleep(2500);
  // Requests that come together: one of them renews it.
  lifetime = 600;
  const old = new Map(browser.jar);
  const before = count("POST /token");
  const headers = { "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors" };
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => browser.send("/me", { cookies: old, headers })),
  );
  for (const response of answers) {
    assert.deepEqual([response.status, await response.json()], [200, { sub: "alice" }]);
  }
  assert.equal(count("POST /token"), before + 1);
  assert.notEqual(browser.jar.get(cookie), old.get(cookie));

  const out = await browser.submit("/logout");
  assert.ok(!browser.jar.has(cookie));
  const bye = await atProvider(follow(out));
  assert.ok(bye.startsWith(`${origin}/bye?state=`));
  const end = await browser.navigate(path(bye), "cross-site");
  assert.deepEqual([end.status, follow(end)], [303, `${origin}/`]);
  assert.equal(browser.jar.size, 0);
  assert.equal((await browser.fetch("/me")).status, 401);
}

test("a server in workerd signs in, renews once and signs out", async (t) => {
  const { Response } = await import("miniflare");
  const worker = await startWorker(project, "app.mjs", {
    bindings: settings(APP),
    outboundService: async (request) => {
      const { method, url, headers } = request;
      const body = method === "GET" ? undefined : await request.text();
      const answer = await fetch(url, { method, headers, body, redirect: "manual" });
      return new Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  const discoveries = count("GET /.well-known/openid-configuration");
  await journey(APP, askHttp(await worker.ready), "__Host-gatepass");
  assert.equal(count("GET /.well-known/openid-configuration"), discoveries + 1);
});

test("a server in Node signs in, renews once and signs out", async (t) => {
  const child = spawn(process.execPath, ["node.mjs"], {
    cwd: project,
    env: { ...process.env, ...settings(NODE_APP), PORT: String(NODE_PORT) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill());
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("close", () => reject(new Error("it ended")));
  });
  await journey(NODE_APP, askHttp(NODE_APP), "gatepass");
});

test("a refresh token that was used in two isolates costs no request whose access token lives", async (t) => {
  lifetime = 600;
  const { createCookieSessions } = await importInstalled(project, "gatepass/backend");
  const isolate = async () => {
    const sessions = await createCookieSessions({
      issuer,
      clientId: "web",
      clientAuth: { method: "client_secret_basic", clientSecret: SECRET },
      redirectUri: `${APP}/callback`,
      keys: [COOKIE_KEYS],
      refreshSkew: 3600,
      dangerouslyAllowHttpLoopback: true,
    });
    return sessions.protect(async (_request, session) => new Response(await session.accessToken()));
  };
  const [one, two] = [await isolate(), await isolate()];
  const browser = makeCookieBrowser(APP, one);
  const away = await browser.navigate("/login");
  const callback = await makeFormBrowser(APP)(away.headers.get("location"));
  await browser.navigate(callback.slice(APP.length), "cross-site");
  const old = new Map(browser.jar);
  // Half of its life is over by the clock of this process, the provider's too.
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  Date.now = () => now() + 400_000;
  const elsewhere = makeCookieBrowser(APP, two);
  const [first, second] = [
    await browser.send("/", { cookies: old }),
    await elsewhere.send("/", { cookies: old }),
  ];
  assert.deepEqual([first.status, second.status], [200, 200]);
  assert.equal(first.headers.getSetCookie().length, 1);
  assert.deepEqual(second.headers.getSetCookie(), []);
});
