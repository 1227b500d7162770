// Decides about requests: with a guard, against a fixed list of tokens, or not at all.

import { createHash, timingSafeEqual } from "node:crypto";

import { createGuard } from "gatepass/guard";
import { hasOneOfEach } from "./route.js";
import { makeSender } from "./send.js";
import { sharing } from "./shared-answers.js";
import type { Guard, GuardEvent, GuardOptions, Need, Principal, Tally } from "gatepass/guard";
import type { OneOf } from "./route.js";

/** What is shown of a request. */
export interface Shown {
  readonly authorization: string | undefined;
  readonly dpop?: string | undefined;
  readonly method: string;
  /** Absolute, as the client sees it. */
  readonly url: string;
}

export interface Decision {
  /** 200, or the status of the refusal. */
  readonly status: number;
  /** Absent where nobody in particular is let through. */
  readonly principal?: Principal;
  /** Why it was refused. */
  readonly code?: string;
  readonly hint?: string;
  /** What the client must be told. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Decider {
  decide(shown: Shown, need: Need, also?: readonly OneOf[]): Promise<Decision>;
  /** The document of RFC 9728, for its own paths. */
  metadata(method: string, url: string): Promise<Response | null>;
  tally(): Tally | undefined;
  /** Whether the provider can be asked at present. */
  isReady(): Promise<boolean>;
  dispose(): void;
}

export interface GuardSource {
  readonly options: GuardOptions;
  /** Where to ask when the issuer publishes nothing about itself. */
  readonly introspectAt?: string;
}

/** Lets everything through. */
export const openDecider: Decider = {
  decide: async () => ({ status: 200, headers: {} }),
  metadata: async () => null,
  tally: () => undefined,
  isReady: async () => true,
  dispose: () => {},
};

/** Compares with a list of tokens; how long that takes says nothing about them. */
export function staticDecider(tokens: readonly string[]): Decider {
  const known = tokens.map(digest);
  const refuse = (code: string, status: number, challenge: string): Decision => ({
    status,
    code,
    headers: { "www-authenticate": challenge },
  });
  return {
    ...openDecider,
    async decide({ authorization }) {
      const [, token] = /^bearer ([\w.~+/-]+=*)$/iu.exec(authorization ?? "") ?? [];
      if (token === undefined) {
        return /^bearer\b/iu.test(authorization ?? "")
          ? refuse("request_invalid", 400, 'Bearer error="invalid_request"')
          : refuse("credential_missing", 401, "Bearer");
      }
      const given = digest(token);
      // All of them, always.
      const isKnown = known.map((one) => timingSafeEqual(one, given)).includes(true);
      return isKnown
        ? { status: 200, headers: { vary: "Authorization" } }
        : refuse("token_inactive", 401, 'Bearer error="invalid_token"');
    },
  };
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/**
 * Asks a guard, which is made with the first request: starting needs no provider.
 *
 * @param onShared what to do when an answer came from another instance
 */
export function guardDecider(
  source: GuardSource,
  onEvent: (event: GuardEvent) => void,
  onShared: () => void = () => {},
): Decider {
  const sender = makeSender();
  const options: GuardOptions = {
    ...sharing(source.options, sender.fetch, { shared: onShared, event: onEvent }),
    onEvent,
  };
  let guard: Guard | undefined;
  let making: Promise<Guard> | undefined;
  const make = async (): Promise<Guard> => {
    guard = await createGuard(
      source.introspectAt === undefined ? options : await withoutMetadata(options, source),
    );
    return guard;
  };
  const ready = (): Guard | Promise<Guard> =>
    guard ??
    (making ??= make().finally(() => {
      making = undefined;
    }));

  const decide = async (shown: Shown, need: Need, also: readonly OneOf[]): Promise<Decision> => {
    let asked: Guard;
    try {
      asked = await ready();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return AWAY;
    }
    const { method, url } = shown;
    const predicate = (principal: Principal): boolean => hasOneOfEach(principal, also);
    const needed = also.length > 0 ? { ...need, predicate } : need;
    const checked = await asked.check({ headers: headersOf(shown), method, url }, needed);
    if (checked.principal) {
      const { principal, dpopNonce, vary } = checked;
      return {
        status: 200,
        principal,
        headers: { vary, ...(dpopNonce !== undefined && { "dpop-nonce": dpopNonce }) },
      };
    }
    const { refusal, response } = checked;
    const { status, code, hint } = refusal;
    return {
      status,
      code,
      hint,
      headers: Object.fromEntries(response.headers),
    };
  };

  /** Decisions under way: who shows the same token for the same need waits for the same answer. */
  const underWay = new Map<string, Promise<Decision>>();
  const shared = (shown: Shown, need: Need, also: readonly OneOf[] = []): Promise<Decision> => {
    // A proof of possession is for one request alone.
    if (shown.dpop !== undefined || shown.authorization === undefined)
      return decide(shown, need, also);
    const key = `${JSON.stringify([need, also])}\n${shown.authorization}`;
    const known = underWay.get(key);
    if (known) return known;
    const decision = decide(shown, need, also).finally(() => underWay.delete(key));
    underWay.set(key, decision);
    return decision;
  };

  const isReady = async (): Promise<boolean> => {
    try {
      await ready();
      const found = await reach(options);
      if (found === undefined) return false;
      const { introspection, issuer, secret } = options;
      // Of several providers, or of all tenants of one, there is no one set of keys.
      const isOne = typeof issuer === "string" && !issuer.includes("{");
      const needsKeys = isOne && introspection === undefined && secret === undefined;
      return !needsKeys || (await hasKeys(options, found));
    } catch {
      return false;
    }
  };
  let readiness: { readonly asked: number; readonly answer: Promise<boolean> } | undefined;

  return {
    decide: shared,
    async metadata(method, url) {
      if (options.resource === undefined) return null;
      try {
        return (await ready()).metadata({ method, url });
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        const { status, headers } = AWAY;
        return new Response(null, { status, headers: { ...headers, "cache-control": "no-store" } });
      }
    },
    tally: () => guard?.tally(),
    isReady() {
      const now = performance.now();
      if (readiness === undefined || now - readiness.asked > READY_FOR) {
        readiness = { asked: now, answer: isReady() };
      }
      return readiness.answer;
    },
    dispose() {
      guard?.dispose();
      sender.close();
    },
  };
}

/** As little as the guard looks at; the runtime's own Headers cost more than the whole decision. */
function headersOf({ authorization, dpop }: Shown): Headers {
  const known: Readonly<Record<string, string | undefined>> = { authorization, dpop };
  const headers: Pick<Headers, "get" | "has"> = {
    get: (name) => known[name.toLowerCase()] ?? null,
    has: (name) => known[name.toLowerCase()] !== undefined,
  };
  return headers as Headers;
}

/** For how long an answer about readiness holds, in milliseconds: anybody may ask. */
const READY_FOR = 1000;

/** The provider did not say whether it publishes metadata. */
class Unreachable extends Error {}

const AWAY: Decision = {
  status: 503,
  code: "upstream_unreachable",
  headers: { "retry-after": "1" },
};

/** Where an issuer's metadata is: OpenID Connect Discovery 4, RFC 8414 section 3. */
function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/u, "");
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

