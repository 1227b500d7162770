// Presets: the URLs that each leads to, and a sign-in with tokens and answers of each provider's shape.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let createClient;
let presets;
before(async () => {
  const { project } = installPackage("presets");
  const dist = join(project, "node_modules/gatepass/dist");
  ({ createClient } = await import(pathToFileURL(join(dist, "index.js"))));
  presets = await import(pathToFileURL(join(dist, "presets.js")));
});

const TENANT = "11111111-2222-4333-8444-555555555555";
const clientId = "client-1";

/**
 * What each provider is like: its preset's own options, where it is, its endpoints (authorization,
 * token, keys), what else its metadata say (as of 2026, from published documents), what its callbacks, ID
 * tokens and token answers hold besides the usual, and where signing out leads.
 */
const PROVIDERS = {
  auth0: {
    options: { domain: "example.eu.auth0.com", audience: "https://api.example", offline: true },
    issuer: "https://example.eu.auth0.com/",
    discovery: "https://example.eu.auth0.com/.well-known/openid-configuration",
    endpoints: [
      "https://example.eu.auth0.com/authorize",
      "https://example.eu.auth0.com/oauth/token",
      "https://example.eu.auth0.com/.well-known/jwks.json",
    ],
    scope: "openid profile email offline_access",
    asked: { audience: "https://api.example" },
    endSession: "https://example.eu.auth0.com/oidc/logout",
    metadata: {
      userinfo_endpoint: "https://example.eu.auth0.com/userinfo",
      revocation_endpoint: "https://example.eu.auth0.com/oauth/revoke",
      registration_endpoint: "https://example.eu.auth0.com/oidc/register",
      device_authorization_endpoint: "https://example.eu.auth0.com/oauth/device/code",
      // A template, and so no URL.
      global_token_revocation_endpoint:
        "https://example.eu.auth0.com/oauth/global-token-revocation/connection/{connectionName}",
      code_challenge_methods_supported: ["S256", "plain"],
      id_token_signing_alg_values_supported: ["HS256", "RS256", "PS256"],
      request_uri_parameter_supported: false,
      request_parameter_supported: false,
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
    },
    idToken: { sub: "auth0|66a1", sid: "s1", updated_at: "2026-11-01T08:00:00.000Z" },
  },
  okta: {
    options: { domain: "example.okta.com", offline: true },
    issuer: "https://example.okta.com/oauth2/default",
    discovery: "https://example.okta.com/oauth2/default/.well-known/openid-configuration",
    endpoints: [
      "https://example.okta.com/oauth2/default/v1/authorize",
      "https://example.okta.com/oauth2/default/v1/token",
      "https://example.okta.com/oauth2/default/v1/keys",
    ],
    scope: "openid profile email offline_access",
    endSession: "https://example.okta.com/oauth2/default/v1/logout",
    metadata: {
      userinfo_endpoint: "https://example.okta.com/oauth2/default/v1/userinfo",
      revocation_endpoint: "https://example.okta.com/oauth2/default/v1/revoke",
      introspection_endpoint: "https://example.okta.com/oauth2/default/v1/introspect",
      registration_endpoint: "https://example.okta.com/oauth2/v1/clients",
      code_challenge_methods_supported: ["S256"],
      id_token_signing_alg_values_supported: ["RS256"],
      revocation_endpoint_auth_methods_supported: ["client_secret_basic", "none"],
    },
    idToken: {
      sub: "00u1",
      ver: 1,
      jti: "ID.x",
      amr: ["pwd"],
      idp: "00o1",
      auth_time: 1_700_000_000,
    },
  },
  entra: {
    options: { tenant: TENANT, scope: "openid api://api-1/read", offline: true },
    issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
    discovery: `https://login.microsoftonline.com/${TENANT}/v2.0/.well-known/openid-configuration`,
    endpoints: [
      `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/authorize`,
      `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`,
      `https://login.microsoftonline.com/${TENANT}/discovery/v2.0/keys`,
    ],
    scope: "openid api://api-1/read offline_access",
    endSession: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/logout`,
    // Nothing of PKCE, which it has, and no way to revoke.
    metadata: {
      userinfo_endpoint: "https://graph.microsoft.com/oidc/userinfo",
      device_authorization_endpoint: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/devicecode`,
      id_token_signing_alg_values_supported: ["RS256"],
      subject_types_supported: ["pairwise"],
      request_uri_parameter_supported: false,
      frontchannel_logout_supported: true,
      http_logout_supported: true,
      tenant_region_scope: null,
      cloud_instance_name: "microsoftonline.com",
    },
    back: { session_state: "5d4c1b8e" },
    // No at_hash; the answer has a second life beside the first.
    idToken: {
      ver: "2.0",
      tid: TENANT,
      oid: "o1",
      uti: "u",
      rh: "0.x",
      aio: "x",
      at_hash: undefined,
    },
    answer: { ext_expires_in: 4000, expires_in: 3900 },
  },
  google: {
    options: { offline: true },
    issuer: "https://accounts.google.com",
    discovery: "https://accounts.google.com/.well-known/openid-configuration",
    endpoints: [
      "https://accounts.google.com/o/oauth2/v2/auth",
      "https://oauth2.googleapis.com/token",
      "https://www.googleapis.com/oauth2/v3/certs",
    ],
    scope: "openid profile email",
    asked: { access_type: "offline", prompt: "consent" },
    endSession: undefined,
    metadata: {
      userinfo_endpoint: "https://openidconnect.googleapis.com/v1/userinfo",
      revocation_endpoint: "https://oauth2.googleapis.com/revoke",
      device_authorization_endpoint: "https://oauth2.googleapis.com/device/code",
      code_challenge_methods_supported: ["plain", "S256"],
      id_token_signing_alg_values_supported: ["RS256"],
    },
    // Since 2026 its callbacks say `iss`, which the metadata do not announce.
    namesItself: true,
    back: { scope: "email openid", authuser: "0", hd: "corp.example", prompt: "consent" },
    idToken: {
      sub: "1234567890123456789012",
      azp: clientId,
      hd: "corp.example",
      email_verified: true,
    },
    answer: { expires_in: 3599, scope: "openid https://www.googleapis.com/auth/userinfo.email" },
  },
  keycloak: {
    options: { url: "https://id.example/", realm: "my realm" },
    issuer: "https://id.example/realms/my%20realm",
    discovery: "https://id.example/realms/my%20realm/.well-known/openid-configuration",
    endpoints: [
      "https://id.example/realms/my%20realm/protocol/openid-connect/auth",
      "https://id.example/realms/my%20realm/protocol/openid-connect/token",
      "https://id.example/realms/my%20realm/protocol/openid-connect/certs",
    ],
    scope: "openid profile email",
    endSession: "https://id.example/realms/my%20realm/protocol/openid-connect/logout",
    metadata: {
      userinfo_endpoint: "https://id.example/realms/my%20realm/protocol/openid-connect/userinfo",
      revocation_endpoint: "https://id.example/realms/my%20realm/protocol/openid-connect/revoke",
      introspection_endpoint:
        "https://id.example/realms/my%20realm/protocol/openid-connect/token/introspect",
      check_session_iframe:
        "https://id.example/realms/my%20realm/protocol/openid-connect/login-status-iframe.html",
      pushed_authorization_request_endpoint:
        "https://id.example/realms/my%20realm/protocol/openid-connect/ext/par/request",
      require_pushed_authorization_requests: false,
      code_challenge_methods_supported: ["plain", "S256"],
      authorization_response_iss_parameter_supported: true,
      mtls_endpoint_aliases: {
        token_endpoint: "https://id.example/realms/my%20realm/protocol/openid-connect/token",
      },
    },
    namesItself: true,
    back: { session_state: "s1" },
    idToken: { typ: "ID", azp: clientId, sid: "s1", acr: "1", preferred_username: "alice" },
    answer: { refresh_expires_in: 1800, "not-before-policy": 0, session_state: "s1" },
  },
  cognito: {
    options: { userPoolId: "eu-central-1_AbCdEfGhI", offline: true },
    issuer: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI",
    discovery:
      "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI/.well-known/openid-configuration",
    endpoints: [
      "https://example.auth.eu-central-1.amazoncognito.com/oauth2/authorize",
      "https://example.auth.eu-central-1.amazoncognito.com/oauth2/token",
      "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI/.well-known/jwks.json",
    ],
    scope: "openid profile email",
    endSession: "https://example.auth.eu-central-1.amazoncognito.com/logout",
    // Nothing of PKCE, which it has; the sign-out has stood there since 2024.
    metadata: {
      userinfo_endpoint: "https://example.auth.eu-central-1.amazoncognito.com/oauth2/userInfo",
      revocation_endpoint: "https://example.auth.eu-central-1.amazoncognito.com/oauth2/revoke",
      id_token_signing_alg_values_supported: ["RS256"],
      response_types_supported: ["code", "token"],
      scopes_supported: ["openid", "email", "phone", "profile"],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
    },
    endSessionParameter: "logout_uri",
    idToken: {
      "cognito:username": "alice",
      "cognito:groups": ["a"],
      token_use: "id",
      event_id: "e",
      origin_jti: "o",
      jti: "j",
    },
  },
};

