import { backendEngine } from "../load/backend.js";
import type { Client as Core } from "../wasm/backend_bg.js";
import { PageClient, makeClient } from "./client.js";
import type { Client, ClientOptions, IdClaims } from "./client.js";
import { translate } from "./errors.js";
import { fetchWith, wrapFetch as wrapPlain } from "./fetch.js";
import type { PassSource, TokenSource } from "./fetch.js";
import { split, takeKey, text, textOrNone, toJson } from "./options.js";
import { isSignal } from "./windows.js";

export type { TokenSource } from "./fetch.js";

/**
 * How a client shows the provider who it is. Each way is checked against the provider's
 * `token_endpoint_auth_methods_supported`, where there is such a list: a way that it rules out is
 * `config_invalid` at `method` before anything is sent.
 */
export type ClientAuth =
  /** Nothing: a public client. */
  | { readonly method: "none" }
  | {
      /**
       * `client_secret_basic`: id and secret form-encoded in the header (RFC 6749 section 2.3.1).
       * `client_secret_basic_raw`: the same for providers that do not decode them.
       * `client_secret_post`: in the body. `client_secret_jwt`: an assertion with HS256, for secrets
       * of at least 32 bytes; the secret is not sent.
       */
      readonly method:
        | "client_secret_basic"
        | "client_secret_basic_raw"
        | "client_secret_post"
        | "client_secret_jwt";
      readonly clientSecret: string;
    }
  | {
      /**
       * An assertion for this issuer and one request, good for 60 seconds (RFC 7523, OpenID Connect
       * Core section 9).
       */
      readonly method: "private_key_jwt";
      /**
       * A private CryptoKey that signs, a private JWK, or PKCS #8 in PEM. JWK and PEM are imported so
       * that no script can read the key again.
       */
      readonly key: CryptoKey | JsonWebKey | string;
      /** The algorithm, where the key does not say it: for PEM, and for RSA without `alg`. */
      readonly alg?: SigningAlgorithm;
      /** The name under which the provider knows the key. @defaultValue the `kid` of the JWK */
      readonly kid?: string;
      /** `typ` of the assertion. @defaultValue `"JWT"` */
      readonly assertionType?: "JWT" | "client-authentication+jwt";
    }
  | {
      /**
       * Somebody whom the provider trusts vouches for the client, and each request proves that it is
       * this one (draft-ietf-oauth-attestation-based-client-auth-10, which may still change). A
       * provider that wants its challenge in the proof gets the request once more.
       */
      readonly method: "attest_jwt_client_auth";
      /** The attestation: a JWT with the client's public key in `cnf`. When it ends, make a new client. */
      readonly attestation: string;
      /**
       * The private key whose public part stands in the attestation: a CryptoKey that signs, a JWK, or
       * PKCS #8 in PEM. JWK and PEM are imported so that no script can read the key again.
       */
      readonly key: CryptoKey | JsonWebKey | string;
      /** The algorithm, where the key does not say it: for PEM, and for RSA without `alg`. */
      readonly alg?: SigningAlgorithm;
    }
  /** Mutual TLS (RFC 8705): only the id is sent, the certificate is that of the given `fetch`. */
  | { readonly method: "tls_client_auth" | "self_signed_tls_client_auth" };

/** What a private key signs with (RFC 7518, RFC 8037, RFC 9864). */
export type SigningAlgorithm =
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA"
  | "Ed25519"
  | "PS256"
  | "PS384"
  | "PS512"
  | "RS256"
  | "RS384"
  | "RS512";

/** What a client of a server or a program of its own is configured with. */
export interface BackendOptions extends Omit<ClientOptions, "responseMode"> {
  /**
   * How the provider hands over its response: as in {@link ClientOptions}, or as a JWT that it signed
   * (JARM). `"query.jwt"` and `"jwt"`: in the query, `"fragment.jwt"`: behind the callback's `#`,
   * `"form_post.jwt"`: as a POST. Then its signature, `iss`, `aud` and `exp` are checked before the code
   * is used, and a response that is not signed is refused (`response_mode_mismatch`). Encrypted ones
   * are not read, and none comes to popups and frames (`config_invalid`).
   * @defaultValue not sent, which means `"query"`
   */
  readonly responseMode?:
    "query" | "fragment" | "form_post" | "query.jwt" | "fragment.jwt" | "form_post.jwt" | "jwt";
  /**
   * How the client shows who it is: at the token endpoint, when authorization requests are pushed,
   * and when tokens are ended. @defaultValue a public client
   */
  readonly clientAuth?: ClientAuth;
  /**
   * Signs authorization requests with this key (RFC 9101): what is asked for stands in a JWT for this
   * issuer, good for five minutes, and with `par` goes to the provider directly. A provider that
   * takes only signed requests gets no others: `config_invalid` at `requestObject`.
   * @defaultValue they are not signed
   */
  readonly requestObject?: RequestObjectKey;
}

