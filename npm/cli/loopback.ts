// Waits on this machine for the browser to come back (RFC 8252 section 7.3).

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { EXIT, Failure, misconfigured } from "./failure.js";

const LOOPBACK: Readonly<Record<string, readonly string[]>> = {
  "127.0.0.1": ["127.0.0.1"],
  "[::1]": ["::1"],
  localhost: ["127.0.0.1", "::1"],
};

/** No callback is longer: a code, a state and an issuer. */
const LONGEST_HEAD = 32 * 1024;

export interface Loopback {
  /** As it is to be sent, with the port that was taken. */
  readonly redirectUri: string;
  /**
   * Waits for a callback that `accepts` takes, which tells by its promise how it ended; one that it
   * does not know (`false`) is somebody else's and changes nothing.
   */
  wait(accepts: (url: string) => Promise<boolean>): Promise<void>;
  close(): void;
}

/**
 * The addresses on which to wait for a redirect.
 *
 * @throws Failure when it does not lead to this machine
 */
export function checkRedirect(redirectUri: string, where?: string): readonly string[] {
  const { hash, hostname, protocol, search } = new URL(redirectUri);
  const hosts = LOOPBACK[hostname];
  if (protocol !== "http:" || hosts === undefined || search !== "" || hash !== "") {
    const place = where === undefined ? "" : `${where}: `;
    throw misconfigured(
      `${place}redirectUri must be http://127.0.0.1:PORT/PATH, http://[::1]:PORT/PATH or http://localhost:PORT/PATH.`,
    );
  }
  return hosts;
}

/** @throws Failure when the address is not of this machine, or in use */
export async function listen(redirectUri: string): Promise<Loopback> {
  const hosts = checkRedirect(redirectUri);
  const url = new URL(redirectUri);
  let handle: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    answer(response, 503, "Not yet", "The login has not begun.");
  const servers: Server[] = [];
  const close = (): void => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  };
  for (const host of hosts) {
    const server = createServer({ maxHeaderSize: LONGEST_HEAD }, (request, response) =>
      handle(request, response),
    );
    const taken = servers[0] ? (servers[0].address() as AddressInfo).port : undefined;
    try {
      await begin(server, host, taken ?? Number(url.port || 80));
      servers.push(server);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A machine without IPv6, where localhost is one address.
      if (servers.length > 0 && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT")) continue;
      close();
      const why =
        code === "EADDRINUSE"
          ? "it is in use; end the other program, or choose another port with --port (0 takes any) and register it at the provider"
          : String(code);
      throw new Failure(EXIT.failed, [`Cannot wait on ${host}:${url.port}: ${why}.`]);
    }
  }
  const [first] = servers;
  url.port = String((first?.address() as AddressInfo).port);
  const own = url.href;
  return {
    // A port of one's own choice leaves the rest as it was written.
    redirectUri: new URL(redirectUri).port === url.port ? redirectUri : own,
    wait: (accepts) =>
      new Promise((resolve, reject) => {
        let isTaken = false;
        handle = (request, response) => {
          // A name that was made to point here (DNS rebinding) is not the one that was registered.
          if (request.headers.host !== url.host) {
            return answer(response, 421, "Wrong address", "This is not the address of the login.");
          }
          const asked = askedOf(request, url.origin);
          if (request.method !== "GET" || asked?.pathname !== url.pathname || isTaken) {
            return answer(response, 404, "Nothing here", "This page is not part of the login.");
          }
          isTaken = true;
          accepts(asked.href).then(
            (isOurs) => {
              isTaken = isOurs;
              if (!isOurs) {
                return answer(response, 400, "Not this login", "This is not the login that waits.");
              }
              answer(response, 200, "Logged in", "You can close this window.", resolve);
            },
            (error: unknown) => {
              const text = "The terminal says why. You can close this window.";
              answer(response, 400, "Login failed", text, () => reject(error as Error));
            },
          );
        };
      }),
    close,
  };
}

/** The address of a request. One that begins with two slashes is a path here, and not another host. */
const askedOf = ({ url }: IncomingMessage, origin: string): URL | undefined =>
  url?.startsWith("/") ? new URL(origin + url) : undefined;

function begin(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** A page with nothing of the request in it, that asks for nothing and goes nowhere. */
function answer(
  response: ServerResponse,
  status: number,
  title: string,
  text: string,
  done?: () => void,
): void {
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1><p>${text}</p></html>\n`;
  if (done) response.once("close", done);
  response
    .writeHead(status, {
      "content-type": "text/html; charset=utf-8",
      "content-length": Buffer.byteLength(page),
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      connection: "close",
    })
    .end(page);
}
