// The installed `gatepass/backend` in Node, with a provider that is a function.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";

const ISSUER = "https://as.example";
const API = "https://api.example";
const AUTH = { method: "client_secret_basic", clientSecret: "machine-S3CRET" };

let page;
let backend;
before(async () => {
  const { project } = installPackage("backend");
  const load = (name) =>
    import(pathToFileURL(join(project, `node_modules/gatepass/dist/${name}.js`)).href);
  [page, backend] = await Promise.all([load("index"), load("backend")]);
});

const json = (body, status = 200) =>
  new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json" },
  });

test("a request whose body cannot be read, and options that are none, are refused by name", async () => {
  const client = await backend.createClient({
    issuer: ISSUER,
    clientId: "web",
    redirectUri: "https://app.example/callback",
    responseMode: "form_post",
  });
  const post = (body) =>
    new Request("https://app.example/callback", {
      ...{ method: "POST", body, duplex: "half" },
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
  const used = post("code=x&state=y");
  await used.text();
  const gone = post(
    new ReadableStream({ pull: (stream) => stream.error(new TypeError("terminated")) }),
  );
  for (const request of [used, gone]) {
    await assert.rejects(client.handleCallback(request), {
      name: "GatepassError",
      code: "request_invalid",
      at: "body",
    });
  }
  client.dispose();
  for (const none of [undefined, null]) {
    await assert.rejects(backend.createClient(none), { code: "config_invalid" });
    await assert.rejects(page.createClient(none), { code: "config_invalid" });
  }
});

/** A provider that issues one token after the other, and what it was asked. */
function makeProvider(answer = () => undefined) {
  const asked = [];
  let count = 0;
  const at = (path) => `${ISSUER}${path}`;
  return {
    asked,
    tokens: () => asked.filter(({ url }) => url === at("/token")),
    async fetch(url, init) {
      const form = new URLSearchParams(init.body ?? "");
      asked.push({ url, form, authorization: init.headers.authorization });
      if (url.includes("/.well-known/")) {
        return json({
          issuer: ISSUER,
          token_endpoint: at("/token"),
          device_authorization_endpoint: at("/device"),
          jwks_uri: at("/jwks"),
        });
      }
      const own = await answer(url, form);
      if (own !== undefined) return own;
      count += 1;
      return json({ access_token: `token-${count}`, token_type: "Bearer", expires_in: 300 });
    },
  };
}

const clientOf = (provider, more = {}) =>
  backend.createClient({
    issuer: ISSUER,
    clientId: "machine",
    clientAuth: AUTH,
    fetch: provider.fetch,
    ...more,
  });

const failure = (promise) =>
  promise.then(
    () => assert.fail("it was accepted"),
    (error) => error,
  );

test("req_36_a_page_is_told_where_secrets_belong", async () => {
  for (const name of ["clientAuth", "clientSecret"]) {
    const options = { issuer: ISSUER, clientId: "spa", [name]: AUTH };
    const error = await failure(page.createClient(options));
    assert.deepEqual([error.code, error.at], ["config_invalid", name]);
    assert.match(error.hint, /gatepass\/backend/);
    assert.ok(error instanceof page.GatepassError);
  }
  assert.equal(typeof page.createClient, "function");
  assert.equal(page.clientCredentials, undefined);
});

test("everything of the page's entry is here too", () => {
  for (const name of Object.keys(page)) assert.ok(name in backend, name);
});

test("rfr_23_a_hundred_callers_make_one_request", async () => {
  const provider = makeProvider();
  const client = await clientOf(provider);
  assert.equal(provider.asked.length, 0);
  const source = client.clientCredentials({ scope: "read" });
  const tokens = await Promise.all(Array.from({ length: 100 }, () => source.accessToken()));
  assert.deepEqual(new Set(tokens), new Set(["token-1"]));
  assert.equal(provider.tokens().length, 1);
  const [{ authorization, form }] = provider.tokens();
  assert.equal(authorization, `Basic ${btoa("machine:machine-S3CRET")}`);
  assert.deepEqual(Object.fromEntries(form), { grant_type: "client_credentials", scope: "read" });
  // Another source of the same client knows it too, one with another scope does not.
  assert.equal(await client.clientCredentials({ scope: "read" }).accessToken(), "token-1");
  assert.equal(await client.clientCredentials({ scope: "write" }).accessToken(), "token-2");
  client.dispose();
});

test("rfr_09_an_api_that_refuses_gets_one_more_request_with_one_new_token", async () => {
  const provider = makeProvider();
  const client = await clientOf(provider);
  const source = client.clientCredentials({ resource: API });
  const seen = [];
  const call = backend.wrapFetch(source, async (request) => {
    const { url, headers } = request;
    seen.push([new URL(url).origin, headers.get("authorization")]);
    const isOld = headers.get("authorization") === "Bearer token-1";
    const challenge = { "www-authenticate": 'Bearer error="invalid_token"' };
    return isOld ? new Response("", { status: 401, headers: challenge }) : new Response("fine");
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => call(`${API}/x`)));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(provider.tokens().length, 2);
  assert.equal(seen.length, 100);
  seen.length = 0;
  await call("https://other.example/");
  assert.deepEqual(seen, [["https://other.example", null]]);
  client.dispose();
});

test("what lives still serves while the provider is down", async () => {
  let isDown = false;
  const provider = makeProvider(() => (isDown ? json({}, 500) : undefined));
  const client = await clientOf(provider, { refreshSkew: 300 });
  const source = client.clientCredentials();
  assert.equal(await source.accessToken(), "token-1");
  isDown = true;
  const original = Date.now;
  try {
    // Half of its life is over, so it is asked for again.
    const later = original() + 151_000;
    Date.now = () => later;
    assert.equal(await source.accessToken(), "token-1");
    Date.now = () => later + 150_000;
    const error = await failure(source.accessToken());
    assert.deepEqual(
      [error.code, error.retryable, error.phase],
      ["upstream_status", true, "exchange"],
    );
  } finally {
    Date.now = original;
  }
  client.dispose();
});

test("tok_22_a_token_that_is_over_at_once_is_handed_out", async () => {
  const provider = makeProvider((url) =>
    url.endsWith("/token")
      ? json({ access_token: "short", token_type: "Bearer", expires_in: 0 })
      : undefined,
  );
  const source = await backend.clientCredentials({
    issuer: ISSUER,
    clientId: "machine",
    clientAuth: AUTH,
    fetch: provider.fetch,
  });
  assert.equal(await source.accessToken(), "short");
  assert.equal(provider.tokens().length, 1);
});

test("token exchange, JWT bearer and refresh tokens give tokens without a session", async () => {
  const type = "urn:ietf:params:oauth:token-type:access_token";
  const provider = makeProvider((url) =>
    url.endsWith("/token")
      ? json({
          access_token: "issued",
          token_type: "Bearer",
          issued_token_type: type,
          refresh_token: "next",
          expires_in: 60,
        })
      : undefined,
  );
  const client = await clientOf(provider);
  const exchanged = await client.tokenExchange({
    subjectToken: "subject",
    subjectTokenType: "access_token",
    audience: ["a", "b"],
  });
  assert.deepEqual(Object.keys(exchanged).sort(), [
    "accessToken",
    "expiresAt",
    "issuedTokenType",
    "refreshToken",
    "tokenType",
  ]);
  assert.deepEqual([exchanged.accessToken, exchanged.issuedTokenType], ["issued", type]);
  assert.equal((await client.jwtBearer({ assertion: "a.b.c" })).accessToken, "issued");
  assert.equal((await client.refreshToken({ refreshToken: "r" })).refreshToken, "next");
  const grants = provider.tokens().map(({ form }) => form.get("grant_type"));
  assert.deepEqual(grants, [
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "refresh_token",
  ]);
  assert.deepEqual(client.state(), { signedIn: false });
  const error = await failure(client.tokenExchange({ subjectToken: "x" }));
  assert.deepEqual([error.code, error.at], ["config_invalid", "subjectTokenType"]);
  client.dispose();
});

/** What a device gets. */
const DEVICE = {
  device_code: "device-S3CRET",
  user_code: "AB-CD",
  verification_uri: `${ISSUER}/activate`,
  expires_in: 600,
};

test("dev_10_an_aborted_device_login_ends_and_keeps_no_timer", async () => {
  const provider = makeProvider((url) => (url.endsWith("/device") ? json(DEVICE) : undefined));
  const client = await clientOf(provider);
  const timers = new Set();
  const { setTimeout, clearTimeout } = globalThis;
  globalThis.setTimeout = (...args) => {
    const timer = setTimeout(...args);
    timers.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    timers.delete(timer);
    clearTimeout(timer);
  };
  try {
    for (const when of ["before", "during"]) {
      const { finish, ...login } = await client.deviceLogin();
      assert.deepEqual(Object.keys(login).sort(), ["expiresAt", "userCode", "verificationUri"]);
      timers.clear();
      const abort = new AbortController();
      if (when === "before") abort.abort();
      const failed = failure(finish({ signal: abort.signal }));
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(timers.size, when === "before" ? 0 : 1);
      abort.abort();
      const error = await failed;
      assert.deepEqual([error.code, error.phase], ["aborted", "sign_in"]);
      assert.equal(timers.size, 0);
    }
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
  assert.equal(provider.tokens().length, 0);
  // Its login is over; there is none to finish.
  client.dispose();
});

test("dev_10_an_aborted_device_login_goes_on_while_its_code_lives", async () => {
  let isAgreed = false;
  const provider = makeProvider((url) => {
    if (url.endsWith("/device")) return json({ ...DEVICE, interval: 1 });
    const pending = url.endsWith("/token") && !isAgreed;
    return pending ? json({ error: "authorization_pending" }, 400) : undefined;
  });
  const client = await clientOf(provider);
  const login = await client.deviceLogin({ scope: "read" });
  const unknown = await failure(login.finish({ foo: 1 }));
  assert.deepEqual([unknown.code, unknown.at, unknown.phase], ["config_invalid", "foo", "sign_in"]);
  const wrong = await failure(login.finish({ signal: "now" }));
  assert.deepEqual([wrong.code, wrong.at], ["config_invalid", "signal"]);
  // Who comes later waits for the same, and may end it.
  const abort = new AbortController();
  const waits = [failure(login.finish()), failure(login.finish({ signal: abort.signal }))];
  while (provider.tokens().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  abort.abort();
  const codes = (await Promise.all(waits)).map(({ code }) => code);
  assert.deepEqual(codes, ["aborted", "aborted"]);
  const asked = provider.tokens().length;
  isAgreed = true;
  const [first, second] = await Promise.all([login.finish(), login.finish()]);
  assert.deepEqual(first, second);
  assert.equal(provider.tokens().length, asked + 1);
  assert.equal(client.state().signedIn, true);
  // And once it is done, it stays so.
  assert.deepEqual(await login.finish(), first);
  client.dispose();
});

test("dev_10_who_is_disposed_of_asks_no_more_and_signs_nobody_in", async () => {
  let isAgreed = false;
  const provider = makeProvider((url) => {
    if (url.endsWith("/device")) return json({ ...DEVICE, interval: 1 });
    const pending = url.endsWith("/token") && !isAgreed;
    return pending ? json({ error: "authorization_pending" }, 400) : undefined;
  });
  const kept = new Map();
  const store = {
    get: (key) => kept.get(key),
    set: (key, text) => void kept.set(key, text),
    remove: (key) => void kept.delete(key),
  };
  const client = await clientOf(provider, { store });
  const login = await client.deviceLogin({ scope: "read" });
  const waits = [login.finish(), login.finish({ signal: new AbortController().signal })].map(
    failure,
  );
  while (provider.tokens().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  client.dispose();
  isAgreed = true;
  const codes = (await Promise.all(waits)).map(({ code }) => code);
  assert.deepEqual(codes, ["aborted", "aborted"]);
  const late = await failure(login.finish());
  assert.deepEqual([late.code, late.at], ["flow_misused", "dispose"]);
  assert.equal(provider.tokens().length, 1);
  assert.deepEqual(
    [...kept.values()].filter((text) => text.includes("token")),
    [],
  );
});

test("dev_10_an_abort_loses_no_answer_and_no_other_login", async () => {
  const held = [];
  let answers = 0;
  const provider = makeProvider((url) => {
    if (url.endsWith("/device")) return json({ ...DEVICE, interval: 1 });
    if (!url.endsWith("/token")) return undefined;
    answers++;
    return new Promise((resolve) => held.push(() => resolve(undefined)));
  });
  const client = await clientOf(provider);
  const login = await client.deviceLogin({ scope: "read" });
  const untilAsked = async () => {
    while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    return held.shift();
  };
  // While the tokens are on their way an abort comes too late.
  const abort = new AbortController();
  const done = login.finish({ signal: abort.signal });
  const answer = await untilAsked();
  abort.abort();
  // As a component does that is taken away and put back at once.
  const again = login.finish();
  answer();
  assert.deepEqual([(await done).checks, (await again).checks], [[], []]);
  assert.deepEqual([answers, client.state().signedIn], [1, true]);

  // Another login of the same client: the first one is over and takes nothing of the second.
  const read = { scope: "read" };
  const [first, second] = [await client.deviceLogin(read), await client.deviceLogin(read)];
  assert.equal((await failure(first.finish())).code, "flow_misused");
  const rest = second.finish();
  (await untilAsked())();
  await rest;
  client.dispose();
});

test("a key that cannot be used is refused by name before anything is sent", async () => {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const jwk = await crypto.subtle.exportKey("jwk", privateKey);
  const { d: _, ...publicJwk } = jwk;
  for (const [auth, at] of [
    [{}, "key"],
    [{ key: publicKey }, "key"],
    [{ key: publicJwk }, "key"],
    [{ key: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----" }, "key"],
    [{ key: { kty: "oct", k: "AAAA" } }, "key"],
    [{ key: 7 }, "key"],
    [{ key: null }, "key"],
    [{ key: privateKey, alg: "ES384" }, "alg"],
    [{ key: privateKey, alg: "HS256" }, "alg"],
    [{ key: privateKey, alg: "none" }, "alg"],
    [{ key: privateKey, alg: 256 }, "alg"],
    [{ key: privateKey, kid: 1 }, "kid"],
    [{ key: { ...jwk, alg: "ES512" }, alg: "ES256" }, "alg"],
    [{ key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----" }, "alg"],
    [{ alg: "ES256" }, "alg"],
  ]) {
    const provider = makeProvider();
    const clientAuth = { method: "private_key_jwt", ...auth };
    const error = await failure(clientOf(provider, { clientAuth }));
    assert.deepEqual([error.code, error.at], ["config_invalid", at], JSON.stringify(auth));
    assert.equal(provider.asked.length, 0);
  }
  const misplaced = failure(clientOf(makeProvider(), { clientAuth: { ...AUTH, key: privateKey } }));
  assert.deepEqual([(await misplaced).code, (await misplaced).at], ["config_invalid", "key"]);
  // What the host cannot import shows when it is to sign.
  const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
  const clientAuth = { method: "private_key_jwt", key, alg: "ES256" };
  const client = await clientOf(makeProvider(), { clientAuth });
  assert.equal((await failure(client.clientCredentials().accessToken())).code, "key_unsuitable");
});

test("a signed request verifies with the public key", async () => {
  const provider = makeProvider();
  const algorithm = {
    name: "RSA-PSS",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-384",
  };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, [
    "sign",
    "verify",
  ]);
  const clientAuth = { method: "private_key_jwt", key: privateKey, kid: "k" };
  const client = await clientOf(provider, { clientAuth });
  await client.clientCredentials().accessToken();
  const [{ form, authorization }] = provider.tokens();
  assert.equal(authorization, undefined);
  const [header, claims, signature] = form.get("client_assertion").split(".");
  const decode = (part) => JSON.parse(Buffer.from(part, "base64url").toString());
  assert.deepEqual(decode(header), { alg: "PS384", typ: "JWT", kid: "k" });
  assert.equal(decode(claims).aud, ISSUER);
  const signed = new TextEncoder().encode(`${header}.${claims}`);
  const parameters = { name: "RSA-PSS", saltLength: 48 };
  const bytes = Buffer.from(signature, "base64url");
  assert.ok(await crypto.subtle.verify(parameters, publicKey, bytes, signed));
  client.dispose();
});

test("tok_39_nothing_secret_stands_in_an_error", async () => {
  const provider = makeProvider((url) =>
    url.endsWith("/token") ? json({ error: "invalid_client" }, 401) : undefined,
  );
  const client = await clientOf(provider);
  const error = await failure(
    client.tokenExchange({ subjectToken: "subject-S3CRET", subjectTokenType: "jwt" }),
  );
  const text = `${error} ${error.stack} ${JSON.stringify(error)} ${JSON.stringify(error.details)}`;
  assert.deepEqual([error.code, error.details.error], ["server_error_response", "invalid_client"]);
  assert.ok(!text.includes("S3CRET"));
  client.dispose();
});
