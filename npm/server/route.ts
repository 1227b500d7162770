// Which requests a service lets through, by path and method.

import type { Need, Principal } from "gatepass/guard";
import { pathMatcher } from "../cli/pattern.js";

export interface Route {
  /** A path in which `*` stands for anything at the end and for one segment elsewhere. */
  readonly path: string;
  /** The methods that it is about; without it all. */
  readonly methods?: readonly string[];
  /** Whether a request without credentials is refused. Bad ones always are. */
  readonly required: boolean;
  readonly need: Need;
  /** Lists of which one thing is enough, besides those of `need`. */
  readonly also?: readonly OneOf[];
}

/** A member of a need of which one thing is enough, and its list. */
export type OneOf = readonly [name: string, list: readonly string[]];

/** What has to hold for a request; what fits no route is refused, with all paths that it names. */
export type Router = (method: string, ...paths: readonly string[]) => Route | undefined;

/**
 * The first route that fits counts. Servers read paths more loosely than routes compare them: in capital
 * letters, with or without a slash at the end, without some of what {@link LEFT_OUT} has; and to HEAD they
 * answer what GET would tell. So a route that stands before and fits one of these readings holds too: both
 * must let the request through. One that stands behind does not, or `/login` could not be open before `/*`;
 * and `/users`, where it has a route, is not what stands under `/users/*`.
 */
export function makeRouter(routes: readonly Route[]): Router {
  const rules = routes.map((route) => ({
    route,
    matches: pathMatcher(route.path),
    matchesFolded: pathMatcher(fold(route.path)),
  }));
  const find = (method: string, path: string): Route | undefined => {
    const at = rules.findIndex(({ route, matches }) => isFor(route, method) && matches(path));
    const first = rules[at]?.route;
    if (first === undefined || at === 0) return first;
    const folded = fold(path);
    const other = folded.endsWith("/") ? folded.slice(0, -1) : `${folded}/`;
    const isHead = method === "HEAD";
    let all = first;
    for (const { route, matchesFolded } of rules) {
      if (route === first) break;
      if (!isFor(route, method) && !(isHead && isFor(route, "GET"))) continue;
      const isUnder = route.path === `${first.path}/*`;
      if (matchesFolded(folded) || (!isUnder && matchesFolded(other))) all = both(all, route);
    }
    return all;
  };
  return (method, ...paths) => {
    let all: Route | undefined;
    // Here those behind count too: `/secret;.png` is not what `/*.png` is about.
    for (const reading of readingsOf(paths)) {
      const route = find(method, reading);
      if (!route) return undefined;
      all = all ? both(all, route) : route;
    }
    return all;
  };
}

/**
 * What servers leave out of a path: what would begin a query or a fragment, where they decode before they
 * look for one, parameters, and on Windows dots and spaces that end a segment.
 */
