// Providers in Python, each a process of its own on 127.0.0.1. The tools say in GATEPASS_PYTHON which
// interpreter has them.

import { spawn } from "node:child_process";
import { once } from "node:events";

import { testFile } from "./installed.mjs";
import { freePort } from "./port.mjs";

const python = process.env["GATEPASS_PYTHON"];

/** Why no provider in Python runs, or `false`. In CI they have to. */
export const obstacle =
  python || process.env["CI"] === "true"
    ? false
    : "Python providers are not installed: CI=true npm run setup installs them";

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
