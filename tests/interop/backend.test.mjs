// The machine functions of the installed package against panva's certified oidc-provider, which runs
// in this process and answers on 127.0.0.1 only.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";

const API = "https://api.example";
const SECRET = "a secret of more than 32 bytes: %+";

let origin;
let server;
let backend;
const clients = [];
const keys = {
  ec: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ed: generateKeyPairSync("ed25519"),
};

const publicJwk = (key, kid, alg) => ({
  ...key.publicKey.export({ format: "jwk" }),
  kid,
  alg,
  use: "sig",
});

before(async () => {
  const { project } = installPackage("interop-backend");
  const entry = join(project, "node_modules/gatepass/dist/backend.js");
  backend = await import(pathToFileURL(entry).href);
  // The port is known before the provider is made, because it is part of the issuer.
  server = createServer((request, response) => answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  const provider = await makeProvider();
  const answer = provider.callback();
});

after(() => {
  for (const client of clients) client.dispose();
  server?.closeAllConnections();
  server?.close();
});

/** It says that Node 20 is old for it and that its memory is no database; both are known here. */
async function makeProvider() {
  const warn = console.warn;
  console.warn = () => {};
  try {
    const { Provider } = await import("oidc-provider");
    const machine = {
      redirect_uris: [],
      response_types: [],
      grant_types: ["client_credentials"],
    };
    const signing = (client_id, jwk) => ({
      ...machine,
      client_id,
      token_endpoint_auth_method: "private_key_jwt",
      jwks: { keys: [jwk] },
    });
    return new Provider(origin, {
      clients: [
        { ...machine, client_id: "a:machine", client_secret: SECRET },
        {
          ...machine,
          client_id: "poster",
          client_secret: SECRET,
          token_endpoint_auth_method: "client_secret_post",
        },
        {
          ...machine,
          client_id: "mac",
          client_secret: SECRET,
          token_endpoint_auth_method: "client_secret_jwt",
        },
        signing("ec", publicJwk(keys.ec, "ec-1", "ES256")),
        signing("rsa", publicJwk(keys.rsa, "rsa-1", "PS256")),
        signing("ed", publicJwk(keys.ed, "ed-1", "EdDSA")),
        {
          client_id: "tv",
          redirect_uris: [],
          response_types: [],
          token_endpoint_auth_method: "none",
          application_type: "native",
          grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        },
      ],
      cookies: { keys: ["of a test that nobody else signs in to"] },
      scopes: ["openid", "offline_access", "read", "write"],
      clientAuthMethods: [
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "none",
      ],
      enabledJWA: {
        clientAuthSigningAlgValues: ["HS256", "ES256", "PS256", "EdDSA"],
      },
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      ttl: {
        AccessToken: 300,
        ClientCredentials: 300,
        DeviceCode: 60,
        Grant: 600,
        IdToken: 300,
        Interaction: 300,
        RefreshToken: 600,
        Session: 300,
      },
      features: {
        devInteractions: { enabled: true },
        clientCredentials: { enabled: true },
        deviceFlow: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_ctx, resource) => ({
            scope: "read write",
            audience: resource,
            accessTokenFormat: "opaque",
          }),
        },
      },
    });
  } finally {
    console.warn = warn;
  }
}

async function clientOf(clientId, clientAuth, more = {}) {
  const client = await backend.createClient({
    issuer: origin,
    clientId,
    ...(clientAuth && { clientAuth }),
    dangerouslyAllowHttpLoopback: true,
    ...more,
  });
  clients.push(client);
  return client;
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    ({ code, details }) => [code, details?.error],
  );

const ask = (client) => client.clientCredentials({ scope: "read", resource: API }).accessToken();

for (const [clientId, clientAuth] of [
  ["a:machine", { method: "client_secret_basic", clientSecret: SECRET }],
  ["poster", { method: "client_secret_post", clientSecret: SECRET }],
  ["mac", { method: "client_secret_jwt", clientSecret: SECRET }],
]) {
  test(`${clientAuth.method} is what the provider understands`, async () => {
    const token = await ask(await clientOf(clientId, clientAuth));
    assert.ok(token.length > 20);
    const wrong = `${SECRET}!`;
    const refused = await clientOf(clientId, { ...clientAuth, clientSecret: wrong });
    assert.deepEqual(await codeOf(ask(refused)), ["server_error_response", "invalid_client"]);
  });
}

