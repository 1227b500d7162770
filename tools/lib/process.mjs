// Child processes of the tools. Each child leads a process group of its own, so that when we are
// stopped (Ctrl-C, SIGTERM, the end of the terminal) everything it started ends with it: cargo and
// its rustc, wasm-pack and its Chromium.

import { spawn } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  statSync,
  writeSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";

import { Failure } from "./failure.mjs";
import { withoutColour } from "./terminal.mjs";

const STOP_SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** How long a stopped child may tidy up before it is killed. */
const GRACE_MS = 5000;

/** More output than this is kept in the log file only. */
const KEPT_OUTPUT = 4_000_000;

const TAIL_LINES = 40;

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();

/**
 * True from the moment we were told to stop: from then on no child's end is reported as a failure
 * of that child.
 */
let stopping = false;

/** @type {(() => void)[]} */
const interrupted = [];

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [log] file that gets the command line and everything the child prints
 * @property {boolean} [append] keep what the log holds already
 * @property {number} [timeout] milliseconds after which the child is stopped
 *
 * @typedef {object} Ended
 * @property {number} code the exit code; 1 where a signal ended the child, 127 where it could not be started
 * @property {string} output standard output and standard error, in the order they came
 * @property {string} stdout
 */

/**
 * Runs a command to its end and answers how it ended; failing is not an exception.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<Ended>}
 */
export function run(command, args, { cwd, env = process.env, log, append = false, timeout } = {}) {
  const logFile = log === undefined ? undefined : openLog(log, append, command, args);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env,
      detached: process.platform !== "win32",
      stdio: ["ignore", "pipe", "pipe"],
    });
    track(child);

    let output = "";
    let stdout = "";
    const keep = (/** @type {Buffer} */ chunk) => {
      if (logFile !== undefined) writeSync(logFile, chunk);
      output = (output + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
    };
    child.stdout?.on("data", (chunk) => {
      keep(chunk);
      stdout = (stdout + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
    });
    child.stderr?.on("data", keep);

    const timer =
      timeout === undefined ? undefined : setTimeout(() => stop(child, "SIGTERM"), timeout);
    const end = (/** @type {number} */ code) => {
      clearTimeout(timer);
      untrack(child);
      if (logFile !== undefined) closeSync(logFile);
      if (stopping) interrupted.push(() => reject(new Failure("Stopped.")));
      else resolve({ code, output, stdout });
    };
    child.once("error", () => end(127));
    child.once("close", (code) => end(code ?? 1));
  });
}

/**
 * Runs a command that has to succeed.
 *
 * @param {string} sentence what to tell a person when it does not
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 */
export async function mustRun(sentence, command, args, options = {}) {
  const ended = await run(command, args, options);
  if (ended.code !== 0) {
    const where = options.log === undefined ? "" : ` (everything it printed: ${options.log})`;
    throw new Failure(`${sentence}${where}`, tail(ended.output));
  }
  return ended;
}

/**
 * @param {string} output
 * @param {number} [lines]
 */
export function tail(output, lines = TAIL_LINES) {
  return withoutColour(output).trimEnd().split(/\r?\n/).slice(-lines).join("\n");
}

/**
 * Where a command would be found.
 *
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 */
export function which(name, env) {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    const file = join(folder, name);
    if (folder !== "" && isExecutable(file)) return file;
  }
  return undefined;
}

/** @param {string} file */
export function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * @param {string} path
 * @param {boolean} append
 * @param {string} command
 * @param {readonly string[]} args
 */
function openLog(path, append, command, args) {
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, append ? "a" : "w");
  writeSync(file, `$ ${[command, ...args].join(" ")}\n`);
  return file;
}

/** @param {import("node:child_process").ChildProcess} child */
function track(child) {
  if (running.size === 0) {
    for (const signal of STOP_SIGNALS) process.on(signal, stopAll);
    process.on("exit", killAll);
  }
  running.add(child);
}

/** @param {import("node:child_process").ChildProcess} child */
function untrack(child) {
  running.delete(child);
  if (running.size === 0) {
    for (const signal of STOP_SIGNALS) process.off(signal, stopAll);
    process.off("exit", killAll);
  }
}

/**
 * We were asked to stop: the children first, then ourselves by the same signal, so that our caller
 * sees why we ended.
 *
 * @param {NodeJS.Signals} signal
 */
async function stopAll(signal) {
  stopping = true;
  await Promise.all([...running].map((child) => stop(child, signal)));
  for (const each of STOP_SIGNALS) process.off(each, stopAll);
  // Where the caller has a handler of its own it decides about the end; it was called beside us.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  else for (const report of interrupted) report();
}

/** The last moment of this process: nothing asynchronous is possible any more. */
function killAll() {
  for (const child of running) signalGroup(child, "SIGKILL");
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function stop(child, signal) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const timer = setTimeout(() => signalGroup(child, "SIGKILL"), GRACE_MS);
      child.once("close", () => {
        clearTimeout(timer);
        // What the child left behind in its group (a browser whose driver is gone) ends here.
        signalGroup(child, "SIGKILL");
        resolve();
      });
      signalGroup(child, signal);
    })
  );
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function signalGroup(child, signal) {
  if (child.pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? child.pid : -child.pid, signal);
  } catch {
    // The group has ended already.
  }
}
