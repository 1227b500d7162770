// Nothing here runs: compiling is the assertion.
import {
  GatepassError,
  clientCredentials,
  createClient,
  createCookieSessions,
  createLogoutReceiver,
  discoverResource,
  registerClient,
  wrapFetch,
} from "gatepass/backend";
import type {
  BackendClient,
  BackendOptions,
  Client,
  ClientAuth,
  ClientRegistration,
  CookieSession,
  CookieSessions,
  DeviceLogin,
  DeviceSignedIn,
  ErrorCode,
  IdClaims,
  LogoutCheck,
  LogoutReceiver,
  LogoutToken,
  TokenSet,
  TokenSource,
} from "gatepass/backend";
import type { Client as PageClient } from "gatepass";

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const proof = <T extends true>(): T => true as T;

const options: BackendOptions = { issuer: "https://as.example", clientId: "machine" };
const client: BackendClient = await createClient(options);
const asPage: PageClient = client;
const asClient: Client = asPage;
void asClient;

// Every way of authentication, and what belongs to it.
const ways: ClientAuth[] = [
  { method: "none" },
  { method: "client_secret_basic", clientSecret: "x" },
  { method: "client_secret_basic_raw", clientSecret: "x" },
  { method: "client_secret_post", clientSecret: "x" },
  { method: "client_secret_jwt", clientSecret: "x" },
  { method: "private_key_jwt", key: "-----BEGIN PRIVATE KEY-----", alg: "ES256", kid: "k" },
  { method: "private_key_jwt", key: { kty: "EC" }, assertionType: "client-authentication+jwt" },
  { method: "tls_client_auth" },
];
for (const clientAuth of ways) await createClient({ ...options, clientAuth });
// @ts-expect-error a secret is required
await createClient({ ...options, clientAuth: { method: "client_secret_basic" } });
// @ts-expect-error a key is required
await createClient({ ...options, clientAuth: { method: "private_key_jwt" } });
// @ts-expect-error no algorithm of a private key
const mac: ClientAuth = { method: "private_key_jwt", key: "", alg: "HS256" };
void mac;
// @ts-expect-error an unknown way
await createClient({ ...options, clientAuth: { method: "basic", clientSecret: "x" } });

// Sources and what takes them.
const source: TokenSource = client.clientCredentials({ scope: "a", audience: ["x", "y"] });
const other: TokenSource = await clientCredentials({ ...options, scope: "a" });
const call: typeof fetch = wrapFetch(source, fetch);
void [call, wrapFetch(other)];
proof<Equal<Awaited<ReturnType<TokenSource["accessToken"]>>, string>>();
proof<Equal<Parameters<TokenSource["tokenFor"]>, [url: string | URL]>>();
// A source of one's own that knows texts alone is still one.
const own: Pick<TokenSource, "tokenFor" | "tokenAfter"> = {
  tokenFor: async (url: string) => url,
  tokenAfter: async () => undefined,
};
void wrapFetch(own);
// @ts-expect-error a misspelt option
client.clientCredentials({ scopes: "a" });

const tokens: TokenSet = await client.tokenExchange({
  subjectToken: "x",
  subjectTokenType: "access_token",
  requestedTokenType: "urn:x:y",
});
proof<Equal<typeof tokens.tokenType, "Bearer" | "DPoP" | "N_A">>();
await client.jwtBearer({ assertion: "x", scope: "a" });
await client.refreshToken({ refreshToken: "x" });
// @ts-expect-error its type is required
await client.tokenExchange({ subjectToken: "x" });

const login: DeviceLogin = await client.deviceLogin({ scope: "openid" });
const who: DeviceSignedIn = await login.finish({ signal: AbortSignal.timeout(1) });
proof<Equal<typeof login.userCode, string>>();
void who.user?.sub;
proof<Equal<GatepassError["code"], ErrorCode>>();
const code: ErrorCode = "aborted";
void code;

// Signed requests have a key.
await createClient({
  ...options,
  requestObject: { key: "-----BEGIN PRIVATE KEY-----", alg: "ES256" },
});
// @ts-expect-error a key is required
await createClient({ ...options, requestObject: {} });

// What a receiver tells: who signed out, or why nobody did.
const receiver: LogoutReceiver = await createLogoutReceiver({
  issuer: "https://as.example",
  clientId: "machine",
  maxTokenAge: 60,
});
const request = new Request("https://app.example/backchannel", { method: "POST" });
const checked: LogoutCheck = await receiver.check(request);
if ("logout" in checked) {
  const { iss, sub, sid, jti } = checked.logout;
  proof<Equal<typeof iss, string>>();
  proof<Equal<typeof sub | typeof sid, string | undefined>>();
  proof<Equal<typeof jti, string>>();
  const isOver: boolean = checked.logout.ends({ iss: "x", sub: "y" });
  void isOver;
  // @ts-expect-error nothing was refused
  void checked.refusal;
} else {
  const code: ErrorCode = checked.refusal.code;
  void code;
}
const answer: Response = await receiver.receive(request, async (logout: LogoutToken) => {
  await Promise.resolve(logout.sid);
});
void answer;
// @ts-expect-error what ends the sessions is required
await receiver.receive(request);
// @ts-expect-error an unknown option
await createLogoutReceiver({ issuer: "https://as.example", clientId: "machine", audience: "x" });

// Sessions in cookies.
const sessions: CookieSessions = await createCookieSessions({
  ...options,
  redirectUri: "https://app.example/callback",
  keys: ["x", new Uint8Array(32)],
  sameSite: "strict",
  lifetime: 3600,
  paths: { login: "/in" },
  signIn: { maxAge: 60 },
  isEnded: async ({ sid }) => sid === "x",
  onError: (error) => new Response(error.code),
});
const app = sessions.protect(async (_request, session: CookieSession, env: { name: string }) => {
  proof<Equal<typeof session.user, IdClaims | null>>();
  proof<Equal<typeof session.setCookies, readonly string[]>>();
  const token: string = await session.accessToken();
  return new Response(token + env.name);
});
const page: Response = await app(new Request("https://app.example/"), { name: "x" });
const served: Response | undefined = await sessions.handle(new Request("https://app.example/"));
void [page, served];
// @ts-expect-error what the handler takes besides is required
await app(new Request("https://app.example/"));
// @ts-expect-error keys are required
await createCookieSessions({ ...options, redirectUri: "https://app.example/callback" });
const redirectUri = "https://app.example/callback";
// @ts-expect-error there is no store but the cookie
await createCookieSessions({ ...options, redirectUri, keys: ["x"], store: "memory" });

// A client that registers itself.
const registered: ClientRegistration = await registerClient({
  issuer: "https://as.example",
  metadata: { redirect_uris: ["https://app.example/cb"], x_other: 1 },
  initialAccessToken: "x",
});
proof<Equal<typeof registered.clientId, string>>();
proof<Equal<typeof registered.clientSecretExpiresAt, number | undefined>>();
// @ts-expect-error what to register is required
await registerClient({ issuer: "https://as.example" });
// @ts-expect-error an attestation goes with its key
await createClient({ ...options, clientAuth: { method: "attest_jwt_client_auth", key: "x" } });

// Whose tokens an API takes.
const { authorizationServers } = await discoverResource({ resource: "https://api.example" });
proof<Equal<typeof authorizationServers, readonly string[]>>();
// @ts-expect-error the resource is required
await discoverResource({});
