import { backendEngine } from "../load/backend.js";
import type { IssuerMetadata } from "./client.js";
import { call } from "./errors.js";
import { isFunction, split, toJson } from "./options.js";

/** Which client is registered, and where. */
export interface RegisterClientOptions {
  /** The issuer identifier, letter by letter as the provider writes it, or its metadata. */
  readonly issuer: string | IssuerMetadata;
  /**
   * What to register, with the names of the specification (RFC 7591 section 2), such as
   * `redirect_uris`, `token_endpoint_auth_method`, `grant_types` or `jwks`. Private keys are refused.
   */
  readonly metadata: ClientMetadata;
  /** The token that registering needs, if the provider asks for one. @defaultValue none */
  readonly initialAccessToken?: string;
  /** Seconds for one request, 1 to 120. @defaultValue 10 */
  readonly timeout?: number;
  /** http to this machine itself, for development. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
  /** How requests are sent. @defaultValue the global `fetch` */
  readonly fetch?: typeof fetch;
}

/** What a provider knows of a client (RFC 7591 section 2). */
export interface ClientMetadata {
  /** Where sign-ins end. */
  readonly redirect_uris?: readonly string[];
  /** How the client shows who it is. */
  readonly token_endpoint_auth_method?: string;
  /** The grants that it uses. */
  readonly grant_types?: readonly string[];
  /** The client's name, for people. */
  readonly client_name?: string;
  /** The scopes that it may ask for, separated by spaces. */
  readonly scope?: string;
  /** Its public keys. */
  readonly jwks?: { readonly keys: readonly object[] };
  /** Whatever else there is. */
  readonly [member: string]: unknown;
}

/** A client that was registered. Keep its secrets where the program keeps others. */
export interface ClientRegistration {
  /** The identifier that the provider gave. */
  readonly clientId: string;
  /** When, in seconds since 1970. */
  readonly clientIdIssuedAt?: number;
  /** The secret, where one was issued. */
  readonly clientSecret?: string;
  /** When the secret ends, in seconds since 1970; 0 stands for never. There with every secret. */
  readonly clientSecretExpiresAt?: number;
  /** The token with which the registration is read, changed and ended (RFC 7592). */
  readonly registrationAccessToken?: string;
  /** Where that is done. There with every such token. */
  readonly registrationClientUri?: string;
  /** What was registered, which need not be what was asked for: look at what matters to you. */
  readonly metadata: ClientMetadata;
}

/**
 * Registers a client at a provider (RFC 7591, OpenID Connect Dynamic Client Registration 1.0). Sent
 * once: each request makes another client.
 *
 * @throws {@link GatepassError} `server_error_response` with `details.error` `invalid_redirect_uri`,
 * `invalid_client_metadata` or what else the provider says; `response_malformed` at the member that is
 * missing or wrong; `metadata_invalid` at `registration_endpoint` where there is none;
 * `upstream_status`, `upstream_unreachable`, `config_invalid`, `url_insecure`.
 */
export async function registerClient(options: RegisterClientOptions): Promise<ClientRegistration> {
  const { host, rest } = split(options, { fetch: isFunction });
  const json = toJson(rest);
  return call(async () => {
    const glue = await backendEngine.ready();
    return JSON.parse(await glue.registerClient(json, host.fetch)) as ClientRegistration;
  });
}
