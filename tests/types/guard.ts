// Nothing here runs: compiling is the assertion.
import { cacheApiSharedCache, createGuard, kvSharedCache, redisSharedCache } from "gatepass/guard";
import type {
  CacheStatistics,
  Checked,
  Connection,
  ErrorCode,
  Guard,
  IoRedis,
  KvNamespace,
  Need,
  Principal,
  Refusal,
  ReplayStore,
  ResourceMetadata,
  SharedCache,
} from "gatepass/guard";

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const proof = <T extends true>(): T => true as T;

const guard: Guard = await createGuard({
  issuer: ["https://a.example", "https://b.example"],
  audience: "api",
});

// An outcome is one of two, and each branch knows which.
declare const request: Request;
const checked: Checked = await guard.check(request, { scopes: ["read"] });
if (checked.refusal) {
  proof<Equal<typeof checked.refusal, Refusal>>();
  proof<Equal<typeof checked.response, Response>>();
} else {
  proof<Equal<typeof checked.principal, Principal>>();
}
proof<Equal<Principal["claims"]["anything"], unknown>>();
proof<Equal<Awaited<ReturnType<Guard["verify"]>>, Principal>>();

// A handler keeps the arguments that its runtime gives it.
interface Env {
  readonly DB: string;
}
const handler = guard.protect((_request: Request, principal, env: Env) => {
  proof<Equal<typeof principal, Principal>>();
  return new Response(env.DB);
});
proof<Equal<typeof handler, (request: Request, env: Env) => Promise<Response>>>();

// A cache has limits or is off, and tells what it did.
await createGuard({ issuer: "https://a.example", audience: "api", cache: false });
await createGuard({ issuer: "https://a.example", audience: "api", cache: { maxEntries: 10 } });
proof<Equal<ReturnType<Guard["tally"]>["cache"], CacheStatistics>>();
// @ts-expect-error a cache cannot be switched on without a word on its size
await createGuard({ issuer: "https://a.example", audience: "api", cache: true });
// @ts-expect-error a principal is frozen
(await guard.verify("")).scopes.push("admin");
await createGuard({ issuer: "https://a.example", audience: "api", limits: { maxKeys: 10 } });
await createGuard({ issuer: "https://a.example", audience: "api", statusList: { maxAge: 60 } });
// @ts-expect-error a limit has a known name
await createGuard({ issuer: "https://a.example", audience: "api", limits: { maxTokens: 10 } });
// Keys that are known stand with their issuer.
const jwks = { keys: [{ kty: "OKP", crv: "Ed25519", x: "AA", kid: "k1" }] };
await createGuard({ issuer: { issuer: "https://a.example", jwks }, audience: "api" });
// @ts-expect-error a set is an object with keys
await createGuard({ issuer: { issuer: "https://a.example", jwks: [] }, audience: "api" });
// Profiles by name, with changes, and for single issuers.
await createGuard({
  issuer: "https://login.microsoftonline.com/{tenantid}/v2.0",
  audience: "api",
  profile: { base: "entra", roles: ["roles", ["realm_access", "roles"]] },
  profiles: { "https://a.example": "auth0" },
  tenants: ["11111111-2222-4333-8444-555555555555"],
  maxTokenAge: 3600,
  resource: "https://api.example",
  resourceMetadata: { scopes_supported: ["read"], "resource_name#de": "Dateien" },
  preflight: () => new Response(null, { status: 204 }),
});
await createGuard({ issuer: "https://a.example", audience: "api", secret: new Uint8Array(32) });
// @ts-expect-error a profile has a known name
await createGuard({ issuer: "https://a.example", audience: "api", profile: "Auth0" });
// @ts-expect-error what the guard writes itself cannot be given
const written: ResourceMetadata = { bearer_methods_supported: ["query"] };

