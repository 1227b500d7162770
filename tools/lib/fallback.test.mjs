// What wasm2js writes is turned into a module that makes instances.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { fallbackModule } from "./fallback.mjs";
import { nodeModules, root } from "./paths.mjs";

const TEXT = `(module
  (import "./x_bg.js" "tell" (func $tell (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "text \\00\\ff\\22\\5c base64")
  (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "write") (param i32) (i32.store8 (i32.const 8) (local.get 0)) (call $tell (local.get 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "trap") unreachable))`;

/** @typedef {{ memory: { buffer: ArrayBuffer }, read(at: number): number, write(value: number): void, grow(): number, trap(): void }} Exports */

/** @type {string} */
let translated;
/** @type {(imports: object) => Exports} */
let instantiate;
before(async () => {
  const work = join(root, "target", "tmp", "fallback");
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, "x.wat"), TEXT);
  const tool = (/** @type {string} */ name, /** @type {string[]} */ ...args) =>
    execFileSync(join(nodeModules, ".bin", name), args, { cwd: work, stdio: "pipe" });
  tool("wasm-as", "x.wat", "-o", "x.wasm");
  tool("wasm2js", "x.wasm", "-o", "x.js");
  translated = readFileSync(join(work, "x.js"), "utf8");
  const module = fallbackModule("x.wasm", translated);
  ({ instantiate } = await import(`data:text/javascript,${encodeURIComponent(module)}`));
});

const make = (/** @type {number[]} */ told = []) =>
  instantiate({ "./x_bg.js": { tell: (/** @type {number} */ value) => told.push(value) } });

test("data_comes_through_byte_for_byte", () => {
  const { memory } = make();
  const bytes = new Uint8Array(memory.buffer, 8, 15);
  assert.equal(Buffer.from(bytes).toString("latin1"), 'text \0\u00ff"\\ base64'.slice(0, 15));
});

test("each_instance_has_a_memory_of_its_own", () => {
  /** @type {number[]} */
  const told = [];
  const [one, other] = [make(told), make(told)];
  one.write(1);
  other.write(2);
  assert.deepEqual([one.read(8), other.read(8)], [1, 2]);
  assert.deepEqual(told, [1, 2]);
});

test("memory_that_was_outgrown_is_detached", () => {
  const instance = make();
  const old = instance.memory.buffer;
  instance.write(7);
  assert.equal(instance.grow(), 1);
  assert.equal(old.byteLength, 0);
  assert.equal(instance.memory.buffer.byteLength, 2 * 65536);
  assert.equal(instance.read(8), 7);
});

test("a_trap_is_called_what_it_is_called_in_webassembly", () => {
  assert.throws(() => make().trap(), { name: "RuntimeError", message: "unreachable" });
});

test("what_is_not_understood_is_refused", () => {
  for (const part of ["asmFunc({", "'abort'", "base64ReverseLookup =", "buffer = newBuffer;"]) {
    assert.throws(() => fallbackModule("x.wasm", translated.replace(part, "other(")), {
      name: "Failure",
    });
  }
});
