/**
 * The guard and sessions in cookies for Express and for plain `node:http`.
 *
 * @packageDocumentation
 */
import type { Principal } from "../lib/guard.js";
import type { GuardedRequest } from "../lib/possession.js";
import type { CookieSession, ProtectSessionOptions } from "../lib/sessions.js";
import {
  type GuardSource,
  type GuardedOptions,
  type SessionSource,
  madeOnce,
} from "./guard-source.js";

export type { GuardSource, GuardedOptions, SessionSource } from "./guard-source.js";

/** What is read of a request of `node:http`, `node:https` or Express. */
export interface NodeRequest {
  /** The request's method. */
  readonly method?: string | undefined;
  /** The path and query; where Express mounts a router, only what is behind it. */
  readonly url?: string | undefined;
  /** Express: the path and query as they came. */
  readonly originalUrl?: string | undefined;
  /** The header lines as they came: name, value, name, value. */
  readonly rawHeaders: readonly string[];
  /** Says by `encrypted` whether the connection is TLS. */
  readonly socket: object;
}

/** What Node takes for the value of a header. */
export type HeaderValue = number | string | readonly string[];

/** What is written to of a response of `node:http` or Express. */
export interface NodeResponse {
  /** The status that will be sent. */
  statusCode: number;
  /** Whether anything was sent. */
  readonly headersSent: boolean;
  /** A header of the response as it was set. */
  getHeader(name: string): HeaderValue | undefined;
  /** Sets a header of the response. */
  setHeader(name: string, value: HeaderValue): unknown;
  /** Ends the response. */
  end(): unknown;
}

const principals = new WeakMap<object, Principal>();

/**
 * The bearer of a request that {@link guarded} let pass; `undefined` for one that it has not seen. It
 * is kept beside the request, so nothing else that writes to `req` can change it.
 */
export function principalOf(request: object): Principal | undefined {
  return principals.get(request);
}

/**
 * A middleware of Express (4 and 5) that lets requests pass that carry a good access token (RFC 6750,
 * RFC 9068) and answers the others with 400, 401, 403 or 503 and their challenge. Handlers find the
 * bearer by {@link principalOf}. Every response says by `Vary` that it depends on the request's
 * credentials, so that no cache hands it to somebody else: handlers add to it (`response.vary` of Express).
 *
 * Header lines that came twice are seen as such: Node alone would show the first `Authorization` of
 * two. `X-Forwarded-Host` and the like are never looked at. Of a request's URL the origin is what the
 * client wrote in `Host`: behind a proxy, and where requests come with any `Host`, DPoP needs the guard's
 * `publicOrigin`. Handlers are chosen by the path as it came: no proof is good (`dpop_invalid`) for one
 * with `.` or `..` as a segment, with `#`, a backslash or letters outside ASCII, nor for a target that is
 * neither a path nor a URL, such as `*`. CORS is not its business: put `cors` in front, whose headers are
 * added to.
 *
 * What `next` is called with is a {@link GatepassError}: those of `createGuard`, and `config_invalid`
 * for a need that cannot be read.
 */
export function guarded<Q extends NodeRequest>(
  source: GuardSource<Q>,
  options: GuardedOptions<Q> = {},
): (request: Q, response: NodeResponse, next: (error?: unknown) => void) => Promise<void> {
  const guard = madeOnce(source);
  return async (request, response, next) => {
    let principal: Principal | undefined;
    try {
      const { need, connection } = options;
      const seen = await guard(request);
      const checked = await seen.check(asSeen(request), need, connection?.(request));
      principal = checked.principal;
      if (checked.principal === undefined) {
        response.statusCode = checked.response.status;
        checked.response.headers.forEach((value, name) => {
          if (name === "vary" || name === EXPOSE) addListed(response, name, value);
          else response.setHeader(name, value);
        });
        response.end();
      } else {
        const { dpopNonce, exposeHeaders, vary } = checked;
        addListed(response, "vary", vary);
        // RFC 9449 section 8.2: what the client's next proof must carry.
        if (dpopNonce !== undefined) response.setHeader("dpop-nonce", dpopNonce);
        if (exposeHeaders !== undefined) addListed(response, EXPOSE, exposeHeaders);
      }
    } catch (error) {
      return next(error);
    }
    if (!principal) return;
    principals.set(request, principal);
    next();
  };
}

const EXPOSE = "access-control-expose-headers";

/** Adds to a header that is a list: a middleware in front may have set it. */
function addListed(response: NodeResponse, name: string, value: string): void {
  const there = response.getHeader(name);
  response.setHeader(name, there === undefined ? value : [there, value].flat().join(", "));
}

