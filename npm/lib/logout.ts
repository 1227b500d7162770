import { backendEngine } from "../load/backend.js";
import { Held } from "../load/held.js";
import type { LogoutReceiver as Core } from "../wasm/backend_bg.js";
import type { ClientEvent, IssuerMetadata } from "./client.js";
import { GatepassError, call, translate } from "./errors.js";
import { tell } from "./events.js";
import { formOf } from "./form.js";
import { isFunction, split, text, textOrNone, toJson } from "./options.js";
import { asRemember, isReplayStore } from "./possession.js";
import type { ReplayStore } from "./possession.js";

/** What a receiver of logout tokens is configured with. */
export interface LogoutReceiverOptions {
  /** The issuer identifier, letter by letter as the provider writes it, or its metadata. */
  readonly issuer: string | IssuerMetadata;
  /** The client identifier that the provider gave you. */
  readonly clientId: string;
  /**
   * The accepted algorithms: `id_token_signed_response_alg` of the client's registration. Never
   * `none`, never HMAC. @defaultValue asymmetric ones that the provider's metadata names
   */
  readonly algorithms?: string | readonly string[];
  /** Audiences that a token may have besides this client. @defaultValue none */
  readonly trustedAudiences?: string | readonly string[];
  /** How old a token may be, in seconds, 1 to 3600. @defaultValue 300 */
  readonly maxTokenAge?: number;
  /** How far clocks may differ, in seconds, 0 to 300. @defaultValue 30 */
  readonly clockTolerance?: number;
  /** Seconds for one request to the provider, 1 to 120. @defaultValue 10 */
  readonly timeout?: number;
  /** http to this machine itself, for development. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
  /** How requests to the provider are sent. @defaultValue the global `fetch` */
  readonly fetch?: typeof fetch;
  /**
   * Remembers which tokens were used. What is not given here is remembered by this receiver, which
   * is one isolate or process. @defaultValue this receiver's memory
   */
  readonly replayStore?: ReplayStore;
  /** Hears of requests, checks and what an operator should know. @defaultValue nobody does */
  readonly onEvent?: (event: LogoutEvent) => void;
}

/** What happens in a receiver. */
export type LogoutEvent =
  | Extract<ClientEvent, { type: "alert" | "checked" | "request" }>
  /** Ending the sessions failed with this, and the provider was told so. */
  | { readonly type: "ending_failed"; readonly cause: unknown };

/** Who signed out at the provider. */
export interface LogoutToken {
  /** The issuer, within which the other names mean something. */
  readonly iss: string;
  /** The user; without `sid` all sessions of this user are over. */
  readonly sub?: string;
  /** The session that is over. One of `sub` and `sid` is always there. */
  readonly sid?: string;
  /** The name of this logout. */
  readonly jti: string;
  /** What was checked, in order. */
  readonly checks: readonly string[];
  /**
   * Whether it ends a session that has these claims in its ID token: the same issuer, and the same
   * `sub` and `sid` as far as this logout names them.
   */
  ends(claims: { readonly iss: string; readonly sub?: string; readonly sid?: string }): boolean;
}

/** What came of a request: who signed out, or why nobody did. */
export type LogoutCheck =
  | {
      readonly logout: LogoutToken;
      /** 200: answer it after the sessions have ended. */
      readonly response: Response;
    }
  | {
      /** Why, for your logs. */
      readonly refusal: GatepassError;
      /** 400, or 405 for what is no POST; it says nothing of the token. */
      readonly response: Response;
    };

