// What the commands know of a login: who the client is, where its tokens are kept, and how one gets
// the token that is good now.

import { GatepassError, createClient } from "gatepass/backend";
import type { BackendClient, BackendOptions, ClientAuth, ClientEvent } from "gatepass/backend";

import { isLoopback } from "./checker.js";
import type { Call } from "./command.js";
import type { Configuration } from "./configuration.js";
import { EXIT, Failure, hintOf } from "./failure.js";
import { checkRedirect } from "./loopback.js";
import { askedFor, isAlive, ownTokens, textOf, withNewer } from "./own-token.js";
import { alone, type Held } from "./process-lock.js";
import { renewable } from "./preset.js";
import { ENDPOINTS, findProvider, namesOf } from "./provider.js";
import type { Need, Provider } from "./provider.js";
import { fallbackOf } from "./setting.js";
import type { SettingName } from "./setting.js";
import { unbroken } from "./signal.js";
import { plain } from "./terminal.js";
import { nowhere, openVault, prepare } from "./vault.js";
import type { Vault } from "./vault.js";

/** The settings of everything that gets or uses a token. */
export const ACCOUNT_SETTINGS = [
  "provider",
  "domain",
  "tenant",
  "issuer",
  "endpoint",
  "clientId",
  "clientSecret",
  "clientAuth",
  "flow",
  "scopes",
  "audience",
  "resources",
  "params",
  "headers",
  "authUrl",
  "tokenUrl",
  "deviceUrl",
  "revocationUrl",
  "jwksUrl",
  "redirectUri",
  "store",
  "storePath",
  "refreshSkew",
  "timeout",
] as const satisfies readonly SettingName[];

/** Shows what is sent and received. */
export const DEBUG = {
  name: "debug",
  help: "Shows requests and answers, without secrets.",
} as const;

/** What is kept, with the names that it has in tokens.json. */
export interface Saved {
  readonly access_token: string;
  readonly refresh_token?: string;
  /** ISO 8601, UTC. */
  readonly expires_at?: string;
  readonly issued_at?: string;
  readonly issuer?: string;
  readonly client_id?: string;
  /** By what the program's own token is found: one for something else is another token. */
  readonly asked_for?: string;
  /** Further tokens of the program. */
  readonly others?: unknown;
  /** What the access token is for: resources and the audience, where any were asked for. */
  readonly resource?: unknown;
  readonly scope?: string;
  readonly user?: { readonly sub?: unknown };
  readonly [name: string]: unknown;
}

export type Flow = "code" | "device" | "client_credentials";

/** How long another process may take for a renewal, at the most. */
const TURN_MS = 120_000;
/** No token lives longer: ten years. */
const LONGEST_MS = 10 * 366 * 24 * 3600 * 1000;
const DEFAULT_SCOPE = "openid profile email";

/** Where a browser comes back to. The second is what tools that say AUTH_ENDPOINT have registered. */
const REDIRECT_URI = "http://127.0.0.1:8088/callback";
const REDIRECT_URI_BY_NAME = "http://localhost:8088/callback";

export class Account {
  readonly #tell: ((line: string) => void) | undefined;
  #isTold = false;
  /** The last event of each type, which says what errors leave out. */
  readonly #events = new Map<string, ClientEvent>();

  private constructor(
    readonly configuration: Configuration,
    readonly vault: Vault,
    readonly call: Pick<Call, "terminal" | "flags">,
  ) {
    const { flags, terminal } = call;
    if (flags["debug"] === true) this.#tell = (line) => terminal.err(plain(line));
  }

  /**
   * @param configuration where it was read already: secrets may come from what can be read once only
   * @throws Failure where the settings are wrong
   */
  static async open(
    call: Pick<Call, "configure" | "terminal" | "flags">,
    configuration?: Configuration,
  ): Promise<Account> {
    configuration = (configuration ?? (await call.configure())).check();
    return new Account(configuration, await openVault(configuration), call);
  }

