/**
 * A session that a service worker holds for its pages: the tokens are in the worker's memory and
 * nowhere else, and the worker adds them to the requests of its pages. Pages ask who is signed in, and
 * never see a token.
 *
 * In the worker: `keepSession(createClient, options)`. In its pages: `openSession({ worker })`.
 *
 * @packageDocumentation
 */
import type {
  Client,
  ClientEvent,
  ClientOptions,
  ClientState,
  IdClaims,
  SignInOptions,
  SignOutOptions,
  SignedIn,
  SignedOut,
  UserInfo,
} from "../lib/client.js";
import { GatepassError } from "../lib/errors.js";

/** What the worker's client is configured with. Its session is kept in memory, and so are sign-ins. */
export interface KeepOptions extends Omit<
  ClientOptions,
  "allowedOrigins" | "autoRefresh" | "store" | "transactionStore"
> {
  /**
   * The origins whose requests get the access token. Requests to any other one go by the worker, as
   * do navigations, and what pages load as scripts, styles or images.
   */
  readonly allowedOrigins: string | readonly string[];
}

/** How a page finds its worker. */
export interface OpenOptions {
  /** The URL of the worker's script, or what it is registered as already. */
  readonly worker: string | URL | ServiceWorkerRegistration;
  /** The pages that the worker is for. @defaultValue those in the folder of its script */
  readonly scope?: string;
  /** Whether the script is a module. @defaultValue `"classic"`, which every browser knows */
  readonly type?: "classic" | "module";
  /** How long an answer of the worker may take, in seconds. @defaultValue 60 */
  readonly timeout?: number;
}

/** What a page hears: what the worker's client reports of the session, and one thing more. */
export type SessionEvent =
  | Exclude<ClientEvent, { readonly type: "request" | "checked" }>
  /**
   * The browser ended the worker, and the session with it. The user is still signed in at the
   * provider: `signIn({ prompt: "none" })` gets a new session without asking.
   */
  | { readonly type: "session_lost" };

/** The session of a worker, as its pages see it. */
export interface WorkerSession {
  /**
   * Sends the page to the provider. With `idTokenHint` the ID token does not go along, because the page
   * would see it, but in a pushed request (`par`); anybody else than the user who is signed in is refused
   * all the same.
   */
  signIn(options?: SignInOptions): Promise<void>;
  /**
   * Completes a sign-in on the callback page; the worker redeems the code. The page's URL is cleaned
   * first.
   *
   * Handling the same callback twice gives the same result. After a rejection that is `retryable`
   * it can be called again.
   *
   * Where the browser ended the worker while the user was at the provider, nobody knows the sign-in
   * any more; then it is begun again, once, and the provider usually answers without asking. The
   * promise stays open then, because the page goes.
   */
  handleCallback(url?: string | URL): Promise<SignedIn>;
  /** The claims of the user who is signed in, or `null`. */
  user(): Promise<IdClaims | null>;
  /** What the provider says of the user now. */
  userinfo(): Promise<UserInfo>;
  /** What can be told of the session. */
  state(): Promise<ClientState>;
  /**
   * Ends the session in all pages, and its tokens at the provider; then sends the page there, if it
   * offers that. The ID token does not go along as a hint, because the page would see it; some
   * providers ask the user then.
   */
  signOut(options?: SignOutOptions): Promise<void>;
  /**
   * Checks, on the page `postLogoutRedirectUri`, the return from the provider, and cleans its URL.
   * After a rejection that is `retryable` it can be called again.
   */
  handleSignOutCallback(url?: string | URL): Promise<SignedOut>;
  /** Listens to one type of event; call the result to stop. */
  on<T extends SessionEvent["type"]>(
    type: T,
    listener: (event: Extract<SessionEvent, { type: T }>) => void,
  ): () => void;
  /** Lets go of the worker, which the browser then ends when it likes. The session stays. */
  close(): void;
}

/** How often a page reminds its worker that it is there, in milliseconds; browsers end one that is
 * idle for half a minute. */
const REMIND = 20_000;
/** For how long one reminder counts, in milliseconds: timers of hidden pages run once a minute. */
const STAY = 90_000;

