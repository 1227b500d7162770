// How addresses are told apart.

/** An absolute URL whose host is a name: `*` is for paths. */
export const SERVER_URL = /^https?:\/\/[^\s/*?#]+(?:\/[^\s?#]*)?$/u;

/** As methods are sent: they are compared letter by letter. */
export const METHOD = /^[A-Z]+(?:-[A-Z]+)*$/u;

/** What a header's value or a status line's reason can carry (RFC 9110 section 5.5). */
export const FIELD_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/u;

/**
 * Whether an address is meant by a pattern: an origin, and a path in which `*` stands for anything
 * at the end and for one segment elsewhere. Without a path every path is meant.
 */
export function matches(pattern: string, url: string): boolean {
  if (!URL.canParse(pattern) || !URL.canParse(url)) return false;
  const [wanted, given] = [new URL(pattern), new URL(url)];
  if (wanted.origin !== given.origin || wanted.origin === "null") return false;
  return wanted.pathname === "/" || pathMatcher(wanted.pathname)(given.pathname);
}

/**
 * The same for a path alone. It is compared letter by letter, in one way through it: whoever sends the
 * path chooses how long it is.
 */
export function pathMatcher(pattern: string): (path: string) => boolean {
  const [begin = "", ...texts] = pattern.split("*");
  const end = texts.pop();
  return (path) => {
    if (end === undefined) return path === begin;
    if (!path.startsWith(begin)) return false;
    let from = begin.length;
    for (const text of texts) {
      const at = behindStar(path, from, text);
      if (at < 0) return false;
      from = at + text.length;
    }
    if (end === "") return true;
    const at = path.length - end.length;
    const slash = path.indexOf("/", from);
    return at > from && (slash < 0 || slash >= at) && path.endsWith(end);
  };
}

/** Where a text first stands behind something of the segment that is there, or -1. */
function behindStar(path: string, from: number, text: string): number {
  const slash = path.indexOf("/", from);
  const own = text.indexOf("/");
  // No star goes over a slash, so the first one of both is the same.
  const at = own < 0 ? path.indexOf(text, from + 1) : slash - own;
  const isThere = at > from && (slash < 0 || at <= slash) && path.startsWith(text, at);
  return isThere ? at : -1;
}
