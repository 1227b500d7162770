// The guard as a service: what it answers, what it logs and how it ends.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

import parsePrometheus from "parse-prometheus-text-format";

import { makeFolder } from "../support/folder.mjs";
import { assertGolden, showRequests } from "../support/golden.mjs";
import { authenticate, installProgram, listen, startProvider } from "../support/program.mjs";
import { makeProver } from "../support/prover.mjs";
import { until } from "../support/until.mjs";
import { sendRaw, statuses } from "../support/upstream.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-serve");
});

const AUDIENCE = "https://api.example";
const SECRET = "rs-secret";

/** The sidecar as its own variables configure it. */
const sidecar = (provider) => ({
  AUTH_SERVER_URL: provider.issuer,
  OAUTH_CLIENT_ID: "rs",
  OAUTH_CLIENT_SECRET: SECRET,
});

const writeConfig = (name, content) => {
  const path = join(gatepass.project, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
};

/** The question of the plugin's own documentation. */
const ask = (origin, token, context = {}, rest = {}) =>
  fetch(`${origin}/plugin/authenticate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      context: { method: "GET", uri: "/api/users", headers: {}, ...context },
      credentials: { type: "bearer", token },
      ...rest,
    }),
  });

/** A request as it is written, without what fetch would put right. */
const raw = (origin, path, { method = "GET", headers = {}, body } = {}) =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const request = httpRequest({
      hostname,
      port,
      path,
      method,
      headers,
      agent: false,
    });
    request.once("error", reject).once("response", async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.end(body);
  });

test("S4-18 S4-21 S4-01 the plugin's question is answered with exactly its members", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const token = provider.opaqueToken({ client_id: "spa", aud: undefined });
  const good = await ask(origin, token);
  assert.equal(good.status, 200);
  const { claims, ...answer } = await good.json();
  assert.deepEqual(answer, {
    authenticated: true,
    user_id: "alice",
    scope: "openid read",
  });
  assert.deepEqual([claims.sub, claims.client_id], ["alice", "spa"]);

  const bad = await ask(origin, "your-access-token");
  assert.equal(bad.status, 200);
  assert.deepEqual(await bad.json(), {
    authenticated: false,
    user_id: null,
    claims: {},
    scope: null,
    error: "token_inactive",
  });
});

test("S4-01 the question is a form of RFC 7662 with the service's credentials, and what is answered is checked", async (t) => {
  const now = Math.floor(Date.now() / 1000);
  let answer;
  const provider = await startProvider(t, {
    answer: (url) =>
      url.endsWith("/introspect") && answer !== undefined ? Response.json(answer) : undefined,
  });
  const config = writeConfig("introspect.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    clientId: "rs",
    clientSecret: { env: "RS_SECRET" },
    routes: [{ path: "/api/*", scopes: ["read"] }],
  });
  const env = { RS_SECRET: SECRET };
  const { origin } = await gatepass.serve(t, ["--config", config, "--cache-ttl", "0"], { env });
  const good = { active: true, sub: "alice", aud: AUDIENCE, scope: "read", exp: now + 300 };
  let serial = 0;
  for (const [change, code, status] of [
    [{}, undefined, 200],
    [{ active: false }, "token_inactive", 401],
    [{ active: "true" }, "response_malformed", 503],
    [{ exp: now - 60 }, "token_expired", 401],
    [{ nbf: now + 60 }, "token_not_active", 401],
    [{ iss: "https://other.example" }, "issuer_mismatch", 401],
    [{ aud: "https://other.example" }, "audience_mismatch", 401],
    [{ client_id: 1 }, "response_malformed", 503],
    [{ token_type: "refresh_token" }, "typ_mismatch", 401],
    [{ token_type: "mac" }, "binding_mismatch", 401],
    [{ cnf: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }, "binding_mismatch", 401],
    [{ scope: "write" }, "scope_insufficient", 403],
  ]) {
    answer = { ...good, ...change };
    const token = `token-${++serial}`;
    const authorization = `Bearer ${token}`;
    const headers = { "x-forwarded-method": "GET", "x-forwarded-uri": "/api/x", authorization };
    const seen = await raw(origin, "/auth/traefik", { headers });
    assert.equal(seen.status, status, JSON.stringify(change));
    const said = await (await ask(origin, token, { uri: "/api/x" })).json();
    assert.equal(said.error, code, JSON.stringify(change));
  }
  for (const { init } of provider.requests.filter(({ url }) => url.endsWith("/introspect"))) {
    assert.equal(init.method, "POST");
    assert.equal(init.headers["content-type"], "application/x-www-form-urlencoded");
    assert.equal(init.headers.authorization, `Basic ${btoa(`rs:${SECRET}`)}`);
    const form = new URLSearchParams(init.body);
    assert.match(form.get("token"), /^token-\d+$/);
    assert.equal(form.get("token_type_hint"), "access_token");
  }
});

test("S4-18 a question that cannot be read is a mistake of who asks, by name", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const context = { method: "GET", uri: "/", headers: {} };
  for (const [question, at] of [
    ["{", "body"],
    ["[]", "body"],
    [{}, "context"],
    [{ context: {} }, "context.method"],
    [{ context: { ...context, method: "get it" } }, "context.method"],
    [{ context: { ...context, uri: 1 } }, "context.uri"],
    [{ context: { ...context, headers: { a: 1 } } }, "context.headers"],
    [{ context, credentials: "x" }, "credentials"],
    [{ context, credentials: { type: "basic", token: "x" } }, "credentials.type"],
    [{ context, credentials: { type: "bearer" } }, "credentials.token"],
    [{ context, credentials: { type: "bearer", token: "a b" } }, "credentials.token"],
  ]) {
    const response = await fetch(`${origin}/plugin/authenticate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof question === "string" ? question : JSON.stringify(question),
    });
    assert.equal(response.status, 400, JSON.stringify(question));
    assert.deepEqual(await response.json(), { error: "request_invalid", at });
  }
  const form = await fetch(`${origin}/plugin/authenticate`, {
    method: "POST",
    body: "{}",
  });
  assert.equal(form.status, 415, "a page of another origin could send this");
  assert.equal((await fetch(`${origin}/plugin/authenticate`)).status, 405);
  const large = await ask(origin, "x".repeat(70_000));
  assert.equal(large.status, 413);
  assert.equal(provider.count("/introspect"), 0);
});

test("S4-17 the token is taken from one Authorization header, and from nowhere else", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const token = provider.opaqueToken({ aud: undefined });
  const verdict = async (context, credentials) =>
    (await (await ask(origin, "", context, { credentials })).json()).error ?? "accepted";
  const header = (value) => ({ headers: { AUTHORIZATION: value } });
  assert.equal(await verdict(header(`Bearer ${token}`)), "accepted");
  assert.equal(await verdict(header(`bEARER ${token}`)), "accepted");
  assert.equal(await verdict({}), "credential_missing");
  assert.equal(await verdict({ uri: `/?access_token=${token}` }), "credential_missing");
  assert.equal(await verdict(header(`Bearer  ${token}`)), "request_invalid");
  assert.equal(await verdict(header(`Bearer ${token}, Bearer ${token}`)), "credential_multiple");
  const same = { type: "Bearer", token };
  assert.equal(await verdict(header(`Bearer ${token}`), same), "accepted");
  assert.equal(await verdict(header("Bearer other"), same), "credential_multiple");
  assert.equal(await verdict({}, { type: "bearer", token: "x".repeat(17_000) }), "token_too_large");

  const twice = ["Authorization", `Bearer ${token}`, "Authorization", `Bearer ${token}`];
  const headers = [...twice, "X-Original-Method", "GET", "X-Original-URI", "/", "Host", "x"];
  const { status, headers: answered } = await raw(origin, "/auth/nginx", {
    headers,
  });
  assert.equal(status, 400);
  assert.match(answered["www-authenticate"], /invalid_request/);
});

