// Sends an allowed request on, and its answer back, both as they come: no body is looked at, held
// back or changed.

import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { pipeline } from "node:stream";

import { FIELD_TEXT } from "../cli/pattern.js";
import { targetIn } from "./route.js";

/** They belong to one connection (RFC 9110 section 7.6.1). */
const OF_CONNECTION = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** The proxy says them itself. */
const OWN = new Set(["content-length", "destination", "expect", "host"]);
/**
 * What other proxies say, and what has some servers take a request for another one than was judged: for
 * another path, host, method, user or certificate, or for one from elsewhere. CGI makes of `Proxy` the
 * variable by which programs are told theirs.
 */
const OF_PROXIES = new RegExp(
  `^(?:${[
    ...["forwarded", "x-forward(?:ed)?(?:-.+)?", "x-original-.+", "x-rewrite-url", "x-script-name"],
    ...["x-(?:http-)?method(?:-override)?", "x-(?:http-)?host(?:-override)?"],
    ...["x-(?:url-)?scheme", "front-end-https", "proxy"],
    ...["(?:.+-)?client-ip", "cf-connecting-ip(?:v6)?", "x-real-ip"],
    ...["x-auth-.+", "(?:x-)?remote-.+"],
    // RFC 9440, and what servers had before it.
    ...["(?:.+-)?client-(?:cert(?:ificate)?|dn|verify)(?:-.+)?", "(?:x-)?ssl-.+"],
    // Azure, AWS, Google, Cloudflare and Grafana; what they sign is as good without them.
    ...["x-arr-.+", "x-ms-client-principal(?:-.+)?", "x-amzn-(?:mtls-.+|oidc-identity)"],
    ...["x-goog-authenticated-user-.+", "cf-access-authenticated-.+", "x-webauth-.+"],
  ].join("|")})$`,
  "u",
);
/**
 * The names that all servers read alike. Those that make variables of headers take `_`, `.` or any other
 * character for `-`, and some take the path from `SCRIPT_NAME`.
 */
const PLAIN_NAME = /^[a-z\d-]+$/u;

/** What a request with a body must not take away on its way (RFC 9110 section 7.6.1). */
const NEVER_OF_CONNECTION = /^(?:authorization|content-.+|cookie|dpop|host|transfer-encoding)$/u;

/** How many headers are more than any request has: some servers read no more, and miss its length. */
const MOST_HEADERS = 500;

/**
 * Whether others could read another request, or two: where it says that a header is of its connection
 * alone that is for everybody on its way, where it has two hosts (RFC 9112 section 3.2) or more headers than
 * some read, or where its body is in a form that is not passed on as it is.
 */
export function isTorn({ headers, headersDistinct, rawHeaders }: IncomingMessage): boolean {
  const named = optionsOf(headers.connection).some((name) => NEVER_OF_CONNECTION.test(name));
  const coding = headers["transfer-encoding"]?.toLowerCase() ?? "chunked";
  const hosts = headersDistinct["host"]?.length ?? 0;
  return named || coding !== "chunked" || hosts > 1 || rawHeaders.length > 2 * MOST_HEADERS;
}

/** Whether a request says that a body follows. */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";

/** Whether it is to become a WebSocket (RFC 6455 section 4.1), which is the only protocol to change to. */
export function isWebSocket(request: IncomingMessage): boolean {
  const { method, headers, httpVersion } = request;
  const isAsked = headers.upgrade?.toLowerCase() === "websocket";
  return isAsked && method === "GET" && httpVersion === "1.1" && !hasBody(request);
}

/**
 * The head of a request as it was, without the wish to change the protocol, which every server may leave
 * alone (RFC 9110 section 7.8): so that it is read once more, as an ordinary request.
 */
export function headWithoutUpgrade(request: IncomingMessage): Buffer {
  const { method, url, httpVersion, rawHeaders, headers } = request;
  const wishes = new Set(["connection", "http2-settings", "upgrade"]);
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (!wishes.has(name.toLowerCase())) text += `${name}: ${rawHeaders[at + 1]}\r\n`;
  }
  const others = optionsOf(headers.connection).filter((name) => !wishes.has(name));
  if (others.length > 0) text += `Connection: ${others.join(", ")}\r\n`;
  return Buffer.from(`${text}\r\n`, "latin1");
}

export interface Forwarding {
  /** Who the request is from, as headers. Clients cannot send these. */
  readonly identity: Readonly<Record<string, string>>;
  /** What the client must be told besides the answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Under which clients know this service, where that is said. */
  readonly publicOrigin: string | undefined;
}

