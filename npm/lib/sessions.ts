// Sessions of browsers that a server keeps in cookies it alone can read: the pattern "Backend for
// Frontend" of RFC 10017 section 6.1. What a session means is the core's business; this is where it
// lies between two requests.

import { backendEngine } from "../load/backend.js";
import type { Life } from "../load/engine.js";
import type { Client as Core } from "../wasm/backend_bg.js";
import { coreOf, createClient } from "./backend.js";
import type { BackendClient, BackendOptions } from "./backend.js";
import type { ClientState, IdClaims, SignInOptions, UserInfo } from "./client.js";
import { cookieLine, gather, goneLine, namesOf, readCookies, spread } from "./cookies.js";
import type { Cookies, CookieTraits } from "./cookies.js";
import { GatepassError, call, disposed, translate } from "./errors.js";
import { tell } from "./events.js";
import { fetchWith } from "./fetch.js";
import { makeKeyring } from "./keyring.js";
import type { Keyring } from "./keyring.js";
import { isFunction, isKeyPair, toJson } from "./options.js";
import { withHeaders } from "./possession.js";
import { Sealer, toBase64url } from "./seal.js";
import type { CookieKey } from "./seal.js";
import type { TokenStore, TransactionStore } from "./storage.js";

export type { CookieKey } from "./seal.js";

/** What sessions in cookies are configured with. */
export interface CookieSessionOptions extends Omit<
  BackendOptions,
  | "autoRefresh"
  | "frontchannelLogoutSessionRequired"
  | "responseMode"
  | "site"
  | "store"
  | "transactionStore"
> {
  /**
   * The callback's URL exactly as it is registered. Its origin is that of the application: requests
   * that change something must come from there.
   */
  readonly redirectUri: string;
  /**
   * The keys of the cookies, 32 random bytes each. The first one seals; cookies that another one sealed
   * are opened and sealed anew. To change keys put the new one in front, and take the old one away when
   * `lifetime` is over. All servers and isolates of an application have the same.
   */
  readonly keys: readonly CookieKey[];
  /** What the names of the cookies begin with. @defaultValue `"gatepass"` */
  readonly cookieName?: string;
  /**
   * Whether the session's cookie comes along when a link of another site is followed (`"lax"`). With
   * `"strict"` it does not, and the callback answers with a page that goes on by itself, because its
   * own redirect would come from the provider's site. @defaultValue `"lax"`
   */
  readonly sameSite?: "lax" | "strict";
  /**
   * How long a session lasts after its sign-in, whatever is renewed meanwhile, in seconds, 60 to
   * 34560000. @defaultValue 86400
   */
  readonly lifetime?: number;
  /** Where the application signs in and out. */
  readonly paths?: CookieSessionPaths;
  /** What every sign-in asks for. @defaultValue nothing more than the options say */
  readonly signIn?: Omit<SignInOptions, "returnTo">;
  /**
   * Asked for each request that comes with a session, but for those that sign in or out: whether it was
   * ended from elsewhere, such as by the provider's back-channel logout (`createLogoutReceiver`), which a
   * cookie cannot know. What it throws, {@link CookieSessions.session | session} throws.
   * @defaultValue none ever is
   */
  readonly isEnded?: (user: IdClaims) => boolean | Promise<boolean>;
  /**
   * Makes the answer where a sign-in failed; the cookies are added to it. @defaultValue a small page
   * with the error's code and a link to try again
   */
  readonly onError?: (error: GatepassError, request: Request) => Response | Promise<Response>;
}

/** Paths of the application's own origin. The callback's is that of `redirectUri`. */
export interface CookieSessionPaths {
  /** Sends the browser to the provider (GET, with `?returnTo=/path`). @defaultValue `"/login"` */
  readonly login?: string;
  /** Ends the session (POST). @defaultValue `"/logout"` */
  readonly logout?: string;
  /** Where a sign-in or sign-out ends that says nothing else. @defaultValue `"/"` */
  readonly home?: string;
}

/** The session of the browser that sent a request; for this request only. */
export interface CookieSession {
  /** Whether there is a session. */
  readonly signedIn: boolean;
  /** The claims of the user's ID token, or `null`. */
  readonly user: IdClaims | null;
  /**
   * Why a session that is there does not count: `request_invalid` at `"origin"` for a request that
   * changes something and does not come from the application's own pages. Answer 403.
   */
  readonly refusal: GatepassError | undefined;
  /** What can be told of the session without its tokens. */
  state(): ClientState;
  /**
   * The access token, renewed when its end is near. Keep it away from the browser.
   *
   * @throws {@link GatepassError} `login_required`, those of refreshing, and `storage_unavailable` at
   * `"cookie"` when the renewed session is too large for cookies.
   */
  accessToken(): Promise<string>;
  /** The access token for a request to this URL; `undefined` for one that must not carry it. */
  tokenFor(url: string | URL): Promise<string | undefined>;
  /** As the runtime's `fetch`, with the access token for requests to `allowedOrigins`. */
  readonly fetch: typeof fetch;
  /** Asks the provider what it knows of the user. */
  userinfo(): Promise<UserInfo>;
  /**
   * The `Set-Cookie` lines that the answer to this request must carry. Read them last: renewing the
   * session changes them.
   */
  readonly setCookies: readonly string[];
  /**
   * A response with these lines. With them it is not stored by any cache; without them it varies by
   * cookie.
   */
  apply(response: Response): Response;
}

