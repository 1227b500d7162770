// Brings glue and WebAssembly together: lazily, once, and again after a failure.
//
// This file is part of the edge entries, so it must not contain the text of a call that compiles
// bytes: bundlers for edge runtimes refuse code in which they find one.

import { GatepassError } from "../lib/errors.js";

/** What wasm-bindgen's `bundler` glue offers to whoever instantiates the module. */
interface Glue {
  __wbg_set_wasm(exports: WebAssembly.Exports): void;
}

/** What runs: WebAssembly, or its translation to JavaScript. */
export type EngineKind = "wasm" | "js";

/** An instance and what it is. */
export interface Loaded {
  readonly exports: WebAssembly.Exports;
  readonly kind: EngineKind;
}

/** Makes an instance from the glue's imports; a new one at each call. */
export type Load = (imports: WebAssembly.Imports) => Loaded | Promise<Loaded>;

export class Engine<G extends Glue> {
  readonly #glue: G;
  readonly #imports: WebAssembly.Imports;
  #load: Load | undefined;
  #loading: Promise<G> | undefined;
  #kind: EngineKind | undefined;

  /** `file` is the glue's file name, under which the module imports from it. */
  constructor(glue: G, file: string) {
    this.#glue = glue;
    this.#imports = { [`./${file}`]: glue as unknown as WebAssembly.ModuleImports };
  }

  /** What runs; nothing before it was loaded. */
  get kind(): EngineKind | undefined {
    return this.#kind;
  }

  /** Says where the instance comes from; every entry does so once. */
  configure(load: Load): void {
    this.#load = load;
  }

  /**
   * The glue, ready to be used. Where the instance comes at once, as on the edge, nothing is
   * awaited: a Worker's request must not await the promise of another one.
   */
  ready(): G | Promise<G> {
    if (this.#kind !== undefined) return this.#glue;
    if (this.#loading) return this.#loading;
    if (!this.#load) throw unavailable();
    const loaded = attempt(this.#load, this.#imports);
    if (!(loaded instanceof Promise)) return this.#attach(loaded);
    this.#loading = loaded.then(
      (instance) => this.#attach(instance),
      (cause: unknown) => {
        this.#loading = undefined;
        throw unavailable(cause);
      },
    );
    return this.#loading;
  }

  #attach({ exports, kind }: Loaded): G {
    this.#glue.__wbg_set_wasm(exports);
    const start = exports["__wbindgen_start"];
    if (typeof start === "function") start();
    this.#kind = kind;
    this.#loading = undefined;
    return this.#glue;
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
