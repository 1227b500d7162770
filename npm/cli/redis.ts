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

const CONNECT_MS = 1000;
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

async function open(configuration: Configuration, url: string): Promise<Shared> {
  const where = configuration.found("redis")?.where;
  if (!URL.canParse(url) || !/^rediss?:\/\//u.test(url)) {
    throw misconfigured(`${where}: redis must begin with redis:// or rediss://.`);
  }
  let createClient: (options: object) => Client;
  try {
    // By a name that no bundler follows: the package is optional.
    ({ createClient } = (await import(PACKAGE)) as { createClient: typeof createClient });
  } catch {
    throw misconfigured(`${where}: the package ${PACKAGE} is not installed.`);
  }
  // Without a queue: while it is away, the guard fetches the keys itself.
  const client = createClient({ url, disableOfflineQueue: true });
  // It connects again by itself; the guard tells of each time it was missed.
  client.on("error", () => {});
  // The first request may need what is there; one that does not answer stops nothing.
  const soon = new Promise((resolve) => setTimeout(resolve, CONNECT_MS).unref());
  await Promise.race([client.connect().catch(() => {}), soon]);
  return { url, cache: redisSharedCache(client), close: () => client.destroy() };
}
