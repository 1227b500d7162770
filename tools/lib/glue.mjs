// Turns the glue that wasm-bindgen writes into one that makes glue: each instance gets its own. The
// glue is a module with one instance in it; after a trap that instance is dead, and what still points
// into it must never meet the next one.

import { Failure } from "./failure.mjs";

const EXPORT = /^export (class|function) (\w+)/gm;

/** What hosts call: closures that they were given, for a promise or a task. */
const CALLBACK =
  /^function (wasm_bindgen__convert__closures_____invoke__\w+)\(([^)]*)\) \{\n([\s\S]*?)^\}/gm;

/**
 * @param {string} name of the .wasm file, for messages
 * @param {string} glue what wasm-bindgen wrote
 * @returns {string} a module with `makeGlue(outlived)`, where `outlived` runs a callback of the host
 */
export function glueModule(name, glue) {
  /** @type {string[]} */
  const names = [];
  let callbacks = 0;
  const body = glue
    .replace(EXPORT, (_, kind, exported) => {
      names.push(exported);
      return `${kind} ${exported}`;
    })
    .replace(CALLBACK, (_, callback, args, work) => {
      callbacks++;
      return `function ${callback}(${args}) {\n    return outlived(() => {\n${work}    });\n}`;
    });
  const isKnown = names.includes("__wbg_set_wasm") && !/^(?:import|export)\b/m.test(body);
  if (
    !isKnown ||
    callbacks === 0 ||
    callbacks !== body.split("function wasm_bindgen__").length - 1
  ) {
    throw new Failure(
      `${name}: wasm-bindgen writes another glue than before, tools/lib/glue.mjs does not know it.`,
    );
  }
  return `export function makeGlue(outlived) {\n${body}\nreturn { ${names.join(", ")} };\n}\n`;
}

/**
 * What TypeScript is told besides the glue's own types, which are types only.
 *
 * @param {string} file the glue's
 */
export const makeGlueTypes = (file) => `
/** Hands the glue the exports of the WebAssembly instance; nothing else works before. */
export function __wbg_set_wasm(exports: unknown): void;
/** The glue of one instance; \`outlived\` runs what the host calls. */
export function makeGlue(
  outlived: (callback: () => unknown) => unknown,
): Omit<typeof import("./${file}"), "makeGlue">;
`;