/** What TypeScript's types of pages do not know of workers. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface AskEvent extends ExtendableEvent {
  readonly data: unknown;
  readonly ports: readonly MessagePort[];
}
interface WorkerScope {
  readonly clients: {
    claim(): Promise<void>;
    matchAll(of: object): Promise<readonly { postMessage(message: unknown): void }[]>;
  };
  addEventListener(type: "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  addEventListener(type: "message", listener: (event: AskEvent) => void): void;
}

/** What goes to the worker, and what comes back. */
interface Ask {
  readonly gatepass: string;
  readonly given: unknown;
}
interface Answer {
  /** Which life of the worker answers: each time the browser starts it, it is another one. */
  readonly life: string;
  readonly signedIn: boolean;
  readonly value?: unknown;
  readonly error?: ConstructorParameters<typeof GatepassError>[0];
}

/** A URL for a page, without the ID token. */
function unhinted(url: URL): string {
  url.searchParams.delete("id_token_hint");
  return String(url);
}

/** What a page may ask for. None of it gives a token. */
const ANSWERS: Readonly<Record<string, (client: Client, given: never) => unknown>> = {
  stay: () => undefined,
  signIn: async (client, given: SignInOptions) => unhinted(await client.signInUrl(given)),
  callback: (client, given: unknown) => client.handleCallback(String(given)),
  user: (client) => client.user(),
  userinfo: (client) => client.userinfo(),
  state: (client) => client.state(),
  signOut: async (client, given: SignOutOptions) => {
    const url = await client.signOutUrl(given);
    return url && unhinted(url);
  },
  signedOut: (client, given: unknown) => client.handleSignOutCallback(String(given)),
};

/**
 * Makes this service worker hold a session for its pages. Call it at the top of the worker's script:
 *
 * ```js
 * import { createClient } from "gatepass";
 * import { keepSession } from "gatepass/serviceworker";
 *
 * keepSession(createClient, { issuer, clientId, redirectUri, allowedOrigins });
 * ```
 *
 * Requests of its pages to `allowedOrigins` get the access token, renewed when its end is near. What
 * `client.fetch` would reject with is answered in place of the API, as JSON with the header
 * `gatepass-error`: 401 for `login_required` and `step_up_required`, 403 for `scope_insufficient`, 503 for
 * the rest.
 *
 * What it does not prevent: whoever runs scripts in the page can send requests through the worker,
 * and sign in anew past it. It keeps tokens from being carried away.
 *
 * @param createClient of `gatepass`, `gatepass/slim` or `gatepass/js`
 * @throws {@link GatepassError} `config_invalid` at `allowedOrigins` for what is no origin. What else is
 * wrong with the options, pages hear from `openSession`.
 */
export function keepSession(
  createClient: (options: ClientOptions) => Promise<Client>,
  options: KeepOptions,
): void {
  const scope = globalThis as unknown as WorkerScope;
  const life = crypto.randomUUID();
  const origins = new Set([options.allowedOrigins].flat().map(originOf));
  let making: Promise<Client> | undefined;
  /** Made at the first need, and again after a failure. */
  const need = (): Promise<Client> =>
    (making ??= createClient({
      ...options,
      // Whatever JavaScript says, which has no types.
      store: "memory",
      transactionStore: inMemory(),
      onEvent: (event) => {
        // Before the program is told, which may throw: pages are to hear of it in any case.
        if (event.type !== "request" && event.type !== "checked") void tell(event);
        options.onEvent?.(event);
      },
    }).catch((cause: unknown) => {
      making = undefined;
      throw cause;
    }));
  const tell = async (event: ClientEvent): Promise<void> => {
    const pages = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
    for (const page of pages) page.postMessage({ gatepass: event, life });
  };

  const answer = async ({ gatepass, given }: Ask): Promise<Answer> => {
    try {
      // Pages that were loaded past the worker, too.
      if (gatepass === "stay") await scope.clients.claim();
      const client = await need();
      const value = await ANSWERS[gatepass]?.(client, given as never);
      return { life, signedIn: client.state().signedIn, value };
    } catch (thrown) {
      return { life, signedIn: false, error: wireOf(thrown) };
    }
  };

  let leave = (): void => {};
  const stay = (): Promise<void> => {
    leave();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, STAY);
      leave = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  };

  scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
  scope.addEventListener("message", (event) => {
    const { data, ports } = event;
    if (!isAsk(data)) return;
    if (data.gatepass === "stay") event.waitUntil(stay());
    event.waitUntil(answer(data).then((answered) => ports[0]?.postMessage(answered)));
  });
  scope.addEventListener("fetch", (event) => {
    const { url, mode, destination } = event.request;
    const isCall = destination === "" && (mode === "cors" || mode === "same-origin");
    if (isCall && origins.has(new URL(url).origin)) {
      event.respondWith(
        need()
          .then((client) => send(client, event.request))
          .catch(refusal),
      );
    }
  });
}

