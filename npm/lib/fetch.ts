// Sends a program's requests to its API with the access token. Which requests get it and what a
// refusal means is decided by the core.

/** Where {@link wrapFetch} gets its tokens from. Which requests get one is decided by the source. */
export interface TokenSource {
  /** The access token, asked for anew when its end is near. Keep it out of URLs, logs and storage. */
  accessToken(): Promise<string>;
  /** The token for a request to this URL; `undefined` for one that must not carry it. */
  tokenFor(url: string): Promise<string | undefined>;
  /** The token with which to try once more; `undefined` when the answer is to be handed on. */
  tokenAfter(
    status: number,
    wwwAuthenticate: string | undefined,
    used: string,
  ): Promise<string | undefined>;
}

/** How many redirects are followed, as browsers do. */
const MOST_REDIRECTS = 20;

/** What does not go along to another origin, besides the token (Fetch standard, HTTP-redirect fetch). */
const OF_THE_ORIGIN = ["cookie", "proxy-authorization"];
/** What describes a body, and goes where the body goes. */
const OF_THE_BODY = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-type",
];

/**
 * A `fetch` that adds the token of a source to requests to its `allowedOrigins` and to no others, also
 * across redirects. An `Authorization` header of yours stays. When the API says that the token is not
 * valid, a new one is asked for, once for all requests, and the request sent once more, if its body
 * can be sent twice.
 *
 * Rejects with `scope_insufficient` (RFC 6750) and `step_up_required` (RFC 9470).
 */
export function wrapFetch(
  source: Pick<TokenSource, "tokenFor" | "tokenAfter">,
  send: typeof fetch = (input, init) => fetch(input, init),
): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    // What the program set itself is not ours to replace.
    if (request.headers.has("authorization")) return send(request);
    const token = await source.tokenFor(request.url);
    if (token === undefined) return send(request);

    // A body that is a stream can be sent once.
    const isStream = init?.body instanceof ReadableStream;
    const isReplayable = !isStream && (request.body === null || !(input instanceof Request));
    const spare = isReplayable ? request.clone() : undefined;
    const response = await sendWith(token, request, source, send);
    if (response.status !== 401 && response.status !== 403) return response;
    const challenge = response.headers.get("www-authenticate") ?? undefined;
    if (!spare && response.status === 401) return response;
    const renewed = await source.tokenAfter(response.status, challenge, token);
    if (renewed === undefined || !spare) return response;
    await response.body?.cancel();
    return sendWith(renewed, spare, source, send);
  };
}

/** Sends a request with a token, which does not go along to origins that are not to have it. */
async function sendWith(
  token: string,
  request: Request,
  source: Pick<TokenSource, "tokenFor">,
  send: typeof fetch,
): Promise<Response> {
  const authorized = new Request(request);
  authorized.headers.set("authorization", `Bearer ${token}`);
  // Pages follow redirects themselves and take the header off where the origin changes (Fetch
  // standard, HTTP-redirect fetch). Other runtimes show the redirect, and some do not take it off.
  const isPage = typeof document !== "undefined" || typeof location !== "undefined";
  if (isPage || request.redirect !== "follow") return send(authorized);

  const headers = new Headers(authorized.headers);
  const drop = (names: readonly string[]): void => names.forEach((name) => headers.delete(name));
  let current = new Request(authorized, { redirect: "manual" });
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const canReplay = current.body === null;
    const { method, url } = current;
    const response = await send(current);
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    const next = new URL(location, url);
    const becomesGet =
      (response.status === 303 && method !== "HEAD") ||
      (response.status < 303 && method === "POST");
    // A body is not sent a second time to wherever the answer points.
    if (!becomesGet && !canReplay) return response;
    await response.body?.cancel();
    if (becomesGet) drop(OF_THE_BODY);
    if (next.origin !== new URL(url).origin) {
      drop(OF_THE_ORIGIN);
      // Once taken off, the token does not come back: where the way led outside, someone else
      // chose what comes next.
      if ((await source.tokenFor(next.href)) === undefined) drop(["authorization"]);
    }
    current = new Request(next, {
      method: becomesGet ? "GET" : method,
      headers,
      redirect: "manual",
      signal: request.signal,
    });
  }
  throw new TypeError("redirected too often");
}