export interface Proxy {
  /** Answers the status that the client was given; nothing where it left before there was one. */
  forward(
    request: IncomingMessage,
    response: ServerResponse,
    forwarding: Forwarding,
  ): Promise<number | undefined>;
  /** The same for a connection that is to change its protocol, such as to WebSocket. */
  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    forwarding: Forwarding,
  ): Promise<number | undefined>;
  close(): void;
}

export function makeProxy(upstream: string, options: { readonly forwardToken: boolean }): Proxy {
  const { protocol, hostname, port, host, pathname } = new URL(upstream);
  const isSecure = protocol === "https:";
  const agent = isSecure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
  endWhatSpeaksUnasked(agent);
  const send = isSecure ? httpsRequest : httpRequest;
  const base = pathname.replace(/\/$/u, "");

  const headersOf = (
    request: IncomingMessage,
    { identity, publicOrigin }: Forwarding,
    more: readonly string[],
  ): string[] => [
    ...["Host", host],
    ...["X-Forwarded-For", request.socket.remoteAddress ?? ""],
    ...destinationOf(request),
    ...forwardedFor(publicOrigin ?? `http://${request.headers.host ?? ""}`),
    ...Object.entries(identity).flat(),
    ...more,
    // Behind all that counts: there are servers that read so many headers and no more.
    ...passOn(request.rawHeaders, request.headers.connection, (name) => {
      if (!PLAIN_NAME.test(name) || OWN.has(name) || OF_PROXIES.test(name)) return false;
      return options.forwardToken || (name !== "authorization" && name !== "dpop");
    }),
  ];
  /** Where it was judged to be: of the host and the path before it the upstream has its own. */
  const destinationOf = ({ headers: { destination } }: IncomingMessage): string[] =>
    destination === undefined ? [] : ["Destination", base + targetIn(String(destination))];
  const target = (request: IncomingMessage, headers: string[]): RequestOptions => ({
    protocol,
    hostname: hostname.replace(/^\[|\]$/gu, ""),
    port,
    method: request.method ?? "GET",
    path: base + (request.url ?? "/"),
    headers,
  });
  /** Connections that changed their protocol: nothing else ends them. */
  const changed = new Set<Duplex>();

  return {
    forward(request, response, forwarding) {
      // Whoever asked went away while it was decided.
      if (response.destroyed) return Promise.resolve(undefined);
      const { headers } = forwarding;
      // Where a body ends is said anew: as its length, or chunk by chunk.
      const length = request.headers["content-length"];
      const isChunked = request.headers["transfer-encoding"] !== undefined;
      const isBodiless = !isChunked && length === undefined;
      const more = isChunked
        ? ["Transfer-Encoding", "chunked"]
        : isBodiless && UNCHUNKED.has(request.method ?? "")
          ? []
          : ["Content-Length", length ?? "0"];
      const forwarded = target(request, headersOf(request, forwarding, more));
      const isRepeatable = isBodiless && IDEMPOTENT.has(forwarded.method ?? "");
      return new Promise((resolve) => {
        let isOver = false;
        const refuse = (onward: ClientRequest, status: 408 | 502): void => {
          if (isOver) return;
          isOver = true;
          stopUpload();
          onward.destroy();
          const isGone = response.destroyed;
          if (response.headersSent || isGone) response.destroy();
          else response.writeHead(status, { "cache-control": "no-store" }).end();
          resolve(isGone ? undefined : status);
        };
        /** What is still to come of the body is thrown away: who is sending it may read nothing before. */
        const stopUpload = (): void => {
          request.unpipe();
          request.resume();
        };
        const ask = (connections: HttpAgent | false): ClientRequest => {
          let isAnswered = false;
          const onward = send({ ...forwarded, agent: connections });
          const fail = (): void => refuse(onward, 502);
          onward.once("response", (answer) => {
            isAnswered = true;
            const { status, reason } = statusOf(answer);
            if (status === 502 && answer.statusCode !== 502) return fail();
            try {
              response.writeHead(status, reason, [
                ...passOn(answer.rawHeaders, answer.headers.connection, () => true),
                ...Object.entries(headers).flat(),
              ]);
            } catch {
              // What cannot be written down is no answer.
              return fail();
            }
            // A stream of events may be silent at first; its head must not wait for it.
            response.flushHeaders();
            pipeline(answer, response, () => resolve(status));
          });
          // Whoever went away need not be served, at either end.
          response.once("close", () => {
            stopUpload();
            onward.destroy();
          });
          // Nobody asked for another protocol.
          onward.once("upgrade", (_, socket: Duplex) => {
            socket.destroy();
            fail();
          });
          onward.on("error", () => {
            // The answer has an end of its own: it is whole, or breaks off.
            if (isAnswered) return;
            // The upstream closed a connection that was kept just as it was used again.
            const isStale = onward.reusedSocket && !response.destroyed;
            if (isRepeatable && isStale && !isOver) ask(false).end();
            else fail();
          });
          return onward;
        };
        // Some upstreams have a body behind the head after all: it must not be the next one's answer.
        const onward = ask(forwarded.method === "HEAD" ? false : agent);
        if (isBodiless) {
          onward.end();
        } else {
          readToEnd(onward, () => {
            stopUpload();
            // There is an end to be read where nothing can be written; and if not, here is one.
            const giveUp = (): void => void (response.headersSent || refuse(onward, 502));
            setTimeout(giveUp, LAST_WORDS_MILLIS).unref();
          });
          request.pipe(onward);
          watchUpload(request, response, onward, () => refuse(onward, 408));
        }
      });
    },
    upgrade(request, socket, head, forwarding) {
      if (socket.destroyed) return Promise.resolve(undefined);
      // Two streams and a request listen to it.
      socket.setMaxListeners(0);
      const { headers } = forwarding;
      const more = ["Connection", "Upgrade", "Upgrade", "websocket"];
      let hasBegun = false;
      const begin = (
        answer: IncomingMessage,
        { status, reason }: ReturnType<typeof statusOf>,
        own: readonly string[],
      ): void => {
        hasBegun = true;
        const kept = [
          ...passOn(answer.rawHeaders, answer.headers.connection, () => true),
          ...Object.entries(headers).flat(),
          ...own,
        ];
        let text = `HTTP/1.1 ${status} ${reason}\r\n`;
        for (let at = 0; at + 1 < kept.length; at += 2) text += `${kept[at]}: ${kept[at + 1]}\r\n`;
        socket.write(`${text}\r\n`, "latin1");
      };
      return new Promise((resolve) => {
        const fail = (): void => {
          const isGone = socket.destroyed;
          onward.destroy();
          if (hasBegun) socket.destroy();
          else endSocket(socket, "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n");
          resolve(isGone ? undefined : 502);
        };
        // A connection of its own: it will carry something else.
        const onward = send({
          ...target(request, headersOf(request, forwarding, more)),
          agent: false,
        });
        socket.once("close", () => onward.destroy());
        socket.on("error", () => onward.destroy());
        onward.once("upgrade", (answer, upstreamSocket: Duplex, first: Buffer) => {
          if (answer.headers.upgrade?.toLowerCase() !== "websocket") {
            upstreamSocket.destroy();
            return fail();
          }
          onward.setTimeout(0);
          (upstreamSocket as Socket).setMaxListeners(0);
          const changing = { status: 101, reason: "Switching Protocols" };
          begin(answer, changing, ["Connection", "Upgrade", "Upgrade", "websocket"]);
          for (const one of [socket, upstreamSocket]) {
            changed.add(one);
            one.once("close", () => changed.delete(one));
          }
          if (head.length > 0) upstreamSocket.write(head);
          if (first.length > 0) socket.write(first);
          pipeline(socket, upstreamSocket, () => {});
          pipeline(upstreamSocket, socket, () => {});
          resolve(101);
        });
        onward.once("response", (answer) => {
          onward.setTimeout(0);
          const status = statusOf(answer);
          if (status.status === 502 && answer.statusCode !== 502) return fail();
          begin(answer, status, ["Connection", "close"]);
          socket.resume();
          pipeline(answer, socket, () => {
            endSocket(socket);
            resolve(status.status);
          });
        });
        onward.once("error", fail);
        onward.setTimeout(HANDSHAKE_MILLIS, fail);
        onward.end();
      });
    },
    close() {
      agent.destroy();
      for (const socket of changed) socket.destroy();
    },
  };
}

