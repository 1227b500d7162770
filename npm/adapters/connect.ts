/**
 * Interceptors for Connect, gRPC and gRPC-Web (`@connectrpc/connect`): one for clients, one for
 * servers.
 *
 * @packageDocumentation
 */
import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type {
  ContextKey,
  Interceptor,
  StreamRequest,
  StreamResponse,
  UnaryRequest,
  UnaryResponse,
} from "@connectrpc/connect";

import type { Client } from "../lib/client.js";
import { GatepassError } from "../lib/errors.js";
import type { Principal, Refusal } from "../lib/guard.js";
import { type GuardSource, type GuardedOptions, madeOnce } from "./guard-source.js";

export type { GuardSource, GuardedOptions } from "./guard-source.js";

type AnyRequest = UnaryRequest | StreamRequest;
type AnyResponse = UnaryResponse | StreamResponse;
type Message = UnaryRequest["message"];

/** What the interceptor asks of a client. */
export type TokenClient = Pick<Client, "tokenFor" | "refresh"> & Partial<Pick<Client, "user">>;

/**
 * For a transport's `interceptors`: adds the access token to calls whose URL is of the client's
 * `allowedOrigins`, and to no others. A call that ends with `unauthenticated` is sent once more, after
 * the token was renewed once for all calls that need it. An `Authorization` header of yours stays.
 *
 * Calls with one request are sent again (unary and server streaming, the latter if no message came
 * yet). Client streams are not: what was read from them is gone.
 *
 * Rejects with a `ConnectError` whose `cause` is the {@link GatepassError}: `unauthenticated` where the
 * user has to sign in, `unavailable` where the provider cannot be reached.
 *
 * Not for a client with `dpop`: its tokens are of no use without a proof for each request, and what a
 * transport sends in the end (a GET, say) is not known here.
 *
 * @throws {@link GatepassError} `config_invalid` at `dpop`.
 */
export function authorized(client: TokenClient): Interceptor {
  if ((client as { readonly isBound?: unknown }).isBound === true) throw bound();
  return (next) => async (request) => {
    if (request.header.has("authorization")) return next(request);
    const token = await asConnect(() => client.tokenFor(request.url));
    if (token === undefined) return next(request);
    const user = client.user?.()?.sub;
    request.header.set("authorization", `Bearer ${token}`);

    const again = await replayable(request);
    if (!again) return next(request);
    try {
      return await begun(await next(again()));
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unauthenticated) throw error;
      const renewed = await asConnect(() => renew(client, request.url, token));
      // What was sent for one user is not sent again for another.
      if (renewed === undefined || client.user?.()?.sub !== user) throw error;
      request.header.set("authorization", `Bearer ${renewed}`);
      return next(again());
    }
  };
}

function bound(): GatepassError {
  return new GatepassError({
    code: "config_invalid",
    phase: "config",
    retryable: false,
    at: "dpop",
    hint: "The interceptor makes no proofs for tokens that are bound to a key; give it a client without dpop.",
  });
}

/** The token after `used` was refused; somebody may have renewed it since. */
async function renew(client: TokenClient, url: string, used: string): Promise<string | undefined> {
  const current = await client.tokenFor(url);
  if (current !== used) return current;
  await client.refresh();
  return client.tokenFor(url);
}

/** What gives the same request each time; nothing for requests that can be read once. */
async function replayable(request: AnyRequest): Promise<(() => AnyRequest) | undefined> {
  if (!request.stream) return () => request;
  if (request.method.methodKind !== "server_streaming") return undefined;
  const messages: Message[] = [];
  for await (const message of request.message) messages.push(message);
  return () => ({ ...request, message: each(messages) });
}

/** A response that has begun: of a stream that is refused the first message says so. */
async function begun(response: AnyResponse): Promise<AnyResponse> {
  if (!response.stream) return response;
  const messages = response.message[Symbol.asyncIterator]();
  const first = await messages.next();
  return { ...response, message: rejoined(first, messages) };
}

async function* each(messages: readonly Message[]): AsyncGenerator<Message> {
  yield* messages;
}

async function* rejoined(
  first: IteratorResult<Message>,
  rest: AsyncIterator<Message>,
): AsyncGenerator<Message> {
  try {
    for (let next = first; !next.done; next = await rest.next()) yield next.value;
  } finally {
    // Also when nobody reads on: the call ends then.
    await rest.return?.();
  }
}

/** Says what a client rejects as Connect says it. */
async function asConnect<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GatepassError)) throw error;
    const code = error.retryable ? Code.Unavailable : Code.Unauthenticated;
    throw new ConnectError(error.code, code, undefined, undefined, error);
  }
}

/** Where handlers find the bearer: `context.values.get(principalKey)`. */
export const principalKey: ContextKey<Principal | undefined> = createContextKey<
  Principal | undefined
>(undefined, { description: "gatepass principal" });

/**
 * For a server's `interceptors`: lets calls pass that carry a good access token (RFC 6750, RFC 9068).
 * Others end with `unauthenticated`, `permission_denied`, `unavailable` or `invalid_argument`, with
 * `www-authenticate` and the like as metadata. Handlers find the bearer under {@link principalKey}.
 *
 * DPoP sees the call's URL; behind a proxy, and where calls come with any `Host`, it needs the guard's
 * `publicOrigin`. CORS is not its business: where pages call, name `WWW-Authenticate` and `DPoP-Nonce`
 * in the `exposedHeaders` of your middleware, whatever the guard's `exposeHeaders` says.
 */
export function guarded(
  source: GuardSource<AnyRequest>,
  options: GuardedOptions<AnyRequest> = {},
): Interceptor {
  const guard = madeOnce(source);
  return (next) => async (request) => {
    const { need, connection } = options;
    const { header, url, requestMethod } = request;
    const seen = { headers: header, url, method: requestMethod };
    const checked = await (await guard(request)).check(seen, need, connection?.(request));
    if (!checked.principal) throw asError(checked.refusal);
    request.contextValues.set(principalKey, checked.principal);
    const response = await next(request);
    // Calls may be GET requests, whose answers caches keep.
    response.header.append("vary", checked.vary);
    // RFC 9449 section 8.2: what the client's next proof must carry.
    if (checked.dpopNonce !== undefined) response.header.set("dpop-nonce", checked.dpopNonce);
    return response;
  };
}

const CODES: Readonly<Record<number, Code>> = {
  400: Code.InvalidArgument,
  401: Code.Unauthenticated,
  403: Code.PermissionDenied,
  503: Code.Unavailable,
};

/** A refusal as Connect says it; the client is told nothing that the challenge does not say. */
function asError({ status, challenge, retryAfter, dpopNonce }: Refusal): ConnectError {
  const metadata = new Headers();
  if (challenge !== undefined) metadata.set("www-authenticate", challenge);
  if (retryAfter !== undefined) metadata.set("retry-after", String(retryAfter));
  if (dpopNonce !== undefined) metadata.set("dpop-nonce", dpopNonce);
  return new ConnectError("refused", CODES[status] ?? Code.Unauthenticated, metadata);
}
