import { guardEngine } from "../load/guard.js";
import type { Guard as Core } from "../wasm/guard_bg.js";
import { call, disposed } from "./errors.js";
import type { ErrorCode } from "./errors.js";
import { isFunction, split, toJson } from "./options.js";

/** A provider's metadata, given in place of discovery (RFC 8414 section 2). */
export interface IssuerMetadata {
  /** The issuer identifier. */
  readonly issuer: string;
  /** Where the keys are. */
  readonly jwks_uri?: string;
  readonly [member: string]: unknown;
}

/** What a guard demands. An unknown option or a value of the wrong type is refused. */
export interface GuardOptions {
  /** The issuers whose tokens are accepted, letter by letter, or their metadata. */
  readonly issuer: string | IssuerMetadata | readonly (string | IssuerMetadata)[];
  /** The names of this API; a token must be meant for one of them. */
  readonly audience: string | readonly string[];
  /**
   * The accepted signature algorithms. `none` and HMAC cannot be among them.
   * @defaultValue RS, PS and ES with 256, 384 and 512, Ed25519 and EdDSA
   */
  readonly algorithms?: string | readonly string[];
  /** Scopes that every request needs. @defaultValue none */
  readonly requiredScopes?: string | readonly string[];
  /** How far clocks may differ, in seconds, 0 to 300. @defaultValue 30 */
  readonly clockTolerance?: number;
  /** How long one request to the provider may take, in seconds, 1 to 120. @defaultValue 5 */
  readonly timeout?: number;
  /** Sends the requests in place of the runtime's `fetch`. */
  readonly fetch?: typeof fetch;
  /** Is told of everything that happens; never of a token. */
  readonly onEvent?: (event: GuardEvent) => void;
  /** Accepts http for 127.0.0.1, [::1] and localhost. For development only. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
}

/** What a request needs beyond a valid token. */
export interface Need {
  /** All of these scopes. */
  readonly scopes?: string | readonly string[];
}

/** The bearer of a valid access token. */
export interface Principal {
  /** Whom the token was issued about (`sub`); unique within the issuer. */
  readonly subject: string;
  readonly issuer: string;
  /** The client that the token was issued to. Where it equals the subject, no user is involved. */
  readonly clientId: string;
  readonly scopes: readonly string[];
  readonly audience: readonly string[];
  /** When the token ends, in seconds since 1970. */
  readonly expiresAt: number;
  /** Every claim. Integers beyond 2^53 come as strings. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Why a request is refused. For your logs: the client is told the challenge only. */
export interface Refusal {
  readonly code: ErrorCode;
  /** 400, 401, 403 or 503. */
  readonly status: number;
  /** The value of `WWW-Authenticate` (RFC 6750 section 3); absent where no token would help. */
  readonly challenge?: string;
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
      readonly refusal?: never;
      readonly response?: never;
    }
  | { readonly principal?: never; readonly refusal: Refusal; readonly response: Response };

/** What a guard reports. */
export type GuardEvent =
  | {
      readonly type: "request";
      readonly purpose: "discovery" | "keys";
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
    };

/** How often each outcome came up: `accepted`, and the codes of refusals. */
export type Tally = { readonly accepted: number } & Readonly<Partial<Record<ErrorCode, number>>>;

/** Checks the access tokens of an API's requests. Make one and keep it: it keeps the keys. */
export interface Guard {
  /**
   * Checks the `Authorization` header of a request by RFC 6750 and its token by RFC 9068.
   *
   * It is rejected only when `need` cannot be read; a refused request is an outcome, with the
   * response to send.
   */
  check(request: { readonly headers: Headers }, need?: Need): Promise<Checked>;
  /** Checks a token that you took from elsewhere. Rejected with the refusal's code. */
  verify(token: string, need?: Need): Promise<Principal>;
  /** A handler that runs for good requests only. */
  protect<Q extends { readonly headers: Headers }, R extends readonly unknown[]>(
    handler: (request: Q, principal: Principal, ...rest: R) => Response | Promise<Response>,
    need?: Need,
  ): (request: Q, ...rest: R) => Promise<Response>;
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
  const { host, rest } = split(options, { fetch: isFunction, onEvent: isFunction });
  const json = toJson(rest);
  const { onEvent } = host;
  const listener = onEvent && ((text: string) => onEvent(JSON.parse(text) as GuardEvent));
  return call(async () => {
    const glue = await guardEngine.ready();
    return new RequestGuard(new glue.Guard(json, host.fetch, listener));
  });
}

class RequestGuard implements Guard {
  #core: Core | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  get #alive(): Core {
    if (!this.#core) throw disposed();
    return this.#core;
  }

  async check(request: { readonly headers: Headers }, need: Need = {}): Promise<Checked> {
    const authorization = request.headers.get("authorization") ?? undefined;
    const text = await call(() => this.#alive.check(authorization, toJson(need)));
    const outcome = JSON.parse(text) as
      { principal: Principal; checks: string[] } | { refusal: Refusal };
    if ("principal" in outcome) return outcome;
    return { refusal: outcome.refusal, response: respond(outcome.refusal) };
  }

  async verify(token: string, need: Need = {}): Promise<Principal> {
    return JSON.parse(await call(() => this.#alive.verify(token, toJson(need)))) as Principal;
  }

  protect<Q extends { readonly headers: Headers }, R extends readonly unknown[]>(
    handler: (request: Q, principal: Principal, ...rest: R) => Response | Promise<Response>,
    need: Need = {},
  ): (request: Q, ...rest: R) => Promise<Response> {
    return async (request, ...rest) => {
      const { principal, response } = await this.check(request, need);
      return principal ? handler(request, principal, ...rest) : response;
    };
  }

  tally(): Tally {
    return JSON.parse(this.#alive.tally()) as Tally;
  }

  dispose(): void {
    this.#core?.free();
    this.#core = undefined;
  }
}

/** The response of a refusal: no body, since the client is told nothing that the challenge does not say. */
function respond(refusal: Refusal): Response {
  const headers = new Headers({ "cache-control": "no-store" });
  if (refusal.challenge !== undefined) headers.set("www-authenticate", refusal.challenge);
  return new Response(null, { status: refusal.status, headers });
}
