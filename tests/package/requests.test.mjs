// Where a guard looks for a token in a request, and what it makes of everything else in it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let createGuard;
before(async () => {
  const { project } = installPackage("requests");
  const entry = join(project, "node_modules/gatepass/dist/guard.js");
  ({ createGuard } = await import(pathToFileURL(entry)));
});

async function world(more = {}) {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch, ...more });
  const token = await provider.accessToken();
  const check = (init = {}, query = "") =>
    guard.check(new Request(`https://api.example/items${query}`, init));
  return { provider, guard, token, check };
}

const outcome = ({ principal, refusal, response }) =>
  principal ? principal.subject : [refusal.code, response.status];

const NONE = ["credential_missing", 401];

test("rsr_08 a token in the query is none", async () => {
  const { check, token } = await world();
  assert.deepEqual(outcome(await check({}, `?access_token=${token}`)), NONE);
});

test("what is no text is a malformed token, and what is no request a TypeError", async () => {
  const { guard, token } = await world();
  for (const none of [undefined, null, "", 7, {}, [token], new String(token)]) {
    const rejection = { name: "GatepassError", code: "token_malformed" };
    await assert.rejects(guard.verify(none), rejection, String(none));
  }
  // The last as Node and Express hand them out.
  for (const none of [undefined, null, {}, "", { headers: { authorization: `Bearer ${token}` } }]) {
    await assert.rejects(guard.check(none), { name: "TypeError", message: /headers|get/ });
  }
  assert.equal((await guard.verify(token)).subject, "alice");
});

test("those who ask about one opaque token at the same time ask the provider once", async () => {
  const provider = await makeProvider();
  const { issuer, audience } = provider;
  const asked = [];
  const fetch = async (url, init) => {
    if (!url.endsWith("/introspect")) return provider.fetch(url, init);
    const token = new URLSearchParams(init.body).get("token");
    asked.push(token);
    await new Promise((resolve) => setTimeout(resolve, 20));
    return Response.json({ active: true, sub: token.slice(0, 5), aud: audience });
  };
  const secret = { clientId: "rs", clientSecret: "rs-secret" };
  for (const [cache, times, busy] of [
    [{}, 2, 0],
    // Each is to have an answer of its own, and there are sixteen places.
    [{ ttl: 0 }, 16, 64],
  ]) {
    asked.length = 0;
    const introspection = { ...secret, cache, endpoint: `${issuer}/introspect` };
    const guard = await createGuard({ issuer, audience, fetch, introspection });
    const subjects = await Promise.all(
      Array.from({ length: 80 }, (_, at) => {
        const headers = { authorization: `Bearer ${at % 2 ? "alice" : "clara"}-opaque-token` };
        return guard.check(new Request("https://api.example/", { headers })).then(outcome);
      }),
    );
    const good = subjects.filter((subject, at) => subject === (at % 2 ? "alice" : "clara"));
    assert.deepEqual([asked.length, good.length, 80 - good.length], [times, 80 - busy, busy]);
    assert.equal(guard.tally().introspection.asked, times);
  }
});

test("rsr_09 a token in a form is none, and the body stays unread", async () => {
  const { guard, token } = await world();
  const body = new URLSearchParams({ access_token: token });
  const request = new Request("https://api.example/items", { method: "POST", body });
  assert.deepEqual(outcome(await guard.check(request)), NONE);
  assert.equal(request.bodyUsed, false);
});

test("rsr_10 beside the header nothing in query or body counts", async () => {
  const { check, token } = await world();
  const headers = { authorization: `Bearer ${token}` };
  const body = new URLSearchParams({ access_token: "another" });
  const init = { method: "POST", headers, body };
  assert.equal(outcome(await check(init, "?access_token=another")), "alice");
  init.headers = { authorization: "Bearer nonsense" };
  const good = await check(init, `?access_token=${token}`);
  assert.deepEqual(outcome(good), ["token_malformed", 401]);
});

