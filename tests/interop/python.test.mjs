// The installed package against providers written in Python: Canaille (Authlib) and
// django-oauth-toolkit (oauthlib).

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { obstacle, startPython } from "../support/python.mjs";

const METADATA = "/.well-known/openid-configuration";

let createGuard;

before(async () => {
  if (obstacle) return;
  const { project } = installPackage("interop-python");
  const entry = join(project, "node_modules/gatepass/dist/guard.js");
  ({ createGuard } = await import(pathToFileURL(entry).href));
});

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    (error) => error.code,
  );

const basic = (name) => `Basic ${btoa(`${name}:${name}-secret`)}`;

async function post(url, form, headers = {}) {
  const response = await fetch(url, { method: "POST", headers, body: new URLSearchParams(form) });
  assert.equal(response.status, 200, url);
  return response.json();
}

/** Signs in with plain forms, as a browser does, and answers what comes back to the page. */
async function signIn(url, fields) {
  const cookies = new Map();
  let init = {};
  for (let step = 0; step < 20; step++) {
    const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
    const headers = { ...init.headers, ...(cookie && { cookie }) };
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    const body = await response.text();
    for (const line of response.headers.getSetCookie()) {
      const [name, ...value] = line.split(";")[0].split("=");
      cookies.set(name, value.join("="));
    }
    const location = response.headers.get("location");
    if (location) {
      url = new URL(location, url).href;
      init = {};
      if (url.includes("/callback?")) return new URL(url).searchParams;
      continue;
    }
    const inputs = [...body.matchAll(/<input[^>]*>/g)].map(([tag]) => [
      /name="([^"]*)"/.exec(tag)?.[1],
      /value="([^"]*)"/.exec(tag)?.[1] ?? "",
    ]);
    const form = Object.fromEntries(inputs.filter(([name]) => name));
    for (const [name, value] of Object.entries(fields)) if (name in form) form[name] = value;
    if (body.includes('name="answer"')) form.answer = "accept";
    init = { method: "POST", body: new URLSearchParams(form) };
    const action = /<form[^>]*action="([^"]*)"/.exec(body)?.[1] ?? url;
    url = new URL(action.replaceAll("&amp;", "&"), url).href;
  }
  throw new Error("the sign-in has no end");
}

describe("Canaille", { skip: obstacle }, () => {
  let provider;
  let tokens;
  const guards = [];
  const guardWith = async (more = {}) => {
    const guard = await createGuard({
      issuer: provider.origin,
      audience: "rs",
      dangerouslyAllowHttpLoopback: true,
      ...more,
    });
    guards.push(guard);
    return guard;
  };
  const asking = { clientId: "rs", clientSecret: "rs-secret" };

  before(async () => {
    provider = await startPython(
      "interop/providers/canaille_provider.py",
      (origin) => origin + METADATA,
    );
    const endpoints = await (await fetch(provider.origin + METADATA)).json();
    const verifier = randomBytes(32).toString("base64url");
    const redirect_uri = "http://127.0.0.1:9/callback";
    const asked = new URLSearchParams({
      response_type: "code",
      client_id: "spa",
      redirect_uri,
      scope: "openid profile",
      state: "state",
      nonce: "nonce",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    const answer = await signIn(`${endpoints.authorization_endpoint}?${asked}`, {
      login: "alice",
      password: "password1",
    });
    tokens = await post(endpoints.token_endpoint, {
      grant_type: "authorization_code",
      client_id: "spa",
      code: answer.get("code"),
      code_verifier: verifier,
      redirect_uri,
    });
  });

  after(async () => {
    for (const guard of guards) guard.dispose();
    await provider?.stop();
  });

  test("its access tokens say JWT, as its ID tokens do, and are no RFC 9068 tokens", async () => {
    const guard = await guardWith();
    assert.equal(tokens.access_token.split(".").length, 3);
    assert.equal(await codeOf(guard.verify(tokens.access_token)), "typ_mismatch");
    assert.equal(await codeOf(guard.verify(tokens.id_token)), "typ_mismatch");
  });

  test("a profile of one's own reads them and cannot tell its ID tokens from them", async () => {
    // They name no client, so the subject stands for it; no claim tells the two apart, which is why
    // asking, as below, is the way to go.
    const profile = { typ: "JWT", required: ["iat"], client: ["sub"] };
    const guard = await guardWith({ profile });
    const principal = await guard.verify(tokens.access_token);
    assert.deepEqual([principal.subject, principal.issuer], ["alice", provider.origin]);
    assert.deepEqual(principal.audience, ["spa", "rs"]);
    assert.equal(await codeOf(guard.verify(tokens.id_token)), "accepted");
    const forged = `${tokens.access_token.slice(0, -8)}AAAAAAAA`;
    assert.equal(await codeOf(guard.verify(forged)), "signature_invalid");
  });

  test("int_20 asked about, they are accepted with their scopes, and its ID tokens are not", async () => {
    const guard = await guardWith({ introspection: { ...asking, tokens: "all" } });
    const principal = await guard.verify(tokens.access_token, { scopes: ["profile"] });
    assert.deepEqual([principal.subject, principal.clientId], ["alice", "spa"]);
    assert.deepEqual(principal.scopes, ["openid", "profile"]);
    // Its dates have fractions.
    assert.ok(principal.expiresAt > Date.now() / 1000);
    assert.equal(await codeOf(guard.verify(tokens.id_token)), "token_inactive");
    assert.equal(await codeOf(guard.verify("nobody-issued-this")), "token_inactive");
  });
});

describe("django-oauth-toolkit", { skip: obstacle }, () => {
  let provider;
  let issuer;
  let guard;

  before(async () => {
    provider = await startPython(
      "interop/providers/django_provider.py",
      (origin) => `${origin}/o${METADATA}`,
    );
    issuer = `${provider.origin}/o`;
    guard = await createGuard({
      issuer,
      audience: "api",
      dangerouslyAllowHttpLoopback: true,
      introspection: {
        clientId: "rs",
        clientSecret: "rs-secret",
        endpoint: `${issuer}/introspect/`,
        // Its answers name no audience.
        dangerouslyAllowMissingAudience: true,
      },
    });
  });

  after(async () => {
    guard?.dispose();
    await provider?.stop();
  });

  test("int_01 an opaque token is accepted until it is revoked", async () => {
    const form = { grant_type: "client_credentials", scope: "read" };
    const headers = { authorization: basic("machine") };
    const { access_token } = await post(`${issuer}/token/`, form, headers);
    const principal = await guard.verify(access_token, { scopes: ["read"] });
    assert.equal(principal.clientId, "machine");
    assert.deepEqual(principal.scopes, ["read"]);
    assert.ok(principal.expiresAt > Date.now() / 1000);
    assert.equal(
      await codeOf(guard.verify(access_token, { scopes: ["write"] })),
      "scope_insufficient",
    );
    const revoked = await fetch(`${issuer}/revoke_token/`, {
      method: "POST",
      headers,
      body: new URLSearchParams({ token: access_token }),
    });
    assert.equal(revoked.status, 200);
    const other = await createGuard({
      issuer,
      audience: "api",
      dangerouslyAllowHttpLoopback: true,
      introspection: {
        clientId: "rs",
        clientSecret: "rs-secret",
        endpoint: `${issuer}/introspect/`,
        dangerouslyAllowMissingAudience: true,
      },
    });
    assert.equal(await codeOf(other.verify(access_token)), "token_inactive");
    other.dispose();
  });

  test("int_02 a token that it does not know is not active", async () => {
    assert.equal(await codeOf(guard.verify("nobody-issued-this")), "token_inactive");
  });
});