  /**
   * Has the core read what a client is made of, so that mistakes show before anybody is asked.
   *
   * @throws Failure with every mistake that was found
   */
  static async test(
    configuration: Configuration,
    call: Pick<Call, "terminal" | "flags">,
  ): Promise<void> {
    // A token that one brings needs nobody.
    if (configuration.found("accessToken")) return void configuration.check();
    const account = new Account(configuration, nowhere, call);
    account.#isTold = true;
    const { flow } = account;
    const needs = needsOf(flow === "client_credentials" ? undefined : flow);
    const provider = await findProvider(configuration, needs, undefined, nobody);
    const redirectUri = account.redirectUri();
    if (flow === "code") {
      checkRedirect(redirectUri, configuration.found("redirectUri")?.where);
    }
    const client = await account.client(provider, { redirectUri });
    client.dispose();
  }

  get flow(): Flow {
    return (this.configuration.text("flow") as Flow | undefined) ?? "code";
  }

  /** How the server is called in what one types. */
  get #flag(): string {
    const { server, prefix } = this.configuration;
    const named = server === undefined ? "" : ` --server ${server}`;
    return prefix === "GATEPASS_" ? named : `${named} --env-prefix ${prefix}`;
  }

  notLoggedIn(why = ""): Failure {
    return new Failure(EXIT.notLoggedIn, [`Not logged in${why}. Run: gatepass login${this.#flag}`]);
  }

  /** Where nothing is kept that is good. A program needs no login. */
  noToken(): Failure {
    if (this.flow !== "client_credentials") return this.notLoggedIn();
    return new Failure(EXIT.notLoggedIn, [
      `No token of the program is kept. gatepass token${this.#flag} asks for one.`,
    ]);
  }

  redirectUri(port?: string): string {
    const { configuration } = this;
    const isNamed =
      configuration.found("authUrl")?.where === `${configuration.prefix}AUTH_ENDPOINT`;
    const given =
      configuration.text("redirectUri") ?? (isNamed ? REDIRECT_URI_BY_NAME : REDIRECT_URI);
    if (port === undefined) return given;
    const url = new URL(given);
    url.port = port;
    return url.href;
  }

  /** What is kept, as it is. */
  saved(): Saved | undefined {
    const text = this.vault.read();
    if (text === undefined) return undefined;
    const saved = savedIn(text);
    if (saved === undefined) throw this.#unreadable();
    return saved;
  }

  /** What stands there is not repeated. */
  #unreadable(): Failure {
    return new Failure(EXIT.configuration, [
      `${this.vault.where} holds no tokens that can be read. Remove what is there, or give another --store-path.`,
    ]);
  }

  /**
   * Whose login is kept, where it is not that of this client at this provider.
   *
   * @param provider without it, only clients are compared
   */
  stranger(saved: Saved, provider?: Provider): string | undefined {
    const { asked_for, client_id, issuer } = saved;
    const isProgram = this.flow === "client_credentials";
    if (isProgram && asked_for !== undefined) {
      return ownTokens(saved).some(this.#isMine) ? undefined : FOREIGN;
    }
    if (client_id !== undefined && !this.#isMine(saved)) return FOREIGN;
    // A program's own token can be asked for again, a user's login cannot.
    if (isProgram) return "holds the login of a user";
    if (issuer === undefined || provider === undefined) return undefined;
    // It publishes nothing, or nothing at present: the login's own provider is one of that origin.
    const isOurs = provider.isNamedByOrigin
      ? originOf(issuer) === originOf(issuerOf(provider))
      : issuer === issuerOf(provider);
    return isOurs ? undefined : FOREIGN;
  }

  readonly #isMine = ({ client_id }: Saved): boolean =>
    client_id === this.configuration.text("clientId");

  /** What there is to tell of: the login, or the program's own tokens, those that live first. */
  shown(): readonly Saved[] {
    const saved = this.vault.kind === "none" ? undefined : this.saved();
    if (saved === undefined) return [];
    if (this.flow !== "client_credentials" || saved.asked_for === undefined) return [saved];
    const isAny = this.configuration.text("clientId") === undefined;
    const mine = ownTokens(saved).filter((token) => isAny || this.#isMine(token));
    const alive = mine.filter(isAlive);
    return alive.length > 0 ? alive : mine.slice(0, 1);
  }

  /** Removes what is kept of this client. */
  forget(): void {
    const isProgram = this.flow === "client_credentials";
    const others = isProgram ? ownTokens(this.saved()).filter((one) => !this.#isMine(one)) : [];
    if (others.length === 0) this.vault.remove();
    else this.vault.write(textOf(others, this.vault.room));
  }

  /** @throws Failure where the tokens of this login would take the place of somebody else's */
  refuseForeign(provider?: Provider): void {
    const { vault } = this;
    const saved = vault.kind === "none" ? undefined : this.saved();
    const whose = saved && this.stranger(saved, provider);
    if (whose === undefined) return;
    const place = vault.kind === "file" ? "Give another --store-path" : "Give --store file";
    throw new Failure(
      EXIT.configuration,
      [
        `${vault.where} ${whose}, which would be lost.`,
        `${place}, or name each of them in the file (servers) and choose with --server; or end that login first, with the settings it was made with: gatepass logout.`,
      ],
      "login_foreign",
    );
  }

  /** Runs work while no other process changes what is kept. */
  alone<T>(work: (held: Held) => Promise<T>): Promise<T> {
    if (this.vault.kind === "none") return work({ isMine: () => true });
    prepare(this.vault);
    return alone(this.vault.lockPath, TURN_MS, work);
  }

  /** The same, but not alone where no lock can be written: a full disk keeps nobody logged in. */
  async aloneIfPossible(work: () => Promise<void>): Promise<void> {
    let hasBegun = false;
    const begin = (): Promise<void> => {
      hasBegun = true;
      return work();
    };
    try {
      await this.alone(begin);
    } catch (error) {
      const isUnwritten = error instanceof Failure && error.code === "storage_unavailable";
      if (hasBegun || !isUnwritten) throw error;
      await work();
    }
  }

  /** The token that is good now, renewed when its end is near: once for all processes. */
  async accessToken(): Promise<string> {
    if (this.flow === "client_credentials") return this.#ownToken();
    const saved = this.saved();
    // The program's own token is no login of a user.
    if (saved === undefined || saved.asked_for !== undefined) throw this.notLoggedIn();
    return this.#with((client) => client.accessToken());
  }

  /** The token after a server refused the last one; none where nothing can bring another one. */
  async tokenAfter(used: string): Promise<string | undefined> {
    if (this.flow === "client_credentials") return this.#ownToken(used);
    const saved = this.saved();
    if (saved?.access_token === used && saved.refresh_token === undefined) return undefined;
    return this.#with(async (client) => {
      // Somebody else may have renewed it meanwhile.
      if (this.saved()?.access_token === used) await client.refresh();
      return client.accessToken();
    }, used);
  }

  /**
   * Uses the session of the vault, alone, where it has no token that is good. From the moment that a
   * refresh token is sent signals wait: it may be good once only, and what comes of it has to be kept.
   *
   * @param used the token that is not good, whatever is kept of it
   */
  #with(work: (client: BackendClient) => Promise<string>, used?: string): Promise<string> {
    return unbroken((begin) => this.#renewed(work, begin, used));
  }

  async #renewed(
    work: (client: BackendClient) => Promise<string>,
    begin: () => void,
    used?: string,
  ): Promise<string> {
    const store = new SessionStore(this.vault, this.configuration.text("clientId") ?? "");
    store.onGrant = begin;
    store.places = this.#places();
    // Nothing changes, so nothing need be written: there may be no room for a lock.
    const good = (mayBe: (issuer: string) => boolean): string | undefined => {
      const saved = this.saved();
      if (saved?.issuer === undefined || !mayBe(saved.issuer)) return undefined;
      store.mayBe = mayBe;
      if (store.whose(saved) !== undefined || saved.access_token === used) return undefined;
      return this.#livesOn(saved) ? saved.access_token : undefined;
    };
    // Where it is known whose it is nobody is asked, whom there may be no network to ask.
    const mayBe = namesOf(this.configuration);
    const token = mayBe && good(mayBe);
    if (token !== undefined) return token;
    const provider = await this.provider();
    const client = await this.client(provider, { store });
    try {
      const known = good(provider.mayBe);
      if (known !== undefined) return known;
      this.#refuseDoubt(provider);
      return await this.alone(async (held) => {
        store.held = held;
        const token = await work(client);
        store.rethrow();
        // It is good for a while: the next one has to hear of it, and users before that.
        if (store.obstacle) this.call.terminal.err(`Not renewed: ${plain(store.obstacle.message)}`);
        return token;
      });
    } catch (caught) {
      const error = store.problem ?? caught;
      if (store.isLost && store.problem !== undefined) throw this.#lost(error);
      if (store.obstacle) throw this.#notKept(store.obstacle);
      if (store.foreign !== undefined) {
        throw this.notLoggedIn(`: ${this.vault.where} ${store.foreign}`);
      }
      if (store.isUnread) throw this.#unreadable();
      throw this.#explain(error);
    } finally {
      client.dispose();
    }
  }

  /**
   * Under a name that is a guess a login of the provider's own name would be lost: its ID tokens would be
   * another's.
   *
   * @throws Failure where it cannot be read at present what the provider is called
   */
  #refuseDoubt({ doubt, issuer, mayBe }: Provider): void {
    const made = this.saved()?.issuer;
    if (!doubt || made === undefined || !mayBe(made) || made === issuerOf({ issuer })) return;
    throw new Failure(
      doubt.exitCode,
      [`Token refresh failed: ${doubt.lines.join(" ")}`, "The login is kept; try again later."],
      doubt.code,
    );
  }

  /** What a token is asked for: resources and the audience. */
  #places(): readonly string[] {
    const audience = this.configuration.list("audience");
    const resources = this.configuration.list("resources");
    return [...resources, ...(audience.length > 0 ? [audience.join(" ")] : [])];
  }

  /** New tokens came and could not be kept: those that are kept have been used up. */
  #lost(error: unknown): unknown {
    if (!(error instanceof Failure)) return error;
    return new Failure(
      error.exitCode,
      [
        `Token refresh failed: ${error.lines.join(" ")}`,
        `The new tokens are lost, and with them the login, if the provider takes each refresh token once. Then run: gatepass login${this.#flag}`,
      ],
      error.code,
    );
  }

  /** New tokens could not have been kept, so none were asked for. */
  #notKept({ code, exitCode, lines }: Failure): Failure {
    return new Failure(
      exitCode,
      [`Token refresh failed: ${lines.join(" ")}`, "The login is kept; try again once it can be."],
      code,
    );
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof GatepassError)) return error;
    if (error.code === "login_required") {
      const saved = this.saved();
      const end = saved?.expires_at === undefined ? "" : ` (token expired at ${saved.expires_at})`;
      return this.notLoggedIn(end);
    }
    if (error.phase !== "refresh" && !this.#events.has("refresh_failed")) return failureOf(error);
    const { exitCode, lines } = failureOf(error);
    const hasEnded = this.#events.has("expired");
    return new Failure(hasEnded ? EXIT.notLoggedIn : exitCode, [
      `Token refresh failed: ${lines.join(" ")}`,
      hasEnded
        ? `The login is over. Run: gatepass login${this.#flag}`
        : "The login is kept; try again later.",
    ]);
  }

  /** The token of the program itself. */
  async #ownToken(used?: string): Promise<string> {
    const asked_for = askedFor(this.configuration);
    const isGood = (token: Saved): boolean =>
      token.access_token !== used && token.asked_for === asked_for && this.#livesOn(token);
    const kept = this.#ownTokens().find(isGood);
    if (kept) return kept.access_token;
    return this.alone(async (held) => {
      // Somebody else may have asked meanwhile.
      const tokens = this.#ownTokens();
      const known = tokens.find(isGood);
      if (known) return known.access_token;
      let answer: Partial<Record<string, unknown>> = {};
      const client = await this.client(await this.provider(), { onTokens: (it) => (answer = it) });
      try {
        const issuedAt = Date.now();
        const token = await client.clientCredentials().accessToken();
        // As long as the core believes in at the most.
        const lifetime = Math.min(1000 * Number(answer["expires_in"]), LONGEST_MS);
        const newer: Saved = {
          access_token: token,
          ...(lifetime > 0 && { expires_at: iso(issuedAt + lifetime) }),
          issued_at: iso(issuedAt),
          client_id: this.configuration.text("clientId") ?? "",
          asked_for,
          ...(typeof answer["scope"] === "string" && { scope: answer["scope"] }),
        };
        const { vault } = this;
        if (held.isMine()) vault.write(textOf(withNewer(newer, tokens), vault.room));
        return token;
      } catch (error) {
        throw error instanceof GatepassError ? failureOf(error) : error;
      } finally {
        client.dispose();
      }
    });
  }

  /**
   * All tokens of programs that are kept.
   *
   * @throws Failure where the login of a user is kept
   */
  #ownTokens(): readonly Saved[] {
    const saved = this.vault.kind === "none" ? undefined : this.saved();
    if (saved !== undefined && saved.asked_for === undefined) this.refuseForeign();
    return ownTokens(saved);
  }

  /** Whether a kept token is of this client and not near its end. */
  #livesOn(token: Saved): boolean {
    if (!this.#isMine(token)) return false;
    const { expires_at, issued_at } = token;
    const [end, begin] = [Date.parse(expires_at ?? ""), Date.parse(issued_at ?? "")];
    if (Number.isNaN(end) || Number.isNaN(begin) || begin > Date.now()) return false;
    const skewMs = 1000 * (this.configuration.integer("refreshSkew") ?? fallbackOf("refreshSkew"));
    return Date.now() < end - Math.min(skewMs, (end - begin) / 2);
  }

  /**
   * The provider.
   *
   * @param login how a user is about to sign in, which takes an endpoint of its own
   */
  provider(login?: Exclude<Flow, "client_credentials">): Promise<Provider> {
    return findProvider(this.configuration, needsOf(login), this.#tell);
  }

  /** The scope to ask for. */
  scope(provider: Provider): string | undefined {
    const given = this.configuration.list("scopes");
    if (given.length > 0) return given.join(" ");
    if (this.flow === "client_credentials") return undefined;
    if (provider.hasKeys) return DEFAULT_SCOPE;
    // An ID token that nobody can check is better not asked for.
    if (this.#isTold) return DEFAULT_SCOPE.replace("openid ", "");
    this.#isTold = true;
    this.call.terminal.err(
      `Without ${this.configuration.namesOf("issuer")} or ${this.configuration.namesOf("jwksUrl")} the user cannot be verified, so "openid" is not asked for.`,
    );
    return DEFAULT_SCOPE.replace("openid ", "");
  }

  /** A client of the configured kind. */
  async client(
    provider: Provider,
    own: {
      readonly store?: SessionStore;
      readonly redirectUri?: string;
      readonly onTokens?: (answer: Partial<Record<string, unknown>>) => void;
    } = {},
  ): Promise<BackendClient> {
    const { configuration } = this;
    const clientAuth = await this.#clientAuth(provider);
    const clientId = configuration.need("clientId");
    configuration.check();
    const audience = configuration.list("audience");
    const resources = configuration.list("resources");
    const timeout = configuration.integer("timeout");
    const isProgram = this.flow === "client_credentials";
    const params = {
      ...(!isProgram && renewable(configuration.text("provider"))),
      ...configuration.pairs("params"),
    };
    const scope = this.scope(provider);
    const { issuer } = provider;
    const { onTokens } = own;
    if (own.store) {
      own.store.issuer = issuerOf(provider);
      own.store.mayBe = provider.mayBe;
      own.store.places = this.#places();
    }
    const options: BackendOptions = {
      issuer,
      clientId,
      ...(scope !== undefined && { scope }),
      clientAuth,
      fetch: onTokens
        ? overhearing(provider.fetch, onTokens)
        : own.store
          ? proving(provider.fetch, own.store)
          : provider.fetch,
      refreshSkew: configuration.integer("refreshSkew") ?? fallbackOf("refreshSkew"),
      ...(timeout !== undefined && { timeout }),
      onEvent: (event) => void this.#events.set(event.type, event),
      ...(own.store && { store: own.store }),
      ...(own.redirectUri !== undefined && { redirectUri: own.redirectUri }),
      ...(audience.length > 0 && { audience: audience.join(" ") }),
      ...(resources.length > 0 && { resource: resources }),
      ...(!isProgram && Object.keys(params).length > 0 && { authorizationParams: params }),
      ...(isAllLoopback(provider, configuration) && { dangerouslyAllowHttpLoopback: true }),
    };
    try {
      const client = await createClient(options);
      if (!isProgram) return client;
      const grant = client.clientCredentials.bind(client);
      client.clientCredentials = (more) => grant({ params, ...more });
      return client;
    } catch (error) {
      throw error instanceof GatepassError ? failureOf(error, configuration) : error;
    }
  }

  /** As it is said, else as the provider wants it. */
  async #clientAuth(provider: Provider): Promise<ClientAuth> {
    const { configuration } = this;
    const clientSecret = configuration.text("clientSecret");
    const said = configuration.text("clientAuth");
    if (said === "none" || said === "tls_client_auth") return { method: said };
    if (clientSecret === undefined) {
      if (said !== undefined) configuration.need("clientSecret");
      return { method: "none" };
    }
    type Method = "client_secret_basic" | "client_secret_post";
    if (said !== undefined) return { method: said as Method, clientSecret };
    const metadata = await provider.metadata();
    const methods = metadata?.["token_endpoint_auth_methods_supported"];
    const isKnown = (method: Method): boolean => Array.isArray(methods) && methods.includes(method);
    const isPost = !isKnown("client_secret_basic") && isKnown("client_secret_post");
    return { method: isPost ? "client_secret_post" : "client_secret_basic", clientSecret };
  }

  /** Whether something of this kind was reported. */
  saw(type: ClientEvent["type"]): ClientEvent | undefined {
    return this.#events.get(type);
  }
}

