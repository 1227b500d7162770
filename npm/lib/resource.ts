import { backendEngine } from "../load/backend.js";
import { call } from "./errors.js";
import { isFunction, split, toJson } from "./options.js";

/** Which API is asked about itself, and how. */
export interface DiscoverResourceOptions {
  /** The API's resource identifier: a URL, letter by letter as the API writes it. */
  readonly resource: string;
  /** Seconds for the request, 1 to 120. @defaultValue 10 */
  readonly timeout?: number;
  /** http to this machine itself, for development. @defaultValue false */
  readonly dangerouslyAllowHttpLoopback?: boolean;
  /** How the request is sent. @defaultValue the global `fetch` */
  readonly fetch?: typeof fetch;
}

/** What an API says of itself (RFC 9728). */
export interface ProtectedResource {
  /** The resource identifier that was asked about. */
  readonly resource: string;
  /** The issuers whose tokens it takes; at least one, all https. */
  readonly authorizationServers: readonly string[];
  /** The scopes that it knows; empty when it does not say. */
  readonly scopesSupported: readonly string[];
  /** Whether it takes only tokens that are bound to a key. */
  readonly requiresDpop: boolean;
}

/**
 * Asks an API whose tokens it takes (RFC 9728), as clients of MCP servers do. What it answers counts
 * only when it is about this very resource.
 *
 * Whoever answers for the API's address can name any server: use credentials only at the issuer that
 * they are for.
 *
 * @throws {@link GatepassError} `metadata_invalid`, `response_malformed`, `upstream_status`,
 * `upstream_unreachable`, `config_invalid`, `url_insecure`.
 */
export async function discoverResource(
  options: DiscoverResourceOptions,
): Promise<ProtectedResource> {
  const { host, rest } = split(options, { fetch: isFunction });
  const json = toJson(rest);
  return call(async () => {
    const glue = await backendEngine.ready();
    return JSON.parse(await glue.discoverResource(json, host.fetch)) as ProtectedResource;
  });
}
