// A sign-in whose response is posted to a server in workerd (OAuth 2.0 Form Post Response Mode), plain and
// signed (JARM), by the page that panva's certified oidc-provider makes for it.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { makeCookieBrowser } from "../support/cookie-browser.mjs";
import { startWorker } from "../support/edge.mjs";
import { makeFormBrowser } from "../support/form-browser.mjs";
import { installPackage } from "../support/installed.mjs";

const APP = "https://app.example";
const SECRET = "of the tests, of more than 32 bytes";

const WORKER = `
  import { createClient } from "gatepass/backend";

  /** A client for this browser: its pending sign-ins stand in KV under the id in its cookie. */
  const clientOf = (env, id) =>
    createClient({
      issuer: env.ISSUER,
      clientId: "web",
      clientAuth: { method: "client_secret_basic", clientSecret: env.SECRET },
      redirectUri: "${APP}/callback",
      responseMode: env.MODE,
      transactionStore: {
        get: (key) => env.LOGINS.get(id + " " + key),
        set: (key, value) => env.LOGINS.put(id + " " + key, value),
      },
      dangerouslyAllowHttpLoopback: true,
    });

  export default {
    async fetch(request, env) {
      const { pathname } = new URL(request.url);
      const known = /(?:^|; )browser=([\\w-]+)/.exec(request.headers.get("cookie") ?? "")?.[1];
      const id = known ?? crypto.randomUUID();
      const client = await clientOf(env, id);
      try {
        if (pathname === "/login") {
          const url = await client.signInUrl({ returnTo: "/inbox" });
          // The response comes from another site: without SameSite=None the cookie would stay away.
          const cookie = "browser=" + id + "; Secure; HttpOnly; SameSite=None; Path=/";
          return new Response(null, { status: 303, headers: { location: url.href, "set-cookie": cookie } });
        }
        const { user, returnTo, checks } = await client.handleCallback(request);
        return Response.json({ sub: user.sub, returnTo, checks, userinfo: await client.userinfo() });
      } catch ({ code, at }) {
        return Response.json({ code, at }, { status: 400 });
      } finally {
        client.dispose();
      }
    },
  };
`;

let project;
let issuer;
let server;
/** What the provider was asked, by method and path. */
const asked = [];

before(async () => {
  ({ project } = installPackage("interop-form-post"));
  writeFileSync(join(project, "worker.mjs"), WORKER);
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

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const { warn } = console;
  console.warn = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return new Provider(issuer, {
      clients: [{ client_id: "web", client_secret: SECRET, redirect_uris: [`${APP}/callback`] }],
      jwks: {
        keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "1" }],
      },
      cookies: { keys: ["of a test that nobody else signs in to"] },
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      features: { devInteractions: { enabled: true }, jwtResponseModes: { enabled: true } },
      ttl: { AccessToken: 300, Grant: 600, IdToken: 300, Interaction: 600, Session: 600 },
    });
  } finally {
    console.warn = warn;
  }
}

for (const [mode, parameters] of [
  ["form_post", ["code", "iss", "state"]],
  ["form_post.jwt", ["response"]],
]) {
  test(`a worker takes the response of ${mode} and signs in`, async (t) => {
    const { Response } = await import("miniflare");
    const worker = await startWorker(project, "worker.mjs", {
      bindings: { ISSUER: issuer, SECRET, MODE: mode },
      kvNamespaces: ["LOGINS"],
      outboundService: async (request) => {
        const { method, url, headers } = request;
        const body = method === "GET" ? undefined : await request.text();
        const answered = await fetch(url, { method, headers, body, redirect: "manual" });
        return new Response(await answered.text(), answered);
      },
    });
    t.after(() => worker.dispose());
    // So that the worker sees the URL that the browser asked for, as it does behind a host of its own.
    const browser = makeCookieBrowser(APP, async (request) =>
      worker.dispatchFetch(request.url, {
        method: request.method,
        headers: Object.fromEntries(request.headers),
        redirect: "manual",
        ...(request.body && { body: await request.text() }),
      }),
    );
    const exchanges = () => asked.filter((line) => line === "POST /token").length;
    const first = exchanges();

    const away = new URL((await browser.navigate("/login")).headers.get("location"));
    assert.equal(away.searchParams.get("response_mode"), mode);
    const { url, body } = await makeFormBrowser(APP, (page) => page)(away.href);
    // Nothing of the response stands in a URL.
    assert.equal(url, `${APP}/callback`);
    assert.deepEqual([...body.keys()].sort(), parameters);

    const post = (form, cookies) =>
      browser.send("/callback", {
        method: "POST",
        headers: {
          origin: issuer,
          "sec-fetch-site": "cross-site",
          "content-type": "application/x-www-form-urlencoded",
        },
        body: String(form),
        cookies,
      });
    // A browser that did not begin it, as after a cookie that did not come along.
    const stranger = await post(body, new Map());
    assert.deepEqual([stranger.status, await stranger.json()], [400, { code: "flow_unknown" }]);
    assert.equal(exchanges(), first);

    const answered = await post(body);
    const { checks, ...rest } = await answered.json();
    const signedIn = { sub: "alice", returnTo: "/inbox", userinfo: { sub: "alice" } };
    assert.deepEqual([answered.status, rest], [200, signedIn]);
    for (const check of ["state", "iss", "nonce"]) assert.ok(checks.includes(check), check);
    assert.equal(exchanges(), first + 1);

    // The same form once more, as by a reload of the page.
    const again = await post(body);
    assert.deepEqual([again.status, (await again.json()).code], [400, "flow_reused"]);
    // The same parameters in a URL are no response of this kind.
    const asLink = await browser.navigate(`/callback?${body}`, "cross-site");
    assert.deepEqual([asLink.status, (await asLink.json()).code], [400, "response_mode_mismatch"]);
    assert.equal(exchanges(), first + 1);
  });
}
