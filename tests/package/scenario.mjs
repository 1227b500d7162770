// One sign-in and one guarded API with the installed package, written with nothing but the web's
// globals: Node, workerd and pages run this same file.

/**
 * @param {object} gatepass what `import * as gatepass from "gatepass"` gives
 * @param {object} guarding what `import * as guarding from "gatepass/guard"` gives
 * @param {Function} makeProvider of tests/support/provider.mjs
 * @returns plain data to be compared
 */
export async function scenario({ createClient, GatepassError }, { createGuard }, makeProvider) {
  const provider = await makeProvider();
  const { issuer, clientId, redirectUri, audience, fetch } = provider;
  const events = [];

  const client = await createClient({
    issuer,
    clientId,
    redirectUri,
    scope: "openid read",
    fetch,
    transactionStore: memory(),
    onEvent: ({ type }) => events.push(type),
  });
  const guard = await createGuard({ issuer, audience, fetch });

  const url = await client.signInUrl({ returnTo: "/inbox" });
  const signedIn = await client.handleCallback(provider.signInAt(url));
  const token = await client.accessToken();
  const request = (authorization) =>
    new Request("https://api.example/me", { headers: authorization ? { authorization } : {} });

  const accepted = await guard.check(request(`Bearer ${token}`), { scopes: ["read"] });
  const scopeless = await guard.check(request(`Bearer ${token}`), { scopes: ["admin"] });
  const tampered = await guard.check(request(`Bearer ${token.slice(0, -4)}AAAA`));
  const bare = await guard.check(request());
  const protectedHandler = guard.protect((_request, principal, extra) =>
    Response.json({ subject: principal.subject, extra }),
  );
  const served = await protectedHandler(request(`Bearer ${token}`), 7);
  const unserved = await protectedHandler(request(), 7);

  // Tokens that only the provider can read.
  const alerts = [];
  const introspecting = (more) =>
    createGuard({
      issuer,
      audience,
      fetch,
      introspection: { clientId: "rs", clientSecret: "rs-secret", ...more },
      onEvent: (event) => event.type === "alert" && alerts.push(event.code),
    });
  const asker = await introspecting();
  const opaque = provider.opaqueToken({ client_id: "m2m" });
  const read = await asker.verify(opaque, { scopes: ["read"] });
  const unknown = await asker.check(request("Bearer opaque-unknown"));
  await asker.check(request(`Bearer ${opaque}`));
  const forged = await asker.check(request(`Bearer ${token.slice(0, -4)}AAAA`));
  const misled = await (
    await introspecting({ clientSecret: "wrong" })
  ).check(request(`Bearer ${opaque}`));

  const codeOf = (promise) =>
    promise.then(
      () => "no error",
      (error) => (error instanceof GatepassError ? error.code : String(error)),
    );
  await client.refresh();
  const signOutUrl = await client.signOutUrl();

  const verified = await guard.verify(token);
  const again = await guard.verify(token);
  const verifyCode = await codeOf(guard.verify("x.y.z"));
  const { cache, ...tally } = guard.tally();

  return {
    user: signedIn.user.name,
    returnTo: signedIn.returnTo,
    checks: signedIn.checks,
    scope: accepted.principal.scopes,
    guardChecks: accepted.checks,
    scopeless: [scopeless.response.status, scopeless.response.headers.get("www-authenticate")],
    tampered: [tampered.response.status, tampered.refusal.code],
    bare: [bare.response.status, bare.response.headers.get("www-authenticate")],
    served: [served.status, await served.json()],
    unserved: unserved.status,
    opaque: [read.subject, read.clientId, read.issuer, typeof read.expiresAt],
    unknown: [unknown.response.status, unknown.refusal.code],
    forged: [forged.response.status, forged.refusal.code],
    misled: [
      misled.response.status,
      misled.refusal.code,
      misled.response.headers.get("retry-after"),
      misled.response.headers.get("www-authenticate"),
    ],
    alerts,
    questions: provider.count("/introspect"),
    introspection: { ...asker.tally().introspection, durationMs: 0 },
    verify: [verified.subject, verified === again],
    verifyCode,
    signOut: signOutUrl.origin + signOutUrl.pathname,
    afterwards: [client.state(), await codeOf(client.accessToken())],
    unknownOption: await codeOf(createClient({ issuer, clientId, audiance: "x" })),
    events: [...new Set(events)],
    tally,
    cache: [cache.hits, cache.misses, cache.entries],
  };
}

function memory() {
  const map = new Map();
  return { get: (key) => map.get(key), set: (key, value) => void map.set(key, value) };
}

/** What every runtime must answer. */
export const EXPECTED = {
  user: "Alice",
  returnTo: "/inbox",
  checks: [
    "state",
    "iss",
    "code",
    "signature ES256",
    "iss",
    "aud",
    "exp",
    "iat",
    "nonce",
    "at_hash",
    "sub",
  ],
  scope: ["openid", "read"],
  guardChecks: [
    "typ",
    "signature ES256",
    "iss",
    "aud",
    "exp",
    "sub",
    "client_id",
    "jti",
    "iat",
    "scope",
  ],
  scopeless: [403, 'Bearer error="insufficient_scope", scope="admin"'],
  tampered: [401, "signature_invalid"],
  bare: [401, "Bearer"],
  served: [200, { subject: "alice", extra: 7 }],
  unserved: 401,
  opaque: ["alice", "m2m", "https://as.example", "number"],
  unknown: [401, "token_inactive"],
  forged: [401, "signature_invalid"],
  misled: [503, "credentials_refused", "1", null],
  alerts: ["credentials_refused"],
  questions: 3,
  introspection: { asked: 2, failed: 0, cached: 1, cachedRefusals: 0, durationMs: 0 },
  verify: ["alice", true],
  verifyCode: "token_malformed",
  signOut: "https://as.example/logout",
  afterwards: [{ signedIn: false }, "login_required"],
  unknownOption: "config_invalid",
  events: ["request", "checked", "signed_in", "refreshed", "signed_out"],
  tally: {
    accepted: 4,
    scope_insufficient: 1,
    signature_invalid: 1,
    credential_missing: 2,
    token_malformed: 1,
  },
  // Three acceptances are remembered: two needs of one header, and a token.
  cache: [1, 6, 3],
};
