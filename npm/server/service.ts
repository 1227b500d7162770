/**
 * The guard as a local HTTP service: a decision point for other servers, and a proxy where there is
 * an upstream.
 */
import { STATUS_CODES, createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

import type { Need } from "gatepass/guard";
import type { Decider, Decision, Shown } from "./decide.js";
import { IDENTITY, PROXIES, clearing } from "./forward.js";
import type { Log } from "./log.js";
import { Metrics } from "./metrics.js";
import { authResult, readQuestion } from "./plugin.js";
import { endLate, endSocket, hasBody, headWithoutUpgrade, isTorn, isWebSocket } from "./proxy.js";
import type { Proxy } from "./proxy.js";
import type { RateLimit } from "./rate.js";
import { EVERYTHING, hostIn, makeRouter, pathOf, targetIn } from "./route.js";
import type { Route, Router } from "./route.js";

/** What can change while the service runs. */
export interface Rules {
  readonly decider: Decider;
  /** Without any, each request needs a token and nothing more. */
  readonly routes?: readonly Route[];
  /** Under which clients know this API; without it what they say themselves. */
  readonly publicOrigin?: string;
}

export interface ServiceOptions {
  readonly rules: Rules;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly nameUser: (subject: string | undefined) => string | undefined;
  /** Where the service's own endpoints begin. */
  readonly basePath: string;
  readonly showMetrics: boolean;
  readonly proxy?: Proxy;
  readonly rateLimit?: RateLimit;
}

/** The plugin's questions are smaller; a token may take 16 KiB of one. */
const LONGEST_QUESTION = 64 * 1024;
/** The guard compares no longer addresses with what a proof is for. */
const LONGEST_PROVEN = 8 * 1024;
/** Node's own limit would refuse long tokens before the guard can say why. */
const LONGEST_HEAD = 32 * 1024;
/** The most requests that one connection sends ahead of their answers: each has one to the upstream. */
const MOST_PIPELINED = 100;
/** How long a request's head may take, in milliseconds. */
const HEAD_MILLIS = 60_000;
/** How long the rest of a body is thrown away behind its answer, in milliseconds. */
const REST_MILLIS = 10_000;
/** Refusals of the service itself; all other codes are the guard's. */
const UNROUTED = "unrouted";
const AMBIGUOUS = "request_invalid";
const RATE_LIMITED = "rate_limited";
/** The endpoints' own needs are in the routes. */
const NO_STORE = { "cache-control": "no-store" };

export class Service {
  readonly #options: ServiceOptions;
  readonly #server;
  readonly #metadataPath = /^\/\.well-known\/oauth-protected-resource(?:\/|$)/u;
  #decider: Decider;
  /** Those from before, which still end what they began. */
  readonly #old = new Set<Decider>();
  #router: Router;
  #publicOrigin: string | undefined;
  #isDraining = false;
  /** The answers that are under way on a connection. */
  readonly #open = new Map<Duplex, Set<ServerResponse>>();
  /** Connections whose end is listened to. */
  readonly #watched = new WeakSet<Duplex>();
  /** Connections that are to change their protocol: the server does not know them any more. */
  readonly #changing = new Set<Duplex>();

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#decider = options.rules.decider;
    this.#router = routerOf(options.rules);
    this.#publicOrigin = options.rules.publicOrigin;
    const { proxy } = options;
    this.#server = createServer(
      {
        maxHeaderSize: LONGEST_HEAD,
        headersTimeout: HEAD_MILLIS,
        // An upload may take as long as the upstream lets it.
        ...(proxy && { requestTimeout: 0 }),
      },
      (request, response) => {
        this.#count(request.socket, response);
        // Whoever answers it may do so before it was read.
        if (hasBody(request)) endLate(request);
        response.once("finish", () => linger(request));
        this.#handle(request, response).catch(() => this.#fail(request, response));
      },
    );
    // Whoever counts fewer than the parser does misses a length that stands behind them.
    this.#server.maxHeadersCount = 0;
    if (proxy) {
      this.#server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        // Its answer would come between others that are under way.
        if (this.#open.has(socket)) {
          socket.destroy();
        } else if (isWebSocket(request)) {
          this.#changing.add(socket);
          socket.once("close", () => this.#changing.delete(socket));
          this.#upgrade(proxy, request, socket, head).catch(() => socket.destroy());
        } else {
          // As if nothing had been wished for: Node has no other way to have it read.
          socket.unshift(Buffer.concat([headWithoutUpgrade(request), head]));
          this.#server.emit("connection", socket);
        }
      });
    }
  }

  /** Notes for how long a connection has an answer under way, and ends what waits when it closes. */
  #count(socket: Duplex, response: ServerResponse): void {
    const open = this.#open.get(socket) ?? new Set<ServerResponse>();
    this.#open.set(socket, open.add(response));
    const end = (): void => {
      // Once each: by the second time there may be others.
      if (open.delete(response) && open.size === 0) this.#open.delete(socket);
    };
    response.once("finish", end);
    response.once("close", end);
    if (open.size > MOST_PIPELINED) socket.destroy();
    if (this.#watched.has(socket)) return;
    this.#watched.add(socket);
    // Node tells those nothing that wait for their turn behind another.
    socket.once("close", () => {
      for (const one of [...(this.#open.get(socket) ?? [])]) {
        if (one.socket) continue;
        one.destroy();
        one.emit("close");
      }
      this.#open.delete(socket);
    });
  }

  /** Answers the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Other rules from the next request on. Those under way end with the old ones. */
  replace(rules: Rules, graceMs: number): void {
    const old = this.#decider;
    this.#decider = rules.decider;
    this.#router = routerOf(rules);
    this.#publicOrigin = rules.publicOrigin;
    this.#old.add(old);
    const end = (): void => void (this.#old.delete(old) && old.dispose());
    setTimeout(end, graceMs).unref();
  }

  /** Takes no more requests, waits for those under way, and ends them when time is up. */
  async drain(limitMs: number): Promise<void> {
    this.#isDraining = true;
    // What changed its protocol has no end of its own.
    const timerOfChanged = setTimeout(() => this.#endChanging(), limitMs);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), limitMs);
    await closed;
    clearTimeout(timer);
    clearTimeout(timerOfChanged);
    this.#endChanging();
    for (const decider of [...this.#old, this.#decider]) decider.dispose();
    this.#old.clear();
  }

  #endChanging(): void {
    this.#options.proxy?.close();
    for (const socket of this.#changing) socket.destroy();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Whoever comes over a connection that is kept alive is asked to come back elsewhere.
    // Not as a header that is set: Node would keep the last one of each that the upstream repeats.
    if (this.#isDraining) response.shouldKeepAlive = false;
    const { basePath, proxy } = this.#options;
    const [path = ""] = (request.url ?? "/").split("?", 1);
    if (path.startsWith(`${basePath}/`)) {
      const isDone = await this.#own(path.slice(basePath.length), request, response);
      if (isDone) return;
    }
    if (this.#metadataPath.test(path)) {
      // Which path it is counts, and no more.
      const url = `http://localhost${path}`;
      const document = await this.#decider.metadata(request.method ?? "GET", url);
      if (document) {
        const body = Buffer.from(await document.arrayBuffer());
        response.writeHead(document.status, Object.fromEntries(document.headers)).end(body);
        return;
      }
    }
    if (proxy) return this.#forward(proxy, request, response);
    request.resume();
    send(response, 404, { error: "not_found" });
  }

  /** The service's own endpoints; answers whether it was one. */
  async #own(path: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { proxy, showMetrics, metrics } = this.#options;
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (path === "/health" && isRead) {
      send(response, 200, { status: "ok" });
      return true;
    }
    if (path === "/ready" && isRead) {
      const isReady = !this.#isDraining && (await this.#decider.isReady());
      send(response, isReady ? 200 : 503, {
        status: isReady ? "ready" : "not ready",
      });
      return true;
    }
    if (path === "/metrics" && isRead && showMetrics) {
      response
        .writeHead(200, {
          ...NO_STORE,
          "content-type": "text/plain; version=0.0.4; charset=utf-8",
        })
        .end(metrics.text(this.#decider.tally()));
      return true;
    }
    // Whoever can reach a proxy of ours could try tokens here.
    if (proxy) return false;
    const isPlugin = path === "/plugin/authenticate";
    // nginx announces the body of its client unless told otherwise, and sends none: the next question over
    // this connection would be read as that body.
    if (!isPlugin && hasBody(request)) response.shouldKeepAlive = false;
    if (this.#isTooOften(request, response)) return true;
    if (isPlugin) {
      await this.#answerPlugin(request, response);
      return true;
    }
    const [, name = "", rest = ""] = /^\/auth\/(\w+)(.*)$/su.exec(path) ?? [];
    if (!Object.hasOwn(PROXIES, name)) return false;
    await this.#answerProxy(name, rest, request, response);
    return true;
  }

  async #answerPlugin(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "POST") {
      request.resume();
      response.setHeader("allow", "POST");
      return send(response, 405, { error: "method_not_allowed" });
    }
    // A page of another origin cannot send this type without being asked for permission first.
    if (!/^application\/json\s*(?:;|$)/iu.test(request.headers["content-type"] ?? "")) {
      request.resume();
      return send(response, 415, { error: "unsupported_media_type" });
    }
    const body = await textOf(request, LONGEST_QUESTION);
    if (body === undefined) return send(response, 413, { error: "content_too_large" });
    const question = readQuestion(body);
    if (typeof question === "string") {
      return send(response, 400, { error: "request_invalid", at: question });
    }
    const { method, uri } = question;
    const decision = await this.#decide(request, method, uri, question);
    const { "retry-after": wait } = decision.headers;
    if (wait !== undefined) response.setHeader("retry-after", wait);
    // That nobody can decide is no verdict on the token.
    send(response, decision.status >= 500 ? decision.status : 200, authResult(decision));
  }

  async #answerProxy(
    name: string,
    rest: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    request.resume();
    const asked = PROXIES[name]?.(request, rest);
    if (!asked)
      return send(response, 400, {
        error: "request_invalid",
        at: `/auth/${name}`,
      });
    const { method, target } = asked;
    const decision = await this.#decide(request, method, target);
    const identity = decision.status === 200 ? identityOf(decision) : {};
    response
      .writeHead(decision.status, {
        ...NO_STORE,
        ...decision.headers,
        ...identity,
        ...(decision.status === 200 && clearing(name, identity)),
      })
      .end();
  }

  /** Answers for an address that asks too often. */
  #isTooOften(request: IncomingMessage, response: ServerResponse): boolean {
    const wait = this.#waitOf(request);
    if (wait === 0) return false;
    request.resume();
    response.setHeader("retry-after", String(wait));
    send(response, 429, { error: RATE_LIMITED });
    return true;
  }

  /** How many seconds who asks has to wait. */
  #waitOf({ socket }: IncomingMessage): number {
    const { log, metrics, rateLimit } = this.#options;
    const wait = rateLimit?.take(socket.remoteAddress ?? "", performance.now()) ?? 0;
    if (wait > 0) {
      metrics.decided(RATE_LIMITED, 0);
      log({ level: "WARN", message: `Refused: ${RATE_LIMITED}`, latencyMs: 0 });
    }
    return wait;
  }

  /** A connection that is to change its protocol: the token of its request is that of all that follows. */
  async #upgrade(
    proxy: Proxy,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    socket.on("error", () => socket.destroy());
    const { method = "GET" } = request;
    const wait = this.#waitOf(request);
    const decision: Decision =
      wait > 0
        ? { status: 429, headers: { "retry-after": String(wait) } }
        : await this.#decide(request, method, this.#targetOf(request));
    if (decision.status !== 200 || this.#isDraining) {
      const status = decision.status === 200 ? 503 : decision.status;
      const headers = { ...NO_STORE, ...decision.headers, connection: "close" };
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      endSocket(
        socket,
        `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n`,
      );
      return;
    }
    const { headers } = decision;
    const status = await proxy.upgrade(request, socket, head, {
      identity: identityOf(decision),
      headers,
      publicOrigin: this.#publicOrigin,
    });
    this.#options.metrics.proxied(status);
  }

  async #forward(proxy: Proxy, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#isTooOften(request, response)) return;
    const { method = "GET" } = request;
    const decision = await this.#decide(request, method, this.#targetOf(request));
    if (decision.status !== 200) {
      request.resume();
      response.writeHead(decision.status, { ...NO_STORE, ...decision.headers }).end();
      return;
    }
    const { headers } = decision;
    const status = await proxy.forward(request, response, {
      identity: identityOf(decision),
      headers,
      publicOrigin: this.#publicOrigin,
    });
    this.#options.metrics.proxied(status);
  }

  /**
   * What a request to the upstream is for; nothing for one in which others would read two, or whose
   * `Destination` is at another server: there its path means something else.
   */
  #targetOf(request: IncomingMessage): string {
    const { host, destination } = request.headers;
    const wanted = hostIn(String(destination));
    // TLS may end before the service.
    const hosts = host ? [`http://${host}`, `https://${host}`] : [];
    const own = [...hosts, this.#publicOrigin ?? ""].map(hostIn);
    const isOwn = wanted === undefined || own.includes(wanted);
    return isTorn(request) || !isOwn ? "" : (request.url ?? "/");
  }

  /** The rules for what a request asks about, and what its credentials are good for. */
  async #decide(
    request: IncomingMessage,
    method: string,
    target: string,
    { authorization, dpop, destination }: Given = givenBy(request),
  ): Promise<Decision> {
    const started = performance.now();
    const origin = this.#publicOrigin ?? originOf(request);
    // No rule and no proof is about a query.
    const url = `${origin}${target.split("?", 1)[0]}`;
    const isProvable = dpop === undefined || url.length <= LONGEST_PROVEN;
    // A space is in none, nor in a query: it is how two were joined, here or on the way.
    const second = destination?.includes(" ") ? "" : destination;
    const targets = second === undefined ? [target] : [target, targetIn(second)];
    const paths = targets.flatMap((one) => pathOf(one) ?? []);
    const isReadable = origin !== undefined && isProvable && paths.length === targets.length;
    const route = isReadable ? this.#router(method, ...paths) : undefined;
    let decision: Decision;
    if (!isReadable) decision = { status: 400, code: AMBIGUOUS, headers: {} };
    else if (!route) decision = { status: 403, code: UNROUTED, headers: {} };
    else decision = await this.#judge(route, { authorization, dpop, method, url });
    this.#report(decision, performance.now() - started);
    return decision;
  }

  #judge({ required, need, also }: Route, shown: Shown): Decision | Promise<Decision> {
    // With a token it would be another answer.
    if (!required && shown.authorization === undefined) {
      return { status: 200, headers: { vary: "Authorization" } };
    }
    return this.#decider.decide(shown, need as Need, also);
  }

  #report({ status, principal, code }: Decision, milliseconds: number): void {
    const { log, metrics, nameUser } = this.#options;
    const latencyMs = Math.round(milliseconds * 1000) / 1000;
    metrics.decided(status === 200 ? "accepted" : (code ?? "internal_error"), milliseconds);
    if (status === 200) {
      const userId = nameUser(principal?.subject ?? principal?.clientId);
      const who = userId === undefined ? "a request" : `user: ${userId}`;
      log({
        level: "INFO",
        message: `Successfully authenticated ${who}`,
        userId,
        latencyMs,
      });
      return;
    }
    const level = status >= 500 ? "ERROR" : "WARN";
    log({ level, message: `Refused: ${code}`, latencyMs, more: { status } });
  }

  #fail(request: IncomingMessage, response: ServerResponse): void {
    // Whoever broke off in the middle of a question is no fault of ours.
    if (request.destroyed && !request.complete) {
      response.destroy();
      return;
    }
    this.#options.metrics.decided("internal_error", 0);
    this.#options.log({ level: "ERROR", message: "A request failed inside" });
    if (response.headersSent) response.destroy();
    else send(response, 500, { error: "internal_error" });
  }
}

