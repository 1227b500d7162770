// Makes an instance of the translation to JavaScript, for hosts without WebAssembly.

import type { Load, Loaded } from "./engine.js";

/** What the build makes of a .wasm file. */
export interface Translated {
  instantiate(imports: WebAssembly.Imports): WebAssembly.Exports;
}

export function translation(translated: Translated, imports: WebAssembly.Imports): Loaded {
  return { exports: translated.instantiate(imports), kind: "js" };
}

export function fallback(translated: Translated): Load {
  return (imports) => translation(translated, imports);
}
