// Nothing here runs: compiling is the assertion.
import { GatepassError, createClient, relayCallback } from "gatepass";
import { relayCallback as relayHere } from "gatepass/callback";
import { auth0, cognito, keycloak } from "gatepass/presets";
import type {
  Client,
  ClientEvent,
  ClientOptions,
  DpopOptions,
  ErrorCode,
  IdClaims,
  SignedIn,
  SignedOut,
  UserInfo,
} from "gatepass";

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type IsAny<T> = 0 extends 1 & T ? true : false;
const proof = <T extends true>(): T => true as T;

const options: ClientOptions = { issuer: "https://as.example", clientId: "spa" };
const client: Client = await createClient(options);

// What comes out is known; nothing is `any`.
proof<Equal<ReturnType<Client["user"]>, IdClaims | null>>();
proof<Equal<Awaited<ReturnType<Client["accessToken"]>>, string>>();
proof<Equal<Awaited<ReturnType<Client["handleCallback"]>>, SignedIn>>();
proof<Equal<Awaited<ReturnType<Client["userinfo"]>>, UserInfo>>();
proof<Equal<UserInfo["email_verified"], unknown>>();
proof<Equal<Awaited<ReturnType<Client["signInUrl"]>>, URL>>();
proof<Equal<Awaited<ReturnType<Client["signOutUrl"]>>, URL | null>>();
proof<Equal<Awaited<ReturnType<Client["handleSignOutCallback"]>>, SignedOut>>();
proof<Equal<Awaited<ReturnType<Client["handleFrontchannelLogout"]>>, boolean>>();
proof<Equal<IsAny<IdClaims["email"]>, false>>();
proof<Equal<IdClaims["anything"], unknown>>();
proof<Equal<GatepassError["code"], ErrorCode>>();

// Every form of an option.
await createClient({
  issuer: { issuer: "https://as.example", token_endpoint: "https://as.example/token" },
  clientId: "spa",
  resource: ["https://api.example"],
  authorizationParams: { ui_locales: "de" },
  transactionStore: { get: () => null, set: async () => {} },
  fetch,
  onEvent: (event) => {
    if (event.type === "request") proof<Equal<typeof event.durationMs, number>>();
  },
});

await createClient({ ...options, store: "session", autoRefresh: false });
await createClient({ ...options, userinfoSignedResponseAlg: "RS256" });
await createClient({
  ...options,
  store: { get: () => null, set: async () => {}, remove: () => {} },
});

// Every form of a sign-in.
await client.signIn({
  prompt: "login",
  acrValues: ["mfa"],
  uiLocales: "de",
  claims: { id_token: { acr: { essential: true, values: ["mfa"] }, name: null } },
  authorizationDetails: [{ type: "payment", amount: "1.00" }],
  idTokenHint: true,
});
const { signal } = new AbortController();
proof<Equal<Awaited<ReturnType<Client["signInPopup"]>>, SignedIn | null>>();
await client.signInPopup({ whenBlocked: "error", timeout: 60, signal });
await client.signInSilent({ timeout: 5, signal }).then(({ checks }) => checks);
const silent = await client.signInSilent({ timeout: 5, whenUnavailable: "redirect" });
proof<Equal<typeof silent, SignedIn | null>>();
proof<Equal<Awaited<ReturnType<Client["signInFedCm"]>>, SignedIn | null>>();
const configUrl = "https://as.example/fedcm.json";
await client.signInFedCm({ configUrl, mode: "active", whenUnavailable: "redirect", signal });
// @ts-expect-error somebody must say where the provider's configuration is
await client.signInFedCm({ mode: "active" });
await client.handleCallback(new Request("https://app.example/callback", { method: "POST" }));
proof<Equal<Awaited<ReturnType<typeof relayCallback>>, boolean>>();
proof<Equal<typeof relayHere, typeof relayCallback>>();
await createClient({ ...options, responseMode: "form_post", par: "require", site: "corp.example" });

// @ts-expect-error a silent sign-in shows nothing
await client.signInSilent({ prompt: "login" });
// @ts-expect-error a detail has a type
await client.signIn({ authorizationDetails: [{ amount: "1.00" }] });
// @ts-expect-error the hint is the session's own token
await client.signIn({ idTokenHint: "eyJ" });
// @ts-expect-error there is no such response mode
await createClient({ ...options, responseMode: "jwt" });
// @ts-expect-error there is no such way
await createClient({ ...options, par: "never" });

// Presets make options.
proof<Equal<ReturnType<typeof auth0>, ClientOptions>>();
await createClient(auth0({ domain: "a.auth0.com", clientId: "spa", offline: true }));
// @ts-expect-error a user pool is named
cognito({ clientId: "spa" });
keycloak({
  url: "https://id.example",
  realm: "r",
  clientId: "spa",
  // @ts-expect-error the preset says who the issuer is
  issuer: "https://other.example",
});
await createClient({ ...options, dpop: true });
await createClient({ ...options, dpop: { bindCode: false } });
declare const pair: CryptoKeyPair;
await createClient({ ...options, dpop: { key: pair } satisfies DpopOptions });

// Listeners know their event.
client.on("refresh_failed", (event) => {
  proof<Equal<typeof event, Extract<ClientEvent, { type: "refresh_failed" }>>>();
  proof<Equal<typeof event.code, ErrorCode>>();
});

await createClient({ ...options, store: "session", autoRefresh: false });
await createClient({ ...options, userinfoSignedResponseAlg: "RS256" });
client.on("session_discarded", (event) => proof<Equal<typeof event.code, ErrorCode>>());
client.on("alert", (event) => proof<Equal<typeof event.hint, string>>());
client.on("expired", () => {});

// @ts-expect-error a key is a pair
await createClient({ ...options, dpop: { key: pair.privateKey } });
// @ts-expect-error there is no such option of dpop
await createClient({ ...options, dpop: { algorithm: "ES384" } });
// @ts-expect-error a switch is true or false
await createClient({ ...options, autoRefresh: "yes" });
// @ts-expect-error a client identifier is required
await createClient({ issuer: "https://as.example" });
// @ts-expect-error a misspelt option
await createClient({ ...options, scopes: "openid" });
// @ts-expect-error seconds are a number
await createClient({ ...options, clockTolerance: "60" });
// @ts-expect-error a store needs both
await createClient({ ...options, transactionStore: { get: () => null } });
// @ts-expect-error a session's store also removes
await createClient({ ...options, store: { get: () => null, set: () => {} } });
// @ts-expect-error there is no such store
await createClient({ ...options, store: "cookie" });
// @ts-expect-error there is no such event
client.on("signedIn", () => {});
// @ts-expect-error claims are read-only
client.user()!.sub = "someone else";
// @ts-expect-error there is no such code
const code: ErrorCode = "oops";
// @ts-expect-error errors come from gatepass
new GatepassError("config_invalid", "text");

export { code };