/** An origin that was given; without one no request would ever get the token. */
function originOf(given: unknown): string {
  const url = typeof given === "string" && URL.canParse(given) ? new URL(given) : undefined;
  if (!url || url.origin === "null") throw misfit("config_invalid", "allowedOrigins", NO_ORIGIN);
  return url.origin;
}

function isAsk(data: unknown): data is Ask {
  const name = (data as Partial<Ask> | null)?.gatepass;
  return typeof name === "string" && Object.hasOwn(ANSWERS, name);
}

/** Sends a page's request with the token. Its body is read, so that it can be sent a second time. */
async function send(client: Client, request: Request): Promise<Response> {
  if (request.method === "GET" || request.method === "HEAD") return client.fetch(request);
  const { method, headers, mode, credentials, cache, redirect, referrerPolicy, integrity } =
    request;
  const { keepalive, referrer, signal } = request;
  const body = await request.arrayBuffer();
  return client.fetch(request.url, {
    method,
    headers,
    mode,
    credentials,
    cache,
    redirect,
    referrer,
    referrerPolicy,
    integrity,
    keepalive,
    signal,
    ...(body.byteLength > 0 && { body }),
  });
}

const STATUS: Readonly<Record<string, number>> = {
  login_required: 401,
  step_up_required: 401,
  scope_insufficient: 403,
};

/** The answer to a request that was not sent, or whose answer is an error of ours. */
function refusal(thrown: unknown): Response {
  // What the network says, the page hears as from its own fetch.
  if (!(thrown instanceof Error) || thrown.name !== "GatepassError") return Response.error();
  const { code, phase, hint, details } = thrown as GatepassError;
  return Response.json(
    { code, phase, hint, details },
    {
      status: STATUS[code] ?? 503,
      headers: { "gatepass-error": code, "cache-control": "no-store" },
    },
  );
}

/** An error as what goes to another realm. */
function wireOf(thrown: unknown): NonNullable<Answer["error"]> {
  if (!(thrown instanceof Error) || thrown.name !== "GatepassError") return lost("worker");
  const { code, phase, hint, retryable, at, details } = thrown as GatepassError;
  return { code, phase, hint, retryable, ...(at && { at }), ...(details && { details }) };
}

const lost = (at: string): NonNullable<Answer["error"]> => ({
  code: "internal_error",
  phase: "session",
  retryable: true,
  at,
  hint: "The service worker failed or did not answer; its console says why. Try again.",
});

/** Sign-ins that wait hold PKCE verifiers, which belong where the tokens will be. */
function inMemory(): NonNullable<ClientOptions["transactionStore"]> {
  const texts = new Map<string, string>();
  return { get: (key) => texts.get(key), set: (key, value) => void texts.set(key, value) };
}

/**
 * Registers the service worker, unless it is registered, waits until it answers for this page, and
 * keeps it from being ended while the page is open.
 *
 * @throws {@link GatepassError} `unsupported_host` where there are no service workers,
 * `config_invalid` at `worker` or `scope`, and those of `createClient` in the worker.
 */
export async function openSession(options: OpenOptions): Promise<WorkerSession> {
  const container = (globalThis.navigator as Partial<Navigator> | undefined)?.serviceWorker;
  if (!container) throw misfit("unsupported_host", "serviceWorker", NO_WORKERS);
  const registration = await register(container, options);
  if (!location.href.startsWith(registration.scope))
    throw misfit("config_invalid", "scope", NO_SCOPE);
  const session = new PageSession(container, registration, (options.timeout ?? 60) * 1000);
  await session.begin();
  return session;
}

const NO_ORIGIN =
  'Name the origins whose requests get the access token, such as "https://api.example.com".';
const NO_WORKERS =
  "There are no service workers here: no page, an insecure origin, or a browser that has them switched off.";
const NO_SCOPE = "The worker is not for this page; name a scope that the page is in.";
const NO_SCRIPT = "The worker's script cannot be loaded or fails; the browser's console says why.";

const misfit = (code: "unsupported_host" | "config_invalid", at: string, hint: string) =>
  new GatepassError({ code, phase: "config", retryable: false, at, hint });