/** How a handler is protected. */
export interface ProtectSessionOptions {
  /**
   * Whether requests without a session are answered here: navigations are sent to sign in, others
   * get 401. @defaultValue true
   */
  readonly requireLogin?: boolean;
}

/** Signs browsers in and out, and keeps their sessions in cookies. */
export interface CookieSessions {
  /**
   * Answers requests to sign in and out, callbacks of the provider, and returns from signing out
   * there; `undefined` for all others.
   */
  handle(request: Request): Promise<Response | undefined>;
  /**
   * The session of a request. A cookie that was tampered with, belongs to another deployment, is too
   * old or sealed with a key that is gone, counts as none and is removed.
   *
   * @throws {@link GatepassError} only for what is wrong with the options or the runtime, and what
   * `isEnded` throws.
   */
  session(request: Request): Promise<CookieSession>;
  /**
   * What to answer to a request whose session is not enough; `undefined` when somebody is signed in.
   * Navigations are sent to sign in and come back, others get 401; 403 for what another site sent.
   */
  requireLogin(request: Request, session: CookieSession): Response | undefined;
  /**
   * Sends a browser to the provider, such as one that an API wants to sign in anew (`maxAge`,
   * `acrValues`). Its session ends here.
   */
  signIn(request: Request, options?: SignInOptions): Promise<Response>;
  /**
   * A handler with all of it: {@link CookieSessions.handle | handle}, the session as second argument,
   * {@link CookieSessions.requireLogin | requireLogin} and the cookies.
   */
  protect<R extends readonly unknown[]>(
    handler: (request: Request, session: CookieSession, ...rest: R) => Response | Promise<Response>,
    options?: ProtectSessionOptions,
  ): (request: Request, ...rest: R) => Promise<Response>;
  /** Frees the memory. Nothing can be called afterwards. */
  dispose(): void;
}

/**
 * Makes sessions in cookies. Nothing is sent before the first sign-in.
 *
 * Make one for each isolate or process: it keeps the provider's metadata and keys.
 *
 * Cookies have `__Host-` in front of their names, `Secure`, `HttpOnly`, `SameSite` and `Path=/`, are
 * sealed with AES-256-GCM, and hold the tokens: at most three of 4096 bytes. A session that needs more
 * is refused (`storage_unavailable` at `"cookie"`). With an http `redirectUri` on this machine, for
 * development, `Secure` and `__Host-` are missing.
 *
 * Requests of one browser that come together and find the access token near its end renew it once in
 * each isolate: the others take what came of it, also those that follow with the old cookie within a
 * minute. Two isolates may use one refresh token. Where the provider refuses the second use, that
 * request goes on with the access token while it lives, counts as signed out when it does not, and
 * leaves the cookie as it is: the other's may be on its way. What was refused is removed when it comes
 * more than a second later. A provider that ends the session for the second use needs a grace period
 * for used refresh tokens.
 *
 * @throws {@link GatepassError} `config_invalid`, `url_insecure`, `metadata_invalid`,
 * `unsupported_host`.
 */
export async function createCookieSessions(options: CookieSessionOptions): Promise<CookieSessions> {
  // The options are read before anything is awaited: changing them later has no effect.
  const read = readOptions(options);
  return new Sessions(read, await read.make());
}

/** How long a login may wait for its callback, in seconds; the core says no after ten minutes. */
const LOGIN_SECONDS = 900;
/** The most logins of one browser that wait: a cookie each. */
const MOST_LOGINS = 5;
/** What no renewal of a session that was signed out is later than. */
const ENDED = Number.MAX_VALUE;
/** For how long, in milliseconds, after a refusal the cookie of another isolate may be on its way. */
const SETTLE_MILLIS = 1000;
/** For how long, in milliseconds, an isolate knows what became of a session. */
const RECENT_MILLIS = 60_000;
/** Of how many sessions, which bounds it to some ten megabytes. */
const MOST_RECENT = 1000;
/** For how long, in seconds, a callback waits for the same one: a browser that left may have ended it. */
const CALLBACK_PATIENCE = 10;
/** Between two looks at what another request does, in milliseconds. */
const LOOK_MILLIS = 20;

/** The options, read. */
interface Read {
  readonly make: () => Promise<Parent>;
  readonly sealer: Sealer;
  readonly origin: string;
  readonly callback: string;
  /** Where signing out at the provider ends, if that is here. */
  readonly signedOut: string | undefined;
  readonly paths: Required<CookieSessionPaths>;
  readonly name: string;
  readonly session: CookieTraits;
  readonly flow: CookieTraits;
  readonly lifetime: number;
  readonly signIn: object;
  readonly isEnded: CookieSessionOptions["isEnded"];
  readonly onError: CookieSessionOptions["onError"];
  readonly onEvent: CookieSessionOptions["onEvent"];
  readonly send: typeof fetch;
  readonly keyring: Keyring | undefined;
}

/** The client of which every request has a sibling, and how long its instance lives. */
interface Parent {
  readonly client: BackendClient;
  readonly core: Core;
  readonly life: Life;
}

