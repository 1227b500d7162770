import type { SharedCache } from "../adapters/shared-cache.js";
import { guardEngine } from "../load/guard.js";
import type { Guard as Core } from "../wasm/guard_bg.js";
import { call, disposed, translate } from "./errors.js";
import type { ErrorCode, Phase } from "./errors.js";
import { isFunction, split, takeKey, text, textOrNone, toJson } from "./options.js";
import { asRemember, isReplayStore, shownBy, withHeaders } from "./possession.js";
import type { Connection, GuardedRequest, ReplayStore } from "./possession.js";
import { readOutcome } from "./outcome.js";
import type { Accepted } from "./outcome.js";
import { Verdicts } from "./verdicts.js";
import type { CacheStatistics, Verdict } from "./verdicts.js";

export {
  cacheApiSharedCache,
  kvSharedCache,
  redisSharedCache,
  type CacheLike,
  type IoRedis,
  type KvNamespace,
  type NodeRedis,
  type SharedCache,
} from "../adapters/shared-cache.js";
export type { Connection, GuardedRequest, ReplayStore } from "./possession.js";
export type { CacheStatistics } from "./verdicts.js";

/** A provider's metadata, given in place of discovery (RFC 8414 section 2). */
export interface IssuerMetadata {
  /** The issuer identifier. */
  readonly issuer: string;
  /** Where the keys are. */
  readonly jwks_uri?: string;
  /**
   * The keys themselves, as a JWK Set (RFC 7517 section 5), in place of `jwks_uri`: nothing is fetched
   * for signed tokens, and no key is trusted but these, until you make a guard with others. One of
   * them must be fit to check signatures, else `config_invalid`. @defaultValue those of `jwks_uri`
   */
  readonly jwks?: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  /** Whatever else the provider says. */
  readonly [member: string]: unknown;
}

/** How to ask the provider about tokens that only it can read (RFC 7662). */
export interface IntrospectionOptions {
  /**
   * How this API shows who it is. `client_secret_basic` encodes as RFC 6749 section 2.3.1 asks,
   * `client_secret_basic_raw` is for providers that do not decode. `client_secret_jwt` (HS256, a
   * secret of at least 32 bytes) and `private_key_jwt` send an assertion for this issuer and one
   * request, good for 60 seconds (RFC 7523). @defaultValue "client_secret_basic"
   */
  readonly auth?:
    | "client_secret_basic"
    | "client_secret_basic_raw"
    | "client_secret_post"
    | "client_secret_jwt"
    | "private_key_jwt"
    | "bearer";
  /** The name of this API at the provider. Required unless `auth` is `bearer`. */
  readonly clientId?: string;
  /**
   * The key of `private_key_jwt`: a private CryptoKey that signs, a private JWK, or PKCS #8 in PEM,
   * the last two imported so that no script can read them again. Required with it.
   */
  readonly key?: CryptoKey | JsonWebKey | string;
  /** Its algorithm, where the key does not say it: for PEM, and for RSA without `alg`. */
  readonly alg?: string;
  /** The name under which the provider knows the key. @defaultValue the `kid` of the JWK */
  readonly kid?: string;
  /** Its secret. Required unless `auth` is `bearer` or `private_key_jwt`. */
  readonly clientSecret?: string;
  /** The token for the endpoint. Required when `auth` is `bearer`. */
  readonly bearerToken?: string;
  /** Which of the guard's issuers is asked. @defaultValue the only one */
  readonly issuer?: string;
  /** Where to ask. @defaultValue the metadata's `introspection_endpoint` */
  readonly endpoint?: string;
  /**
   * Which tokens are asked about: those that do not have the shape of a signed token, or all. A
   * signed token whose signature is bad is never asked about.
   * @defaultValue "opaque"
   */
  readonly tokens?: "opaque" | "all";
  /**
   * Accepts answers that name no audience (RFC 7662 leaves that to the provider). Then a token for
   * any other API of the provider, or a refresh token, may open this one. @defaultValue false
   */
  readonly dangerouslyAllowMissingAudience?: boolean;
  /** Answers are signed (RFC 9701), and no others are accepted. @defaultValue false */
  readonly jwtResponse?: boolean;
  /**
   * For tokens with the scope `openid` the claims of UserInfo are added, once its `sub` is the
   * token's. They never change what the token is good for. Tokens that are bound to a key or a
   * certificate are not shown there, because only their bearer can. Where UserInfo cannot be had the
   * token is refused with status 503; with `"optional"` it is good without those claims, and an
   * `alert` tells of it. An answer about somebody else is refused in any case. @defaultValue false
   */
  readonly userinfo?: boolean | "optional";
  /**
   * How many questions may be under way at a time, 1 to 1024; beyond that 503 (`introspection_busy`).
   * Requests with one token that come together are one question, but for Workers, where none may wait
   * for another one, and where `cache.ttl` is 0 or `cache.noCacheScopes` names any. @defaultValue 16
   */
  readonly concurrency?: number;
  /**
   * What is remembered of answers, under the SHA-256 of the whole token.
   * @defaultValue each member's own
   */
  readonly cache?: {
    /**
     * For how many seconds an answer is used, 0 (off) to 3600, and never past the token's `exp`. So
     * long a revoked token may still be accepted. @defaultValue 60
     */
    readonly ttl?: number;
    /** The same for tokens that are not active, 0 to 600. @defaultValue 10, 0 when `ttl` is 0 */
    readonly negativeTtl?: number;
    /** How many answers are kept, 1 to 1,000,000, in 16 MiB at most. @defaultValue 10,000 */
    readonly maxEntries?: number;
    /** Answers that grant one of these scopes are never kept. @defaultValue none */
    readonly noCacheScopes?: string | readonly string[];
  };
}

