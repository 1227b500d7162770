// Two at the same time take turns, and the lock of a dead process holds nobody up.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { withLock } from "./lock.mjs";

const folder = mkdtempSync(join(tmpdir(), "gatepass-lock-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const nobody = () => assert.fail("nobody else holds the lock");

test("actions_under_one_lock_do_not_overlap", async () => {
  const path = join(folder, "turns.lock");
  /** @type {string[]} */
  const order = [];
  const work = (/** @type {string} */ name) => async () => {
    order.push(`${name} begins`);
    await sleep(30);
    order.push(`${name} ends`);
  };
  await Promise.all([withLock(path, () => {}, work("a")), withLock(path, () => {}, work("b"))]);
  assert.deepEqual(order, ["a begins", "a ends", "b begins", "b ends"]);
});

test("a_failing_action_frees_the_lock", async () => {
  const path = join(folder, "failing.lock");
  await assert.rejects(
    withLock(path, nobody, () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await withLock(path, nobody, async () => "free"), "free");
});

test("the_lock_of_a_dead_process_is_taken_over", async () => {
  const path = join(folder, "stale.lock");
  const { pid } = spawnSync(process.execPath, ["--version"]);
  writeFileSync(path, JSON.stringify({ pid, host: hostname() }));
  assert.equal(await withLock(path, nobody, async () => "taken"), "taken");
});

test("nothing_is_left_behind", async () => {
  await withLock(join(folder, "clean.lock"), nobody, async () => {});
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith("clean")),
    [],
  );
});
