// A suite's number is read right, and a suite without a number fails.

import assert from "node:assert/strict";
import { test } from "node:test";

import { count } from "./count.mjs";

const CARGO = `
running 2 tests
test a ... ok
test b ... ignored, needs a network
test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 4 passed; 0 failed; 0 ignored; 0 filtered out; finished in 0.12s
`;

const NODE = `✔ one (0.5ms)
﹣ two (0.1ms) # not on this system
ℹ tests 2
ℹ pass 1
ℹ fail 0
ℹ cancelled 0
ℹ skipped 1
ℹ todo 0
`;

test("cargo_results_of_all_programs_are_added", () => {
  const { passed, failed, skipped, skippedNames, complaint } = count("cargo", 0, CARGO);
  assert.deepEqual([passed, failed, skipped, complaint], [5, 0, 1, ""]);
  assert.deepEqual(skippedNames, ["b: needs a network"]);
});

test("a_failed_cargo_test_is_counted", () => {
  const output = CARGO.replace("ok. 4 passed; 0 failed", "FAILED. 3 passed; 1 failed");
  assert.deepEqual(
    [count("cargo", 101, output).passed, count("cargo", 101, output).failed],
    [4, 1],
  );
});

test("colours_do_not_hide_a_result", () => {
  assert.equal(count("cargo", 0, CARGO.replace("ok. 4", "\u001b[32mok\u001b[0m. 4")).passed, 5);
});

test("node_results_are_read", () => {
  const { passed, failed, skipped, skippedNames } = count("node", 0, NODE);
  assert.deepEqual([passed, failed, skipped], [1, 0, 1]);
  assert.deepEqual(skippedNames, ["two: not on this system"]);
});

test("a_cancelled_node_test_is_a_failed_one", () => {
  assert.equal(count("node", 1, NODE.replace("cancelled 0", "cancelled 2")).failed, 2);
});

test("a_closing_sum_is_read_from_the_last_line_that_is_one", () => {
  const { passed, failed, skipped } = count(
    "sum",
    0,
    "9 passed, 9 failed\nmore\n7 passed, 0 failed, 2 skipped\n",
  );
  assert.deepEqual([passed, failed, skipped], [7, 0, 2]);
});

test("a_check_counts_as_one", () => {
  assert.equal(count("check", 0, "").passed, 1);
  assert.equal(count("check", 2, "").failed, 1);
});

for (const counting of /** @type {const} */ (["cargo", "node", "sum"])) {
  test(`a_${counting}_suite_without_a_count_fails`, () => {
    const { failed, complaint } = count(counting, 0, "all fine, really");
    assert.equal(failed, 1);
    assert.match(complaint, /no count/);
  });
}

test("a_suite_that_ran_no_test_fails", () => {
  const { failed, complaint } = count(
    "cargo",
    0,
    "test result: ok. 0 passed; 0 failed; 0 ignored;",
  );
  assert.equal(failed, 1);
  assert.match(complaint, /ran no test/);
});

test("an_exit_code_without_a_failed_test_fails", () => {
  const { passed, failed, complaint } = count("cargo", 101, CARGO);
  assert.deepEqual([passed, failed], [5, 1]);
  assert.match(complaint, /exit code 101/);
});