/** What a guard demands. An unknown option or a value of the wrong type is refused. */
export interface GuardOptions {
  /**
   * The issuers whose tokens are accepted, letter by letter, or their metadata. In an issuer of
   * Microsoft Entra `{tenantid}` stands for each of {@link GuardOptions.tenants | tenants}.
   */
  readonly issuer: string | IssuerMetadata | readonly (string | IssuerMetadata)[];
  /** The names of this API; a token must be meant for one of them. */
  readonly audience: string | readonly string[];
  /**
   * The accepted signature algorithms. `none` cannot be among them, HMAC only with a secret.
   * @defaultValue RS, PS and ES with 256, 384 and 512, Ed25519 and EdDSA; with a secret HS256
   */
  readonly algorithms?: string | readonly string[];
  /**
   * How to ask about opaque tokens. Without it only signed tokens are accepted.
   * @defaultValue none
   */
  readonly introspection?: IntrospectionOptions;
  /** Scopes that every request needs. @defaultValue none */
  readonly requiredScopes?: string | readonly string[];
  /**
   * How many accepted tokens are remembered, so that one that comes again costs no signature check;
   * `false` remembers none. Dates and keys are looked at each time. @defaultValue 5,000 and 8 MiB
   */
  readonly cache?: false | CacheOptions;
  /**
   * Proofs of possession (RFC 9449): `accept` takes tokens with `Bearer` and, bound to a key, with
   * `DPoP`; `require` takes the latter only. In every mode a bound token is refused without its proof.
   * @defaultValue "off"
   */
  readonly dpop?: "off" | "accept" | "require";
  /** The accepted algorithms of proofs. @defaultValue as for `algorithms` */
  readonly dpopAlgorithms?: string | readonly string[];
  /**
   * Whether proofs must carry a nonce of this guard, which lives for two to four minutes. `true` makes
   * them with a random key of this guard's own; where several isolates or servers answer, give them
   * one secret of 32 bytes or more. @defaultValue false
   */
  readonly dpopNonce?: boolean | string;
  /**
   * Remembers which proofs were used. The default remembers the latest ones, 32,768 at least, in
   * this guard, which is one isolate: at the edge the next request may meet another one, which knows
   * nothing of it. Share a store there, or set `dpopNonce`. @defaultValue this guard's memory
   */
  readonly replayStore?: ReplayStore;
  /**
   * Where guards of several isolates or servers share the keys that they fetched, so that a new one
   * need not fetch them, and can check tokens while the provider is down.
   * @defaultValue none: each guard has its own keys
   */
  readonly sharedCache?: SharedCache;
  /**
   * The origin under which clients know this API, such as `https://api.example`, for DPoP. Needed
   * where a proxy changes what `request.url` says, and wherever requests come with any `Host`: in Node
   * the origin is what the client wrote there, so that a proof that was made for another server would be
   * taken here by whoever writes that server's name. Headers such as `X-Forwarded-Host` are never looked
   * at. @defaultValue the origin of `request.url`
   */
  readonly publicOrigin?: string;
  /** What the tokens look like: of a vendor, or your own. @defaultValue `"rfc9068"` */
  readonly profile?: ProfileName | CustomProfile;
  /** The same for single issuers, by their identifiers. @defaultValue `profile` for all */
  readonly profiles?: Readonly<Record<string, ProfileName | CustomProfile>>;
  /**
   * The tenants (GUIDs in lower case) for which `{tenantid}` in an issuer stands. Required where one
   * has it.
   */
  readonly tenants?: string | readonly string[];
  /** How long ago a token may have been issued, in whole seconds. @defaultValue no bound */
  readonly maxTokenAge?: number;
  /** How long a token may live from its issue to its end, in whole seconds. @defaultValue no bound */
  readonly maxTokenLifetime?: number;
  /**
   * A secret that you share with the one issuer, for HS256, HS384 and HS512: text, which stands for
   * its UTF-8 bytes, or bytes; at least as long as the hash. Nothing is fetched then. A public key as
   * PEM, DER or JWK is refused, and so is `undefined`: a variable that is not set. @defaultValue none
   */
  readonly secret?: string | Uint8Array | { readonly base64url: string };
  /** The realm that challenges name. @defaultValue none */
  readonly realm?: string;
  /**
   * The identifier of this API, an https URL (RFC 9728). Challenges then say where its metadata is,
   * and {@link Guard.metadata} serves it.
   */
  readonly resource?: string;
  /** More members of that metadata (RFC 9728 section 2), such as `scopes_supported`. */
  readonly resourceMetadata?: ResourceMetadata;
  /**
   * Answers the CORS preflight requests that come to {@link Guard.protect}, which carry no token.
   * @defaultValue none: they are refused like every request without a token
   */
  readonly preflight?: (request: Request) => Response | Promise<Response>;
  /**
   * Lets pages of other origins read `WWW-Authenticate` and `DPoP-Nonce` of what `check`, `protect` and
   * the middlewares for Express and Hono answer: both are added to `Access-Control-Expose-Headers`, beside
   * what a CORS middleware in front exposes. Connect's is for its own CORS middleware to say. Which origins
   * may read anything is for your own CORS headers to say. @defaultValue false
   */
  readonly exposeHeaders?: boolean;
  /** How far clocks may differ, in seconds, 0 to 300. @defaultValue 30 */
  readonly clockTolerance?: number;
  /** How long one request to the provider may take, in seconds, 1 to 120. @defaultValue 5 */
  readonly timeout?: number;
  /**
   * How large what comes in may be. What is larger is refused before it is read.
   * @defaultValue each member's own
   */
  readonly limits?: GuardLimits;
  /** Sends the requests in place of the runtime's `fetch`. */
  readonly fetch?: typeof fetch;
  /** Is told of everything that happens; never of a token. */
  readonly onEvent?: (event: GuardEvent) => void;
  /**
   * Keeps the runtime awake for work that outlives a request: keys are renewed behind the back of
   * requests when four fifths of their time are over. On Workers give `waitUntil` of
   * `cloudflare:workers`; where there is none, a renewal that is cut off is made up for later.
   */
  readonly waitUntil?: (work: Promise<unknown>) => void;
  /**
   * Looks a signed token up in the list of its issuer that it names (`status.status_list`, Token Status
   * List, draft-ietf-oauth-status-list-21). A token that is not valid there is `token_inactive`; a list
   * that cannot be had, or that is not signed by the issuer for this address and this time, is
   * `keys_unavailable` (503). A list is fetched once for all of its tokens, without credentials, and
   * may hold a megabyte. Tokens that name none are as they were. @defaultValue false
   */
  readonly statusList?: boolean | StatusListOptions;
  /** Accepts http for 127.0.0.1, [::1] and localhost. For development only. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
}

/** How tokens are looked up in lists of their issuer. */
export interface StatusListOptions {
  /**
   * For how many seconds a list is used at the most, 1 to 86,400: so long a token that was taken back
   * may go on. A list that says so itself (`ttl`, `exp`) is used for less. @defaultValue 300
   */
  readonly maxAge?: number;
}

/** How large tokens and answers may be, in bytes where nothing else is said. */
export interface GuardLimits {
  /** A token, 1 KiB to 64 KiB; beyond that `token_too_large`. @defaultValue 16 KiB */
  readonly maxTokenBytes?: number;
  /** The header of a token as it came, 256 bytes to 16 KiB. @defaultValue 4 KiB */
  readonly maxHeaderBytes?: number;
  /**
   * How deep arrays and objects of a token may stand in each other, 4 to 128; deeper ones are
   * `token_malformed`. @defaultValue 64
   */
  readonly maxJsonDepth?: number;
  /** How many keys a set may have, 1 to 1,000; beyond that `jwks_invalid`. @defaultValue 100 */
  readonly maxKeys?: number;
  /** A set of keys, 1 KiB to 4 MiB; beyond that `response_too_large`. @defaultValue 512 KiB */
  readonly maxKeySetBytes?: number;
  /** A provider's metadata, 1 KiB to 4 MiB. @defaultValue 1 MiB */
  readonly maxMetadataBytes?: number;
  /** An answer about a token, or of UserInfo, 1 KiB to 4 MiB. @defaultValue 1 MiB */
  readonly maxAnswerBytes?: number;
}

/** How much a guard remembers, once for `check` and once for `verify`. */
export interface CacheOptions {
  /** How many tokens, 1 to 1,000,000. @defaultValue 5,000 */
  readonly maxEntries?: number;
  /** How many bytes they and their principals may take, about; up to 1 GiB. @defaultValue 8 MiB */
  readonly maxBytes?: number;
}

/** Access tokens as RFC 9068 has them, or as a vendor does. */
export type ProfileName =
  "rfc9068" | "auth0" | "okta" | "entra" | "entra-v1" | "keycloak" | "cognito" | "google";

/** A claim, or the way to one inside others: `["realm_access", "roles"]`. */
export type ClaimPath = string | readonly string[];

/** A named profile with changes. Each member that is given replaces that of the base. */
export interface CustomProfile {
  /** @defaultValue `"rfc9068"` */
  readonly base?: ProfileName;
  /**
   * The accepted values of the header's `typ`. With `JWT` an ID token of the same issuer is kept out
   * by its audience and by what stands for the client only.
   */
  readonly typ?: string | readonly string[];
  /** Whether a header without `typ` is accepted. */
  readonly typOptional?: boolean;
  /** Claims that must be there beyond `iss`, `sub`, `exp`, the audience and the client. */
  readonly required?: string | readonly string[];
  /** What stands for the client: the first of these claims that is there. */
  readonly client?: string | readonly string[];
  /** What stands for the audience: the first of these claims that is there. */
  readonly audience?: string | readonly string[];
  /** Claims that hold scopes, as one string or as an array. */
  readonly scopes?: string | readonly string[];
  /** Where roles stand. `{audience}` in a path stands for this API's own names. */
  readonly roles?: string | readonly ClaimPath[];
  /** Where permissions stand. */
  readonly permissions?: string | readonly ClaimPath[];
}

/** What an API says of itself (RFC 9728 section 2); texts and URLs may carry a language (`#de`). */
export interface ResourceMetadata {
  /** The scopes that clients may need here. */
  readonly scopes_supported?: readonly string[];
  /** The name of this API, for people. */
  readonly resource_name?: string;
  /** Where developers read about it. */
  readonly resource_documentation?: string;
  /** What one may do with its data. */
  readonly resource_policy_uri?: string;
  /** Its terms of service. */
  readonly resource_tos_uri?: string;
  /** Where the keys are with which it signs its answers. */
  readonly jwks_uri?: string;
  /** The algorithms with which it signs them. */
  readonly resource_signing_alg_values_supported?: readonly string[];
  /** Whether it takes tokens that are bound to a certificate (RFC 8705). */
  readonly tls_client_certificate_bound_access_tokens?: boolean;
  /** The types of authorization details that it knows (RFC 9396). */
  readonly authorization_details_types_supported?: readonly string[];
  /** The algorithms of proofs that it takes (RFC 9449). */
  readonly dpop_signing_alg_values_supported?: readonly string[];
  /** Whether it takes no tokens but those that are bound to a key (RFC 9449). */
  readonly dpop_bound_access_tokens_required?: boolean;
  /** A text or URL in a language, such as `resource_name#de`. */
  readonly [localized: `${string}#${string}`]: string;
}

/** What a request needs beyond a valid token. */
export interface Need {
  /** All of these scopes. */
  readonly scopes?: string | readonly string[];
  /** One of these scopes. */
  readonly anyScopes?: string | readonly string[];
  /** All of these roles. */
  readonly roles?: string | readonly string[];
  /** One of these roles. */
  readonly anyRoles?: string | readonly string[];
  /** All of these permissions. */
  readonly permissions?: string | readonly string[];
  /** One of these permissions. */
  readonly anyPermissions?: string | readonly string[];
  /**
   * Only tokens that were issued for a user ({@link Principal.kind}), and not to a client for itself:
   * others are refused with `user_required`. @defaultValue false
   */
  readonly user?: boolean;
  /** One of these authentication contexts (RFC 9470): else the client is told to sign in again. */
  readonly acr?: string | readonly string[];
  /** A sign-in at most this many whole seconds ago (RFC 9470). */
  readonly maxAge?: number;
  /**
   * Asked after everything else. Anything but `true`, and whatever it throws, refuses the request
   * with 403.
   */
  readonly predicate?: (principal: Principal) => boolean | Promise<boolean>;
}

/** The bearer of a valid access token. It is frozen, with everything in it: make a copy to change. */
export interface Principal {
  /**
   * Whom the token was issued about (`sub`); unique within the issuer. Every JWT says so; an answer
   * about an opaque token may not, often where no user is involved.
   */
  readonly subject?: string;
  /** Who issued the token. */
  readonly issuer: string;
  /** The client that the token was issued to, if the provider says so. */
  readonly clientId?: string;
  /**
   * Whether the token was issued for a user, or to a client for itself (RFC 6749 section 4.4); absent
   * where the provider names no subject or no client. A client may be named like a user (RFC 9700
   * section 4.15): never take the subject for a user's where this does not say so.
   */
  readonly kind?: "user" | "client";
  /** What the token may be used for. */
  readonly scopes: readonly string[];
  /** The roles at this API, where the issuer's profile has any. */
  readonly roles: readonly string[];
  /** The permissions at this API, where the issuer's profile has any. */
  readonly permissions: readonly string[];
  /** Whom the token is meant for; this API is among them. */
  readonly audience: readonly string[];
  /** When the token ends, in seconds since 1970, if the provider says so. */
  readonly expiresAt?: number;
  /** Every claim. Integers beyond 2^53 come as strings. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Why a request is refused. For your logs: the client is told the challenge only. */
export interface Refusal {
  /** What is wrong. */
  readonly code: ErrorCode;
  /** 400, 401, 403 or 503. */
  readonly status: number;
  /** The value of `WWW-Authenticate` (RFC 6750 section 3); absent where no token would help. */
  readonly challenge?: string;
  /** The value of `Retry-After`, in seconds; present where no token would help. */
  readonly retryAfter?: number;
  /** The value of `DPoP-Nonce`: what the client's next proof must carry (RFC 9449 section 8.2). */
  readonly dpopNonce?: string;
  /** The claim or header member that it is about. */
  readonly at?: string;
  /** One sentence that says what is wrong and what to change. */
  readonly hint: string;
}

/** The outcome of a check. */
export type Checked =
  | {
      readonly principal: Principal;
      /** What was checked, in order. */
      readonly checks: readonly string[];
      /**
       * Add it to `Vary` of your response: the headers of the request on which it depends, so that no
       * cache hands it to somebody else (RFC 9110 section 12.5.5).
       */
      readonly vary: string;
      /** Send it as `DPoP-Nonce` with your response: the nonce of the client's proof is old. */
      readonly dpopNonce?: string;
      /**
       * Add it to `Access-Control-Expose-Headers` of your response, so that a page can read the nonce;
       * there beside one where {@link GuardOptions.exposeHeaders | exposeHeaders} is true.
       */
      readonly exposeHeaders?: string;
      readonly refusal?: never;
      readonly response?: never;
    }
  | { readonly principal?: never; readonly refusal: Refusal; readonly response: Response };

/** What a guard reports. */
export type GuardEvent =
  | {
      readonly type: "request";
      readonly purpose: "discovery" | "introspection" | "keys" | "status_list" | "userinfo";
      readonly method: string;
      /** Without its query. */
      readonly url: string;
      /** The names of the parameters that were sent. */
      readonly parameters: readonly string[];
      readonly status?: number;
      readonly code?: ErrorCode;
      readonly durationMs: number;
    }
  | {
      readonly type: "decided";
      readonly accepted: boolean;
      /** What was checked, in order, of a request that was accepted. */
      readonly checks?: readonly string[];
      readonly code?: ErrorCode;
    }
  | {
      /**
       * Something that the operator should know: the provider is down or refuses our credentials,
       * keys whose time is over serve on (`keys_stale`, once for each attempt to renew them), the
       * shared cache does not answer or holds something else.
       */
      readonly type: "alert";
      readonly code: ErrorCode;
      readonly phase?: Phase;
      readonly hint: string;
    };

/**
 * How often each outcome came up: `accepted`, and the codes of refusals; and what the cache of
 * verdicts did.
 */
export type Tally = {
  readonly accepted: number;
  readonly cache: CacheStatistics;
  /** What happened to the keys of all issuers together. */
  readonly keys: {
    /** How often a set was fetched from the provider. */
    readonly fetched: number;
    /** How many of these fetches failed: one counts for each of those who waited for it. */
    readonly failed: number;
    /** How many tokens were judged with keys whose time was over, while no newer ones were to be had. */
    readonly stale: number;
    /** How often the {@link GuardOptions.sharedCache | shared cache} had good keys. */
    readonly sharedHits: number;
    /** How often it had none. */
    readonly sharedMisses: number;
    /** How often it did not answer, or with something else. */
    readonly sharedFailures: number;
  };
  /** Where the guard introspects. */
  readonly introspection?: {
    /** How many questions were sent. */
    readonly asked: number;
    /** How many of them were not answered as they should. */
    readonly failed: number;
    /** How many tokens were found among the answers of before. */
    readonly cached: number;
    /** How many tokens were refused by an answer of before. */
    readonly cachedRefusals: number;
    /** How long all answers took together. */
    readonly durationMs: number;
  };
} & Readonly<Partial<Record<ErrorCode, number>>>;

/** Checks the access tokens of an API's requests. Make one and keep it: it keeps the keys. */
export interface Guard {
  /**
   * Checks the `Authorization` header of a request by RFC 6750 and its token by RFC 9068 or the
   * issuer's profile, or by asking its provider (RFC 7662) where `introspection` is configured and
   * the token has not the shape of a signed one.
   *
   * It is rejected only when `need` cannot be read (or with a `TypeError` for what is no request, such
   * as one of Node without `Headers`); a refused request is an outcome, with the response to send.
   *
   * A token that is bound to a key or a certificate is good with its proof only: the `DPoP` header
   * of this request (`method` and `url` are needed then), or the certificate of its connection.
   */
  check(request: GuardedRequest, need?: Need, connection?: Connection): Promise<Checked>;
  /**
   * Checks a token that you took from elsewhere. Rejected with the refusal's code: what is no text is
   * `token_malformed`.
   */
  verify(token: string, need?: Need): Promise<Principal>;
  /**
   * A handler that runs for good requests only. `connectionOf` says what is known of a connection.
   *
   * Every response says by `Vary` that it depends on the request's credentials, so that no cache
   * hands it to somebody else (RFC 9110 section 12.5.5); a refusal may not be kept at all.
   */
  protect<Q extends GuardedRequest, R extends readonly unknown[]>(
    handler: (request: Q, principal: Principal, ...rest: R) => Response | Promise<Response>,
    need?: Need,
    connectionOf?: (request: Q) => Connection,
  ): (request: Q, ...rest: R) => Promise<Response>;
  /**
   * The answer to a request for the metadata of this API (RFC 9728): at the well-known path of
   * {@link GuardOptions.resource | resource} and at the root; `null` for every other path.
   */
  metadata(request: { readonly method: string; readonly url: string }): Response | null;
  /** The outcomes so far. */
  tally(): Tally;
  /** Frees the memory. Nothing can be called afterwards. */
  dispose(): void;
}

/**
 * Makes a guard. Nothing is sent before the first check.
 *
 * @throws {@link GatepassError} `config_invalid`, `url_insecure`, `metadata_invalid`,
 * `unsupported_host`.
 */
export async function createGuard(options: GuardOptions): Promise<Guard> {
  // The options are read before anything is awaited: changing them later has no effect.
  const { host, rest } = split(options, {
    exposeHeaders: isBoolean,
    fetch: isFunction,
    onEvent: isFunction,
    preflight: isFunction,
    replayStore: isReplayStore,
    sharedCache: isSharedCache,
    waitUntil: isFunction,
  });
  const { rest: introspection, key } = takeKey(rest.introspection);
  const json = toJson({
    ...rest,
    ...(Object.hasOwn(rest, "secret") && { secret: secretOf(rest) }),
    ...(Object.hasOwn(rest, "introspection") && { introspection }),
  });
  const { onEvent } = host;
  const listener = onEvent && ((text: string) => onEvent(JSON.parse(text) as GuardEvent));
  const make = (glue: Glue): Core => {
    const core = new glue.Guard(json, host.fetch, listener);
    // Only introspection may lack one, which the core says.
    if (introspection !== undefined) core.setKey(key.key, key.alg, key.kid);
    if (host.replayStore) core.setReplayStore(asRemember(host.replayStore));
    const cache = host.sharedCache;
    if (cache) {
      core.setSharedCache(
        (key: string) => cache.get(key),
        (key: string, text: string, seconds: number) => cache.put(key, text, seconds),
      );
    }
    return core;
  };
  return call(async () => new RequestGuard(make, await guardEngine.ready(), host));
}

/** What cores are made with. */
type Glue = Exclude<ReturnType<typeof guardEngine.ready>, Promise<unknown>>;

/** What pages of other origins may read of what guards answer, where they are let. */
const EXPOSED = "WWW-Authenticate, DPoP-Nonce";

const NOTHING: Needed = { json: undefined, predicate: undefined };
const encoder = new TextEncoder();
/** Where texts are encoded on their way to the core, which copies them at once. */
const scratch = new Uint8Array(20 * 1024);

/** A text as bytes, which cross faster; good until the next one. */
function toBytes(text: string): Uint8Array {
  const { read, written } = encoder.encodeInto(text, scratch);
  // What is too long is refused for its length, and that is the core's to say.
  return read === text.length ? scratch.subarray(0, written) : encoder.encode(text);
}

/** Bytes as JSON can say them. A secret that is there and not set must not make another guard. */
function secretOf({ secret }: Pick<GuardOptions, "secret">): unknown {
  if (!(secret instanceof Uint8Array)) return secret ?? null;
  const base64 = btoa(Array.from(secret, (byte) => String.fromCharCode(byte)).join(""));
  const base64url = base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return { base64url };
}

const isBoolean = (value: unknown): boolean => typeof value === "boolean";

const isSharedCache = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Partial<SharedCache>).get === "function" &&
  typeof (value as Partial<SharedCache>).put === "function";

/** A need as it goes to the core, and what only JavaScript can ask afterwards. */
interface Needed {
  /** Absent where nothing beyond a valid token is needed. */
  readonly json: string | undefined;
  readonly predicate: Need["predicate"];
}

function readNeed(need: Need | undefined): Needed {
  if (need === undefined) return NOTHING;
  // Nothing else says what is needed, and the core says so.
  if (!isPlain(need)) return { json: "null", predicate: undefined };
  const { host, rest } = split(need, { predicate: isFunction });
  return { json: toJson(rest), predicate: host.predicate };
}

/** Whether it is an object whose members are its own, of whatever realm. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Whether a need's predicate, where there is one, answers `true`. What it throws is a no. */
async function saysYes({ predicate }: Needed, principal: Principal): Promise<boolean> {
  if (!predicate) return true;
  try {
    return (await predicate(principal)) === true;
  } catch {
    return false;
  }
}

/** A request with which a browser asks whether it may send another one (Fetch, CORS protocol). */
function isPreflight(request: { readonly headers: Headers }): request is Request {
  const { headers } = request;
  const isOptions = "method" in request && request.method === "OPTIONS";
  return isOptions && headers.has("origin") && headers.has("access-control-request-method");
}

/** A core, the life of its instance, and how many checks are under way there. */
interface Held {
  readonly core: Core;
  readonly life: typeof guardEngine.life;
  waiting: number;
}

const hold = (core: Core): Held => ({ core, life: guardEngine.life, waiting: 0 });

/** What the core answers: its decision, or a promise of it or of what it waits for. */
type Decided = string | Promise<unknown>;

class RequestGuard implements Guard {
  /** Makes a core from the options, for the first time and again where its instance has died. */
  readonly #make: (glue: Glue) => Core;
  #held: Held | undefined;
  readonly #preflight: GuardOptions["preflight"];
  readonly #vary: string;
  readonly #always: Always;
  readonly #exposed: string | undefined;
  readonly #waitUntil: GuardOptions["waitUntil"];
  /** By `Authorization` header and by token: the one is no substitute for the other. */
  readonly #headers: Verdicts<Accepted>;
  readonly #tokens: Verdicts<Accepted>;
  readonly #holds = ([from, until, place, generation]: Verdict): boolean =>
    this.#alive.recall(from, until, place, generation);

