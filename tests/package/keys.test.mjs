// How often the installed package asks for keys.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let createGuard;
before(async () => {
  const { project } = installPackage("keys");
  ({ createGuard } = await importInstalled(project, "gatepass/guard"));
});

const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

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

test("a thousand first requests that come together make one discovery and one fetch of keys", async () => {
  const provider = await makeProvider({ answer: soon });
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  const all = await Promise.all(Array.from({ length: 1000 }, () => guard.verify(token)));
  assert.ok(all.every(({ subject }) => subject === "alice"));
  assert.equal(provider.count("/.well-known/openid-configuration"), 1);
  assert.equal(provider.count("/jwks"), 1);
});

test("requests that come together while the provider is down are all told so, by one fetch", async () => {
  const provider = await makeProvider({
    answer: async (url) => {
      await soon();
      return url.endsWith("/jwks") ? Response.error() : undefined;
    },
  });
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  const all = await Promise.allSettled(Array.from({ length: 100 }, () => guard.verify(token)));
  assert.deepEqual([...new Set(all.map(({ reason }) => reason?.code))], ["keys_unavailable"]);
  assert.equal(provider.count("/jwks"), 1);
});

test("on Workers each request that is first asks for itself", async () => {
  const provider = await makeProvider({ answer: soon });
  const { issuer, audience, fetch } = provider;
  const known = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", {
    value: { userAgent: "Cloudflare-Workers" },
    configurable: true,
  });
  try {
    const guard = await createGuard({ issuer, audience, fetch });
    const token = await provider.accessToken();
    await Promise.all(Array.from({ length: 10 }, () => guard.verify(token)));
    assert.equal(provider.count("/jwks"), 10);
    await guard.verify(await provider.accessToken());
    assert.equal(provider.count("/jwks"), 10);
  } finally {
    delete globalThis.navigator;
    if (known) Object.defineProperty(globalThis, "navigator", known);
  }
});

test("cch_19 after a rotation all who come together get through by one fetch", async () => {
  let keys;
  const provider = await makeProvider({
    answer: async (url) => {
      await soon();
      return url.endsWith("/jwks") ? keys?.() : undefined;
    },
  });
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  await guard.verify(await provider.accessToken());
  const other = await makeProvider();
  keys = () => Response.json({ keys: [{ ...other.signer.jwk, kid: "k2" }] });
  const token = await other.accessToken({ iss: issuer }, { kid: "k2" });
  const all = await Promise.all(Array.from({ length: 100 }, () => guard.verify(token)));
  assert.ok(all.every(({ subject }) => subject === "alice"));
  assert.equal(provider.count("/jwks"), 2);
  // There is no such key, which is known by now.
  const invented = await other.accessToken({ iss: issuer }, { kid: "k3" });
  await assert.rejects(guard.verify(invented), { code: "key_not_found" });
  assert.equal(provider.count("/jwks"), 2);
});

test("net_30 one lost fetch is one failure, however many waited for it", async () => {
  let isDown = true;
  const provider = await makeProvider({
    answer: async (url) => {
      await soon();
      return isDown && url.endsWith("/jwks") ? Response.error() : undefined;
    },
  });
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken({ exp: Math.floor(Date.now() / 1000) + 3600 });
  await Promise.allSettled(Array.from({ length: 50 }, () => guard.verify(token)));
  isDown = false;
  const headers = { authorization: `Bearer ${token}` };
  const refused = await guard.check(new Request("https://api.example/", { headers }));
  assert.deepEqual([refused.refusal.status, refused.refusal.retryAfter], [503, 1]);
  const soonAfter = Date.now() + 1100;
  const { subject } = await at(soonAfter, () => guard.verify(token));
  assert.equal(subject, "alice");
});

test("net_35 keys are renewed after the answer, and waitUntil is told", async () => {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const awaited = [];
  const waitUntil = (work) => awaited.push(work);
  const guard = await createGuard({ issuer, audience, fetch, waitUntil });
  const token = await provider.accessToken({ exp: Math.floor(Date.now() / 1000) + 3600 });
  await guard.verify(token);
  assert.equal(provider.count("/jwks"), 1);
  const later = Date.now() + 500_000;
  await at(later, async () => {
    await guard.verify(token);
    await guard.verify(token);
    assert.equal(awaited.length, 1);
    assert.equal(await awaited[0], undefined);
  });
  assert.equal(provider.count("/jwks"), 2);
});

test("a renewal that fails and a waitUntil that throws disturb nobody", async () => {
  let isDown = false;
  const provider = await makeProvider({
    answer: () => {
      if (isDown) throw new Error("down");
    },
  });
  const { issuer, audience, fetch } = provider;
  const waitUntil = () => {
    throw new Error("no request is under way");
  };
  const guard = await createGuard({ issuer, audience, fetch, waitUntil });
  const token = await provider.accessToken({ exp: Math.floor(Date.now() / 1000) + 3600 });
  await guard.verify(token);
  isDown = true;
  const principal = await at(Date.now() + 500_000, () => guard.verify(token));
  assert.equal(principal.subject, "alice");
  await soon();
});

test("with keys that were given nothing is fetched, and no other key is looked for", async () => {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const jwks = await (await fetch(`${issuer}/jwks`)).json();
  const fetched = provider.count("/jwks");
  const guard = await createGuard({ issuer: { issuer, jwks }, audience, fetch });
  assert.equal((await guard.verify(await provider.accessToken())).subject, "alice");
  const another = await (await makeProvider()).accessToken();
  await assert.rejects(guard.verify(another), { code: "signature_invalid" });
  assert.equal(provider.count("/jwks"), fetched);
  assert.equal(provider.count("/.well-known/openid-configuration"), 0);
  await assert.rejects(createGuard({ issuer: { issuer, jwks: { keys: [] } }, audience }), {
    code: "config_invalid",
    at: "jwks",
  });
});
