// A client that proves possession of a key (RFC 9449), with nothing but the web's own globals.

const proverEncoder = new TextEncoder();

function proverBase64url(bytes) {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const proverHash = async (text) =>
  proverBase64url(await crypto.subtle.digest("SHA-256", proverEncoder.encode(text)));

/** @returns a key with its thumbprint, and what makes a proof for a token and a request */
export async function makeProver() {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  let serial = 0;
  return {
    jwk: { crv, kty, x, y },
    jkt: await proverHash(JSON.stringify({ crv, kty, x, y })),
    async proof(htm, htu, token, claims = {}, header = {}) {
      const part = (value) => proverBase64url(proverEncoder.encode(JSON.stringify(value)));
      const ath = token === undefined ? undefined : await proverHash(token);
      const iat = Math.floor(Date.now() / 1000);
      const jti = `${crypto.randomUUID()}-${++serial}`;
      const input = [
        part({ typ: "dpop+jwt", alg: "ES256", jwk: { crv, kty, x, y }, ...header }),
        part({ htm, htu, iat, jti, ath, ...claims }),
      ].join(".");
      const signature = await crypto.subtle.sign(
        algorithm,
        pair.privateKey,
        proverEncoder.encode(input),
      );
      return `${input}.${proverBase64url(signature)}`;
    },
  };
}
