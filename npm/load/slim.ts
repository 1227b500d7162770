// Makes an instance from a module that the program brings.

import { GatepassError } from "../lib/errors.js";
import type { EngineKind, Load } from "./engine.js";

/** A module of this package's WebAssembly, its bytes, or the response that carries them. */
export type GivenModule = WebAssembly.Module | BufferSource | Response;

/** Until there is a module. */
export const given: Load = () => {
  throw missing();
};

function missing(): GatepassError {
  return new GatepassError({
    code: "config_invalid",
    phase: "config",
    retryable: false,
    at: "init",
    hint: "Call init() of this entry with the package's WebAssembly first: a module, its bytes or a response.",
  });
}

/** What is configured of an engine, whatever its glue. */
interface Configurable {
  readonly kind: EngineKind | undefined;
  configure(load: Load, brings?: EngineKind): void;
  ready(): unknown;
}

export async function slim(
  engine: Configurable,
  module: GivenModule | PromiseLike<GivenModule>,
): Promise<void> {
  if (engine.kind !== undefined) return;
  let compiled: Promise<WebAssembly.Module> | undefined;
  engine.configure(async (imports) => {
    compiled ??= compile(module);
    const instance = await WebAssembly.instantiate(await compiled, imports);
    return { exports: instance.exports, kind: "wasm" };
  }, "wasm");
  await engine.ready();
}

async function compile(given: GivenModule | PromiseLike<GivenModule>): Promise<WebAssembly.Module> {
  const module = await given;
  // An address is none, for one: TypeScript cannot tell a module from it.
  if (typeof module !== "object" || module === null) throw missing();
  if ("arrayBuffer" in module && typeof module.arrayBuffer === "function") {
    return WebAssembly.compile(await module.arrayBuffer());
  }
  // By its shape, not by its class: edge runtimes hand over modules of another realm.
  const isBytes = ArrayBuffer.isView(module) || "byteLength" in module;
  return isBytes ? WebAssembly.compile(module as BufferSource) : (module as WebAssembly.Module);
}
