// The installed package's receiver of logout tokens, in Node and in real workerd.

import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startWorker } from "../support/edge.mjs";
import { importInstalled, installPackage, testFile } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { EXPECTED_LOGOUT, logoutRequest, logoutScenario, logoutToken } from "./logout-scenario.mjs";

const WORKER = `
  import * as backend from "gatepass/backend";
  import { logoutScenario } from "./logout-scenario.mjs";
  import { makeProvider } from "./provider.mjs";

  export default {
    fetch: async () => Response.json(await logoutScenario(backend, makeProvider)),
  };
`;

let backend;
let miniflare;
let project;
before(async () => {
  ({ project } = installPackage("logout"));
  copyFileSync(testFile("package/logout-scenario.mjs"), join(project, "logout-scenario.mjs"));
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
  writeFileSync(join(project, "worker.mjs"), WORKER);
  backend = await importInstalled(project, "gatepass/backend");
  miniflare = await startWorker(project, "worker.mjs");
});
after(() => miniflare?.dispose());

const failure = (promise) =>
  promise.then(
    () => assert.fail("it was accepted"),
    (error) => error,
  );

async function makeReceiver(more = {}) {
  const provider = await makeProvider();
  const { issuer, clientId, fetch } = provider;
  const receiver = await backend.createLogoutReceiver({ issuer, clientId, fetch, ...more });
  return { provider, receiver };
}

test("lgo_01 lgo_07 lgo_08 lgo_13 a provider's word ends sessions in Node", async () => {
  assert.deepEqual(await logoutScenario(backend, makeProvider), EXPECTED_LOGOUT);
});

test("lgo_01 lgo_07 lgo_08 lgo_13 a provider's word ends sessions in workerd", async () => {
  const response = await miniflare.dispatchFetch("https://worker/");
  assert.deepEqual(await response.json(), EXPECTED_LOGOUT);
});

test("each rule refuses with its own code, and the answer says nothing of it", async () => {
  const { provider, receiver } = await makeReceiver();
  const now = Math.floor(Date.now() / 1000);
  for (const [claims, header, code, at] of [
    [{ iss: "https://other.example" }, {}, "issuer_mismatch"],
    [{ aud: ["spa", "other"] }, {}, "audience_mismatch"],
    [{ exp: now - 600 }, {}, "token_expired"],
    [{ iat: now - 3600 }, {}, "token_too_old"],
    [{ iat: undefined }, {}, "claim_missing", "iat"],
    [{ events: undefined }, {}, "claim_missing", "events"],
    [{ events: [] }, {}, "claim_invalid", "events"],
    [{ nonce: "n" }, {}, "claim_invalid", "nonce"],
    [{ sub: undefined, sid: undefined }, {}, "claim_missing", "sub"],
    [{ jti: "" }, {}, "claim_invalid", "jti"],
    [{}, { typ: "at+jwt" }, "typ_mismatch"],
    [{}, { alg: "none" }, "alg_not_allowed"],
    [{}, { alg: "HS256" }, "alg_not_allowed"],
    [{}, { kid: "unknown" }, "key_not_found"],
  ]) {
    const token = await logoutToken(provider, claims, header);
    const { refusal, response, logout } = await receiver.check(logoutRequest(token));
    assert.equal(logout, undefined);
    assert.equal(refusal.code, code);
    if (at) assert.equal(refusal.at, at);
    assert.equal(refusal.phase, "sign_out");
    assert.ok(refusal instanceof backend.GatepassError);
    assert.equal(response.status, 400);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(await response.text(), '{"error":"invalid_request"}');
    const error = await failure(receiver.checkLogoutToken(token));
    assert.equal(error.code, code);
    assert.ok(!`${error.stack} ${JSON.stringify(error)}`.includes(token));
  }
  receiver.dispose();
});

test("lgo_11 a request is a POST with one token in a form of some length", async () => {
  const { provider, receiver } = await makeReceiver();
  const token = await logoutToken(provider);
  const form = "application/x-www-form-urlencoded";
  const post = (body, type = form) =>
    logoutRequest(token, { body, headers: { "content-type": type } });
  for (const [request, status, at] of [
    [new Request("https://app.example/"), 405, "method"],
    [post(JSON.stringify({ logout_token: token }), "application/json"), 400, "content-type"],
    [post("x=y"), 400, "logout_token"],
    [post(`logout_token=${token}&logout_token=${token}`), 400, "logout_token"],
    [post(`logout_token=${"x".repeat(70_000)}`), 400, "body"],
  ]) {
    const { refusal, response } = await receiver.check(request);
    assert.deepEqual([refusal.code, refusal.at], ["logout_request_invalid", at]);
    assert.equal(response.status, status);
  }
  // A body that was read is none any more.
  const read = logoutRequest(token);
  await read.text();
  assert.equal((await receiver.check(read)).response.status, 400);
  // None of these used the token up.
  assert.ok("logout" in (await receiver.check(logoutRequest(token))));
  receiver.dispose();
});