/** What a provider must be known by, at the least. */
const needsOf = (login: "code" | "device" | undefined): readonly Need[] =>
  login === undefined ? ["tokenUrl"] : [login === "code" ? "authUrl" : "deviceUrl", "tokenUrl"];

/** What is said of a login that is somebody else's. */
const FOREIGN = "belongs to another client or provider";

const issuerOf = ({ issuer }: Pick<Provider, "issuer">): string =>
  typeof issuer === "string" ? issuer : issuer.issuer;

/** Who knows nothing, so that nobody is asked. */
const nobody: typeof fetch = () => Promise.resolve(new Response(null, { status: 404 }));

const originOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : url);

function isAllLoopback(provider: Provider, configuration: Configuration): boolean {
  const urls = [
    issuerOf(provider),
    ...(["authUrl", "tokenUrl"] as const).flatMap((name) => configuration.text(name) ?? []),
  ];
  return urls.every(isLoopback);
}

const iso = (millis: number): string => new Date(millis).toISOString();

/** Tells what came from the token endpoint, once the core has read it. */
function overhearing(
  send: typeof fetch,
  tell: (answer: Partial<Record<string, unknown>>) => void,
): typeof fetch {
  return async (input, init) => {
    const response = await send(input, init);
    if (init?.method !== "POST" || !response.ok) return response;
    try {
      tell((await response.clone().json()) as Partial<Record<string, unknown>>);
    } catch {
      // The core says so.
    }
    return response;
  };
}