const routerOf = ({ routes }: Rules): Router => makeRouter(routes ?? [EVERYTHING]);

/** Whoever was answered and goes on sending has so long to come to an end. */
function linger(request: IncomingMessage): void {
  if (request.complete) return;
  setTimeout(() => request.complete || request.destroy(), REST_MILLIS).unref();
}

/** The origin that a request says it is for; nothing where its `Host` is none (RFC 9112 section 3.2). */
function originOf({ headers }: IncomingMessage): string | undefined {
  const origin = `http://${headers.host || "localhost"}`;
  return ORIGIN.test(origin) && URL.canParse(origin) ? origin : undefined;
}

/** What is read by everybody alike: of a name ASCII, and of a port a number. */
const ORIGIN = /^http:\/\/(?:[\w.-]+|\[[\da-f:.]+\])(?::0*[1-9]\d{0,4})?$/iu;

/** What counts of a request's headers. */
interface Given extends Pick<Shown, "authorization" | "dpop"> {
  /** The second path that it names, by itself or in an address (RFC 4918 section 10.3). */
  readonly destination: string | undefined;
}

/**
 * A header that comes twice is joined as Fetch joins it, and refused for that: by the guard, and because no
 * address has a space.
 */
function givenBy(request: IncomingMessage): Given {
  const { authorization, dpop, destination } = request.headersDistinct;
  return {
    authorization: authorization?.join(", "),
    dpop: dpop?.join(", "),
    destination: destination?.join(", "),
  };
}