/** What is written to of a response by {@link protect}. */
export interface ProtectedResponse extends NodeResponse {
  /** Whether all of the response was written. */
  readonly writableEnded: boolean;
  /** Writes status and headers. */
  writeHead(status: number, headers?: Readonly<Record<string, string>>): unknown;
  /** Ends the response, with a body. */
  end(body?: string | Uint8Array): unknown;
  /** The headers that were set. */
  getHeaders(): Readonly<Record<string, HeaderValue | undefined>>;
  /** Takes a header away. */
  removeHeader(name: string): unknown;
  /** Breaks the response off. */
  destroy(error?: Error): unknown;
}

/** What {@link protect} is configured with. */
export interface ProtectOptions<Q> extends GuardedOptions<Q> {
  /**
   * Is told what went wrong where a request could not be judged or its handler failed. The client is
   * told 500, without the headers that the handler set; a response that has begun is broken off.
   * @defaultValue `console.error`
   */
  readonly onError?: (error: unknown) => void;
}

/**
 * A listener of `node:http` that calls its handler for requests that carry a good access token, and
 * answers the others as {@link guarded} does.
 */
export function protect<Q extends NodeRequest, S extends ProtectedResponse>(
  source: GuardSource<Q>,
  handler: (request: Q, response: S, principal: Principal) => unknown,
  options: ProtectOptions<Q> = {},
): (request: Q, response: S) => Promise<void> {
  const middleware = guarded(source, options);
  const { onError = (error: unknown) => console.error(error) } = options;
  return async (request, response) => {
    let before = response.getHeaders();
    try {
      let failed: unknown;
      await middleware(request, response, (error) => void (failed = error));
      if (failed !== undefined) throw failed;
      const principal = principals.get(request);
      before = response.getHeaders();
      if (principal) await handler(request, response, principal);
    } catch (error) {
      onError(error);
      if (response.writableEnded) return;
      if (response.headersSent) {
        // To end it would say that it is whole, as a stream of HTTP/2 says that closes without an error.
        response.destroy("stream" in response ? new Error("The handler failed.") : undefined);
        return;
      }
      // Length and caching that the handler announced are those of another answer.
      for (const name of Object.keys(response.getHeaders())) response.removeHeader(name);
      for (const [name, value] of Object.entries(before)) {
        if (value !== undefined) response.setHeader(name, value);
      }
      response.statusCode = 500;
      response.end();
    }
  };
}

/** What is written to of a response by {@link withSession}. */
export interface SessionResponse extends NodeResponse {
  /** Writes status and headers. */
  writeHead(...given: never[]): unknown;
  /** Adds a header to those of its name. */
  appendHeader(name: string, value: string): unknown;
  /** Ends the response, with a body. */
  end(body?: Uint8Array): unknown;
}

const browserSessions = new WeakMap<object, CookieSession>();

/**
 * The session of a request that {@link withSession} has seen; `undefined` for others. It is kept beside
 * the request, so nothing else that writes to `req` can change it.
 */
export function sessionOf(request: object): CookieSession | undefined {
  return browserSessions.get(request);
}

/**
 * A middleware of Express (4 and 5) that signs browsers in and out: it answers `/login`, the callback and
 * `/logout`, and lets requests with a session pass. Handlers find it by {@link sessionOf}; its cookies are
 * added when the headers of the answer are written.
 *
 * Use it for all paths, `app.use(withSession(sessions))`, or the callback is not met. `X-Forwarded-Host`
 * and the like are never looked at: where the application is says its `redirectUri`.
 *
 * What `next` is called with is a {@link GatepassError}: those of `createCookieSessions`.
 */
export function withSession<Q extends NodeRequest>(
  source: SessionSource<Q>,
  { requireLogin = true }: ProtectSessionOptions = {},
): (request: Q, response: SessionResponse, next: (error?: unknown) => void) => Promise<void> {
  const made = madeOnce(source);
  return async (request, response, next) => {
    let answer: Response | undefined;
    try {
      const sessions = await made(request);
      const { method = "GET" } = request;
      // Of the address only the path counts; bodies are left to whom they are for.
      const address = `http://localhost${targetOf(request)?.path ?? "/"}`;
      const asked = new Request(address, { method, headers: headersOf(request) });
      answer = await sessions.handle(asked);
      if (!answer) {
        const session = await sessions.session(asked);
        const isNeeded = requireLogin || session.refusal !== undefined;
        answer = isNeeded ? sessions.requireLogin(asked, session) : undefined;
        browserSessions.set(request, session);
        if (!answer) addCookies(response, session);
      }
      if (answer) return await write(answer, response);
    } catch (error) {
      return next(error);
    }
    next();
  };
}

