// A Redis that several instances share, where one is configured.

import { redisSharedCache } from "gatepass/guard";
import type { NodeRedis, SharedCache } from "gatepass/guard";

import type { Configuration } from "./configuration.js";
import { misconfigured } from "./failure.js";

interface Shared {
  readonly url: string;
  readonly cache: SharedCache;
  close(): void;
}

/** What is used of `@redis/client`. */
interface Client extends NodeRedis {
  on(event: "error", listener: () => void): unknown;
  connect(): Promise<unknown>;
  destroy(): void;
}

interface Module {
  createClient(options: object): Client;
}

const CONNECT_MS = 1000;
/** How often a connection that is not used is tried. */
const PING_MS = 1000;
/** Longer than between two tries, and shorter than nobody asks a Redis that was too slow. */
const SILENT_MS = 3000;
const PACKAGE = "@redis/client";

/** The Redis of a service: another one where its address was changed and read anew. */
export class RedisTier {
  #current: Shared | undefined;
  readonly #old = new Set<Shared>();

  /**
   * The cache that a configuration names, or none.
   *
   * @param graceMs how long decisions that are under way may use the one of before
   * @throws Failure where the address is none or the package is missing; the one of before stays
   */
  async use(configuration: Configuration, graceMs: number): Promise<SharedCache | undefined> {
    const url = configuration.text("redis");
    const before = this.#current;
    if (url === before?.url) return before?.cache;
    this.#current = url === undefined ? undefined : await open(configuration, url);
    if (before) {
      this.#old.add(before);
      setTimeout(() => this.#end(before), graceMs).unref();
    }
    return this.#current?.cache;
  }

  close(): void {
    for (const one of this.#old) this.#end(one);
    this.#current?.close();
  }

  #end(one: Shared): void {
    if (this.#old.delete(one)) one.close();
  }
}

/**
 * Reads the address and finds the package.
 *
 * @throws Failure where the address is none or the package is missing
 */
async function prepare(configuration: Configuration, url: string): Promise<Module> {
  const where = configuration.found("redis")?.where;
  if (!URL.canParse(url) || !/^rediss?:\/\//u.test(url)) {
    throw misconfigured(`${where}: redis must begin with redis:// or rediss://.`);
  }
  try {
    // By a name that no bundler follows: the package is optional.
    return (await import(PACKAGE)) as Module;
  } catch {
    throw misconfigured(
      `${where}: the package ${PACKAGE} is not installed. Run: npm install ${PACKAGE}`,
    );
  }
}

/** @throws Failure where a Redis is configured that could not be used; nothing is sent. */
export async function testRedis(configuration: Configuration): Promise<void> {
  const url = configuration.text("redis");
  if (url !== undefined) await prepare(configuration, url);
}

async function open(configuration: Configuration, url: string): Promise<Shared> {
  const { createClient } = await prepare(configuration, url);
  const client = createClient({
    url,
    // Without a queue: while it is away, the guard fetches the keys itself.
    disableOfflineQueue: true,
    // One that takes connections and is silent is left, with all that waits for it.
    pingInterval: PING_MS,
    socket: {
      connectTimeout: CONNECT_MS,
      socketTimeout: SILENT_MS,
      // Its own way ends for ever where a connection was silent.
      reconnectStrategy: (retries: number) => Math.min(50 * 2 ** retries, 2000) * Math.random(),
    },
  });
  // It connects again by itself; the guard tells of each time it was missed.
  client.on("error", () => {});
  // The first request may need what is there; one that does not answer stops nothing.
  const soon = new Promise((resolve) => setTimeout(resolve, CONNECT_MS).unref());
  await Promise.race([client.connect().catch(() => {}), soon]);
  return { url, cache: redisSharedCache(client), close: () => client.destroy() };
}