/** What a provider publishes of itself: nothing that can be read where there is no `metadata`. */
interface Reached {
  readonly status: 200 | 404;
  readonly metadata?: unknown;
}

/** What the first address that has metadata says, 404 where none has, nothing without an answer. */
async function reach(options: GuardOptions): Promise<Reached | undefined> {
  const { issuer } = options;
  if (typeof issuer !== "string") return { status: 200, metadata: issuer };
  for (const url of metadataUrls(issuer)) {
    const answer = await ask(options, url);
    if (answer?.status === 200) return { status: 200, metadata: answer.body };
    if (!answer || answer.status >= 500 || answer.status === 429) return undefined;
  }
  return { status: 404 };
}

/** Status and JSON of an answer; nothing without one. */
async function ask(
  { timeout = 5, fetch: send = fetch }: GuardOptions,
  url: string,
): Promise<{ readonly status: number; readonly body?: unknown } | undefined> {
  try {
    const response = await send(url, {
      redirect: "manual",
      signal: AbortSignal.timeout(timeout * 1000),
    });
    // Read to the end, so that the connection can be used again.
    const bytes = await response.arrayBuffer();
    const { status } = response;
    try {
      return { status, body: JSON.parse(new TextDecoder().decode(bytes)) as unknown };
    } catch {
      return { status };
    }
  } catch {
    return undefined;
  }
}

/** Whether the keys are there that tokens are checked with. */
async function hasKeys(options: GuardOptions, { metadata }: Reached): Promise<boolean> {
  const { issuer, jwks, jwks_uri } = (metadata ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof options.issuer === "string" && issuer !== options.issuer) return false;
  if (jwks !== undefined) return true;
  if (typeof jwks_uri !== "string") return false;
  const answer = await ask(options, jwks_uri);
  const { keys } = (answer?.body ?? {}) as { readonly keys?: unknown };
  return answer?.status === 200 && Array.isArray(keys);
}

/** For servers that have an introspection endpoint and publish nothing. */
async function withoutMetadata(
  options: GuardOptions,
  { introspectAt }: GuardSource,
): Promise<GuardOptions> {
  const reached = await reach(options);
  if (reached === undefined) throw new Unreachable();
  const { status } = reached;
  const { introspection, issuer } = options;
  if (status === 200 || introspectAt === undefined || typeof issuer !== "string") return options;
  return {
    ...options,
    issuer: { issuer },
    introspection: { ...introspection, endpoint: introspectAt },
  };
}
