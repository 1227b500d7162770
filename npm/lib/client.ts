import { clientEngine } from "../load/client.js";
import type { Client as Core } from "../wasm/client_bg.js";
import { GatepassError, call, disposed } from "./errors.js";
import type { ErrorCode } from "./errors.js";
import { Listeners } from "./events.js";
import { wrapFetch } from "./fetch.js";
import { lease, lockOr } from "./lock.js";
import { isBoolean, isFunction, split, toJson } from "./options.js";
import { defaultStore, isStore, isStoreOption, listen, sessionStore } from "./storage.js";
import type { StoreOption, TransactionStore } from "./storage.js";
import { keepTending } from "./tend.js";
import type { Tending } from "./tend.js";

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
  /** Where the provider sends the user after signing out, exactly as registered. */
  readonly postLogoutRedirectUri?: string;
  /** Scopes, separated by single spaces. @defaultValue `"openid"` */
  readonly scope?: string;
  /** The APIs that the access token is for, as absolute URIs (RFC 8707). @defaultValue none */
  readonly resource?: string | readonly string[];
  /** The `audience` parameter of providers that use it in place of `resource`. */
  readonly audience?: string;
  /** More parameters of every authorization request. Those that carry checks are refused. */
  readonly authorizationParams?: Readonly<Record<string, string>>;
  /** Audiences that an ID token may name besides this client. @defaultValue none */
  readonly trustedAudiences?: readonly string[];
  /**
   * The origins to which {@link Client.fetch | fetch} sends the access token, such as
   * `"https://api.example.com"`. @defaultValue the origins of `resource`
   */
  readonly allowedOrigins?: string | readonly string[];
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
   * failure it tries again, at first after two seconds and at most about once a minute. Without it,
   * and in runtimes without pages, the session is renewed when it is used. @defaultValue true
   */
  readonly autoRefresh?: boolean;
  /** How long one request to the provider may take, in seconds, 1 to 120. @defaultValue 10 */
  readonly timeout?: number;
  /** Where sign-ins wait for their callback. @defaultValue the page's sessionStorage */
  readonly transactionStore?: TransactionStore;
  /**
   * Where the session is kept. `"memory"`: it ends with the page, and no other script's storage
   * access reaches it. `"session"`: it survives reloads of the tab (sessionStorage). `"local"`: it
   * is shared by all tabs of the origin, which then renew it once for all (IndexedDB, which unlike
   * localStorage shows every tab the same at the same time). Whatever script runs in your origin can
   * read the last two. A store of your own is used like `"local"`, under Web Locks where there are
   * any.
   *
   * What is stored and is no session of this client, such as what another version left or someone
   * changed, is removed and told as `session_discarded` with the code `storage_invalid`. A store
   * that cannot be read rejects with `storage_unavailable`.
   * @defaultValue `"memory"`
   */
  readonly store?: StoreOption;
  /** Sends the requests in place of the runtime's `fetch`. */
  readonly fetch?: typeof fetch;
  /** Is told of everything that happens; never of a token. */
  readonly onEvent?: (event: ClientEvent) => void;
  /** Accepts http for 127.0.0.1, [::1] and localhost. For development only. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
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
   * How old the user's login may be, in whole seconds; checked against `auth_time` (OpenID Connect
   * Core section 3.1.2.1). @defaultValue no bound
   */
  readonly maxAge?: number;
  /** Where the application goes on: a path of its own origin, beginning with one slash. */
  readonly returnTo?: string;
  /** More parameters of this authorization request. */
  readonly authorizationParams?: Readonly<Record<string, string>>;
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
  /** The user's `sub`. */
  readonly subject?: string;
}

/** What a client reports. */
export type ClientEvent =
  | {
      readonly type: "request";
      readonly purpose: "discovery" | "keys" | "token" | "refresh";
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
  /** Another tab renewed the shared session or signed in. */
  | { readonly type: "session_changed" }
  /** The store held something that is no session of this client; it was removed. */
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
  /** As {@link Client.signIn | signIn}, but leaves going there to you. */
  signInUrl(options?: SignInOptions): Promise<URL>;
  /**
   * Completes a sign-in on the callback page: checks the response, exchanges the code, checks the
   * ID token (OpenID Connect Core section 3.1.3.7). The page's URL is cleaned first.
   *
   * Handling the same callback twice gives the same result. After a rejection that is `retryable`
   * it can be called again.
   */
  handleCallback(url?: string | URL): Promise<SignedIn>;
  /** The claims of the user who is signed in, or `null`. */
  user(): IdClaims | null;
  /** The access token, renewed when its end is near. Keep it out of URLs, logs and storage. */
  accessToken(): Promise<string>;
  /**
   * The access token for a request to this URL, renewed when its end is near; `undefined` for one
   * that is not of `allowedOrigins` and must not carry it. For transports that are not `fetch`.
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
   */
  readonly fetch: typeof fetch;
  /** Renews the tokens now. Calls that come meanwhile share the one request. */
  refresh(): Promise<void>;
  /** Ends the session here, then sends the page to the provider to end it there, if it can. */
  signOut(): Promise<void>;
  /** As {@link Client.signOut | signOut}, but leaves going there to you; `null` if there is nowhere to go. */
  signOutUrl(): Promise<URL | null>;
  /** What can be told of the session without its tokens. */
  state(): ClientState;
  /** Listens to one type of event; call the result to stop. */
  on<T extends ClientEvent["type"]>(
    type: T,
    listener: (event: Extract<ClientEvent, { type: T }>) => void,
  ): () => void;
  /** Forgets the session and frees the memory. Nothing can be called afterwards. */
  dispose(): void;
}