  constructor(
    make: (glue: Glue) => Core,
    glue: Glue,
    host: Partial<Pick<GuardOptions, "exposeHeaders" | "preflight" | "waitUntil">>,
  ) {
    this.#make = make;
    this.#held = hold(make(glue));
    const { core } = this.#held;
    this.#exposed = host.exposeHeaders ? EXPOSED : undefined;
    this.#vary = core.vary();
    this.#always = [
      ["vary", this.#vary],
      ...(this.#exposed ? [["access-control-expose-headers", this.#exposed] as const] : []),
    ];
    this.#waitUntil = host.waitUntil;
    const [entries = 0, bytes = 0] = core.cacheLimits();
    this.#headers = new Verdicts(entries, bytes);
    this.#tokens = new Verdicts(entries, bytes);
    this.#preflight = host.preflight;
  }

  get #alive(): Core {
    return this.#living.core;
  }

  get #living(): Held {
    if (!this.#held) throw disposed();
    const { isOver, cause } = this.#held.life;
    if (!isOver) return this.#held;
    // Its instance has died. What it knew is gone: keys are fetched anew, and verdicts stood on them.
    const glue = guardEngine.ready();
    // Only what must answer at once meets this; checks have waited.
    if (glue instanceof Promise) throw cause;
    this.#headers.clear();
    this.#tokens.clear();
    return (this.#held = hold(this.#make(glue)));
  }

  async check(request: GuardedRequest, need?: Need, connection?: Connection): Promise<Checked> {
    return this.#check(request, readNeed(need), connection);
  }

  async #check(
    request: GuardedRequest,
    need: Needed,
    connection: Connection | undefined,
  ): Promise<Checked> {
    const authorization = textOrNone(request.headers.get("authorization") ?? undefined);
    const outcome = await this.#outcome(request, authorization, need.json, connection);
    this.#renew();
    if (!("principal" in outcome)) return refused(outcome.refusal, this.#always);
    if (!need.predicate || (await saysYes(need, outcome.principal))) {
      const exposeHeaders = outcome.dpopNonce && this.#exposed;
      return exposeHeaders ? Object.freeze({ ...outcome, exposeHeaders }) : outcome;
    }
    const refusal = JSON.parse(this.#alive.withdraw(need.json ?? "{}", authorization)) as Refusal;
    return refused(refusal, this.#always);
  }

  /** What is known or decided of a request: also that this cannot be said, because the core died. */
  async #outcome(
    request: GuardedRequest,
    authorization: string | undefined,
    need: string | undefined,
    connection: Connection | undefined,
  ): Promise<Accepted | { readonly refusal: Refusal }> {
    try {
      if (this.#held?.life.isOver) await guardEngine.ready();
      const known = authorization && this.#headers.find(authorization, need, this.#holds);
      return known || (await this.#decide(request, authorization, need, connection));
    } catch (thrown) {
      const { code, hint } = translate(thrown);
      if (code !== "internal_error") throw thrown;
      return { refusal: { code, hint, status: 503, retryAfter: 1 } };
    }
  }

  #decide(
    request: GuardedRequest,
    authorization: string | undefined,
    need: string | undefined,
    connection: Connection | undefined,
  ) {
    const header = authorization === undefined ? undefined : toBytes(authorization);
    const shown = shownBy(request, connection);
    return this.#ask(
      (core) => core.check(header, need, shown),
      (text) => this.#keep(text, this.#headers, authorization, need),
    );
  }

  async verify(given: string, need?: Need): Promise<Principal> {
    // What a program looked for and did not find is no token either.
    const token = text(given);
    const needed = readNeed(need);
    if (this.#held?.life.isOver) await guardEngine.ready();
    const known = this.#tokens.find(token, needed.json, this.#holds);
    const decided = known ?? this.#decideToken(token, needed.json);
    // What is there already is not waited for, which is a turn of the queue.
    const { principal } = decided instanceof Promise ? await decided : decided;
    this.#renew();
    if (needed.predicate && !(await saysYes(needed, principal))) {
      await call(() => this.#alive.withdraw());
    }
    return principal;
  }

  #decideToken(token: string, need: string | undefined): Accepted | Promise<Accepted> {
    return this.#ask(
      (core) => core.verify(toBytes(token), need),
      (text) => this.#keep(text, this.#tokens, token, need) as Accepted,
    );
  }

  /** Reads what the core decided, and remembers it where the core gives a verdict. */
  #keep(
    text: string,
    verdicts: Verdicts<Accepted>,
    key: string | undefined,
    need: string | undefined,
  ): Accepted | { readonly refusal: Refusal } {
    const outcome = readOutcome(text, this.#vary);
    if (!("accepted" in outcome)) return outcome;
    const { accepted, verdict } = outcome;
    if (key !== undefined && verdict) verdicts.keep(key, need, verdict, accepted, text.length);
    return accepted;
  }

  /** Asks the core and reads its answer: at once where it answers at once. */
  #ask<T>(ask: (core: Core) => Decided, read: (text: string) => T): T | Promise<T> {
    const held = this.#living;
    try {
      const answer = ask(held.core);
      return typeof answer === "string" ? read(answer) : this.#wait(held, answer, read);
    } catch (thrown) {
      throw translate(thrown);
    }
  }

  /** Waits for what the core waits for, and reads its answer. */
  async #wait<T>(held: Held, answer: Decided, read: (text: string) => T): Promise<T> {
    const { core, life } = held;
    held.waiting++;
    try {
      while (typeof answer !== "string") {
        const check = core.waiting();
        if (check === 0) {
          // The core waits itself, and this is its answer.
          answer = (await life.of(answer)) as string;
          continue;
        }
        let settled: unknown;
        let isRejected = false;
        try {
          settled = await answer;
        } catch (cause) {
          settled = cause;
          isRejected = true;
        }
        // A boolean is about a signature; else it was a key that the core asked for.
        answer =
          typeof settled === "boolean" && !isRejected
            ? core.resume(check, settled)
            : core.resumeWith(check, isRejected, settled);
      }
      return read(answer);
    } catch (thrown) {
      throw translate(thrown);
    } finally {
      held.waiting--;
      this.#free(held);
    }
  }

