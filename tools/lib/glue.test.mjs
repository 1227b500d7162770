// Glue becomes a function that makes glue, and another glue than is known is refused.

import assert from "node:assert/strict";
import { test } from "node:test";

import { glueModule } from "./glue.mjs";

const GLUE = `export class Guard {
    check() { return wasm.check(); }
}
export function __wbg_now() { return 1; }
function wasm_bindgen__convert__closures_____invoke__h1(arg0, arg1) {
    wasm.invoke(arg0, arg1);
}
export const callback = wasm_bindgen__convert__closures_____invoke__h1;
let wasm;
export function __wbg_set_wasm(val) {
    wasm = val;
}
`;

const KNOWN = GLUE.replace("export const callback", "const callback").replace(
  "__wbg_now() { return 1; }",
  "__wbg_now() { return callback; }",
);

test("each call makes glue with an instance of its own", async () => {
  const module = glueModule("x.wasm", KNOWN);
  const { makeGlue } = await import(`data:text/javascript,${encodeURIComponent(module)}`);
  const [one, two] = [makeGlue(), makeGlue()];
  one.__wbg_set_wasm({ check: () => "one" });
  two.__wbg_set_wasm({ check: () => "two" });
  assert.deepEqual([new one.Guard().check(), new two.Guard().check()], ["one", "two"]);
  assert.notEqual(one.Guard, two.Guard);
});

test("what the host calls back goes through the hands of whoever made the glue", async () => {
  const module = glueModule("x.wasm", KNOWN);
  const { makeGlue } = await import(`data:text/javascript,${encodeURIComponent(module)}`);
  /** @type {unknown[]} */
  const seen = [];
  const glue = makeGlue((/** @type {() => void} */ callback) => {
    seen.push("before");
    callback();
  });
  glue.__wbg_set_wasm({ invoke: (/** @type {unknown[]} */ ...args) => seen.push(args) });
  glue.__wbg_now()(7, 8);
  assert.deepEqual(seen, ["before", [7, 8]]);
});

test("an export of another kind, and glue without its setter, are refused", () => {
  assert.throws(() => glueModule("x.wasm", GLUE), /another glue than before/);
  assert.throws(
    () => glueModule("x.wasm", KNOWN.replace("__wbg_set_wasm", "__set")),
    /another glue than before/,
  );
  // rustc can write names in another way too.
  assert.throws(
    () => glueModule("x.wasm", KNOWN.replaceAll("wasm_bindgen__", "wasm_bindgen_4bce___")),
    /another glue than before/,
  );
});
