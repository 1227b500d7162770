// --config-test: whether a configuration is good, for people and programs.

import type { Call, Flag } from "./command.js";
import { Failure, describe } from "./failure.js";
import { plain } from "./terminal.js";

export const CONFIG_TEST = {
  name: "config-test",
  help: "Says whether the configuration is good, asks nobody, and ends.",
} as const satisfies Flag;

/**
 * Answers the exit code.
 *
 * @param test fails with every mistake that there is
 */
export async function configTest(
  { flags, terminal }: Pick<Call, "flags" | "terminal">,
  test: () => Promise<void>,
): Promise<number> {
  const isJson = flags["json"] === true;
  try {
    await test();
  } catch (error) {
    if (!isJson || !(error instanceof Failure)) throw error;
    terminal.out(plain(JSON.stringify({ good: false, ...describe(error) })));
    return error.exitCode;
  }
  terminal.out(isJson ? JSON.stringify({ good: true }) : "The configuration is good.");
  return 0;
}