const LEFT_OUT = [/\?.*$/su, /#.*$/su, /;[^/]*/gu, /(?<![. ])[. ]+(?=\/|$)/gu];
const HAS_LEFT_OUT = /[?#;]|[. ](?:\/|$)/u;

/** Paths as they are, and without each of these or several, in any order: every server has its own. */
function readingsOf(paths: readonly string[]): Iterable<string> {
  if (!paths.some((path) => HAS_LEFT_OUT.test(path))) return paths;
  const readings = new Set(paths);
  // It goes through those too that are added meanwhile; there are few, however long the path is.
  for (const reading of readings) {
    for (const part of LEFT_OUT) readings.add(reading.replace(part, ""));
  }
  return readings;
}

const isFor = ({ methods }: Route, method: string): boolean => methods?.includes(method) ?? true;

/**
 * Without capital letters, also for servers that compare as if all were some. Each letter as by itself: a
 * sigma is another one at an end; and some letters become two.
 */
const fold = (path: string): string =>
  path.toUpperCase().toLowerCase().replaceAll("\u03c2", "\u03c3").replaceAll("i\u0307", "i");

/** What a token has of a list of which one thing is enough. */
const ONE_OF: Readonly<Record<string, (principal: Principal) => readonly unknown[]>> = {
  anyScopes: ({ scopes }) => scopes,
  anyRoles: ({ roles }) => roles,
  anyPermissions: ({ permissions }) => permissions,
  acr: ({ claims }) => [claims["acr"]],
};

/** Whether a token has one thing of each list. */
export const hasOneOfEach = (principal: Principal, lists: readonly OneOf[]): boolean =>
  lists.every(([name, list]) =>
    ONE_OF[name]?.(principal).some((item) => list.some((one) => one === item)),
  );

/** What both routes let through. */
function both(one: Route, other: Route): Route {
  if (one === other) return one;
  const need: Record<string, unknown> = { ...one.need };
  const also = [...(one.also ?? []), ...(other.also ?? [])];
  for (const [name, value] of Object.entries(other.need)) {
    const [own, more] = [[need[name] ?? value].flat(), [value].flat()];
    if (name === "maxAge") need[name] = Math.min(...own.map(Number), ...more.map(Number));
    else if (!(name in ONE_OF)) need[name] = [...new Set([...own, ...more])];
    else if (own.every((item) => more.includes(item))) need[name] = own;
    else if (more.every((item) => own.includes(item))) need[name] = more;
    else also.push([name, more.map(String)]);
  }
  return { path: one.path, required: one.required || other.required, need, also };
}

/** The origin of a whole address, to where all who read one see it end. */
const ORIGIN = /^https?:\/\/([^/?#\\]*)/iu;

/** The request target of a whole address; others are one themselves, or none. */
export const targetIn = (address: string): string => address.replace(ORIGIN, "");

/** The host of a whole address, without the port that goes without saying. */
export function hostIn(address: string): string | undefined {
  const host = ORIGIN.exec(address)?.[1]?.toLowerCase();
  return host?.replace(/^https:/iu.test(address) ? /:443$/u : /:80$/u, "");
}

/** What holds without any routes: each request needs a token, and nothing more. */
export const EVERYTHING: Route = { path: "/*", required: true, need: {} };

/**
 * What servers read differently from each other: they would serve another path than was judged. Letters,
 * digits and the like are encoded by nobody (RFC 3986 section 2.3), and many servers compare what was sent.
 */
const AMBIGUOUS =
  /[^\x21-\x7e]|[\\#]|\/\/|%(?:[01]|2[def]|3\d|[46][1-9a-f]|[57][\da]|5[cf]|7[ef])/iu;
/** What would be decoded once more. */
const ENCODED = /%(?:[\da-f]{2}|u[\da-f]{4})/iu;
/** A segment of parameters alone: without them there are two slashes. */
const NAMELESS = /\/;[^/]*\//u;
/** The type of a stream: with one NTFS gives a file or folder other names (`/a.txt::$DATA`). */
export const STREAM = new RegExp(
  `:\\$(?:${[
    ...["attribute_list", "bitmap", "data", "ea", "ea_information", "file_name"],
    ...["index_allocation", "index_root", "logged_utility_stream", "object_id", "property_set"],
    ...["reparse_point", "security_descriptor", "standard_information"],
    ...["volume_information", "volume_name"],
  ].join("|")})(?![a-z_])`,
  "iu",
);

/**
 * The path of a request target, decoded once, as rules compare it. `undefined` for one that another
 * server could take for a different path.
 */
export function pathOf(target: string): string | undefined {
  const [path = ""] = target.split("?", 1);
  if (!path.startsWith("/") || AMBIGUOUS.test(path)) return undefined;
  // Some servers know both as the begin of parameters, and some only the plain one.
  if (path.includes(";") && /%3b/iu.test(path)) return undefined;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  if ([ENCODED, NAMELESS, STREAM].some((one) => one.test(decoded))) return undefined;
  // Dot segments, and what Windows takes for one or for nothing. Some servers cut a segment before.
  const isNoName = (segment: string): boolean => /^[. ]+(?:[;?#]|$)/u.test(segment);
  return decoded.split("/").some(isNoName) ? undefined : decoded;
}