/** An answer holds for a second. */
async function untilReady(ready) {
  const end = Date.now() + 10_000;
  while ((await ready()) !== 200) {
    assert.ok(Date.now() < end, "it does not become ready");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("S4-40 S4-15 it is healthy before it has asked anybody, and ready once the provider answers", async (t) => {
  let isAway = true;
  const provider = await startProvider(t, {
    answer: () => (isAway ? new Response(null, { status: 503 }) : undefined),
  });
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const health = await fetch(`${origin}/health`);
  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
  assert.equal(provider.requests.length, 0);
  const ready = async () => (await fetch(`${origin}/ready`)).status;
  assert.equal(await ready(), 503);
  // Whoever asks often does not make the service ask often.
  const asked = provider.requests.length;
  assert.deepEqual(await Promise.all([ready(), ready(), ready()]), [503, 503, 503]);
  assert.equal(provider.requests.length, asked);
  isAway = false;
  await untilReady(ready);
});

test("S4-40 a service that checks signatures is ready once the keys can be had", async (t) => {
  let keys = () => new Response(null, { status: 503 });
  const provider = await startProvider(t, {
    answer: (url) => (url.endsWith("/jwks") ? keys() : undefined),
  });
  const { origin } = await gatepass.serve(t, [
    ...["--issuer", provider.issuer, "--audience", "https://api.example"],
  ]);
  const ready = async () => (await fetch(`${origin}/ready`)).status;
  assert.equal(await ready(), 503);
  keys = () => undefined;
  await untilReady(ready);
});

/** An answer as it is stored, in a coding that nobody asked for. */
const coded = (coding, body) =>
  new Response(body, {
    headers: { "content-type": "application/json", "content-encoding": coding },
  });

test("S4-40 keys count that are long, or compressed for everybody", async (t) => {
  let answer = () => undefined;
  const provider = await startProvider(t, {
    answer: (url) => (url.endsWith("/jwks") ? answer() : undefined),
  });
  const { issuer } = provider;
  const set = await (await fetch(`${issuer}/jwks`)).json();
  const text = (space) => JSON.stringify(set) + space;
  const config = join(gatepass.project, "long-keys.json");
  const guard = { limits: { maxKeySetBytes: 4 * 1024 * 1024 } };
  writeFileSync(config, JSON.stringify({ issuer, audience: AUDIENCE, guard }));
  for (const [name, make] of [
    ["long", () => coded("identity", text(" ".repeat(1.5 * 1024 * 1024)))],
    ["gzip", () => coded("gzip", gzipSync(text("")))],
    ["deflate", () => coded("deflate", deflateSync(text("")))],
    ["br", () => coded("br", brotliCompressSync(text("")))],
  ]) {
    answer = make;
    const { origin } = await gatepass.serve(t, ["--config", config]);
    assert.equal(await authenticate(origin, await provider.accessToken()), true, name);
  }
  // What inflates beyond all limits, and what nobody knows.
  for (const make of [
    () => coded("gzip", gzipSync(text(" ".repeat(8 * 1024 * 1024)))),
    () => coded("zz", gzipSync(text(""))),
  ]) {
    answer = make;
    const { origin } = await gatepass.serve(t, ["--config", config]);
    assert.equal((await fetch(`${origin}/ready`)).status, 503);
  }
});

test("S4-40 a service that needs no keys of one provider is ready without them", async (t) => {
  const provider = await startProvider(t, {
    answer: (url) => (url.endsWith("/jwks") ? new Response(null, { status: 503 }) : undefined),
  });
  const other = await startProvider(t);
  for (const guard of [
    { issuer: [provider.issuer, other.issuer] },
    { issuer: provider.issuer, secret: "0123456789abcdef0123456789abcdef" },
  ]) {
    const config = join(gatepass.project, "ready.json");
    const issuer = provider.issuer;
    writeFileSync(config, JSON.stringify({ issuer, audience: "https://api.example", guard }));
    const { origin } = await gatepass.serve(t, ["--config", config]);
    assert.equal((await fetch(`${origin}/ready`)).status, 200, JSON.stringify(guard));
  }
});

test("S4-30 a provider that is away is 503 with Retry-After, not a verdict on the token", async (t) => {
  let isAway = true;
  const provider = await startProvider(t, {
    answer: () => (isAway ? new Response(null, { status: 503 }) : undefined),
  });
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const token = provider.opaqueToken({ aud: undefined });
  const away = await ask(origin, token);
  assert.equal(away.status, 503);
  assert.match(away.headers.get("retry-after"), /^\d+$/);
  assert.equal((await away.json()).authenticated, false);
  isAway = false;
  await new Promise((resolve) => setTimeout(resolve, 1000 * away.headers.get("retry-after")));
  assert.equal((await (await ask(origin, token)).json()).authenticated, true);
});

test("S4-30 the metadata of an API whose provider is away is 503 with Retry-After too", async (t) => {
  let isAway = true;
  const provider = await startProvider(t, {
    answer: () => (isAway ? new Response(null, { status: 503 }) : undefined),
  });
  const { origin, output } = await gatepass.serve(t, ["--resource", `${AUDIENCE}/mcp`], {
    env: sidecar(provider),
  });
  const ask = () => raw(origin, "/.well-known/oauth-protected-resource/mcp");
  const away = await ask();
  assert.equal(away.status, 503);
  assert.equal(away.headers["retry-after"], "1");
  assert.equal(away.headers["cache-control"], "no-store");
  assert.doesNotMatch(output(), /failed inside/);
  isAway = false;
  const { status, text } = await ask();
  assert.deepEqual([status, JSON.parse(text).resource], [200, `${AUDIENCE}/mcp`]);
});

test("S4-30 a provider that hangs is 503 once the timeout is over, and a bad token is 401", async (t) => {
  let isHanging = true;
  const provider = await startProvider(t, {
    before: (url) => (isHanging && url.endsWith("/introspect") ? new Promise(() => {}) : undefined),
  });
  const service = await gatepass.serve(t, ["--timeout", "1"], { env: sidecar(provider) });
  const forward = (token) =>
    raw(service.origin, "/auth/envoy/api", { headers: { authorization: `Bearer ${token}` } });
  const hung = await forward(provider.opaqueToken({ aud: undefined }));
  assert.equal(hung.status, 503);
  assert.match(hung.headers["retry-after"], /^\d+$/);
  assert.equal(hung.headers["www-authenticate"], undefined, "it says nothing about the token");
  await service.logged(/Refused: upstream_timeout/);
  const asked = await ask(service.origin, provider.opaqueToken({ aud: undefined }));
  assert.equal(asked.status, 503);
  const { authenticated, error } = await asked.json();
  assert.deepEqual([authenticated, error], [false, "upstream_timeout"]);
  isHanging = false;
  const bad = await forward("nonsense");
  assert.equal(bad.status, 401);
  assert.match(bad.headers["www-authenticate"], /^Bearer error="invalid_token"/);
  const { stdout } = await gatepass.run(["help", "serve"]);
  assert.match(stdout, /--timeout SECONDS\n[^]*?5 for questions\s+about them,/);
});

test("S4-09 S4-10 S4-37 a server that publishes nothing is asked at /oauth/introspect, as mockforge", async (t) => {
  const asked = [];
  const provider = await startProvider(t, {
    answer(url, { headers, body }) {
      if (!url.endsWith("/oauth/introspect")) return new Response(null, { status: 404 });
      asked.push([headers.authorization, new URLSearchParams(body).get("token")]);
      return Response.json({ active: true, sub: "user123", scope: "read" });
    },
  });
  const { OAUTH_CLIENT_ID: _, ...env } = sidecar(provider);
  const { origin } = await gatepass.serve(t, [], { env });
  assert.equal((await (await ask(origin, "opaque")).json()).user_id, "user123");
  assert.deepEqual(asked, [[`Basic ${btoa(`mockforge:${SECRET}`)}`, "opaque"]]);
});

test("S4-03 S4-27 S4-35 answers are remembered for a while, and not with cache-ttl 0", async (t) => {
  const provider = await startProvider(t);
  for (const [args, count] of [
    [[], 1],
    [["--cache-ttl", "0"], 4],
  ]) {
    const { origin } = await gatepass.serve(t, args, {
      env: sidecar(provider),
    });
    const token = provider.opaqueToken({ aud: undefined });
    for (let i = 0; i < 3; i++) {
      assert.equal((await (await ask(origin, token)).json()).authenticated, true);
    }
    assert.equal(provider.count("/introspect"), count);
  }
});

test("S4-03 an answer is kept as long as is said, and one that refuses for a shorter time", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, ["--cache-ttl", "1"], { env: sidecar(provider) });
  const token = provider.opaqueToken({ aud: undefined });
  const verdict = async () => (await (await ask(origin, token)).json()).authenticated;
  assert.equal(await verdict(), true);
  provider.revokeOpaque(token);
  const end = Date.now() + 20_000;
  let isGood = true;
  while (isGood && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    isGood = await verdict();
  }
  assert.equal(isGood, false, "a token that was ended is refused when its time is over");
  assert.equal(provider.count("/introspect"), 2);
});

test("S4-03 a refusal is remembered too, for a time of its own that is shorter", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("negative.json", {
    guard: { introspection: { cache: { negativeTtl: 2 } } },
  });
  const { origin } = await gatepass.serve(t, ["--config", config], { env: sidecar(provider) });
  const refuse = async () => {
    const { authenticated, error } = await (await ask(origin, "nonsense")).json();
    assert.deepEqual([authenticated, error], [false, "token_inactive"]);
    return provider.count("/introspect");
  };
  const asked = Date.now();
  const first = await refuse();
  const second = await refuse();
  // A machine that stood still for so long has seen the time pass.
  if (Date.now() - asked < 2000) assert.deepEqual([first, second], [1, 1]);
  // The guard's own clock is looked at in whole seconds.
  await new Promise((resolve) => setTimeout(resolve, 3100));
  assert.equal(await refuse(), second + 1);

  const usual = await gatepass.serve(t, ["--cache-ttl", "0"], { env: sidecar(provider) });
  const before = provider.count("/introspect");
  for (let turn = 0; turn < 2; turn++) await ask(usual.origin, "nonsense");
  assert.equal(provider.count("/introspect"), before + 2, "what is not kept is asked again");
});

test("S4-29 a hundred introspections take one connection", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, ["--cache-ttl", "0"], {
    env: sidecar(provider),
  });
  const connections = new Set();
  provider.server.on("request", ({ url, socket }) => {
    if (url === "/introspect") connections.add(socket);
  });
  const token = provider.opaqueToken({ aud: undefined });
  for (let i = 0; i < 100; i++) await ask(origin, token);
  assert.equal(provider.count("/introspect"), 100);
  assert.equal(connections.size, 1);
});