  /** Frees a core that was disposed of and that nobody waits for any more. */
  #free(held: Held): void {
    if (this.#held === undefined && held.waiting === 0) held.core.free();
  }

  protect<Q extends GuardedRequest, R extends readonly unknown[]>(
    handler: (request: Q, principal: Principal, ...rest: R) => Response | Promise<Response>,
    need: Need = {},
    connectionOf?: (request: Q) => Connection,
  ): (request: Q, ...rest: R) => Promise<Response> {
    // The need is read once: changing it later has no effect.
    const needed = readNeed(need);
    return async (request, ...rest) => {
      if (this.#preflight && isPreflight(request)) return this.#preflight(request);
      const checked = await this.#check(request, needed, connectionOf?.(request));
      if (!checked.principal) return checked.response;
      const response = await handler(request, checked.principal, ...rest);
      const { dpopNonce } = checked;
      return withHeaders(
        response,
        dpopNonce === undefined ? this.#always : [...this.#always, ["dpop-nonce", dpopNonce]],
      );
    };
  }

  metadata(request: { readonly method: string; readonly url: string }): Response | null {
    const answer = this.#alive.metadata(text(request.method), text(request.url));
    if (answer === undefined) return null;
    const { status, headers, body } = JSON.parse(answer) as Answer;
    return new Response(body ?? null, { status, headers });
  }

  /** Begins what a decision left to be done, which nobody waits for. */
  #renew(): void {
    try {
      const renewal = this.#held?.core.renew();
      if (renewal) this.#waitUntil?.(renewal);
    } catch {
      // The renewal goes on or not; the decision stands.
    }
  }

