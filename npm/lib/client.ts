import { clientEngine } from "../load/client.js";
import type { Engine } from "../load/engine.js";
import { Held } from "../load/held.js";
import type { Client as Core } from "../wasm/client_bg.js";
import { unlessAborted } from "./abort.js";
import { GatepassError, call, translate } from "./errors.js";
import type { ErrorCode } from "./errors.js";
import { Listeners } from "./events.js";
import { FOR_HOST, NoToken, askBrowser, disconnect } from "./fedcm.js";
import type { Connection, FedCmOptions } from "./fedcm.js";
import { fetchWith } from "./fetch.js";
import type { PassSource } from "./fetch.js";
import { formOf, isRequest } from "./form.js";
import { makeKeyring } from "./keyring.js";
import { lease, lockOr, ofTab, released } from "./lock.js";
import { isBoolean, isFunction, isKeyPair, split, toJson } from "./options.js";
import { relay } from "./relay.js";
import { defaultStore, isStore, isStoreOption, listen, sessionStore, tell } from "./storage.js";
import type { StoreOption, TransactionStore } from "./storage.js";
import { keepTending } from "./tend.js";
import type { Tending } from "./tend.js";
import { awaitFrame, awaitPopup, isSignal, openPopup, wait } from "./windows.js";
import type { Waiting } from "./windows.js";

export type { FedCmOptions } from "./fedcm.js";
export type { TokenStore, TransactionStore } from "./storage.js";

/** A provider's metadata, given in place of discovery (RFC 8414 section 2). */
export interface IssuerMetadata {
  /** The issuer identifier. */
  readonly issuer: string;
  /** Where the page goes to sign in. */
  readonly authorization_endpoint?: string;
  /** Where codes and refresh tokens are exchanged. */
  readonly token_endpoint?: string;
  /** Where the keys are. */
  readonly jwks_uri?: string;
  /** Where the page goes to sign out. */
  readonly end_session_endpoint?: string;
  /** Where authorization requests are pushed (RFC 9126). */
  readonly pushed_authorization_request_endpoint?: string;
  /** Whatever else the provider says. */
  readonly [member: string]: unknown;
}