function readOptions(options: CookieSessionOptions): Read {
  const given: Record<string, unknown> = { ...options };
  for (const name of ["autoRefresh", "responseMode", "store", "transactionStore"]) {
    if (given[name] !== undefined) {
      throw invalid(name, "This option has no meaning for sessions in cookies; leave it out.");
    }
  }
  const { keys, cookieName, sameSite, lifetime, paths, signIn, isEnded, onError, ...client } =
    options;
  const { dpop, onEvent, redirectUri, postLogoutRedirectUri } = client;
  const { issuer, clientId } = client;
  const hasKey = typeof dpop === "object" && dpop !== null && isKeyPair(dpop.key);
  if (dpop !== undefined && dpop !== false && !hasKey) {
    throw invalid("dpop", "Isolates must share the key: give it as dpop: { key }.");
  }
  const name = cookieName ?? "gatepass";
  if (typeof name !== "string" || !/^[A-Za-z0-9_-]{1,32}$/.test(name)) throw invalid("cookieName");
  if (sameSite !== undefined && sameSite !== "lax" && sameSite !== "strict") {
    throw invalid("sameSite");
  }
  const seconds = lifetime ?? 86_400;
  if (!Number.isInteger(seconds) || seconds < 60 || seconds > 34_560_000) throw invalid("lifetime");
  if (isEnded !== undefined && !isFunction(isEnded)) throw invalid("isEnded");
  if (onError !== undefined && !isFunction(onError)) throw invalid("onError");
  if (signIn !== undefined && (typeof signIn !== "object" || signIn === null)) {
    throw invalid("signIn");
  }
  const callback = pageOf("redirectUri", redirectUri);
  const isSecure = callback.protocol === "https:";
  if (!isSecure && client.dangerouslyAllowHttpLoopback !== true) {
    throw new GatepassError({
      code: "url_insecure",
      phase: "config",
      retryable: false,
      at: "redirectUri",
      hint: "Sessions in cookies need https; http is accepted for loopback only, with dangerouslyAllowHttpLoopback.",
    });
  }
  const bye =
    postLogoutRedirectUri === undefined
      ? undefined
      : pageOf("postLogoutRedirectUri", postLogoutRedirectUri);
  const identifier = typeof issuer === "object" && issuer !== null ? issuer.issuer : issuer;
  const prefix = isSecure ? "__Host-" : "";
  return {
    // "session_changed" tells tabs of each other; here it would be told of every request.
    make: makeParent({
      ...client,
      ...(onEvent && {
        onEvent: (event) => (event.type === "session_changed" ? undefined : onEvent(event)),
      }),
    }),
    sealer: new Sealer(keys, JSON.stringify([identifier, clientId])),
    origin: callback.origin,
    callback: callback.pathname,
    signedOut: bye?.origin === callback.origin ? bye.pathname : undefined,
    paths: readPaths(paths),
    name: `${prefix}${name}`,
    session: { isSecure, sameSite: sameSite === "strict" ? "Strict" : "Lax" },
    // The provider's redirect comes from another site.
    flow: { isSecure, sameSite: "Lax" },
    lifetime: seconds,
    signIn: { ...signIn },
    isEnded,
    onError,
    onEvent,
    send: client.fetch ?? ((input, init) => fetch(input, init)),
    keyring: hasKey ? makeKeyring((dpop as { key: CryptoKeyPair }).key) : undefined,
  };
}

function makeParent(options: BackendOptions): () => Promise<Parent> {
  return async () => {
    const client = await createClient(options);
    return { client, core: coreOf(client), life: backendEngine.life };
  };
}

function readPaths(given: CookieSessionPaths | undefined): Required<CookieSessionPaths> {
  const paths = { login: "/login", logout: "/logout", home: "/" };
  for (const [name, path] of Object.entries(given ?? {})) {
    // What a URL would write in another way would never be met.
    const isPath = typeof path === "string" && /^\/(?!\/)[\w\-./~%]*$/.test(path);
    if (!Object.hasOwn(paths, name) || !isPath) throw invalid(`paths.${name}`);
    paths[name as keyof typeof paths] = path;
  }
  return paths;
}

function pageOf(at: string, url: unknown): URL {
  if (typeof url !== "string" || !URL.canParse(url)) throw invalid(at);
  return new URL(url);
}

function invalid(at: string, hint?: string): GatepassError {
  return new GatepassError({
    code: "config_invalid",
    phase: "config",
    retryable: false,
    at,
    hint:
      hint ??
      "An option is unknown, missing, of the wrong type or out of range; correct the option that is named.",
  });
}

/** What a session's cookie says. */
interface Kept {
  /** The name of the session, the same from sign-in to sign-out. */
  readonly id: string;
  /** How often it was renewed: of two texts the one with more is the later. */
  readonly serial: number;
  /** When it ends at the latest, in seconds since 1970. */
  readonly until: number;
  /** The session as the core writes it. */
  readonly text: string;
}

function readKept(json: string): Kept | undefined {
  let kept: Partial<Record<keyof Kept, unknown>> | null;
  try {
    kept = JSON.parse(json) as typeof kept;
  } catch {
    return undefined;
  }
  const { id, serial, until, text } = kept ?? {};
  const isWhole = (value: unknown): value is number =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
  const isGood =
    typeof id === "string" && isWhole(serial) && isWhole(until) && typeof text === "string";
  return isGood && until > seconds() ? { id, serial, until, text } : undefined;
}

