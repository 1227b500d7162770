// The cache of verdicts of the installed package: what it remembers, and what it must forget.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let createGuard;
let Verdicts;
before(async () => {
  const { project } = installPackage("verdicts");
  const dist = join(project, "node_modules/gatepass/dist");
  ({ createGuard } = await import(pathToFileURL(join(dist, "guard.js"))));
  ({ Verdicts } = await import(pathToFileURL(join(dist, "lib/verdicts.js"))));
});

async function world(more = {}, provider = {}) {
  const idp = await makeProvider(provider);
  const { issuer, audience, fetch } = idp;
  return { idp, guard: await createGuard({ issuer, audience, fetch, ...more }) };
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    (error) => error.code,
  );

/** Runs something at another time. */
async function at(millis, work) {
  const now = Date.now;
  Date.now = () => millis;
  try {
    return await work();
  } finally {
    Date.now = now;
  }
}

test("a token that comes again costs no signature check", async () => {
  const { idp, guard } = await world();
  const token = await idp.accessToken();
  const first = await guard.verify(token);
  assert.equal(await guard.verify(token), first);
  const { accepted, cache } = guard.tally();
  assert.equal(accepted, 2);
  assert.deepEqual([cache.hits, cache.misses, cache.entries, cache.evicted], [1, 1, 1, 0]);
  assert.ok(cache.bytes > token.length);
});

test("without a cache every token is checked, and each principal is another one", async () => {
  const { idp, guard } = await world({ cache: false });
  const token = await idp.accessToken();
  assert.notEqual(await guard.verify(token), await guard.verify(token));
  const { hits, entries, bytes } = guard.tally().cache;
  assert.deepEqual([hits, entries, bytes], [0, 0, 0]);
});

test("cch_05 a principal cannot be changed, so that no later request sees a change", async () => {
  for (const cache of [undefined, false]) {
    const { idp, guard } = await world({ cache });
    const token = await idp.accessToken({ roles: ["user"], nested: { admin: false } });
    const principal = await guard.verify(token);
    assert.throws(() => (principal.subject = "root"), TypeError);
    assert.throws(() => principal.scopes.push("admin"), TypeError);
    assert.throws(() => principal.claims.roles.push("admin"), TypeError);
    assert.throws(() => (principal.claims.nested.admin = true), TypeError);
    const again = await guard.verify(token);
    assert.deepEqual(again.claims.roles, ["user"]);
    assert.equal(again.claims.nested.admin, false);
  }
});