async function register(
  container: ServiceWorkerContainer,
  { worker, scope, type }: OpenOptions,
): Promise<ServiceWorkerRegistration> {
  if (typeof worker !== "string" && !(worker instanceof URL)) return worker;
  try {
    return await container.register(worker, {
      ...(scope !== undefined && { scope }),
      ...(type !== undefined && { type }),
    });
  } catch {
    throw misfit("config_invalid", "worker", NO_SCRIPT);
  }
}

/** What this tab remembers of a sign-in that is under way: nothing of it is secret. */
const UNDER_WAY = "gatepass:worker-sign-in";
interface UnderWay {
  readonly options: SignInOptions;
  readonly again: boolean;
}

const isRetryable = (error: unknown): boolean => error instanceof GatepassError && error.retryable;

type AnyListener = (event: never) => void;

class PageSession implements WorkerSession {
  readonly #container: ServiceWorkerContainer;
  readonly #registration: ServiceWorkerRegistration;
  readonly #timeout: number;
  readonly #listeners = new Map<string, Set<AnyListener>>();
  #life: string | undefined;
  #signedIn = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** The callbacks that came last: their URLs are cleaned, so they are kept here. */
  #callback: string | undefined;
  #signOutCallback: string | undefined;
  /** The callbacks that are being handled. */
  readonly #handling = new Map<string, Promise<SignedIn>>();

  constructor(
    container: ServiceWorkerContainer,
    registration: ServiceWorkerRegistration,
    timeout: number,
  ) {
    this.#container = container;
    this.#registration = registration;
    this.#timeout = timeout;
  }