/** A short name for a text, from which the text cannot be told. */
async function nameOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return toBase64url(new Uint8Array(digest, 0, 12));
}

const seconds = (): number => Math.floor(Date.now() / 1000);

/** What became of a session in this isolate lately. */
interface Known {
  readonly serial: number;
  /** Nothing when it ended: for good, or for cookies of this serial and older ones. */
  readonly text: string | undefined;
  /** When the provider refused to renew it. */
  readonly refusedAt?: number | undefined;
  /** Where the sign-in goes on. */
  readonly returnTo?: string | undefined;
  readonly at: number;
}

/** The session of one request while it lasts. */
interface Held {
  readonly id: string;
  readonly until: number;
  serial: number;
  text: string | undefined;
  refusedAt?: number | undefined;
  returnTo?: string | undefined;
}

/** Texts that wait for the browser's return from the provider. */
interface Waiting {
  logins?: string | undefined;
  logouts?: string | undefined;
}

class Sessions implements CookieSessions {
  readonly read: Read;
  #parent: Parent | undefined;
  readonly #recent = new Map<string, Known>();
  /** The sessions that are being renewed or begun, and by whom. */
  readonly #busy = new Map<string, object>();

  constructor(read: Read, parent: Parent) {
    this.read = read;
    this.#parent = parent;
  }

  get parent(): Parent {
    if (!this.#parent) throw disposed();
    return this.#parent;
  }

  dispose(): void {
    this.#parent?.client.dispose();
    this.#parent = undefined;
    this.#recent.clear();
  }

  async session(request: Request): Promise<Browser> {
    return this.#open(request, this.read.isEnded);
  }

  /** The session of a request: of one that is left it does not matter whether it was ended. */
  async #open(request: Request, isEnded?: Read["isEnded"]): Promise<Browser> {
    const cookies = readCookies(request);
    const { name, origin } = this.read;
    const session = new Browser(this, cookies);
    if (!namesOf(name).some((each) => cookies.has(each))) return session;
    await session.open(isEnded);
    // RFC 10017 section 6.1.3.3: what another site sends with the browser's cookies counts for nothing.
    if (session.signedIn && !isSafe(request) && !comesFrom(origin, request)) session.refuse();
    return session;
  }

  async handle(request: Request): Promise<Response | undefined> {
    const { paths, callback, signedOut } = this.read;
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case callback:
        // It may be a page of its own besides.
        if (pathname === paths.home && !searchParams.has("state")) return undefined;
        return request.method === "GET" ? this.#callback(request) : notAllowed("GET");
      case paths.login:
        return request.method === "GET" ? this.#login(request) : notAllowed("GET");
      case paths.logout:
        return request.method === "POST" ? this.#logout(request) : notAllowed("POST");
      case signedOut: {
        const waits = readCookies(request).has(this.#name("logout"));
        const returns = request.method === "GET" && waits && searchParams.has("state");
        return returns ? this.#signedOut(request) : undefined;
      }
      default:
        return undefined;
    }
  }

  requireLogin(request: Request, session: CookieSession): Response | undefined {
    if (session.refusal) return text(403, "This request came from another site.");
    if (session.signedIn) return undefined;
    const { login } = this.read.paths;
    const { pathname, search } = new URL(request.url);
    if (isNavigation(request)) {
      const query = new URLSearchParams({ returnTo: pathname + search });
      return session.apply(redirect(`${login}?${query}`));
    }
    const response = Response.json({ error: "login_required", login }, { status: 401 });
    response.headers.set("www-authenticate", `Cookie form-action="${login}"`);
    response.headers.set("cache-control", "no-store");
    return session.apply(response);
  }

  protect<R extends readonly unknown[]>(
    handler: (request: Request, session: CookieSession, ...rest: R) => Response | Promise<Response>,
    { requireLogin = true }: ProtectSessionOptions = {},
  ): (request: Request, ...rest: R) => Promise<Response> {
    return async (request, ...rest) => {
      const answer = await this.handle(request);
      if (answer) return answer;
      const session = await this.session(request);
      if (requireLogin || session.refusal) {
        const refused = this.requireLogin(request, session);
        if (refused) return refused;
      }
      try {
        return session.apply(await handler(request, session, ...rest));
      } catch (thrown) {
        // The provider ended the session while it was used.
        const hasEnded = thrown instanceof GatepassError && !session.signedIn;
        const refused = hasEnded && requireLogin ? this.requireLogin(request, session) : undefined;
        if (refused) return refused;
        throw thrown;
      }
    };
  }

  async signIn(request: Request, options: SignInOptions = {}): Promise<Response> {
    const session = await this.#open(request);
    return session.leave(await this.#begin(session, options));
  }

  async #login(request: Request): Promise<Response> {
    const session = await this.#open(request);
    const { headers } = request;
    const mode = headers.get("sec-fetch-mode");
    const target = headers.get("sec-fetch-dest");
    // Not an image of some page: that would begin sign-ins that nobody sees.
    if ((mode ?? "navigate") !== "navigate" || (target ?? "document") !== "document") {
      return text(403, "Open this address in the browser's window.");
    }
    const returnTo = new URL(request.url).searchParams.get("returnTo");
    let response: Response;
    try {
      response = await this.#begin(session, returnTo === null ? {} : { returnTo });
    } catch (thrown) {
      response = await this.#failure(thrown, request);
    }
    // Whoever follows a link of another site has not asked for the end of the session.
    return headers.get("sec-fetch-site") === "cross-site" && session.signedIn
      ? session.apply(response)
      : session.leave(response);
  }

