// Tokens that are bound to a key or a certificate, with the installed package in Node.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { installPackage, testFile } from "../support/installed.mjs";

let project;
before(() => {
  ({ project } = installPackage("possession"));
  for (const name of ["provider", "prover"]) {
    copyFileSync(testFile(`support/${name}.mjs`), join(project, `${name}.mjs`));
  }
});

/** Runs a program that has a provider, a prover, a guard with these options and a bound token. */
function run(options, source) {
  const file = join(project, "main.mjs");
  const text = `
    import { createGuard } from "gatepass/guard";
    import { makeProvider } from "./provider.mjs";
    import { makeProver } from "./prover.mjs";
    const provider = await makeProvider();
    const prover = await makeProver();
    const { issuer, audience, fetch } = provider;
    const make = (more) => createGuard({ issuer, audience, fetch, ...more });
    const guard = await make({ dpop: "accept", ...(${options}) });
    const url = "https://api.example/items?page=2";
    const token = await provider.accessToken({ cnf: { jkt: prover.jkt } });
    const request = (token, dpop, more = {}) => new Request(more.url ?? url, {
      method: more.method ?? "GET",
      headers: { authorization: (more.scheme ?? "DPoP") + " " + token, ...(dpop && { dpop }), ...more.headers },
    });
    const proof = (claims, header) => prover.proof("GET", "https://api.example/items", token, claims, header);
    const outcome = (checked) => checked.principal ? checked.principal.subject : checked.refusal.code;
    const result = await (async () => { ${source} })();
    console.log(JSON.stringify(result));
  `;
  writeFileSync(file, text);
  return JSON.parse(execFileSync(process.execPath, [file], { encoding: "utf8", timeout: 60_000 }));
}

test("dpp_01 dpp_02 a bound token needs DPoP, an unbound one must not have it", () => {
  const result = run(
    "{}",
    `
    const good = await guard.check(request(token, await proof()));
    const bearer = await guard.check(request(token, await proof(), { scheme: "Bearer" }));
    const unbound = await provider.accessToken();
    const dpop = await guard.check(request(unbound, await prover.proof("GET", url, unbound)));
    const plain = await guard.check(request(unbound, undefined, { scheme: "Bearer" }));
    const bare = await guard.check(new Request(url));
    return [good, bearer, dpop, plain].map(outcome).concat(
      good.checks.slice(-3),
      bearer.response.headers.get("www-authenticate").replace(/algs=".*"/, "algs"),
      bare.response.headers.get("www-authenticate").replace(/algs=".*"/, "algs"),
    );`,
  );
  assert.deepEqual(result, [
    "alice",
    "binding_mismatch",
    "binding_mismatch",
    "alice",
    "cnf.jkt",
    "dpop",
    "dpop jti",
    'Bearer error="invalid_token", error_description="The access token is not valid for this request", DPoP algs',
    "Bearer, DPoP algs",
  ]);
});

test("dpp_04 two DPoP headers are refused", () => {
  const result = run(
    "{}",
    `
    const twice = request(token, await proof());
    twice.headers.append("dpop", await proof());
    const checked = await guard.check(twice);
    return [checked.refusal.code, checked.refusal.at, checked.response.status];`,
  );
  assert.deepEqual(result, ["dpop_invalid", "DPoP", 401]);
});

test("dpp_10 a point off its curve is refused by the host, and that is the proof's fault", () => {
  const result = run(
    "{}",
    `
    const jwk = { ...prover.jwk, y: prover.jwk.x };
    const text = JSON.stringify(jwk);
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    const jkt = Buffer.from(hash).toString("base64url");
    const token = await provider.accessToken({ cnf: { jkt } });
    const forged = await prover.proof("GET", "https://api.example/items", token, {}, { jwk });
    const checked = await guard.check(request(token, forged));
    return [checked.refusal.code, checked.refusal.at, checked.response.status, guard.tally().dpop_invalid];`,
  );
  assert.deepEqual(result, ["dpop_invalid", "jwk", 401, 1]);
});