test("rsr_11 a token in a cookie is none", async () => {
  const { check, token } = await world();
  for (const name of ["access_token", "token", "Authorization", "__Host-session"]) {
    const headers = { cookie: `${name}=${token}` };
    assert.deepEqual(outcome(await check({ headers })), NONE);
  }
});

test("rsr_18 refusals are not kept, and whatever is kept depends on the credentials", async () => {
  const { guard, token } = await world();
  const handler = guard.protect(() => new Response("ok", { headers: { vary: "Accept" } }));
  const good = await handler(
    new Request("https://api.example/", { headers: { authorization: `Bearer ${token}` } }),
  );
  assert.equal(good.headers.get("vary"), "Accept, Authorization");
  const bad = await handler(new Request("https://api.example/"));
  assert.equal(bad.status, 401);
  assert.equal(bad.headers.get("cache-control"), "no-store");
  assert.equal(bad.headers.get("vary"), "Authorization");
  const needy = guard.protect(() => new Response("ok"), { scopes: "admin" });
  const forbidden = await needy(
    new Request("https://api.example/", { headers: { authorization: `Bearer ${token}` } }),
  );
  assert.equal(forbidden.status, 403);
  assert.equal(forbidden.headers.get("cache-control"), "no-store");
});

test("rsr_18 where proofs count the response depends on them too", async () => {
  const { guard, token } = await world({ dpop: "accept" });
  const handler = guard.protect(() => new Response("ok"));
  const headers = { authorization: `Bearer ${token}` };
  const response = await handler(new Request("https://api.example/", { headers }));
  assert.equal(response.headers.get("vary"), "Authorization, DPoP");
});

test("rsr_18 a response that cannot be changed is copied with its body and status", async () => {
  const { guard, token } = await world();
  const redirecting = guard.protect(() => Response.redirect("https://api.example/new", 303));
  const headers = { authorization: `Bearer ${token}` };
  const request = new Request("https://api.example/", { headers });
  const redirect = await redirecting(request);
  assert.equal(redirect.status, 303);
  assert.equal(redirect.headers.get("location"), "https://api.example/new");
  assert.equal(redirect.headers.get("vary"), "Authorization");
  const failing = guard.protect(() => Response.error());
  assert.equal((await failing(request)).type, "error");
});

test("pages of other origins read challenge and nonce where the option says so", async () => {
  const { guard, token } = await world({ exposeHeaders: true });
  const handler = guard.protect(() => new Response("ok"));
  const name = "access-control-expose-headers";
  const bad = await handler(new Request("https://api.example/"));
  assert.equal(bad.headers.get(name), "WWW-Authenticate, DPoP-Nonce");
  const headers = { authorization: `Bearer ${token}` };
  const good = await handler(new Request("https://api.example/", { headers }));
  assert.equal(good.headers.get(name), "WWW-Authenticate, DPoP-Nonce");
  const { check } = await world();
  assert.equal((await check()).response.headers.has(name), false);
  await assert.rejects(world({ exposeHeaders: "yes" }), { at: "exposeHeaders" });
});

test("rsr_18 a response that the program gives to every request does not grow", async () => {
  const { guard, token } = await world({ exposeHeaders: true });
  const headers = { authorization: `Bearer ${token}` };
  for (const [given, vary] of [
    [undefined, "Authorization"],
    ["authorization", "authorization"],
    ["Accept,AUTHORIZATION", "Accept,AUTHORIZATION"],
    ["X-Authorization", "X-Authorization, Authorization"],
  ]) {
    const same = new Response("", { headers: given === undefined ? {} : { vary: given } });
    const handler = guard.protect(() => same);
    for (let round = 0; round < 3; round++) {
      const answer = await handler(new Request("https://api.example/", { headers }));
      assert.equal(answer.headers.get("vary"), vary);
      const exposed = answer.headers.get("access-control-expose-headers");
      assert.equal(exposed, "WWW-Authenticate, DPoP-Nonce");
    }
  }
});

