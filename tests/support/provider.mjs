// An OpenID provider made of values: a fetch that answers like one, with real signatures by the
// runtime's WebCrypto. For tests that need a host and no network; the real providers are met in
// the journey. Needs nothing but the web's own globals, so it runs in every runtime.

/** Who is who, unless a test says otherwise. */
const NAMES = {
  issuer: "https://as.example",
  audience: "https://api.example",
  clientId: "spa",
  redirectUri: "https://app.example/callback",
  scope: "openid read",
};

const encoder = new TextEncoder();

function base64url(bytes) {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const ALGORITHMS = {
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  ES384: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  ES512: { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" },
  RS256: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  PS256: {
    name: "RSA-PSS",
    hash: "SHA-256",
    saltLength: 32,
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  Ed25519: { name: "Ed25519" },
};

/** A key that signs, with its public JWK. */
async function makeSigner(alg, kid) {
  const algorithm = ALGORITHMS[alg];
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const jwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const { kty, crv, x, y, n, e } = jwk;
  return {
    jwk: JSON.parse(JSON.stringify({ kty, crv, x, y, n, e, kid, alg, use: "sig" })),
    async sign(claims, header = {}) {
      const part = (value) => base64url(encoder.encode(JSON.stringify(value)));
      const input = `${part({ alg, kid, ...header })}.${part(claims)}`;
      const signature = await crypto.subtle.sign(algorithm, pair.privateKey, encoder.encode(input));
      return `${input}.${base64url(signature)}`;
    },
  };
}

/** The left half of the SHA-256 of a token. */
async function halfHash(token) {
  return base64url((await crypto.subtle.digest("SHA-256", encoder.encode(token))).slice(0, 16));
}

/**
 * @param options.issuer and the other names, see above
 * @param options.expiresIn the life of access tokens in seconds, 300 by default
 * @param options.alg the algorithm of its keys
 * @param options.idToken changes the claims of an ID token before it is signed
 * @param options.dpop binds tokens to the key of a proof (RFC 9449); `{ nonce }` is the one it demands
 * @param options.forgives whether a refresh token that was used may be used once more
 * @param options.user more or other claims at its UserInfo endpoint, signed with `signsUser`
 * @param options.api name and secret of the API that may introspect
 * @param options.answer answers a request in its place, or nothing
 */
export async function makeProvider(options = {}) {
  const { issuer, audience, clientId, redirectUri, scope } = { ...NAMES, ...options };
  const signer = await makeSigner(options.alg ?? "ES256", "k1");
  const requests = [];
  const codes = new Map();
  const pushed = new Map();
  const opaque = new Map();
  let serial = 0;
  let refreshToken;
  let lastAccessToken;
  const usedRefreshTokens = new Set();
  let reuses = 0;
  let lifetime = options.expiresIn ?? 300;

  const session = {};
  const proofs = [];
  const names = new Set();

  const json = (value, status = 200, headers = {}) =>
    new Response(JSON.stringify(value), {
      status,
      headers: { "content-type": "application/json", ...headers },
    });

  const accessToken = (claims = {}, header = {}) => {
    const now = Math.floor(Date.now() / 1000);
    return signer.sign(
      {
        iss: issuer,
        aud: audience,
        sub: "alice",
        client_id: clientId,
        jti: `jti-${++serial}`,
        iat: now,
        exp: now + 300,
        scope,
        ...claims,
      },
      { typ: "at+jwt", ...header },
    );
  };

  async function tokens(nonce, jkt) {
    const now = Math.floor(Date.now() / 1000);
    const access_token = await accessToken(jkt && { cnf: { jkt } });
    lastAccessToken = access_token;
    const claims = {
      iss: issuer,
      aud: clientId,
      sub: "alice",
      iat: now,
      exp: now + 300,
      nonce,
      at_hash: await halfHash(access_token),
      name: "Alice",
    };
    refreshToken = `refresh-${++serial}`;
    return json({
      access_token,
      token_type: jkt ? "DPoP" : "Bearer",
      expires_in: lifetime,
      refresh_token: refreshToken,
      id_token: await signer.sign({ ...claims, ...options.idToken }),
      scope,
    });
  }

  /** The thumbprint of the key of a good proof; or why it is none. */
  async function readProof(proof, htu) {
    const [header, claims, signature] = (proof ?? "..").split(".");
    const decode = (text) =>
      Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const read = (text) => JSON.parse(new TextDecoder().decode(decode(text)));
    if (signature === "" || signature === undefined) return { error: "invalid_dpop_proof" };
    const { typ, alg, jwk } = read(header);
    const about = read(claims);
    const { crv, kty, x, y } = jwk;
    const key = await crypto.subtle.importKey("jwk", { crv, kty, x, y }, ALGORITHMS.ES256, false, [
      "verify",
    ]);
    const input = encoder.encode(`${header}.${claims}`);
    const fits = await crypto.subtle.verify(ALGORITHMS.ES256, key, decode(signature), input);
    const isGood =
      fits && typ === "dpop+jwt" && alg === "ES256" && about.htm === "POST" && about.htu === htu;
    proofs.push(about);
    if (!isGood || names.has(about.jti)) return { error: "invalid_dpop_proof" };
    names.add(about.jti);
    if (about.nonce !== options.dpop.nonce) return { error: "use_dpop_nonce" };
    const text = encoder.encode(JSON.stringify({ crv, kty, x, y }));
    return { jkt: base64url(await crypto.subtle.digest("SHA-256", text)) };
  }

  async function token(form, headers) {
    let bound = {};
    if (options.dpop) {
      bound = await readProof(new Headers(headers).get("dpop"), `${issuer}/token`);
      const { nonce } = options.dpop;
      if (bound.error) return json(bound, 400, nonce && { "dpop-nonce": nonce });
    }
    const { jkt } = bound;
    if (form.get("grant_type") === "refresh_token") {
      const given = form.get("refresh_token");
      if (given !== refreshToken) {
        const isUsed = usedRefreshTokens.has(given);
        // Some providers allow a token again for a while, for clients that got no answer.
        if (isUsed && options.forgives?.(given)) return tokens(undefined, jkt);
        // Reuse of a token that was rotated away ends the session, as RFC 9700 section 4.14.2 asks.
        if (isUsed) {
          reuses++;
          refreshToken = undefined;
        }
        return json({ error: "invalid_grant" }, 400);
      }
      if (jkt !== session.jkt) return json({ error: "invalid_grant" }, 400);
      usedRefreshTokens.add(given);
      return tokens(undefined, jkt);
    }
    const login = codes.get(form.get("code"));
    codes.delete(form.get("code"));
    const verifier = encoder.encode(form.get("code_verifier") ?? "");
    const challenge = base64url(await crypto.subtle.digest("SHA-256", verifier));
    const isRight =
      login?.challenge === challenge &&
      login.redirectUri === form.get("redirect_uri") &&
      (!options.dpop || (login.jkt ?? jkt) === jkt);
    if (!isRight) return json({ error: "invalid_grant" }, 400);
    session.jkt = jkt;
    return tokens(login.nonce, jkt);
  }

  /** RFC 7009. */
  function revoke(form) {
    if (form.get("token") === refreshToken) refreshToken = undefined;
    if (form.get("token") === lastAccessToken) lastAccessToken = undefined;
    return new Response("");
  }

  /** OpenID Connect Core section 5.3, for the access token that was issued last. */
  async function userinfo(authorization) {
    const scheme = options.dpop ? "DPoP" : "Bearer";
    if (authorization !== `${scheme} ${lastAccessToken}`) {
      const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
      return new Response("", { status: 401, headers });
    }
    const claims = { sub: "alice", email: "alice@example.com", ...options.user };
    if (!options.signsUser) return json(claims);
    const signed = await signer.sign({ iss: issuer, aud: clientId, ...claims });
    return new Response(signed, { headers: { "content-type": "application/jwt" } });
  }

  /** RFC 7662, for the API `rs` alone. */
  function introspect(form, headers) {
    const isOurs = headers["authorization"] === `Basic ${btoa(options.api ?? "rs:rs-secret")}`;
    return isOurs
      ? json(opaque.get(form.get("token")) ?? { active: false })
      : json({ error: "invalid_client" }, 401);
  }

  /** An access token that says nothing. */
  function opaqueToken(claims = {}) {
    const token = `opaque-${++serial}`;
    const exp = Math.floor(Date.now() / 1000) + 300;
    opaque.set(token, { active: true, aud: audience, sub: "alice", scope, exp, ...claims });
    return token;
  }

  async function fetch(url, init = {}) {
    requests.push({ url, init });
    const answered = await options.answer?.(url, init);
    if (answered !== undefined) return answered;
    switch (url) {
      case `${issuer}/.well-known/openid-configuration`:
        return json({
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          jwks_uri: `${issuer}/jwks`,
          end_session_endpoint: `${issuer}/logout`,
          introspection_endpoint: `${issuer}/introspect`,
          userinfo_endpoint: `${issuer}/me`,
          revocation_endpoint: `${issuer}/revoke`,
          pushed_authorization_request_endpoint: `${issuer}/par`,
          code_challenge_methods_supported: ["S256"],
          authorization_response_iss_parameter_supported: true,
        });
      case `${issuer}/jwks`:
        return json({ keys: [signer.jwk] });
      case `${issuer}/token`:
        return token(new URLSearchParams(init.body), init.headers);
      case `${issuer}/revoke`:
        return revoke(new URLSearchParams(init.body));
      case `${issuer}/me`:
        return userinfo(init.headers["authorization"]);
      case `${issuer}/par`: {
        const request_uri = `urn:ietf:params:oauth:request_uri:${++serial}`;
        pushed.set(request_uri, new URLSearchParams(init.body));
        return json({ request_uri, expires_in: 60 }, 201);
      }
      case `${issuer}/introspect`:
        return introspect(new URLSearchParams(init.body), init.headers);
      default:
        return json({ error: "not_found" }, 404);
    }
  }

  /** What the provider's login page does: from an authorization request to the callback's URL. */
  function signInAt(authorizationUrl) {
    const { searchParams } = new URL(authorizationUrl);
    const sent = pushed.get(searchParams.get("request_uri")) ?? searchParams;
    const object = sent.get("request")?.split(".")[1];
    // RFC 9101 section 6.3: what stands in the object counts, and nothing else.
    const asked = object
      ? new Map(Object.entries(JSON.parse(atob(object.replaceAll("-", "+").replaceAll("_", "/")))))
      : sent;
    const code = `code-${++serial}`;
    codes.set(code, {
      nonce: asked.get("nonce"),
      challenge: asked.get("code_challenge"),
      redirectUri: asked.get("redirect_uri"),
      jkt: asked.get("dpop_jkt") ?? undefined,
    });
    const answer = new URLSearchParams({ code, state: asked.get("state"), iss: issuer });
    const joint = asked.get("response_mode")?.startsWith("fragment") ? "#" : "?";
    return `${asked.get("redirect_uri")}${joint}${answer}`;
  }

  /** The same response as a JWT (JARM). */
  async function signCallback(callback, claims = {}) {
    const [page, joint, parameters] = callback.split(/([?#])/);
    const response = await signer.sign({
      ...Object.fromEntries(new URLSearchParams(parameters)),
      aud: clientId,
      exp: Math.floor(Date.now() / 1000) + 600,
      ...claims,
    });
    return `${page}${joint}${new URLSearchParams({ response })}`;
  }

  return {
    issuer,
    audience,
    clientId,
    redirectUri,
    signer,
    requests,
    /** The claims of the proofs that it saw. */
    proofs,
    fetch,
    signInAt,
    signCallback,
    accessToken,
    opaqueToken,
    /** Ends an opaque token. */
    revokeOpaque: (token) => void opaque.delete(token),
    /** From now on access tokens live for five minutes. */
    longLived: () => {
      lifetime = 300;
    },
    /** Ends the access token, not the session. */
    endAccessToken: () => {
      lastAccessToken = undefined;
    },
    /** Ends all sessions. */
    revoke: () => {
      refreshToken = undefined;
    },
    /** How often a refresh token came that had been used before. */
    reuses: () => reuses,
    /** Whether the refresh token that was issued last is good. */
    isAlive: () => refreshToken !== undefined,
    count: (path) => requests.filter((request) => request.url === issuer + path).length,
  };
}
