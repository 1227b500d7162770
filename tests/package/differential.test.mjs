// WebAssembly and its translation to JavaScript side by side: the same inputs, the same bytes of
// randomness and the same time give the same outcome, to the last character.

import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { importInstalled, installPackage, useTranslation } from "../support/installed.mjs";
import { makeProver } from "../support/prover.mjs";
import { makeProvider } from "../support/provider.mjs";

/** Changed, and the same failures come again. */
const SEED = 20_261_121;
const NOW = 1_795_000_000_000;

const wasm = {};
const js = {};
before(async () => {
  const { project } = installPackage("differential");
  const packages = join(project, "node_modules");
  // A package of its own: engines of one package are shared.
  cpSync(join(packages, "gatepass"), join(packages, "translated"), { recursive: true });
  useTranslation(join(packages, "translated"));
  for (const [name, entries] of [
    ["gatepass", wasm],
    ["translated", js],
  ]) {
    Object.assign(entries, await importInstalled(project, name));
    const guarding = await importInstalled(project, `${name}/guard`);
    entries.createGuard = guarding.createGuard;
    entries.guardEngine = guarding.engine;
  }
});

/** Numbers that look random and are the same in every run (mulberry32). */
function makeRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound) => Math.floor(next() * bound);
  const pick = (list) => list[below(list.length)];
  return { next, below, pick, chance: (share) => next() < share };
}

/** Runs with a clock that stands and with randomness that begins anew. */
async function inLaboratory(seed, work) {
  const { getRandomValues } = crypto;
  const { now } = Date;
  const random = makeRandom(seed);
  // What Rust hands over is filled in place.
  crypto.getRandomValues = (bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
    return bytes;
  };
  Date.now = () => NOW;
  try {
    return await work();
  } finally {
    crypto.getRandomValues = getRandomValues;
    Date.now = now;
  }
}

/** What came of it, as text. */
async function outcome(seed, work) {
  const value = await inLaboratory(seed, async () => {
    try {
      return (await work()) ?? null;
    } catch (error) {
      const { name, code, phase, at, hint, retryable, details, message } = error;
      return { thrown: { name, code, phase, at, hint, retryable, details, message } };
    }
  });
  return JSON.stringify(value);
}

/** Compares both engines for one input; a difference is kept with what made it. */
function makeComparison() {
  const seen = new Set();
  const differences = [];
  let count = 0;
  return {
    async same(input, work) {
      count++;
      const one = await outcome(count, () => work(wasm));
      const other = await outcome(count, () => work(js));
      seen.add(
        one.match(/"(?:code|at)":"[^"]*"/g)?.join() ?? one.replace(/\d+/g, "0").slice(0, 60),
      );
      if (one !== other && differences.length < 5) differences.push([input, one, other]);
    },
    /** @param {number} wanted how many inputs, @param {number} kinds how many outcomes at least */
    done(t, wanted, kinds) {
      t.diagnostic(`compared ${count}, ${seen.size} kinds of outcome, seed ${SEED}`);
      assert.deepEqual(differences, []);
      assert.equal(count, wanted);
      // Else the inputs all died at the same gate and nothing behind it was compared.
      assert.ok(seen.size >= kinds, `${seen.size} kinds of outcome`);
    },
  };
}

const ODD = [..."abcXYZ019-_.~ %+&=?#/:@éß漢😀\"\\{}[],'\n\u0000eE\u007f"];
const text = ({ below, pick }, most) =>
  Array.from({ length: below(most) }, () => pick(ODD)).join("");

/** A text in which some characters were changed, left out, doubled or put in. */
function mutate(random, original) {
  let changed = original;
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(changed.length + 1);
    const [head, tail] = [changed.slice(0, at), changed.slice(at)];
    changed = random.pick([
      () => head + tail.slice(1),
      () => head + random.pick(ODD) + tail,
      () => head + random.pick(ODD) + tail.slice(1),
      () => head + tail.slice(0, 8) + tail,
      () => head,
      () => head + tail.slice(random.below(20)),
    ])();
  }
  return changed;
}

/** A value in which one member was changed, left out or added. */
function mutateValue(random, value) {
  const copy = structuredClone(value);
  const names = Object.keys(copy);
  const name = random.chance(0.85) ? random.pick(names) : text(random, 8);
  const odd = [
    undefined, null, true, false, 0, -1, 0.5, 1e21, 5e-324, 2 ** 53, 9007199254740993, 1.5e9, "", "1", " ",
    text(random, 12), [], [null], ["a", "a"], {}, { a: 1 }, { __proto__: null, __proto__x: 1 },
    [[[[]]]], "https://as.example", "https://as.example/", "http://as.example", "javascript:0",
  ]; // prettier-ignore
  if (random.chance(0.15)) delete copy[name];
  else if (typeof copy[name] === "string" && random.chance(0.4)) {
    copy[name] = mutate(random, copy[name]);
  } else copy[name] = random.pick(odd);
  return copy;
}

