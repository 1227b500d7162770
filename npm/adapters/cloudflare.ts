/**
 * The guard for Cloudflare Workers.
 *
 * @packageDocumentation
 */
import type { Need, Principal } from "../lib/guard.js";
import type { Connection } from "../lib/possession.js";
import { type GuardSource, madeOnce } from "./guard-source.js";

export type { GuardSource } from "./guard-source.js";
export { cacheApiSharedCache, kvSharedCache } from "./shared-cache.js";
export type { CacheLike, KvNamespace, SharedCache } from "./shared-cache.js";

/** What Workers hand to a handler besides the request. */
export interface WorkerContext {
  /** Keeps the Worker awake for work that outlives the response. */
  waitUntil(work: Promise<unknown>): void;
}

/** What a request of Workers says of its TLS connection. */
interface WithTls {
  readonly cf?: {
    readonly tlsClientAuth?: {
      readonly certVerified?: string;
      readonly certRevoked?: string;
      readonly certFingerprintSHA256?: string;
    } | null;
  };
}

/** A Worker's handler for requests. */
export interface Fetching<E> {
  /** Answers a request. */
  fetch(request: Request, env: E, context: WorkerContext): Promise<Response>;
}

/**
 * A Worker whose handler runs for requests with a good access token only; the others are answered
 * with 400, 401, 403 or 503 and their challenge.
 *
 * ```js
 * export default protect(
 *   (env) => createGuard({ issuer: env.ISSUER, audience: env.AUDIENCE }),
 *   (request, principal) => Response.json({ hello: principal.subject }),
 * );
 * ```
 *
 * The guard is made at the first request and kept for the life of the isolate. A client certificate
 * that Cloudflare verified and does not know for revoked counts as that of the connection (RFC 8705). The metadata of
 * `resource` (RFC 9728) and the guard's `preflight` are served as well.
 */
export function protect<E>(
  source: GuardSource<E>,
  handler: (
    request: Request,
    principal: Principal,
    env: E,
    context: WorkerContext,
  ) => Response | Promise<Response>,
  need?: Need,
): Fetching<E> {
  const guard = madeOnce(source);
  return {
    async fetch(request, env, context) {
      const made = await guard(env);
      return (
        made.metadata(request) ?? made.protect(handler, need, connectionOf)(request, env, context)
      );
    },
  };
}

/**
 * The certificate with which the client proved itself to Cloudflare, if it was verified and is not
 * revoked, as guards take it. Needs mTLS to be set up for the host; without it there is none.
 */
export function connectionOf(request: Request): Connection {
  const tls = (request as Request & WithTls).cf?.tlsClientAuth;
  // A certificate that was revoked is "SUCCESS" as well.
  const isGood = tls?.certVerified === "SUCCESS" && tls.certRevoked !== "1";
  return isGood ? { certificateSha256: tls.certFingerprintSHA256 } : {};
}
