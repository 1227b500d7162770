// Turns what binaryen's wasm2js makes of a .wasm file into a module that makes instances, for hosts
// that refuse WebAssembly. wasm2js itself writes a module that is one instance from its first line
// on: then loading it would already run it, and a second instance could not be made.

import { Failure } from "./failure.mjs";

const IMPORTS = /^import \* as \S+ from '[^']+';\n/gm;
const BASE64_DECODER = /^\s*var base64ReverseLookup = [\s\S]*?(?=^function initActiveSegments\()/m;
const SEGMENT = /base64DecodeToExistingUint8Array\(bufferView, (\d+), "([^"]*)"\);/g;
const TRAP = "function wasm2js_trap() { throw new Error('abort'); }";
const INSTANCE = /^var retasmFunc = asmFunc\(\{[\s\S]*$/m;

/**
 * @param {string} name of the .wasm file, for messages
 * @param {string} translated what wasm2js wrote
 * @returns {string} a module with `instantiate(imports)`, not minified
 */
export function fallbackModule(name, translated) {
  const replace = (
    /** @type {string} */ text,
    /** @type {string | RegExp} */ what,
    /** @type {string} */ by,
  ) => {
    const replaced = text.replace(what, () => by);
    if (replaced === text) {
      throw new Failure(
        `${name}: wasm2js writes something else than before, tools/lib/fallback.mjs does not find ${what}.`,
      );
    }
    return replaced;
  };
  let text = replace(translated, IMPORTS, "");
  text = replace(text, BASE64_DECODER, PUT);
  // Text is a better code for what is mostly text: base64 costs a quarter more after compression.
  text = text.replace(
    SEGMENT,
    (_, at, base64) =>
      `put(${at}, ${JSON.stringify(Buffer.from(base64, "base64").toString("latin1"))});`,
  );
  text = replace(text, TRAP, TRAPPED);
  text = replace(text, GROWN, DETACHED);
  text = replace(text, INSTANCE, "export const instantiate = asmFunc;\n");
  if (/base64Decode|retasmFunc|^import /m.test(text)) {
    throw new Failure(`${name}: tools/lib/fallback.mjs leaves something of wasm2js behind.`);
  }
  return text;
}

const PUT = `function put(at, text) {
  for (var i = 0; i < text.length; i++) bufferView[at + i] = text.charCodeAt(i);
}
`;

const GROWN = /^ {3}buffer = newBuffer;\n/m;

/**
 * WebAssembly takes the memory that was outgrown away from whoever still looks at it; wasm-bindgen's
 * glue goes by that and would read and write the old one for ever.
 */
const DETACHED = `   structuredClone(buffer, { transfer: [buffer] });
   buffer = newBuffer;
`;

/** What a trap of WebAssembly is called, so that whoever looks for one finds this one too. */
const TRAPPED = `function wasm2js_trap() {
  var error = new Error('unreachable');
  error.name = 'RuntimeError';
  throw error;
}`;

export const fallbackModuleTypes = `/** Makes an instance of the module as it was translated to JavaScript; its exports. */
export declare function instantiate(imports: WebAssembly.Imports): WebAssembly.Exports;
`;
