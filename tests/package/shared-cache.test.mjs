// Keys that guards of the installed package share: in memory, in Redis, in Workers KV and in the
// Cache API of workerd.

import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { createClient as createNodeRedis } from "@redis/client";
import { Redis as IoRedis } from "ioredis";

import { startWorker } from "../support/edge.mjs";
import { installPackage, testFile } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { lacksRedis, startRedis } from "../support/redis.mjs";

let project;
let guarding;
before(async () => {
  ({ project } = installPackage("shared-cache"));
  const entry = join(project, "node_modules/gatepass/dist/guard.js");
  guarding = await import(pathToFileURL(entry));
});

/** A cache that remembers what was asked of it. */
function memory() {
  const entries = new Map();
  const asked = [];
  return {
    entries,
    asked,
    get(key) {
      asked.push("get");
      return entries.get(key);
    },
    put(key, text, seconds) {
      asked.push("put");
      entries.set(key, text);
      this.seconds = seconds;
    },
  };
}

/** One guard after the other, as isolates come and go, of one provider. */
async function world(sharedCache) {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const begin = async () => {
    const work = [];
    const events = [];
    const guard = await guarding.createGuard({
      issuer,
      audience,
      fetch,
      sharedCache,
      waitUntil: (it) => work.push(it),
      onEvent: (event) => event.type === "alert" && events.push(event.code),
    });
    const verify = async () => {
      const { subject } = await guard.verify(await provider.accessToken());
      await Promise.all(work);
      return subject;
    };
    return { guard, verify, events };
  };
  return { provider, begin };
}

/** Two guards one after the other share what the first one fetched. */
async function isShared(sharedCache) {
  const { provider, begin } = await world(sharedCache);
  const first = await begin();
  assert.equal(await first.verify(), "alice");
  assert.deepEqual(first.events, []);
  assert.equal(provider.count("/jwks"), 1);
  const second = await begin();
  assert.equal(await second.verify(), "alice");
  assert.equal(provider.count("/jwks"), 1);
  assert.deepEqual(second.events, []);
  const { keys } = second.guard.tally();
  assert.deepEqual([keys.sharedHits, keys.fetched], [1, 0]);
}

test("a guard finds the keys that another one fetched, and asks once for all that come together", async () => {
  const cache = memory();
  await isShared(cache);
  assert.deepEqual(cache.asked, ["get", "put", "get"]);
  // Their own time and a day.
  assert.equal(cache.seconds, 600 + 24 * 3600);
  const [[name, text]] = cache.entries;
  assert.match(name, /^[\w-]{1,64}$/);
  const { keys, ...rest } = JSON.parse(text);
  assert.equal(keys.length, 1);
  assert.deepEqual(Object.keys(rest), ["version", "issuer", "fetchedAt", "maxAge"]);

  cache.asked.length = 0;
  const { provider, begin } = await world(cache);
  cache.entries.clear();
  const { guard } = await begin();
  const token = await provider.accessToken();
  await Promise.all(Array.from({ length: 100 }, () => guard.verify(token)));
  assert.equal(cache.asked.filter((it) => it === "get").length, 1);
});

test("net_43 a cache that returns something else, throws or fails to write changes nothing", async () => {
  const huge = "x".repeat(2_000_000);
  const older = JSON.stringify({ version: 0, keys: [] });
  const throwing = () => {
    throw new Error("no cache today");
  };
  for (const [get, code] of [
    [() => "garbage", "shared_cache_invalid"],
    [() => older, "shared_cache_invalid"],
    [() => huge, "shared_cache_invalid"],
    [() => ({ keys: [] }), "shared_cache_invalid"],
    [() => 7, "shared_cache_invalid"],
    [throwing, "shared_cache_unavailable"],
    [async () => throwing(), "shared_cache_unavailable"],
  ]) {
    const { provider, begin } = await world({ get, put() {} });
    const { verify, events } = await begin();
    assert.equal(await verify(), "alice");
    assert.equal(provider.count("/jwks"), 1);
    assert.deepEqual(events, [code]);
  }
  for (const put of [throwing, async () => throwing()]) {
    const { begin } = await world({ get: () => null, put });
    const { verify, events, guard } = await begin();
    assert.equal(await verify(), "alice");
    assert.deepEqual(events, ["shared_cache_unavailable"]);
    assert.equal(guard.tally().keys.sharedFailures, 1);
  }
});

