// The steps of a sign-in one by one, with the installed package, at panva's certified oidc-provider,
// which runs in this process and answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { makeFormBrowser } from "../support/form-browser.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";

const APP = "https://app.example";

let steps;
let origin;
let server;

before(async () => {
  const { project } = installPackage("interop-primitives");
  steps = await importInstalled(project, "gatepass/primitives");
  // The port is known before the provider is made, because it is part of the issuer.
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  const provider = await makeProvider();
  const answer = provider.callback();
});

after(() => {
  server?.closeAllConnections();
  server?.close();
});

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const warn = console.warn;
  console.warn = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return new Provider(origin, {
      clients: [
        {
          client_id: "steps",
          redirect_uris: [`${APP}/cb`],
          grant_types: ["authorization_code", "refresh_token"],
          token_endpoint_auth_method: "none",
        },
      ],
      jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "k-1", use: "sig" }] },
      cookies: { keys: ["of a test that nobody else signs in to"] },
      scopes: ["openid", "offline_access"],
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      features: { devInteractions: { enabled: true } },
    });
  } finally {
    console.warn = warn;
  }
}

test("each step is what the provider expects", async () => {
  const loopback = { dangerouslyAllowHttpLoopback: true };
  const issuer = await steps.discover({ issuer: origin, ...loopback });
  assert.equal(issuer.token_endpoint, `${origin}/token`);
  const client = {
    issuer,
    clientId: "steps",
    redirectUri: `${APP}/cb`,
    scope: "openid offline_access",
    ...loopback,
  };
  const { url, login } = await steps.authorizationUrl(client, { prompt: "consent" });
  const callback = await makeFormBrowser(APP)(url);
  const { code, checks } = await steps.parseCallback(client, login, callback);
  assert.deepEqual(checks, ["state", "iss", "code"]);
  const tokens = await steps.exchangeCode(client, login, code);
  const { accessToken, idToken, refreshToken } = tokens;
  const { claims } = await steps.checkClaims(client, idToken, { login, accessToken, code });
  assert.equal(claims.sub, "alice");
  const renewed = await steps.refreshTokens(client, refreshToken);
  assert.notEqual(renewed.accessToken, accessToken);
  const context = { login, accessToken: renewed.accessToken, refreshed: true };
  const again = await steps.checkClaims(client, renewed.idToken, context);
  assert.equal(again.claims.sub, claims.sub);
});
