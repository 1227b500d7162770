// Sends an allowed request on, and its answer back, both as they come: no body is looked at, held
// back or changed.

import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { IncomingMessage, RequestOptions, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { pipeline } from "node:stream";

/** They belong to one connection (RFC 9110 section 7.6.1) or to the proxy itself. */
const NOT_FORWARDED = new Set([
  "connection",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
]);

export interface Forwarding {
  /** Who the request is from, as headers. Clients cannot send these. */
  readonly identity: Readonly<Record<string, string>>;
  /** What the client must be told besides the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Proxy {
  /** Answers the status that the client was given. */
  forward(
    request: IncomingMessage,
    response: ServerResponse,
    forwarding: Forwarding,
  ): Promise<number>;
  /** The same for a connection that is to change its protocol, such as to WebSocket. */
  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    forwarding: Forwarding,
  ): Promise<number>;
  close(): void;
}

export function makeProxy(upstream: string, options: { readonly forwardToken: boolean }): Proxy {
  const { protocol, hostname, port, host, pathname } = new URL(upstream);
  const isSecure = protocol === "https:";
  const agent = isSecure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
  const send = isSecure ? httpsRequest : httpRequest;
  const base = pathname.replace(/\/$/u, "");

  const headersOf = (
    request: IncomingMessage,
    identity: Forwarding["identity"],
    more: readonly string[],
  ): string[] => [
    ...passOn(request.rawHeaders, request.headers.connection, (name) => {
      if (/^x[-_]auth[-_]/u.test(name)) return false;
      return options.forwardToken || (name !== "authorization" && name !== "dpop");
    }),
    ...["Host", host],
    ...["X-Forwarded-For", request.socket.remoteAddress ?? ""],
    ...["X-Forwarded-Host", request.headers.host ?? ""],
    ...["X-Forwarded-Proto", "http"],
    ...Object.entries(identity).flat(),
    ...more,
  ];
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
    forward(request, response, { identity, headers }) {
      // A body of unknown length goes on as one.
      const isChunked = request.headers["transfer-encoding"] !== undefined;
      const more = isChunked ? ["Transfer-Encoding", "chunked"] : [];
      const forwarded = { ...target(request, headersOf(request, identity, more)), agent };
      return new Promise((resolve) => {
        const onward = send(forwarded, (answer) => {
          const status = answer.statusCode ?? 502;
          response.writeHead(status, answer.statusMessage, [
            ...passOn(answer.rawHeaders, answer.headers.connection, () => true),
            ...Object.entries(headers).flat(),
          ]);
          // A stream of events may be silent at first; its head must not wait for it.
          response.flushHeaders();
          pipeline(answer, response, () => resolve(status));
        });
        // Whoever went away need not be served, at either end.
        response.once("close", () => onward.destroy());
        pipeline(request, onward, () => {});
        onward.once("error", () => {
          if (response.headersSent || response.destroyed) response.destroy();
          else response.writeHead(502, { "cache-control": "no-store" }).end();
          resolve(502);
        });
      });
    },
    upgrade(request, socket, head, { identity, headers }) {
      const more = ["Connection", "Upgrade", "Upgrade", request.headers.upgrade ?? ""];
      const begin = (answer: IncomingMessage, own: readonly string[]): void => {
        const { statusCode = 502, statusMessage = "" } = answer;
        const kept = [
          ...passOn(answer.rawHeaders, answer.headers.connection, () => true),
          ...Object.entries(headers).flat(),
          ...own,
        ];
        let text = `HTTP/1.1 ${statusCode} ${statusMessage}\r\n`;
        for (let at = 0; at + 1 < kept.length; at += 2) text += `${kept[at]}: ${kept[at + 1]}\r\n`;
        socket.write(`${text}\r\n`);
      };
      return new Promise((resolve) => {
        // A connection of its own: it will carry something else.
        const onward = send({
          ...target(request, headersOf(request, identity, more)),
          agent: false,
        });
        socket.once("close", () => onward.destroy());
        socket.on("error", () => onward.destroy());
        onward.once("upgrade", (answer, upstreamSocket: Duplex, first: Buffer) => {
          begin(answer, ["Connection", "Upgrade", "Upgrade", answer.headers.upgrade ?? ""]);
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
          begin(answer, ["Connection", "close"]);
          pipeline(answer, socket, () => resolve(answer.statusCode ?? 502));
        });
        onward.once("error", () => {
          if (!socket.writableEnded)
            socket.end("HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n");
          resolve(502);
        });
        onward.end();
      });
    },
    close() {
      agent.destroy();
      for (const socket of changed) socket.destroy();
    },
  };
}

/** Names and values in turn, as they came, without what belongs to the connection. */
function passOn(
  raw: readonly string[],
  connection: string | undefined,
  keeps: (name: string) => boolean,
): string[] {
  const named = new Set((connection ?? "").toLowerCase().split(/[\s,]+/u));
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = "", value = ""] = [raw[at], raw[at + 1]];
    const lower = name.toLowerCase();
    if (NOT_FORWARDED.has(lower) || named.has(lower) || !keeps(lower)) continue;
    kept.push(name, value);
  }
  return kept;
}