/** Asks for no tokens that could not be kept: a code and a refresh token may be good once only. */
function proving(send: typeof fetch, store: SessionStore): typeof fetch {
  return async (input, init) => {
    const isGrant = init?.method === "POST" && /(?:^|&)grant_type=/u.test(String(init.body));
    if (!isGrant) return send(input, init);
    store.granting();
    const response = await send(input, init);
    store.isLost = response.ok;
    return response;
  };
}

/** The tokens in a text, without what another program wrote down as nothing; none where there are none. */
function savedIn(text: string): Saved | undefined {
  try {
    const saved = JSON.parse(text) as Partial<Saved> | null;
    if (typeof saved !== "object" || typeof saved?.access_token !== "string") return undefined;
    // As tools write that have a name for everything.
    const members = Object.entries(saved).filter(([, value]) => value !== null && value !== "");
    return Object.fromEntries(members) as Saved;
  } catch {
    return undefined;
  }
}

/** The form of the core's own text. */
const FORM = 1;
/** What tokens.json says in words of its own. */
const WORDS = ["form", "received_at", "expires_in"] as const;

/** Keeps a session in a vault, in the form of tokens.json. */
export class SessionStore {
  issuer = "";
  /** Whether a login that was made there may be of this provider. */
  mayBe = (issuer: string): boolean => issuer === this.issuer;
  /** What a token is asked for: resources and the audience. */
  places: readonly string[] = [];
  /** Whether a login for other places will do, as it does to end it. */
  takesAnyPlace = false;
  held: Held | undefined;
  /** Whose the tokens in the vault are, or what for, where they are not those that are asked for. */
  foreign: string | undefined;
  /** Whether the core could not read what is there. */
  isUnread = false;
  /** Whether what the core removes has ended: until a grant or a sign-out it removes what it cannot read. */
  mayRemove = false;
  /** Called before a grant is sent. */
  onGrant: (() => void) | undefined;
  /** Whether tokens came that are not kept. */
  isLost = false;
  /** Why no tokens were asked for: they could not have been kept. */
  obstacle: Failure | undefined;
  /** What went wrong with the vault: tokens are then not handed out. */
  problem: unknown;
  /** What was written last, with what the core calls it: it compares letter by letter. */
  #last: { readonly kept: string; readonly text: string } | undefined;

