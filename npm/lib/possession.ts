// What a request shows besides its token, and what JavaScript does for proofs of possession.

import { toJson } from "./options.js";

/** What a guard looks at of a request. Every `Request` is one. */
export interface GuardedRequest {
  /** Its headers; `Authorization` and `DPoP` are looked at. */
  readonly headers: Headers;
  /** Needed for DPoP. */
  readonly method?: string;
  /** Absolute. Needed for DPoP. */
  readonly url?: string;
}

/** What is known of the connection on which a request came. */
export interface Connection {
  /**
   * The SHA-256 of the certificate with which the client proved itself on this connection (RFC 8705),
   * in 64 hexadecimal digits or in base64url; empty or absent when there was none.
   *
   * It must come from whoever ended the TLS connection and only after the handshake was verified: on
   * Cloudflare from `request.cf.tlsClientAuth.certFingerprintSHA256` where `certVerified` is
   * `"SUCCESS"`, which it is for a revoked one as well, and `certRevoked` is not `"1"`. Never take it
   * from a header that a client could have sent.
   */
  readonly certificateSha256?: string | undefined;
}

/** Remembers which proofs were used, for all isolates or servers that share it. */
export interface ReplayStore {
  /**
   * Remembers a key for this many seconds: `true` when it is new, `false` when it is known.
   *
   * Looking and remembering must be one step, or two requests that come together are both new: in
   * Redis `SET key 1 NX EX seconds`, on Cloudflare a Durable Object. Workers KV and the Cache API
   * cannot do that. A store that throws refuses the request; one
   * that never answers keeps it waiting, so give it a time limit of its own.
   */
  remember(key: string, seconds: number): boolean | Promise<boolean>;
}

export const isReplayStore = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Partial<ReplayStore>).remember === "function";

/** A store as the core asks it. */
export const asRemember =
  (store: ReplayStore) =>
  (key: string, seconds: number): unknown =>
    store.remember(key, seconds);

/**
 * What a request shows besides its `Authorization` header, as JSON text; nothing in the usual case,
 * which costs nothing then.
 */
export function shownBy(
  request: GuardedRequest,
  connection: Connection | undefined,
): string | undefined {
  const dpop = request.headers.get("dpop") ?? undefined;
  const certificateSha256 = connection?.certificateSha256;
  if (dpop === undefined && certificateSha256 === undefined) return undefined;
  return toJson({ method: request.method, url: request.url, dpop, certificateSha256 });
}

/**
 * A response with more headers, each only where it is not there yet. The program may give the same one
 * to each request: what is for this request alone (a cookie, a nonce) comes on a copy.
 */
export function withHeaders(
  response: Response,
  more: readonly (readonly [name: string, value: string])[],
): Response {
  // The answer to an upgrade belongs to the runtime and cannot be made anew, nor can a network error.
  if (response.status === 101 || response.type === "error") return response;
  const add = (changed: Response): Response => {
    for (const [name, value] of more) {
      if (name === "dpop-nonce") changed.headers.set(name, value);
      else if (name === "set-cookie") changed.headers.append(name, value);
      else addListed(changed.headers, name, value);
    }
    return changed;
  };
  const copied = (): Response => add(new Response(response.body, response));
  if (more.some(([name]) => name === "dpop-nonce" || name === "set-cookie")) return copied();
  try {
    return add(response);
  } catch {
    // What was fetched or redirects cannot be changed.
    return copied();
  }
}

/** Adds what is missing of a list to a header that is one. */
function addListed(headers: Headers, name: string, value: string): void {
  const there = (headers.get(name) ?? "").toLowerCase().split(/[\s,]+/);
  const missing = value.split(", ").filter((each) => !there.includes(each.toLowerCase()));
  if (missing.length > 0) headers.append(name, missing.join(", "));
}
