/**
 * The guard and sessions in cookies as middlewares of Hono, in every runtime that Hono runs in.
 *
 * @packageDocumentation
 */
import type { Context, MiddlewareHandler } from "hono";

import type { Principal } from "../lib/guard.js";
import type { CookieSession, ProtectSessionOptions } from "../lib/sessions.js";
import {
  type GuardSource,
  type GuardedOptions,
  type SessionSource,
  madeOnce,
} from "./guard-source.js";

export type { GuardSource, GuardedOptions, SessionSource } from "./guard-source.js";

const EXPOSE = "access-control-expose-headers";

/** What the middleware leaves for the handlers that follow. */
export interface GuardedEnv {
  /** Hono's variables: `c.get("principal")` and `c.var.principal`. */
  Variables: {
    /** The bearer of the request's access token. */
    principal: Principal;
  };
}

/**
 * Lets requests pass that carry a good access token (RFC 6750, RFC 9068) and answers the others with
 * 400, 401, 403 or 503 and their challenge. Handlers find the bearer under `principal`. Every response
 * says by `Vary` that it depends on the request's credentials, so that no cache hands it to somebody else.
 *
 * The source is asked at the first request and may read `c.env`. CORS is not its business: put
 * `hono/cors` in front, whose preflight requests carry no token.
 *
 * @throws {@link GatepassError} to Hono's `onError`: those of `createGuard`, and `config_invalid` for
 * a need that cannot be read.
 */
export function guarded(
  source: GuardSource<Context>,
  options: GuardedOptions<Context> = {},
): MiddlewareHandler<GuardedEnv> {
  const guard = madeOnce(source);
  return async (c, next) => {
    const { need, connection } = options;
    const checked = await (await guard(c)).check(c.req.raw, need, connection?.(c));
    if (!checked.principal) {
      // Where a middleware has set one of these, Hono takes that in place of the response's own.
      for (const name of ["vary", EXPOSE]) {
        const value = checked.response.headers.get(name);
        if (value !== null) c.res.headers.append(name, value);
      }
      return checked.response;
    }
    c.set("principal", checked.principal);
    await next();
    // A connection that goes on as another one has no headers to add to, and some runtimes know it by its
    // very response.
    if (c.res.status === 101) return undefined;
    // Only now: what is set before takes the place of what the handler's response has.
    c.header("vary", checked.vary, { append: true });
    // RFC 9449 section 8.2: what the client's next proof must carry.
    if (checked.dpopNonce !== undefined) c.header("dpop-nonce", checked.dpopNonce);
    if (checked.exposeHeaders !== undefined) {
      c.header(EXPOSE, checked.exposeHeaders, { append: true });
    }
    return undefined;
  };
}

/** What {@link withSession} leaves for the handlers that follow. */
export interface SessionEnv {
  /** Hono's variables: `c.get("session")` and `c.var.session`. */
  Variables: {
    /** The session of the browser that sent the request. */
    session: CookieSession;
  };
}

/**
 * Signs browsers in and out: answers `/login`, the callback and `/logout`, and lets requests with a
 * session pass. Handlers find it under `session`; the cookies are added to what they answer.
 *
 * Use it for all paths, `app.use(withSession(sessions))`, or the callback is not met. The source is
 * asked at the first request and may read `c.env`.
 *
 * @throws {@link GatepassError} to Hono's `onError`: those of `createCookieSessions`.
 */
export function withSession(
  source: SessionSource<Context>,
  { requireLogin = true }: ProtectSessionOptions = {},
): MiddlewareHandler<SessionEnv> {
  const made = madeOnce(source);
  return async (c, next) => {
    const sessions = await made(c);
    const answer = await sessions.handle(c.req.raw);
    if (answer) return answer;
    const session = await sessions.session(c.req.raw);
    const isNeeded = requireLogin || session.refusal !== undefined;
    const refused = isNeeded ? sessions.requireLogin(c.req.raw, session) : undefined;
    if (refused) return refused;
    c.set("session", session);
    await next();
    const applied = session.apply(c.res);
    if (applied !== c.res) {
      // Or Hono would put the old one's cookies and headers in place of these.
      c.res = undefined;
      c.res = applied;
    }
    return undefined;
  };
}