const base64url = (value) => Buffer.from(value).toString("base64url");

test("guards decide the same of 6,000 requests", async (t) => {
  const random = makeRandom(SEED);
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const seconds = NOW / 1000;
  const prover = await makeProver();
  const claims = { iat: seconds - 10, exp: seconds + 300, nbf: seconds - 10 };
  const bound = { ...claims, cnf: { jkt: prover.jkt } };
  const tokens = [
    await provider.accessToken(claims),
    await provider.accessToken({ ...claims, scope: undefined, scp: ["a", "b"], é: "漢😀" }),
    await provider.accessToken({ ...claims, exp: seconds - 31 }),
    await provider.accessToken({ ...claims, auth_time: seconds - 100, acr: "mfa", big: 2 ** 60 }),
    await provider.accessToken(bound),
    provider.opaqueToken(),
    provider.opaqueToken({ exp: seconds - 1 }),
  ];
  const url = "https://api.example/items?x=1#y";
  const proof = (claim, header) =>
    prover.proof("GET", "https://api.example/items", tokens[4], { iat: seconds, ...claim }, header);
  const proofs = [await proof(), await proof({ htm: "POST" }), await proof({ iat: 1 })];

  const options = [
    { issuer, audience, fetch, dpop: "accept", cache: false },
    {
      issuer,
      audience: [audience, "other"],
      fetch,
      profile: "auth0",
      requiredScopes: "read",
      realm: "a realm",
      introspection: { clientId: "rs", clientSecret: "rs-secret", cache: { ttl: 0 } },
    },
    { issuer, audience, fetch, profile: { typ: ["JWT"], typOptional: true }, maxTokenAge: 60 },
  ];
  const guards = [];
  for (const each of options) {
    guards.push({ wasm: await wasm.createGuard(each), js: await js.createGuard(each) });
  }
  assert.deepEqual([wasm.guardEngine(), js.guardEngine()], ["wasm", "js"]);

  const headers = () => {
    const token = random.pick(tokens);
    const scheme = random.pick(["Bearer", "Bearer", "DPoP", "bearer", "Basic", ""]);
    let shown = token;
    if (random.chance(0.3)) shown = mutate(random, token);
    else if (random.chance(0.4) && token.includes(".")) {
      // Damage inside of what is encoded, where a changed character would end at the encoding.
      const parts = token.split(".");
      const part = random.below(2);
      const value = JSON.parse(Buffer.from(parts[part], "base64url").toString());
      const json = JSON.stringify(mutateValue(random, value));
      parts[part] = base64url(random.chance(0.2) ? mutate(random, json) : json);
      shown = parts.join(".");
    }
    const printable = [...`${scheme} ${shown}`].filter((c) => c >= " " && c <= "~").join("");
    const all = { authorization: printable };
    if (random.chance(0.3)) all.dpop = random.pick(proofs);
    if (random.chance(0.05)) all.dpop = `${all.dpop ?? ""}x`;
    return all;
  };
  const needs = [undefined, {}, { scopes: ["read"] }, { anyScopes: ["x", "read"] }, { acr: "mfa" },
    { maxAge: 60 }, { roles: "admin" }, { scopes: 1 }, { unknown: true }]; // prettier-ignore

  const comparison = makeComparison();
  for (let i = 0; i < 6000; i++) {
    const guard = random.pick(guards);
    const request = { headers: new Headers(headers()), method: random.pick(["GET", "POST"]), url };
    const need = random.pick(needs);
    const input = [Object.fromEntries(request.headers), need];
    await comparison.same(input, async (engine) => {
      const side = engine === wasm ? guard.wasm : guard.js;
      const { response, ...checked } = await side.check(request, need);
      return [checked, response && [response.status, ...response.headers]];
    });
  }
  comparison.done(t, 6000, 30);
});