test("net_43 a cache that never answers is waited for a second and no longer", async () => {
  const never = () => new Promise(() => {});
  const { timeout } = AbortSignal;
  const waits = [];
  AbortSignal.timeout = (millis) => {
    waits.push(millis);
    // Only what is waited for in vain ends early.
    return timeout.call(AbortSignal, millis === 250 ? 1 : millis);
  };
  try {
    const { begin } = await world({ get: never, put() {} });
    const { verify, events } = await begin();
    assert.equal(await verify(), "alice");
    assert.deepEqual(events, ["shared_cache_unavailable"]);
    // In four parts, so that none counts that the machine slept through.
    assert.deepEqual(waits.slice(0, 5), [250, 250, 250, 250, 1250]);
  } finally {
    AbortSignal.timeout = timeout;
  }
});

test("what is no cache is refused by its name", async () => {
  for (const sharedCache of [{}, { get() {} }, () => {}, null, "redis://x"]) {
    const { begin } = await world(sharedCache);
    await assert.rejects(begin(), { code: "config_invalid", at: "sharedCache" });
  }
});

test("keys are shared in Redis, by node-redis and by ioredis", async (t) => {
  const missing = lacksRedis();
  if (missing) return t.skip(missing);
  const redis = await startRedis();
  const node = createNodeRedis({ url: `redis://127.0.0.1:${redis.port}` });
  const io = new IoRedis(redis.port, "127.0.0.1");
  try {
    await node.connect();
    for (const client of [node, io]) {
      await isShared(guarding.redisSharedCache(client));
      const [key] = await io.keys("*");
      assert.ok((await io.ttl(key)) > 23 * 3600);
      await io.flushall();
    }
  } finally {
    io.disconnect();
    node.destroy();
    await redis.stop();
  }
});

const WORKER = `
  import * as guarding from "gatepass/guard";
  import { makeProvider } from "./provider.mjs";

  let provider;
  let guard;
  let current;
  export default {
    async fetch(request, env, context) {
      const { pathname, searchParams } = new URL(request.url);
      current = context;
      provider ??= await makeProvider();
      const { issuer, audience, fetch } = provider;
      if (pathname === "/begin") {
        const sharedCache = {
          kv: () => guarding.kvSharedCache(env.KEYS),
          api: () => guarding.cacheApiSharedCache(),
          named: async () => guarding.cacheApiSharedCache(await caches.open("keys")),
        }[searchParams.get("in")];
        guard = await guarding.createGuard({
          issuer, audience, fetch,
          sharedCache: await sharedCache(),
          waitUntil: (work) => current.waitUntil(work),
        });
      }
      if (pathname === "/verify") {
        const { subject } = await guard.verify(await provider.accessToken());
        return Response.json([subject, provider.count("/jwks"), guard.tally().keys]);
      }
      return new Response(null);
    },
  };
`;

let miniflare;
before(async () => {
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
  writeFileSync(join(project, "worker.mjs"), WORKER);
  miniflare = await startWorker(project, "worker.mjs", { kvNamespaces: ["KEYS"] });
});
after(() => miniflare?.dispose());

const ask = async (path) => (await miniflare.dispatchFetch(`http://worker${path}`)).text();

for (const [place, name] of [
  ["kv", "Workers KV"],
  ["api", "the Cache API's default cache"],
  ["named", "a named cache"],
]) {
  test(`keys are shared in ${name} of workerd`, async () => {
    const verify = async () => JSON.parse(await ask("/verify"));
    await ask(`/begin?in=${place}`);
    const [first, before] = await verify();
    await ask(`/begin?in=${place}`);
    const [second, fetches, keys] = await verify();
    assert.deepEqual([first, second], ["alice", "alice"]);
    assert.equal(fetches, before);
    assert.deepEqual([keys.sharedHits, keys.fetched, keys.sharedFailures], [1, 0, 0]);
  });
}
