// The entries of the package: for each artefact the same four, for each adapter one. What an entry
// is made of and what package.json says of it are written here once; a new artefact is one line in
// wasm-pack.toml (`entry = "name"`) and its public names in npm/api/; other entries are found by name.
//
//   node tools/lib/entries.mjs     writes `exports` and `sideEffects` of package.json

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { isMain, runMain } from "./failure.mjs";
import { parseMatrix } from "./matrix.mjs";
import { root } from "./paths.mjs";

/**
 * @typedef {{ name: string, entry: string, about: string }} Artefact
 * @typedef {{ js: string, types: string }} Entry
 */

/** Conditions of runtimes that compile no bytes and hand over a module instead. */
const EDGE_CONDITIONS = ["unwasm", "workerd", "edge-light"];

/**
 * Where the instance of an entry comes from. `edge` hands over a module, `fallback` is the
 * translation to JavaScript, `slim` leaves it to the program.
 */
const FORMS = /** @type {const} */ (["inline", "edge", "fallback", "slim"]);

/**
 * @param {Artefact} artefact
 * @param {typeof FORMS[number]} form
 */
const fileOf = ({ entry }, form) => (form === "inline" ? entry : `${entry}.${form}`);

/**
 * The entries of an artefact as files of dist/, by their names.
 *
 * @param {Artefact} artefact
 * @returns {Record<string, string>}
 */
export function entryFiles(artefact) {
  return Object.fromEntries(
    FORMS.flatMap((form) => {
      const { js, types } = entryOf(artefact, form);
      const file = fileOf(artefact, form);
      return [
        [`${file}.js`, js],
        [`${file}.d.ts`, types],
      ];
    }),
  );
}

/**
 * @param {Artefact} artefact
 * @param {typeof FORMS[number]} form
 * @returns {Entry}
 */
function entryOf({ name, about }, form) {
  const engine = `${name}Engine`;
  const [imports, configure] = {
    inline: [
      [`{ inline } from "./load/inline.js"`, `{ wasmBytes } from "./wasm/${name}.inline.js"`],
      `${engine}.configure(inline(wasmBytes, () => import("./wasm/${name}.fallback.js")), "wasm");`,
    ],
    edge: [
      [`{ edge } from "./load/edge.js"`, `module from "./wasm/${name}.wasm?module"`],
      `${engine}.configure(edge(module), "wasm");`,
    ],
    fallback: [
      [
        `{ fallback } from "./load/fallback.js"`,
        `* as translated from "./wasm/${name}.fallback.js"`,
      ],
      `${engine}.configure(fallback(translated), "js");`,
    ],
    slim: [
      [`{ given, slim } from "./load/slim.js"`],
      `${engine}.configure(given);\n\nexport const init = (module) => slim(${engine}, module);`,
    ],
  }[form];
  const surface = `export * from "./api/${name}.js";\n`;
  return {
    js: `// Made by tools/lib/entries.mjs.
import { ${engine} } from "./load/${name}.js";
${/** @type {string[]} */ (imports).map((each) => `import ${each};\n`).join("")}
${configure}

export const engine = () => ${engine}.kind;
${surface}`,
    types: `/**
 * ${about}
 *
 * @packageDocumentation
 */
import type { EngineKind } from "./load/engine.js";${form === "slim" ? `\nimport type { GivenModule } from "./load/slim.js";` : ""}

${surface}export type { EngineKind };
${form === "slim" ? SLIM_TYPES : ""}
/**
 * What runs: \`"wasm"\`, or \`"js"\`, its translation to JavaScript, where the host has no WebAssembly
 * or a page's policy refuses it. \`undefined\` until the first call has loaded it.
 */
export declare function engine(): EngineKind | undefined;
`,
  };
}

const SLIM_TYPES = `export type { GivenModule };

/**
 * Hands over the WebAssembly of this package, before anything else is called: the module, its bytes,
 * or the response that carries them. A second call does nothing once it runs; after a failure it may
 * be called again. Where the program imports the entry without \`/slim\` as well, there is no need of it.
 *
 * @throws {@link GatepassError} \`unsupported_host\`, with what the host said as \`cause\`;
 * \`config_invalid\` for what is none of these, such as an address.
 */
export declare function init(module: GivenModule | PromiseLike<GivenModule>): Promise<void>;
`;

/**
 * Entries that need no instance, or take what has one: npm/NAME.ts, and the adapters npm/adapters/NAME.ts.
 * A name with a dash is a part of others.
 *
 * @param {string} folder of npm/
 */
function plainEntries(folder) {
  return readdirSync(join(root, "npm", folder))
    .filter((file) => /^[a-z]+\.tsx?$/.test(file))
    .map((file) => file.replace(/\.tsx?$/, ""))
    .sort();
}

/**
 * `exports` and `sideEffects` of package.json.
 *
 * @param {readonly Artefact[]} artefacts
 */
export function manifestEntries(artefacts) {
  /** @type {Record<string, unknown>} */
  const exports = {};
  /** @type {string[]} */
  const sideEffects = [];
  for (const artefact of artefacts) {
    const path = artefact.entry === "index" ? "." : `./${artefact.entry}`;
    const edge = esm(fileOf(artefact, "edge"));
    exports[path] = {
      ...Object.fromEntries(EDGE_CONDITIONS.map((condition) => [condition, edge])),
      ...both(fileOf(artefact, "inline")),
    };
    exports[`${path}/js`] = both(fileOf(artefact, "fallback"));
    exports[`${path}/slim`] = both(fileOf(artefact, "slim"));
    // They say where the instance comes from: a bundler that drops them leaves nothing that runs.
    for (const form of FORMS) {
      const file = `${fileOf(artefact, form)}.js`;
      sideEffects.push(`./dist/${file}`);
      if (form !== "edge") sideEffects.push(`./dist/cjs/${file}`);
    }
  }
  for (const name of plainEntries(".")) exports[`./${name}`] = both(name);
  for (const name of plainEntries("adapters")) exports[`./${name}`] = both(`adapters/${name}`);
  for (const { name } of artefacts) {
    exports[`./${name}.wasm`] = {
      types: `./dist/wasm/${name}.wasm.d.ts`,
      default: `./dist/wasm/${name}.wasm`,
    };
  }
  exports["./schema.json"] = "./schema.json";
  exports["./package.json"] = "./package.json";
  return { exports, sideEffects };
}

/** @param {string} file */
const esm = (file) => ({ types: `./dist/${file}.d.ts`, default: `./dist/${file}.js` });

/** @param {string} file */
const both = (file) => ({ import: esm(file), require: esm(`cjs/${file}`) });

if (isMain(import.meta.url)) {
  await runMain(async () => {
    const { artefacts } = await parseMatrix(readFileSync(join(root, "wasm-pack.toml"), "utf8"));
    const file = join(root, "package.json");
    const manifest = JSON.parse(readFileSync(file, "utf8"));
    Object.assign(manifest, manifestEntries(artefacts));
    writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
  });
}
