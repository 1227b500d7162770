// Answers of introspection that several instances share: sealed, under names that tell no token, and
// not for longer than one instance alone would use them.

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

import type { ErrorCode, GuardEvent, GuardOptions, SharedCache } from "gatepass/guard";
import { Answer } from "./send.js";

type Introspection = NonNullable<GuardOptions["introspection"]>;

/** For how long an answer is used where nothing is said, in seconds: the guard's own default. */
const TTL_S = 60;
/** A store that does not answer by then is left alone for a while. */
const WAIT_MS = 500;
const PAUSE_MS = 5000;
const NONCE = 12;
const TAG = 16;

/** Who is told what became of the store. */
export interface Listener {
  /** An answer came from there. */
  shared(): void;
  event(event: GuardEvent): void;
}

/**
 * The guard's options where instances share what the provider said: half of the time for which an
 * answer is used is spent in the store and half in each instance, so that together they are no more.
 *
 * @returns the options as they are where there is nothing to share
 */
export function sharing(
  options: GuardOptions,
  send: typeof fetch,
  listener: Listener,
): GuardOptions {
  const { introspection, sharedCache } = options;
  const secret = introspection?.clientSecret;
  const ttl = introspection?.cache?.ttl ?? TTL_S;
  if (!introspection || !sharedCache || typeof secret !== "string" || ttl < 2) {
    return { fetch: send, ...options };
  }
  const own = Math.floor(ttl / 2);
  return {
    ...options,
    introspection: { ...introspection, cache: { ...introspection.cache, ttl: own } },
    fetch: shareAnswers(options.fetch ?? send, sharedCache, {
      introspection,
      secret,
      ttl: ttl - own,
      listener,
    }),
  };
}

interface Terms {
  readonly introspection: Introspection;
  /** Whoever asks the provider has it, and nobody else can read or make an entry. */
  readonly secret: string;
  /** For how long an entry is good, in seconds. */
  readonly ttl: number;
  readonly listener: Listener;
}

/** Looks into the store before it asks. What comes back is checked by the core like any answer. */
function shareAnswers(send: typeof fetch, store: SharedCache, terms: Terms): typeof fetch {
  const { introspection, secret, ttl, listener } = terms;
  const secrets = { name: derive(secret, "gatepass name"), seal: derive(secret, "gatepass seal") };
  const unkept = [introspection.cache?.noCacheScopes ?? []].flat();
  const alert = (code: ErrorCode, hint: string): void =>
    listener.event({ type: "alert", code, hint });
  const reach = makeReach(() =>
    alert(
      "shared_cache_unavailable",
      "The Redis did not answer in time; the provider is asked about tokens instead, so check it.",
    ),
  );

  return (async (input: string, init: RequestInit = {}) => {
    const token = tokenOf(init);
    if (token === undefined) return send(input, init);
    // What a provider tells depends on who asks (RFC 7662 section 2.2).
    const about = JSON.stringify([String(input), introspection.clientId, token]);
    const name = createHmac("sha256", secrets.name).update(about).digest("base64url");
    const key = derive(secrets.seal, name);
    const kept = await reach(() => store.get(name));
    if (typeof kept === "string") {
      const known = open(key, kept);
      if (known && known.until > Date.now()) {
        listener.shared();
        return new Answer(200, { "content-type": JSON_TYPE }, known.text);
      }
      if (!known) {
        alert(
          "shared_cache_invalid",
          "What the Redis returned about a token was not sealed by an instance of this service; it is ignored, so check who else writes to it.",
        );
      }
    }

    const askedAt = Date.now();
    const response = await send(input, init);
    const isJson = JSON_PATTERN.test(response.headers.get("content-type") ?? "");
    if (response.status !== 200 || !isJson) return response;
    const bytes = Buffer.from(await response.arrayBuffer());
    const seconds = Math.min(ttl, lifeOf(bytes.toString("utf8"), unkept));
    if (seconds >= 1) {
      const until = askedAt + seconds * 1000;
      // Nobody waits for that.
      void reach(() => store.put(name, seal(key, until, bytes), seconds));
    }
    return new Answer(200, { "content-type": JSON_TYPE }, bytes);
  }) as unknown as typeof fetch;
}

const JSON_TYPE = "application/json";
const JSON_PATTERN = /^application\/json\s*(?:;|$)/iu;

const derive = (secret: string | Buffer, use: string): Buffer =>
  createHmac("sha256", secret).update(use).digest();

/** The token that is asked about, where this is such a question: the guard posts nothing else. */
function tokenOf({ method, body }: RequestInit): string | undefined {
  if (method !== "POST" || typeof body !== "string") return undefined;
  return new URLSearchParams(body).get("token") ?? undefined;
}

/** How many seconds the token has left that this answer is about; 0 where it is not to be kept. */
function lifeOf(text: string, unkept: readonly string[]): number {
  try {
    const { active, exp, scope = "" } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (active !== true || typeof scope !== "string") return 0;
    if (scope.split(" ").some((one) => unkept.includes(one))) return 0;
    if (exp === undefined) return Infinity;
    return typeof exp === "number" ? Math.floor(exp - Date.now() / 1000) : 0;
  } catch {
    return 0;
  }
}

/** The end stands inside: who can write to the store cannot bring back what is over. */
function seal(key: Buffer, until: number, text: Buffer): string {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const sealed = Buffer.concat([cipher.update(`${until}\n`), cipher.update(text), cipher.final()]);
  return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString("base64url");
}

/** What was sealed and until when it is good; nothing where somebody else wrote it. */
function open(key: Buffer, sealed: string): { until: number; text: Buffer } | undefined {
  try {
    const bytes = Buffer.from(sealed, "base64url");
    const cipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE), {
      authTagLength: TAG,
    });
    cipher.setAuthTag(bytes.subarray(-TAG));
    const plain = Buffer.concat([cipher.update(bytes.subarray(NONCE, -TAG)), cipher.final()]);
    const line = plain.indexOf("\n");
    return { until: Number(plain.subarray(0, line)), text: plain.subarray(line + 1) };
  } catch {
    return undefined;
  }
}

/** Calls the store, which changes nothing when it is away but the time that passes. */
function makeReach(
  onTrouble: () => void,
): <T>(work: () => T | Promise<T>) => Promise<T | undefined> {
  let pausedUntil = -Infinity;
  return async (work) => {
    if (performance.now() < pausedUntil) return undefined;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("late")), WAIT_MS);
    });
    try {
      return await Promise.race([work(), late]);
    } catch {
      const isFirst = performance.now() >= pausedUntil;
      pausedUntil = performance.now() + PAUSE_MS;
      if (isFirst) onTrouble();
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  };
}
