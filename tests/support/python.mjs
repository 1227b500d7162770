// What Python's registry has: providers, each a process of its own on 127.0.0.1, and other programs. The
// tools say in GATEPASS_PYTHON which interpreter has them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

import { which } from "../../tools/lib/process.mjs";
import { testFile } from "./installed.mjs";
import { freePort } from "./port.mjs";

const python = process.env["GATEPASS_PYTHON"];

/** Why no provider in Python runs, or `false`. In CI they have to. */
export const obstacle =
  python || process.env["CI"] === "true"
    ? false
    : "Python providers are not installed: CI=true npm run setup installs them";

/** A program that stands beside that interpreter, or on PATH; nothing where it is nowhere. */
export function besidePython(name) {
  const beside = python ? join(dirname(python), name) : "";
  return existsSync(beside) ? beside : which(name, process.env);
}

/** Why what needs such a program cannot run, or `false`. In CI it has to. */
export function lacksBesidePython(name) {
  if (besidePython(name)) return false;
  const reason = `not installed: ${name}`;
  if (process.env["CI"] !== "true") return reason;
  throw new Error(`${reason}. In CI it has to be there: run this suite by npm test`);
}

/**
 * Starts a provider and waits until it answers.
 *
 * @param {string} script in tests/
 * @param {(origin: string) => string} isUp a URL that it answers with 200
 * @param {...string} more what the script wants after its port
 */
export async function startPython(script, isUp, ...more) {
  if (!python) throw new Error("GATEPASS_PYTHON is not set: run this suite by npm test");
  const port = await freePort();
  const child = spawn(python, [testFile(script), String(port), ...more]);
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  child.stdout.resume();
  const origin = `http://127.0.0.1:${port}`;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${script} ended:\n${said.slice(-2000)}`);
    const response = await fetch(isUp(origin)).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.status === 200) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const stop = async () => {
    if (child.exitCode !== null) return;
    child.kill();
    await once(child, "exit");
  };
  return { origin, stop };
}