  async #begin(session: Browser, options: SignInOptions): Promise<Response> {
    const waiting: Waiting = {};
    const begin = async (asked: object): Promise<{ url: string; state: string }> =>
      JSON.parse(
        await this.use(session.held, waiting, (core) => core.signIn(toJson(asked))),
      ) as never;
    let begun;
    try {
      begun = await begin({ ...this.read.signIn, ...options });
    } catch (thrown) {
      // Where to go on came with the address: anybody could have written it.
      if (!(thrown instanceof GatepassError && thrown.at === "returnTo")) throw thrown;
      const { returnTo: _, ...others } = options;
      begun = await begin({ ...this.read.signIn, ...others });
    }
    const name = await this.#loginName(begun.state);
    const line = await this.#flowLine(name, waiting.logins ?? "");
    const response = redirect(begun.url);
    response.headers.append("set-cookie", line);
    for (const old of this.#logins(session.cookies).slice(0, 1 - MOST_LOGINS)) {
      if (old !== name) response.headers.append("set-cookie", goneLine(old, this.read.flow));
    }
    return response;
  }

  async #callback(request: Request): Promise<Response> {
    const { origin, paths, sealer, session: traits, flow, lifetime } = this.read;
    const { pathname, search, searchParams } = new URL(request.url);
    const before = await this.#open(request);
    const name = await this.#loginName(searchParams.get("state") ?? "");
    const sealed = before.cookies.get(name);
    const opened = sealed === undefined ? undefined : await sealer.open(name, sealed);
    // Back button or second click: who is signed in already goes on, and loses nothing by it.
    if (!opened && before.signedIn) return before.apply(redirect(paths.home));
    const waiting: Waiting = { logins: opened?.text };
    const held: Held = {
      id: await nameOf(opened?.text ?? crypto.randomUUID()),
      until: seconds() + lifetime,
      serial: 0,
      text: undefined,
    };
    const url = origin + pathname + search;
    let response: Response;
    const session = new Browser(this, before.cookies);
    const complete = async (): Promise<void> => {
      // A page that is reloaded, or a second click at the provider: it goes on with what came of the first.
      this.catchUp(held);
      if (held.text !== undefined) return;
      const signedIn = JSON.parse(
        await this.use(held, waiting, (core) => core.complete(url, undefined)),
      ) as { readonly returnTo?: string };
      held.returnTo = signedIn.returnTo;
      this.note(held.id, held);
    };
    try {
      await this.#alone(`login ${held.id}`, complete, CALLBACK_PATIENCE);
      await session.hold(held);
      const to = held.returnTo ?? paths.home;
      response = session.apply(traits.sameSite === "Strict" ? goOn(to) : redirect(to));
    } catch (thrown) {
      // The session's cookie goes as well, if one came: otherwise the same callback may have been
      // answered a moment ago, and have set one.
      const failure = await this.#failure(thrown, request);
      const isBrought = gather(this.read.name, before.cookies) !== undefined;
      response = isBrought ? session.leave(failure) : before.apply(failure);
      // What failed for want of a network can be tried again.
      if (translate(thrown).retryable) return response;
    }
    return sealed === undefined
      ? response
      : withHeaders(response, [["set-cookie", goneLine(name, flow)]]);
  }

  async #logout(request: Request): Promise<Response> {
    const { origin, paths } = this.read;
    if (!comesFrom(origin, request)) return text(403, "This request came from another site.");
    const session = await this.#open(request);
    const { held } = session;
    const waiting: Waiting = {};
    let url: string | undefined;
    if (held?.text !== undefined) {
      // Before anything is awaited: what another request renews from now on ends as well.
      this.catchUp(held);
      this.note(held.id, { serial: ENDED, text: undefined });
      // Here its tokens are needed, to end them.
      held.serial = Infinity;
      try {
        url = await this.use(held, waiting, (core) => core.signOut("{}"));
      } catch (thrown) {
        // The session is over here, whatever the provider says.
        tell(this.read.onEvent, { type: "revocation_failed", code: translate(thrown).code });
      }
    }
    // Who asks by a script cannot follow a redirect to another origin.
    const isScript = !isNavigationMode(request);
    const to = url ?? paths.home;
    const response = session.leave(isScript ? Response.json({ location: to }) : redirect(to));
    const { headers } = response;
    for (const name of this.#logins(session.cookies)) {
      headers.append("set-cookie", goneLine(name, this.read.flow));
    }
    if (waiting.logouts !== undefined && this.read.signedOut !== undefined) {
      headers.append("set-cookie", await this.#flowLine(this.#name("logout"), waiting.logouts));
    }
    return response;
  }

  async #signedOut(request: Request): Promise<Response> {
    const { origin, paths, sealer, flow } = this.read;
    const name = this.#name("logout");
    const sealed = readCookies(request).get(name);
    const opened = sealed === undefined ? undefined : await sealer.open(name, sealed);
    const { pathname, search } = new URL(request.url);
    let returnTo: string | undefined;
    try {
      const waiting: Waiting = { logouts: opened?.text };
      const url = origin + pathname + search;
      returnTo = await this.use(undefined, waiting, (core) => core.completeSignOut(url));
    } catch {
      // The session ended when the user left: there is nothing to refuse, and no link to follow.
    }
    const response = redirect(returnTo ?? paths.home);
    response.headers.append("set-cookie", goneLine(name, flow));
    return response;
  }

  /** The answer where a sign-in failed. */
  async #failure(thrown: unknown, request: Request): Promise<Response> {
    const error = translate(thrown);
    const { onError, paths } = this.read;
    return onError ? onError(error, request) : failure(error, paths.login);
  }

  /** The cookie of the login that has this state. */
  async #loginName(state: string): Promise<string> {
    return `${this.#name("login")}-${await nameOf(state)}`;
  }

  #name(what: string): string {
    return `${this.read.name}-${what}`;
  }

  /** The logins of a browser that wait, the oldest first, as browsers send them. */
  #logins(cookies: Cookies): readonly string[] {
    const prefix = `${this.#name("login")}-`;
    return [...cookies.keys()].filter((name) => name.startsWith(prefix));
  }

  async #flowLine(name: string, text: string): Promise<string> {
    const value = await this.read.sealer.seal(name, text);
    const line = cookieLine(name, value, LOGIN_SECONDS, this.read.flow);
    if (line.length > 4096) throw tooLarge();
    return line;
  }

  /** Tells that a cookie was no session of this deployment. */
  discarded(): void {
    tell(this.read.onEvent, { type: "session_discarded", code: "storage_invalid" });
  }

  /** Has a sibling of the client do something with a session. */
  async use<T>(
    held: Held | undefined,
    waiting: Waiting,
    work: (core: Core) => T | Promise<T>,
  ): Promise<T> {
    if (this.parent.life.isOver) {
      // Its instance has died, and what was known of the provider with it.
      this.#parent = await this.read.make();
    }
    const { parent } = this;
    return call(async () => {
      const core = parent.core.sibling(
        asStore(waiting),
        this.#store(held),
        (_name: string, renew: () => Promise<void>, patience: number) =>
          held ? this.#alone(held.id, renew, patience) : renew(),
        held?.refusedAt !== undefined,
      );
      try {
        if (this.read.keyring) core.useKeyring(this.read.keyring);
        await core.sync();
        return await work(core);
      } finally {
        // What was disposed of meanwhile learns nothing.
        if (this.#parent === parent && !parent.life.isOver) parent.core.learnFrom(core);
        else if (!parent.life.isOver) core.free();
      }
    });
  }

  /** Where the core finds a session, and what other requests of this isolate did to it. */
  #store(held: Held | undefined): TokenStore {
    return {
      get: () => {
        if (held) this.catchUp(held);
        return held?.text;
      },
      set: (_key: string, text: string) => {
        if (!held || held.text === text) return;
        held.serial += 1;
        held.text = text;
        this.note(held.id, held);
      },
      remove: () => {
        if (held) held.text = undefined;
      },
    };
  }

  /** Takes over what this isolate knows of a session that is later than what the cookie says. */
  catchUp(held: Held): void {
    const known = this.#lately(held.id);
    if (!known || known.serial < held.serial) return;
    if (known.serial > held.serial || known.text === undefined) {
      held.serial = known.serial;
      held.text = known.text;
    }
    held.refusedAt = known.refusedAt;
    held.returnTo = known.returnTo;
  }

  /** Whether this isolate knows that a session is over for cookies of this serial. */
  isOver(id: string, serial: number): boolean {
    const known = this.#lately(id);
    return known !== undefined && known.text === undefined && known.serial >= serial;
  }

  #lately(id: string): Known | undefined {
    const known = this.#recent.get(id);
    return known && Date.now() - known.at <= RECENT_MILLIS ? known : undefined;
  }

  note(id: string, { serial, text, refusedAt, returnTo }: Omit<Known, "at">): void {
    const now = Date.now();
    this.#recent.delete(id);
    // The oldest are in front.
    for (const [old, { at }] of this.#recent) {
      if (this.#recent.size < MOST_RECENT && now - at <= RECENT_MILLIS) break;
      this.#recent.delete(old);
    }
    this.#recent.set(id, { serial, text, refusedAt, returnTo, at: now });
  }

  /**
   * Renews a session, or begins one, while no other request of this isolate does. They look and do not
   * wait for each other's promise, which Workers forbid; one whose request is gone does not stop them for
   * ever.
   */
  async #alone(id: string, work: () => Promise<void>, patience: number): Promise<void> {
    for (let looks = (patience * 1000) / LOOK_MILLIS; this.#busy.has(id) && looks > 0; looks--) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MILLIS));
    }
    const mine = {};
    this.#busy.set(id, mine);
    try {
      return await work();
    } finally {
      if (this.#busy.get(id) === mine) this.#busy.delete(id);
    }
  }
}

