// Who checks a token how fast. Written with nothing but the web's globals, so that every runtime
// runs this same file; what is there of other libraries comes as an argument.

/** Claims of an ordinary access token, about 700 to 950 characters when signed. */
export const CLAIMS = {
  email: "alice@example.com",
  roles: ["reader", "writer"],
  session: "x".repeat(200),
};

const ALGORITHMS = {
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

/**
 * The contenders of one algorithm: each a name and a function that checks the token once.
 *
 * @param {"ES256" | "RS256"} alg
 * @param {object} of `createGuard`, `makeProvider`, and the libraries that run here
 */
export async function contenders(
  alg,
  { createGuard, makeProvider, jose, fastJwt, jsonwebtoken, hono, nodeCrypto },
) {
  const provider = await makeProvider({ alg });
  const { issuer, audience, fetch } = provider;
  const exp = Math.floor(Date.now() / 1000) + 7200;
  const token = await provider.accessToken({ ...CLAIMS, exp });
  const jwk = provider.signer.jwk;

  const list = [];
  const add = (kind, name, check) => list.push({ kind, name, check });

  const dot = token.lastIndexOf(".");
  const message = new TextEncoder().encode(token.slice(0, dot));
  const base64 = token
    .slice(dot + 1)
    .replaceAll("-", "+")
    .replaceAll("_", "/");
  const signature = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const algorithm = ALGORITHMS[alg];
  const cryptoKey = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
  add("floor", "WebCrypto, signature alone", () =>
    crypto.subtle.verify(algorithm, cryptoKey, signature, message),
  );
  let pem;
  if (nodeCrypto) {
    const key = nodeCrypto.createPublicKey({ key: jwk, format: "jwk" });
    pem = key.export({ type: "spki", format: "pem" });
    const how = alg === "ES256" ? { key, dsaEncoding: "ieee-p1363" } : { key };
    add("floor", "node:crypto, signature alone", () =>
      nodeCrypto.verify("sha256", message, how, signature),
    );
  }

  const forgetful = await createGuard({ issuer, audience, fetch, cache: false });
  add("new", "gatepass", () => forgetful.verify(token));
  const guard = await createGuard({ issuer, audience, fetch });
  add("seen", "gatepass", () => guard.verify(token));
  const request = new Request("https://api.example/", {
    headers: { authorization: `Bearer ${token}` },
  });
  add("seen", "gatepass, whole request", () => guard.check(request));

  if (jose) {
    const key = await jose.importJWK(jwk, alg);
    const checks = { issuer, audience, algorithms: [alg], typ: "at+jwt" };
    add("new", "jose", () => jose.jwtVerify(token, key, checks));
  }
  if (fastJwt && pem) {
    const checks = { key: pem, algorithms: [alg], allowedIss: issuer, allowedAud: audience };
    const plain = fastJwt.createVerifier({ ...checks, cache: false });
    const cached = fastJwt.createVerifier({ ...checks, cache: 5000 });
    add("new", "fast-jwt", () => plain(token));
    add("seen", "fast-jwt", () => cached(token));
  }
  if (jsonwebtoken && nodeCrypto) {
    const key = nodeCrypto.createPublicKey(pem);
    add("new", "jsonwebtoken", () =>
      jsonwebtoken.verify(token, key, { algorithms: [alg], issuer, audience }),
    );
  }
  if (hono) {
    add("new", "hono", () =>
      hono.verifyWithJwks(token, {
        keys: [jwk],
        allowedAlgorithms: [alg],
        verification: { typ: "at+jwt", iss: issuer, aud: audience },
      }),
    );
  }
  for (const { name, kind, check } of list) {
    if ((await check()) === false) throw new Error(`${name} (${kind}) refuses the token`);
  }
  return list;
}

/** Runs a check many times. */
export async function repeat(check, times) {
  for (let index = 0; index < times; index++) await check();
}

/**
 * Microseconds for one check: the median of rounds in which the contenders take turns, so that a
 * busy moment of the machine hits all of them.
 *
 * @param {{ check: () => unknown }[]} list
 * @param {(check: () => unknown, times: number) => Promise<number>} measure milliseconds for so many
 */
export async function compare(list, measure, { rounds = 15, roundMs = 25 } = {}) {
  const plans = [];
  for (const each of list) {
    let times = 50;
    let took = await measure(each.check, times);
    while (took < roundMs / 3) {
      times *= 3;
      took = await measure(each.check, times);
    }
    plans.push({ each, times: Math.max(10, Math.round((times * roundMs) / took)), results: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const plan of plans) {
      const took = await measure(plan.each.check, plan.times);
      plan.results.push((took * 1000) / plan.times);
    }
  }
  return plans.map(({ each, results }) => ({ ...each, check: undefined, us: median(results) }));
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