test("S4-22 a hundred clients that ask ten times each, with one token or with many, are all answered", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const crowd = async (tokenOf) => {
    const client = async (_, i) => {
      for (let turn = 0; turn < 10; turn++) {
        const response = await ask(origin, tokenOf(i));
        assert.equal(response.status, 200);
        assert.equal((await response.json()).authenticated, true);
      }
    };
    await Promise.all(Array.from({ length: 100 }, client));
  };
  const token = provider.opaqueToken({ aud: undefined });
  await crowd(() => token);
  assert.equal(provider.count("/introspect"), 1, "they wait for one answer");
  const tokens = Array.from({ length: 100 }, () => provider.opaqueToken({ aud: undefined }));
  await crowd((i) => tokens[i]);
  assert.equal(provider.count("/introspect"), 101);
});

test("S4-42 S4-34 S4-14 the log has the five members first, and never a token or a secret", async (t) => {
  const provider = await startProvider(t);
  const service = await gatepass.serve(t, [], { env: sidecar(provider) });
  const token = provider.opaqueToken({ sub: "user123", aud: undefined });
  await ask(service.origin, token);
  await ask(service.origin, "your-access-token");
  const accepted = await service.logged(/Successfully/);
  assert.deepEqual(Object.keys(accepted), [
    "timestamp",
    "level",
    "message",
    "user_id",
    "latency_ms",
  ]);
  assert.match(accepted.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(
    [accepted.level, accepted.message, accepted.user_id],
    ["INFO", "Successfully authenticated user: user123", "user123"],
  );
  assert.equal(typeof accepted.latency_ms, "number");
  const refused = await service.logged(/Refused/);
  assert.deepEqual(Object.keys(refused).slice(0, 5), Object.keys(accepted));
  assert.deepEqual([refused.level, refused.message], ["WARN", "Refused: token_inactive"]);
  service.child.kill("SIGTERM");
  assert.equal(await service.exited, 0);
  for (const secret of [token, "your-access-token", SECRET, btoa(`rs:${SECRET}`)]) {
    assert.ok(!service.output().includes(secret));
  }
});

test("S4-42 users can be left out of the log or hashed", async (t) => {
  const provider = await startProvider(t);
  const token = provider.opaqueToken({ sub: "user123", aud: undefined });
  for (const [style, pattern] of [
    ["none", /^null$/],
    ["hash", /^"[\w-]{16}"$/],
  ]) {
    const service = await gatepass.serve(t, ["--log-user", style], {
      env: sidecar(provider),
    });
    await ask(service.origin, token);
    assert.match(JSON.stringify((await service.logged(/Successfully/)).user_id), pattern);
    assert.doesNotMatch(service.output(), /user123/);
  }
});

test("S4-41 S4-05 S4-39 metrics can be read by a parser of Prometheus' format, and only when asked for", async (t) => {
  const provider = await startProvider(t);
  const env = sidecar(provider);
  const silent = await gatepass.serve(t, [], { env });
  assert.equal((await fetch(`${silent.origin}/metrics`)).status, 404);
  const { origin } = await gatepass.serve(t, ["--metrics"], { env });
  const token = provider.opaqueToken({ aud: undefined });
  for (const one of [token, token, "nonsense"]) await ask(origin, one);
  const response = await fetch(`${origin}/metrics`);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  const families = Object.fromEntries(parsePrometheus(text).map((one) => [one.name, one]));
  const outcomes = families["gatepass_requests_total"].metrics.map((m) => [
    m.labels.outcome,
    m.value,
  ]);
  assert.deepEqual(outcomes, [
    ["accepted", "2"],
    ["token_inactive", "1"],
  ]);
  const [decisions] = families["gatepass_decision_duration_seconds"].metrics;
  assert.equal(families["gatepass_decision_duration_seconds"].type, "HISTOGRAM");
  assert.deepEqual([decisions.count, decisions.buckets["+Inf"]], ["3", "3"]);
  assert.equal(families["gatepass_provider_request_duration_seconds"].type, "HISTOGRAM");
  assert.match(
    text,
    /^gatepass_provider_request_duration_seconds_count{purpose="introspection"} 2$/m,
  );
  for (const name of [
    "cache_hits_total",
    "cache_misses_total",
    "introspections_total",
    "introspection_cached_total",
  ]) {
    assert.match(families[`gatepass_${name}`].metrics[0].value, /^\d+$/);
  }
  assert.ok(!text.includes(token) && !text.includes("alice"));
});

test("S4-14 S4-13 without HOST and PORT it listens on 127.0.0.1:8080 and says so first, before anybody was asked", async (t) => {
  const provider = await startProvider(t);
  const { stdout } = await gatepass.run(["help", "serve"]);
  assert.match(stdout, /--port NUMBER\n +The port to listen on; 0 takes any\. Default: 8080\./);
  const holder = createServer();
  const isTaken = await new Promise((resolve) => {
    holder.once("error", () => resolve(true));
    holder.listen(8080, "127.0.0.1", () => resolve(false));
  });
  if (isTaken) return t.skip("something else listens on 127.0.0.1:8080");
  t.after(() => holder.close());
  // While it is taken, this is said of that very port.
  const busy = await gatepass.run(["serve"], { env: sidecar(provider) });
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, /Cannot listen on 127\.0\.0\.1:8080: it is in use; .*--port/);
  await new Promise((resolve) => holder.close(resolve));
  const service = gatepass.start(t, ["serve"], { env: sidecar(provider) });
  const [first] = await service.said(/^.*\n/, "stdout");
  assert.equal(JSON.parse(first).message, "Listening on http://127.0.0.1:8080");
  const health = await fetch("http://127.0.0.1:8080/health");
  assert.deepEqual(await health.json(), { status: "ok" });
  assert.equal(provider.requests.length, 0);
  service.child.kill("SIGTERM");
  assert.equal((await service.exited).code, 0);
});

test("S4-14 SIGTERM lets a request finish, takes no new one and ends with 0", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const provider = await startProvider(t, {
    before: (url) => (url.endsWith("/introspect") ? held : undefined),
  });
  const service = await gatepass.serve(t, [], { env: sidecar(provider) });
  const token = provider.opaqueToken({ aud: undefined });
  const answer = ask(service.origin, token);
  while (!provider.connections.size) await new Promise((resolve) => setTimeout(resolve, 10));
  service.child.kill("SIGTERM");
  await service.logged(/Draining/);
  await assert.rejects(fetch(`${service.origin}/health`));
  release();
  assert.equal((await (await answer).json()).authenticated, true);
  assert.equal(await service.exited, 0);
});

test("S4-14 SIGTERM cuts off what the provider does not answer: nothing is asked or said any more", async (t) => {
  for (const isReloaded of [false, true]) {
    let asked = 0;
    let hangs = false;
    const never = new Promise(() => {});
    const provider = await startProvider(t, {
      before(url) {
        if (!url.endsWith("/introspect")) return undefined;
        asked++;
        return hangs ? never : undefined;
      },
    });
    const args = ["--drain-timeout", "1", "--timeout", "30"];
    const service = await gatepass.serve(t, args, { env: sidecar(provider) });
    const token = () => provider.opaqueToken({ aud: undefined });
    // The next question goes over the connection of this one.
    assert.equal((await (await ask(service.origin, token())).json()).authenticated, true);
    hangs = true;
    const cutOff = assert.rejects(ask(service.origin, token()));
    await until("it is asked", () => asked === 2);
    if (isReloaded) {
      service.child.kill("SIGHUP");
      await service.logged(/read anew/);
    }
    const begun = performance.now();
    service.child.kill("SIGTERM");
    await cutOff;
    assert.equal(await service.exited, 0);
    assert.ok(performance.now() - begun < 15_000, "it does not wait for the provider");
    assert.equal(asked, 2);
    assert.match(service.lines.at(-1), /"Stopped"/);
  }
});

test("S4-32 SIGHUP reads secrets anew, and a mistake leaves the old ones in place", async (t) => {
  const provider = await startProvider(t, { api: "rs:new-secret" });
  const file = join(gatepass.project, "rotating");
  writeFileSync(file, "old-secret\n");
  const { OAUTH_CLIENT_SECRET: _, ...env } = sidecar(provider);
  const service = await gatepass.serve(t, [], {
    env: { ...env, OAUTH_CLIENT_SECRET_FILE: file },
  });
  const token = provider.opaqueToken({ aud: undefined });
  assert.equal((await ask(service.origin, token)).status, 503);
  writeFileSync(file, "new-secret\n");
  service.child.kill("SIGHUP");
  await service.logged(/read anew/);
  assert.equal((await (await ask(service.origin, token)).json()).authenticated, true);
  writeFileSync(file, "");
  service.child.kill("SIGHUP");
  await service.logged(/The old configuration stays/);
  assert.equal((await (await ask(service.origin, token)).json()).authenticated, true);
  assert.doesNotMatch(service.output(), /(?:old|new)-secret/);
});

