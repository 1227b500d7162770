// The installed package against panva's certified oidc-provider, which runs in this process and
// answers on 127.0.0.1 only: access tokens of both kinds, asked about and checked.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";

const API = "https://api.example";
const SIGNED_API = "https://signed-api.example";
const OTHER_API = "https://other-api.example";
const CLIENT = "Basic " + btoa("machine:machine-secret");

let origin;
let server;
let createGuard;
const guards = [];

before(async () => {
  const { project } = installPackage("interop");
  ({ createGuard } = await importInstalled(project, "gatepass/guard"));
  // The port is known before the provider is made, because it is part of the issuer.
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  const provider = await makeProvider();
  const answer = provider.callback();
});

after(() => {
  for (const guard of guards) guard.dispose();
  server?.closeAllConnections();
  server?.close();
});

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const warn = console.warn;
  console.warn = () => {};
  try {
    const { Provider, errors } = await import("oidc-provider");
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = privateKey.export({ format: "jwk" });
    const resources = {
      [API]: "opaque",
      [OTHER_API]: "opaque",
      [SIGNED_API]: "jwt",
    };
    const machine = { redirect_uris: [], response_types: [] };
    return new Provider(origin, {
      clients: [
        {
          ...machine,
          client_id: "machine",
          client_secret: "machine-secret",
          grant_types: ["client_credentials"],
        },
        { ...machine, client_id: "rs", client_secret: "s: %+/secret", grant_types: [] },
        {
          ...machine,
          client_id: "rs-post",
          client_secret: "post-secret",
          token_endpoint_auth_method: "client_secret_post",
          grant_types: [],
        },
        {
          ...machine,
          client_id: "rs-signed",
          client_secret: "signed-secret",
          introspection_signed_response_alg: "RS256",
          grant_types: [],
        },
      ],
      jwks: { keys: [{ ...jwk, kid: "k1", use: "sig", alg: "RS256" }] },
      cookies: { keys: ["not a secret: nobody signs in here"] },
      scopes: ["read", "write"],
      ttl: { ClientCredentials: 300 },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        revocation: { enabled: true },
        introspection: {
          enabled: true,
          allowedPolicy: (_ctx, client) => client.clientId.startsWith("rs"),
        },
        jwtIntrospection: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_ctx, resource) => {
            if (!(resource in resources)) throw new errors.InvalidTarget();
            return {
              scope: "read write",
              audience: resource,
              accessTokenFormat: resources[resource],
              jwt: { sign: { alg: "RS256" } },
            };
          },
        },
      },
    });
  } finally {
    console.warn = warn;
  }
}

async function post(path, form) {
  const response = await fetch(origin + path, {
    method: "POST",
    headers: { authorization: CLIENT },
    body: new URLSearchParams(form),
  });
  assert.equal(response.status, 200);
  return response;
}

async function issue(resource) {
  const form = { grant_type: "client_credentials", scope: "read", ...(resource && { resource }) };
  return (await (await post("/token", form)).json()).access_token;
}

async function guardWith(introspection, more = {}) {
  const guard = await createGuard({
    issuer: origin,
    audience: API,
    dangerouslyAllowHttpLoopback: true,
    introspection: { clientId: "rs", clientSecret: "s: %+/secret", ...introspection },
    ...more,
  });
  guards.push(guard);
  return guard;
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    (error) => error.code,
  );

test("int_01_an_opaque_token_is_accepted_with_a_secret_that_needs_encoding", async () => {
  const guard = await guardWith({});
  const token = await issue(API);
  assert.ok(!token.includes("."), "the provider issued a signed token");
  const principal = await guard.verify(token, { scopes: ["read"] });
  assert.equal(principal.issuer, origin);
  assert.equal(principal.clientId, "machine");
  assert.deepEqual(principal.audience, [API]);
  assert.deepEqual(principal.scopes, ["read"]);
  assert.ok(principal.expiresAt > Date.now() / 1000);
  assert.equal(await codeOf(guard.verify(token, { scopes: ["write"] })), "scope_insufficient");
  const { asked, cached } = guard.tally().introspection;
  assert.deepEqual([asked, cached], [1, 1]);
});

