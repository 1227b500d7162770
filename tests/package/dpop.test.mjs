// Tokens that are bound to the client's key (RFC 9449), by the installed package: at a provider made
// of values, and at an API with our own guard.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

const API = "https://api.example";

let createClient;
let createGuard;
before(async () => {
  const { project } = installPackage("dpop");
  const entry = (name) => pathToFileURL(join(project, "node_modules/gatepass/dist", name)).href;
  ({ createClient } = await import(entry("index.js")));
  ({ createGuard } = await import(entry("guard.js")));
});

const disposables = [];
after(() => disposables.forEach((one) => one.dispose()));

const memory = () => {
  const map = new Map();
  return { get: (key) => map.get(key), set: (key, value) => void map.set(key, value) };
};

/** Somebody who signed in, and an API that answers as `behave` says, else as our guard does. */
async function world({ provider: given, guard: rules, ...options } = {}) {
  const provider = await makeProvider({ dpop: {}, ...given });
  const guard = await createGuard({
    issuer: provider.issuer,
    audience: provider.audience,
    dpop: "require",
    fetch: provider.fetch,
    ...rules,
  });
  const seen = [];
  const api = { behave: () => undefined };
  const client = await createClient({
    issuer: provider.issuer,
    clientId: provider.clientId,
    redirectUri: provider.redirectUri,
    scope: "openid read",
    allowedOrigins: API,
    transactionStore: memory(),
    dpop: true,
    ...options,
    async fetch(input, init) {
      if (typeof input === "string") return provider.fetch(input, init);
      const { url, method, headers } = input;
      const proof = headers.get("dpop");
      const claims = proof && JSON.parse(Buffer.from(proof.split(".")[1], "base64url"));
      seen.push({ url, method, claims, token: headers.get("authorization") });
      const given = api.behave(seen.at(-1), seen.length);
      if (given) return given;
      const { response, principal } = await guard.check(input);
      return response ?? Response.json({ subject: principal.subject });
    },
  });
  disposables.push(client, guard);
  const signIn = async () => client.handleCallback(provider.signInAt(await client.signInUrl()));
  return { provider, client, seen, api, signIn };
}

const refused = (error, more = {}) =>
  new Response("no", {
    status: 401,
    headers: { "www-authenticate": `DPoP error="${error}"`, ...more },
  });
const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    ({ code }) => code,
  );

test("S3-14 a request carries the token as DPoP with a proof of its own", async () => {
  const { client, seen, signIn } = await world();
  await signIn();
  const answers = [await client.fetch(`${API}/a?b=c`), await client.fetch(`${API}/a?b=c`)];
  for (const answer of answers) assert.deepEqual(await answer.json(), { subject: "alice" });
  for (const { token, claims } of seen) {
    assert.match(token, /^DPoP eyJ/);
    assert.equal(claims.htm, "GET");
    assert.equal(claims.htu, `${API}/a`);
  }
  assert.notEqual(seen[0].claims.jti, seen[1].claims.jti);
});

test("what is not for the API gets neither token nor proof", async () => {
  const { client, seen, api, signIn } = await world();
  await signIn();
  api.behave = () => new Response("fine");
  await client.fetch("https://other.example/");
  await client.fetch(API, { headers: { authorization: "Basic eDp5" } });
  assert.deepEqual(
    seen.map(({ token, claims }) => [token, claims]),
    [
      [null, null],
      ["Basic eDp5", null],
    ],
  );
});

test("the nonce of the API is learnt, used from then on, and counted apart from the renewal", async () => {
  const { provider, client, seen, api, signIn } = await world({ guard: { dpopNonce: true } });
  await signIn();
  assert.equal((await client.fetch(API)).status, 200);
  assert.deepEqual(
    seen.map(({ claims }) => claims.nonce !== undefined),
    [false, true],
  );
  assert.equal((await client.fetch(API)).status, 200);
  assert.equal(seen.length, 3);

  // First a nonce, then a token that is not good any more: two more requests, one renewal.
  seen.length = 0;
  const before = provider.count("/token");
  const answers = [
    refused("use_dpop_nonce", { "dpop-nonce": "n-1" }),
    refused("invalid_token"),
    new Response("fine"),
  ];
  api.behave = (_, times) => answers[times - 1];
  assert.equal((await client.fetch(API, { method: "POST", body: "text" })).status, 200);
  assert.deepEqual(
    seen.map(({ claims }) => claims.nonce === "n-1"),
    [false, true, true],
  );
  assert.notEqual(seen[1].token, seen[2].token);
  assert.equal(provider.count("/token"), before + 1);
  assert.equal(new Set(seen.map(({ claims }) => claims.jti)).size, 3);
});

test("an API that always wants another nonce, or another token, is asked twice or thrice", async () => {
  const { provider, client, seen, api, signIn } = await world();
  await signIn();
  const before = provider.count("/token");
  api.behave = (_, times) => refused("use_dpop_nonce", { "dpop-nonce": `n-${times}` });
  assert.equal((await client.fetch(API)).status, 401);
  assert.equal(seen.length, 2);
  assert.equal(provider.count("/token"), before);
  seen.length = 0;
  const turns = ["use_dpop_nonce", "invalid_token"];
  api.behave = (_, times) => refused(turns[times % 2], { "dpop-nonce": `m-${times}` });
  assert.equal((await client.fetch(API)).status, 401);
  assert.equal(seen.length, 3);
  assert.equal(provider.count("/token"), before + 1);
});