test("S4-32 a program that prints a secret holds up no request while SIGHUP has it run", async (t) => {
  const provider = await startProvider(t, { api: "rs:new-secret" });
  const print = (secret, afterMs) => ({
    command: [
      process.execPath,
      "-e",
      `setTimeout(() => console.log(${JSON.stringify(secret)}), ${afterMs})`,
    ],
  });
  const base = { issuer: provider.issuer, audience: AUDIENCE, clientId: "rs", mode: "introspect" };
  const config = writeConfig("slow.json", { ...base, clientSecret: print("old-secret", 0) });
  const service = await gatepass.serve(t, ["--config", config]);
  const token = provider.opaqueToken();
  assert.equal((await ask(service.origin, token)).status, 503);
  writeConfig("slow.json", { ...base, clientSecret: print("new-secret", 3000) });
  service.child.kill("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const begun = performance.now();
  assert.equal((await fetch(`${service.origin}/health`)).status, 200);
  assert.ok(performance.now() - begun < 1000, "it is answered meanwhile");
  assert.doesNotMatch(service.output(), /read anew/);
  await service.logged(/read anew/);
  assert.equal((await (await ask(service.origin, token)).json()).authenticated, true);
  // Nor the end of the service.
  writeConfig("slow.json", { ...base, clientSecret: print("newer-secret", 60_000) });
  service.child.kill("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const stopped = performance.now();
  service.child.kill("SIGTERM");
  assert.equal(await service.exited, 0);
  assert.ok(performance.now() - stopped < 5000, "it ends at once");
  assert.doesNotMatch(service.output(), /stays/);
});

test("S4-32 a program that cannot be started because files run out leaves the old secret in place", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("scarce.json", {
    ...{ issuer: provider.issuer, audience: AUDIENCE, clientId: "rs", mode: "introspect" },
    clientSecret: { command: ["echo", SECRET] },
  });
  const limited = join(gatepass.project, "limited.mjs");
  writeFileSync(
    limited,
    `import { closeSync, openSync } from "node:fs";
    process.on("SIGHUP", () => {
      const held = [];
      try {
        for (;;) held.push(openSync("/dev/null"));
      } catch {}
      // The file and the program, which takes two for its output, have what is left.
      closeSync(held.pop());
      setTimeout(() => held.forEach((one) => closeSync(one)), 1000);
    });
    process.argv[1] = ${JSON.stringify(gatepass.program)};
    await import(${JSON.stringify(pathToFileURL(gatepass.program).href)});
    `,
  );
  const service = await gatepass.serve(t, ["--config", config], { program: limited });
  service.child.kill("SIGHUP");
  const { message } = await service.logged(/The old configuration stays|read anew/);
  assert.match(message, /The old configuration stays: .*the command did not print a secret/);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(await authenticate(service.origin, provider.opaqueToken()), true);
});

test("S4-14 S4-32 SIGHUP while requests finish ends none of them", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const provider = await startProvider(t, {
    before: (url) => (url.endsWith("/introspect") ? held : undefined),
  });
  const service = await gatepass.serve(t, [], { env: sidecar(provider) });
  const answer = ask(service.origin, provider.opaqueToken({ aud: undefined }));
  await until("it is asked", () => provider.connections.size > 0);
  service.child.kill("SIGTERM");
  await service.logged(/Draining/);
  service.child.kill("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 200));
  release();
  assert.equal((await (await answer).json()).authenticated, true);
  assert.equal(await service.exited, 0);
  assert.doesNotMatch(service.output(), /read anew/);
});

test("S4-14 S4-31 S4-32 SIGTERM while SIGHUP looks for another Redis leaves nothing open", async (t) => {
  const provider = await startProvider(t);
  // It takes connections and is silent.
  const redis = createServer((socket) => void socket.on("error", () => {}).resume());
  const asked = new Promise((resolve) => redis.once("connection", resolve));
  await new Promise((resolve) => redis.listen(0, "127.0.0.1", resolve));
  t.after(() => redis.close());
  const file = join(makeFolder("redis"), "redis-url");
  const config = writeConfig("stopping.json", { issuer: provider.issuer, audience: AUDIENCE });
  const service = await gatepass.serve(t, ["--config", config]);
  writeFileSync(file, `redis://127.0.0.1:${redis.address().port}\n`);
  const base = { issuer: provider.issuer, audience: AUDIENCE };
  writeConfig("stopping.json", { ...base, redis: { file } });
  service.child.kill("SIGHUP");
  await asked;
  service.child.kill("SIGTERM");
  await until("it ends", () => service.child.exitCode !== null);
  assert.equal(await service.exited, 0);
  assert.doesNotMatch(service.output(), /read anew/);
});

test("S4-16 S4-32 SIGHUP that does not find the file any more leaves its rules in place", async (t) => {
  const provider = await startProvider(t);
  const authorization = `Bearer ${await provider.accessToken()}`;
  const home = makeFolder("home");
  const file = join(home, ".config/gatepass/config.json");
  mkdirSync(join(file, ".."), { recursive: true });
  const write = (roles) =>
    writeFileSync(file, JSON.stringify({ routes: [{ path: "/admin/*", roles }] }));
  write("admin");
  const service = await gatepass.serve(t, ["--issuer", provider.issuer, "--audience", AUDIENCE], {
    env: { HOME: home },
  });
  const status = async (path) =>
    (await raw(service.origin, `/auth/envoy${path}`, { headers: { authorization } })).status;
  assert.deepEqual([await status("/admin/x"), await status("/other")], [403, 403]);
  rmSync(file);
  service.child.kill("SIGHUP");
  const { level, message } = await service.logged(/old configuration stays|read anew/);
  assert.equal(level, "ERROR");
  assert.equal(
    message,
    `The old configuration stays: ${file} is not there; put it back, or start anew without it.`,
  );
  assert.deepEqual([await status("/admin/x"), await status("/other")], [403, 403]);
  write([]);
  service.child.kill("SIGHUP");
  await until("its mistake is told", () => /config\.json:1:/.test(service.output()));
  writeFileSync(file, JSON.stringify({ routes: [{ path: "/admin/*" }] }));
  service.child.kill("SIGHUP");
  await service.logged(/read anew/);
  assert.deepEqual([await status("/admin/x"), await status("/other")], [200, 403]);
});

test("S4-32 SIGHUP names what holds from the start, and the help names the same", async (t) => {
  const provider = await startProvider(t);
  const file = join(gatepass.project, "reloaded.json");
  const base = { issuer: provider.issuer, audience: AUDIENCE, logLevel: "warn" };
  const write = (more) => writeFileSync(file, JSON.stringify({ ...base, ...more }));
  write({ resource: "https://one.example/api", metrics: false });
  const service = await gatepass.serve(t, ["--config", file], {});
  const reload = async (more) => {
    write(more);
    service.child.kill("SIGHUP");
    // Its rules are there at once, and say that the file was read.
    const path = new URL(more.resource).pathname;
    const url = `${service.origin}/.well-known/oauth-protected-resource${path}`;
    while ((await fetch(url)).status !== 200) await new Promise((done) => setTimeout(done, 20));
  };
  // That a default is left out changes nothing.
  await reload({ resource: "https://two.example/other" });
  const fixed = {
    ...{ host: "::1", port: 1, basePath: "/x", upstream: "http://127.0.0.1:9", forwardToken: true },
    ...{ rateLimit: 1, metrics: true, logLevel: "error", logUser: "none", drainTimeout: 1 },
  };
  // What a flag says goes before the file.
  const { port: _, ...named } = fixed;
  await reload({ resource: "https://three.example/third", ...fixed });
  const { level, message } = await service.logged(/"Changed, /);
  assert.equal(level, "WARN");
  const names = Object.keys(named).join(", ");
  assert.equal(message, `Changed, but the old value holds until a new start: ${names}`);
  assert.equal(service.lines.filter((line) => line.includes('"Changed, ')).length, 1);
  assert.equal((await fetch(`${service.origin}/metrics`)).status, 404);
  const { stdout } = await gatepass.run(["help", "serve"]);
  const [, listed] = /for what holds\s+from the start: ([^.]*)\./.exec(stdout);
  assert.deepEqual(listed.split(/(?:,| and)\s+/), Object.keys(fixed));
});

test("S4-32 SIGHUP has another public origin count for proofs of possession too", async (t) => {
  const provider = await startProvider(t);
  const prover = await makeProver();
  const token = await provider.accessToken({ cnf: { jkt: prover.jkt } });
  const file = join(gatepass.project, "moved.json");
  const base = { issuer: provider.issuer, audience: AUDIENCE, guard: { dpop: "accept" } };
  const write = (publicOrigin) => writeFileSync(file, JSON.stringify({ ...base, publicOrigin }));
  write("https://one.example");
  const service = await gatepass.serve(t, ["--config", file], {});
  const show = async (origin) => {
    const headers = {
      authorization: `DPoP ${token}`,
      dpop: await prover.proof("GET", `${origin}/x`, token),
    };
    return (await raw(service.origin, "/auth/envoy/x", { headers })).status;
  };
  assert.equal(await show("https://one.example"), 200);
  assert.equal(await show("https://two.example"), 401);
  write("https://two.example");
  service.child.kill("SIGHUP");
  await service.logged(/were read anew/);
  assert.equal(await show("https://two.example"), 200);
  assert.equal(await show("https://one.example"), 401);
});

test("a request whose host is none is refused as that, and no proof makes an error of the service", async (t) => {
  const provider = await startProvider(t);
  const prover = await makeProver();
  const bound = await provider.accessToken({ cnf: { jkt: prover.jkt } });
  const token = await provider.accessToken();
  const guard = { dpop: "accept" };
  const settings = { issuer: provider.issuer, audience: AUDIENCE, resource: AUDIENCE, guard };
  const { resource: _, ...nameless } = settings;
  const [service, named] = await Promise.all([
    gatepass.serve(t, ["--config", writeConfig("hosts.json", nameless)]),
    gatepass.serve(t, ["--config", writeConfig("named.json", settings)]),
  ]);
  const show = async ({ origin }, host, path, scheme, url = `http://${host}/x`) => {
    const headers = {
      ...{ host, "x-original-method": "GET", "x-original-uri": path },
      authorization: `${scheme} ${scheme === "DPoP" ? bound : token}`,
      ...(scheme === "DPoP" && { dpop: await prover.proof("GET", url, bound) }),
    };
    return (await raw(origin, "/auth/nginx", { headers })).status;
  };
  for (const host of [
    ...[
      "[",
      "a b",
      "a:99999",
      "a:0",
      "a:",
      "a:b",
      "\u00e9",
      "a/b",
      "user@h",
      "http://x",
      "a?b",
      "a#b",
    ],
  ]) {
    for (const scheme of ["DPoP", "Bearer"]) {
      assert.equal(await show(service, host, "/x", scheme), 400, `${host} ${scheme}`);
      // Where it is said who this API is, nobody looks at it.
      const own = await show(named, host, "/x", scheme, `${AUDIENCE}/x`);
      assert.equal(own, 200, `${host} ${scheme}`);
    }
  }
  for (const host of ["h", "h.example:8080", "my_api", "127.0.0.1", "[::1]:80"]) {
    assert.equal(await show(service, host, "/x", "DPoP"), 200, host);
    assert.equal(await show(service, host, "/x?\u00e9", "DPoP"), 200, host);
  }
  // As it may be where there is no authority (RFC 9112 section 3.2).
  const proof = await prover.proof("GET", "http://localhost/x", bound);
  const lines = ["GET /auth/envoy/x HTTP/1.1", "Host:", `Authorization: DPoP ${bound}`];
  const empty = [...lines, `DPoP: ${proof}`, "Connection: close", "", ""].join("\r\n");
  assert.deepEqual(statuses(await sendRaw(service.origin, empty)), ["200"]);
  const long = `/${"x".repeat(8 * 1024)}`;
  assert.deepEqual(
    [await show(service, "h", long, "DPoP"), await show(service, "h", long, "Bearer")],
    [400, 200],
  );
  assert.doesNotMatch(service.output() + named.output(), /config_invalid|"ERROR"/);
});

test("S4-32 SIGHUP forgets no proof of possession that was used", async (t) => {
  const provider = await startProvider(t);
  const prover = await makeProver();
  const token = await provider.accessToken({ cnf: { jkt: prover.jkt } });
  const file = join(gatepass.project, "proven.json");
  const publicOrigin = "https://one.example";
  const settings = { issuer: provider.issuer, audience: AUDIENCE, publicOrigin };
  writeFileSync(file, JSON.stringify({ ...settings, guard: { dpop: "require" } }));
  const service = await gatepass.serve(t, ["--config", file], {});
  const makeProof = () => prover.proof("GET", `${publicOrigin}/x`, token);
  const show = async (dpop) => {
    const headers = { authorization: `DPoP ${token}`, dpop };
    return (await raw(service.origin, "/auth/envoy/x", { headers })).status;
  };
  const proof = await makeProof();
  assert.deepEqual([await show(proof), await show(proof)], [200, 401]);
  service.child.kill("SIGHUP");
  await service.logged(/were read anew/);
  assert.equal(await show(proof), 401);
  assert.equal(await show(await makeProof()), 200);
});

const ROUTES = [
  { path: "/public/*", required: false },
  { path: "/admin/*", roles: "admin" },
  { path: "/api/*", methods: ["GET", "POST"], scopes: "read" },
  { path: "/api/*/files", methods: ["DELETE"], scopes: ["write"] },
];

test("S4-16 rules by path and method: the first that fits counts, and what fits none is refused", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("routes.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    mode: "jwt",
    routes: ROUTES,
  });
  const { origin } = await gatepass.serve(t, ["--config", config]);
  const token = await provider.accessToken({ scope: "read", roles: ["admin"] });
  const status = async (method, uri, bearer = token) => {
    const headers = { "x-forwarded-method": method, "x-forwarded-uri": uri };
    if (bearer) headers.authorization = `Bearer ${bearer}`;
    return (await raw(origin, "/auth/traefik", { headers })).status;
  };
  assert.equal(await status("GET", "/api/users"), 200);
  assert.equal(await status("GET", "/api/users?x=/../admin"), 200);
  assert.equal(await status("PUT", "/api/users"), 403, "no rule has this method");
  assert.equal(await status("DELETE", "/api/1/files"), 403, "a scope is missing");
  assert.equal(await status("DELETE", "/api/1/2/files"), 403, "no rule");
  assert.equal(await status("GET", "/api"), 403, "no rule");
  assert.equal(await status("GET", "/"), 403, "no rule");
  assert.equal(await status("GET", "/public/a", ""), 200);
  assert.equal(await status("GET", "/public/a", "nonsense"), 401, "bad credentials are none");
  assert.equal(await status("GET", "/api/users", ""), 401);
  // Paths that another server could read as a different one.
  for (const path of [
    "/public/../admin/x",
    "/public/..;/admin/x",
    "/public/..%3b/admin/x",
    "/public/%2e%2e/admin/x",
    "/public/%2E./admin/x",
    "/public/..%2fadmin/x",
    "/public/..\\admin",
    "/public/%5c..%5cadmin",
    "/public//admin",
    "/public/%252e%252e/admin",
    "/public/%25%32%65%25%32%65/admin",
    "/public/%252%65%252%65%252%66admin",
    "/public/%25u002e%25u002e/admin",
    "/;x/admin/x",
    "/public/;/admin/x",
    "/public/%3bx/admin",
    "/public;x/%3b",
    "/%61dmin/x",
    "/%41dmin/x",
    "/publi%63/x",
    "/public/%2d%5f%7E%30%39%5a",
    "/public/...",
    "/public/%20",
    "/public/%20../x",
    "/public/.%20;x/y",
    "/public/..%3fx",
    // Other names of a file or folder on NTFS.
    "/public/x::$DATA",
    "/public/x%3A%3a%24data",
    "/admin:$i30:$INDEX_ALLOCATION/x",
    "/public/x:$EA",
    "/public/x:$ea_information/",
    "/public/x:$DATA.",
    "/public/\u0007",
    "/public/%00",
    "/public/%e0%80",
    "public/a",
    "*",
  ]) {
    if (/[\u0000-\u001f]/.test(path)) continue; // Node's own client does not send these.
    assert.equal(await status("GET", path, ""), 400, path);
  }
  // Compared as it is decoded, which is said of characters that have to be encoded.
  assert.equal(await status("GET", "/public/%C3%BC%20%25%40%28", ""), 200);
  assert.equal(await status("GET", "/public/.a/b.c%20d;e=.", ""), 200);
  assert.equal(await status("GET", "/public/things:batchGet/$count/$x:y", ""), 200);
});

