// Which requests a service lets through, by path and method.

import type { Need } from "gatepass/guard";
import { pathMatcher } from "../cli/pattern.js";

export interface Route {
  /** A path in which `*` stands for anything at the end and for one segment elsewhere. */
  readonly path: string;
  /** The methods that it is about; without it all. */
  readonly methods?: readonly string[];
  /** Whether a request without credentials is refused. Bad ones always are. */
  readonly required: boolean;
  readonly need: Need;
}

/** The first route that fits; what fits none is refused. */
export type Router = (method: string, path: string) => Route | undefined;

export function makeRouter(routes: readonly Route[]): Router {
  const matchers = routes.map((route) => ({
    route,
    matches: pathMatcher(route.path),
  }));
  return (method, path) =>
    matchers.find(
      ({ route, matches }) => (route.methods?.includes(method) ?? true) && matches(path),
    )?.route;
}

/** What holds without any routes: each request needs a token, and nothing more. */
export const EVERYTHING: Route = { path: "/*", required: true, need: {} };

/** What servers read differently from each other: they would serve another path than was judged. */
const AMBIGUOUS = /[^\x21-\x7e]|[\\#]|\/\/|%(?:2e|2f|5c|[01]|7f|25[\da-f]{2})/iu;

/**
 * The path of a request target, decoded once, as rules compare it. `undefined` for one that another
 * server could take for a different path.
 */
export function pathOf(target: string): string | undefined {
  const [path = ""] = target.split("?", 1);
  if (!path.startsWith("/") || AMBIGUOUS.test(path)) return undefined;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  // Some servers cut a segment at a semicolon before they look whether it is a dot segment.
  const isDots = (segment: string): boolean => /^\.{1,2}(?:;|$)/u.test(segment);
  return decoded.split("/").some(isDots) ? undefined : decoded;
}