test("dpp_15 headers of proxies are not looked at; the public origin is", () => {
  const result = run(
    "{}",
    `
    const forwarded = {
      "x-forwarded-host": "api.example", "x-forwarded-proto": "https", forwarded: "host=api.example;proto=https",
    };
    const inner = { url: "http://10.0.0.7/items", headers: forwarded };
    const misled = await guard.check(request(token, await proof(), inner));
    const told = await make({ dpop: "accept", publicOrigin: "https://api.example" });
    const right = await told.check(request(token, await proof(), inner));
    return [misled.refusal.code, misled.refusal.at, outcome(right)];`,
  );
  assert.deepEqual(result, ["dpop_invalid", "htu", "alice"]);
});

test("dpp_18 a proof is good once", () => {
  const result = run(
    "{}",
    `
    const once = await proof();
    const both = await Promise.all([1, 2].map(() => guard.check(request(token, once))));
    return both.map(outcome).sort();`,
  );
  assert.deepEqual(result, ["alice", "dpop_replayed"]);
});

test("dpp_20 guards that share a store share what was used", () => {
  const result = run(
    "{}",
    `
    const seen = new Map();
    const replayStore = {
      async remember(key, seconds) { const known = seen.has(key); seen.set(key, seconds); return !known; },
    };
    const guards = await Promise.all([1, 2].map(() => make({ dpop: "require", replayStore })));
    const once = await proof();
    const outcomes = [];
    for (const guard of guards) outcomes.push(outcome(await guard.check(request(token, once))));
    const [[key, seconds]] = seen;
    return [outcomes, key.length, seconds > 85 && seconds <= 90, once.includes(key)];`,
  );
  assert.deepEqual(result, [["alice", "dpop_replayed"], 22, true, false]);
});

test("dpp_20 a store that fails refuses, whatever it does", () => {
  const result = run(
    "{}",
    `
    const outcomes = [];
    const stores = [
      () => { throw new Error("down"); }, () => Promise.reject(new Error("down")), () => undefined,
      () => "OK", () => 1, () => null, async () => "true",
    ];
    for (const remember of stores) {
      const guard = await make({ dpop: "accept", replayStore: { remember } });
      const { refusal, response } = await guard.check(request(token, await proof()));
      outcomes.push(refusal.code + " " + response.status);
    }
    const wrong = await make({ replayStore: {} }).catch((error) => error.code + " " + error.at);
    return [[...new Set(outcomes)], wrong];`,
  );
  assert.deepEqual(result, [["replay_store_unavailable 503"], "config_invalid replayStore"]);
});

test("dpp_25 a client without a nonce gets one, and the next one with its response", () => {
  const result = run(
    "{ dpopNonce: true }",
    `
    const now = Date.now();
    const window = 120_000;
    // The middle of a window, so that a slow machine does not leave it.
    const start = now - (now % window) + window / 2;
    Date.now = () => start;
    const token = await provider.accessToken({
      cnf: { jkt: prover.jkt }, exp: Math.floor(start / 1000) + 3600,
    });
    const proof = (claims) => prover.proof("GET", "https://api.example/items", token, claims);
    const handler = guard.protect((request, principal) => new Response(principal.subject, { status: 201 }));
    const first = await handler(request(token, await proof()));
    const nonce = first.headers.get("dpop-nonce");
    const second = await handler(request(token, await proof({ nonce })));
    Date.now = () => start + window;
    const third = await handler(request(token, await proof({ nonce })));
    const next = third.headers.get("dpop-nonce");
    Date.now = () => start + 2 * window;
    const fourth = await handler(request(token, await proof({ nonce })));
    const fifth = await handler(request(token, await proof({ nonce: next })));
    return [
      first.status, first.headers.get("www-authenticate").split(",")[0],
      second.status, second.headers.get("dpop-nonce"),
      third.status, next !== nonce, await third.text(),
      fourth.status, fifth.status,
    ];`,
  );
  assert.deepEqual(result, [
    401,
    'DPoP error="use_dpop_nonce"',
    201,
    null,
    201,
    true,
    "alice",
    401,
    201,
  ]);
});