/** What a client is configured with. An unknown option or a value of the wrong type is refused. */
export interface ClientOptions {
  /**
   * The issuer identifier, letter by letter as the provider writes it, or its metadata.
   * https, without query and fragment.
   */
  readonly issuer: string | IssuerMetadata;
  /** The client identifier that the provider gave you. */
  readonly clientId: string;
  /** The callback's URL exactly as it is registered. Needed to sign in. */
  readonly redirectUri?: string;
  /**
   * Where the provider sends the user after signing out, exactly as registered. With it every
   * sign-out carries a `state`, which {@link Client.handleSignOutCallback} checks there.
   */
  readonly postLogoutRedirectUri?: string;
  /**
   * The parameter that carries `postLogoutRedirectUri` to the provider: Cognito has its own.
   * @defaultValue `"post_logout_redirect_uri"`
   */
  readonly postLogoutRedirectParameter?: "post_logout_redirect_uri" | "logout_uri";
  /**
   * `frontchannel_logout_session_required` of the client's registration: whether
   * {@link Client.handleFrontchannelLogout} ends the session only when `iss` and `sid` say that it
   * is meant. With `false` a bare URL does too, and any page can open one. @defaultValue true
   */
  readonly frontchannelLogoutSessionRequired?: boolean;
  /** Scopes, separated by single spaces. @defaultValue `"openid"` */
  readonly scope?: string;
  /** The APIs that the access token is for, as absolute URIs (RFC 8707). @defaultValue none */
  readonly resource?: string | readonly string[];
  /** The `audience` parameter of providers that use it in place of `resource`. */
  readonly audience?: string;
  /**
   * How the provider hands over its response. `"fragment"`: behind the callback's `#`, which no
   * server sees. `"form_post"`: as a POST to a server, which calls
   * {@link Client.handleCallback | handleCallback(request)}; not in popups and frames.
   * A response in another way is refused (`response_mode_mismatch`).
   * @defaultValue not sent, which means `"query"`
   */
  readonly responseMode?: "query" | "fragment" | "form_post";
  /**
   * Pushed authorization requests (RFC 9126). `"auto"`: where the provider's metadata requires them.
   * `"require"`: always. `"off"`: never; a provider that requires them then gets no request at all
   * (`config_invalid`). Nothing falls back to an ordinary request.
   * @defaultValue `"auto"`
   */
  readonly par?: "auto" | "require" | "off";
  /**
   * Whether the provider's metadata must name S256 in `code_challenge_methods_supported` (RFC 8414), as
   * the Model Context Protocol demands of its clients. Every sign-in uses PKCE with S256, and a
   * provider that rules it out is refused in any case; with `true` one that is silent is as well
   * (`pkce_unsupported`), because it may ignore the challenge.
   * @defaultValue `false`
   */
  readonly requirePkceSupport?: boolean;
  /**
   * The registrable domain that page and provider share, such as `"example.com"` for
   * `app.example.com` and `login.example.com`. Silent sign-ins need it, because the Public Suffix
   * List, which tells such a domain from `co.uk`, is not part of this package.
   * @defaultValue only the same host counts as the same site
   */
  readonly site?: string;
  /** More parameters of every authorization request. Those that carry checks are refused. */
  readonly authorizationParams?: Readonly<Record<string, string>>;
  /** Audiences that an ID token may name besides this client. @defaultValue none */
  readonly trustedAudiences?: readonly string[];
  /**
   * The origins to which {@link Client.fetch | fetch} sends the access token, such as
   * `"https://api.example.com"`. @defaultValue the origins of `resource`
   */
  readonly allowedOrigins?: string | readonly string[];
  /**
   * `userinfo_signed_response_alg` of the client's registration, such as `"RS256"`: then
   * {@link Client.userinfo | userinfo} reads answers that are signed with it and no others.
   * @defaultValue JSON and signed answers are read
   */
  readonly userinfoSignedResponseAlg?: string;
  /** How far clocks may differ, in seconds, 0 to 300. @defaultValue 30 */
  readonly clockTolerance?: number;
  /**
   * How long before its end an access token is renewed, in seconds, 0 to 3600; never more than
   * half of its life. @defaultValue 60
   */
  readonly refreshSkew?: number;
  /**
   * Whether a page that is seen renews the session by itself, so that nobody waits for it: at
   * `refreshSkew`, when the page wakes up or is shown again, and when the network is back. After a
   * failure it tries again, at first after two seconds and at most about once a minute, or when
   * `Retry-After` says so; after a refusal by name, such as `invalid_client`, when the page is back or uses
   * the session. Without it, and in runtimes without pages, the session is renewed when it is used.
   * @defaultValue true
   */
  readonly autoRefresh?: boolean;
  /**
   * How long one request to the provider may take, in seconds, 1 to 120. Time that a page or a machine
   * sleeps through does not count. @defaultValue 10
   */
  readonly timeout?: number;
  /** Where sign-ins wait for their callback. @defaultValue the page's sessionStorage */
  readonly transactionStore?: TransactionStore;
  /**
   * Where the session is kept. `"memory"`: it ends with the page, and no other script's storage
   * access reaches it. `"session"`: it survives reloads of the tab (sessionStorage); a tab that is
   * duplicated, or that a page opens, begins without it. `"local"`: it is shared by all tabs of the
   * origin, which then renew it once for all (IndexedDB, which unlike localStorage shows every tab the
   * same at the same time). Whatever script runs in your origin can read the last two. A store of your
   * own is used like `"local"`, under Web Locks where there are any.
   *
   * What is stored and is no session of this client, such as what another version left or someone
   * changed, is removed and told as `session_discarded` with the code `storage_invalid`. A store
   * that cannot be read rejects with `storage_unavailable`.
   * @defaultValue `"memory"`
   */
  readonly store?: StoreOption;
  /**
   * Binds the tokens to a key that only this browser has (DPoP, RFC 9449): whoever steals one cannot
   * use it. The provider must issue such tokens; one that answers with a bearer token is refused
   * with `token_type_unsupported`. `true`, or options of its own. @defaultValue false
   */
  readonly dpop?: boolean | DpopOptions;
  /** Sends the requests in place of the runtime's `fetch`. */
  readonly fetch?: typeof fetch;
  /** Is told of everything that happens; never of a token. */
  readonly onEvent?: (event: ClientEvent) => void;
  /** Accepts http for 127.0.0.1, [::1] and localhost. For development only. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
}

/** How tokens are bound to a key (RFC 9449). */
export interface DpopOptions {
  /**
   * An ECDSA key on P-256 whose private part cannot be extracted (`key_unsuitable` otherwise). Without
   * it one is made, ES256, and kept in IndexedDB, where it outlives the way to the provider and
   * back, until somebody signs out; in runtimes without IndexedDB it lives as long as the client.
   */
  readonly key?: CryptoKeyPair;
  /**
   * Whether authorization codes are bound to the key too, by `dpop_jkt` (RFC 9449 section 10).
   * @defaultValue true
   */
  readonly bindCode?: boolean;
}

/** What one sign-in asks for. */
export interface SignInOptions {
  /**
   * `prompt` (OpenID Connect Core section 3.1.2.1), such as `"login"` or `"consent"`.
   * @defaultValue none: the provider decides
   */
  readonly prompt?: string;
  /** `login_hint`: whom the user wants to sign in as. @defaultValue none */
  readonly loginHint?: string;
  /**
   * How the user is to sign in (`acr_values`), best first. The ID token's `acr` must be one of them,
   * else `acr_insufficient`; to ask without checking use `authorizationParams`.
   */
  readonly acrValues?: string | readonly string[];
  /** The languages of the provider's pages (`ui_locales`), best first. @defaultValue the provider's choice */
  readonly uiLocales?: string | readonly string[];
  /** How the provider's pages are shown (`display`). @defaultValue the provider's choice */
  readonly display?: "page" | "popup" | "touch" | "wap" | (string & {});
  /**
   * The claims that are asked for one by one (OpenID Connect Core section 5.5). An essential `acr`
   * and a `sub` with a value are conditions of the sign-in: `acr_insufficient`, `claim_invalid`.
   * What else is essential is not checked. @defaultValue none
   */
  readonly claims?: ClaimsRequest;
  /**
   * Names the user who is signed in here as the one who is to sign in (`id_token_hint`); anybody else
   * is refused with `claim_invalid` at `sub`. Without a session nothing is sent. @defaultValue false
   */
  readonly idTokenHint?: boolean;
  /**
   * What is asked for in detail (RFC 9396). The answer must have details of these types, else
   * `response_malformed`; what was granted stands in {@link ClientState.authorizationDetails}.
   * @defaultValue none
   */
  readonly authorizationDetails?: readonly AuthorizationDetail[];
  /**
   * How old the user's login may be, in whole seconds; checked against `auth_time` (OpenID Connect
   * Core section 3.1.2.1). @defaultValue no bound
   */
  readonly maxAge?: number;
  /** Where the application goes on: a path that begins with one slash, or a URL of its own origin. */
  readonly returnTo?: string;
  /** More parameters of this authorization request. */
  readonly authorizationParams?: Readonly<Record<string, string>>;
}

/** What one sign-out asks for. */
export interface SignOutOptions {
  /**
   * Whether the tokens are ended at the provider too (RFC 7009), where it offers that: the refresh
   * token, then the access token; and the connection, after a sign-in by FedCM. It takes 3 seconds at
   * the most, as long again where a renewal is under way, whose tokens end too, and stops nothing when
   * it fails; then there is the event `revocation_failed`, `alert` or `disconnect_failed`. A renewal that
   * is under way in another tab ends its own tokens in any case; other tabs with sessions of their own of
   * the same user end theirs as this one does. @defaultValue true
   */
  readonly revoke?: boolean;
  /** `logout_hint`: whom the user wants to sign out, for providers that ask. @defaultValue none */
  readonly logoutHint?: string;
  /** `ui_locales`: the languages of the provider's page, such as `["de-CH", "en"]`. @defaultValue none */
  readonly uiLocales?: string | readonly string[];
  /**
   * Where the application goes on after {@link Client.handleSignOutCallback}: a path of its own
   * origin, beginning with one slash, of at most 8 KiB.
   */
  readonly returnTo?: string;
}

/** A completed return from signing out at the provider. */
export interface SignedOut {
  /** The `returnTo` of the sign-out. */
  readonly returnTo?: string;
}

/** What one sign-in in a popup asks for. */
export interface PopupOptions extends SignInOptions {
  /**
   * What happens where the browser blocks the popup: the page itself goes to the provider, or the
   * call is rejected with `popup_blocked`. @defaultValue `"redirect"`
   */
  readonly whenBlocked?: "redirect" | "error";
  /** How long it may take until the user is back, in seconds, 1 to 600. @defaultValue 600 */
  readonly timeout?: number;
  /**
   * Gives up, as long as the provider's response is not there; the call is rejected with its reason.
   * @defaultValue none
   */
  readonly signal?: AbortSignal;
}

/** What one silent sign-in asks for. */
export interface SilentOptions extends Omit<SignInOptions, "prompt" | "returnTo"> {
  /** How long the provider's response may take, all in all, in seconds, 1 to 600. @defaultValue 10 */
  readonly timeout?: number;
  /**
   * Gives up, as long as the provider's response is not there; the call is rejected with its reason.
   * @defaultValue none
   */
  readonly signal?: AbortSignal;
  /**
   * What happens where provider and page share no site. `"redirect"`: a session that has a refresh
   * token is renewed with it, where nothing of {@link SignInOptions} is asked for, because a renewal
   * would not bring it; else the page itself goes to the provider with `prompt=none`, and comes back to
   * where it is now (`returnTo`), with `login_required` at the callback when the provider needs the user.
   * `"error"`: `silent_unavailable`. @defaultValue "error"
   */
  readonly whenUnavailable?: "redirect" | "error";
}

/** The `claims` parameter (OpenID Connect Core section 5.5). */
export interface ClaimsRequest {
  /** Of the ID token, by name; `null` asks for a claim without more. */
  readonly id_token?: Readonly<Record<string, ClaimRequest | null>>;
  /** Of the UserInfo answer, likewise. */
  readonly userinfo?: Readonly<Record<string, ClaimRequest | null>>;
}

/** How one claim is asked for (OpenID Connect Core section 5.5.1). */
export interface ClaimRequest {
  /** Whether the sign-in is of little use without it. */
  readonly essential?: boolean;
  /** The value that it should have. */
  readonly value?: unknown;
  /** The values of which it should have one, best first. */
  readonly values?: readonly unknown[];
}

/** One detail of an authorization (RFC 9396 section 2). */
export interface AuthorizationDetail {
  /** What kind of detail it is; the API says which there are. */
  readonly type: string;
  /** What this kind of detail consists of. */
  readonly [member: string]: unknown;
}

/** The claims of an ID token that was checked. Integers beyond 2^53 come as strings. */
export interface IdClaims {
  /** The issuer. */
  readonly iss: string;
  /** Who signed in; unique within the issuer. Use `iss` and `sub` together as the user's key. */
  readonly sub: string;
  /** Whom the token is for: this client, and perhaps others that it trusts. */
  readonly aud: string | readonly string[];
  /** When the token ends, in seconds since 1970. */
  readonly exp: number;
  /** When it was issued, in seconds since 1970. */
  readonly iat: number;
  /** What the provider says of the user's name. */
  readonly name?: unknown;
  /** What it says of the address; look at `email_verified` before you rely on it. */
  readonly email?: unknown;
  /** Every other claim. */
  readonly [claim: string]: unknown;
}

/** What the provider says of a user. Integers beyond 2^53 come as strings. */
export interface UserInfo {
  /** The same as in the ID token; an answer about someone else is an error. */
  readonly sub: string;
  /** What the provider says of the user's name. */
  readonly name?: unknown;
  /** What it says of the address; worth as much as `email_verified === true`. */
  readonly email?: unknown;
  /** Whatever else it says. */
  readonly [claim: string]: unknown;
}

/** A completed sign-in. */
export interface SignedIn {
  /** Who signed in; absent when `scope` has no `openid`. */
  readonly user?: IdClaims;
  /** The `returnTo` of the sign-in. */
  readonly returnTo?: string;
  /** What was checked, in order. */
  readonly checks: readonly string[];
}

/** What can be told of a session without its tokens. */
export interface ClientState {
  /** Whether there is a session. */
  readonly signedIn: boolean;
  /** The scope that was granted. */
  readonly scope?: string;
  /** When the access token ends by the local clock, in seconds since 1970. */
  readonly expiresAt?: number;
  /** Whether the session can be renewed without the user. */
  readonly canRefresh?: boolean;
  /** What the user agreed to in detail, where it was asked for (RFC 9396 section 7). */
  readonly authorizationDetails?: readonly AuthorizationDetail[];
  /** The user's `sub`. */
  readonly subject?: string;
}

/** What a client reports. */
export type ClientEvent =
  | {
      readonly type: "request";
      readonly purpose:
        | "discovery"
        | "keys"
        | "pushed_request"
        | "token"
        | "refresh"
        | "userinfo"
        | "revocation"
        /** Of `gatepass/backend` alone. */
        | "device_authorization";
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
      readonly type: "checked";
      readonly subject: "metadata" | "callback" | "token_response" | "id_token";
      readonly checks: readonly string[];
    }
  /** The authorization URL is so long that some servers refuse it; push the request (`par`). */
  | { readonly type: "url_long" }
  | { readonly type: "signed_in" }
  | { readonly type: "refreshed" }
  | { readonly type: "refresh_failed"; readonly code: ErrorCode }
  /** The provider ended the session: somebody has to sign in. */
  | { readonly type: "expired" }
  | { readonly type: "signed_out" }
  /** Something that stops nothing and that you should know, such as a clock that is wrong. */
  | {
      readonly type: "alert";
      readonly code: ErrorCode;
      readonly phase?: string;
      readonly hint: string;
    }
  /** A token may live on at the provider; the session here is over. */
  | { readonly type: "revocation_failed"; readonly code: ErrorCode }
  /** The browser could not end the connection that FedCM made; the session here is over. */
  | { readonly type: "disconnect_failed" }
  /** Another tab renewed the shared session or signed in. */
  | { readonly type: "session_changed" }
  /**
   * The session is gone: the store held something that is no session of this client
   * (`storage_invalid`), or it was in memory alone and the WebAssembly failed (`internal_error`).
   */
  | { readonly type: "session_discarded"; readonly code: ErrorCode }
  /** The store could not keep the session, which goes on in this page. */
  | { readonly type: "store_failed"; readonly code: ErrorCode };

/** A client at one provider. Every method may be called while another one is under way. */
export interface Client {
  /**
   * Sends the page to the provider. Code flow with PKCE (RFC 7636, S256), `state` and, with
   * `openid`, `nonce`.
   */
  signIn(options?: SignInOptions): Promise<void>;
  /**
   * Signs in in a popup, while the page stays as it is. Call it directly in the handler of a click,
   * else browsers block the popup; then the page itself goes to the provider, and the call gives
   * `null` (see `whenBlocked`).
   *
   * The page at `redirectUri`, of this page's own origin, calls `relayCallback()` or
   * {@link Client.handleCallback | handleCallback()}. It works also where the provider's pages or
   * yours send Cross-Origin-Opener-Policy; then a popup that the user closed is known for closed only
   * when this page is used again.
   *
   * Rejects with `popup_closed`, `window_timeout`, `popup_blocked`, and as `signIn` and
   * `handleCallback` do.
   */
  signInPopup(options?: PopupOptions): Promise<SignedIn | null>;
  /**
   * Signs in whom the provider knows already, with nothing to be seen: `prompt=none` in a hidden
   * frame. Only where provider and page share a site (the same host, or see `site`), because browsers
   * keep the cookies of other sites out of frames; elsewhere it rejects with `silent_unavailable`
   * before anything is sent, or with `whenUnavailable: "redirect"` does it in another way and resolves
   * with `null`.
   *
   * The page at `redirectUri`, of this page's own origin, calls `relayCallback()`. A
   * Content-Security-Policy needs the provider and this origin in `frame-src`.
   *
   * Rejects with `login_required` when the provider needs the user (`details.error` says for what),
   * `window_timeout`, and as `signIn` and `handleCallback` do.
   */
  signInSilent(options?: SilentOptions & { readonly whenUnavailable?: "error" }): Promise<SignedIn>;
  /** With another way where no site is shared: `null` once that was taken. */
  signInSilent(options: SilentOptions): Promise<SignedIn | null>;
  /**
   * Signs in by the browser's own account chooser (Federated Credential Management, FedCM), where
   * the browser and the provider have it. The page stays as it is, and no cookie of another site is
   * needed.
   *
   * The ID token that the browser hands over is checked as that of a redirect, against a fresh nonce
   * that went out in `params` and beside them; its `iss` must be `issuer`. It comes alone: the
   * session then has a {@link Client.user | user} and no access token, so `accessToken()`,
   * `userinfo()` and `fetch` to `allowedOrigins` reject with `login_required`, and it is never renewed.
   * Signing out ends the connection in the browser as well.
   *
   * Rejects with `fedcm_unavailable` and `fedcm_dismissed` (see `whenUnavailable`, with which the
   * call gives `null`), `server_error_response` where the provider refused, `nonce_mismatch` and as
   * `handleCallback` does for ID tokens, `config_invalid` and `url_insecure`.
   */
  signInFedCm(options: FedCmOptions): Promise<SignedIn | null>;
  /**
   * As {@link Client.signIn | signIn}, but leaves going there to you. A URL of a pushed request works
   * once and for about a minute (RFC 9126).
   */
  signInUrl(options?: SignInOptions): Promise<URL>;
  /**
   * Completes a sign-in on the callback page: checks the response, exchanges the code, checks the
   * ID token (OpenID Connect Core section 3.1.3.7). The page's URL is cleaned first.
   *
   * Handling the same callback twice gives the same result. After a rejection that is `retryable`
   * it can be called again. On the callback page of a popup or frame it hands the callback over, and
   * its promise stays open because the window goes.
   *
   * A server gives the request that it received, whose form it reads up to 64 KiB (`responseMode:
   * "form_post"`). Its URL must be the one that the browser asked for. Such a POST comes from another
   * site: cookies reach it with `SameSite=None` only, and the `transactionStore` must be the one of
   * this browser's session, or somebody could be signed in as another user.
   */
  handleCallback(callback?: string | URL | Request): Promise<SignedIn>;
  /** The claims of the user who is signed in, or `null`. */
  user(): IdClaims | null;
  /**
   * Asks the provider what it knows of the user (OpenID Connect Core section 5.3), each time anew.
   *
   * The answer is JSON, or signed and then checked: key, algorithm, `iss`, `aud` and, where they
   * are, `exp`, `nbf`, `iat`. Its `sub` must be that of the ID token, so `scope` needs `openid`.
   * {@link Client.user | user} stays as the ID token said. What stands in either is what the
   * provider believes: `email` is worth as much as `email_verified === true`, and `iss` with `sub`
   * alone name a user.
   *
   * An access token that the provider takes no more is renewed once.
   *
   * @throws {@link GatepassError} `login_required`; `claim_missing` and `claim_invalid`, with `at`
   * `"sub"` when it is about someone else; `metadata_invalid` where there is no endpoint;
   * `scope_insufficient`, `step_up_required` and `server_error_response` as the provider refuses;
   * `response_malformed`; `upstream_status` and others of the network; for signed answers
   * `alg_not_allowed`, `signature_invalid`, `typ_mismatch`, `issuer_mismatch`,
   * `audience_mismatch`, `token_expired` and those of keys.
   */
  userinfo(): Promise<UserInfo>;
  /**
   * The access token, renewed when its end is near. Keep it out of URLs, logs and storage.
   *
   * @throws {@link GatepassError} `login_required` where nobody is signed in, and where somebody else has
   * signed in meanwhile: what was begun for one user does not go on as another.
   */
  accessToken(): Promise<string>;
  /**
   * The access token for a request to this URL, renewed when its end is near; `undefined` for one
   * that is not of `allowedOrigins` and must not carry it. For transports that are not `fetch`; with
   * `dpop` such a token is of no use without a proof, which {@link Client.fetch} makes.
   */
  tokenFor(url: string | URL): Promise<string | undefined>;
  /**
   * As the runtime's `fetch`, with the access token for requests to `allowedOrigins` and for no
   * others, also across redirects. An `Authorization` header of yours stays.
   *
   * When the API says that the token is not valid, it is renewed once for all requests and the
   * request sent once more, if its body can be sent twice. What renewing cannot help is rejected:
   * `scope_insufficient` (a missing scope) and `step_up_required` (RFC 9470), with what is needed
   * in `details`. The API must let the page read `WWW-Authenticate` for both
   * (`Access-Control-Expose-Headers`).
   *
   * A request is never sent as somebody else than whoever was signed in when it was begun: it rejects with
   * `login_required`, or its 401 is handed on, where another user signs in meanwhile.
   *
   * With `dpop` each request carries a proof of its own, for its method and URL, with the nonce that
   * the origin gave last; a refusal that asks for a nonce is answered once, besides the renewal. The
   * page must be let read `DPoP-Nonce` as well. Browsers follow redirects with the proof of the first
   * URL, which an API refuses.
   *
   * A `signal` ends the waiting for a renewal, too; the renewal goes on. Outside pages redirects are
   * followed here: what stands in `init` for the runtime (`dispatcher`, `cf`) goes along on each hop, what
   * a `Request` carries of the kind on the first one alone.
   */
  readonly fetch: typeof fetch;
  /** Renews the tokens now. Calls that come meanwhile share the one request. */
  refresh(): Promise<void>;
  /**
   * Ends the session here at once, in all tabs that share it and in those with one of their own of the
   * same user at this client, and their tokens at the provider; then sends the page to the provider to
   * end its own session (OpenID Connect RP-Initiated Logout 1.0), if it offers that. Sign-ins that wait
   * in this tab are forgotten. Where nobody is signed in here, those of other tabs stay; but the key that
   * `dpop` makes ends with all sessions that are bound to it. After a sign-in by FedCM the browser
   * forgets the connection, with the user's `sub` as the account's hint.
   */
  signOut(options?: SignOutOptions): Promise<void>;
  /**
   * As {@link Client.signOut | signOut}, but leaves going there to you; `null` if there is nowhere
   * to go. The URL holds the ID token as a hint: do not log it.
   */
  signOutUrl(options?: SignOutOptions): Promise<URL | null>;
  /**
   * Checks, on the page `postLogoutRedirectUri`, that the return from the provider belongs to a
   * sign-out of this browser, and cleans the page's URL. The session ended when the user left;
   * whatever is thrown here, it is over.
   *
   * @throws {@link GatepassError} `logout_state_missing`, `logout_state_mismatch`,
   * `logout_unknown`, `param_invalid`, `response_mode_mismatch`, `storage_unavailable`.
   */
  handleSignOutCallback(url?: string | URL): Promise<SignedOut>;
  /**
   * For the page `frontchannel_logout_uri`, which the provider opens in a frame when the user signed
   * out there (OpenID Connect Front-Channel Logout 1.0): ends the session in all tabs when `iss` and
   * `sid` are those of this session, and says whether it did. Anything else changes nothing.
   *
   * It works with `store: "local"` where page and provider share a site. In frames of another site
   * browsers keep storage apart: there it finds no session and does nothing. Use back-channel
   * logout, which has no such limit.
   */
  handleFrontchannelLogout(url?: string | URL): Promise<boolean>;
  /** What can be told of the session without its tokens. */
  state(): ClientState;
  /** Listens to one type of event; call the result to stop. */
  on<T extends ClientEvent["type"]>(
    type: T,
    listener: (event: Extract<ClientEvent, { type: T }>) => void,
  ): () => void;
  /**
   * Forgets the session and frees the memory. Nothing can be called afterwards, and no listener is told
   * of what is still under way.
   */
  dispose(): void;
}

/**
 * Makes a client. Nothing is sent before the first sign-in.
 *
 * @throws {@link GatepassError} `config_invalid`, `url_insecure`, `metadata_invalid`,
 * `unsupported_host`.
 */
export async function createClient(options: ClientOptions): Promise<Client> {
  return makeClient(clientEngine, options, PageClient);
}

/** What the glue of every artefact with a client in it offers. */
type ClientGlue = Pick<typeof import("../wasm/client_bg.js"), "Client" | "__wbg_set_wasm">;

/**
 * Makes a client with the core of one artefact.
 *
 * @internal
 */
export async function makeClient<G extends ClientGlue, C extends PageClient>(
  engine: Engine<G>,
  options: ClientOptions,
  Made: new (...parts: ConstructorParameters<typeof PageClient>) => C,
  prepare?: (core: InstanceType<G["Client"]>) => void,
): Promise<C> {
  // The options are read before anything is awaited: changing them later has no effect.
  const { host, rest } = split(options, {
    autoRefresh: isBoolean,
    fetch: isFunction,
    onEvent: isFunction,
    store: isStoreOption,
    transactionStore: isStore,
  });
  const { key, ...dpop } = dpopOptions(rest.dpop);
  const json = toJson({ ...rest, ...dpop });
  const listeners = new Listeners<ClientEvent>(host.onEvent);
  return call(async () => {
    const logins = host.transactionStore ?? defaultStore();
    const session = sessionStore(host.store);
    // Tabs share localStorage and, for all that is known, a store of the program's own.
    const isShared = session !== undefined && host.store !== "session";
    const isLocal = host.store === "local";
    const shared = isShared ? lockOr(isLocal ? lease : undefined) : undefined;
    // Clients of one tab share its session, and a page's frames do.
    const lock = host.store === "session" ? ofTab(lockOr(undefined)) : shared;
    const keyring = makeKeyring(key);
    const revived = session ? undefined : tellOfLoss(listeners);
    const held: HeldClient = await Held.of(engine, {
      make: (glue, life) => {
        const core = new glue.Client(
          json,
          logins,
          host.fetch,
          listeners.receive,
          session,
          lock && released(lock, life),
        );
        core.useKeyring(keyring);
        prepare?.(core as InstanceType<G["Client"]>);
        return core;
      },
      begin: (core) => core.sync(),
      ...(revived && { revived }),
    });
    const send = host.fetch ?? ((input, init) => fetch(input, init));
    const isPage = typeof document !== "undefined";
    const isBound = Boolean(rest.dpop);
    const { issuer, clientId } = options;
    const named = typeof issuer === "string" ? issuer : issuer.issuer;
    return new Made(held, listeners, options.redirectUri, send, {
      isLocal,
      tends: isPage && host.autoRefresh !== false,
      isBound,
      endsKey: isBound && key === undefined,
      // Elsewhere one process may hold the sessions of many users.
      ...(isPage && "BroadcastChannel" in globalThis && { name: `${named} ${clientId}` }),
    });
  });
}

/** A core, whichever artefact it is of. */
type HeldClient = Pick<Held<ClientGlue, Core>, "core" | "use" | "isDisposed" | "dispose">;

/** A session in memory is gone with its instance: whoever was signed in is told. */
function tellOfLoss(listeners: Listeners<ClientEvent>): () => void {
  let isSignedIn = false;
  listeners.first("signed_in", () => (isSignedIn = true));
  for (const type of ["expired", "signed_out"] as const) {
    listeners.first(type, () => (isSignedIn = false));
  }
  return () => {
    if (!isSignedIn) return;
    isSignedIn = false;
    listeners.receive('{"type":"session_discarded","code":"internal_error"}');
  };
}

/** The key is for this side, everything else for the core, which refuses what it does not know. */
function dpopOptions(dpop: unknown): { readonly key?: CryptoKeyPair; readonly dpop?: unknown } {
  if (typeof dpop !== "object" || dpop === null) return {};
  const { host, rest } = split(dpop as DpopOptions, { key: isKeyPair });
  return { ...host, dpop: rest };
}

/** Where a client is. */
interface Surroundings {
  /** Whether its session is that of all tabs. */
  readonly isLocal: boolean;
  /** Whether it renews its session ahead of time. */
  readonly tends: boolean;
  /** Whether its tokens are bound to a key. */
  readonly isBound: boolean;
  /** Under which name tabs with sessions of their own hear of a sign-out. */
  readonly name?: string;
  /** Whether a sign-out ends the key to which the sessions of all tabs are bound. */
  readonly endsKey: boolean;
}

/** @internal */
export class PageClient implements Client {
  readonly fetch: typeof fetch;
  /** Whether its tokens are of no use without proofs, which adapters ask. */
  readonly isBound: boolean;
  readonly #listeners: Listeners<ClientEvent>;
  readonly #redirectUri: string | undefined;
  readonly #name: string | undefined;
  readonly #endsKey: boolean;
  readonly #held: HeldClient;
  /** The callback that was handled last: its URL is cleaned, so it is kept here. */
  #callback: string | undefined;
  /** Stops hearing what other tabs do to the session. */
  readonly #stopListening: (() => void) | undefined;
  readonly #tending: Tending | undefined;