test("S4-16 a rule before a broader one holds however the server behind reads the path", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("readings.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    routes: [
      { path: "/login", required: false },
      { path: "/admin/*", roles: "admin" },
      { path: "/report", methods: ["GET"], scopes: "read" },
      { path: "/public/*.png", required: false },
      { path: "/public/*", scopes: "read" },
      { path: "/files/*.bak", roles: "admin" },
      { path: "/*", required: false },
    ],
  });
  const { origin } = await gatepass.serve(t, ["--config", config]);
  const bearer = async (claims) => `Bearer ${await provider.accessToken(claims)}`;
  const [plain, admin] = [await bearer({ scope: "read" }), await bearer({ roles: ["admin"] })];
  const status = async (method, uri, authorization) => {
    const headers = { "x-forwarded-method": method, "x-forwarded-uri": uri };
    if (authorization) headers.authorization = authorization;
    return (await raw(origin, "/auth/traefik", { headers })).status;
  };
  for (const path of [
    "/admin",
    "/admin/",
    "/Admin",
    "/ADMIN/x",
    "/adm%C4%B1n/x",
    "/admin;x/secret",
    "/admin;/secret",
    "/admin%3bx/secret",
    "/Admin;x",
    "/admin.",
    "/admin%20",
    "/admin./x",
    "/admin%20/x",
    "/Admin.%20.;x",
    "/admin;x./y",
    "/admin%20..",
    // Of what servers leave out each leaves out some, in an order of its own.
    "/files/a.bak.",
    "/files/C%23a.bak",
    "/files/C%23a.bak.",
    "/files/C%23a.bak%3Fx",
    "/files/a%3Fb.bak%20",
    "/files/a;b.bak",
    "/files/a;b.bak.",
    "/files/a.bak.;c",
    "/files;a%3Fb/x.bak%3Fy",
    "/files;a%3Fb/x.bak.%23y",
  ]) {
    assert.equal(await status("GET", path), 401, path);
    assert.equal(await status("GET", path, plain), 403, path);
    assert.equal(await status("GET", path, admin), 200, path);
  }
  for (const path of ["/report", "/report/", "/Report", "/REPORT/", "/report;v=1", "/Report/;x"]) {
    for (const method of ["GET", "HEAD"]) {
      assert.equal(await status(method, path), 401, `${method} ${path}`);
      assert.equal(await status(method, path, plain), 200, `${method} ${path}`);
    }
    assert.equal(await status("POST", path), 200, `POST ${path}`);
  }
  // Without its parameters it is another file.
  assert.equal(await status("GET", "/public/a.png"), 200);
  assert.equal(await status("GET", "/public/a;x.png"), 401);
  assert.equal(await status("GET", "/public/a.png."), 401, "no rule is about a name with this end");
  // What nobody protects needs nothing.
  for (const path of [
    "/",
    "/x",
    "/X/",
    "/x;v=1",
    "/login",
    "/login/",
    "/Login",
    "/administration",
    "/wiki/Inc.",
    "/wiki/A.%20B./C",
    "/files/a.bak.txt",
    "/files/a%3F.bak.txt;v=1",
    "/2015-03-31/functions/f:$LATEST/invocations",
    "/files/a:$DATABASE",
  ]) {
    assert.equal(await status("GET", path), 200, path);
  }
});

