// The steps of a sign-in one by one, with the installed package: as WebAssembly, as its translation,
// and in workerd.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { startWorker } from "../support/edge.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let project;
let steps;
before(async () => {
  ({ project } = installPackage("primitives"));
  steps = await importInstalled(project, "gatepass/primitives");
});

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    ({ code, at, phase }) => `${phase} ${code}${at === undefined ? "" : ` ${at}`}`,
  );

async function world(more = {}) {
  const idp = await makeProvider();
  const { issuer, clientId, redirectUri, fetch } = idp;
  const metadata = await steps.discover({ issuer, fetch });
  const client = { issuer: metadata, clientId, redirectUri, fetch, ...more };
  return { idp, client };
}

for (const entry of ["gatepass/primitives", "gatepass/primitives/js"]) {
  test(`${entry}: from the issuer's name to checked claims`, async () => {
    const { idp, client } = await world({ scope: "openid offline_access" });
    const its = await importInstalled(project, entry);
    const { url, state, login } = await its.authorizationUrl(client, { returnTo: "/inbox" });
    assert.equal(new URL(url).searchParams.get("state"), state);
    const { code, returnTo, checks } = await its.parseCallback(client, login, idp.signInAt(url));
    assert.deepEqual([returnTo, checks.includes("state")], ["/inbox", true]);
    const tokens = await its.exchangeCode(client, login, code);
    assert.equal(tokens.tokenType, "Bearer");
    const { accessToken, idToken } = tokens;
    const context = { login, accessToken, code };
    const checked = await its.checkClaims(client, idToken, context);
    assert.equal(checked.claims.name, "Alice");
    assert.ok(checked.checks.includes("nonce"));
    assert.ok(!checked.checks.some((check) => check.startsWith("signature")));
    const decoded = await its.decodeJwt(idToken);
    assert.deepEqual(decoded.claims, checked.claims);
    assert.equal(typeof decoded.header.alg, "string");
    const renewed = await its.refreshTokens(client, tokens.refreshToken);
    assert.notEqual(renewed.accessToken, accessToken);
    const { codeVerifier, codeChallenge, codeChallengeMethod } = await its.createPkce();
    const bytes = new TextEncoder().encode(codeVerifier);
    const hash = Buffer.from(await crypto.subtle.digest("SHA-256", bytes));
    assert.deepEqual([hash.toString("base64url"), codeChallengeMethod], [codeChallenge, "S256"]);
    assert.notEqual((await its.createPkce()).codeVerifier, codeVerifier);
  });
}

test("what is wrong is refused as a client refuses it", async () => {
  const { idp, client } = await world();
  const { url, login } = await steps.authorizationUrl(client);
  const callback = idp.signInAt(url);
  const other = await steps.authorizationUrl(client);
  assert.equal(
    await codeOf(steps.parseCallback(client, other.login, callback)),
    "callback state_mismatch",
  );
  const denied = new URL(callback);
  denied.searchParams.delete("code");
  denied.searchParams.set("error", "access_denied");
  assert.equal(
    await codeOf(steps.parseCallback(client, login, denied)),
    "callback server_error_response",
  );
  const { code } = await steps.parseCallback(client, login, callback);
  const { idToken, accessToken } = await steps.exchangeCode(client, login, code);
  assert.equal(
    await codeOf(steps.exchangeCode(client, login, code)),
    "exchange server_error_response",
  );
  assert.equal(
    await codeOf(steps.checkClaims(client, idToken, { login: other.login, accessToken })),
    "id_token nonce_mismatch",
  );
  assert.equal(
    await codeOf(steps.checkClaims({ ...client, clientId: "other" }, idToken, { accessToken })),
    "id_token audience_mismatch",
  );
  // A library that does not look at the signature says so: it is another one here.
  const [header, payload] = idToken.split(".");
  const unsigned = `${header}.${payload}.AAAA`;
  assert.equal(
    await codeOf(steps.checkClaims(client, unsigned, { login, accessToken })),
    "accepted",
  );
});

test("what is missing or of another type is refused by its name", async () => {
  const { client } = await world();
  const { login } = await steps.authorizationUrl(client);
  const cases = [
    [
      steps.authorizationUrl({ ...client, issuer: "https://as.example" }),
      "config config_invalid issuer",
    ],
    [steps.authorizationUrl({ ...client, store: "local" }), "config config_invalid store"],
    [steps.authorizationUrl(client, { mode: "popup" }), "sign_in config_invalid mode"],
    [steps.discover({ issuer: "http://as.example" }), "config url_insecure issuer"],
    [steps.discover({}), "config config_invalid issuer"],
    [steps.parseCallback(client, undefined, "https://x.example/"), "callback flow_unknown"],
    [steps.exchangeCode(client, login, undefined), "exchange code_missing"],
    [steps.refreshTokens(client, undefined), "refresh config_invalid refreshToken"],
    [
      steps.authorizationUrl({ ...client, responseMode: "jwt" }),
      "config config_invalid responseMode",
    ],
    [steps.decodeJwt(undefined), "id_token token_malformed"],
  ];
  for (const [promise, expected] of cases) assert.equal(await codeOf(promise), expected);
});

test("a response that was posted is read from its request, in workerd too", async (t) => {
  const { idp, client } = await world({ responseMode: "form_post" });
  const { url, login } = await steps.authorizationUrl(client);
  const callback = idp.signInAt(url);
  const { origin, pathname, search } = new URL(callback);
  const posted = () =>
    new Request(origin + pathname, { method: "POST", body: new URLSearchParams(search) });
  const { code } = await steps.parseCallback(client, login, posted());
  assert.equal(
    await codeOf(steps.parseCallback(client, login, callback)),
    "callback response_mode_mismatch",
  );

  writeFileSync(
    join(project, "worker.mjs"),
    `import { engine, parseCallback } from "gatepass/primitives";
     const { client, login } = ${JSON.stringify({ client, login })};
     export default {
       async fetch(request) {
         const { code } = await parseCallback(client, login, request);
         return Response.json([code, engine()]);
       },
     };`,
  );
  const worker = await startWorker(project, "worker.mjs");
  t.after(() => worker.dispose());
  const answer = await worker.dispatchFetch(origin + pathname, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: search.slice(1),
  });
  const runs = process.env["GATEPASS_ENGINE"] === "js" ? "js" : "wasm";
  assert.deepEqual(await answer.json(), [code, runs]);
});