/** The key that authorization requests are signed with. */
export interface RequestObjectKey {
  /**
   * A private CryptoKey that signs, a private JWK, or PKCS #8 in PEM. JWK and PEM are imported so
   * that no script can read the key again.
   */
  readonly key: CryptoKey | JsonWebKey | string;
  /**
   * The algorithm, where the key does not say it: for PEM, and for RSA without `alg`.
   * @defaultValue that of the key
   */
  readonly alg?: SigningAlgorithm;
  /** The name under which the provider knows the key. @defaultValue the `kid` of the JWK */
  readonly kid?: string;
}

/** What every grant can ask for. */
export interface GrantOptions {
  /** Scopes, separated by single spaces. Order does not matter. @defaultValue none, or the client's */
  readonly scope?: string;
  /** The APIs that the token is for, as absolute URIs (RFC 8707). @defaultValue none, or the client's */
  readonly resource?: string | readonly string[];
  /**
   * `audience` parameters, of token exchange (RFC 8693) and of providers that use them otherwise.
   * @defaultValue none, or the client's
   */
  readonly audience?: string | readonly string[];
  /** More parameters of the request. Those that are options here are refused. */
  readonly params?: Readonly<Record<string, string>>;
}

/** What client credentials ask for. What is not given is that of the client. */
export interface ClientCredentialsOptions extends GrantOptions {
  /**
   * The origins to which `wrapFetch` sends the token. @defaultValue the origins of `resource`, else
   * those of the client
   */
  readonly allowedOrigins?: string | readonly string[];
}

/** A type of token: a URI, or the end of one of those that RFC 8693 section 3 names. */
export type TokenType =
  "access_token" | "id_token" | "jwt" | "refresh_token" | "saml1" | "saml2" | (string & {});

/** Token exchange (RFC 8693 section 2.1). */
export interface TokenExchangeOptions extends GrantOptions {
  /** On whose behalf. */
  readonly subjectToken: string;
  /** The type of that token. */
  readonly subjectTokenType: TokenType;
  /** Who acts, with its type: both or neither. @defaultValue none */
  readonly actorToken?: string;
  /** The type of that token. @defaultValue none */
  readonly actorTokenType?: TokenType;
  /** Which type of token is wanted; another one in the answer is `response_malformed`.
   * @defaultValue the provider's choice */
  readonly requestedTokenType?: TokenType;
}

/** A JWT as the grant (RFC 7523 section 2.1). */
export interface JwtBearerOptions extends GrantOptions {
  /** The JWT, made and signed by whoever vouches. */
  readonly assertion: string;
}

/** A refresh token that belongs to no session of this client (RFC 6749 section 6). */
export interface RefreshTokenOptions extends GrantOptions {
  /** The refresh token, which may be used up by this. */
  readonly refreshToken: string;
}

/** Tokens that belong to no session. Keep them out of URLs and logs. */
export interface TokenSet {
  /** The access token. */
  readonly accessToken: string;
  /** `DPoP` with that option; `N_A` for what is no access token (RFC 8693 section 2.2.1). */
  readonly tokenType: "Bearer" | "DPoP" | "N_A";
  /** When the access token ends by the local clock, in seconds since 1970. */
  readonly expiresAt?: number;
  /** What was granted; absent when neither request nor answer name a scope. */
  readonly scope?: string;
  /** The refresh token, if one was issued. */
  readonly refreshToken?: string;
  /** A URI (RFC 8693 section 3); there after token exchange. */
  readonly issuedTokenType?: string;
}

/** What a device login asks for. */
export interface DeviceLoginOptions extends GrantOptions {
  /** @defaultValue the client's `scope` */
  readonly scope?: string;
}

