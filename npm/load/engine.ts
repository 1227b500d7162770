// Brings glue and WebAssembly together: lazily, once, and again after a failure.
//
// This file is part of the edge entries, so it must not contain the text of a call that compiles
// bytes: bundlers for edge runtimes refuse code in which they find one.

import { GatepassError } from "../lib/errors.js";

/** What wasm-bindgen's `bundler` glue offers to whoever instantiates the module. */
interface Glue {
  __wbg_set_wasm(exports: WebAssembly.Exports): void;
}

/** Makes an instance from the glue's imports. */
export type Load = (
  imports: WebAssembly.Imports,
) => WebAssembly.Exports | Promise<WebAssembly.Exports>;

export class Engine<G extends Glue> {
  readonly #glue: G;
  readonly #imports: WebAssembly.Imports;
  #load: Load | undefined;
  #loading: Promise<G> | undefined;
  #isReady = false;

  /** `file` is the glue's file name, under which the module imports from it. */
  constructor(glue: G, file: string) {
    this.#glue = glue;
    this.#imports = { [`./${file}`]: glue as unknown as WebAssembly.ModuleImports };
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
    if (this.#isReady) return this.#glue;
    if (this.#loading) return this.#loading;
    if (!this.#load) throw unavailable();
    const loaded = attempt(this.#load, this.#imports);
    if (!(loaded instanceof Promise)) return this.#attach(loaded);
    this.#loading = loaded.then(
      (exports) => this.#attach(exports),
      (cause: unknown) => {
        this.#loading = undefined;
        throw unavailable(cause);
      },
    );
    return this.#loading;
  }

  #attach(exports: WebAssembly.Exports): G {
    this.#glue.__wbg_set_wasm(exports);
    const start = exports["__wbindgen_start"];
    if (typeof start === "function") start();
    this.#isReady = true;
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
  return new GatepassError({
    code: "unsupported_host",
    phase: "config",
    retryable: false,
    at: "WebAssembly",
    hint: "WebAssembly cannot run here; a page needs 'wasm-unsafe-eval' in its Content-Security-Policy's script-src.",
    cause,
  });
}
