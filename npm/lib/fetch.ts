// Sends a program's requests to its API with the access token. Which requests get it, with what
// proof, and what a refusal means is decided by the core.

import { unlessAborted } from "./abort.js";
import { textOrNone } from "./options.js";

/** Where {@link wrapFetch} gets its tokens from. Which requests get one is decided by the source. */
export interface TokenSource {
  /** The access token, asked for anew when its end is near. Keep it out of URLs, logs and storage. */
  accessToken(): Promise<string>;
  /** The token for a request to this URL; `undefined` for one that must not carry it. */
  tokenFor(url: string | URL): Promise<string | undefined>;
  /** The token with which to try once more; `undefined` when the answer is to be handed on. */
  tokenAfter(
    status: number,
    wwwAuthenticate: string | undefined,
    used: string,
  ): Promise<string | undefined>;
}

/** What the core decides. A pass is its own text, to be handed back as it is. */
export interface PassSource {
  /** The pass for a request; `undefined` for one that must not carry it. */
  passFor(method: string, url: string): Promise<string | undefined>;
  /** The pass with which to try once more; `undefined` when the answer is to be handed on. */
  passAfter(
    status: number,
    wwwAuthenticate: string | undefined,
    method: string,
    url: string,
    used: string,
  ): Promise<string | undefined>;
  /** What a server wants to see in the next proof (RFC 9449 section 8.2). */
  learnNonce(url: string, nonce: string): void;
}

/** How many redirects are followed, as browsers do. */
const MOST_REDIRECTS = 20;

/** What does not go along to another origin (Fetch standard, HTTP-redirect fetch), nor does a proof. */
const OF_THE_ORIGIN = ["cookie", "proxy-authorization", "dpop"];
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
  return fetchWith(bearer(source), send);
}

/** The passes of a source whose tokens are shown as they are; one is asked for a second time once. */
function bearer(source: Pick<TokenSource, "tokenFor" | "tokenAfter">): PassSource {
  const pass = (token: string | undefined, isLast: boolean): string | undefined =>
    token === undefined ? undefined : JSON.stringify({ scheme: "Bearer", token, isLast });
  return {
    passFor: async (_method, url) => pass(await source.tokenFor(url), false),
    passAfter: async (status, challenge, _method, _url, used) => {
      const { token, isLast } = JSON.parse(used) as { token: string; isLast: boolean };
      return isLast ? undefined : pass(await source.tokenAfter(status, challenge, token), true);
    },
    learnNonce: () => {},
  };
}

/** A `fetch` that shows the passes of a source. */
export function fetchWith(source: PassSource, send: typeof fetch): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const { method, url, signal } = request;
    // What the program set itself is not ours to replace.
    if (request.headers.has("authorization")) return send(request);
    let pass = await unlessAborted(signal, () => source.passFor(method, url));
    if (pass === undefined) return send(request);

    // A body that is a stream can be sent once. Firefox has no `body`: there the method tells.
    const isStream = init?.body instanceof ReadableStream;
    const isEmpty = method === "GET" || method === "HEAD" || request.body === null;
    const isReplayable = !isStream && (isEmpty || !(input instanceof Request));
    let spare = isReplayable ? request.clone() : undefined;
    let { response, sawPass } = await sendWith(pass, request, init, source, send);
    for (;;) {
      // A refusal by somebody who never saw the token says nothing of it.
      if (!sawPass || (response.status !== 401 && response.status !== 403)) return response;
      const { status } = response;
      const refused: string = pass;
      const challenge = challengeOf(response, refused);
      // Also where the request cannot be sent once more: the next one has the new token then.
      pass = await unlessAborted(signal, () =>
        source.passAfter(status, challenge, method, url, refused),
      );
      if (pass === undefined || !spare) return response;
      await response.body?.cancel();
      const again = spare;
      spare = again.clone();
      ({ response, sawPass } = await sendWith(pass, again, init, source, send));
    }
  };
}

/** No token that is meant to be one is shorter; examples are. */
const SHORTEST_TOKEN = 16;

/** What an API says of a refusal, without the token, which some repeat. */
function challengeOf(response: Response, pass: string): string | undefined {
  const { token } = JSON.parse(pass) as { readonly token: string };
  const challenge = textOrNone(response.headers.get("www-authenticate") ?? undefined);
  // What is as short as a word of the challenge itself would be found there.
  return token.length >= SHORTEST_TOKEN ? challenge?.replaceAll(token, "...") : challenge;
}