/** A device login that waits for its user (RFC 8628). Show what it says; nothing of it is secret. */
export interface DeviceLogin {
  /** What to type there, without control characters. */
  readonly userCode: string;
  /** Where to go; https. Open it without a shell. */
  readonly verificationUri: string;
  /** The same with the code in it, for a link or a QR code. */
  readonly verificationUriComplete?: string;
  /** When the code ends by the local clock, in seconds since 1970. */
  readonly expiresAt: number;
  /**
   * Waits until the user has signed in elsewhere; the session is then that of the client. Asks at the
   * interval that the provider names, 5 seconds longer after each `slow_down`, twice as long after
   * each failure of the network. Several calls wait for the same sign-in; the signal of each ends the
   * wait, at its next pause because an answer that is under way may be the tokens, and a later call
   * goes on with it while the code lives and no other `deviceLogin` was begun (`flow_misused`).
   * `dispose` ends it in the same way, and nothing goes on with it.
   *
   * @throws {@link GatepassError} `flow_expired` when the code ended, `server_error_response` with
   * `details.error` `access_denied` when the user said no, `aborted`, and all of `handleCallback`.
   */
  finish(options?: { readonly signal?: AbortSignal }): Promise<DeviceSignedIn>;
}

/** What the core knows of it. */
type Begun = Omit<DeviceLogin, "finish"> & { readonly number: number };

/** A device login that is complete. */
export interface DeviceSignedIn {
  /** Who signed in; absent when `scope` has no `openid`. */
  readonly user?: IdClaims;
  /** What was checked of the ID token, in order. */
  readonly checks: readonly string[];
}

/** A client that can also do what machines do. */
export interface BackendClient extends Client {
  /**
   * The access token of the client itself (RFC 6749 section 4.4), asked for when it is first needed
   * and again {@link ClientOptions.refreshSkew | refreshSkew} before its end. Kept by server, client,
   * scope, audience, resource and parameters; calls that come together share one request (but not on
   * Cloudflare Workers, where a request must not wait for another one).
   *
   * A request that fails is sent again, twice at most, when the network failed or the answer was 429
   * or 5xx: it uses nothing up. Pauses are 0.5 to 1 and 1 to 2 seconds, or what `Retry-After` says up
   * to 30 seconds; a longer one is in `details.retryAfter`.
   */
  clientCredentials(options?: ClientCredentialsOptions): TokenSource;
  /** Exchanges a token for another one (RFC 8693). Sent again as client credentials are. */
  tokenExchange(options: TokenExchangeOptions): Promise<TokenSet>;
  /** Exchanges a JWT for an access token (RFC 7523). Sent once: its `jti` may be used up. */
  jwtBearer(options: JwtBearerOptions): Promise<TokenSet>;
  /**
   * Exchanges a refresh token that you keep yourself. Sent once: it may be used up. The client's own
   * session is renewed by {@link Client.refresh | refresh}.
   */
  refreshToken(options: RefreshTokenOptions): Promise<TokenSet>;
  /** Begins a login on a device without a browser (RFC 8628). One at a time for each client. */
  deviceLogin(options?: DeviceLoginOptions): Promise<DeviceLogin>;
}

/**
 * Makes a client for a server or a program of its own. Nothing is sent before it is used.
 *
 * @throws {@link GatepassError} `config_invalid`, `url_insecure`, `metadata_invalid`,
 * `unsupported_host`.
 */
export async function createClient(options: BackendOptions): Promise<BackendClient> {
  // Options that are none at all are the core's to refuse.
  const { clientAuth: auth, requestObject: object } = (options ?? {}) as Partial<BackendOptions>;
  const { rest: clientAuth, key } = takeKey(auth);
  const { rest: requestObject, key: requestKey } = takeKey(object);
  const given = {
    ...options,
    ...(clientAuth !== undefined && { clientAuth }),
    ...(requestObject !== undefined && { requestObject }),
  };
  // This engine knows more response modes than that of a page.
  return makeClient(backendEngine, given as ClientOptions, MachineClient, (core) => {
    core.setKey(key.key, key.alg, key.kid);
    core.setRequestKey(requestKey.key, requestKey.alg, requestKey.kid);
  });
}

/**
 * A source of access tokens of the client itself: {@link createClient} and
 * {@link BackendClient.clientCredentials} in one. Scope, audience, resource and `allowedOrigins` are
 * those of the options.
 */
export async function clientCredentials(options: BackendOptions): Promise<TokenSource> {
  return (await createClient(options)).clientCredentials();
}

/** The passes of the sources that were made here. */
const passes = new WeakMap<object, PassSource>();