// A need is judged by the core, and last by a predicate that knows the principal.
const need: Need = {
  anyScopes: ["read"],
  roles: "editor",
  permissions: ["files:read"],
  anyPermissions: ["files:read", "files:admin"],
  user: true,
  acr: ["phr"],
  maxAge: 600,
  predicate: (principal) => principal.claims["tenant"] === "t",
};
await guard.verify("token", need);
// @ts-expect-error a predicate says yes or no
await guard.verify("token", { predicate: () => "yes" });
proof<Equal<ReturnType<Guard["metadata"]>, Response | null>>();
proof<Equal<Principal["roles"], readonly string[]>>();

// What a provider may leave out is not promised.
proof<Equal<Principal["subject"], string | undefined>>();
proof<Equal<Principal["clientId"], string | undefined>>();
proof<Equal<Principal["kind"], "user" | "client" | undefined>>();
proof<Equal<Principal["expiresAt"], number | undefined>>();
await createGuard({
  issuer: "https://a.example",
  audience: "api",
  introspection: {
    clientId: "rs",
    clientSecret: "secret",
    tokens: "all",
    cache: { ttl: 0, noCacheScopes: ["admin"] },
  },
  onEvent: (event) => {
    if (event.type === "alert") proof<Equal<typeof event.code, ErrorCode>>();
  },
});
const asked: number | undefined = guard.tally().introspection?.asked;
const refused: number | undefined = guard.tally().token_inactive;
console.log(asked, refused);

await createGuard({
  issuer: "https://a.example",
  audience: "api",
  // @ts-expect-error no such way of authentication
  introspection: { clientId: "rs", auth: "none" },
});

// Possession: options, what a request shows besides its token, and a store for used proofs.
const store: ReplayStore = { remember: (key, seconds) => key.length > seconds };
const binding: Guard = await createGuard({
  issuer: "https://a.example",
  audience: "api",
  dpop: "require",
  dpopNonce: true,
  publicOrigin: "https://api.example",
  replayStore: store,
});
const connection: Connection = { certificateSha256: undefined };
const bound = await binding.check({ headers: new Headers() }, {}, connection);
proof<Equal<typeof bound, Checked>>();
if (bound.principal) {
  proof<Equal<typeof bound.dpopNonce, string | undefined>>();
  proof<Equal<typeof bound.vary, string>>();
}
interface CloudflareRequest extends Request {
  readonly cf: { readonly tlsClientAuth: { readonly certFingerprintSHA256: string } };
}
binding.protect(
  (_request: CloudflareRequest) => new Response(),
  {},
  ({ cf }) => ({ certificateSha256: cf.tlsClientAuth.certFingerprintSHA256 }),
);

// @ts-expect-error a mode is one of three
await createGuard({ issuer: "https://a.example", audience: "api", dpop: true });
// @ts-expect-error a store answers with a boolean
await createGuard({ issuer: "a", audience: "api", replayStore: { remember: () => "OK" } });

// Keys are shared: in memory, or by what runtimes and clients offer.
declare const namespace: KvNamespace;
declare const redis: { get(key: string): Promise<string | null> } & IoRedis;
const caches: readonly SharedCache[] = [
  { get: (key) => key, put: () => undefined },
  kvSharedCache(namespace),
  cacheApiSharedCache(),
  redisSharedCache(redis),
];
await createGuard({ issuer: "https://a.example", audience: "api", sharedCache: caches[0]! });
proof<Equal<ReturnType<Guard["tally"]>["keys"]["stale"], number>>();
// @ts-expect-error a shared cache writes too
await createGuard({ issuer: "a", audience: "api", sharedCache: { get: () => null } });
// Keys are renewed with the runtime kept awake.
declare const waitUntil: (work: Promise<unknown>) => void;
await createGuard({ issuer: "https://a.example", audience: "api", waitUntil });

// @ts-expect-error an audience is required
await createGuard({ issuer: "https://a.example" });
// @ts-expect-error scopes are strings
await guard.check(request, { scopes: [1] });
// @ts-expect-error a token is text
await guard.verify(request);
// @ts-expect-error a principal cannot be made up
checked.principal = { subject: "alice" };