test("private_key_jwt signs with a CryptoKey, a JWK and PEM", async () => {
  const jwk = keys.ec.privateKey.export({ format: "jwk" });
  const name = { name: "ECDSA", namedCurve: "P-256" };
  const cryptoKey = await crypto.subtle.importKey("jwk", jwk, name, false, ["sign"]);
  const pem = (key) => key.privateKey.export({ format: "pem", type: "pkcs8" });
  for (const [clientId, clientAuth] of [
    ["ec", { key: cryptoKey, kid: "ec-1" }],
    ["ec", { key: { ...jwk, kid: "ec-1", alg: "ES256", use: "sig", key_ops: ["sign"] } }],
    ["ec", { key: pem(keys.ec), alg: "ES256" }],
    ["rsa", { key: pem(keys.rsa), alg: "PS256", kid: "rsa-1" }],
    ["rsa", { key: { ...keys.rsa.privateKey.export({ format: "jwk" }), alg: "PS256" } }],
    ["ed", { key: pem(keys.ed), alg: "EdDSA", kid: "ed-1" }],
    ["ed", { key: keys.ed.privateKey.export({ format: "jwk" }), kid: "ed-1" }],
  ]) {
    const client = await clientOf(clientId, { method: "private_key_jwt", ...clientAuth });
    assert.ok((await ask(client)).length > 20, JSON.stringify(Object.keys(clientAuth)));
    // Each request has an assertion of its own, which the provider takes once.
    assert.ok(
      (await client.clientCredentials({ scope: "write", resource: API }).accessToken()).length,
    );
  }
});

test("the key of someone else is refused", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ format: "jwk" });
  const client = await clientOf("ec", { method: "private_key_jwt", key, kid: "ec-1" });
  assert.deepEqual(await codeOf(ask(client)), ["server_error_response", "invalid_client"]);
});

test("a way that the provider does not offer is not tried", async () => {
  const client = await clientOf("tv", { method: "tls_client_auth" });
  assert.deepEqual(await codeOf(ask(client)), ["config_invalid", undefined]);
});

test("a device signs in while its user does so elsewhere", async () => {
  const client = await clientOf("tv", undefined, { scope: "openid offline_access" });
  const login = await client.deviceLogin();
  assert.match(login.userCode, /^[A-Z0-9]{4}-?[A-Z0-9]{4}$/);
  assert.ok(login.expiresAt > Date.now() / 1000);
  assert.equal(new URL(login.verificationUri).origin, origin);
  const finished = login.finish();
  const again = login.finish();
  await approve(login.verificationUriComplete ?? login.verificationUri, login.userCode);
  const { user, checks } = await finished;
  // Whoever asks twice waits for the same sign-in.
  assert.equal((await again).user.sub, user.sub);
  assert.equal(user.sub, "alice");
  assert.ok(checks.includes("at_hash") || checks.includes("iss"));
  assert.equal(client.state().signedIn, true);
  const before = await client.accessToken();
  await client.refresh();
  assert.notEqual(await client.accessToken(), before);
});

test("dev_10_a_device_login_that_is_aborted_ends_at_once", async () => {
  const client = await clientOf("tv", undefined, { scope: "openid" });
  const login = await client.deviceLogin();
  const abort = new AbortController();
  const finished = codeOf(login.finish({ signal: abort.signal }));
  abort.abort();
  const begun = performance.now();
  assert.deepEqual(await finished, ["aborted", undefined]);
  // The interval is five seconds.
  assert.ok(performance.now() - begun < 1000);
});

/** A browser as far as the provider's own pages need one: cookies, redirects and forms. */
async function approve(start, userCode) {
  const cookies = new Map();
  const go = async (url, init = {}) => {
    for (let hops = 0; hops < 10; hops += 1) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url, { ...init, headers: { cookie }, redirect: "manual" });
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === "") cookies.delete(name);
        else cookies.set(name, value);
      }
      const location = response.headers.get("location");
      if (location === null) return { url, html: await response.text() };
      url = new URL(location, url).href;
      init = {};
    }
    throw new Error("redirected too often");
  };
  let page = await go(start);
  for (let forms = 0; forms < 6; forms += 1) {
    const action = /<form[^>]*action="([^"]*)"/.exec(page.html)?.[1];
    if (action === undefined) return;
    const fields = new URLSearchParams();
    for (const [input] of page.html.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(input)?.[1];
      const value = /value="([^"]*)"/.exec(input)?.[1] ?? "";
      if (name !== undefined && name !== "abort") fields.set(name, value);
    }
    if (fields.has("user_code") && fields.get("user_code") === "")
      fields.set("user_code", userCode);
    if (fields.has("login")) fields.set("login", "alice");
    if (fields.has("password")) fields.set("password", "any");
    if (page.html.includes('name="confirm"')) fields.set("confirm", "yes");
    page = await go(new URL(action, page.url).href, { method: "POST", body: fields });
  }
  throw new Error("the provider shows one form after the other");
}
