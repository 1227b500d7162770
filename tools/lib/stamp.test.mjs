// What changed is made again, and nothing else.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";

import { fingerprint, isUpToDate, remember } from "./stamp.mjs";

const folder = mkdtempSync(join(tmpdir(), "gatepass-stamp-"));
const source = join(folder, "src", "a.rs");
const output = join(folder, "out.js");
const stamp = join(folder, "stamps", "x.json");
const inputs = (/** @type {unknown} */ facts = 1) => fingerprint([join(folder, "src")], facts);

beforeEach(() => {
  mkdirSync(join(folder, "src"), { recursive: true });
  writeFileSync(source, "one");
  writeFileSync(output, "made");
  remember(stamp, inputs(), [output]);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("nothing_changed_is_up_to_date", () => assert.ok(isUpToDate(stamp, inputs())));

test("a_changed_source_is_noticed", () => {
  writeFileSync(source, "two");
  assert.ok(!isUpToDate(stamp, inputs()));
});

test("a_renamed_source_is_noticed", () => {
  rmSync(source);
  writeFileSync(join(folder, "src", "b.rs"), "one");
  assert.ok(!isUpToDate(stamp, inputs()));
  rmSync(join(folder, "src", "b.rs"));
});

test("a_changed_fact_is_noticed", () => assert.ok(!isUpToDate(stamp, inputs(2))));

test("an_edited_output_is_noticed", () => {
  writeFileSync(output, "edited");
  assert.ok(!isUpToDate(stamp, inputs()));
});

test("a_missing_output_is_noticed", () => {
  rmSync(output);
  assert.ok(!isUpToDate(stamp, inputs()));
});

test("a_broken_stamp_is_no_stamp", () => {
  writeFileSync(stamp, "{");
  assert.ok(!isUpToDate(stamp, inputs()));
});