test("S4-16 the second path that a request names in Destination needs what the first one needs", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("destinations.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    routes: [
      { path: "/admin/*", roles: "admin" },
      { path: "/shelf/*", methods: ["COPY"], scopes: "read" },
      { path: "/*", methods: ["COPY", "MOVE", "PUT"], required: false },
    ],
  });
  const { origin } = await gatepass.serve(t, ["--config", config]);
  const bearer = async (claims) => `Bearer ${await provider.accessToken(claims)}`;
  const [plain, admin] = [await bearer({ scope: "read" }), await bearer({ roles: ["admin"] })];
  const status = async (method, destination, authorization) => {
    const headers = { "x-forwarded-method": method, "x-forwarded-uri": "/x", destination };
    if (authorization) headers.authorization = authorization;
    return (await raw(origin, "/auth/traefik", { headers })).status;
  };
  for (const path of ["/admin/x", "/ADMIN", "/admin;x", "/admin./x?y"]) {
    for (const place of ["", "http://a.example", "HTTPS://b.example:8443"]) {
      for (const method of ["MOVE", "PUT"]) {
        const about = `${method} ${place}${path}`;
        assert.equal(await status(method, place + path), 401, about);
        assert.equal(await status(method, place + path, plain), 403, about);
        assert.equal(await status(method, place + path, admin), 200, about);
      }
    }
  }
  assert.equal(await status("COPY", "/shelf/x"), 401);
  assert.equal(await status("COPY", "/shelf/x", plain), 200);
  assert.equal(await status("MOVE", "/shelf/x"), 200);
  // The method is the request's: no rule lets it through there.
  assert.equal(await status("DELETE", "/x"), 403);
  for (const unreadable of [
    ...["", "x", "/a/../admin/x", "/a//b", "/%61dmin/x", "/a::$DATA", "/a#b", "/a b"],
    ...["http://a.example", "http://a.example?/x", "ftp://a.example/x", "//a.example/x"],
    ...["http://a\\admin/x", "http:/x", ["/x", "/admin/x"]],
    ...[["/x?", "/admin/x"], ["http://a.example/x?y", "/admin/x"], "/x?, /admin/x"],
  ]) {
    assert.equal(await status("MOVE", unreadable, admin), 400, String(unreadable));
  }
  const question = { context: { method: "MOVE", uri: "/x", headers: {} } };
  const verdict = async (Destination) => {
    question.context.headers = { ...question.context.headers, Destination };
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify(question);
    const answer = await fetch(`${origin}/plugin/authenticate`, { method: "POST", headers, body });
    return (await answer.json()).error;
  };
  assert.equal(await verdict("/y"), undefined);
  assert.equal(await verdict("https://a.example/admin/y"), "credential_missing");
  assert.equal(await verdict("/y?, /admin/y"), "request_invalid");
  question.context.headers = { destination: "/y?" };
  assert.equal(await verdict("/admin/y"), "request_invalid");
});

test("S4-16 a rule asks for roles, one of several scopes, or permissions, and who lacks them is refused", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("needs.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    mode: "jwt",
    // RFC 9068 has roles and no permissions: where these stand is said.
    guard: { profile: { permissions: ["permissions"] } },
    routes: [
      { path: "/admin/*", roles: "admin" },
      { path: "/both/*", roles: ["admin", "owner"] },
      { path: "/one/*", anyRoles: ["admin", "owner"] },
      { path: "/docs/*", anyScopes: ["docs", "all"] },
      { path: "/books/*", permissions: ["read:books"] },
      { path: "/Docs/*", anyScopes: ["Docs"] },
    ],
  });
  const { origin } = await gatepass.serve(t, ["--config", config]);
  for (const [path, claims, status, code] of [
    ["/admin/x", { roles: ["user", "admin"] }, 200],
    ["/admin/x", { roles: ["user"] }, 403, "role_insufficient"],
    ["/admin/x", { scope: "admin" }, 403, "role_insufficient"],
    ["/both/x", { roles: ["owner", "admin"] }, 200],
    ["/both/x", { roles: ["admin"] }, 403, "role_insufficient"],
    ["/one/x", { roles: ["owner"] }, 200],
    ["/one/x", { roles: ["user"] }, 403, "role_insufficient"],
    ["/docs/x", { scope: "read all" }, 200],
    ["/docs/x", { scope: "read" }, 403, "scope_insufficient"],
    ["/books/x", { permissions: ["read:books", "x"] }, 200],
    ["/books/x", { permissions: ["write:books"] }, 403, "permission_insufficient"],
    // Some servers take it for what /docs/* is about too.
    ["/Docs/x", { scope: "Docs all" }, 200],
    ["/Docs/x", { scope: "Docs" }, 403, "predicate_refused"],
    ["/Docs/x", { scope: "docs" }, 403, "scope_insufficient"],
  ]) {
    const token = await provider.accessToken(claims);
    const authorization = `Bearer ${token}`;
    const headers = { "x-forwarded-method": "GET", "x-forwarded-uri": path, authorization };
    const about = `${path} ${JSON.stringify(claims)}`;
    assert.equal((await raw(origin, "/auth/traefik", { headers })).status, status, about);
    const said = await (await ask(origin, token, { uri: path })).json();
    assert.equal(said.error, code, about);
  }
});

test("S2-25 without a provider: a fixed token, or nothing at all", async (t) => {
  const file = join(gatepass.project, "tokens");
  writeFileSync(file, "first-token\nsecond-token\n");
  const fixed = await gatepass.serve(t, ["--mode", "static", "--token-file", file]);
  const verdict = async (token) => await (await ask(fixed.origin, token)).json();
  assert.equal((await verdict("first-token")).authenticated, true);
  assert.equal((await verdict("second-token")).authenticated, true);
  assert.equal((await verdict("third-token")).error, "token_inactive");
  assert.equal((await verdict("first-token,second-token")).error, "request_invalid");
  const missing = await raw(fixed.origin, "/auth/envoy/api", {});
  assert.deepEqual([missing.status, missing.headers["www-authenticate"]], [401, "Bearer"]);
  const open = await gatepass.serve(t, ["--mode", "none"]);
  assert.equal((await raw(open.origin, "/auth/envoy/api", {})).status, 200);
  await open.logged(/nothing is checked/);
});

test("each proxy asks at its own endpoint, and the headers of the others are not believed", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("forward.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    routes: [{ path: "/public", required: false }, { path: "/api" }],
  });
  const { origin } = await gatepass.serve(t, ["--config", config]);
  const token = await provider.accessToken({ sub: "ünï %" });
  const authorization = `Bearer ${token}`;
  const nginx = { "x-original-method": "GET", "x-original-uri": "/api" };
  const traefik = { "x-forwarded-method": "GET", "x-forwarded-uri": "/api" };
  for (const [path, headers] of [
    ["/auth/nginx", nginx],
    ["/auth/traefik", traefik],
    ["/auth/envoy/api", {}],
  ]) {
    const good = await raw(origin, path, {
      headers: { ...headers, authorization },
    });
    assert.equal(good.status, 200, path);
    assert.equal(good.headers["x-auth-subject"], "%C3%BCn%C3%AF %25");
    assert.equal(good.headers["x-auth-scopes"], "openid read");
    const without = await raw(origin, path, { headers });
    assert.equal(without.status, 401, path);
    assert.match(without.headers["www-authenticate"], /^Bearer/);
  }
  const spoofed = { "x-forwarded-method": "GET", "x-forwarded-uri": "/public" };
  assert.equal(
    (await raw(origin, "/auth/nginx", { headers: { ...nginx, ...spoofed } })).status,
    401,
  );
  assert.equal((await raw(origin, "/auth/nginx", { headers: spoofed })).status, 400);
  const twice = ["X-Original-URI", "/api", "X-Original-URI", "/public", "X-Original-Method", "GET"];
  const { status } = await raw(origin, "/auth/nginx", {
    headers: [...twice, "Host", "x"],
  });
  assert.equal(status, 400);
  assert.equal((await raw(origin, "/auth/other", {})).status, 404);
  // No rule is about a method that is written in another way, and some servers read it as if one were.
  for (const method of ["get", "Get", "delete", "GET,POST", "GET GET", "\u00e9", ""]) {
    for (const [path, headers] of [
      ["/auth/nginx", { ...nginx, "x-original-method": method }],
      ["/auth/traefik", { ...traefik, "x-forwarded-method": method }],
    ]) {
      const strange = await raw(origin, path, { headers: { ...headers, authorization } });
      assert.equal(strange.status, 400, `${path} ${method}`);
      assert.deepEqual(JSON.parse(strange.text), { error: "request_invalid", at: path });
    }
  }
});

