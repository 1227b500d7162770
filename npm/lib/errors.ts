/**
 * What went wrong, as a stable code. The list is that of the Rust core; a test compares the two.
 */
export type ErrorCode =
  // The program that called gatepass must change something.
  | "aborted"
  | "config_invalid"
  | "credentials_refused"
  | "fedcm_unavailable"
  | "flow_misused"
  | "internal_error"
  | "login_required"
  | "popup_blocked"
  | "silent_unavailable"
  | "step_up_required"
  | "storage_invalid"
  | "shared_cache_invalid"
  | "storage_unavailable"
  | "time_invalid"
  | "unsupported_host"
  | "url_insecure"
  // The network, or a provider that is down.
  | "introspection_busy"
  | "keys_stale"
  | "keys_unavailable"
  | "redirect_refused"
  | "replay_store_unavailable"
  | "response_too_large"
  | "shared_cache_unavailable"
  | "upstream_status"
  | "upstream_timeout"
  | "upstream_unreachable"
  // The provider's answer breaks a specification or says no.
  | "jwks_invalid"
  | "metadata_invalid"
  | "pkce_unsupported"
  | "response_malformed"
  | "server_error_response"
  | "token_type_unsupported"
  // The request or the callback.
  | "code_missing"
  | "credential_multiple"
  | "credential_missing"
  | "dpop_invalid"
  | "dpop_replayed"
  | "fedcm_dismissed"
  | "flow_expired"
  | "flow_reused"
  | "flow_unknown"
  | "iss_mismatch"
  | "iss_missing"
  | "logout_request_invalid"
  | "logout_state_mismatch"
  | "logout_state_missing"
  | "logout_unknown"
  | "param_invalid"
  | "popup_closed"
  | "request_invalid"
  | "response_mode_mismatch"
  | "state_mismatch"
  | "state_missing"
  | "use_dpop_nonce"
  | "window_timeout"
  // The token.
  | "acr_insufficient"
  | "alg_not_allowed"
  | "audience_mismatch"
  | "auth_too_old"
  | "authentication_insufficient"
  | "azp_mismatch"
  | "binding_mismatch"
  | "claim_invalid"
  | "claim_missing"
  | "crit_unsupported"
  | "hash_mismatch"
  | "issued_in_future"
  | "issuer_mismatch"
  | "key_ambiguous"
  | "key_not_found"
  | "key_unsuitable"
  | "logout_token_replayed"
  | "nonce_mismatch"
  | "permission_insufficient"
  | "predicate_refused"
  | "role_insufficient"
  | "scope_insufficient"
  | "signature_invalid"
  | "binding_mismatch"
  | "token_expired"
  | "token_inactive"
  | "token_malformed"
  | "token_not_active"
  | "token_too_large"
  | "token_too_old"
  | "typ_mismatch"
  | "user_required";

/** In which part of a conversation an error came up. */
export type Phase =
  | "callback"
  | "config"
  | "discovery"
  | "exchange"
  | "guard"
  | "id_token"
  | "introspection"
  | "keys"
  | "refresh"
  | "session"
  | "sign_in"
  | "sign_out"
  | "userinfo";

/** What the provider said of its refusal. */
export interface ErrorDetails {
  /** The HTTP status of its answer. */
  readonly status?: number;
  /** Its error code (RFC 6749 section 5.2). */
  readonly error?: string;
  /** Its description, at most 512 characters, without control characters. Show it as text only. */
  readonly errorDescription?: string;
  /** The scope that an API asks for (RFC 6750 section 3.1). */
  readonly scope?: string;
  /** How an API wants the user to sign in (RFC 9470 section 3). */
  readonly acrValues?: string;
  /** How old the sign-in may be for an API, in seconds (RFC 9470 section 3). */
  readonly maxAge?: number;
  /**
   * What came in place of an answer, at most 512 characters: text without markup and without
   * anything that could be a secret. Show it as text only.
   */
  readonly snippet?: string;
  /** By how many seconds this clock is ahead of the provider's; behind it, when negative. */
  readonly clockOffset?: number;
  /** In how many seconds it is worth asking again. */
  readonly retryAfter?: number;
  /**
   * What the provider calls the request (`X-Request-Id`), to look for it in its logs. Pages see it
   * where the provider lists the header in `Access-Control-Expose-Headers`.
   */
  readonly requestId?: string;
}

/**
 * Every rejection of gatepass. Switch over {@link GatepassError.code | code}.
 *
 * It never holds a token, a code, a verifier, a secret or the body of an answer.
 */
export class GatepassError extends Error {
  /** Always the same; for what crosses realms, where `instanceof` does not hold. */
  override readonly name = "GatepassError";
  /** What went wrong. */
  readonly code: ErrorCode;
  /** In which part of the conversation. */
  readonly phase: Phase;
  /** One sentence that says what is wrong and what to change. */
  readonly hint: string;
  /** Whether the same call may succeed a little later with nothing changed. */
  readonly retryable: boolean;
  /** The claim, parameter or option that it is about. */
  readonly at?: string;
  /** What the provider said. */
  readonly details?: ErrorDetails;

  /** @internal */
  constructor(wire: Wire) {
    const at = wire.at === undefined ? "" : ` (${wire.at})`;
    super(`${wire.code}${at}: ${wire.hint}`, wire.cause === undefined ? {} : { cause: wire.cause });
    this.code = wire.code;
    this.phase = wire.phase;
    this.hint = wire.hint;
    this.retryable = wire.retryable;
    if (wire.at !== undefined) this.at = wire.at;
    if (wire.details !== undefined) this.details = wire.details;
  }
}

/** An error as the core throws it, or as the facade makes one where the core cannot run. */
interface Wire {
  readonly code: ErrorCode;
  readonly phase: Phase;
  readonly hint: string;
  readonly retryable: boolean;
  readonly at?: string;
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
}

/** The error of the core as one of this class. */
export function translate(thrown: unknown): GatepassError {
  if (thrown instanceof GatepassError) return thrown;
  const isWire = thrown instanceof Error && thrown.name === "GatepassError";
  if (isWire) return new GatepassError(thrown as Error & Wire);
  return internal(thrown, false);
}

/** The error of a call in which the core died. The next one meets a new core. */
export function crashed(cause: unknown): GatepassError {
  return internal(cause, true);
}

function internal(cause: unknown, retryable: boolean): GatepassError {
  return new GatepassError({
    code: "internal_error",
    phase: "config",
    retryable,
    hint: "gatepass failed inside; please report this with the versions of gatepass and the runtime.",
    cause,
  });
}

/** Calls the core and waits for it. */
export async function call<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw translate(thrown);
  }
}

/** The error of a client or guard that was disposed of. */
export function disposed(): GatepassError {
  return new GatepassError({
    code: "flow_misused",
    phase: "config",
    retryable: false,
    at: "dispose",
    hint: "This client or guard was disposed of; make a new one.",
  });
}