test("dpp_25 a nonce is for one client, and a page can read it where the option says so", () => {
  const result = run(
    "{ dpopNonce: true, exposeHeaders: true }",
    `
    const now = Date.now();
    const window = 120_000;
    const start = now - (now % window) + window / 2;
    Date.now = () => start;
    const token = await provider.accessToken({
      cnf: { jkt: prover.jkt }, exp: Math.floor(start / 1000) + 3600,
    });
    const proof = (claims) => prover.proof("GET", "https://api.example/items", token, claims);
    const same = new Response("same");
    const handler = guard.protect(() => same);
    const { refusal } = await guard.check(request(token, await proof()));
    const nonce = refusal.dpopNonce;
    const current = await guard.check(request(token, await proof({ nonce })));
    Date.now = () => start + window;
    const old = await guard.check(request(token, await proof({ nonce })));
    const told = await handler(request(token, await proof({ nonce })));
    const next = told.headers.get("dpop-nonce");
    const untold = await handler(request(token, await proof({ nonce: next })));
    return [
      outcome(current), current.exposeHeaders ?? null,
      outcome(old), old.exposeHeaders, old.dpopNonce === next, Object.isFrozen(old),
      told.headers.get("access-control-expose-headers"),
      untold.headers.get("dpop-nonce"),
    ];`,
  );
  const exposed = "WWW-Authenticate, DPoP-Nonce";
  assert.deepEqual(result, ["alice", null, "alice", exposed, true, true, exposed, null]);
});

test("dpp_25 guards of one secret know each other's nonces, guards of their own keys do not", () => {
  const result = run(
    "{ dpopNonce: true }",
    `
    const ask = async (guard, nonce) => {
      const checked = await guard.check(request(token, await proof(nonce && { nonce })));
      return checked.principal ? "accepted" : checked.refusal.dpopNonce;
    };
    const dpopNonce = "a secret that all servers share, long enough";
    const [a, b] = await Promise.all([1, 2].map(() => make({ dpop: "accept", dpopNonce })));
    const own = await ask(guard);
    const shared = await ask(a);
    return [await ask(b, shared), await ask(guard, own), (await ask(guard, shared)) === own];`,
  );
  assert.deepEqual(result, ["accepted", "accepted", true]);
});

test("dpp_36 a certificate that is missing, different or not verified is refused", () => {
  const result = run(
    "{}",
    `
    const hex = "ab".repeat(32);
    const hash = Buffer.from(hex, "hex").toString("base64url");
    const bound = await provider.accessToken({ cnf: { "x5t#S256": hash } });
    const ask = request(bound, undefined, { scheme: "Bearer" });
    // As README shows it for Cloudflare.
    const connectionOf = ({ certVerified, certRevoked, certFingerprintSHA256 }) =>
      ({ certificateSha256: certVerified === "SUCCESS" && certRevoked !== "1" ? certFingerprintSHA256 : "" });
    const check = async (tls) => outcome(await guard.check(ask, {}, tls && connectionOf(tls)));
    const handler = guard.protect((request, principal) => new Response(principal.subject), {}, () => ({ certificateSha256: hash }));
    return [
      await check({ certVerified: "SUCCESS", certFingerprintSHA256: hex }),
      await check(undefined),
      await check({ certVerified: "NONE", certFingerprintSHA256: "" }),
      await check({ certVerified: "SUCCESS", certFingerprintSHA256: "cd".repeat(32) }),
      await check({ certVerified: "FAILED:self signed certificate", certFingerprintSHA256: hex }),
      outcome(await guard.check(ask, {}, { certificateSha256: 7 })),
      await (await handler(ask)).text(),
    ];`,
  );
  const mismatch = "binding_mismatch";
  assert.deepEqual(result, [
    "alice",
    mismatch,
    mismatch,
    mismatch,
    mismatch,
    "config_invalid",
    "alice",
  ]);
});

test("dpp_37 a certificate in a header is nobody's", () => {
  const result = run(
    "{}",
    `
    const hex = "ab".repeat(32);
    const hash = Buffer.from(hex, "hex").toString("base64url");
    const bound = await provider.accessToken({ cnf: { "x5t#S256": hash } });
    const headers = {
      "client-cert": ":" + hash + ":", "x-client-cert": hash, "x-ssl-client-fingerprint": hex,
      "x-forwarded-client-cert": "Hash=" + hex, "cf-client-cert-sha256": hex, certificatesha256: hex,
    };
    return outcome(await guard.check(request(bound, undefined, { scheme: "Bearer", headers })));`,
  );
  assert.equal(result, "binding_mismatch");
});