/** Who it is, in headers for the server behind: only what fits into one. */
function identityOf({ principal }: Decision): Record<string, string> {
  if (!principal) return {};
  const { subject, clientId, issuer, scopes, roles } = principal;
  // Names are the provider's to choose; what a header cannot carry is percent-encoded.
  const encode = (text = ""): string =>
    text.replace(/^ +|[^\x20-\x7e]|%| +$/gu, encodeURIComponent);
  const named: Record<(typeof IDENTITY)[number], string> = {
    "x-auth-subject": encode(subject),
    "x-auth-client": encode(clientId),
    "x-auth-issuer": encode(issuer),
    "x-auth-scopes": encode(scopes.join(" ")),
    // A role may have spaces in it.
    "x-auth-roles": roles.map(encodeURIComponent).join(" "),
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== ""));
}

/** The body as text, or nothing when it is longer; the rest of it is thrown away. */
function textOf(request: IncomingMessage, longest: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  // By events: going through a stream by `for await` costs more than the decision.
  return new Promise((resolve, reject) => {
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= longest) chunks.push(chunk);
    });
    request.once("end", () => {
      const [first] = chunks;
      const whole = chunks.length === 1 && first ? first : Buffer.concat(chunks);
      resolve(length > longest ? undefined : whole.toString("utf8"));
    });
    request.once("error", reject);
  });
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  response
    .writeHead(status, {
      ...NO_STORE,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    })
    .end(text);
}
