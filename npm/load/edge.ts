// Makes an instance from a module that the runtime has compiled. `new WebAssembly.Instance` takes
// a module of any realm; wasm-bindgen's own loader asks `instanceof` and fails in some of them.

import type { Load } from "./engine.js";

export function edge(module: WebAssembly.Module): Load {
  return (imports) => ({
    exports: new WebAssembly.Instance(module, imports).exports,
    kind: "wasm",
  });
}