/** A client of a preset at a provider of its shape. */
async function world(name) {
  const {
    options,
    issuer,
    endpoints,
    metadata,
    endSession,
    idToken,
    answer = {},
  } = PROVIDERS[name];
  const [authorization, token, keys] = endpoints;
  const asked = [];
  // What all of them sign with.
  const idp = await makeProvider({ issuer, clientId, idToken, alg: "RS256" });
  const fetch = async (url, init) => {
    asked.push(url);
    if (url.endsWith("/.well-known/openid-configuration")) {
      return Response.json({
        issuer,
        authorization_endpoint: authorization,
        token_endpoint: token,
        jwks_uri: keys,
        end_session_endpoint: endSession,
        ...metadata,
      });
    }
    if (url === metadata.revocation_endpoint) return new Response("");
    if (url === keys) return idp.fetch(`${issuer}/jwks`, init);
    assert.equal(url, token);
    const response = await idp.fetch(`${issuer}/token`, init);
    return Response.json({ ...(await response.json()), ...answer });
  };
  const client = await createClient({
    ...presets[name]({
      ...options,
      clientId,
      redirectUri: "https://app.example/callback",
      postLogoutRedirectUri: "https://app.example/",
    }),
    fetch,
  });
  return { idp, client, asked };
}

for (const [name, expected] of Object.entries(PROVIDERS)) {
  test(`${name}: the URLs are its own, and its tokens sign in`, async () => {
    const { idp, client, asked } = await world(name);
    const url = await client.signInUrl();
    assert.equal(asked[0], expected.discovery);
    const [authorization, token, keys] = expected.endpoints;
    assert.equal(url.origin + url.pathname, authorization);
    assert.equal(url.searchParams.get("scope"), expected.scope);
    for (const [parameter, value] of Object.entries(expected.asked ?? {})) {
      assert.equal(url.searchParams.get(parameter), value);
    }
    assert.equal(url.searchParams.get("code_challenge_method"), "S256");
    const callback = new URL(idp.signInAt(url));
    if (!expected.namesItself) callback.searchParams.delete("iss");
    for (const [parameter, value] of Object.entries(expected.back ?? {})) {
      callback.searchParams.set(parameter, value);
    }
    const { user } = await client.handleCallback(callback);
    for (const [claim, value] of Object.entries(expected.idToken)) {
      assert.deepEqual(user[claim], value, claim);
    }
    assert.equal(client.state().signedIn, true);
    await client.refresh();
    assert.equal(user.iss, expected.issuer);
    assert.deepEqual(asked.slice(1), [keys, token, token]);

    const end = await client.signOutUrl();
    const revoked = asked.slice(4);
    // Entra has nowhere to do it.
    const { revocation_endpoint: revocation } = expected.metadata;
    assert.equal(revocation === undefined, name === "entra");
    assert.deepEqual(new Set(revoked), new Set(revocation ? [revocation] : []));
    if (expected.endSession === undefined) return assert.equal(end, null);
    assert.equal(end.origin + end.pathname, expected.endSession);
    assert.equal(end.searchParams.get("client_id"), clientId);
    const back = expected.endSessionParameter ?? "post_logout_redirect_uri";
    assert.equal(end.searchParams.get(back), "https://app.example/");
    const others = ["post_logout_redirect_uri", "logout_uri"].filter((name) => name !== back);
    for (const other of others) assert.equal(end.searchParams.has(other), false);
  });
}