  constructor(
    held: HeldClient,
    listeners: Listeners<ClientEvent>,
    redirectUri: string | undefined,
    send: typeof fetch,
    { isLocal, tends, isBound, name, endsKey }: Surroundings,
  ) {
    this.#held = held;
    const source: PassSource = {
      passFor: (...request) => held.use((core) => core.passFor(...request)),
      passAfter: (...refusal) => held.use((core) => core.passAfter(...refusal)),
      learnNonce: (url, nonce) => this.learnNonce(url, nonce),
    };
    this.fetch = fetchWith(source, send);
    this.#listeners = listeners;
    this.#redirectUri = redirectUri;
    this.#name = name;
    this.isBound = isBound;
    this.#endsKey = endsKey;
    if (isLocal || name !== undefined) {
      this.#stopListening = listen((note) => {
        if (held.isDisposed) return;
        const isOver = note && note.signedOutOf === name;
        // The tabs of one store read there what happened.
        if (!isLocal && !isOver) return;
        void held
          .use((core) =>
            isLocal
              ? core.sync()
              : core.signedOutElsewhere(note?.subject, note?.keepsTokens !== true),
          )
          .catch(() => {});
      });
    }
    if (tends) {
      const tending = keepTending(() => held.use((core) => core.tend()));
      for (const type of ["signed_in", "refreshed", "session_changed"] as const) {
        listeners.first(type, tending.again);
      }
      tending.again();
      this.#tending = tending;
    }
  }

  /** Uses the core; its backend's has more methods. */
  protected use<T>(work: (core: Core) => T | Promise<T>): Promise<T> {
    return this.#held.use(work);
  }

  /** The core, for what must be answered at once. */
  protected get core(): Core {
    return this.#held.core;
  }

  /** A nonce for an instance that died meanwhile is asked for once more. */
  protected learnNonce(url: string, nonce: string): void {
    void this.use((core) => core.learnNonce(url, nonce)).catch(() => {});
  }

  async signIn(options: SignInOptions = {}): Promise<void> {
    return this.#leave(options);
  }

  /** Sends the page to the provider, unless that is given up before. */
  async #leave(options: SignInOptions, signal?: AbortSignal): Promise<void> {
    const page = needPage();
    page.assign((await this.#begin(options, signal)).url);
  }

  async signInUrl(options: SignInOptions = {}): Promise<URL> {
    return new URL((await this.#begin(options)).url);
  }

  async signInPopup(options: PopupOptions = {}): Promise<SignedIn | null> {
    const { host, rest } = split(options, { signal: isSignal, whenBlocked: isWhenBlocked });
    const { origin } = needPage();
    const { timeout = 600, ...redirect } = rest;
    const waiting = this.#waiting(timeout, host.signal);
    const { signal } = waiting;
    let popup: Window | null = null;
    try {
      signal.throwIfAborted();
      // Before anything is awaited: then the browser still knows of the click.
      popup = openPopup();
      if (!popup) {
        if (host.whenBlocked === "error") throw this.#error("popup_blocked");
        await this.#leave(redirect, signal);
        return null;
      }
      const options = { ...rest, mode: "popup", page: origin };
      const { url, state } = await this.#begin(options, signal);
      popup.location.replace(url);
      return await this.#complete(await awaitPopup(popup, state, waiting));
    } finally {
      waiting.clear();
      popup?.close();
    }
  }

  signInSilent(options?: SilentOptions & { readonly whenUnavailable?: "error" }): Promise<SignedIn>;
  signInSilent(options: SilentOptions): Promise<SignedIn | null>;
  async signInSilent(options: SilentOptions = {}): Promise<SignedIn | null> {
    const { host, rest } = split(options, { signal: isSignal, whenUnavailable: isWhenBlocked });
    const { origin, pathname, search, hash } = needPage();
    const { timeout = 10, ...asked } = rest;
    const waiting = this.#waiting(timeout, host.signal);
    const { signal } = waiting;
    try {
      const options = { ...rest, mode: "silent", page: origin };
      const { url, state } = await this.#begin(options, signal);
      return await this.#complete(await awaitFrame(url, state, waiting));
    } catch (cause) {
      const { code } = translate(cause);
      if (host.whenUnavailable !== "redirect" || code !== "silent_unavailable") throw cause;
      const returnTo = pathname + search + hash;
      // A renewal gives what was granted before, whatever is asked for now.
      const isPlain = toJson({ ...asked, returnTo: undefined }) === "{}";
      if (isPlain && this.state().canRefresh) await unlessAborted(signal, () => this.refresh());
      else await this.#leave({ ...asked, prompt: "none", returnTo }, signal);
      return null;
    } finally {
      waiting.clear();
    }
  }

  async signInFedCm(options: FedCmOptions): Promise<SignedIn | null> {
    const { host, rest } = split(options, FOR_HOST);
    const { mediation, returnTo, signal, whenUnavailable } = host;
    const [request, departures] = await this.use(
      (core) => [core.fedCmRequest(toJson(rest)), core.departures()] as const,
    );
    let token;
    try {
      token = await askBrowser(JSON.parse(request), {
        ...(mediation && { mediation }),
        ...(signal && { signal }),
      });
    } catch (thrown) {
      if (signal?.aborted) throw signal.reason;
      if (!(thrown instanceof NoToken)) throw thrown;
      const { name, code } = thrown;
      const error = translate(await this.use((core) => core.fedCmError(name, code)));
      if (whenUnavailable !== "redirect" || error.code === "server_error_response") throw error;
      const redirect = {
        ...(rest.loginHint !== undefined && { loginHint: rest.loginHint }),
        ...(returnTo !== undefined && { returnTo }),
      };
      await this.#leave(redirect, signal);
      return null;
    }
    const completed = await this.use((core) => core.completeFedCm(request, token, departures));
    return JSON.parse(completed) as SignedIn;
  }

  async handleCallback(callback?: string | URL | Request): Promise<SignedIn> {
    if (isRequest(callback)) return this.#complete(callback.url, await formOf(callback));
    const relayed = callback === undefined ? relay() : undefined;
    // The window goes: there is nothing to tell.
    if (relayed && (await relayed)) return new Promise(() => {});
    return this.#complete(this.#takeCallback(callback));
  }

  async #begin(options: object, signal?: AbortSignal): Promise<Begun> {
    const begin = (): Promise<string> => this.use((core) => core.signIn(toJson(options)));
    return JSON.parse(await unlessAborted(signal, begin)) as Begun;
  }

  async #complete(url: string, form?: string): Promise<SignedIn> {
    return JSON.parse(await this.use((core) => core.complete(url, form))) as SignedIn;
  }

  #waiting(seconds: number, signal: AbortSignal | undefined): Waiting {
    return wait(seconds, signal, (code) => this.#error(code));
  }

  #error(code: ErrorCode): GatepassError {
    try {
      return translate(this.#held.core.windowError(code));
    } catch (cause) {
      // Whoever waits is to hear of it.
      return translate(cause);
    }
  }

  /** The callback's URL; that of the page is cleaned before anything else can see it. */
  #takeCallback(given: string | URL | undefined): string {
    if (given !== undefined) return String(given);
    const page = needPage();
    if (page.search !== "" || page.hash !== "" || this.#callback === undefined) {
      const current = page.href;
      if (current !== this.#redirectUri || this.#callback === undefined) this.#callback = current;
      history.replaceState(history.state, "", this.#cleaned(page));
    }
    return this.#callback;
  }

  /** The registered callback URL, which has nothing of the response in it. */
  #cleaned(page: Location): string {
    const redirectUri = this.#redirectUri;
    const isHere = redirectUri !== undefined && new URL(redirectUri).origin === page.origin;
    return isHere ? redirectUri : page.pathname;
  }

  user(): IdClaims | null {
    const text = this.#held.core.user();
    return text === undefined ? null : (JSON.parse(text) as IdClaims);
  }

  async userinfo(): Promise<UserInfo> {
    return JSON.parse(await this.use((core) => core.userinfo())) as UserInfo;
  }

  async tokenFor(url: string | URL): Promise<string | undefined> {
    const pass = await this.use((core) => core.passFor("GET", String(url)));
    return pass === undefined ? undefined : (JSON.parse(pass) as { readonly token: string }).token;
  }

  accessToken(): Promise<string> {
    return this.use((core) => core.accessToken());
  }

  refresh(): Promise<void> {
    return this.use((core) => core.refresh());
  }

  async signOut(options: SignOutOptions = {}): Promise<void> {
    const page = needPage();
    const url = await this.signOutUrl(options);
    if (url) page.assign(url);
  }

  async signOutUrl(options: SignOutOptions = {}): Promise<URL | null> {
    let disconnected: Promise<boolean> | undefined;
    let stop = (): void => {};
    const keepsTokens = (options as SignOutOptions | null)?.revoke === false;
    const url = await this.use((core) => {
      const json = toJson(options);
      stop = this.#tellOfSignOut(core, keepsTokens);
      this.#callback = undefined;
      const connection = core.fedCmConnection();
      const signedOut = core.signOut(json);
      // With options that make no sense it goes on.
      if (connection !== undefined && core.user() === undefined) {
        const given = JSON.parse(connection) as Connection;
        disconnected = disconnect(keepsTokens ? undefined : given);
      }
      return signedOut;
    })
      .finally(() => stop())
      .finally(() => disconnected);
    if ((await disconnected) === false) this.#listeners.receive('{"type":"disconnect_failed"}');
    return url === undefined ? null : new URL(url);
  }

  async handleSignOutCallback(url?: string | URL): Promise<SignedOut> {
    const current = url === undefined ? needPage().href : String(url);
    if (url === undefined) {
      const cleaned = new URL(current);
      cleaned.searchParams.delete("state");
      history.replaceState(history.state, "", cleaned);
    }
    const returnTo = await this.use((core) => core.completeSignOut(current));
    return returnTo === undefined ? {} : { returnTo };
  }

  async handleFrontchannelLogout(url?: string | URL): Promise<boolean> {
    const current = url === undefined ? needPage().href : String(url);
    let stop = (): void => {};
    return this.use((core) => {
      // What is to end at the provider ended there.
      stop = this.#tellOfSignOut(core, true);
      return core.frontchannelLogout(current);
    }).finally(() => stop());
  }

  /** Has other tabs hear of a sign-out that begins now, as soon as the session has ended here. */
  #tellOfSignOut(core: Core, keepsTokens: boolean): () => void {
    const name = this.#name;
    const { signedIn, subject } = JSON.parse(core.state()) as ClientState;
    // Where nobody is signed in nobody signs out; but a key that ends here ends for all tabs.
    if (name === undefined || !(signedIn || this.#endsKey)) return () => {};
    // Without a name it ends the sessions of all users, of which none is of use without its key.
    const isTheirs = subject !== undefined && !this.#endsKey;
    const note = {
      signedOutOf: name,
      ...(isTheirs && { subject }),
      ...(keepsTokens && { keepsTokens }),
    };
    return this.#listeners.first("signed_out", () => tell(note));
  }

  state(): ClientState {
    return JSON.parse(this.#held.core.state()) as ClientState;
  }

  on<T extends ClientEvent["type"]>(
    type: T,
    listener: (event: Extract<ClientEvent, { type: T }>) => void,
  ): () => void {
    return this.#listeners.on(type, listener);
  }

  dispose(): void {
    this.#stopListening?.();
    this.#tending?.stop();
    this.#listeners.clear();
    this.#held.dispose();
  }
}

/** What the core says of a sign-in that it began. */
interface Begun {
  readonly state: string;
  readonly url: string;
}

const isWhenBlocked = (value: unknown): boolean => value === "redirect" || value === "error";

/** The page's location, in runtimes that have pages. */
function needPage(): Location {
  if (typeof location === "undefined" || typeof history === "undefined") {
    throw new GatepassError({
      code: "unsupported_host",
      phase: "config",
      retryable: false,
      at: "location",
      hint: "There is no page here; use signInUrl(), handleCallback(url) and signOutUrl().",
    });
  }
  return location;
}