class Browser implements CookieSession {
  readonly fetch: typeof fetch;
  readonly #sessions: Sessions;
  readonly cookies: Cookies;
  held: Held | undefined;
  #user: IdClaims | null = null;
  #state: ClientState = { signedIn: false };
  #refusal: GatepassError | undefined;
  #lines: readonly string[] = [];
  readonly #cameAt = Date.now();
  /** The session as it stands in `#lines` or in the cookie. */
  #written: string | undefined;
  /** Uses of the session come one after the other: one may renew it. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(sessions: Sessions, cookies: Cookies) {
    this.#sessions = sessions;
    this.cookies = cookies;
    const source = {
      passFor: (method: string, url: string) => this.#use((core) => core.passFor(method, url)),
      passAfter: (
        status: number,
        challenge: string | undefined,
        method: string,
        url: string,
        used: string,
      ) => this.#use((core) => core.passAfter(status, challenge, method, url, used)),
      learnNonce: (url: string, nonce: string) => sessions.parent.core.learnNonce(url, nonce),
    };
    this.fetch = fetchWith(source, sessions.read.send);
  }

  get signedIn(): boolean {
    return this.#state.signedIn && this.#refusal === undefined;
  }

  get user(): IdClaims | null {
    return this.signedIn ? this.#user : null;
  }

  get refusal(): GatepassError | undefined {
    return this.#refusal;
  }

  get setCookies(): readonly string[] {
    const { held } = this;
    // Somebody signed out in another request since the lines were made.
    return held && this.#sessions.isOver(held.id, ENDED) ? this.#goneLines() : this.#lines;
  }

  state(): ClientState {
    return this.signedIn ? this.#state : { signedIn: false };
  }

  accessToken(): Promise<string> {
    return this.#use((core) => core.accessToken());
  }

  async tokenFor(url: string | URL): Promise<string | undefined> {
    const pass = await this.#use((core) => core.passFor("GET", String(url)));
    return pass === undefined ? undefined : (JSON.parse(pass) as { readonly token: string }).token;
  }

  async userinfo(): Promise<UserInfo> {
    return JSON.parse(await this.#use((core) => core.userinfo())) as UserInfo;
  }

  apply(response: Response): Response {
    const { setCookies } = this;
    const { length } = setCookies;
    const more = setCookies.map((line) => ["set-cookie", line] as const);
    const answer = withHeaders(response, [...more, ["vary", "cookie"]]);
    // Whoever stored it would sign others in as this user. Lines always come on a copy, if they can.
    if (length > 0 && answer !== response) answer.headers.set("cache-control", "no-store");
    return answer;
  }

  /** Opens the cookie: what is no session of this deployment is removed. */
  async open(isEnded: Read["isEnded"]): Promise<void> {
    const { name, sealer } = this.#sessions.read;
    const sealed = gather(name, this.cookies);
    const opened = sealed === undefined ? undefined : await sealer.open(name, sealed);
    const kept = opened && readKept(opened.text);
    let held: Held | undefined;
    if (opened && kept) {
      const { id, serial, until, text } = kept;
      held = { id, serial, until, text };
      this.#sessions.catchUp(held);
      if (!opened.isOld) this.#written = text;
      await this.#look(held);
      if (this.#user && (await isEnded?.(this.#user))) {
        this.#sessions.note(id, { serial: ENDED, text: undefined });
        this.#forget();
        held = undefined;
      }
    } else {
      this.#sessions.discarded();
    }
    await this.#write(held);
  }