  tally(): Tally {
    const counts = JSON.parse(this.#alive.tally()) as Omit<Tally, "cache">;
    return { ...counts, cache: sum(this.#headers.statistics(), this.#tokens.statistics()) };
  }

  dispose(): void {
    this.#headers.clear();
    this.#tokens.clear();
    const held = this.#held;
    this.#held = undefined;
    if (held) this.#free(held);
  }
}

function sum(a: CacheStatistics, b: CacheStatistics): CacheStatistics {
  return {
    hits: a.hits + b.hits,
    misses: a.misses + b.misses,
    entries: a.entries + b.entries,
    bytes: a.bytes + b.bytes,
    evicted: a.evicted + b.evicted,
  };
}

/** A public answer of the core. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body?: string;
}

function refused(refusal: Refusal, always: Always): Checked {
  return { refusal, response: respond(refusal, always) };
}

type Always = readonly (readonly [name: string, value: string])[];

/** The response of a refusal: no body, since the client is told nothing that the challenge does not say. */
function respond(refusal: Refusal, always: Always): Response {
  const headers = new Headers([["cache-control", "no-store"], ...always] as [string, string][]);
  if (refusal.challenge !== undefined) headers.set("www-authenticate", refusal.challenge);
  if (refusal.retryAfter !== undefined) headers.set("retry-after", String(refusal.retryAfter));
  if (refusal.dpopNonce !== undefined) headers.set("dpop-nonce", refusal.dpopNonce);
  return new Response(null, { status: refusal.status, headers });
}