test("rsr_22 an upgrade to a WebSocket without a token is refused before it", async () => {
  const { guard } = await world();
  let upgrades = 0;
  const handler = guard.protect(() => {
    upgrades++;
    return new Response(null);
  });
  const headers = { "sec-websocket-key": "x", "sec-websocket-version": "13" };
  const request = { method: "GET", url: "https://api.example/ws", headers: new Headers(headers) };
  request.headers.set("connection", "upgrade");
  request.headers.set("upgrade", "websocket");
  assert.equal((await handler(request)).status, 401);
  assert.equal(upgrades, 0);
});

test("rsr_23 what a client says of its user in headers says nothing", async () => {
  const { check, token } = await world();
  const claims = { "x-user": "root", "x-forwarded-user": "root", x_user: "root", sub: "root" };
  const headers = { ...claims, authorization: `Bearer ${token}` };
  assert.equal(outcome(await check({ headers })), "alice");
  assert.deepEqual(outcome(await check({ headers: claims })), NONE);
});

test("rsr_25 rsr_26 no header of a request lets it pass", async () => {
  const { check } = await world({ dpop: "accept" });
  for (const headers of [
    { "x-forwarded-uri": "/public" },
    { "x-original-url": "/health" },
    { "x-rewrite-url": "/health" },
    { "user-agent": "kube-probe/1.0" },
    { "x-middleware-subrequest": "middleware:middleware:middleware" },
    { "x-internal": "1", "x-forwarded-for": "127.0.0.1" },
  ]) {
    assert.deepEqual(outcome(await check({ headers })), NONE, JSON.stringify(headers));
  }
});

test("rsr_28 what an address must look like is for a predicate to say, exactly", async () => {
  // There is no rule for addresses or domains which a text that only looks alike could pass.
  const { guard } = await world();
  for (const need of [{ email: "a@corp.com" }, { emailDomain: "corp.com" }, { domains: ["x"] }]) {
    await assert.rejects(guard.check(new Request("https://api.example/"), need), {
      code: "config_invalid",
      at: Object.keys(need)[0],
    });
  }
});

test("clm_57 needs are exact texts: no pattern and no object stands for them", async () => {
  const { guard, token } = await world();
  for (const need of [
    { scopes: /read/ },
    { scopes: { regex: "read" } },
    { roles: [() => true] },
    { permissions: [/x/y] },
    // What says nothing would ask for nothing.
    null,
    42,
    true,
    "read",
    [],
    ["read"],
    new Map([["scopes", "admin"]]),
    new (class {
      get scopes() {
        return "admin";
      }
    })(),
  ]) {
    await assert.rejects(guard.verify(token, need), { code: "config_invalid" });
  }
  for (const scopes of ["rea", "read.*", "READ", "read|admin"]) {
    await assert.rejects(guard.verify(token, { scopes }), { code: "scope_insufficient" });
  }
  assert.equal((await guard.verify(token, { scopes: "read" })).subject, "alice");
});

test("clm_55 a predicate that cannot read a claim refuses the request", async () => {
  const { guard, token } = await world();
  for (const predicate of [
    ({ claims }) => claims.tenant.id === 1,
    ({ claims }) => claims.tenant,
    async ({ claims }) => claims.tenant.id === 1,
    () => "true",
    () => 1,
  ]) {
    await assert.rejects(guard.verify(token, { predicate }), { code: "predicate_refused" });
  }
});

test("clm_46 a principal says whom its token was issued for", async () => {
  const { provider, guard, token } = await world();
  assert.equal((await guard.verify(token, { user: true })).kind, "user");
  const machine = await provider.accessToken({ sub: "alice", client_id: "alice" });
  assert.equal((await guard.verify(machine)).kind, "client");
  await assert.rejects(guard.verify(machine, { user: true }), { code: "user_required" });
});

