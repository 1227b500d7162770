// Where guards of several isolates or servers share the keys that they fetched. Which keys are good,
// and for how long, is decided by the core each time.

/**
 * Keeps keys that were fetched, for every guard that shares it: a second tier behind each one's own.
 * Give it to {@link GuardOptions.sharedCache}.
 *
 * It is asked where a guard has no keys or their time is over, never for a key that is unknown and
 * never to renew. What comes back is read as strictly as an answer of the provider, must be about the
 * same issuer, and is good until it would have been good where it was fetched. One that throws, that
 * holds something else or that takes longer than a second changes nothing but the time that passes:
 * the keys are fetched then, and an `alert` tells of it.
 *
 * Whoever can write to it says which keys are good, so nobody else may.
 */
export interface SharedCache {
  /** The text under a name of up to 64 letters, digits, `-` and `_`; nothing when there is none. */
  get(key: string): string | null | undefined | Promise<string | null | undefined>;
  /**
   * Keeps a text for so many seconds; earlier and later ends do no harm. It is at most 16 KiB longer than
   * a set of keys may be: 528 KiB, or more with {@link GuardLimits.maxKeySetBytes}.
   */
  put(key: string, text: string, ttlSeconds: number): unknown;
}

/** What is needed of a Workers KV namespace. */
export interface KvNamespace {
  /** The text under a key. */
  get(key: string, type: "text"): Promise<string | null>;
  /** Keeps a text for so many seconds, at least 60. */
  put(key: string, text: string, options: { expirationTtl: number }): Promise<void>;
}

/** Keeps keys in Workers KV: for all of a Worker's locations, about a minute after they were put. */
export function kvSharedCache(namespace: KvNamespace): SharedCache {
  return {
    get: (key) => namespace.get(key, "text"),
    put: (key, text, ttlSeconds) => namespace.put(key, text, { expirationTtl: ttlSeconds }),
  };
}

/** What is needed of a `Cache`. */
export interface CacheLike {
  /** What is kept under a URL. */
  match(url: string): Promise<Response | undefined>;
  /** Keeps a response, for as long as its `Cache-Control` says. */
  put(url: string, response: Response): Promise<void>;
}

/**
 * Keeps keys in the Cache API: on Cloudflare for one location and on a custom domain only; without an
 * argument in `caches.default` there, and elsewhere in a cache named `gatepass`.
 *
 * @param cache for instance `caches.default`
 * @param origin under which entries are kept; nothing is ever sent there. @defaultValue an origin
 * that cannot exist
 */
export function cacheApiSharedCache(
  cache?: CacheLike,
  origin = "https://keys.gatepass.invalid",
): SharedCache {
  const at = (key: string): string => `${origin}/${key}`;
  return {
    async get(key) {
      const found = await (await (cache ?? hostCache())).match(at(key));
      return found?.text();
    },
    async put(key, text, ttlSeconds) {
      const headers = {
        "cache-control": `max-age=${ttlSeconds}`,
        "content-type": "application/json",
      };
      await (await (cache ?? hostCache())).put(at(key), new Response(text, { headers }));
    },
  };
}

/** Opened when it is used: at the top of a Worker nothing may be asked of it. */
function hostCache(): CacheLike | Promise<CacheLike> {
  const { caches } = globalThis as { caches?: { default?: CacheLike } & Partial<CacheStorage> };
  const opened = caches?.default ?? caches?.open?.("gatepass");
  if (!opened) throw new TypeError("there is no Cache API here");
  return opened;
}

/** What is needed of a node-redis client (`redis`, version 4 and later), which is connected. */
export interface NodeRedis {
  /** The text under a key. */
  get(key: string): Promise<unknown>;
  /** Keeps a text for so many seconds. */
  setEx(key: string, seconds: number, text: string): Promise<unknown>;
}

/** What is needed of an ioredis client. */
export interface IoRedis {
  /** The text under a key. */
  get(key: string): Promise<unknown>;
  /** Keeps a text for so many seconds. */
  setex(key: string, seconds: number, text: string): Promise<unknown>;
}

/**
 * Keeps keys where a client of the Redis protocol does: node-redis, ioredis, or what looks like one.
 * A client that reads JSON by itself (`@upstash/redis`) needs `automaticDeserialization: false`.
 */
export function redisSharedCache(client: NodeRedis | IoRedis): SharedCache {
  return {
    get: (key) => client.get(key) as Promise<string | null>,
    // SETEX is SET with EX, and the one way to write it that clients have in common.
    put: (key, text, ttlSeconds) =>
      "setEx" in client ? client.setEx(key, ttlSeconds, text) : client.setex(key, ttlSeconds, text),
  };
}
