// The installed package in real workerd, bundled the way wrangler bundles.

import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startWorker } from "../support/edge.mjs";
import { installPackage, testFile } from "../support/installed.mjs";
import { EXPECTED_FETCH } from "./fetch-scenario.mjs";
import { EXPECTED } from "./scenario.mjs";

const WORKER = `
  import * as gatepass from "gatepass";
  import * as guarding from "gatepass/guard";
  import { fetchScenario } from "./fetch-scenario.mjs";
  import { scenario } from "./scenario.mjs";
  import { makeProvider } from "./provider.mjs";

  let guard;
  let provider;
  export default {
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/scenario") {
        return Response.json(await scenario(gatepass, guarding, makeProvider));
      }
      if (pathname === "/fetch-scenario") {
        return Response.json(await fetchScenario(gatepass.createClient, makeProvider));
      }
      // A guard that is kept across requests, as a worker should.
      provider ??= await makeProvider();
      const { issuer, audience, fetch } = provider;
      guard ??= await guarding.createGuard({ issuer, audience, fetch });
      if (pathname === "/token") return new Response(await provider.accessToken());
      if (pathname === "/fetches") return Response.json(provider.count("/jwks"));
      const { principal, response } = await guard.check(request);
      return principal ? Response.json(principal.subject) : response;
    },
  };
`;

let miniflare;
before(async () => {
  const { project } = installPackage("workerd");
  copyFileSync(testFile("package/scenario.mjs"), join(project, "scenario.mjs"));
  copyFileSync(testFile("package/fetch-scenario.mjs"), join(project, "fetch-scenario.mjs"));
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
  writeFileSync(join(project, "worker.mjs"), WORKER);
  miniflare = await startWorker(project, "worker.mjs");
});

after(() => miniflare?.dispose());

const ask = async (path, headers = {}) =>
  miniflare.dispatchFetch(`http://worker${path}`, { headers });

test("a sign-in and a guarded API work in workerd", async () => {
  const response = await ask("/scenario");
  assert.deepEqual(await response.json(), EXPECTED);
});

test("requests to an API carry the token, renew it once and surface what renewing cannot help", async () => {
  const response = await ask("/fetch-scenario");
  assert.deepEqual(await response.json(), EXPECTED_FETCH);
});

test("a guard that is kept fetches its keys once for all requests that follow", async () => {
  const token = await (await ask("/token")).text();
  const fetches = async () => (await ask("/fetches")).json();
  assert.equal((await ask("/", { authorization: `Bearer ${token}` })).status, 200);
  assert.equal(await fetches(), 1);
  const all = await Promise.all(
    Array.from({ length: 50 }, () => ask("/", { authorization: `Bearer ${token}` })),
  );
  for (const response of all) {
    assert.equal(response.status, 200);
    assert.equal(await response.json(), "alice");
  }
  assert.equal(await fetches(), 1);
  const refused = await ask("/", { authorization: "Bearer nonsense" });
  assert.equal(refused.status, 401);
  assert.match(refused.headers.get("www-authenticate"), /^Bearer error="invalid_token"/);
  assert.equal(refused.headers.get("cache-control"), "no-store");
});
