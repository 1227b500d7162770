// A server that signs users in with the installed package at panva's certified oidc-provider, which
// takes signed and pushed requests alone, binds tokens to a key, and tells of sign-outs by itself. It
// runs in this process and answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { makeFormBrowser } from "../support/form-browser.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";

const APP = "https://app.example";
const keys = {
  client: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  request: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  provider: generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const jwk = (key, kid, alg) => ({ ...key.export({ format: "jwk" }), kid, alg, use: "sig" });

let backend;
let origin;
let server;
let receiver;
/** What the application's own endpoint for logout tokens answered. */
const answers = [];
const ended = [];

before(async () => {
  const { project } = installPackage("interop-server");
  backend = await importInstalled(project, "gatepass/backend");
  // The port is known before the provider is made, because it is part of the issuer.
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  receiver = await backend.createLogoutReceiver({
    issuer: origin,
    clientId: "web",
    dangerouslyAllowHttpLoopback: true,
  });
  const provider = await makeProvider();
  const answer = provider.callback();
});

after(() => {
  receiver?.dispose();
  server?.closeAllConnections();
  server?.close();
});

/** The provider's own requests end here: the one that it sends goes to the application. */
async function toTheApplication(url, { body, headers, method }) {
  assert.equal(String(url), `${APP}/backchannel`);
  const request = new Request(url, { body: String(body), headers, method });
  const response = await receiver.receive(request, (logout) => ended.push(logout));
  answers.push([response.status, response.headers.get("cache-control")]);
  return response;
}

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const warn = console.warn;
  console.warn = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    return new Provider(origin, {
      clients: [
        {
          client_id: "web",
          redirect_uris: [`${APP}/cb`],
          post_logout_redirect_uris: [`${APP}/bye`],
          grant_types: ["authorization_code", "refresh_token"],
          token_endpoint_auth_method: "private_key_jwt",
          request_object_signing_alg: "ES256",
          require_pushed_authorization_requests: true,
          require_signed_request_object: true,
          dpop_bound_access_tokens: true,
          backchannel_logout_uri: `${APP}/backchannel`,
          backchannel_logout_session_required: true,
          jwks: {
            keys: [
              jwk(keys.client.publicKey, "c-1", "ES256"),
              jwk(keys.request.publicKey, "r-1", "ES256"),
            ],
          },
        },
      ],
      jwks: { keys: [jwk(keys.provider.privateKey, "k-1", "RS256")] },
      cookies: { keys: ["of a test that nobody else signs in to"] },
      scopes: ["openid", "offline_access"],
      clientAuthMethods: ["private_key_jwt"],
      fetch: toTheApplication,
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      features: {
        devInteractions: { enabled: true },
        jwtResponseModes: { enabled: true },
        backchannelLogout: { enabled: true },
        dPoP: {
          enabled: true,
          nonceSecret: Buffer.alloc(32, 7),
          requireNonce: () => true,
        },
        pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
        requestObjects: { enabled: true, requireSignedRequestObject: true },
        revocation: { enabled: true },
      },
    });
  } finally {
    console.warn = warn;
  }
}

test("a server signs a user in by a signed and pushed request, and hears of the sign-out", async () => {
  const dpop = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ]);
  const browse = makeFormBrowser(APP);
  const client = await backend.createClient({
    issuer: origin,
    clientId: "web",
    redirectUri: `${APP}/cb`,
    postLogoutRedirectUri: `${APP}/bye`,
    scope: "openid offline_access",
    clientAuth: { method: "private_key_jwt", key: jwk(keys.client.privateKey, "c-1", "ES256") },
    requestObject: { key: jwk(keys.request.privateKey, "r-1", "ES256") },
    dpop: { key: dpop },
    dangerouslyAllowHttpLoopback: true,
  });
  const url = await client.signInUrl({ prompt: "consent", returnTo: "/inbox" });
  // The provider requires it, so it was pushed without being asked for.
  assert.deepEqual([...url.searchParams.keys()], ["client_id", "request_uri"]);
  const { user, returnTo, checks } = await client.handleCallback(await browse(url.href));
  assert.deepEqual([user.sub, returnTo], ["alice", "/inbox"]);
  assert.ok(checks.includes("nonce") && typeof user.sid === "string");
  assert.equal((await client.userinfo()).sub, "alice");
  const first = await client.accessToken();
  await client.refresh();
  assert.notEqual(await client.accessToken(), first);

  const failures = [];
  client.on("revocation_failed", (event) => failures.push(event));
  const away = await client.signOutUrl();
  assert.deepEqual(failures, []);
  const back = new URL(await browse(away.href));
  assert.equal(back.origin + back.pathname, `${APP}/bye`);
  await client.handleSignOutCallback(back);
  assert.deepEqual(answers, [[200, "no-store"]]);
  const [{ iss, sub, sid, ends, ...logout }] = ended;
  assert.deepEqual([iss, sid, sub ?? "alice"], [origin, user.sid, "alice"]);
  assert.ok(ends(user));
  assert.ok(!ends({ ...user, sid: "another" }));
  assert.ok(logout.checks.includes("events"));
  client.dispose();
});

test("a server signs a user in by a response that is signed as well, and takes no other", async () => {
  const key = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ]);
  for (const responseMode of ["jwt", "fragment.jwt"]) {
    const browse = makeFormBrowser(APP);
    const client = await backend.createClient({
      issuer: origin,
      clientId: "web",
      redirectUri: `${APP}/cb`,
      responseMode,
      clientAuth: { method: "private_key_jwt", key: jwk(keys.client.privateKey, "c-1", "ES256") },
      requestObject: { key: jwk(keys.request.privateKey, "r-1", "ES256") },
      dpop: { key },
      dangerouslyAllowHttpLoopback: true,
    });
    const callback = await browse((await client.signInUrl()).href);
    assert.match(callback, /^https:\/\/app\.example\/cb[?#]response=ey[^&]+$/);
    const [, claims] = callback.split("response=")[1].split(".");
    const { code, state } = JSON.parse(Buffer.from(claims, "base64url"));
    await assert.rejects(client.handleCallback(`${APP}/cb?code=${code}&state=${state}`), {
      code: "response_mode_mismatch",
    });
    const { user, checks } = await client.handleCallback(callback);
    assert.equal(user.sub, "alice");
    assert.deepEqual(checks.slice(0, 6), ["signature RS256", "aud", "exp", "state", "iss", "code"]);
    client.dispose();
  }
});

test("an unsigned request is not made where the provider takes signed ones alone", async () => {
  const client = await backend.createClient({
    issuer: origin,
    clientId: "web",
    redirectUri: `${APP}/cb`,
    dangerouslyAllowHttpLoopback: true,
  });
  await assert.rejects(client.signInUrl(), { code: "config_invalid", at: "requestObject" });
  client.dispose();
});