test("cch_01 the whole token is compared, not what it is filed under", async () => {
  const { idp, guard } = await world();
  const token = await idp.accessToken();
  await guard.verify(token);
  const [header, payload, signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  const forged = Buffer.from(JSON.stringify({ ...claims, sub: "root" })).toString("base64url");
  assert.equal(await codeOf(guard.verify(`${header}.${forged}.${signature}`)), "signature_invalid");
  assert.equal(await codeOf(guard.verify(token)), "accepted");
});

test("a header is remembered as a header and a token as a token", async () => {
  const { idp, guard } = await world();
  const token = await idp.accessToken();
  const authorization = `Bearer ${token}`;
  const request = new Request("https://api.example/", { headers: { authorization } });
  const first = await guard.check(request);
  assert.equal((await guard.check(request)).principal, first.principal);
  assert.equal(await codeOf(guard.verify(authorization)), "token_malformed");
  await guard.verify(token);
  const bare = new Request("https://api.example/", { headers: { authorization: token } });
  assert.equal((await guard.check(bare)).refusal.code, "credential_missing");
});

test("a token that is good for one need is not good for another", async () => {
  const { idp, guard } = await world();
  const token = await idp.accessToken({ scope: "read" });
  await guard.verify(token);
  await guard.verify(token, { scopes: ["read"] });
  assert.equal(await codeOf(guard.verify(token, { scopes: ["admin"] })), "scope_insufficient");
  assert.equal(
    await codeOf(guard.verify(token, { scopes: ["read", "admin"] })),
    "scope_insufficient",
  );
  const need = { scopes: ["read"] };
  await guard.verify(token, need);
  need.scopes.push("admin");
  assert.equal(await codeOf(guard.verify(token, need)), "scope_insufficient");
  assert.equal(guard.tally().cache.hits, 1);
});

test("exp and nbf are compared with the clock at each hit", async () => {
  const { idp, guard } = await world();
  const now = Math.floor(Date.now() / 1000);
  const token = await idp.accessToken({ exp: now + 60, nbf: now - 10 });
  await guard.verify(token);
  const ms = (seconds) => (now + seconds) * 1000;
  assert.equal(await at(ms(89), () => codeOf(guard.verify(token))), "accepted");
  assert.equal(await at(ms(90), () => codeOf(guard.verify(token))), "token_expired");
  assert.equal(await codeOf(guard.verify(token)), "accepted");
  assert.equal(await at(ms(-41), () => codeOf(guard.verify(token))), "token_not_active");
  assert.equal(await at(NaN, () => codeOf(guard.verify(token))), "time_invalid");
});

test("a key that is withdrawn ends the verdicts on what it signed", async () => {
  let keys;
  const { idp, guard } = await world(
    {},
    { answer: (url) => (url.endsWith("/jwks") ? keys?.() : undefined) },
  );
  const token = await idp.accessToken({ exp: Math.floor(Date.now() / 1000) + 7200 });
  await guard.verify(token);
  const other = await makeProvider();
  keys = () => Response.json({ keys: [{ ...other.signer.jwk, kid: "k2" }] });
  assert.equal(await codeOf(guard.verify(token)), "accepted");
  const later = Date.now() + 601_000;
  assert.equal(await at(later, () => codeOf(guard.verify(token))), "key_not_found");
  assert.equal(await codeOf(guard.verify(token)), "key_not_found");
});

test("cch_06 what was refused is not remembered", async () => {
  const { idp, guard } = await world();
  const token = await idp.accessToken({ aud: "other" });
  for (let i = 0; i < 3; i++) {
    assert.equal(await codeOf(guard.verify(token)), "audience_mismatch");
  }
  assert.equal(guard.tally().cache.entries, 0);
});

test("cch_04 two guards share nothing", async () => {
  const { idp, guard } = await world();
  const { issuer, fetch } = idp;
  const other = await createGuard({ issuer, audience: "https://other.example", fetch });
  const token = await idp.accessToken();
  await guard.verify(token);
  assert.equal(await codeOf(other.verify(token)), "audience_mismatch");
  assert.equal(other.tally().cache.entries, 0);
});

test("a token that is bound to a key is checked each time", async () => {
  const { idp, guard } = await world();
  for (const cnf of [{ jkt: "x" }, {}, null]) {
    const token = await idp.accessToken({ cnf });
    await codeOf(guard.verify(token));
    await codeOf(guard.verify(token));
  }
  const { hits, entries } = guard.tally().cache;
  assert.deepEqual([hits, entries], [0, 0]);
});

test("a hit is reported like any decision", async () => {
  const events = [];
  const { idp, guard } = await world({ onEvent: (event) => events.push(event) });
  const token = await idp.accessToken();
  await guard.verify(token);
  await guard.verify(token);
  const decided = events.filter(({ type }) => type === "decided");
  assert.equal(decided.length, 2);
  assert.deepEqual(decided[1], {
    type: "decided",
    accepted: true,
    checks: ["verdict", "exp", "keys"],
  });
  assert.ok(!JSON.stringify(events).includes(token));
});

test("limits that are none are refused by name", async () => {
  const refused = (cache) =>
    createGuard({ issuer: "https://as.example", audience: "api", cache }).then(
      () => "accepted",
      ({ code, at }) => `${code} ${at}`,
    );
  for (const cache of [true, null, 5, "off", []]) {
    assert.equal(await refused(cache), "config_invalid cache");
  }
  assert.equal(await refused({ entries: 5 }), "config_invalid entries");
  for (const maxEntries of [0, -1, 1.5, 1_000_001, "5"]) {
    assert.equal(await refused({ maxEntries }), "config_invalid maxEntries");
  }
  assert.equal(await refused({ maxBytes: 2 ** 31 }), "config_invalid maxBytes");
  assert.equal(await refused({}), "accepted");
  assert.equal(await refused({ maxEntries: 1, maxBytes: 1 }), "accepted");
});

test("wsm_22 nothing is found in a guard that was disposed of", async () => {
  const { idp, guard } = await world();
  const token = await idp.accessToken();
  await guard.verify(token);
  guard.dispose();
  assert.equal(await codeOf(guard.verify(token)), "flow_misused");
});

// The container alone.

const yes = () => true;
const verdict = [0, 1, 0, 0];

test("cch_07 a million texts leave no more entries and bytes than the limits", () => {
  const verdicts = new Verdicts(1000, 600_000);
  for (let index = 0; index < 1_000_000; index++) {
    verdicts.keep(`token-${index}`, "{}", verdict, index, 20);
  }
  const { entries, bytes, evicted } = verdicts.statistics();
  assert.equal(entries, 1000);
  assert.ok(bytes <= 600_000, bytes);
  assert.equal(evicted, 999_000);
  assert.equal(verdicts.find("token-999999", "{}", yes), 999_999);
  assert.equal(verdicts.find("token-1", "{}", yes), undefined);
});

test("the limit of bytes holds when entries are few and large", () => {
  const verdicts = new Verdicts(1000, 10_000);
  for (let index = 0; index < 100; index++) {
    verdicts.keep(`${index}${"x".repeat(1000)}${index}`, "{}", verdict, index, 500);
    assert.ok(verdicts.statistics().bytes <= 10_000);
  }
  assert.ok(verdicts.statistics().entries >= 3);
  verdicts.keep("y".repeat(20_000), "{}", verdict, 0, 1);
  assert.equal(verdicts.find("y".repeat(20_000), "{}", yes), undefined);
});

test("what is in use outlives what came once", () => {
  const verdicts = new Verdicts(100, 1_000_000);
  verdicts.keep("busy", "{}", verdict, "busy", 1);
  for (let index = 0; index < 10_000; index++) {
    verdicts.keep(`once-${index}`, "{}", verdict, index, 1);
    assert.equal(verdicts.find("busy", "{}", yes), "busy");
  }
});

test("cch_08 room is made without going through everything", () => {
  const verdicts = new Verdicts(10_000, 2 ** 30);
  for (let index = 0; index < 10_000; index++) {
    verdicts.keep(`token-${index}`, "{}", verdict, index, 1);
    verdicts.find(`token-${index}`, "{}", yes);
  }
  // All are in use: still one of the first few makes room.
  verdicts.keep("new", "{}", verdict, "new", 1);
  const gone = Array.from({ length: 10 }, (_, index) => `token-${index}`).filter(
    (text) => verdicts.find(text, "{}", yes) === undefined,
  );
  assert.equal(gone.length, 1);
});

test("two texts that are filed together replace each other and are never confused", () => {
  const verdicts = new Verdicts(10, 1_000_000);
  const tail = "t".repeat(40);
  verdicts.keep(`a${tail}`, "{}", verdict, "a", 1);
  assert.equal(verdicts.find(`b${tail}`, "{}", yes), undefined);
  verdicts.keep(`b${tail}`, "{}", verdict, "b", 1);
  assert.equal(verdicts.find(`b${tail}`, "{}", yes), "b");
  assert.equal(verdicts.find(`a${tail}`, "{}", yes), undefined);
  assert.equal(verdicts.statistics().entries, 1);
});

test("a verdict that does not hold is dropped", () => {
  const verdicts = new Verdicts(10, 1_000_000);
  verdicts.keep("a", "{}", verdict, "a", 1);
  assert.equal(
    verdicts.find("a", "{}", () => false),
    undefined,
  );
  assert.equal(verdicts.find("a", "{}", yes), undefined);
  assert.deepEqual([verdicts.statistics().entries, verdicts.statistics().bytes], [0, 0]);
});
