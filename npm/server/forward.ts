// How proxies ask whether a request may go on (forward authentication). Each writes the request that
// it asks about in its own place, and each has its own endpoint here: a service that looked at all
// places would believe a header that a client sent through a proxy which does not set it.

import type { IncomingMessage } from "node:http";

import { METHOD } from "../cli/pattern.js";

/** The headers that say who a request is from. */
export const IDENTITY = [
  "x-auth-subject",
  "x-auth-client",
  "x-auth-issuer",
  "x-auth-scopes",
  "x-auth-roles",
] as const;

/** The request that a proxy asks about; nothing where the proxy did not say it exactly once. */
export interface Asked {
  readonly method: string;
  readonly target: string;
}

/** `rest` is what follows the endpoint's own path. */
type Reader = (request: IncomingMessage, rest: string) => Asked | undefined;

export const PROXIES: Readonly<Record<string, Reader>> = {
  /** auth_request, with `X-Original-URI $request_uri` and `X-Original-Method $request_method`. */
  nginx: (request) => fromHeaders(request, "x-original-method", "x-original-uri"),
  /** ForwardAuth, which sets these itself. */
  traefik: (request) => fromHeaders(request, "x-forwarded-method", "x-forwarded-uri"),
  /** ext_authz over HTTP, which asks with the same method and puts the path behind its prefix. */
  envoy: (request, rest) =>
    rest.startsWith("/") ? { method: request.method ?? "GET", target: rest } : undefined,
};

/**
 * What an answer says to a proxy besides who it is: Envoy replaces the headers that are in the answer, and
 * leaves what a client sent under the other names.
 */
export function clearing(
  proxy: string,
  identity: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const unset = IDENTITY.filter((name) => identity[name] === undefined);
  return proxy === "envoy" && unset.length > 0
    ? { "x-envoy-auth-headers-to-remove": unset.join(",") }
    : {};
}

function fromHeaders(request: IncomingMessage, method: string, uri: string): Asked | undefined {
  const [methods = [], targets = []] = [method, uri].map((name) => request.headersDistinct[name]);
  const [[wanted, ...more], [target, ...others]] = [methods, targets];
  const isOnce = more.length === 0 && others.length === 0;
  // There are servers to which `get` is GET, and no rule is about it.
  const isMethod = wanted !== undefined && METHOD.test(wanted);
  return isOnce && isMethod && target ? { method: wanted, target } : undefined;
}
