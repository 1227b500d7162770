// Knows whether something has to be made again: a stamp remembers the hash of what went in and of
// each file that came out. Files that were edited, removed or half written are noticed as well as
// changed sources.

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, sep } from "node:path";

import { root } from "./paths.mjs";

/** @param {string | Uint8Array} content */
export function sha256(content) {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * All files below these places, sorted. A place that does not exist has none.
 *
 * @param {readonly string[]} places
 * @returns {string[]}
 */
export function filesBelow(places) {
  /** @type {string[]} */
  const files = [];
  const visit = (/** @type {string} */ place) => {
    if (!existsSync(place)) return;
    if (!statSync(place).isDirectory()) files.push(place);
    else for (const name of readdirSync(place)) visit(join(place, name));
  };
  for (const place of places) visit(place);
  return files.sort();
}

/**
 * One hash for the content and the names of files, and for facts that are not files.
 *
 * @param {readonly string[]} places
 * @param {unknown} facts
 */
export function fingerprint(places, facts) {
  const hash = createHash("sha256").update(JSON.stringify(facts));
  for (const file of filesBelow(places)) {
    hash.update(`\n${relative(root, file).split(sep).join("/")} ${sha256(readFileSync(file))}`);
  }
  return hash.digest("hex");
}

/**
 * @param {string} stamp
 * @param {string} inputs
 */
export function isUpToDate(stamp, inputs) {
  if (!existsSync(stamp)) return false;
  try {
    /** @type {{ inputs: string, outputs: Record<string, string> }} */
    const known = JSON.parse(readFileSync(stamp, "utf8"));
    return (
      known.inputs === inputs &&
      Object.entries(known.outputs).every(([file, hash]) => {
        const path = join(root, file);
        return existsSync(path) && sha256(readFileSync(path)) === hash;
      })
    );
  } catch {
    return false;
  }
}

/** @param {string} stamp */
export function forget(stamp) {
  rmSync(stamp, { force: true });
}

/**
 * @param {string} stamp
 * @param {string} inputs
 * @param {readonly string[]} outputs
 */
export function remember(stamp, inputs, outputs) {
  const hashes = Object.fromEntries(
    outputs.map((file) => [relative(root, file), sha256(readFileSync(file))]),
  );
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, JSON.stringify({ inputs, outputs: hashes }, null, 2));
}