test("what a proxy asks next is never read as the body that it announced and did not send", async (t) => {
  const { origin } = await gatepass.serve(t, ["--mode", "none", "--rate-limit", "1"]);
  const lines = ["GET /auth/nginx HTTP/1.1", "Host: h", "X-Original-Method: POST"];
  const ask = (more) => [...lines, "X-Original-URI: /x", ...more, "", ""].join("\r\n");
  const next = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n";
  const seen = new Set();
  for (let time = 0; time < 10; time++) {
    const announced = time % 2 === 0 ? "Content-Length: 20" : "Transfer-Encoding: chunked";
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    t.after(() => socket.destroy());
    let received = "";
    let hasEnded = false;
    socket.on("data", (data) => (received += data));
    socket.once("end", () => (hasEnded = true));
    socket.write(ask([announced]));
    await until("it is answered", () => received.includes("\r\n\r\n"));
    assert.match(received, /^connection: close\r$/im, announced);
    await until("it ends", () => hasEnded);
    const [status, ...others] = statuses(received);
    assert.deepEqual(others, [], announced);
    seen.add(status);
  }
  assert.deepEqual([...seen], ["200", "429"], "whoever asks too often is no exception");
  for (const none of [[], ["Content-Length: 0"]]) {
    const [first, second] = statuses(await sendRaw(origin, ask(none) + next));
    assert.ok(first === "200" || first === "429");
    assert.equal(second, "200");
  }
});

test("Envoy is told to remove what a client says of itself and the answer does not", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("clearing.json", {
    issuer: provider.issuer,
    audience: AUDIENCE,
    routes: [{ path: "/public", required: false }, { path: "/api" }],
  });
  const { origin } = await gatepass.serve(t, ["--config", config]);
  const removed = async (path, claims) => {
    const headers = claims && {
      authorization: `Bearer ${await provider.accessToken(claims)}`,
    };
    const answer = await raw(origin, path, { headers });
    const own = Object.keys(answer.headers).filter((name) => name.startsWith("x-auth-"));
    const named = answer.headers["x-envoy-auth-headers-to-remove"]?.split(",") ?? [];
    // What is both set and removed would be gone.
    assert.deepEqual(
      own.filter((name) => named.includes(name)),
      [],
    );
    return [answer.status, own.length + named.length, named];
  };
  const all = ["subject", "client", "issuer", "scopes", "roles"].map((name) => `x-auth-${name}`);
  assert.deepEqual(await removed("/auth/envoy/public"), [200, 5, all]);
  assert.deepEqual(await removed("/auth/envoy/api", {}), [200, 5, ["x-auth-roles"]]);
  assert.deepEqual(await removed("/auth/envoy/api", { roles: ["admin"] }), [200, 5, []]);
  assert.deepEqual(await removed("/auth/envoy/api"), [401, 0, []]);
  const headers = { "x-original-method": "GET", "x-original-uri": "/public" };
  const nginx = await raw(origin, "/auth/nginx", { headers });
  assert.deepEqual(
    [nginx.status, nginx.headers["x-envoy-auth-headers-to-remove"]],
    [200, undefined],
  );
});

test("subjects and roles arrive as they are, with the spaces at their ends, once they are decoded", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, [
    ...["--issuer", provider.issuer, "--audience", AUDIENCE],
  ]);
  for (const [sub, subject] of [
    ["admin", "admin"],
    [" admin", "%20admin"],
    ["admin  ", "admin%20%20"],
    ["two words", "two words"],
    [" ", "%20"],
    ["50%20", "50%2520"],
  ]) {
    const roles = ["ops admin", "50%", "\u00fc", " x "];
    const authorization = `Bearer ${await provider.accessToken({ sub, roles })}`;
    const { status, headers } = await raw(origin, "/auth/envoy/x", { headers: { authorization } });
    assert.deepEqual([status, headers["x-auth-subject"]], [200, subject]);
    assert.equal(decodeURIComponent(subject), sub);
    assert.equal(headers["x-auth-roles"], "ops%20admin 50%25 %C3%BC %20x%20");
    assert.deepEqual(headers["x-auth-roles"].split(" ").map(decodeURIComponent), roles);
  }
});