/** Whether two tokens are of one user, as far as their source knows: by the sign-in, or by the name. */
function isSameUser(one: string, other: string): boolean {
  const [a, b] = [one, other].map((pass) => (JSON.parse(pass) as { owner?: unknown }).owner);
  if (typeof a !== "string" || typeof b !== "string") return a === b;
  const [since, name] = [a.split(" ", 1)[0], a.slice(a.indexOf(" ") + 1)];
  return since === b.split(" ", 1)[0] || (name !== "" && name === b.slice(b.indexOf(" ") + 1));
}

/** Puts a pass into the headers of a request. */
function show(pass: string, headers: Headers): void {
  const { scheme, token, proof } = JSON.parse(pass) as {
    readonly scheme: string;
    readonly token: string;
    readonly proof?: string;
  };
  headers.set("authorization", `${scheme} ${token}`);
  if (proof !== undefined) headers.set("dpop", proof);
}

/** An answer, and whether whoever gave it was shown the pass. */
interface Answer {
  readonly response: Response;
  readonly sawPass: boolean;
}

/**
 * Sends a request with a pass, which does not go along to origins that are not to have it. `init` is what
 * the program gave besides: copies of a request lose members that only its runtime knows.
 */
async function sendWith(
  pass: string,
  request: Request,
  init: RequestInit | undefined,
  source: PassSource,
  send: typeof fetch,
): Promise<Answer> {
  const learn = (response: Response, url: string): Response => {
    const nonce = response.headers.get("dpop-nonce");
    // A `fetch` of the program's own may answer with headers that are none.
    if (typeof nonce === "string") source.learnNonce(url, nonce);
    return response;
  };
  const { method: _m, headers: _h, body: _b, signal: _s, ...besides } = init ?? {};
  const authorized = new Request(request, besides);
  show(pass, authorized.headers);
  // Pages follow redirects themselves and take the header off where the origin changes (Fetch
  // standard, HTTP-redirect fetch). Other runtimes show the redirect, and some do not take it off.
  const isPage = typeof document !== "undefined" || typeof location !== "undefined";
  if (isPage || request.redirect !== "follow") {
    const response = learn(await send(authorized), request.url);
    const own = new URL(request.url).origin + "/";
    return { response, sawPass: !response.redirected || response.url.startsWith(own) };
  }

  const { signal } = request;
  const headers = new Headers(authorized.headers);
  const drop = (names: readonly string[]): void => names.forEach((name) => headers.delete(name));
  let current = new Request(authorized, { redirect: "manual" });
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const canReplay = current.body === null;
    const { method, url } = current;
    const response = learn(await send(current), url);
    // The runtime followed none; some do not let it be said.
    if (hops > 0) Reflect.defineProperty(response, "redirected", { value: true });
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
      return { response, sawPass: headers.has("authorization") };
    }
    const next = new URL(location, url);
    const becomesGet =
      (response.status === 303 && method !== "HEAD") ||
      (response.status < 303 && method === "POST");
    // A body is not sent a second time to wherever the answer points.
    if (!becomesGet && !canReplay) return { response, sawPass: headers.has("authorization") };
    await response.body?.cancel();
    if (!/^https?:$/.test(next.protocol)) throw new TypeError("redirected to what is not HTTP");
    if (becomesGet) drop(OF_THE_BODY);
    const nextMethod = becomesGet ? "GET" : method;
    if (next.origin !== new URL(url).origin) drop(OF_THE_ORIGIN);
    // Once taken off, the token does not come back: where the way led outside, someone else chose
    // what comes next.
    if (headers.has("authorization")) {
      const nextPass = await unlessAborted(signal, () => source.passFor(nextMethod, next.href));
      // Somebody else signed in meanwhile: what was sent for one user goes on without the other's token.
      if (nextPass === undefined || !isSameUser(nextPass, pass)) {
        drop(["authorization", "dpop"]);
      } else {
        show(nextPass, headers);
      }
    }
    current = new Request(next, {
      ...besides,
      method: nextMethod,
      headers,
      redirect: "manual",
      signal,
    });
  }
  throw new TypeError("redirected too often");
}