  /** Goes on with a session that was just signed in. */
  async hold(held: Held): Promise<void> {
    await this.#look(held);
    await this.#write(held);
  }

  /** Nothing of the session counts for this request. */
  refuse(): void {
    this.#refusal = new GatepassError({
      code: "request_invalid",
      phase: "session",
      retryable: false,
      at: "origin",
      hint: "The request changes something and neither its Origin nor its Sec-Fetch-Site says that it comes from the application's own pages.",
    });
    this.#lines = [];
  }

  /** A response with which the session's cookie goes. */
  leave(response: Response): Response {
    const { name, session } = this.#sessions.read;
    this.#forget();
    const names = namesOf(name).filter((each, at) => at === 0 || this.cookies.has(each));
    this.#lines = names.map((each) => goneLine(each, session));
    return this.apply(response);
  }

  #forget(): void {
    this.#state = { signedIn: false };
    this.#user = null;
    this.held = undefined;
  }

  /** Sees who is signed in. */
  async #look(held: Held): Promise<void> {
    const [state, user] = await this.#sessions.use(held, {}, (core) => [core.state(), core.user()]);
    this.#state = JSON.parse(state) as ClientState;
    this.#user = user === undefined ? null : (JSON.parse(user) as IdClaims);
    this.held = held;
    if (!this.#state.signedIn) this.#forget();
  }

  async #use<T>(work: (core: Core) => Promise<T>): Promise<T> {
    const { held } = this;
    if (!held || !this.signedIn) throw loginRequired();
    const mine = this.#turn.then(async () => {
      try {
        return await this.#renewing(held, work);
      } finally {
        if (held.text === undefined || held.text !== this.#written) await this.#take(held);
      }
    });
    this.#turn = mine.catch(() => {});
    return mine;
  }

  /** Does something with the session; where the provider ends it, with what lives of it. */
  async #renewing<T>(held: Held, work: (core: Core) => Promise<T>): Promise<T> {
    const sessions = this.#sessions;
    const { text: before, refusedAt } = held;
    try {
      return await sessions.use(held, {}, work);
    } catch (thrown) {
      // What another request did meanwhile stands: it signed out, or knows more.
      sessions.catchUp(held);
      const isOver = sessions.isOver(held.id, held.serial);
      if (before === undefined || held.text !== undefined || isOver) throw thrown;
      // Another isolate may have used the refresh token: its answer has the cookie that counts.
      if (refusedAt === undefined) {
        Object.assign(held, { text: before, refusedAt: Date.now() });
        sessions.note(held.id, held);
        try {
          return await sessions.use(held, {}, work);
        } catch (again) {
          if (held.text !== undefined) throw again;
        }
      }
      // The access token is over as well.
      sessions.catchUp(held);
      sessions.note(held.id, held);
      throw thrown;
    }
  }

  /** After the session was renewed or ended. */
  async #take(held: Held): Promise<void> {
    if (held.text === undefined) this.#forget();
    else await this.#look(held);
    await this.#write(held);
  }

  /**
   * Whether the cookie stays although its session is over: the provider refused it since this request
   * came, or just before, and the answer of another isolate may have one that counts.
   */
  #leaves({ refusedAt }: Held): boolean {
    return refusedAt !== undefined && this.#cameAt <= refusedAt + SETTLE_MILLIS;
  }

  #goneLines(): readonly string[] {
    const { name, session } = this.#sessions.read;
    const names = namesOf(name).filter((each) => this.cookies.has(each));
    return names.map((each) => goneLine(each, session));
  }

  /** Makes the lines that bring the browser what is held here, or remove what was. */
  async #write(was: Held | undefined): Promise<void> {
    const { held, cookies } = this;
    const { name, sealer, session } = this.#sessions.read;
    if (held?.text === undefined) {
      this.#lines = was && this.#leaves(was) ? [] : this.#goneLines();
      return;
    }
    if (held.text === this.#written) return;
    const { id, serial, until, text } = held;
    const json = JSON.stringify({ id, serial, until, text } satisfies Kept);
    const sealed = await sealer.seal(name, json);
    const left = Math.max(1, until - seconds());
    const lines = spread(name, sealed, left, session, cookies);
    if (!lines) throw tooLarge();
    this.#lines = lines;
    this.#written = text;
  }
}