  async begin(): Promise<void> {
    this.#container.addEventListener("message", this.#hear);
    this.#container.startMessages();
    document.addEventListener("visibilitychange", this.#remind);
    addEventListener("pageshow", this.#remind);
    this.#timer = setInterval(this.#remind, REMIND);
    try {
      await this.#ask("stay");
      await this.#controlled();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Until the page's requests go by the worker. */
  async #controlled(): Promise<void> {
    if (this.#container.controller) return;
    await within(this.#timeout, (resolve) => {
      this.#container.addEventListener("controllerchange", () => resolve(undefined), {
        once: true,
      });
      if (this.#container.controller) resolve(undefined);
    });
  }

  async signIn(options: SignInOptions = {}): Promise<void> {
    await this.#signIn(options, false);
  }

  async #signIn(options: SignInOptions, again: boolean): Promise<void> {
    const url = (await this.#ask("signIn", options)) as string;
    sessionStorage.setItem(UNDER_WAY, JSON.stringify({ options, again } satisfies UnderWay));
    location.assign(url);
  }

  async handleCallback(url?: string | URL): Promise<SignedIn> {
    const callback = this.#takeCallback(url);
    // Two calls at once, as under StrictMode, are one: a sign-in is begun again once.
    let handling = this.#handling.get(callback);
    if (!handling) {
      handling = this.#complete(callback).finally(() => this.#handling.delete(callback));
      this.#handling.set(callback, handling);
    }
    return handling;
  }

  async #complete(callback: string): Promise<SignedIn> {
    const underWay = readUnderWay();
    try {
      const signedIn = (await this.#ask("callback", callback)) as SignedIn;
      sessionStorage.removeItem(UNDER_WAY);
      return signedIn;
    } catch (error) {
      // Called again, it may still find that the worker of the sign-in is gone.
      if (isRetryable(error)) throw error;
      sessionStorage.removeItem(UNDER_WAY);
      const isUnknown = error instanceof GatepassError && error.code === "flow_unknown";
      if (!isUnknown || !underWay || underWay.again) throw error;
      // The worker of that sign-in has been ended. Who just signed in need not do so again.
      const { prompt, ...options } = underWay.options;
      try {
        await this.#signIn(prompt === "none" ? { ...options, prompt } : options, true);
      } catch (failure) {
        if (isRetryable(failure)) sessionStorage.setItem(UNDER_WAY, JSON.stringify(underWay));
        throw failure;
      }
      return new Promise(() => {});
    }
  }

  /** The callback's URL; that of the page is cleaned before anything else can see it. */
  #takeCallback(given: string | URL | undefined): string {
    if (given !== undefined) return String(given);
    if (location.search !== "" || location.hash !== "" || this.#callback === undefined) {
      this.#callback = location.href;
      history.replaceState(history.state, "", location.pathname);
    }
    return this.#callback;
  }

  async user(): Promise<IdClaims | null> {
    return (await this.#ask("user")) as IdClaims | null;
  }

  async userinfo(): Promise<UserInfo> {
    return (await this.#ask("userinfo")) as UserInfo;
  }

  async state(): Promise<ClientState> {
    return (await this.#ask("state")) as ClientState;
  }

  async signOut(options: SignOutOptions = {}): Promise<void> {
    const url = (await this.#ask("signOut", options)) as string | null;
    this.#callback = undefined;
    if (url !== null) location.assign(url);
  }

  async handleSignOutCallback(url?: string | URL): Promise<SignedOut> {
    return (await this.#ask("signedOut", this.#takeSignOut(url))) as SignedOut;
  }

  #takeSignOut(given: string | URL | undefined): string {
    if (given !== undefined) return String(given);
    const page = new URL(location.href);
    if (page.searchParams.has("state") || this.#signOutCallback === undefined) {
      this.#signOutCallback = location.href;
      page.searchParams.delete("state");
      history.replaceState(history.state, "", page);
    }
    return this.#signOutCallback;
  }

  on<T extends SessionEvent["type"]>(
    type: T,
    listener: (event: Extract<SessionEvent, { type: T }>) => void,
  ): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#container.removeEventListener("message", this.#hear);
    document.removeEventListener("visibilitychange", this.#remind);
    removeEventListener("pageshow", this.#remind);
  }

  readonly #remind = (): void => void this.#ask("stay").catch(() => {});

  readonly #hear = ({ data }: MessageEvent): void => {
    const { gatepass, life } = Object(data) as { gatepass?: SessionEvent; life?: string };
    if (gatepass === undefined || life === undefined) return;
    const goesOn = life === this.#life && this.#signedIn && !ENDS.has(gatepass.type);
    this.#know(life, goesOn || gatepass.type === "signed_in");
    this.#tell(gatepass);
  };

  /** Takes note of which worker speaks, and whether it has a session. */
  #know(life: string, signedIn: boolean): void {
    const isLost = this.#signedIn && !signedIn && this.#life !== life;
    this.#life = life;
    this.#signedIn = signedIn;
    if (isLost) this.#tell({ type: "session_lost" });
  }

  #tell(event: SessionEvent): void {
    for (const listener of this.#listeners.get(event.type) ?? []) listener(event as never);
  }

  async #ask(gatepass: string, given?: unknown): Promise<unknown> {
    const worker = await this.#worker();
    const { port1, port2 } = new MessageChannel();
    try {
      const answer = await within<Answer>(this.#timeout, (resolve) => {
        port1.onmessage = ({ data }) => resolve(data as Answer);
        worker.postMessage({ gatepass, given } satisfies Ask, [port2]);
      });
      // An error says nothing of the session.
      if (answer.error) throw new GatepassError(answer.error);
      this.#know(answer.life, answer.signedIn);
      return answer.value;
    } finally {
      port1.close();
    }
  }

  /** The worker that is active, once it is: a new one waits until the pages of the old one are gone. */
  async #worker(): Promise<ServiceWorker> {
    const { active, installing, waiting } = this.#registration;
    if (active) return active;
    const coming = installing ?? waiting;
    if (!coming) throw misfit("config_invalid", "worker", NO_SCRIPT);
    return within(this.#timeout, (resolve, reject) => {
      const look = (): void => {
        if (coming.state === "redundant") reject(misfit("config_invalid", "worker", NO_SCRIPT));
        if (this.#registration.active) resolve(this.#registration.active);
      };
      coming.addEventListener("statechange", look);
      look();
    });
  }
}

/** What of the events ends a session. */
const ENDS = new Set(["signed_out", "expired", "session_discarded"]);

function within<T>(
  millis: number,
  work: (resolve: (value: T) => void, reject: (cause: unknown) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new GatepassError(lost("worker"))), millis);
    const end =
      <A>(settle: (value: A) => void) =>
      (value: A): void => {
        clearTimeout(timer);
        settle(value);
      };
    work(end(resolve), end(reject));
  });
}

/** What this tab remembers; scripts of the page may have written anything there. */
function readUnderWay(): UnderWay | undefined {
  try {
    const { options, again } = JSON.parse(sessionStorage.getItem(UNDER_WAY) ?? "") as UnderWay;
    return typeof options === "object" && options !== null
      ? { options, again: again === true }
      : undefined;
  } catch {
    return undefined;
  }
}
