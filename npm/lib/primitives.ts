import { primitivesEngine } from "../load/primitives.js";
import type { ClientOptions, IdClaims, IssuerMetadata, SignInOptions } from "./client.js";
import { call } from "./errors.js";
import { formOf, isRequest } from "./form.js";
import { isFunction, split, text, textOrNone, toJson } from "./options.js";

export type {
  AuthorizationDetail,
  ClaimsRequest,
  IdClaims,
  IssuerMetadata,
  SignInOptions,
} from "./client.js";

/** A public client at a provider whose metadata is known. Each step reads what it needs of it. */
export interface StepOptions extends Pick<
  ClientOptions,
  | "audience"
  | "authorizationParams"
  | "clientId"
  | "clockTolerance"
  | "dangerouslyAllowHttpLoopback"
  | "fetch"
  | "redirectUri"
  | "resource"
  | "scope"
  | "timeout"
  | "trustedAudiences"
> {
  /** The provider's metadata: what {@link discover} answered, or a document of yours. */
  readonly issuer: IssuerMetadata;
  /**
   * How the provider hands over its response, as in {@link ClientOptions}. Not as a JWT, because steps
   * check no signature. @defaultValue not sent, which means `"query"`
   */
  readonly responseMode?: "query" | "fragment" | "form_post";
}

/** What is discovered, and how. */
export interface DiscoverOptions extends Pick<
  ClientOptions,
  "dangerouslyAllowHttpLoopback" | "fetch" | "timeout"
> {
  /** The issuer identifier, letter by letter as the provider writes it. */
  readonly issuer: string;
}

/** A verifier and its challenge (RFC 7636 sections 4.1 and 4.2). */
export interface Pkce {
  /** 43 characters from 32 random bytes. Keep it secret until the code is exchanged. */
  readonly codeVerifier: string;
  /** Its SHA-256 hash, base64url. */
  readonly codeChallenge: string;
  /** How the one is made from the other. */
  readonly codeChallengeMethod: "S256";
}

/** An authorization request that is ready. */
export interface AuthorizationRequest {
  /** Where the user goes. */
  readonly url: string;
  /** The `state` in it, by which the callback is known. */
  readonly state: string;
  /**
   * What waits for the callback, as text: state, nonce, verifier and what was asked for. Keep it where
   * only this user's browser gets at it, use it once, and forget it: that is not checked here.
   */
  readonly login: string;
}

/** A code whose response was checked. */
export interface CallbackCode {
  /** The authorization code. It is good once. */
  readonly code: string;
  /** The `returnTo` of the authorization request. */
  readonly returnTo?: string;
  /** What was checked, in order. */
  readonly checks: readonly string[];
}

/** A token response (RFC 6749 section 5.1). */
export interface TokenResponse {
  /** The access token. */
  readonly accessToken: string;
  /** Other types are refused. */
  readonly tokenType: "Bearer";
  /** How long the access token lives from now, in seconds; absent when the provider does not say. */
  readonly expiresIn?: number;
  /** The scope, where the provider names it. */
  readonly scope?: string;
  /** The refresh token, if one was issued; it takes the place of the one that was used. */
  readonly refreshToken?: string;
  /** The ID token as it came: look at it with {@link checkClaims} before you believe it. */
  readonly idToken?: string;
  /** What the user agreed to in detail (RFC 9396 section 7). */
  readonly authorizationDetails?: readonly Readonly<Record<string, unknown>>[];
}

/** What an ID token came with. */
export interface ClaimsContext {
  /**
   * The login that it answers; with it `nonce`, `acr`, `auth_time` and `sub` are those that were asked
   * for. @defaultValue none: a token with a nonce is refused
   */
  readonly login?: string;
  /**
   * Whether it came with a refresh: then it need not have the login's nonce, and is not held against
   * what else the login asked for (OpenID Connect Core section 12.2). Compare `sub` with that of the
   * sign-in yourself. @defaultValue false
   */
  readonly refreshed?: boolean;
  /** The access token beside it, for `at_hash`. @defaultValue a token with `at_hash` is refused */
  readonly accessToken?: string;
  /** The code that it was exchanged for, for `c_hash`. @defaultValue not compared */
  readonly code?: string;
}

/** Claims that were checked. */
export interface CheckedClaims {
  /** All of them. */
  readonly claims: IdClaims;
  /** What was checked, in order. */
  readonly checks: readonly string[];
}

/** A token taken apart. */
export interface DecodedJwt {
  /** The header. Integers beyond 2^53 come as strings, here and in the claims. */
  readonly header: Readonly<Record<string, unknown>>;
  /** The claims. */
  readonly claims: Readonly<Record<string, unknown>>;
}

type Glue = Awaited<ReturnType<typeof primitivesEngine.ready>>;

/** Calls a step and reads its answer, which is JSON text. */
function step<T>(work: (glue: Glue) => string | Promise<string>): Promise<T> {
  return call(async () => {
    const glue = await primitivesEngine.ready();
    const { life } = primitivesEngine;
    const answer = work(glue);
    return JSON.parse(typeof answer === "string" ? answer : await life.of(answer)) as T;
  });
}

/** A client as the core takes it, and its `fetch`. */
function read(client: StepOptions | DiscoverOptions) {
  const { host, rest } = split(client, { fetch: isFunction });
  return { json: toJson(rest), fetch: host.fetch };
}

/**
 * Makes a fresh verifier with its S256 challenge. {@link authorizationUrl} does so itself; this is for
 * requests that you write by hand.
 *
 * @throws {@link GatepassError} `config_invalid` where the runtime has no randomness.
 */
export function createPkce(): Promise<Pkce> {
  return step((glue) => glue.createPkce());
}