/** Where the core keeps what waits for a return from the provider. */
function asStore(waiting: Waiting): TransactionStore {
  const slot = (key: string): keyof Waiting =>
    key.startsWith("gatepass:logouts:") ? "logouts" : "logins";
  return {
    get: (key: string) => waiting[slot(key)],
    set: (key: string, text: string) => {
      waiting[slot(key)] = text;
    },
  };
}

function loginRequired(): GatepassError {
  return new GatepassError({
    code: "login_required",
    phase: "session",
    retryable: false,
    hint: "There is no session to use; answer with requireLogin().",
  });
}

function tooLarge(): GatepassError {
  return new GatepassError({
    code: "storage_unavailable",
    phase: "session",
    retryable: false,
    at: "cookie",
    hint: "The session needs more than three cookies of 4096 bytes; have the provider issue smaller tokens (fewer claims, scopes or resources).",
  });
}

/** RFC 9110 section 9.2.1. */
const isSafe = ({ method }: Request): boolean => ["GET", "HEAD", "OPTIONS"].includes(method);

/**
 * Whether the browser says that a request comes from a page of this origin. `Origin` alone is not
 * looked at where there is `Sec-Fetch-Site`: under `Referrer-Policy: no-referrer` it is "null".
 */
function comesFrom(origin: string, { headers }: Request): boolean {
  const site = headers.get("sec-fetch-site");
  const from = headers.get("origin");
  if (site === null) return from === origin;
  return site === "same-origin" && (from === null || from === "null" || from === origin);
}

/** Whether a browser's window is where the answer goes. */
function isNavigation(request: Request): boolean {
  return (request.method === "GET" || request.method === "HEAD") && isNavigationMode(request);
}

function isNavigationMode({ headers }: Request): boolean {
  const mode = headers.get("sec-fetch-mode");
  return mode === null ? (headers.get("accept") ?? "").includes("text/html") : mode === "navigate";
}

function redirect(location: string): Response {
  return new Response(null, { status: 303, headers: { location, "cache-control": "no-store" } });
}

function text(status: number, body: string): Response {
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  return new Response(`${body}\n`, { status, headers });
}

function notAllowed(allow: string): Response {
  const response = text(405, "This address is asked in another way.");
  response.headers.set("allow", allow);
  return response;
}

/** A page without scripts, styles and anything from elsewhere. */
function page(status: number, head: string, body: string): Response {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width">
${head}
<p>${body}</p>
`;
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
  };
  return new Response(html, { status, headers });
}

const escaped = (value: string): string =>
  value.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

/** Goes on from a page of this origin, so that cookies of the same site alone come along. */
function goOn(to: string): Response {
  const url = escaped(to);
  const head = `<title>Signed in</title>\n<meta http-equiv="refresh" content="0;url=${url}">`;
  return page(200, head, `<a href="${url}">Continue</a>`);
}

function failure({ code, retryable }: GatepassError, login: string): Response {
  const link = `<a href="${escaped(login)}">Try again</a>`;
  const body = `Signing in failed (<code>${escaped(code)}</code>). ${link}`;
  return page(retryable ? 503 : 400, "<title>Signing in failed</title>", body);
}
