// What a check of a new token costs beside its signature: the host's crypto says yes at once. Shown as
// the fastest of many short rounds, which a busy machine disturbs least. Only in Node, whose crypto
// can be replaced.

import { CLAIMS } from "./contest.mjs";

const TOKENS = 500;
const ROUND = 40;

/** Microseconds for `node:crypto` and for WebCrypto, and for jose with the latter. */
export async function overhead(
  createGuard,
  makeProvider,
  nodeCrypto,
  jose,
  { rounds = 4000 } = {},
) {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const exp = Math.floor(Date.now() / 1000) + 7200;
  const tokens = [];
  for (let n = 0; n < TOKENS; n++) {
    tokens.push(await provider.accessToken({ ...CLAIMS, exp, sub: `user-${n}` }));
  }
  const checks = { issuer, audience, algorithms: ["ES256"], typ: "at+jwt" };
  const key = jose && (await jose.importJWK(provider.signer.jwk, "ES256"));
  const make = () => createGuard({ issuer, audience, fetch, cache: false });
  const guard = await make();
  await guard.verify(tokens[0]);
  // Where there is no node:crypto to be found, WebCrypto is asked.
  const { getBuiltinModule } = process;
  process.getBuiltinModule = undefined;
  const waiting = await make();
  await waiting.verify(tokens[0]);
  process.getBuiltinModule = getBuiltinModule;

  const prototype = Object.getPrototypeOf(crypto.subtle);
  const { verify: atOnce } = nodeCrypto;
  const { verify: later } = prototype;
  nodeCrypto.verify = () => true;
  prototype.verify = async () => true;
  try {
    return {
      node: await fastest((token) => guard.verify(token), tokens, rounds),
      webCrypto: await fastest((token) => waiting.verify(token), tokens, rounds),
      ...(key && {
        jose: await fastest((token) => jose.jwtVerify(token, key, checks), tokens, rounds),
      }),
    };
  } finally {
    nodeCrypto.verify = atOnce;
    prototype.verify = later;
  }
}

async function fastest(check, tokens, rounds) {
  let least = Infinity;
  let at = 0;
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    for (let n = 0; n < ROUND; n++) await check(tokens[at++ % tokens.length]);
    least = Math.min(least, ((performance.now() - begun) * 1000) / ROUND);
  }
  return least;
}
