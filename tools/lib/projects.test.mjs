// What stands in node_modules is what the lock file says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { strayedFrom } from "./projects.mjs";

const deno = { version: "2.9.6", integrity: "sha512-AAAA" };
const lock = { packages: { "": {}, "node_modules/deno": deno } };
const installed = (/** @type {Record<string, object>} */ packages) => ({ packages });

test("what_the_lock_file_names_has_not_strayed", () => {
  assert.deepEqual(strayedFrom(lock, installed({ "node_modules/deno": deno })), []);
});

test("another_version_another_content_and_what_nobody_named_have_strayed", () => {
  const other = { ...deno, version: "2.9.7" };
  const changed = { ...deno, integrity: "sha512-BBBB" };
  for (const [place, found] of /** @type {const} */ ([
    ["node_modules/deno", other],
    ["node_modules/deno", changed],
    ["node_modules/left-pad", deno],
  ])) {
    assert.deepEqual(strayedFrom(lock, installed({ [place]: found })), [place]);
  }
});

test("a_build_for_a_platform_that_the_lock_file_lacks_has_not_strayed", () => {
  const optional = { ...deno, optional: true };
  assert.deepEqual(
    strayedFrom(lock, installed({ "node_modules/@deno/darwin-arm64": optional })),
    [],
  );
});
