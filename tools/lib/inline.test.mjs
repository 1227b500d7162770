// The wasm survives being written as text.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { encode, inlineModule } from "./inline.mjs";

/** @param {Uint8Array} bytes */
async function decoded(bytes) {
  const source = inlineModule("x.wasm", bytes);
  return (await import(`data:text/javascript,${encodeURIComponent(source)}`)).wasmBytes();
}

/** Repeatable, so that a failure can be looked at (xorshift). */
function noise(/** @type {number} */ length, /** @type {number} */ seed) {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 24;
  });
}

test("every_byte_value_comes_back", async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  assert.deepEqual(await decoded(bytes), bytes);
});

test("nothing_comes_back_as_nothing", async () => {
  assert.deepEqual(await decoded(new Uint8Array(0)), new Uint8Array(0));
});

test("noise_of_any_length_comes_back", async () => {
  for (const length of [1, 2, 89, 90, 91, 255, 257, 1000, 40_000]) {
    const bytes = noise(length, length);
    assert.deepEqual(await decoded(bytes), bytes, `${length} bytes`);
  }
});

test("the_text_needs_no_escape_and_ends_no_script", () => {
  const { text } = encode(noise(40_000, 7));
  assert.match(text, /^[\x20-\x7e]*$/);
  assert.doesNotMatch(text, /["\\$`<]/);
});

test("frequent_bytes_take_one_character", () => {
  const { text } = encode(new Uint8Array(1000));
  assert.equal(text.length, 1000);
});

test("the_same_bytes_give_the_same_text", () => {
  assert.equal(inlineModule("x.wasm", noise(5000, 3)), inlineModule("x.wasm", noise(5000, 3)));
});

test("compressed_it_costs_little_more_than_the_bytes", () => {
  // Skewed like code is: few values make up most of it.
  const bytes = noise(60_000, 9).map((byte) => (byte > 60 ? byte % 24 : byte));
  const direct = gzipSync(bytes, { level: 9 }).length;
  const inlined = gzipSync(inlineModule("x.wasm", bytes), { level: 9 }).length;
  assert.ok(inlined < direct * 1.1, `${inlined} against ${direct} bytes`);
});
