// A failure that a person can act upon: one sentence, no stack trace. Any other error is a defect
// of the tools and keeps its trace.

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

export class Failure extends Error {
  /**
   * @param {string} message one sentence that says what to do
   * @param {string} [details] for example the tail of a child's output
   */
  constructor(message, details = "") {
    super(message);
    this.name = "Failure";
    this.details = details;
  }
}

/**
 * Whether a file was started by itself, and not imported.
 *
 * @param {string} url its import.meta.url
 */
export function isMain(url) {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(url);
}

/**
 * Runs a tool's main function and turns its end into an exit code.
 *
 * @param {() => Promise<unknown>} main answers false for "ran, but did not succeed"
 */
export async function runMain(main) {
  try {
    if ((await main()) === false) process.exitCode = 1;
  } catch (error) {
    if (!isForPeople(error)) throw error;
    if (error instanceof Failure && error.details !== "") {
      process.stderr.write(`\n${error.details.trimEnd()}\n`);
    }
    process.stderr.write(`\n${error.message}\n`);
    process.exitCode = 1;
  }
}

/**
 * Besides our own failures those of the system, which say it themselves: no space left, permission
 * denied.
 *
 * @param {unknown} error
 * @returns {error is Error}
 */
function isForPeople(error) {
  return error instanceof Failure || (error instanceof Error && "syscall" in error);
}
