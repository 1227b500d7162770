// What crosses the boundary of the installed package, and what outlives an isolate.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let project;
before(() => {
  ({ project } = installPackage("crossing"));
});

const failure = (promise) =>
  promise.then(
    () => assert.fail("it was accepted"),
    (error) => error,
  );

test("wsm_21 what comes out is plain data, exact, with null where null was", async () => {
  const { createClient } = await importInstalled(project, "gatepass");
  const text =
    '{"sub":"alice","big":9007199254740993,"small":7,"half":0.5,"nothing":null,' +
    '"deep":{"list":[1,{"x":true}]},"__proto__":{"admin":true}}';
  const type = { "content-type": "application/json" };
  const answer = (url) => (url.endsWith("/me") ? new Response(text, { headers: type }) : undefined);
  const provider = await makeProvider({ answer });
  const { issuer, clientId, redirectUri, fetch } = provider;
  // A symbol is no name of an option, and what is undefined is not given.
  const options = { issuer, clientId, redirectUri, fetch, scope: undefined, [Symbol("x")]: 1 };
  const client = await createClient(options);
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  const user = await client.userinfo();
  assert.equal(Object.getPrototypeOf(user), Object.prototype);
  assert.equal(Object.getPrototypeOf(user.deep), Object.prototype);
  assert.ok(Array.isArray(user.deep.list));
  // What a double would round comes as text.
  assert.deepEqual(
    [user.big, user.small, user.half, user.nothing, user.deep],
    ["9007199254740993", 7, 0.5, null, { list: [1, { x: true }] }],
  );
  assert.ok(Object.hasOwn(user, "__proto__"));
  assert.equal({}.admin, undefined);
  assert.ok(!("absent" in user));
  const error = await failure(createClient({ issuer, clientId, scope: null }));
  assert.deepEqual([error.code, error.at], ["config_invalid", "scope"]);
  client.dispose();
});

test("principals are who their tokens say, whatever stands in the names", async () => {
  const { createGuard } = await importInstalled(project, "gatepass/guard");
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const names = [
    "alice",
    "{",
    "a\tb",
    "a\nb",
    'say "hi"',
    "back\\slash",
    "\u0000",
    "zoë 🙂",
    " ",
    "7",
  ];
  for (const subject of names) {
    for (const clientId of names) {
      const token = await provider.accessToken({
        sub: subject,
        client_id: clientId,
        exp,
        scope: "read",
      });
      const { claims, ...rest } = await guard.verify(token);
      assert.deepEqual(rest, {
        issuer,
        subject,
        clientId,
        expiresAt: exp,
        audience: [audience],
        scopes: ["read"],
        roles: [],
        permissions: [],
        kind: subject === clientId ? "client" : "user",
      });
      assert.deepEqual([claims.sub, claims.client_id], [subject, clientId]);
    }
  }
  guard.dispose();
});

/** Values that are no text; some have what texts have. */
const OTHERS = [{ a: "b" }, ["a", "b"], undefined, null, 5, true, { length: 9 }, Symbol("x")];

const cyclic = () => {
  const options = { scope: "read" };
  return Object.assign(options, { options });
};

/** What JSON cannot write, and what are no options. */
const WITHOUT_JSON = [
  cyclic(),
  { toJSON: () => undefined },
  { scope: "read", toJSON() {} },
  null,
  5,
];

test("a value of another type ends nobody's session, whatever a client is asked with it", async () => {
  const { createClient } = await importInstalled(project, "gatepass/backend");
  const provider = await makeProvider();
  const { issuer, clientId, redirectUri } = provider;
  const events = [];
  const names = { issuer, clientId, redirectUri, allowedOrigins: "https://api.example" };
  const user = await createClient({
    ...names,
    // The API's headers are none, as those of a fetch of one's own may be.
    fetch: async (input, init) =>
      typeof input === "string"
        ? provider.fetch(input, init)
        : { status: 401, headers: { get: () => 5 } },
    onEvent: ({ type }) => events.push(type),
  });
  await user.handleCallback(provider.signInAt(await user.signInUrl()));
  const token = async () =>
    new Response(JSON.stringify({ access_token: "token-of-the-machine", token_type: "Bearer" }), {
      headers: { "content-type": "application/json" },
    });
  const machine = await createClient({
    ...names,
    fetch: (url, init) => (url.endsWith("/token") ? token() : provider.fetch(url, init)),
  });
  const source = machine.clientCredentials();
  const url = "https://api.example/x";
  for (const given of [url, new URL(url)]) {
    assert.equal(await source.tokenFor(given), "token-of-the-machine");
  }
  for (const given of OTHERS) {
    assert.equal(await source.tokenFor(given), undefined);
    await source.tokenAfter(401, given, given);
    await source.tokenAfter(401, 'Bearer error="invalid_token"', given);
    assert.equal(await user.tokenFor(given), undefined);
  }
  for (const options of [...WITHOUT_JSON, undefined]) {
    for (const name of ["jwtBearer", "refreshToken", "tokenExchange"]) {
      const { code, at } = await failure(machine[name](options));
      assert.deepEqual([name, code, at], [name, "config_invalid", "options"]);
    }
  }
  for (const options of WITHOUT_JSON) {
    for (const work of [
      () => machine.clientCredentials(options).accessToken(),
      () => user.signInUrl(options),
      () => user.signOutUrl(options),
    ]) {
      const { code, at } = await failure(work());
      assert.deepEqual([code, at], ["config_invalid", "options"]);
    }
  }
  assert.equal((await failure(createClient(cyclic()))).code, "config_invalid");
  assert.equal((await user.fetch(url)).status, 401);
  assert.equal(user.state().signedIn, true);
  assert.ok(!events.includes("session_discarded"));
  for (const client of [user, machine]) client.dispose();
});

