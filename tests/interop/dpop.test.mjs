// Tokens that panva's certified oidc-provider binds to a client's key (RFC 9449), checked by the
// installed package. The provider runs in this process and answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProver } from "../support/prover.mjs";

const API = "https://api.example";
const URL_OF_ITEMS = `${API}/items`;

let origin;
let server;
let createGuard;
let prover;
let token;
const guards = [];

before(async () => {
  const { project } = installPackage("interop-dpop");
  ({ createGuard } = await importInstalled(project, "gatepass/guard"));
  let answer;
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  answer = (await makeProvider()).callback();
  prover = await makeProver();
  token = await boundToken(prover);
});

after(() => {
  for (const guard of guards) guard.dispose();
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
    const jwk = privateKey.export({ format: "jwk" });
    return new Provider(origin, {
      clients: [
        {
          client_id: "machine",
          client_secret: "machine-secret",
          redirect_uris: [],
          response_types: [],
          grant_types: ["client_credentials"],
        },
      ],
      jwks: { keys: [{ ...jwk, kid: "k1", use: "sig", alg: "RS256" }] },
      cookies: { keys: ["not a secret: nobody signs in here"] },
      scopes: ["read", "write"],
      ttl: { ClientCredentials: 300 },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        // The provider demands a nonce of its own: the client learns it and asks again.
        dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_ctx, resource) => ({
            scope: "read write",
            audience: resource,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "RS256" } },
          }),
        },
      },
    });
  } finally {
    console.warn = warn;
  }
}

/** A token from the provider, bound to this key. */
async function boundToken({ proof }) {
  const endpoint = `${origin}/token`;
  const ask = async (nonce) =>
    fetch(endpoint, {
      method: "POST",
      headers: {
        authorization: "Basic " + btoa("machine:machine-secret"),
        dpop: await proof("POST", endpoint, undefined, nonce && { nonce }),
      },
      body: new URLSearchParams({
        grant_type: "client_credentials",
        scope: "read",
        resource: API,
      }),
    });
  const first = await ask();
  assert.equal((await first.json()).error, "use_dpop_nonce");
  const second = await ask(first.headers.get("dpop-nonce"));
  const { access_token, token_type } = await second.json();
  assert.equal(token_type, "DPoP");
  return access_token;
}

async function makeGuard(more = {}) {
  const guard = await createGuard({
    issuer: origin,
    audience: API,
    dangerouslyAllowHttpLoopback: true,
    dpop: "accept",
    ...more,
  });
  guards.push(guard);
  return guard;
}

const request = (scheme, dpop) =>
  new Request(`${URL_OF_ITEMS}?page=2`, {
    headers: { authorization: `${scheme} ${token}`, ...(dpop && { dpop }) },
  });

test("a token that the provider bound is accepted with its client's proof", async () => {
  const guard = await makeGuard();
  const proof = await prover.proof("GET", URL_OF_ITEMS, token);
  const { principal, refusal } = await guard.check(request("DPoP", proof), { scopes: ["read"] });
  assert.equal(refusal, undefined);
  assert.equal(principal.clientId, "machine");
  assert.equal(principal.claims.cnf.jkt, prover.jkt);
});

test("dpp_01 the same token as a bearer token is refused", async () => {
  for (const dpop of ["off", "accept"]) {
    const guard = await makeGuard({ dpop });
    const { refusal, response } = await guard.check(request("Bearer"));
    assert.equal(refusal.code, "binding_mismatch");
    assert.equal(response.status, 401);
  }
});

test("dpp_22 a thief's own proof does not help", async () => {
  const guard = await makeGuard();
  const thief = await makeProver();
  const proof = await thief.proof("GET", URL_OF_ITEMS, token);
  const { refusal } = await guard.check(request("DPoP", proof));
  assert.equal(refusal.code, "binding_mismatch");
});

test("dpp_12 dpp_18 dpp_21 a proof is good for one request with one token", async () => {
  const guard = await makeGuard();
  const code = async (proof) => (await guard.check(request("DPoP", proof))).refusal?.code;
  const good = await prover.proof("GET", URL_OF_ITEMS, token);
  assert.equal(await code(good), undefined);
  assert.equal(await code(good), "dpop_replayed");
  assert.equal(await code(await prover.proof("POST", URL_OF_ITEMS, token)), "dpop_invalid");
  assert.equal(await code(await prover.proof("GET", `${API}/other`, token)), "dpop_invalid");
  assert.equal(await code(await prover.proof("GET", URL_OF_ITEMS, "other")), "dpop_invalid");
});

test("dpp_25 the guard's own nonce is learnt as the provider's is", async () => {
  const guard = await makeGuard({ dpop: "require", dpopNonce: true });
  const ask = async (nonce) =>
    guard.check(
      request("DPoP", await prover.proof("GET", URL_OF_ITEMS, token, nonce && { nonce })),
    );
  const { refusal, response } = await ask();
  assert.equal(refusal.code, "use_dpop_nonce");
  assert.match(response.headers.get("www-authenticate"), /^DPoP error="use_dpop_nonce", algs="/);
  const { principal } = await ask(response.headers.get("dpop-nonce"));
  assert.equal(principal.clientId, "machine");
});