test("options are read the same, 6,000 times", async (t) => {
  const random = makeRandom(SEED + 1);
  const forClient = {
    issuer: "https://as.example",
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    scope: "openid read",
    resource: ["https://api.example"],
    audience: "x",
    authorizationParams: { ui_locales: "de" },
    trustedAudiences: ["y"],
    allowedOrigins: "https://api.example",
    clockTolerance: 30,
    refreshSkew: 60,
    timeout: 10,
    dangerouslyAllowHttpLoopback: false,
  };
  const forGuard = {
    issuer: ["https://as.example", "https://login.microsoftonline.com/{tenantid}/v2.0"],
    tenants: ["11111111-2222-3333-4444-555555555555"],
    audience: ["a", "b"],
    algorithms: ["RS256"],
    requiredScopes: "read write",
    cache: { maxEntries: 10, maxBytes: 1000 },
    dpop: "accept",
    dpopAlgorithms: "ES256",
    dpopNonce: "0123456789abcdef0123456789abcdef",
    publicOrigin: "https://api.example",
    profile: { base: "entra", roles: [["a", "b"]] },
    profiles: { "https://as.example": "okta" },
    maxTokenAge: 60,
    maxTokenLifetime: 3600,
    realm: "r",
    resource: "https://api.example/mcp",
    resourceMetadata: { scopes_supported: ["read"], "resource_name#de": "Dienst" },
    clockTolerance: 0,
    timeout: 5,
    introspection: { clientId: "a", clientSecret: "b", concurrency: 4, cache: { ttl: 5 } },
  };
  const metadata = new Request("https://api.example/.well-known/oauth-protected-resource/mcp");
  const comparison = makeComparison();
  for (let i = 0; i < 6000; i++) {
    const [base, make] = random.pick([
      [forClient, (engine, options) => engine.createClient(options)],
      [forGuard, (engine, options) => engine.createGuard(options)],
    ]);
    let options = mutateValue(random, base);
    if (random.chance(0.3)) options = mutateValue(random, options);
    await comparison.same(options, async (engine) => {
      const made = await make(engine, options);
      const told = "metadata" in made ? await made.metadata(metadata)?.text() : made.state();
      made.dispose();
      return told;
    });
  }
  comparison.done(t, 6000, 60);
});

test("sign-ins, callbacks and answers end the same, 4,000 times", async (t) => {
  const random = makeRandom(SEED + 2);
  const issuer = "https://as.example";
  const seconds = NOW / 1000;
  const provider = await makeProvider();
  const idToken = (claims, header) =>
    provider.signer.sign(
      { iss: issuer, aud: "spa", sub: "alice", iat: seconds, exp: seconds + 300, ...claims },
      header,
    );
  const metadata = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    end_session_endpoint: `${issuer}/logout`,
    code_challenge_methods_supported: ["S256"],
    authorization_response_iss_parameter_supported: true,
  };
  const answers = {
    access_token: "eyJ.access",
    token_type: "Bearer",
    expires_in: 300,
    refresh_token: "refresh",
    scope: "openid read",
  };
  const json = (value) =>
    new Response(typeof value === "string" ? value : JSON.stringify(value), {
      headers: { "content-type": "application/json" },
    });
  const maybe = (value, share) => {
    if (!random.chance(share)) return value;
    return random.chance(0.3) ? mutate(random, JSON.stringify(value)) : mutateValue(random, value);
  };

  const comparison = makeComparison();
  for (let i = 0; i < 4000; i++) {
    const told = maybe(metadata, 0.15);
    const keys = maybe({ keys: [provider.signer.jwk] }, 0.1);
    const changes = random.chance(0.4)
      ? mutateValue(random, { nonce: "x", sub: "alice", azp: "spa", auth_time: 1 })
      : {};
    const header = random.chance(0.1) ? mutateValue(random, { typ: "JWT", kid: "k1" }) : {};
    const answer = maybe(answers, 0.3);
    const signIn = random.chance(0.3)
      ? mutateValue(random, { prompt: "login", loginHint: "é", maxAge: 60, returnTo: "/a?b#c" })
      : {};
    const seed = random.below(2 ** 31);
    const keepNonce = !random.chance(0.1);
    await comparison.same([told, keys, changes, header, answer, signIn], async (engine) => {
      // The same damage for both.
      const damage = makeRandom(seed);
      let nonce;
      const send = async (url) => {
        if (String(url).includes("openid-configuration")) return json(told);
        if (String(url).endsWith("/jwks")) return json(keys);
        const id_token = await idToken({ ...(keepNonce ? { nonce } : {}), ...changes }, header);
        // Signatures are random; what they are over is not.
        return json(typeof answer === "string" ? answer : { id_token, ...answer });
      };
      const store = new Map();
      const client = await engine.createClient({
        issuer,
        clientId: "spa",
        redirectUri: "https://app.example/callback",
        scope: "openid read",
        fetch: send,
        transactionStore: {
          get: (key) => store.get(key),
          set: (key, value) => void store.set(key, value),
        },
      });
      const url = await client.signInUrl(signIn);
      nonce = url.searchParams.get("nonce");
      const query = new URLSearchParams({
        code: "c",
        state: url.searchParams.get("state"),
        iss: issuer,
      });
      let callback = `https://app.example/callback?${query}`;
      if (damage.chance(0.3)) callback = mutate(damage, callback);
      else if (damage.chance(0.1)) callback += "&error=access_denied&error_description=no+way%21";
      const done = await client.handleCallback(callback).catch((error) => {
        const { code, phase, at, hint, retryable, details } = error;
        return { code, phase, at, hint, retryable, details };
      });
      return [url.href, [...store], done, client.user(), client.state()];
    });
  }
  comparison.done(t, 4000, 60);
});
