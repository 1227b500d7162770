// Cookies as texts: read strictly, written with what keeps them to this host, out of scripts and off
// other sites' requests.

/** What all cookies of an application have in common. */
export interface CookieTraits {
  /** Whether they go over TLS only; `__Host-` stands in front of their names then. */
  readonly isSecure: boolean;
  readonly sameSite: "Lax" | "Strict";
}

/** The most bytes of one cookie, name and attributes included: what every browser keeps. */
const MOST_BYTES = 4096;
/** The most cookies for one text: servers take 16 KiB of headers or less. */
const MOST_COOKIES = 3;

/** The cookies of a request by their names; `undefined` for a name that came twice. */
export type Cookies = ReadonlyMap<string, string | undefined>;

export function readCookies(request: { readonly headers: Headers }): Cookies {
  const cookies = new Map<string, string | undefined>();
  for (const pair of (request.headers.get("cookie") ?? "").split(";")) {
    const at = pair.indexOf("=");
    if (at < 0) continue;
    const name = pair.slice(0, at).trim();
    // Whoever could add a second one could be another host of the domain.
    cookies.set(name, cookies.has(name) ? undefined : pair.slice(at + 1).trim());
  }
  return cookies;
}

/** A `Set-Cookie` line that keeps a text for so many seconds. */
export function cookieLine(
  name: string,
  value: string,
  maxAge: number,
  { isSecure, sameSite }: CookieTraits,
): string {
  const secure = isSecure ? " Secure;" : "";
  return `${name}=${value}; Path=/; Max-Age=${maxAge};${secure} HttpOnly; SameSite=${sameSite}`;
}

/** A `Set-Cookie` line that removes a cookie. */
export const goneLine = (name: string, traits: CookieTraits): string =>
  cookieLine(name, "", 0, traits);

/** The name of each cookie that a text may be spread over. */
export const namesOf = (name: string): readonly string[] =>
  Array.from({ length: MOST_COOKIES }, (_, at) => (at === 0 ? name : `${name}-${at}`));

/**
 * The `Set-Cookie` lines that keep a text, which may be spread over several cookies, and that remove
 * what was there of a longer one. Nothing when it is too long.
 */
export function spread(
  name: string,
  text: string,
  maxAge: number,
  traits: CookieTraits,
  cookies: Cookies,
): readonly string[] | undefined {
  const names = namesOf(name);
  const longest = names.at(-1) ?? name;
  // The first one says how many there are.
  const room = MOST_BYTES - cookieLine(longest, "n.", maxAge, traits).length;
  const count = Math.max(1, Math.ceil(text.length / room));
  if (count > MOST_COOKIES) return undefined;
  return names.flatMap((each, at) => {
    if (at >= count) return cookies.has(each) ? [goneLine(each, traits)] : [];
    const part = text.slice(at * room, (at + 1) * room);
    return [cookieLine(each, at === 0 ? `${count}.${part}` : part, maxAge, traits)];
  });
}

/** The text that was spread over cookies; nothing where one of them is missing or came twice. */
export function gather(name: string, cookies: Cookies): string | undefined {
  const [, count, first] = /^([1-9])\.(.*)$/.exec(cookies.get(name) ?? "") ?? [];
  if (count === undefined || first === undefined || Number(count) > MOST_COOKIES) return undefined;
  const rest = namesOf(name)
    .slice(1, Number(count))
    .map((each) => cookies.get(each));
  return rest.includes(undefined) ? undefined : first + rest.join("");
}
