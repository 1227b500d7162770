// A server that signs users in with `gatepass/backend`: it shows who it is, signs what it asks for,
// and binds its tokens to a key.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let backend;
before(async () => {
  const { project } = installPackage("server-client");
  backend = await importInstalled(project, "gatepass/backend");
});

const failure = (promise) =>
  promise.then(
    () => assert.fail("it was accepted"),
    (error) => error,
  );

const makeKey = () =>
  crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);

async function makeClient(provider, more) {
  const { issuer, clientId, redirectUri, fetch } = provider;
  return backend.createClient({ issuer, clientId, redirectUri, fetch, ...more });
}

/** Header and claims of a token, after its signature was checked. */
async function verified(token, key) {
  const [header, claims, signature] = token.split(".");
  const bytes = Buffer.from(signature, "base64url");
  const signed = new TextEncoder().encode(`${header}.${claims}`);
  assert.ok(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, bytes, signed));
  return [header, claims].map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
}

/** What was posted to these endpoints, in order. */
const posted = (provider, ...paths) =>
  provider.requests
    .filter(({ url }) => paths.some((path) => url === provider.issuer + path))
    .map(({ init }) => ({
      form: new URLSearchParams(init.body),
      headers: new Headers(init.headers),
    }));

test("req_31_a_sign_in_shows_an_assertion_of_its_own_in_every_request", async () => {
  const provider = await makeProvider();
  const { privateKey, publicKey } = await makeKey();
  const clientAuth = { method: "private_key_jwt", key: privateKey, kid: "c-1" };
  const client = await makeClient(provider, { clientAuth, par: "require" });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  await client.refresh();
  await client.signOutUrl();
  const sent = posted(provider, "/par", "/token", "/revoke");
  assert.equal(sent.length, 5);
  const names = new Set();
  for (const { form } of sent) {
    const [header, claims] = await verified(form.get("client_assertion"), publicKey);
    assert.deepEqual(header, { alg: "ES256", typ: "JWT", kid: "c-1" });
    assert.deepEqual([claims.iss, claims.sub, claims.aud], ["spa", "spa", provider.issuer]);
    assert.equal(form.getAll("client_id").length, 1);
    names.add(claims.jti);
  }
  assert.equal(names.size, 5);
  client.dispose();
});

test("a secret goes along with a sign-in, a refresh and a sign-out", async () => {
  const provider = await makeProvider();
  const clientAuth = { method: "client_secret_basic", clientSecret: "server-S3CRET" };
  const client = await makeClient(provider, { clientAuth, par: "require" });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  await client.refresh();
  await client.signOutUrl();
  const sent = posted(provider, "/par", "/token", "/revoke");
  assert.equal(sent.length, 5);
  for (const { headers } of sent) {
    assert.equal(headers.get("authorization"), `Basic ${btoa("spa:server-S3CRET")}`);
  }
  client.dispose();
});

test("req_29_req_30_what_is_asked_for_stands_in_a_signed_object", async () => {
  const { privateKey, publicKey } = await makeKey();
  for (const par of ["off", "require"]) {
    const provider = await makeProvider();
    const requestObject = { key: privateKey, kid: "r-1" };
    const client = await makeClient(provider, { requestObject, par });
    const url = await client.signInUrl({ loginHint: "alice@example.com" });
    const beside = par === "off" ? url.searchParams : posted(provider, "/par")[0].form;
    assert.equal(url.searchParams.get("login_hint"), null);
    assert.equal(beside.get("login_hint"), null);
    const [header, claims] = await verified(beside.get("request"), publicKey);
    assert.deepEqual(header, { alg: "ES256", typ: "oauth-authz-req+jwt", kid: "r-1" });
    assert.deepEqual([claims.iss, claims.client_id], ["spa", "spa"]);
    assert.deepEqual([claims.aud, claims.login_hint], [provider.issuer, "alice@example.com"]);
    for (const name of ["sub", "request", "request_uri"]) assert.ok(!(name in claims), name);
    assert.equal((await client.handleCallback(provider.signInAt(url))).user.sub, "alice");
    client.dispose();
  }
});

test("a key for requests that is missing or of no use is refused by name", async () => {
  const { privateKey, publicKey } = await makeKey();
  for (const [requestObject, at] of [
    [{}, "requestObject"],
    [{ key: publicKey }, "key"],
    [{ key: 7 }, "key"],
    [{ key: privateKey, alg: "RS256" }, "alg"],
    [{ key: privateKey, alg: "none" }, "alg"],
    [{ key: privateKey, kid: 1 }, "kid"],
    [{ key: privateKey, typ: "x" }, "typ"],
    [true, "requestObject"],
  ]) {
    const provider = await makeProvider();
    const error = await failure(makeClient(provider, { requestObject }));
    assert.deepEqual([error.code, error.at], ["config_invalid", at], JSON.stringify(at));
    assert.equal(provider.requests.length, 0);
  }
});