/** A connection that is kept and over which something comes would give it to the next request. */
function endWhatSpeaksUnasked(agent: HttpAgent): void {
  const end = function (this: Duplex): void {
    this.destroy();
  };
  const { keepSocketAlive, reuseSocket } = agent;
  agent.keepSocketAlive = (socket) => {
    socket.on("data", end);
    return keepSocketAlive.call(agent, socket);
  };
  agent.reuseSocket = (socket, request) => {
    socket.off("data", end);
    reuseSocket.call(agent, socket, request);
  };
}

/**
 * Has a connection that takes no more of an upload be read to its end, because the answer may stand there:
 * upstreams answer what is too long before they have read it, and hang up. Node would close it at once,
 * so it is not told.
 */
function readToEnd(onward: ClientRequest, stop: () => void): void {
  onward.once("socket", (socket: Socket) => {
    const { _write: write, _writev: writev } = socket;
    type Done = (error?: Error | null) => void;
    const holdBack =
      (done: Done): Done =>
      (error) => {
        const { code } = (error ?? {}) as NodeJS.ErrnoException;
        if (code !== "EPIPE" && code !== "ECONNRESET") return done(error);
        stop();
      };
    socket._write = (chunk, encoding, done) => write.call(socket, chunk, encoding, holdBack(done));
    if (writev) socket._writev = (chunks, done) => writev.call(socket, chunks, holdBack(done));
    onward.once("close", () => {
      // The socket's class has its own.
      Reflect.deleteProperty(socket, "_write");
      Reflect.deleteProperty(socket, "_writev");
    });
  });
}