  constructor(
    readonly vault: Vault,
    readonly clientId: string,
  ) {}

  get(): string | undefined {
    let kept: string | undefined;
    try {
      kept = this.vault.read();
    } catch (error) {
      this.problem = error;
      throw error;
    }
    if (kept === undefined) return undefined;
    if (this.#last?.kept === kept) return this.#last.text;
    return this.#toCore(kept);
  }

  set(_key: string, text: string): void {
    try {
      if (this.held?.isMine() === false) {
        throw new Failure(EXIT.failed, ["Another process took over; nothing was stored."]);
      }
      const kept = fromCore(text);
      this.vault.write(kept);
      this.isLost = false;
      this.#last = { kept, text };
    } catch (error) {
      this.problem = error;
      throw error;
    }
  }

  /** Before a grant is sent: nothing is asked for that could not be kept. */
  granting(): void {
    try {
      this.vault.prove();
      this.obstacle = undefined;
      this.mayRemove = true;
      this.onGrant?.();
    } catch (error) {
      if (error instanceof Failure) this.obstacle = error;
      throw error;
    }
  }

  remove(): void {
    // What is not ours is not ours to remove, nor what nobody could read.
    if (!this.mayRemove) this.isUnread = true;
    else if (this.foreign === undefined) this.vault.remove();
  }

  rethrow(): void {
    if (this.problem !== undefined) throw this.problem;
  }

  /** Whose tokens are, or what for, where they are not those that are asked for. */
  whose({ issuer, client_id, resource }: Saved): string | undefined {
    const isIts = issuer === undefined || this.mayBe(issuer);
    const isOurs = isIts && (client_id ?? this.clientId) === this.clientId;
    if (!isOurs) return FOREIGN;
    // A file that another tool wrote says neither whose they are nor what for.
    const places = [resource ?? (client_id === undefined ? this.places : [])].flat();
    // A set has no order.
    const isSame = new Set([...places, ...this.places]).size === new Set(this.places).size;
    const isAll = new Set(places).size === new Set(this.places).size;
    if (this.takesAnyPlace || (isSame && isAll)) return;
    return `holds a login for ${nameOf(places)} where one for ${nameOf(this.places)} is wanted; it was left alone. Give the --audience and --resources that it was made with, or sign in anew, which takes its place`;
  }

  #toCore(kept: string): string | undefined {
    // What the core could not read before it is not shown again: it would take its place.
    const saved = this.isUnread ? undefined : savedIn(kept);
    this.isUnread = saved === undefined;
    this.foreign = saved && this.whose(saved);
    if (saved === undefined || this.foreign !== undefined) return undefined;
    const { expires_at, issued_at, expires_in: _, resource: __, ...rest } = saved;
    // A file that another tool wrote does not say when: it was then.
    const begin = Date.parse(issued_at ?? "") || (this.vault.writtenAt() ?? 0);
    const end = Date.parse(expires_at ?? "");
    return JSON.stringify({
      scope: "",
      ...rest,
      form: FORM,
      issuer: this.issuer,
      client_id: this.clientId,
      ...(this.places.length > 0 && { resource: this.places }),
      received_at: begin,
      ...(!Number.isNaN(end) && { expires_in: Math.max(0, end - begin) }),
    });
  }
}