test("what is given goes in place of what a preset says", () => {
  const { auth0, okta, google, keycloak } = presets;
  const made = google({ clientId, scope: "openid", authorizationParams: { prompt: "login" } });
  assert.deepEqual([made.scope, made.authorizationParams], ["openid", { prompt: "login" }]);
  assert.equal(auth0({ domain: "a.example", clientId }).scope, "openid profile email");
  const twice = auth0({
    domain: "a.example",
    clientId,
    scope: "openid offline_access",
    offline: true,
  });
  assert.equal(twice.scope, "openid offline_access");
  const org = okta({ domain: "a.okta.com", authorizationServer: null, clientId });
  assert.equal(org.issuer, "https://a.okta.com");
  const old = keycloak({ url: "https://id.example/auth", realm: "r", clientId });
  assert.equal(old.issuer, "https://id.example/auth/realms/r");
});

test("what is undefined is not given, and the preset's own stays", () => {
  const { auth0, cognito, google } = presets;
  const none = { scope: undefined, issuer: undefined, postLogoutRedirectParameter: undefined };
  const at = google({
    clientId,
    ...none,
    offline: true,
    authorizationParams: { prompt: undefined },
  });
  assert.equal(at.issuer, "https://accounts.google.com");
  assert.equal(at.scope, "openid profile email");
  assert.deepEqual(at.authorizationParams, { access_type: "offline", prompt: "consent" });
  assert.deepEqual(google({ clientId, authorizationParams: undefined }).authorizationParams, {});
  const pool = cognito({ clientId, userPoolId: "eu-central-1_A", ...none });
  assert.equal(pool.issuer, "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A");
  assert.equal(pool.scope, "openid profile email");
  assert.equal(pool.postLogoutRedirectParameter, "logout_uri");
  const tenant = auth0({ domain: "a.example", clientId, ...none });
  assert.equal(tenant.issuer, "https://a.example/");
  assert.equal(tenant.scope, "openid profile email");
});

for (const name of ["google", "keycloak"]) {
  test(`${name}: a callback that names another issuer is refused`, async () => {
    const { idp, client, asked } = await world(name);
    const callback = new URL(idp.signInAt(await client.signInUrl()));
    callback.searchParams.set("iss", "https://attacker.example");
    await assert.rejects(client.handleCallback(callback), { code: "iss_mismatch" });
    assert.ok(!asked.includes(PROVIDERS[name].endpoints[1]));
  });
}

test("keycloak: a callback that names no issuer is refused, because the metadata announce one", async () => {
  const { idp, client } = await world("keycloak");
  const callback = new URL(idp.signInAt(await client.signInUrl()));
  callback.searchParams.delete("iss");
  await assert.rejects(client.handleCallback(callback), { code: "iss_missing" });
});

test("an issuer that is not that of the metadata is refused, such as Entra's common", async () => {
  const issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
  const client = await createClient({
    ...presets.entra({ tenant: "common", clientId, redirectUri: "https://app.example/callback" }),
    fetch: async () => Response.json({ issuer, authorization_endpoint: "https://login.example/a" }),
  });
  await assert.rejects(client.signInUrl(), { code: "metadata_invalid", at: "issuer" });
});
