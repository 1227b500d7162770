// Reads how many tests ran from what a suite printed. A suite that should count and shows no count
// has failed: a check that cannot fail is a defect.

import { withoutColour } from "./terminal.mjs";

/**
 * How a suite tells its numbers.
 * - "cargo": libtest and wasm-bindgen-test, one "test result:" line per test program
 * - "node": node:test, one line per number at the end
 * - "sum": a closing line `N passed, N failed`, and a line `skipped: NAME: REASON` for each skipped
 * - "check": passes or fails as a whole, and counts as one
 *
 * @typedef {"cargo" | "node" | "sum" | "check"} Counting
 *
 * @typedef {object} Count
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} skippedNames each with its reason
 * @property {string} complaint why the suite failed although none of its tests did; else ""
 */

/**
 * @param {Counting} counting
 * @param {number} exitCode
 * @param {string} output
 * @returns {Count}
 */
export function count(counting, exitCode, output) {
  const lines = withoutColour(output).split(/\r?\n/);
  const found = counting === "check" ? undefined : READERS[counting](lines);
  const none = { passed: 0, failed: 0, skipped: 0, skippedNames: [], complaint: "" };

  if (counting === "check") return exitCode === 0 ? { ...none, passed: 1 } : { ...none, failed: 1 };
  if (found === undefined)
    return { ...none, failed: 1, complaint: "it printed no count of its tests" };
  if (exitCode !== 0 && found.failed === 0) {
    return { ...found, failed: 1, complaint: `it ended with exit code ${exitCode}` };
  }
  if (found.passed + found.failed === 0)
    return { ...found, failed: 1, complaint: "it ran no test" };
  return { ...found, complaint: "" };
}

/** @type {Record<Exclude<Counting, "check">, (lines: string[]) => Omit<Count, "complaint"> | undefined>} */
const READERS = {
  cargo(lines) {
    const sum = { passed: 0, failed: 0, skipped: 0, skippedNames: /** @type {string[]} */ ([]) };
    let seen = false;
    for (const line of lines) {
      const result = /^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
      if (result !== null) {
        seen = true;
        sum.passed += Number(result[1]);
        sum.failed += Number(result[2]);
        sum.skipped += Number(result[3]);
      }
      const ignored = /^test (.+?) \.\.\. ignored(?:, (.*))?$/.exec(line);
      if (ignored !== null) sum.skippedNames.push(skipLine(ignored[1], ignored[2]));
    }
    return seen ? sum : undefined;
  },

  node(lines) {
    const last = (/** @type {string} */ word) => {
      const line = lines.findLast((each) => new RegExp(`^[#ℹ] ${word} \\d+$`).test(each));
      return line === undefined ? undefined : Number(line.split(" ")[2]);
    };
    const passed = last("pass");
    const failed = last("fail");
    if (passed === undefined || failed === undefined) return undefined;
    // A test that was cancelled or left as "todo" did not pass.
    const skippedNames = lines.flatMap((line) => {
      const skipped = /^\s*(?:﹣|ok \d+ -) (.+?)(?: \([\d.]+ms\))? # (?:SKIP ?)?(.*)$/.exec(line);
      return skipped === null ? [] : [skipLine(skipped[1], skipped[2])];
    });
    return {
      passed,
      failed: failed + (last("cancelled") ?? 0),
      skipped: (last("skipped") ?? 0) + (last("todo") ?? 0),
      skippedNames,
    };
  },

  sum(lines) {
    const line = lines.findLast((each) => /^\d+ passed, \d+ failed(, \d+ skipped)?$/.test(each));
    if (line === undefined) return undefined;
    const [passed = 0, failed = 0, skipped = 0] = (line.match(/\d+/g) ?? []).map(Number);
    const skippedNames = lines.flatMap((each) => /^skipped: (.*)$/.exec(each)?.[1] ?? []);
    return { passed, failed, skipped, skippedNames };
  },
};

/**
 * @param {string | undefined} name
 * @param {string | undefined} reason
 */
function skipLine(name, reason) {
  return `${name}: ${reason === undefined || reason === "" ? "no reason given" : reason}`;
}