test("UserInfo, pushed requests and machine grants carry proofs with the option dpop", async () => {
  const provider = await makeProvider({ dpop: { nonce: "n-1" } });
  const key = await makeKey();
  const client = await makeClient(provider, { dpop: { key }, par: "require" });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  assert.equal((await client.userinfo()).sub, "alice");
  const asked = provider.requests.find(({ url }) => url === `${provider.issuer}/me`);
  const headers = new Headers(asked.init.headers);
  assert.match(headers.get("authorization"), /^DPoP /);
  const [header, claims] = await verified(headers.get("dpop"), key.publicKey);
  assert.equal(header.typ, "dpop+jwt");
  assert.deepEqual([claims.htm, claims.htu], ["GET", `${provider.issuer}/me`]);
  assert.equal(typeof claims.ath, "string");
  const [pushed] = posted(provider, "/par");
  assert.equal((await verified(pushed.headers.get("dpop"), key.publicKey))[1].htm, "POST");
  client.dispose();
});

test("a machine's token is shown with a proof for each request, and a nonce is learnt", async () => {
  const issuer = "https://as.example";
  const json = (body) =>
    new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
  let tokens = 0;
  const key = await makeKey();
  const source = await backend.clientCredentials({
    issuer: { issuer, token_endpoint: `${issuer}/token` },
    clientId: "machine",
    clientAuth: { method: "client_secret_basic", clientSecret: "machine-S3CRET" },
    dpop: { key },
    resource: "https://api.example",
    fetch: async (_url, init) => {
      await verified(new Headers(init.headers).get("dpop"), key.publicKey);
      return json({ access_token: `t${++tokens}`, token_type: "DPoP", expires_in: 300 });
    },
  });
  const seen = [];
  const call = backend.wrapFetch(source, async ({ headers }) => {
    const [, { nonce, htu }] = await verified(headers.get("dpop"), key.publicKey);
    seen.push([headers.get("authorization"), nonce, htu]);
    if (nonce === undefined) {
      const challenge = { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "a-1" };
      return new Response("", { status: 401, headers: challenge });
    }
    const isOld = headers.get("authorization") === "DPoP t1";
    const challenge = { "www-authenticate": 'DPoP error="invalid_token"' };
    return isOld ? new Response("", { status: 401, headers: challenge }) : new Response("fine");
  });
  assert.equal(await (await call("https://api.example/x?y=1")).text(), "fine");
  const htu = "https://api.example/x";
  assert.deepEqual(seen, [
    ["DPoP t1", undefined, htu],
    ["DPoP t1", "a-1", htu],
    ["DPoP t2", "a-1", htu],
  ]);
});

test("an API is asked whose tokens it takes, and believed about itself alone", async () => {
  const resource = "https://api.example/mcp";
  const asked = [];
  const answering = (document) => async (url) => {
    asked.push(url);
    return Response.json(document);
  };
  const document = { resource, authorization_servers: ["https://as.example"] };
  const found = await backend.discoverResource({ resource, fetch: answering(document) });
  assert.deepEqual(found, {
    resource,
    authorizationServers: ["https://as.example"],
    scopesSupported: [],
    requiresDpop: false,
  });
  assert.deepEqual(asked, ["https://api.example/.well-known/oauth-protected-resource/mcp"]);
  for (const [more, at] of [
    [{ resource: "https://other.example/mcp" }, "resource"],
    [{ authorization_servers: [] }, "authorization_servers"],
    [{ authorization_servers: ["http://as.example"] }, "authorization_servers"],
  ]) {
    const fetch = answering({ ...document, ...more });
    const error = await failure(backend.discoverResource({ resource, fetch }));
    assert.deepEqual([error.code, error.at], ["metadata_invalid", at]);
  }
  const unknown = await failure(backend.discoverResource({ resource, fetsh: fetch }));
  assert.deepEqual([unknown.code, unknown.at], ["config_invalid", "fetsh"]);
});

test("a response that is a JWT signs in, and no other does", async () => {
  const cb = "https://app.example/callback";
  for (const responseMode of ["query.jwt", "fragment.jwt", "form_post.jwt", "jwt"]) {
    const provider = await makeProvider();
    const client = await makeClient(provider, { responseMode });
    const url = await client.signInUrl();
    assert.equal(url.searchParams.get("response_mode"), responseMode);
    const came = (callback) => {
      if (!responseMode.startsWith("form")) return callback;
      const body = new URLSearchParams(new URL(callback).search);
      return new Request(cb, { method: "POST", body });
    };
    const clear = provider.signInAt(url);
    const refusal = await failure(client.handleCallback(came(clear)));
    assert.equal(refusal.code, "response_mode_mismatch");
    const signed = await provider.signCallback(clear);
    const { user, checks } = await client.handleCallback(came(signed));
    assert.equal(user.name, "Alice");
    assert.deepEqual(checks.slice(0, 6), ["signature ES256", "aud", "exp", "state", "iss", "code"]);
    const next = provider.signInAt(await client.signInUrl());
    const foreign = await provider.signCallback(next, { aud: "other" });
    const error = await failure(client.handleCallback(came(foreign)));
    assert.deepEqual([error.code, error.phase], ["audience_mismatch", "callback"]);
    assert.equal(provider.count("/token"), 1);
    client.dispose();
  }
});