test("a value of another type is no token and no need, and the guard lives on", async () => {
  const { createGuard } = await importInstalled(project, "gatepass/guard");
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const events = [];
  const guard = await createGuard({
    issuer,
    audience,
    fetch,
    onEvent: (event) => events.push(event),
  });
  const token = await provider.accessToken({ scope: "read" });
  assert.equal((await guard.verify(token)).subject, "alice");
  for (const given of OTHERS) {
    assert.equal((await failure(guard.verify(given))).code, "token_malformed");
    const headers = { get: (name) => (name === "authorization" ? given : null) };
    const { refusal } = await guard.check({ headers });
    assert.match(refusal.code, /^(?:credential_missing|request_invalid)$/);
    assert.equal(guard.metadata({ method: given, url: given }), null);
  }
  for (const need of WITHOUT_JSON) {
    const { code } = await failure(guard.verify(token, need));
    assert.equal(code, "config_invalid");
  }
  // Its keys are still there: it was not made anew.
  assert.equal((await guard.verify(token)).subject, "alice");
  assert.equal(events.filter(({ purpose }) => purpose === "keys").length, 1);
  guard.dispose();
});

test("wsm_23 a sign-in that began in one isolate ends in another", async () => {
  // Two instances that share nothing but the store, one of them the translation.
  const [here, there] = await Promise.all([
    importInstalled(project, "gatepass/backend"),
    importInstalled(project, "gatepass/backend/js"),
  ]);
  const kept = new Map();
  const transactionStore = {
    get: async (key) => kept.get(key) ?? null,
    set: async (key, value) => void kept.set(key, value),
  };
  const provider = await makeProvider();
  const { issuer, clientId, redirectUri, fetch } = provider;
  const options = { issuer, clientId, redirectUri, fetch, transactionStore };
  const first = await here.createClient(options);
  const callback = provider.signInAt(await first.signInUrl({ returnTo: "/inbox" }));
  first.dispose();
  const second = await there.createClient(options);
  const { user, returnTo } = await second.handleCallback(callback);
  assert.deepEqual([user.sub, returnTo], ["alice", "/inbox"]);
  // It is used up for all of them.
  const third = await here.createClient(options);
  assert.equal((await failure(third.handleCallback(callback))).code, "flow_reused");
  second.dispose();
  third.dispose();
});

test("wsm_26 a module is compiled whatever media type its response has", async () => {
  const { readFileSync } = await import("node:fs");
  const { join } = await import("node:path");
  const slim = await importInstalled(project, "gatepass/slim");
  const file = join(project, "node_modules/gatepass/dist/wasm/client.wasm");
  const headers = { "content-type": "text/html" };
  // Streaming compilation refuses it for its type.
  await assert.rejects(WebAssembly.compileStreaming(new Response("", { headers })));
  await slim.init(new Response(readFileSync(file), { headers }));
  const provider = await makeProvider();
  const { issuer, clientId, redirectUri, fetch } = provider;
  const client = await slim.createClient({ issuer, clientId, redirectUri, fetch });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  assert.equal(client.state().signedIn, true);
  client.dispose();
});

test("cfg_11 the one switch that takes a check away says so by its name and reaches no further", async () => {
  const { createClient } = await importInstalled(project, "gatepass");
  for (const name of [
    "allowHttp",
    "allowHttpLoopback",
    "skipIssuerCheck",
    "skipAudience",
    "skipNonce",
    "insecure",
    "lenient",
    "dangerouslyAllowHttp",
    "dangerouslySkipIssuerCheck",
  ]) {
    const error = await failure(
      createClient({ issuer: "https://as.example", clientId: "spa", [name]: true }),
    );
    assert.deepEqual([error.code, error.at], ["config_invalid", name]);
  }
  const dangerouslyAllowHttpLoopback = true;
  for (const issuer of ["http://as.example", "http://192.168.0.1", "http://localhost.example"]) {
    const error = await failure(
      createClient({ issuer, clientId: "spa", dangerouslyAllowHttpLoopback }),
    );
    assert.equal(error.code, "url_insecure", issuer);
  }
  // What it lets through is seen in the events.
  const seen = [];
  const client = await createClient({
    issuer: "http://127.0.0.1:9",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    dangerouslyAllowHttpLoopback,
    fetch: () => Promise.reject(new TypeError("nobody is there")),
    onEvent: (event) => event.type === "request" && seen.push(event.url),
  });
  await failure(client.signInUrl());
  assert.ok(seen.every((url) => url.startsWith("http://127.0.0.1:9/")));
  assert.ok(seen.length > 0);
  client.dispose();
});