/**
 * Fetches an issuer's metadata (OpenID Connect Discovery section 4, RFC 8414 section 3), checks that it
 * is this issuer's and that its endpoints are https, and answers it as it came. Nothing is kept: do
 * that yourself, for a day or so.
 *
 * @throws {@link GatepassError} `metadata_invalid`, `upstream_status`, `upstream_unreachable`,
 * `upstream_timeout`, `redirect_refused`, `response_too_large`, `config_invalid`, `url_insecure`.
 */
export function discover(options: DiscoverOptions): Promise<IssuerMetadata> {
  const { json, fetch } = read(options);
  return step((glue) => glue.discover(json, fetch));
}

/**
 * Makes an authorization request (RFC 6749 section 4.1.1) with fresh `state`, `nonce` (with the scope
 * `openid`) and PKCE challenge. Nothing is sent: the user's browser goes to its URL.
 *
 * @throws {@link GatepassError} `config_invalid`, also at `par` or `requestObject` where the provider
 * takes only requests that are pushed (RFC 9126) or signed (RFC 9101), which `createClient` makes;
 * `pkce_unsupported`, `metadata_invalid`, `url_insecure`.
 */
export function authorizationUrl(
  client: StepOptions,
  options: Omit<SignInOptions, "idTokenHint"> = {},
): Promise<AuthorizationRequest> {
  const { json } = read(client);
  const asked = toJson(options);
  return step((glue) => glue.authorizationUrl(json, asked));
}

/**
 * Checks a callback against the login that waits for it: `state`, `iss` (RFC 9207), the place where it
 * came to, whether it is an error, and that the login is not older than 10 minutes.
 *
 * It does not check that the login is used once: forget it before you exchange the code.
 *
 * @param callback - the URL as the browser shows it; the request, for `responseMode: "form_post"`
 * @throws {@link GatepassError} `state_missing`, `state_mismatch`, `flow_expired`, `flow_unknown`,
 * `iss_missing`, `iss_mismatch`, `server_error_response`, `login_required`, `code_missing`,
 * `param_invalid`, `response_mode_mismatch`.
 */
export function parseCallback(
  client: StepOptions,
  login: string,
  callback: string | URL | Request,
): Promise<CallbackCode> {
  const { json } = read(client);
  return call(async () => {
    const isPosted = isRequest(callback);
    const form = isPosted ? await formOf(callback) : undefined;
    const url = isPosted ? callback.url : String(callback);
    return step<CallbackCode>((glue) => glue.parseCallback(json, text(login), url, form));
  });
}

/**
 * Exchanges a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5) as a public client. Sent once: the
 * code may be used up.
 *
 * It does not check the ID token: see {@link checkClaims}.
 *
 * @throws {@link GatepassError} `server_error_response`, `response_malformed`,
 * `token_type_unsupported`, `upstream_status`, `upstream_unreachable`, `upstream_timeout`,
 * `redirect_refused`, `response_too_large`.
 */
export function exchangeCode(
  client: StepOptions,
  login: string,
  code: string,
): Promise<TokenResponse> {
  const { json, fetch } = read(client);
  return step((glue) => glue.exchangeCode(json, text(login), text(code), fetch));
}

/**
 * Renews tokens (RFC 6749 section 6) as a public client. Sent once, and it must not be called twice with
 * one refresh token, also not by two tabs: most providers end the session then.
 *
 * @throws {@link GatepassError} as {@link exchangeCode}.
 */
export function refreshTokens(client: StepOptions, refreshToken: string): Promise<TokenResponse> {
  const { json, fetch } = read(client);
  return step((glue) => glue.refreshTokens(json, text(refreshToken), fetch));
}

/**
 * Checks all that an ID token says (OpenID Connect Core section 3.1.3.7): `typ`, `iss`, `aud`, `azp`,
 * `exp`, `nbf`, `iat`, `nonce`, `acr`, `auth_time`, the hashes, `sub`, and that its algorithm is one
 * that the provider names.
 *
 * **It does not check the signature.** That may be left out only for a token that came from
 * {@link exchangeCode} or {@link refreshTokens}, over TLS from the provider itself (step 6 there), and
 * never for one that somebody handed you. `createClient` checks it always.
 *
 * @throws {@link GatepassError} `token_malformed`, `token_too_large`, `alg_not_allowed`,
 * `crit_unsupported`, `typ_mismatch`, `claim_missing`, `claim_invalid`, `issuer_mismatch`,
 * `audience_mismatch`, `azp_mismatch`, `token_expired`, `token_not_active`, `issued_in_future`,
 * `nonce_mismatch`, `acr_insufficient`, `auth_too_old`, `hash_mismatch`; `flow_unknown` for a `login`
 * that is none.
 */
export function checkClaims(
  client: StepOptions,
  idToken: string,
  context: ClaimsContext = {},
): Promise<CheckedClaims> {
  const { json } = read(client);
  const login = textOrNone(context.login);
  const accessToken = textOrNone(context.accessToken);
  const code = textOrNone(context.code);
  const refreshed = context.refreshed === true;
  return step((glue) => glue.checkClaims(json, text(idToken), login, accessToken, code, refreshed));
}

/**
 * Takes a signed token apart. **Nothing is verified**: anybody can have written what stands in it. Good
 * for looking at tokens, not for deciding.
 *
 * @throws {@link GatepassError} `token_too_large` beyond 64 KiB; `token_malformed` for what is no JWT,
 * and for one that different readers understand differently, such as with a claim that comes twice.
 */
export function decodeJwt(token: string): Promise<DecodedJwt> {
  return step((glue) => glue.decodeJwt(text(token)));
}
