// The journey's checks: one line each as they happen, and a closing line that adds them up.

import { bold, dim, green, red } from "../lib/terminal.mjs";

export function createReport() {
  const started = performance.now();
  let passes = 0;
  let failures = 0;

  const passed = (statement) => {
    passes += 1;
    process.stdout.write(`  ${green("✓")} ${statement}\n`);
  };
  const failed = (statement, found) => {
    failures += 1;
    process.stdout.write(`  ${red("✗")} ${statement}\n      ${red(found)}\n`);
  };
  const judge = (good, statement, found) => (good ? passed(statement) : failed(statement, found));
  const quote = (value) => JSON.stringify(value) ?? String(value);

  return {
    title: (text) => process.stdout.write(`\n${bold(text)}\n`),
    passed,
    failed,
    equal: (statement, found, wanted) =>
      judge(found === wanted, statement, `found ${quote(found)}, wanted ${quote(wanted)}`),
    includes: (statement, text, part) =>
      judge(
        String(text).includes(part),
        statement,
        `found ${quote(text)}, wanted ${quote(part)} in it`,
      ),
    matches: (statement, text, pattern) =>
      judge(pattern.test(text), statement, `found ${quote(text)}, wanted ${pattern}`),
    contains: (statement, list, wanted) => {
      const missing = wanted.filter((word) => !list.includes(word));
      judge(missing.length === 0, statement, `found ${quote(list)}, missing ${quote(missing)}`);
    },
    close() {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      process.stdout.write(
        `\n${dim(`played in ${seconds} s`)}\n${passes} passed, ${failures} failed\n`,
      );
      return failures === 0;
    },
  };
}
