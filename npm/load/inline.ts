// Makes an instance from bytes that stand in the script itself: nothing to fetch, nothing to
// configure in a bundler. Not for edge runtimes, which refuse to compile bytes.

import type { Load, Loaded } from "./engine.js";
import { type Translated, translation } from "./fallback.js";

/** The shortest module there is: its first eight bytes. */
const EMPTY = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

/**
 * Where WebAssembly is missing or refused the translation is loaded, a chunk of its own. Only then:
 * whatever else fails is told.
 */
export function inline(bytes: () => BufferSource, load: () => Promise<Translated>): Load {
  let compiled: WebAssembly.Module | undefined;
  return async (imports): Promise<Loaded> => {
    if (typeof WebAssembly === "undefined") return translation(await load(), imports);
    try {
      compiled ??= await WebAssembly.compile(bytes());
    } catch (cause) {
      if (!(await isRefused())) throw cause;
      return translation(await load(), imports);
    }
    const { exports } = await WebAssembly.instantiate(compiled, imports);
    return { exports, kind: "wasm" };
  };
}

/**
 * Whether this host refuses every module, as pages do whose policy has no `'wasm-unsafe-eval'` and
 * edge runtimes that take compiled modules only. What hosts say when they refuse differs; whether
 * they take the empty module does not.
 */
async function isRefused(): Promise<boolean> {
  try {
    await WebAssembly.compile(EMPTY);
    return false;
  } catch {
    return true;
  }
}
