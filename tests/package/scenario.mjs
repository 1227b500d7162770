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
  const rules = await ruleOutcomes(createGuard, provider, token);

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
  const { cache, keys, ...tally } = guard.tally();

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
    rules,
    verify: [verified.subject, verified === again],
    verifyCode,
    signOut: signOutUrl.origin + signOutUrl.pathname,
    afterwards: [client.state(), await codeOf(client.accessToken())],
    unknownOption: await codeOf(createClient({ issuer, clientId, audiance: "x" })),
    events: [...new Set(events)],
    tally,
    cache: [cache.hits, cache.misses, cache.entries],
    keys: [keys.fetched, keys.failed, keys.stale],
  };
}

/** What a guard counted, with how many tokens it remembered. */
function counts(guard) {
  const { cache, keys, ...tally } = guard.tally();
  return { ...tally, fetches: keys.fetched, hits: cache.hits };
}

/** A guard with everything that only JavaScript can say: functions, bytes, responses. */
async function ruleOutcomes(createGuard, { issuer, audience, fetch }, token) {
  const resource = "https://api.example/mcp";
  const wellKnown = "https://api.example/.well-known/oauth-protected-resource";
  const guard = await createGuard({
    issuer,
    audience,
    fetch,
    resource,
    resourceMetadata: { scopes_supported: ["read"] },
    preflight: () => new Response(null, { status: 204, headers: { "x-answered": "here" } }),
  });
  const request = (method, headers) => new Request(resource, { method, headers });
  const authorization = `Bearer ${token}`;
  const codeOf = (promise) => promise.then(String, (error) => error.code);
  const guarded = guard.protect(() => new Response("served"));
  const asked = (principal) => principal.claims.sub === "alice";
  const status = async (need) =>
    (await guard.check(request("GET", { authorization }), need)).response?.status ?? 200;

  const cors = { origin: "https://app.example", "access-control-request-method": "POST" };
  const preflight = await guarded(request("OPTIONS", cors));
  const options = await guarded(request("OPTIONS", {}));
  const head = await guarded(request("HEAD", {}));
  const served = guard.metadata(new Request(`${wellKnown}/mcp`));
  const strict = await createGuard({ issuer, audience, fetch });
  const stepUp = await strict.check(request("GET", { authorization }), { acr: "mfa", maxAge: 60 });
  const dead = await createGuard({
    issuer,
    audience,
    fetch: () => new Response("", { status: 500 }),
  });
  const down = await dead.check(request("GET", { authorization }));
  const secret = (value) =>
    createGuard({ issuer, audience, secret: value }).then(
      () => "made",
      (error) => `${error.code} ${error.at}`,
    );

  return {
    predicate: [
      await status({ predicate: asked }),
      await status({ predicate: async () => false }),
      await status({
        predicate: () => {
          throw new Error("no");
        },
      }),
      // Only true is a yes, also for a token that is remembered.
      await status({ predicate: () => 1 }),
      await codeOf(guard.verify(token, { predicate: () => undefined })),
      await status({ predicate: "yes" }).catch((error) => `${error.code} ${error.at}`),
    ],
    tally: counts(guard),
    preflight: [preflight.status, preflight.headers.get("x-answered")],
    notPreflight: [options.status, head.status],
    challenge: options.headers.get("www-authenticate"),
    metadata: [served.status, served.headers.get("content-type"), await served.json()],
    root: guard.metadata(new Request(wellKnown)).status,
    head: await guard.metadata(new Request(wellKnown, { method: "HEAD" })).text(),
    post: guard.metadata(new Request(wellKnown, { method: "POST" })).status,
    elsewhere: [guard.metadata(new Request(resource)), strict.metadata(new Request(wellKnown))],
    stepUp: [stepUp.response.status, stepUp.response.headers.get("www-authenticate")],
    down: [
      down.response.status,
      down.response.headers.get("retry-after"),
      down.response.headers.get("cache-control"),
    ],
    secrets: [
      await secret(new Uint8Array(32).fill(250)),
      await secret(new Uint8Array(31)),
      await secret(undefined),
      await secret(() => "x"),
    ],
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
  rules: {
    predicate: [200, 403, 403, 403, "predicate_refused", "config_invalid predicate"],
    tally: { accepted: 1, predicate_refused: 4, credential_missing: 2, fetches: 1, hits: 3 },
    preflight: [204, "here"],
    notPreflight: [401, 401],
    challenge:
      'Bearer resource_metadata="https://api.example/.well-known/oauth-protected-resource/mcp"',
    metadata: [
      200,
      "application/json",
      {
        resource: "https://api.example/mcp",
        authorization_servers: ["https://as.example"],
        bearer_methods_supported: ["header"],
        scopes_supported: ["read"],
      },
    ],
    root: 200,
    head: "",
    post: 405,
    elsewhere: [null, null],
    stepUp: [
      401,
      'Bearer error="insufficient_user_authentication", error_description="A different or more recent sign-in is needed", acr_values="mfa", max_age="60"',
    ],
    down: [503, "1", "no-store"],
    secrets: ["made", "config_invalid secret", "config_invalid secret", "config_invalid secret"],
  },
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
  keys: [1, 0, 0],
};