/** What a token is for, in words. */
const nameOf = (places: unknown): string =>
  Array.isArray(places) && places.length > 0 ? places.join(" ") : "no API in particular";

function fromCore(text: string): string {
  const { access_token, refresh_token, received_at, expires_in, ...rest } = JSON.parse(text) as {
    [name: string]: unknown;
    access_token: string;
    received_at: number;
    expires_in?: number;
  };
  for (const word of WORDS) delete rest[word];
  const kept: Saved = {
    access_token,
    ...(typeof refresh_token === "string" && { refresh_token }),
    ...(expires_in !== undefined && { expires_at: iso(received_at + expires_in) }),
    issued_at: iso(received_at),
    ...rest,
  };
  return `${JSON.stringify(kept, null, 2)}\n`;
}

/** The settings that become options, and members of metadata, with another name. */
const SETTING_OF: Readonly<Record<string, SettingName>> = {
  scope: "scopes",
  resource: "resources",
  authorizationParams: "params",
  ...Object.fromEntries(
    Object.entries(ENDPOINTS).map(([name, member]) => [member, name as SettingName]),
  ),
};

/** What the core says, as an end of the program. */
export function failureOf(error: GatepassError, configuration?: Configuration): Failure {
  const { at, code, details = {}, hint } = error;
  const said = [
    details.status === undefined ? "" : `HTTP ${details.status}`,
    details.error,
    details.errorDescription,
    details.snippet,
    details.requestId === undefined ? "" : `request ${details.requestId}`,
  ].filter((part) => part !== undefined && part !== "");
  const setting = SETTING_OF[at?.split(".").at(-1) ?? ""] ?? at;
  const where = configuration?.found(setting as SettingName)?.where;
  const place = at === undefined ? "" : ` (${where ?? at})`;
  const lines = [
    `${code}${place}: ${hintOf(code, hint)}`,
    ...(said.length > 0 ? [said.join(": ")] : []),
  ];
  return new Failure(exitCodeOf(error), lines, code);
}

function exitCodeOf({ code, details, retryable }: GatepassError): number {
  switch (code) {
    case "config_invalid":
    case "url_insecure":
    case "metadata_invalid":
      return EXIT.configuration;
    case "login_required":
      return EXIT.notLoggedIn;
    case "flow_expired":
    case "upstream_timeout":
    case "window_timeout":
      return EXIT.timeout;
    case "credentials_refused":
    case "server_error_response":
    case "scope_insufficient":
    case "step_up_required":
      // By a redirect no provider can say 503 (RFC 6749 section 4.1.2.1).
      return retryable || details?.error === "temporarily_unavailable" ? EXIT.failed : EXIT.refused;
    default:
      return EXIT.failed;
  }
}