test("int_02_an_unknown_token_is_not_active", async () => {
  const guard = await guardWith({});
  const headers = new Headers({ authorization: "Bearer nobody-issued-this" });
  const { refusal, response } = await guard.check({ headers });
  assert.deepEqual([refusal.code, response.status], ["token_inactive", 401]);
});

test("int_06_wrong_credentials_of_ours_are_503_and_an_alert", async () => {
  const alerts = [];
  const onEvent = (event) => event.type === "alert" && alerts.push(event.code);
  const guard = await guardWith({ clientSecret: "wrong" }, { onEvent });
  const headers = new Headers({ authorization: `Bearer ${await issue(API)}` });
  const { refusal, response } = await guard.check({ headers });
  assert.deepEqual([refusal.code, response.status], ["credentials_refused", 503]);
  assert.equal(response.headers.get("www-authenticate"), null);
  assert.equal(response.headers.get("retry-after"), "1");
  assert.deepEqual(alerts, ["credentials_refused"]);
});

test("int_12_a_token_for_another_api_or_for_none_is_refused", async () => {
  const guard = await guardWith({});
  assert.equal(await codeOf(guard.verify(await issue(OTHER_API))), "audience_mismatch");
  const forNone = await issue();
  assert.equal(await codeOf(guard.verify(forNone)), "claim_missing");
  const lenient = await guardWith({ dangerouslyAllowMissingAudience: true });
  assert.equal(await codeOf(lenient.verify(forNone)), "accepted");
});

test("int_20_both_kinds_of_tokens_go_through_one_call", async () => {
  const events = [];
  const guard = await guardWith(
    {},
    { audience: [API, SIGNED_API], onEvent: (event) => events.push(event.purpose) },
  );
  const signed = await issue(SIGNED_API);
  assert.equal(signed.split(".").length, 3);
  assert.equal((await guard.verify(signed)).clientId, "machine");
  assert.ok(!events.includes("introspection"));
  assert.equal((await guard.verify(await issue(API))).clientId, "machine");
  assert.ok(events.includes("introspection"));
  const asked = guard.tally().introspection.asked;
  const forged = `${signed.slice(0, -8)}AAAAAAAA`;
  assert.equal(await codeOf(guard.verify(forged)), "signature_invalid");
  assert.equal(guard.tally().introspection.asked, asked);
});

test("int_25_a_revoked_token_ends_with_its_answer", async () => {
  const kept = await guardWith({});
  const asking = await guardWith({ cache: { ttl: 0 } });
  const exempt = await guardWith({ cache: { noCacheScopes: ["read"] } });
  const token = await issue(API);
  const codes = () =>
    Promise.all([kept, asking, exempt].map((guard) => codeOf(guard.verify(token))));
  assert.deepEqual(await codes(), ["accepted", "accepted", "accepted"]);
  await post("/token/revocation", { token });
  assert.deepEqual(await codes(), ["accepted", "token_inactive", "token_inactive"]);
});

test("a secret in the form is accepted too", async () => {
  const guard = await guardWith({
    auth: "client_secret_post",
    clientId: "rs-post",
    clientSecret: "post-secret",
  });
  assert.equal((await guard.verify(await issue(API))).clientId, "machine");
});

test("int_28_signed_answers_are_checked", async () => {
  const guard = await guardWith({
    clientId: "rs-signed",
    clientSecret: "signed-secret",
    jwtResponse: true,
  });
  const principal = await guard.verify(await issue(API));
  assert.deepEqual([principal.clientId, principal.audience], ["machine", [API]]);
  assert.equal(await codeOf(guard.verify("nobody-issued-this")), "token_inactive");
});