/** Has a connection that ends with its answer be read on for a moment: who is still sending may lose it else. */
export function endLate(request: IncomingMessage): void {
  const { socket } = request;
  socket.destroySoon = () => {
    Reflect.deleteProperty(socket, "destroySoon");
    if (request.complete) socket.destroySoon();
    else endSocket(socket);
  };
}

/** Ends an upload that stands still, unless it is the upstream that does not read. */
function watchUpload(
  request: IncomingMessage,
  response: ServerResponse,
  onward: ClientRequest,
  end: () => void,
): void {
  let seen = request.socket.bytesRead;
  const timer = setInterval(() => {
    const { bytesRead } = request.socket;
    // Whoever is answered already may be asked things in turn.
    const isMoving = bytesRead !== seen || onward.writableNeedDrain || response.headersSent;
    seen = bytesRead;
    if (!isMoving) end();
  }, STILL_MILLIS);
  timer.unref();
  const stop = (): void => clearInterval(timer);
  request.once("end", stop);
  response.once("close", stop);
}

/** How the client knows this service. */
function forwardedFor(origin: string): string[] {
  const [proto = "", host = ""] = origin.split("://");
  return ["X-Forwarded-Host", host, "X-Forwarded-Proto", proto];
}

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
/** Where nothing is said of a body, Node announces chunks for all methods but these. */
const UNCHUNKED = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "DELETE"]);
/** For how long an upload may bring nothing, in milliseconds; twice as long at most. */
const STILL_MILLIS = 60_000;
/** How long an upstream may take to become a WebSocket, in milliseconds: its client may have left. */
const HANDSHAKE_MILLIS = 10_000;
/** How long the last words of a connection may take to be read, in milliseconds. */
const LAST_WORDS_MILLIS = 2000;

/** Ends a connection: what its client still sends is thrown away, for a moment and no longer. */
export function endSocket(socket: Duplex, text?: string): void {
  socket.resume();
  if (!socket.writableEnded) socket.end(text, "latin1");
  setTimeout(() => socket.destroy(), LAST_WORDS_MILLIS).unref();
}

/** What a `Connection` header names, in lower case. */
const optionsOf = (connection: string | undefined): string[] =>
  (connection ?? "")
    .toLowerCase()
    .split(/[\s,]+/u)
    .filter((name) => name !== "");

/** The status of an answer, and its reason where one can be written down; 502 for what is none. */
function statusOf({ statusCode = 0, statusMessage = "", headers }: IncomingMessage): {
  readonly status: number;
  readonly reason: string;
} {
  const coding = headers["transfer-encoding"]?.toLowerCase() ?? "chunked";
  const isStatus = statusCode >= 200 && statusCode <= 599 && coding === "chunked";
  if (!isStatus) return { status: 502, reason: "Bad Gateway" };
  return { status: statusCode, reason: FIELD_TEXT.test(statusMessage) ? statusMessage : "" };
}

/** Names and values in turn, as they came, without what belongs to the connection. */
function passOn(
  raw: readonly string[],
  connection: string | undefined,
  keeps: (name: string) => boolean,
): string[] {
  const named = new Set(optionsOf(connection));
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = "", value = ""] = [raw[at], raw[at + 1]];
    const lower = name.toLowerCase();
    if (OF_CONNECTION.has(lower) || named.has(lower) || !keeps(lower)) continue;
    kept.push(name, value);
  }
  return kept;
}