test("fifty requests that lack a nonce are each sent once more and renew nothing", async () => {
  const { provider, client, seen, signIn } = await world({ guard: { dpopNonce: true } });
  await signIn();
  const all = await Promise.all(Array.from({ length: 50 }, () => client.fetch(API)));
  assert.ok(all.every(({ status }) => status === 200));
  assert.equal(seen.length, 100);
  assert.equal(provider.count("/token"), 1);
});

test("each hop of a redirect has a proof of its own, and none outside", async () => {
  const { client, seen, api, signIn } = await world();
  await signIn();
  const to = (location) => new Response(null, { status: 302, headers: { location } });
  api.behave = (_, times) =>
    [to("/next"), to("https://other.example/x"), to(`${API}/back`)][times - 1] ??
    new Response("fine");
  await client.fetch(`${API}/first`);
  assert.deepEqual(
    seen.map(({ url, claims, token }) => [url, claims?.htu, token !== null]),
    [
      [`${API}/first`, `${API}/first`, true],
      [`${API}/next`, `${API}/next`, true],
      ["https://other.example/x", undefined, false],
      [`${API}/back`, undefined, false],
    ],
  );
});

test("dpp_33 the provider's nonce is learnt and a renewal is bound to the same key", async () => {
  const { provider, client, signIn } = await world({ provider: { dpop: { nonce: "as-1" } } });
  await signIn();
  assert.deepEqual(
    provider.proofs.map(({ nonce }) => nonce),
    [undefined, "as-1"],
  );
  await client.refresh();
  assert.equal(provider.proofs.length, 3);
  assert.equal((await client.fetch(API)).status, 200);
});

test("dpp_32 a provider that issues bearer tokens is refused", async () => {
  const { client, signIn } = await world({ provider: { dpop: undefined } });
  assert.equal(await codeOf(signIn()), "token_type_unsupported");
  assert.equal(client.user(), null);
});

test("dpp_34 dpop_jkt stands in the authorization request", async () => {
  const jkt = async (dpop) => {
    const { client } = await world({ dpop });
    return (await client.signInUrl()).searchParams.get("dpop_jkt");
  };
  assert.match(await jkt(true), /^[\w-]{43}$/);
  assert.equal(await jkt({ bindCode: false }), null);
});

test("dpp_31 a key of the program's own is used, if nobody can read it", async () => {
  const make = (name, extractable) =>
    crypto.subtle.generateKey({ name: "ECDSA", namedCurve: name }, extractable, ["sign", "verify"]);
  const key = await make("P-256", false);
  const { provider, client, signIn } = await world({ dpop: { key } });
  await signIn();
  assert.equal((await client.fetch(API)).status, 200);
  // It outlives a sign-out: it is not ours to end.
  await client.signOutUrl();
  await signIn();
  assert.equal(provider.proofs.length, 2);

  for (const other of [await make("P-256", true), await make("P-384", false)]) {
    const { client } = await world({ dpop: { key: other } });
    assert.equal(await codeOf(client.signInUrl()), "key_unsuitable");
  }
});

test("signing out ends the key", async () => {
  const { client, signIn } = await world();
  const jkt = async () => (await client.signInUrl()).searchParams.get("dpop_jkt");
  const first = await jkt();
  assert.equal(await jkt(), first);
  await signIn();
  assert.equal(await jkt(), first);
  await client.signOutUrl();
  assert.notEqual(await jkt(), first);
});

test("calls at the same moment get the same key, also while somebody signs out", async () => {
  const { client, signIn } = await world();
  const jkt = async () => (await client.signInUrl()).searchParams.get("dpop_jkt");
  const [first, ...others] = await Promise.all([jkt(), jkt(), jkt()]);
  assert.deepEqual([...others, await jkt()], [first, first, first]);
  await signIn();
  await client.signOutUrl();
  const [second, , third] = await Promise.all([jkt(), client.signOutUrl(), jkt()]);
  assert.notEqual(second, first);
  // What was asked for last is the key from then on.
  assert.equal(await jkt(), third);
  await signIn();
  assert.equal((await client.fetch(API)).status, 200);
});

test("what is no option of dpop is refused by its name", async () => {
  const options = { issuer: "https://as.example", clientId: "spa" };
  const at = (dpop) => createClient({ ...options, dpop }).catch(({ code, at }) => [code, at]);
  assert.deepEqual(await at("yes"), ["config_invalid", "dpop"]);
  assert.deepEqual(await at({ key: "text" }), ["config_invalid", "key"]);
  assert.deepEqual(await at({ bindcode: true }), ["config_invalid", "bindcode"]);
  assert.deepEqual(await at({ bindCode: 1 }), ["config_invalid", "bindCode"]);
});

test("a session that is stored goes on with its key and is foreign without it", async () => {
  const map = new Map();
  const store = {
    get: (key) => map.get(key),
    set: (key, value) => void map.set(key, value),
    remove: (key) => void map.delete(key),
  };
  const key = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ]);
  const { client, signIn } = await world({ store, dpop: { key } });
  await signIn();
  const same = await world({ store, dpop: { key } });
  assert.equal(same.client.user().sub, client.user().sub);

  const seen = [];
  const other = await world({ store, onEvent: ({ type, code }) => seen.push([type, code]) });
  assert.equal(other.client.user(), null);
  assert.deepEqual(seen, [["session_discarded", "storage_invalid"]]);
  assert.equal([...map.values()].length, 0);
});