/**
 * Makes a client. Nothing is sent before the first sign-in.
 *
 * @throws {@link GatepassError} `config_invalid`, `url_insecure`, `metadata_invalid`,
 * `unsupported_host`.
 */
export async function createClient(options: ClientOptions): Promise<Client> {
  // The options are read before anything is awaited: changing them later has no effect.
  const { host, rest } = split(options, {
    autoRefresh: isBoolean,
    fetch: isFunction,
    onEvent: isFunction,
    store: isStoreOption,
    transactionStore: isStore,
  });
  const json = toJson(rest);
  const listeners = new Listeners<ClientEvent>(host.onEvent);
  return call(async () => {
    const glue = await clientEngine.ready();
    const logins = host.transactionStore ?? defaultStore();
    const session = sessionStore(host.store);
    // Tabs share localStorage and, for all that is known, a store of the program's own.
    const isShared = session !== undefined && host.store !== "session";
    const isLocal = host.store === "local";
    const core = new glue.Client(
      json,
      logins,
      host.fetch,
      listeners.receive,
      session,
      isShared ? lockOr(isLocal ? lease : undefined) : undefined,
    );
    await core.sync();
    const send = host.fetch ?? ((input, init) => fetch(input, init));
    const tends = host.autoRefresh !== false && typeof document !== "undefined";
    return new PageClient(core, listeners, options.redirectUri, send, isLocal, tends);
  });
}

class PageClient implements Client {
  readonly fetch: typeof fetch;
  readonly #listeners: Listeners<ClientEvent>;
  readonly #redirectUri: string | undefined;
  #core: Core | undefined;
  /** The callback that was handled last: its URL is cleaned, so it is kept here. */
  #callback: string | undefined;
  /** Stops hearing what other tabs do to the session. */
  readonly #stopListening: (() => void) | undefined;
  readonly #tending: Tending | undefined;

  constructor(
    core: Core,
    listeners: Listeners<ClientEvent>,
    redirectUri: string | undefined,
    send: typeof fetch,
    isLocal: boolean,
    tends: boolean,
  ) {
    this.#core = core;
    const source = {
      tokenFor: (url: string) => this.tokenFor(url),
      tokenAfter: (status: number, challenge: string | undefined, used: string) =>
        call(() => this.#alive.tokenAfter(status, challenge, used)),
    };
    this.fetch = wrapFetch(source, send);
    this.#listeners = listeners;
    this.#redirectUri = redirectUri;
    if (isLocal) this.#stopListening = listen(() => void this.#core?.sync().catch(() => {}));
    if (tends) {
      const tending = keepTending(async () => this.#core?.tend());
      for (const type of ["signed_in", "refreshed", "session_changed"] as const) {
        listeners.on(type, tending.again);
      }
      tending.again();
      this.#tending = tending;
    }
  }

  get #alive(): Core {
    if (!this.#core) throw disposed();
    return this.#core;
  }

  async signIn(options: SignInOptions = {}): Promise<void> {
    const page = needPage();
    page.assign(await this.signInUrl(options));
  }

  async signInUrl(options: SignInOptions = {}): Promise<URL> {
    return new URL(await call(() => this.#alive.signIn(toJson(options))));
  }

  async handleCallback(url?: string | URL): Promise<SignedIn> {
    const callback = this.#takeCallback(url);
    return JSON.parse(await call(() => this.#alive.complete(callback))) as SignedIn;
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
    const text = this.#alive.user();
    return text === undefined ? null : (JSON.parse(text) as IdClaims);
  }

  tokenFor(url: string | URL): Promise<string | undefined> {
    return call(() => this.#alive.tokenFor(String(url)));
  }

  accessToken(): Promise<string> {
    return call(() => this.#alive.accessToken());
  }

  refresh(): Promise<void> {
    return call(() => this.#alive.refresh());
  }

  async signOut(): Promise<void> {
    const page = needPage();
    const url = await this.signOutUrl();
    if (url) page.assign(url);
  }

  async signOutUrl(): Promise<URL | null> {
    this.#callback = undefined;
    const url = await call(() => this.#alive.signOut());
    return url === undefined ? null : new URL(url);
  }

  state(): ClientState {
    return JSON.parse(this.#alive.state()) as ClientState;
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
    this.#core?.free();
    this.#core = undefined;
  }
}

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