test("what a parser of forms made of somebody's form is no token, and ends nobody's session", async () => {
  const { provider, receiver } = await makeReceiver();
  const { issuer, clientId, redirectUri, fetch } = provider;
  const events = [];
  const onEvent = ({ type }) => events.push(type);
  const user = await backend.createClient({ issuer, clientId, redirectUri, fetch, onEvent });
  await user.handleCallback(provider.signInAt(await user.signInUrl()));
  for (const given of [{ a: "b" }, ["a", "b"], undefined, null, 5, true, { length: 9 }]) {
    const error = await failure(receiver.checkLogoutToken(given));
    assert.equal(error.code, "token_malformed");
    const request = { method: given, headers: { get: () => given } };
    assert.equal((await receiver.check(request)).refusal.code, "logout_request_invalid");
    assert.equal(user.state().signedIn, true);
  }
  assert.equal((await receiver.checkLogoutToken(await logoutToken(provider))).sid, "s-1");
  assert.ok(!events.includes("session_discarded"));
  receiver.dispose();
  user.dispose();
});

test("what was used is remembered by the store that receivers share", async () => {
  const known = new Map();
  const replayStore = {
    remember(key, seconds) {
      if (known.has(key)) return false;
      known.set(key, seconds);
      return true;
    },
  };
  const { provider, receiver } = await makeReceiver({ replayStore });
  const { issuer, clientId, fetch } = provider;
  const other = await backend.createLogoutReceiver({ issuer, clientId, fetch, replayStore });
  const token = await logoutToken(provider);
  assert.equal((await receiver.checkLogoutToken(token)).sid, "s-1");
  assert.equal((await failure(other.checkLogoutToken(token))).code, "logout_token_replayed");
  const [[key, seconds]] = known;
  assert.match(key, /^[\w-]{22}$/);
  assert.ok(seconds > 100 && seconds <= 151, String(seconds));

  const down = await makeReceiver({ replayStore: { remember: () => Promise.reject(new Error()) } });
  const refused = await failure(down.receiver.checkLogoutToken(await logoutToken(down.provider)));
  assert.equal(refused.code, "replay_store_unavailable");
  for (const one of [receiver, other, down.receiver]) one.dispose();
});

test("what ending sessions throws is told, and the provider hears that it failed", async () => {
  const events = [];
  const { provider, receiver } = await makeReceiver({ onEvent: (event) => events.push(event) });
  const cause = new Error("down");
  const response = await receiver.receive(logoutRequest(await logoutToken(provider)), async () => {
    throw cause;
  });
  assert.deepEqual([response.status, await response.text()], [400, '{"error":"logout_failed"}']);
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.deepEqual(events.at(-1), { type: "ending_failed", cause });
  assert.ok(events.some(({ type, purpose }) => type === "request" && purpose === "keys"));
  receiver.dispose();
});

test("a listener that throws does not keep the provider from its answer", async () => {
  const onEvent = ({ type }) => {
    if (type === "ending_failed") throw new Error("the log is down");
  };
  const { provider, receiver } = await makeReceiver({ onEvent });
  const response = await receiver.receive(logoutRequest(await logoutToken(provider)), () => {
    throw new Error("down");
  });
  assert.deepEqual([response.status, await response.text()], [400, '{"error":"logout_failed"}']);
  receiver.dispose();
});

test("options are read strictly, and a receiver that is disposed of says so", async () => {
  for (const [more, at] of [
    [{ clientid: "x" }, "clientid"],
    [{ algorithms: "HS256" }, "algorithms"],
    [{ algorithms: ["none"] }, "algorithms"],
    [{ maxTokenAge: 0 }, "maxTokenAge"],
    [{ replayStore: {} }, "replayStore"],
  ]) {
    const error = await failure(makeReceiver(more));
    assert.deepEqual([error.code, error.at], ["config_invalid", at]);
  }
  const { receiver } = await makeReceiver();
  receiver.dispose();
  receiver.dispose();
  const error = await failure(receiver.checkLogoutToken("a.b.c"));
  assert.deepEqual([error.code, error.at], ["flow_misused", "dispose"]);
});

test("the example ends the sessions that the provider names", async (t) => {
  const provider = await makeProvider();
  copyFileSync(testFile("../examples/backchannel/worker.mjs"), join(project, "example.mjs"));
  const worker = await startWorker(project, "example.mjs", {
    kvNamespaces: ["SESSIONS"],
    bindings: { ISSUER: provider.issuer, CLIENT_ID: provider.clientId },
    outboundService: async (request) => {
      const answer = await provider.fetch(request.url);
      return new (await import("miniflare")).Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  const sessions = await worker.getKVNamespace("SESSIONS");
  for (const name of ["alice:s-1", "alice:s-2", "bob:s-1"]) await sessions.put(name, "{}");
  const tell = async (claims) => {
    const token = await logoutToken(provider, claims);
    const body = new URLSearchParams({ logout_token: token }).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const init = { method: "POST", body, headers };
    return (await worker.dispatchFetch("https://app.example/backchannel", init)).status;
  };
  const left = async () => (await sessions.list()).keys.map(({ name }) => name);
  assert.equal(await tell({ aud: "other" }), 400);
  assert.deepEqual(await left(), ["alice:s-1", "alice:s-2", "bob:s-1"]);
  assert.equal(await tell({ sid: "s-2" }), 200);
  assert.deepEqual(await left(), ["alice:s-1", "bob:s-1"]);
  // A session alone is enough to name it.
  assert.equal(await tell({ sub: undefined, sid: "s-1" }), 200);
  assert.deepEqual(await left(), []);
});