/** Receives what a provider tells when users sign out there (OpenID Connect Back-Channel Logout 1.0). */
export interface LogoutReceiver {
  /**
   * Answers a request to `backchannel_logout_uri`: checks it, has the sessions ended, and answers 200
   * when that is done, else 400, each with `Cache-Control: no-store`. It does not reject. What `end`
   * throws is told by the event `ending_failed`; the token is used up all the same, so try again
   * yourself.
   */
  receive(request: Request, end: (logout: LogoutToken) => unknown): Promise<Response>;
  /** Checks a request, whose sessions you end yourself before you answer `response`. */
  check(request: Request): Promise<LogoutCheck>;
  /**
   * Checks a logout token that your server took out of its request: the value of `logout_token` in
   * the form of a POST. A token is good once. What is no text, as parsers of forms make of some, is
   * `token_malformed`.
   *
   * @throws {@link GatepassError} `token_malformed`, `token_too_large`, `alg_not_allowed`,
   * `typ_mismatch`, `signature_invalid`, `key_not_found`, `claim_missing`, `claim_invalid`,
   * `issuer_mismatch`, `audience_mismatch`, `token_expired`, `token_too_old`,
   * `logout_token_replayed`, and those of requests to the provider.
   */
  checkLogoutToken(token: string): Promise<LogoutToken>;
  /** Frees the memory. Nothing can be called afterwards. */
  dispose(): void;
}

/**
 * Makes a receiver of logout tokens. Nothing is sent before the first token.
 *
 * Its memory of used tokens and of the provider's keys is worth keeping: make one for each isolate or
 * process, not for each request.
 *
 * @throws {@link GatepassError} `config_invalid`, `url_insecure`, `metadata_invalid`,
 * `unsupported_host`.
 */
export async function createLogoutReceiver(
  options: LogoutReceiverOptions,
): Promise<LogoutReceiver> {
  // The options are read before anything is awaited: changing them later has no effect.
  const { host, rest } = split(options, {
    fetch: isFunction,
    onEvent: isFunction,
    replayStore: isReplayStore,
  });
  const json = toJson(rest);
  const { onEvent, replayStore } = host;
  const listener = onEvent && ((text: string) => onEvent(JSON.parse(text) as LogoutEvent));
  const remember = replayStore && asRemember(replayStore);
  return call(async () => {
    const held = await Held.of(backendEngine, {
      make: (glue) => new glue.LogoutReceiver(json, host.fetch, listener, remember),
    });
    return new Receiver(held, onEvent);
  });
}

/** An answer as the core wrote it. */
function respond(answer: string): Response {
  const { status, headers, body } = JSON.parse(answer) as {
    readonly status: number;
    readonly headers: Record<string, string>;
    readonly body: string;
  };
  return new Response(body === "" ? null : body, { status, headers });
}

class Receiver implements LogoutReceiver {
  readonly #held: Pick<Held<never, Core>, "core" | "use" | "dispose">;
  readonly #onEvent: LogoutReceiverOptions["onEvent"];

  constructor(
    held: Pick<Held<never, Core>, "core" | "use" | "dispose">,
    onEvent: LogoutReceiverOptions["onEvent"],
  ) {
    this.#held = held;
    this.#onEvent = onEvent;
  }

  async receive(request: Request, end: (logout: LogoutToken) => unknown): Promise<Response> {
    const checked = await this.check(request);
    if (!("logout" in checked)) return checked.response;
    try {
      await end(checked.logout);
      return checked.response;
    } catch (cause) {
      tell(this.#onEvent, { type: "ending_failed", cause });
      return respond(await this.#held.use((core) => core.failed()));
    }
  }

  async check(request: Request): Promise<LogoutCheck> {
    const method = text(request.method);
    const type = textOrNone(request.headers.get("content-type") ?? undefined);
    const form = await formOf(request).catch(() => undefined);
    const [answer, outcome] = await this.#held.use((core) => core.check(method, type, form ?? ""));
    const response = respond(answer);
    return typeof outcome === "string"
      ? { logout: this.#logout(outcome), response }
      : { refusal: translate(outcome), response };
  }

  async checkLogoutToken(token: string): Promise<LogoutToken> {
    return this.#logout(await this.#held.use((core) => core.checkToken(text(token))));
  }

  #logout(outcome: string): LogoutToken {
    const ends: LogoutToken["ends"] = ({ iss, sub, sid }) =>
      this.#held.core.ends(outcome, toJson({ iss, sub, sid }));
    return { ...(JSON.parse(outcome) as Omit<LogoutToken, "ends">), ends };
  }

  dispose(): void {
    this.#held.dispose();
  }
}
