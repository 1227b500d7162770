// Children end with us, and what they print is kept.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { mustRun, run, tail } from "./process.mjs";

const folder = mkdtempSync(join(tmpdir(), "gatepass process "));
after(() => rmSync(folder, { recursive: true, force: true }));

const script = (/** @type {string} */ text) => ["-e", text];

test("output_and_exit_code_are_answered_and_logged", async () => {
  const log = join(folder, "a.log");
  const ended = await run(
    process.execPath,
    script("console.log(1); console.error(2); process.exit(3)"),
    { log },
  );
  assert.equal(ended.code, 3);
  assert.equal(ended.stdout, "1\n");
  assert.deepEqual(ended.output.trim().split("\n").sort(), ["1", "2"]);
  assert.match(readFileSync(log, "utf8"), /^\$ .*\n[12]\n[12]\n$/s);
});

test("a_program_that_does_not_exist_is_no_exception", async () => {
  assert.equal((await run(join(folder, "nothing"), [])).code, 127);
});

test("a_child_over_its_time_is_stopped", async () => {
  const started = performance.now();
  const ended = await run(process.execPath, script("setInterval(() => {}, 1000)"), {
    timeout: 200,
  });
  assert.notEqual(ended.code, 0);
  assert.ok(performance.now() - started < 5000);
});

test("a_failure_shows_the_tail_of_the_output", async () => {
  await assert.rejects(
    mustRun("It went wrong.", process.execPath, script("console.log('why'); process.exit(1)")),
    {
      name: "Failure",
      message: "It went wrong.",
      details: "why",
    },
  );
});

test("the_tail_is_the_last_lines_without_colour", () => {
  assert.equal(tail("a\nb\n\u001b[31mc\u001b[0m\n\n", 2), "b\nc");
});

for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  test(`grandchildren_end_with_us_on_${signal}`, async () => {
    // Parent (uses run) -> child -> grandchild, which tells its process number and would live on.
    const grandchild = "console.log(process.pid); setInterval(() => {}, 1000)";
    const child = `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(grandchild)}], { stdio: "inherit" })`;
    const log = join(folder, `${signal}.log`);
    const parent = spawn(process.execPath, [
      "--input-type=module",
      "-e",
      `import { run } from ${JSON.stringify(new URL("process.mjs", import.meta.url).href)};
       await run(process.execPath, ["-e", ${JSON.stringify(child)}], { log: ${JSON.stringify(log)} });
       console.log("not reached");`,
    ]);
    let printed = "";
    parent.stdout.on("data", (chunk) => (printed += chunk));
    const ended = new Promise((resolve) => parent.once("exit", (_, by) => resolve(by)));

    const pid = await waitForNumber(log);
    assert.doesNotThrow(() => process.kill(pid, 0), "the grandchild lives");
    parent.kill(signal);
    assert.equal(await ended, signal, "the parent dies by the signal it got");
    assert.equal(printed, "", "a stopped child is not reported as a failed one");
    assert.ok(await hasEnded(pid), "the grandchild ended as well");
  });
}

test("a_caller_with_a_signal_handler_of_its_own_goes_on", async () => {
  const parent = spawn(process.execPath, [
    "--input-type=module",
    "-e",
    `import { run } from ${JSON.stringify(new URL("process.mjs", import.meta.url).href)};
     process.on("SIGINT", () => {});
     setTimeout(() => process.kill(process.pid, "SIGINT"), 100);
     await run(process.execPath, ["-e", "setInterval(() => {}, 1000)"]).catch((error) => console.log(error.message));
     console.log("tidied up");`,
  ]);
  let printed = "";
  parent.stdout.on("data", (chunk) => (printed += chunk));
  assert.equal(await new Promise((resolve) => parent.once("close", resolve)), 0);
  assert.equal(printed, "Stopped.\ntidied up\n");
});

/**
 * A process that has ended but that nobody asked about yet (a zombie, in containers without a real
 * init) has ended.
 *
 * @param {number} pid
 */
async function hasEnded(pid) {
  for (let tries = 0; tries < 40; tries++) {
    try {
      process.kill(pid, 0);
      if (
        existsSync("/proc/self/status") &&
        /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
      )
        return true;
    } catch (error) {
      return ["ESRCH", "ENOENT"].includes(
        String(/** @type {NodeJS.ErrnoException} */ (error).code),
      );
    }
    await sleep(50);
  }
  return false;
}

/** @param {string} log */
async function waitForNumber(log) {
  for (let tries = 0; tries < 100; tries++) {
    await sleep(50);
    try {
      const line = /^(\d+)$/m.exec(readFileSync(log, "utf8"));
      if (line !== null) return Number(line[1]);
    } catch {
      // Not written yet.
    }
  }
  throw new Error("the grandchild did not start");
}
