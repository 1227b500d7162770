// A module of the package, altered so that it can be made to panic: nothing that comes from outside
// makes it do so.

import assert from "node:assert/strict";

import binaryen from "binaryen";

/** Texts of these lengths make the altered core panic: at once, or when the host calls it next. */
export const PANICS_AT_ONCE = "x".repeat(7);
export const PANICS_LATER = "x".repeat(8);

const CALLBACK = /^wasm_bindgen__convert__closures_____invoke__/;

/**
 * @param {Uint8Array} wasm
 * @param {Record<string, { param: number, more?: string }>} triggers exported functions that panic, by
 *   which of their parameters is the length of the text, and what else stands in that text
 */
export function panicking(wasm, triggers) {
  const module = binaryen.readBinary(wasm);
  const { Features, i32 } = binaryen;
  const { BulkMemory, BulkMemoryOpt, MutableGlobals, NontrappingFPToInt, SignExt } = Features;
  module.setFeatures(BulkMemory | BulkMemoryOpt | MutableGlobals | NontrappingFPToInt | SignExt);
  module.addGlobal("armed", i32, true, module.i32.const(0));
  /** Puts something before an exported function. */
  const prepend = (exported, body) => {
    const info = binaryen.getFunctionInfo(module.getFunction(exported.value));
    const params = binaryen.expandType(info.params);
    const args = params.map((type, index) => module.local.get(index, type));
    const name = `before ${exported.name}`;
    module.addFunction(
      name,
      info.params,
      info.results,
      [],
      module.block(null, [...body, module.call(info.name, args, info.results)], info.results),
    );
    module.removeExport(exported.name);
    module.addFunctionExport(name, exported.name);
  };
  const exports = Array.from({ length: module.getNumExports() }, (_, index) =>
    binaryen.getExportInfo(module.getExportByIndex(index)),
  );
  const isArmed = () => module.global.get("armed", i32);
  const found = new Set();
  let callbacks = 0;
  for (const exported of exports) {
    const trigger = triggers[exported.name];
    if (trigger) {
      found.add(exported.name);
      const { param, more = "" } = trigger;
      const is = (text) =>
        module.i32.eq(module.local.get(param, i32), module.i32.const((more + text).length));
      prepend(exported, [
        module.if(is(PANICS_AT_ONCE), module.unreachable()),
        module.if(is(PANICS_LATER), module.global.set("armed", module.i32.const(1))),
      ]);
    } else if (CALLBACK.test(exported.name)) {
      callbacks++;
      prepend(exported, [module.if(isArmed(), module.unreachable())]);
    }
  }
  assert.deepEqual([...found].sort(), Object.keys(triggers).sort());
  assert.ok(callbacks > 0);
  const binary = module.emitBinary();
  module.dispose();
  return binary;
}
