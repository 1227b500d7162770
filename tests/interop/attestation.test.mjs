// A client that registers itself, and one for which somebody vouches, at panva's certified oidc-provider.
// It runs in this process and answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { makeFormBrowser } from "../support/form-browser.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";

const APP = "https://app.example";
const INITIAL = "initial-S3CRET-token";
const voucher = generateKeyPairSync("ec", { namedCurve: "P-256" });
const own = generateKeyPairSync("ec", { namedCurve: "P-256" });

let backend;
let origin;
let server;
/** The paths that were asked. */
const asked = [];

before(async () => {
  const { project } = installPackage("interop-attestation");
  backend = await importInstalled(project, "gatepass/backend");
  // The port is known before the provider is made, because it is part of the issuer.
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url.split("?")[0]}`);
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  const answer = (await makeProvider()).callback();
});

after(() => {
  server?.closeAllConnections();
  server?.close();
});

const count = (line) => asked.filter((each) => each === line).length;

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const { warn, info } = console;
  console.warn = console.info = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    return new Provider(origin, {
      clients: [
        {
          client_id: "attested",
          token_endpoint_auth_method: "attest_jwt_client_auth",
          redirect_uris: [`${APP}/cb`],
          grant_types: ["authorization_code", "client_credentials", "refresh_token"],
        },
      ],
      cookies: { keys: ["of a test that nobody else signs in to"] },
      scopes: ["openid", "offline_access", "read", "write"],
      clientAuthMethods: ["client_secret_basic", "none", "attest_jwt_client_auth"],
      issueRefreshToken: () => true,
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      features: {
        devInteractions: { enabled: true },
        dPoP: { enabled: false },
        clientCredentials: { enabled: true },
        pushedAuthorizationRequests: { enabled: true },
        registration: { enabled: true, initialAccessToken: INITIAL },
        registrationManagement: { enabled: true },
        attestClientAuth: {
          enabled: true,
          ack: "draft-12",
          challengeSecret: Buffer.alloc(32, 3),
          getAttestationSignaturePublicKey: () =>
            crypto.subtle.importKey(
              "jwk",
              voucher.publicKey.export({ format: "jwk" }),
              { name: "ECDSA", namedCurve: "P-256" },
              false,
              ["verify"],
            ),
          assertAttestationJwtAndPop: () => {},
        },
      },
    });
  } finally {
    Object.assign(console, { warn, info });
  }
}

const options = (more) => ({ issuer: origin, dangerouslyAllowHttpLoopback: true, ...more });

const failure = (promise) =>
  promise.then(
    () => assert.fail("it was accepted"),
    (error) => error,
  );

test("req_41_a_client_that_registers_itself_signs_users_in", async () => {
  const metadata = {
    redirect_uris: [`${APP}/cb`],
    grant_types: ["authorization_code", "refresh_token"],
    client_name: "Of the tests",
  };
  const registered = await backend.registerClient(
    options({ metadata, initialAccessToken: INITIAL }),
  );
  const { clientId, clientSecret, clientSecretExpiresAt } = registered;
  assert.equal(clientSecretExpiresAt, 0);
  assert.equal(registered.metadata.client_name, "Of the tests");
  assert.equal(registered.metadata.token_endpoint_auth_method, "client_secret_basic");
  const managed = await fetch(registered.registrationClientUri, {
    headers: { authorization: `Bearer ${registered.registrationAccessToken}` },
  });
  assert.equal((await managed.json()).client_id, clientId);

  const client = await backend.createClient(
    options({
      clientId,
      clientAuth: { method: "client_secret_basic", clientSecret },
      redirectUri: `${APP}/cb`,
    }),
  );
  const url = await client.signInUrl();
  const { user } = await client.handleCallback(await makeFormBrowser(APP)(url.href));
  assert.equal(user.sub, "alice");
  client.dispose();
});

test("req_41_what_the_provider_does_not_register_is_told_by_its_code", async () => {
  const register = (metadata, more = { initialAccessToken: INITIAL }) =>
    failure(backend.registerClient(options({ metadata, ...more })));
  for (const [metadata, expected] of [
    [{ redirect_uris: [] }, "invalid_redirect_uri"],
    [
      { redirect_uris: [`${APP}/cb`], token_endpoint_auth_method: "guessing" },
      "invalid_client_metadata",
    ],
  ]) {
    const error = await register(metadata);
    assert.deepEqual([error.code, error.details.error], ["server_error_response", expected]);
    assert.ok(!`${error}${JSON.stringify(error)}`.includes("S3CRET"));
  }
  const error = await register({ redirect_uris: [`${APP}/cb`] }, { initialAccessToken: "wrong" });
  assert.deepEqual([error.code, error.details.error], ["server_error_response", "invalid_token"]);
});

/** An attestation as a client's backend, or a device's platform, issues it. */
function attestation(more = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: "attested",
    iat: now,
    exp: now + 300,
    cnf: { jwk: own.publicKey.export({ format: "jwk" }) },
    ...more,
  };
  const header = { alg: "ES256", typ: "oauth-client-attestation+jwt" };
  const input = `${part(header)}.${part(claims)}`;
  const key = { key: voucher.privateKey, dsaEncoding: "ieee-p1363" };
  return `${input}.${sign("sha256", Buffer.from(input), key).toString("base64url")}`;
}

const attested = (more) =>
  backend.createClient(
    options({
      clientId: "attested",
      clientAuth: {
        method: "attest_jwt_client_auth",
        attestation: attestation(),
        key: own.privateKey.export({ format: "jwk" }),
        ...more,
      },
      redirectUri: `${APP}/cb`,
    }),
  );

test("req_37_a_client_is_vouched_for_and_meets_the_challenge_once", async () => {
  const client = await attested();
  const before = count("POST /token");
  assert.ok((await client.clientCredentials({ scope: "read" }).accessToken()).length > 20);
  // The first one lacked the challenge, the next request has it already.
  assert.equal(count("POST /token"), before + 2);
  assert.ok((await client.clientCredentials({ scope: "write" }).accessToken()).length > 20);
  assert.equal(count("POST /token"), before + 3);
  client.dispose();
});

test("req_37_a_user_signs_in_with_a_client_that_is_vouched_for", async () => {
  const client = await attested();
  const url = await client.signInUrl();
  const { user } = await client.handleCallback(await makeFormBrowser(APP)(url.href));
  assert.equal(user.sub, "alice");
  const first = await client.accessToken();
  await client.refresh();
  assert.notEqual(await client.accessToken(), first);
  client.dispose();
});

test("req_37_the_key_of_someone_else_and_an_attestation_that_is_over_are_refused", async () => {
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
  for (const [more, expected] of [
    [{ key: other.privateKey.export({ format: "jwk" }) }, "invalid_client"],
    [{ attestation: attestation({ exp: 1_000_000_000 }) }, "invalid_client"],
    // The id in the body is another one.
    [{ attestation: attestation({ sub: "another" }) }, "invalid_request"],
  ]) {
    const client = await attested(more);
    const error = await failure(client.clientCredentials().accessToken());
    const { code, details } = error;
    assert.deepEqual([code, details.error], ["server_error_response", expected]);
    client.dispose();
  }
});
