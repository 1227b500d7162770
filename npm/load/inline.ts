// Makes an instance from bytes that stand in the script itself: nothing to fetch, nothing to
// configure in a bundler. Not for edge runtimes, which refuse to compile bytes.

import type { Load } from "./engine.js";

export function inline(bytes: () => Uint8Array): Load {
  return async (imports) => {
    const { instance } = await WebAssembly.instantiate(bytes() as BufferSource, imports);
    return instance.exports;
  };
}
