// A guard that is kept across requests in real workerd: cold starts that come together, requests
// that are given up, and proofs of possession.

import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startWorker } from "../support/edge.mjs";
import { installPackage, testFile } from "../support/installed.mjs";
import { makeProver } from "../support/prover.mjs";

const WORKER = `
  import { createGuard } from "gatepass/guard";
  import { makeProvider } from "./provider.mjs";

  let provider;
  let guard;
  let pending;
  const later = () => new Promise((resolve) => setTimeout(resolve, 50));
  export default {
    async fetch(request, env, context) {
      const { pathname, searchParams } = new URL(request.url);
      provider ??= await makeProvider({ answer: later });
      const { issuer, audience, fetch } = provider;
      if (pathname === "/begin") {
        const options = JSON.parse(searchParams.get("options") ?? "{}");
        guard = await createGuard({ issuer, audience, fetch, ...options });
        return new Response(null);
      }
      if (pathname === "/token") {
        const claims = JSON.parse(searchParams.get("claims") ?? "{}");
        return new Response(await provider.accessToken(claims));
      }
      if (pathname === "/fetches") return Response.json(provider.count("/jwks"));
      if (pathname === "/given-up") {
        // The decision is begun and nobody waits for it.
        pending = guard.check(request);
        return new Response(null);
      }
      const handler = guard.protect((request, { subject }) => Response.json(subject));
      return handler(request);
    },
  };
`;

let miniflare;
before(async () => {
  const { project } = installPackage("workerd-guard");
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
  writeFileSync(join(project, "worker.mjs"), WORKER);
  miniflare = await startWorker(project, "worker.mjs");
});
after(() => miniflare?.dispose());

const ask = (path, headers = {}) => miniflare.dispatchFetch(`https://worker${path}`, { headers });
const begin = (options = {}) =>
  ask(`/begin?options=${encodeURIComponent(JSON.stringify(options))}`);
const token = async (claims = {}) =>
  (await ask(`/token?claims=${encodeURIComponent(JSON.stringify(claims))}`)).text();
const fetches = async () => (await ask("/fetches")).json();

test("net_32 wsm_12 cold requests that come together are all answered, each by its own fetch", async () => {
  const authorization = `Bearer ${await token()}`;
  await begin();
  const before = await fetches();
  const all = await Promise.all(Array.from({ length: 30 }, () => ask("/items", { authorization })));
  for (const response of all) assert.equal(await response.json(), "alice");
  const cold = (await fetches()) - before;
  assert.ok(cold >= 1 && cold <= 30, String(cold));
  await (await ask("/items", { authorization })).text();
  assert.equal((await fetches()) - before, cold);
});

test("wsm_11 after a request that was given up the next one is answered", async () => {
  const authorization = `Bearer ${await token()}`;
  await begin();
  await ask("/given-up", { authorization });
  const response = await ask("/items", { authorization });
  assert.equal(await response.json(), "alice");
});

test("dpp_01 dpp_18 dpp_25 proofs of possession are checked, with a nonce and once each", async () => {
  const prover = await makeProver();
  await begin({ dpop: "require", dpopNonce: "a-secret-of-32-characters-or-more" });
  const bound = await token({ cnf: { jkt: prover.jkt } });
  const send = async (dpop, scheme = "DPoP") => {
    const headers = { authorization: `${scheme} ${bound}`, ...(dpop && { dpop }) };
    const response = await ask("/items", headers);
    return [response.status, await response.text(), response.headers];
  };
  const proof = (claims) => prover.proof("GET", "https://worker/items", bound, claims);
  const [status, , headers] = await send(await proof({}));
  assert.equal(status, 401);
  assert.match(headers.get("www-authenticate"), /^DPoP .*error="use_dpop_nonce"/);
  assert.equal(headers.get("vary"), "Authorization, DPoP");
  const nonce = headers.get("dpop-nonce");
  const good = await proof({ nonce });
  assert.deepEqual((await send(good)).slice(0, 2), [200, '"alice"']);
  assert.equal((await send(good))[0], 401);
  assert.equal((await send(undefined, "Bearer"))[0], 401);
  assert.equal((await send(await proof({ nonce }), "Bearer"))[0], 401);
});