test("S4-28 two instances behind one balancer give the same answers", async (t) => {
  const provider = await startProvider(t);
  const both = await Promise.all(
    [1, 2].map(() => gatepass.serve(t, [], { env: sidecar(provider) })),
  );
  let turn = 0;
  const balancer = await listen(t, (request, response) => {
    const { hostname, port } = new URL(both[turn++ % 2].origin);
    const { method, headers, url: path } = request;
    const onward = httpRequest({ hostname, port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  const tokens = [provider.opaqueToken({ aud: undefined }), "nonsense"];
  for (const token of tokens) {
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await (await ask(balancer.origin, token)).text());
    assert.equal(new Set(answers).size, 1);
  }
  assert.equal(turn, 8);
});

test("S4-02 S4-19 S1-19 what UserInfo says is added where one wants it: asked after introspection, and once while the answer is kept", async (t) => {
  const asked = [];
  const provider = await startProvider(t, {
    answer: (url) => {
      const { pathname, origin } = new URL(url);
      if (pathname === "/introspect") {
        asked.push("introspect");
        return Response.json({
          active: true,
          iss: origin,
          sub: "alice",
          aud: AUDIENCE,
          scope: "openid read",
          exp: Math.floor(Date.now() / 1000) + 300,
        });
      }
      if (pathname !== "/me") return undefined;
      asked.push("userinfo");
      return Response.json({ sub: "alice", email: "alice@example.com" });
    },
  });
  const { origin } = await gatepass.serve(t, ["--userinfo", "--audience", AUDIENCE, "--metrics"], {
    env: sidecar(provider),
  });
  const { claims, ...first } = await (await ask(origin, "a-token")).json();
  assert.equal(first.authenticated, true);
  assert.equal(claims.email, "alice@example.com");
  assert.deepEqual(asked, ["introspect", "userinfo"]);
  const sent = provider.requests.filter(({ url }) => !url.includes("/.well-known/"));
  assertGolden("wire-userinfo", `${showRequests(sent).join("\n\n")}\n`);
  await ask(origin, "a-token");
  assert.deepEqual(asked, ["introspect", "userinfo"]);
  // Each step is timed by itself.
  const timed = await (await fetch(`${origin}/metrics`)).text();
  for (const purpose of ["introspection", "userinfo"]) {
    const line = `gatepass_provider_request_duration_seconds_count{purpose="${purpose}"} 1`;
    assert.ok(timed.split("\n").includes(line), purpose);
  }

  const without = await gatepass.serve(t, ["--audience", AUDIENCE], { env: sidecar(provider) });
  const plain = await (await ask(without.origin, "a-token")).json();
  assert.equal(plain.claims.email, undefined);
});

test("S4-04 S4-11 everything can be set by the environment, and a secret by the file that holds it", async (t) => {
  const provider = await startProvider(t);
  const secret = join(gatepass.project, "oauth-secret");
  writeFileSync(secret, `${SECRET}\n`);
  const { OAUTH_CLIENT_SECRET: _, ...rest } = sidecar(provider);
  const env = { ...rest, GATEPASS_LOG_LEVEL: "error", GATEPASS_METRICS: "1" };
  const { origin } = await gatepass.serve(t, [], {
    env: { ...env, OAUTH_CLIENT_SECRET_FILE: secret },
  });
  assert.equal(
    (await (await ask(origin, provider.opaqueToken({ aud: undefined }))).json()).authenticated,
    true,
  );
  assert.equal((await fetch(`${origin}/metrics`)).status, 200);
  // Without any secret nothing can be asked: signed tokens are checked by their signatures.
  const unnamed = await gatepass.serve(t, ["--audience", AUDIENCE], { env });
  const signed = await provider.accessToken();
  assert.equal((await (await ask(unnamed.origin, signed)).json()).authenticated, true);
});

test("S4-09 S4-11 without the secret, which is an option, it says that an audience or the secret is missing", async (t) => {
  const provider = await startProvider(t);
  const { AUTH_SERVER_URL, OAUTH_CLIENT_ID } = sidecar(provider);
  const check = (env) => gatepass.run(["serve", "--config-test"], { env });
  for (const env of [{ AUTH_SERVER_URL }, { AUTH_SERVER_URL, OAUTH_CLIENT_ID }]) {
    const { code, stderr } = await check(env);
    assert.equal(code, 2);
    assert.match(stderr, /^Error: audience \(--audience, GATEPASS_AUDIENCE\) is not set\.$/m);
    assert.match(
      stderr,
      /^Error: OAUTH_CLIENT_SECRET is not set either\. With it the provider is/m,
    );
    // Each of the two helps, by a variable alone.
    for (const more of [{ GATEPASS_AUDIENCE: AUDIENCE }, { OAUTH_CLIENT_SECRET: SECRET }]) {
      const good = await check({ ...env, ...more });
      assert.equal(good.code, 0, good.stderr);
    }
  }
  // Who chose signatures needs no secret.
  const chosen = await check({ AUTH_SERVER_URL, GATEPASS_MODE: "jwt" });
  assert.doesNotMatch(chosen.stderr, /OAUTH_CLIENT_SECRET/);
  const env = { AUTH_SERVER_URL, GATEPASS_AUDIENCE: AUDIENCE };
  const { origin } = await gatepass.serve(t, [], { env });
  const good = await (await ask(origin, await provider.accessToken())).json();
  assert.equal(good.authenticated, true);
});

test("S4-01 S4-09 with the plugin's variables alone a token for another audience is refused, which is said at the start", async (t) => {
  const provider = await startProvider(t);
  const env = sidecar(provider);
  const verdict = async (origin, aud) => {
    const { authenticated, error } = await (
      await ask(origin, provider.opaqueToken({ aud }))
    ).json();
    return error ?? authenticated;
  };
  const service = await gatepass.serve(t, [], { env });
  const { level, message } = await service.logged(/No audience is set/);
  assert.equal(level, "WARN");
  assert.match(message, /tokens that name none are accepted/);
  assert.match(
    message,
    /tokens that name another audience than the client id \(OAUTH_CLIENT_ID\) are refused: set GATEPASS_AUDIENCE$/,
  );
  assert.equal(await verdict(service.origin, undefined), true);
  assert.equal(await verdict(service.origin, "rs"), true);
  assert.equal(await verdict(service.origin, AUDIENCE), "audience_mismatch");
  const named = await gatepass.serve(t, [], { env: { ...env, GATEPASS_AUDIENCE: AUDIENCE } });
  assert.equal(await verdict(named.origin, AUDIENCE), true);
  assert.equal(await verdict(named.origin, "rs"), "audience_mismatch");
  assert.doesNotMatch(named.output(), /No audience is set/);
});

test("S4-13 S4-15 what Kubernetes sets beside a Service that is called gatepass is said to be no port", async (t) => {
  const env = sidecar(await startProvider(t));
  const linked = await gatepass.run(["serve", "--config-test"], {
    env: { ...env, GATEPASS_PORT: "tcp://10.0.0.1:80" },
  });
  assert.equal(linked.code, 2);
  assert.match(linked.stderr, /GATEPASS_PORT: port must be/);
});

test("S4-16 a rule whose path no request has is refused, because it would keep nobody out", async (t) => {
  const { issuer } = await startProvider(t);
  for (const path of [
    ...["/my%20files/*", "/caf%C3%A9", "/report?*", "/a#b", "//admin/*", "/a\\b"],
    ...["/a/./b", "/a/..", "/admin/**", "/admin.", "/admin /*", "/a::$DATA"],
    ...["/a:b:$data", "/a:$I30:$Index_Allocation/*"],
  ]) {
    const config = writeConfig("dead.json", { issuer, audience: AUDIENCE, routes: [{ path }] });
    const { code, stderr } = await gatepass.run(["serve", "--config-test", "--config", config]);
    assert.equal(code, 2, path);
    assert.match(stderr, /dead\.json:\d+:\d+: no request has this path: write it decoded/, path);
  }
  // A function of AWS Lambda by its version, and what is no type either.
  for (const path of ["/functions/f:$LATEST/*", "/a:$data_of", "/a:$DATABASE"]) {
    const config = writeConfig("alive.json", { issuer, audience: AUDIENCE, routes: [{ path }] });
    const { code, stderr } = await gatepass.run(["serve", "--config-test", "--config", config]);
    assert.equal(code, 0, stderr);
  }
});

test("S4-14 a port in use is told and ends it, also where answers are shared", async (t) => {
  const { issuer } = await startProvider(t);
  const taken = await listen(t, (_, response) => response.end());
  const { code, stderr } = await gatepass.run(
    ["serve", "--issuer", issuer, "--audience", AUDIENCE, "--port", new URL(taken.origin).port],
    { env: { GATEPASS_REDIS: "redis://127.0.0.1:1" } },
  );
  assert.equal(code, 1);
  assert.match(stderr, /Cannot listen on/);
});

test("a reader of the log that goes away does not end the service", async (t) => {
  const provider = await startProvider(t);
  const { origin, child } = await gatepass.serve(t, [], { env: sidecar(provider) });
  child.stdout.destroy();
  for (let at = 0; at < 5; at++) {
    const { status } = await fetch(`${origin}/plugin/authenticate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ context: { method: "GET", uri: "/" } }),
    });
    assert.equal(status, 200);
  }
  assert.equal(child.exitCode, null);
});

test("who breaks off in the middle of a question is no error of the service", async (t) => {
  const provider = await startProvider(t);
  const { origin, child } = await gatepass.serve(t, ["--metrics"], { env: sidecar(provider) });
  let log = "";
  child.stdout.on("data", (data) => (log += data));
  const socket = connect(Number(new URL(origin).port), "127.0.0.1");
  const head =
    "POST /plugin/authenticate HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
  await new Promise((resolve) =>
    socket.write(`${head}Content-Length: 100\r\n\r\n{"context"`, resolve),
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const metrics = await (await fetch(`${origin}/metrics`)).text();
  assert.doesNotMatch(metrics, /internal_error/u);
  assert.doesNotMatch(log, /failed inside/u);
});

test("S4-08 S4-20 one request that waits for the provider holds no other one up", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const provider = await startProvider(t, {
    before: (url) => (url.endsWith("/introspect") && isHeld ? held : undefined),
  });
  let isHeld = false;
  const { origin } = await gatepass.serve(t, [], { env: sidecar(provider) });
  const known = provider.opaqueToken({ aud: undefined });
  assert.equal((await ask(origin, known)).status, 200);
  isHeld = true;
  const waiting = ask(origin, provider.opaqueToken({ aud: undefined }));
  assert.equal((await fetch(`${origin}/health`)).status, 200);
  assert.equal((await (await ask(origin, known)).json()).authenticated, true);
  release();
  isHeld = false;
  assert.equal((await (await waiting).json()).authenticated, true);
});

test("S4-33 a provider is spoken to over https only, or on this machine itself", async () => {
  const { code, stderr } = await gatepass.run(["serve"], {
    env: { AUTH_SERVER_URL: "http://auth.example.com", OAUTH_CLIENT_SECRET: "x" },
  });
  assert.equal(code, 2);
  assert.match(stderr, /^Error: AUTH_SERVER_URL: issuer: url_insecure: /);
});

test("S4-36 a token ends when the provider says so, also while its answer is kept", async (t) => {
  const provider = await startProvider(t);
  const config = writeConfig("strict.json", { guard: { clockTolerance: 0 } });
  const { origin } = await gatepass.serve(t, ["--config", config, "--cache-ttl", "300"], {
    env: sidecar(provider),
  });
  const verdict = async (token) => (await (await ask(origin, token)).json()).error ?? "accepted";
  const now = () => Math.floor(Date.now() / 1000);
  const over = provider.opaqueToken({ aud: undefined, exp: now() - 1 });
  assert.equal(await verdict(over), "token_expired");
  const exp = now() + 3;
  const token = provider.opaqueToken({ aud: undefined, exp });
  // On a machine that stands still for so long it is over at once.
  if ((await verdict(token)) !== "accepted") assert.ok(now() >= exp);
  while (now() <= exp) await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(await verdict(token), "token_expired");
});

test("S4-41 keys are counted when they are fetched, and a token that comes again is a hit", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, ["--audience", AUDIENCE, "--metrics"], {
    env: { GATEPASS_ISSUER: provider.issuer },
  });
  const token = await provider.accessToken();
  for (const one of [token, token, await provider.accessToken()]) {
    assert.equal((await (await ask(origin, one)).json()).authenticated, true);
  }
  const lines = (await (await fetch(`${origin}/metrics`)).text()).split("\n");
  for (const line of [
    'gatepass_provider_request_duration_seconds_count{purpose="keys"} 1',
    'gatepass_requests_total{outcome="accepted"} 3',
    "gatepass_cache_hits_total 1",
    "gatepass_cache_misses_total 2",
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test("S4-23 S4-26 S4-24 S4-25 the metrics tell the provider's time from one's own, and the memory that is used", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await gatepass.serve(t, ["--metrics"], { env: sidecar(provider) });
  for (let at = 0; at < 5; at++) await ask(origin, provider.opaqueToken({ aud: undefined }));
  const text = await (await fetch(`${origin}/metrics`)).text();
  const families = Object.fromEntries(parsePrometheus(text).map((one) => [one.name, one]));
  // What npm run bench:serve computes its figures from; figures themselves are no test. It prints them in
  // these rows.
  const bench = readFileSync(new URL("../../tools/bench-serve.mjs", import.meta.url), "utf8");
  for (const row of [
    "the same, provider takes 0 ms", // S4-23
    "uncached, provider takes 1 ms", // S4-24
    "resident with 10,000 cached tokens", // S4-25
    'row("cached"', // S4-24, S4-26
    "from start to listening", // S4-14
  ]) {
    assert.ok(bench.includes(row), row);
  }
  const [decisions] = families["gatepass_decision_duration_seconds"].metrics;
  assert.equal(decisions.count, "5");
  const asked =
    /^gatepass_provider_request_duration_seconds_(count|sum){purpose="introspection"} (.+)$/gm;
  const { count, sum } = Object.fromEntries(
    [...text.matchAll(asked)].map(([, name, number]) => [name, Number(number)]),
  );
  assert.equal(count, 5);
  const [waited, whole] = [sum, Number(decisions.sum)];
  assert.ok(waited > 0 && waited <= whole, `${waited} of ${whole} s`);
  const [{ value }] = families["process_resident_memory_bytes"].metrics;
  assert.ok(Number(value) > 10_000_000, value);
});