/** Adds a session's cookies at the last moment: using the session may change them. */
function addCookies(response: SessionResponse, session: CookieSession): void {
  const writeHead = response.writeHead;
  response.writeHead = function (this: SessionResponse, ...given) {
    const [status, message, headers] = given as readonly unknown[];
    const hasMessage = typeof message === "string";
    // Node would put these in place of the session's.
    setHeaders(response, headers ?? (hasMessage ? undefined : message));
    response.writeHead = writeHead;
    session.apply(new Response()).headers.forEach((value, name) => {
      if (name === "cache-control") response.setHeader(name, value);
      else response.appendHeader(name, value);
    });
    return writeHead.apply(this, (hasMessage ? [status, message] : [status]) as typeof given);
  };
}

/** Sets the headers that `writeHead` was given, as Node does: they replace those that are there. */
function setHeaders(response: SessionResponse, given: unknown): void {
  const lines: readonly unknown[] = Array.isArray(given) ? given : Object.entries(given ?? {});
  // An object, pairs, or names and values in turn. What is no header is refused by the response.
  const flat = (Array.isArray(lines[0]) ? lines.flat() : lines) as readonly string[];
  const seen = new Set<string>();
  for (let at = 0; at < flat.length; at += 2) {
    const [name, value] = [String(flat[at]), flat[at + 1] as string];
    const key = name.toLowerCase();
    if (seen.has(key)) response.appendHeader(name, value);
    else response.setHeader(name, value);
    seen.add(key);
  }
}

async function write(answer: Response, response: SessionResponse): Promise<void> {
  response.statusCode = answer.status;
  answer.headers.forEach((value, name) => response.appendHeader(name, value));
  response.end(new Uint8Array(await answer.arrayBuffer()));
}

/** A request as guards look at it. */
function asSeen(request: NodeRequest): GuardedRequest {
  const { method, rawHeaders, socket } = request;
  const headers = headersOf(request);
  const target = targetOf(request);
  // A proof is about no query (RFC 9449 section 4.2).
  const path = target?.path.split("?", 1)[0];
  // What HTTP/2 has in place of Host, and what counts where there are both (RFC 9113 section 8.3.1).
  const named = rawHeaders.find((_, at) => at % 2 === 1 && rawHeaders[at - 1] === ":authority");
  const host = target?.authority ?? named ?? headers.get("host") ?? "";
  // A host that is missing or none is the client's fault: no proof is about the one that stands for it.
  const isHost = HOST.test(host) && URL.canParse(`http://${host}`);
  const origin = `${"encrypted" in socket ? "https" : "http"}://${isHost ? host : "host.invalid"}`;
  return {
    headers,
    ...(method === undefined ? {} : { method }),
    url: path === undefined || UNCLEAR.test(path) ? NOWHERE : origin + path,
  };
}

/**
 * A path by which servers route as it came, while in a proof it means another one: with dot segments, or
 * with what begins a fragment. No client that keeps to RFC 3986 sends one.
 */
const UNCLEAR = /[\\#]|[^\x21-\x7e]|\/(?:\.|%2e){1,2}(?:\/|$)/i;

/** What no proof is about. Not even its path is: the origin may be replaced by `publicOrigin`. */
const NOWHERE = "http://host.invalid/%00";

/** Nothing that would reach into the path. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::[1-9]\d*)?$/i;

/** Where a request goes: its path and query, and the authority where the client wrote a whole URL. */
interface Target {
  readonly authority?: string | undefined;
  readonly path: string;
}

/** Nothing for a target that is neither a path nor a URL. */
function targetOf({ originalUrl, url = "" }: NodeRequest): Target | undefined {
  const target = originalUrl ?? url;
  if (target.startsWith("/")) return { path: target };
  // RFC 9112 section 3.2.2: servers take whole URLs, and their authority in place of Host.
  const [, authority, path] =
    /^[a-z][a-z\d+.-]*:\/\/([^/?#\\@]*)((?:[/?].*)?)$/i.exec(target) ?? [];
  return path === undefined ? undefined : { authority, path };
}

/** The header lines as they came: one that came twice shows. */
function headersOf({ rawHeaders }: NodeRequest): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = [rawHeaders[at], rawHeaders[at + 1]];
    // HTTP/2 has lines that are none, such as ":path".
    if (name.startsWith(":")) continue;
    const known = name.toLowerCase() === "cookie" ? headers.get(name) : null;
    // RFC 9113 section 8.2.3: the parts of one line.
    if (known !== null) headers.set(name, `${known}; ${value}`);
    else headers.append(name, value);
  }
  return headers;
}