/** The code with which a guard with these limits answers about a token with such claims. */
async function codeWithin(limits, claims, provider = {}) {
  const idp = await makeProvider(provider);
  const { issuer, audience } = idp;
  const fetch = async (url, init) => {
    const response = await idp.fetch(url, init);
    if (!provider.padding || !String(url).endsWith(provider.path)) return response;
    return Response.json({ ...(await response.json()), x: "x".repeat(provider.padding) });
  };
  const guard = await createGuard({ issuer, audience, fetch, limits });
  const token = await idp.accessToken(claims);
  return guard.verify(token).then(
    () => "accepted",
    ({ code }) => code,
  );
}

test("how large tokens and answers may be is for the program to say, within bounds", async () => {
  const long = { x: "x".repeat(20_000) };
  assert.equal(await codeWithin({}, long), "token_too_large");
  // Longer than what is encoded in one go on its way to the core.
  assert.equal(await codeWithin({ maxTokenBytes: 65_536 }, long), "accepted");
  assert.equal(await codeWithin({ maxHeaderBytes: 256 }, {}), "accepted");
  const deep = { x: Array.from({ length: 10 }).reduce((inner) => [inner], 1) };
  assert.equal(await codeWithin({ maxJsonDepth: 8 }, deep), "token_malformed");
  assert.equal(await codeWithin({ maxJsonDepth: 16 }, deep), "accepted");
  const keys = { path: "/jwks", padding: 600 * 1024 };
  assert.equal(await codeWithin({}, {}, keys), "response_too_large");
  assert.equal(await codeWithin({ maxKeySetBytes: 1024 * 1024 }, {}, keys), "accepted");
  const metadata = { path: "/.well-known/openid-configuration", padding: 600 * 1024 };
  assert.equal(await codeWithin({}, {}, metadata), "accepted");
  assert.equal(await codeWithin({ maxMetadataBytes: 65_536 }, {}, metadata), "response_too_large");

  const options = { issuer: "https://login.example", audience: "api" };
  for (const limits of [
    { maxTokenBytes: 65_537 },
    { maxHeaderBytes: 255 },
    { maxJsonDepth: 129 },
    { maxKeys: 0 },
    { maxKeySetBytes: 2 ** 22 + 1 },
    { maxMetadataBytes: Infinity },
    { maxAnswerBytes: "1048576" },
  ]) {
    const [at] = Object.keys(limits);
    await assert.rejects(createGuard({ ...options, limits }), { code: "config_invalid", at });
  }
});

test("wsm_21 claims are plain frozen data, and a member like every other one", async () => {
  const { provider: idp, guard } = await world();
  const given = { n: 9007199254740993n.toString(), deep: { list: [1, { a: null }] }, "": 0 };
  const token = await idp.accessToken({ ...given, constructor: "c", toString: "t" });
  const principal = await guard.verify(token);
  const { claims } = principal;
  assert.equal(principal.claims, claims);
  assert.deepEqual(claims.deep, given.deep);
  assert.deepEqual([claims.n, claims[""], claims.constructor], [given.n, 0, "c"]);
  assert.equal(Object.getPrototypeOf(claims), Object.prototype);
  assert.equal(Object.getPrototypeOf(principal), Object.prototype);
  for (const frozen of [principal, claims, claims.deep, claims.deep.list, claims.deep.list[1]]) {
    assert.ok(Object.isFrozen(frozen));
  }
  assert.ok(Object.keys(principal).includes("claims"));
  for (const copy of [
    { ...principal },
    structuredClone(principal),
    JSON.parse(JSON.stringify(principal)),
  ]) {
    assert.deepEqual(copy.claims, claims);
  }
  // Each principal has its own, whoever asks first.
  const other = await guard.verify(await idp.accessToken({ sub: "bob" }));
  assert.deepEqual([other.claims.sub, principal.claims.sub], ["bob", "alice"]);
});
