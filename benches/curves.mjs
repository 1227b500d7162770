// How the cost of a check grows with tokens, keys and issuers, and what a flood of either costs.

import { compare } from "./contest.mjs";

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

/** Microseconds over the number of tokens that are remembered, keys of a set, issuers of a guard. */
export async function curves(createGuard, makeProvider, measure) {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const lines = { tokens: [], keys: [], issuers: [] };
  const list = async (line, counts, make) => {
    const points = [];
    for (const count of counts) points.push({ count, check: await make(count) });
    for (const { count, us } of await compare(points, measure, { rounds: 9 })) {
      lines[line].push({ count, us });
    }
  };

  await list("tokens", [1, 1_000, 20_000], async (count) => {
    const cache = { maxEntries: count, maxBytes: 2 ** 28 };
    const guard = await createGuard({ issuer, audience, fetch, cache });
    const tokens = [];
    for (let index = 0; index < count; index++) {
      const token = await provider.accessToken({ exp: inAnHour(), n: index });
      await guard.verify(token);
      tokens.push(token);
    }
    // Not in order: the next one is not where the last one was.
    let at = 0;
    return () => guard.verify(tokens[(at = (at + 7919) % count)]);
  });

  await list("keys", [1, 10, 100], async (count) => {
    const others = await Promise.all(Array.from({ length: count - 1 }, () => makeProvider()));
    const keys = others.map(({ signer }, index) => ({ ...signer.jwk, kid: `other-${index}` }));
    const withKeys = (url) =>
      url.endsWith("/jwks") ? Response.json({ keys: [...keys, provider.signer.jwk] }) : fetch(url);
    const guard = await createGuard({ issuer, audience, fetch: withKeys, cache: false });
    const token = await provider.accessToken({ exp: inAnHour() });
    return () => guard.verify(token);
  });

  await list("issuers", [1, 100, 1_000], async (count) => {
    const others = Array.from({ length: count - 1 }, (_, n) => `https://tenant-${n}.example`);
    const guard = await createGuard({ issuer: [...others, issuer], audience, fetch, cache: false });
    const token = await provider.accessToken({ exp: inAnHour() });
    return () => guard.verify(token);
  });
  return lines;
}

/** How many fetches a thousand first requests cause that come together. */
export async function coldRequests(createGuard, makeProvider) {
  const provider = await makeProvider({
    // As long as a network takes.
    answer: () => new Promise((resolve) => setTimeout(resolve, 20)),
  });
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  const all = await Promise.allSettled(Array.from({ length: 1000 }, () => guard.verify(token)));
  return {
    requests: all.length,
    accepted: all.filter(({ status }) => status === "fulfilled").length,
    keyFetches: provider.count("/jwks"),
    discoveries: provider.count("/.well-known/openid-configuration"),
  };
}

/** By how much the linear memory grows while so many distinct tokens come by. */
export async function memory(createGuard, makeProvider, nodeCrypto, count) {
  // The memory is the module's own affair: it is seen where the module is made.
  let linear;
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...args) => {
    const made = await instantiate.apply(WebAssembly, args);
    linear = (made.instance ?? made).exports.memory;
    return made;
  };
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  // A module of its own, which the tests of before did not warm up.
  const { createGuard: create } = await import("../dist/guard.js?memory");
  const guard = await (linear ? createGuard : create)({ issuer, audience, fetch });
  WebAssembly.instantiate = instantiate;
  if (!linear) return { skipped: "the module was made before" };

  const signer = nodeCrypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...signer.publicKey.export({ format: "jwk" }), kid: "bench", alg: "ES256" };
  provider.signer.jwk = jwk;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const header = part({ alg: "ES256", kid: "bench", typ: "at+jwt" });
  const times = { iat: inAnHour() - 3600, exp: inAnHour() };
  const token = (n) => {
    const claims = { iss: issuer, aud: audience, sub: `user-${n}`, client_id: "c", jti: `${n}` };
    const input = `${header}.${part({ ...claims, ...times })}`;
    const how = { key: signer.privateKey, dsaEncoding: "ieee-p1363" };
    return `${input}.${nodeCrypto.sign("sha256", Buffer.from(input), how).toString("base64url")}`;
  };
  const warmUp = 10_000;
  for (let n = 0; n < warmUp; n++) await guard.verify(token(n));
  const before = linear.buffer.byteLength;
  for (let n = warmUp; n < warmUp + count; n++) await guard.verify(token(n));
  const { cache } = guard.tally();
  return {
    tokens: count,
    linearBytes: linear.buffer.byteLength,
    grownBytes: linear.buffer.byteLength - before,
    cacheEntries: cache.entries,
    cacheBytes: cache.bytes,
  };
}
