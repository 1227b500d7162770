// What stands in an instance, and is made anew where the instance has died.

import { call, disposed } from "../lib/errors.js";
import type { Engine, Glue, Life } from "./engine.js";

/** How something is made in an instance, for the first time and each time that one has died. */
export interface Making<G, C> {
  /** Makes it; at once, because nothing may be awaited between the instance and its life. */
  readonly make: (glue: G, life: Life) => C;
  /** What it does before anybody uses it. */
  readonly begin?: (core: C) => Promise<unknown>;
  /** Is told that another one took the place of one that died. */
  readonly revived?: () => void;
}

interface Live<C> {
  readonly core: C;
  readonly life: Life;
}

export class Held<G extends Glue, C extends { free(): void }> {
  readonly #engine: Engine<G>;
  readonly #making: Making<G, C>;
  #live: Live<C> | undefined;

  private constructor(engine: Engine<G>, making: Making<G, C>) {
    this.#engine = engine;
    this.#making = making;
  }

  static async of<G extends Glue, C extends { free(): void }>(
    engine: Engine<G>,
    making: Making<G, C>,
  ): Promise<Held<G, C>> {
    const held = new Held(engine, making);
    held.#live = await held.#make();
    return held;
  }

  async #make(): Promise<Live<C>> {
    const glue = await this.#engine.ready();
    const { life } = this.#engine;
    const core = this.#making.make(glue, life);
    try {
      await life.of(Promise.resolve(this.#making.begin?.(core)));
      return { core, life };
    } catch (cause) {
      core.free();
      throw cause;
    }
  }

  get #alive(): Live<C> {
    if (!this.#live) throw disposed();
    return this.#live;
  }

  /**
   * For what must be answered at once.
   *
   * @throws why its instance died; the next one is under way then
   */
  get core(): C {
    const live = this.#alive;
    if (!live.life.isOver) return live.core;
    void this.#revive(live).catch(() => {});
    throw live.life.cause;
  }

  /**
   * Uses it: at once where it lives. What waits for its promise does not wait longer than its
   * instance lives.
   */
  use<T>(work: (core: C) => T | Promise<T>): Promise<T> {
    const run = ({ core, life }: Live<C>): T | Promise<T> => {
      const result = work(core);
      return result instanceof Promise ? life.of(result) : result;
    };
    return call(() => {
      const live = this.#alive;
      return live.life.isOver ? this.#revive(live).then(run) : run(live);
    });
  }

  /**
   * The next one. Whoever comes together makes one each, and the first stays: in a Worker a request
   * must not wait for what another one began.
   */
  async #revive(dead: Live<C>): Promise<Live<C>> {
    const live = await this.#make();
    if (this.#live === dead) {
      this.#live = live;
      this.#making.revived?.();
      return live;
    }
    live.core.free();
    if (!this.#live) throw disposed();
    return this.#live;
  }

  get isDisposed(): boolean {
    return this.#live === undefined;
  }

  dispose(): void {
    this.#live?.core.free();
    this.#live = undefined;
  }
}
