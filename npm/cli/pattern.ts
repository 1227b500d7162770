// How addresses are told apart.

/** An absolute URL whose host is a name: `*` is for paths. */
export const SERVER_URL = /^https?:\/\/[^\s/*?#]+(?:\/[^\s?#]*)?$/u;

/** As methods are sent: they are compared letter by letter. */
export const METHOD = /^[A-Z]+(?:-[A-Z]+)*$/u;

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

/** The same for a path alone. It is compared letter by letter. */
export function pathMatcher(pattern: string): (path: string) => boolean {
  const source = pattern
    .split("*")
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/gu, "\\$&"))
    .reduce((all, text, at, parts) => {
      const isLast = at === parts.length - 1 && text === "";
      return `${all}${isLast ? ".*" : "[^\\/]+"}${text}`;
    });
  const expression = new RegExp(`^${source}$`, "su");
  return (path) => expression.test(path);
}