/**
 * A `fetch` that adds the token of a source to requests to its `allowedOrigins` and to no others, also
 * across redirects. An `Authorization` header of yours stays. When the API says that the token is not
 * valid, a new one is asked for, once for all requests, and the request sent once more, if its body
 * can be sent twice. With `dpop` each request carries a proof of its own.
 *
 * Rejects with `scope_insufficient` (RFC 6750) and `step_up_required` (RFC 9470).
 */
export function wrapFetch(
  source: Pick<TokenSource, "tokenFor" | "tokenAfter">,
  send: typeof fetch = (input, init) => fetch(input, init),
): typeof fetch {
  const own = passes.get(source);
  return own ? fetchWith(own, send) : wrapPlain(source, send);
}

/**
 * The core of a client that was made here.
 *
 * @internal
 */
export function coreOf(client: BackendClient): Core {
  return MachineClient.coreOf(client as MachineClient);
}

class MachineClient extends PageClient implements BackendClient {
  /** Ends what waits for a user elsewhere. */
  readonly #stops = new Set<() => void>();

  static coreOf(client: MachineClient): Core {
    return client.core as Core;
  }

  #use<T>(work: (core: Core) => T | Promise<T>): Promise<T> {
    return this.use((core) => work(core as Core));
  }

  clientCredentials(options: ClientCredentialsOptions = {}): TokenSource {
    // The options are read now: changing them later has no effect.
    const grant = toJson(options);
    const source: TokenSource = {
      accessToken: () => this.#use((core) => core.grantedToken(grant)),
      tokenFor: (url) => this.#use((core) => core.grantedTokenFor(grant, String(url))),
      tokenAfter: (status, wwwAuthenticate, used) => {
        const challenge = textOrNone(wwwAuthenticate ?? undefined);
        return this.#use((core) => core.grantedTokenAfter(grant, status, challenge, text(used)));
      },
    };
    passes.set(source, {
      passFor: (...request) => this.#use((core) => core.grantedPassFor(grant, ...request)),
      passAfter: (...refusal) => this.#use((core) => core.grantedPassAfter(grant, ...refusal)),
      learnNonce: (url, nonce) => this.learnNonce(url, nonce),
    });
    return source;
  }

  tokenExchange(options: TokenExchangeOptions): Promise<TokenSet> {
    return this.#tokens("token_exchange", options);
  }

  jwtBearer(options: JwtBearerOptions): Promise<TokenSet> {
    return this.#tokens("jwt_bearer", options);
  }

  refreshToken(options: RefreshTokenOptions): Promise<TokenSet> {
    return this.#tokens("refresh_token", options);
  }

  async #tokens(kind: string, options: object): Promise<TokenSet> {
    const json = toJson(options);
    return JSON.parse(await this.#use((core) => core.requestTokens(kind, json))) as TokenSet;
  }

  async deviceLogin(options: DeviceLoginOptions = {}): Promise<DeviceLogin> {
    const json = toJson(options);
    const begun = JSON.parse(await this.#use((core) => core.startDevice(json))) as Begun;
    const { number, ...prompt } = begun;
    const ask = async (given: object, signal?: AbortSignal): Promise<DeviceSignedIn> => {
      const json = toJson(given);
      const done = await this.#use((core) => core.finishDevice(number, json, signal));
      return JSON.parse(done) as DeviceSignedIn;
    };
    // The one that is under way, and the one before it: the core waits once at a time.
    let wait: { readonly stop: () => void; readonly done: Promise<DeviceSignedIn> } | undefined;
    let last: Promise<DeviceSignedIn> | undefined;
    const begin = (): NonNullable<typeof wait> => {
      const end = new AbortController();
      const stop = (): void => {
        if (wait === mine) wait = undefined;
        end.abort();
      };
      this.#stops.add(stop);
      const asked = last
        ? last.catch((thrown: unknown) => {
            if (translate(thrown).code !== "aborted") throw thrown;
            return ask({}, end.signal);
          })
        : ask({}, end.signal);
      last = asked.finally(() => this.#stops.delete(stop));
      const mine = { stop, done: last };
      return mine;
    };
    return {
      ...prompt,
      finish: async (given = {}) => {
        const { host, rest } = split(given, { signal: isSignal });
        // The core says what is wrong with them.
        if (Object.keys(rest).length > 0) return ask(rest);
        const { signal } = host;
        const { stop, done } = (wait ??= begin());
        if (signal?.aborted) stop();
        signal?.addEventListener("abort", stop);
        return done.finally(() => signal?.removeEventListener("abort", stop));
      },
    };
  }

  override dispose(): void {
    for (const stop of this.#stops) stop();
    super.dispose();
  }
}
