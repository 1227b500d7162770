// Reads wasm-pack.toml, our build matrix. For tools/build.mjs alone: nobody else opens that file.
// Strict, because a misspelt key that is passed over is a budget or a flag that silently does not
// hold.

import { Failure } from "./failure.mjs";

/**
 * @typedef {object} Artefact
 * @property {string} name
 * @property {string} entry what users import: the file of dist/ without its ending, \`index\` for the package itself
 * @property {string} about one sentence, for its documentation
 * @property {string[]} features cargo features, on top of none
 * @property {string} profile cargo profile
 * @property {string[]} rustflags for the compiler, besides those of all artefacts
 * @property {string[]} library features of the standard library, where it is compiled with it
 * @property {string[]} wasmOpt
 * @property {{ wasm: number, glue: number, fallback: number }} budget bytes after gzip
 *
 * @typedef {object} Bundle
 * @property {string} entry the file in dist/ that somebody imports
 * @property {number} budget bytes after gzip, bundled and minified
 *
 * @typedef {object} Matrix
 * @property {Artefact[]} artefacts
 * @property {Bundle[]} bundles
 */

/**
 * @param {string} text
 * @returns {Promise<Matrix>}
 */
export async function parseMatrix(text) {
  // Not at the top: this file is imported before set-up has installed anything.
  const { parse } = await import("smol-toml");
  let document;
  try {
    document = parse(text);
  } catch (error) {
    throw new Failure(`wasm-pack.toml is not TOML: ${/** @type {Error} */ (error).message}`);
  }

  const top = table(document, "", { artefact: true, bundle: true });
  const artefacts = Object.entries(anyTable(top.artefact, "artefact")).map(([name, value]) =>
    artefact(name, value),
  );
  const bundles = Object.entries(anyTable(top.bundle, "bundle")).map(([entry, value]) => {
    const at = `bundle."${entry}"`;
    const { gzip } = table(value, at, { gzip: true });
    return { entry, budget: bytes(gzip, `${at}.gzip`) };
  });
  if (artefacts.length === 0) throw new Failure("wasm-pack.toml names no artefact.");
  return { artefacts, bundles };
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {Artefact}
 */
function artefact(name, value) {
  const at = `artefact.${name}`;
  if (!/^[a-z][a-z0-9_]*$/.test(name)) {
    throw new Failure(
      `wasm-pack.toml: ${at} is not a name for a file: use small letters, digits and underscores.`,
    );
  }
  const keys = table(value, at, {
    entry: true,
    about: true,
    features: true,
    profile: true,
    rustflags: true,
    library: true,
    "wasm-opt": true,
    budget: true,
  });
  const budget = table(keys.budget, `${at}.budget`, { wasm: true, glue: true, fallback: true });
  return {
    name,
    entry: word(keys.entry, `${at}.entry`),
    about: word(keys.about, `${at}.about`),
    features: words(keys.features, `${at}.features`),
    profile: word(keys.profile, `${at}.profile`),
    rustflags: words(keys.rustflags, `${at}.rustflags`),
    library: words(keys.library, `${at}.library`),
    wasmOpt: words(keys["wasm-opt"], `${at}.wasm-opt`),
    budget: {
      wasm: bytes(budget.wasm, `${at}.budget.wasm`),
      glue: bytes(budget.glue, `${at}.budget.glue`),
      fallback: bytes(budget.fallback, `${at}.budget.fallback`),
    },
  };
}

/**
 * @param {unknown} value
 * @param {string} at
 * @returns {Record<string, unknown>}
 */
function anyTable(value, at) {
  if (
    typeof value !== "object" ||
    value === null ||
    Array.isArray(value) ||
    value instanceof Date
  ) {
    throw new Failure(`wasm-pack.toml: ${at} has to be a table.`);
  }
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * A table with exactly these keys.
 *
 * @template {string} K
 * @param {unknown} value
 * @param {string} at
 * @param {Record<K, true>} known
 * @returns {Record<K, unknown>}
 */
function table(value, at, known) {
  const found = anyTable(value, at);
  const path = (/** @type {string} */ key) => (at === "" ? key : `${at}.${key}`);
  for (const key of Object.keys(found)) {
    if (Object.hasOwn(known, key)) continue;
    throw new Failure(
      `wasm-pack.toml: unknown key ${path(key)}. Known here: ${Object.keys(known).join(", ")}.`,
    );
  }
  for (const key of Object.keys(known)) {
    if (!Object.hasOwn(found, key)) throw new Failure(`wasm-pack.toml: ${path(key)} is missing.`);
  }
  return /** @type {Record<K, unknown>} */ (found);
}

/**
 * @param {unknown} value
 * @param {string} at
 */
function word(value, at) {
  if (typeof value !== "string" || value === "")
    throw new Failure(`wasm-pack.toml: ${at} has to be a text.`);
  return value;
}

/**
 * @param {unknown} value
 * @param {string} at
 */
function words(value, at) {
  if (!Array.isArray(value)) throw new Failure(`wasm-pack.toml: ${at} has to be a list of texts.`);
  return value.map((each, index) => word(each, `${at}[${index}]`));
}

/**
 * @param {unknown} value
 * @param {string} at
 */
function bytes(value, at) {
  if (!Number.isSafeInteger(value) || Number(value) <= 0) {
    throw new Failure(`wasm-pack.toml: ${at} has to be a number of bytes above 0.`);
  }
  return Number(value);
}
