// Brings glue and WebAssembly together: lazily, once, and again after a failure or a trap.
//
// This file is part of the edge entries, so it must not contain the text of a call that compiles
// bytes: bundlers for edge runtimes refuse code in which they find one.

import { GatepassError, crashed } from "../lib/errors.js";

/** What wasm-bindgen's `bundler` glue offers to whoever instantiates the module. */
export interface Glue {
  __wbg_set_wasm(exports: WebAssembly.Exports): void;
}

/** Makes the glue of one instance; `outlived` runs what the host calls. */
type MakeGlue<G> = (outlived: (callback: () => unknown) => unknown) => G;

/** What runs: WebAssembly, or its translation to JavaScript. */
export type EngineKind = "wasm" | "js";

/** An instance and what it is. */
export interface Loaded {
  readonly exports: WebAssembly.Exports;
  readonly kind: EngineKind;
}

/** Makes an instance from the glue's imports; a new one at each call. */
export type Load = (imports: WebAssembly.Imports) => Loaded | Promise<Loaded>;

/** What entries bring, from the least to the most; at first `slim` brings nothing. */
const BROUGHT: readonly (EngineKind | undefined)[] = [undefined, "js", "wasm"];

export class Engine<G extends Glue> {
  readonly #make: MakeGlue<G>;
  readonly #file: string;
  #load: Load | undefined;
  #rank = 0;
  #loading: Promise<G> | undefined;
  #kind: EngineKind | undefined;
  #life: Life | undefined;
  #glue: G | undefined;

  /** `file` is the glue's file name, under which the module imports from it. */
  constructor(make: MakeGlue<G>, file: string) {
    this.#make = make;
    this.#file = file;
  }

  /** What runs; nothing before it was loaded. */
  get kind(): EngineKind | undefined {
    return this.#kind;
  }

  /** The life of the instance whose glue was ready last. */
  get life(): Life {
    if (!this.#life) throw unavailable();
    return this.#life;
  }

  /**
   * Says where the instance comes from; every entry does so once. Several of them may be in one program,
   * imported in any order: none takes the place of one that brings more.
   */
  configure(load: Load, brings?: EngineKind): void {
    const rank = BROUGHT.indexOf(brings);
    if (rank < this.#rank) return;
    this.#rank = rank;
    this.#load = load;
  }

  /**
   * The glue, ready to be used. Where the instance comes at once, as on the edge, nothing is
   * awaited: a Worker's request must not await the promise of another one.
   */
  ready(): G | Promise<G> {
    if (this.#glue && !this.#life?.isOver) return this.#glue;
    if (this.#loading) return this.#loading;
    if (!this.#load) throw unavailable();
    const life = new Life();
    const glue = this.#make((callback) => life.outlived(callback));
    const imports = { [`./${this.#file}`]: glue as unknown as WebAssembly.ModuleImports };
    const loaded = attempt(this.#load, imports);
    if (!(loaded instanceof Promise)) return this.#attach(glue, life, loaded);
    this.#loading = loaded.then(
      (instance) => this.#attach(glue, life, instance),
      (cause: unknown) => {
        this.#loading = undefined;
        throw unavailable(cause);
      },
    );
    return this.#loading;
  }

  #attach(glue: G, life: Life, { exports, kind }: Loaded): G {
    const watched = life.watch(exports);
    glue.__wbg_set_wasm(watched);
    const start = watched["__wbindgen_start"];
    if (typeof start === "function") start();
    this.#glue = glue;
    this.#life = life;
    this.#kind = kind;
    this.#loading = undefined;
    return glue;
  }
}

type Call = (...args: unknown[]) => unknown;

/** What only keeps a number, and what is called with every token that comes again: neither traps. */
const UNWATCHED = /^(?:__wbindgen_(?:add|exn)|guard_recall$)/;

/** What the host calls when objects are gone; where there is no memory any more there is no need. */
const FREES = /^(?:__wbg_\w+_free$|__wbindgen_destroy_closure$)/;

/**
 * The life of one instance. It ends with a trap: a panic, memory that is not there, a stack that is
 * too deep. Then its memory is as it was left in the middle of something, so nothing runs in it again.
 */
export class Life {
  #cause: GatepassError | undefined;
  readonly #waiting = new Set<(cause: GatepassError) => void>();

  get isOver(): boolean {
    return this.#cause !== undefined;
  }

  /** Why it is over. */
  get cause(): GatepassError | undefined {
    return this.#cause;
  }

  /** What an instance offers, made so that whatever is thrown out of it ends its life. */
  watch(exports: WebAssembly.Exports): WebAssembly.Exports {
    const watched: WebAssembly.Exports = {};
    for (const [name, value] of Object.entries(exports)) {
      const isWatched = typeof value === "function" && !UNWATCHED.test(name);
      watched[name] = isWatched ? this.#watched(value as Call, FREES.test(name)) : value;
    }
    return watched;
  }

  #watched(inner: Call, frees: boolean): Call {
    return (...args) => {
      if (this.#cause) {
        if (frees) return undefined;
        throw this.#cause;
      }
      let result;
      try {
        result = inner(...args);
      } catch (thrown) {
        this.#end(thrown);
      }
      // Also where it ended within a call of the host.
      if (this.#cause && !frees) throw this.#cause;
      return result;
    };
  }

  /** Runs what the host calls: nothing when it is over, for nobody would hear of a failure. */
  outlived(callback: () => unknown): unknown {
    if (this.#cause) return undefined;
    try {
      return callback();
    } catch (thrown) {
      if (this.#cause) return undefined;
      throw thrown;
    }
  }

  /** A promise of the instance, which would wait for ever when the instance ends. */
  async of<T>(promise: Promise<T>): Promise<T> {
    let fail: (cause: GatepassError) => void = () => {};
    const end = new Promise<never>((_, reject) => {
      fail = reject;
    });
    if (this.#cause) fail(this.#cause);
    this.#waiting.add(fail);
    try {
      return await Promise.race([promise, end]);
    } finally {
      this.#waiting.delete(fail);
    }
  }

  #end(thrown: unknown): void {
    this.#cause ??= crashed(thrown);
    for (const fail of this.#waiting) fail(this.#cause);
    this.#waiting.clear();
  }
}

function attempt(load: Load, imports: WebAssembly.Imports): ReturnType<Load> {
  try {
    return load(imports);
  } catch (cause) {
    throw unavailable(cause);
  }
}

function unavailable(cause?: unknown): GatepassError {
  if (cause instanceof GatepassError) return cause;
  return new GatepassError({
    code: "unsupported_host",
    phase: "config",
    retryable: false,
    at: "WebAssembly",
    hint: "Neither WebAssembly nor its translation could be loaded; the cause says why.",
    cause,
  });
}
